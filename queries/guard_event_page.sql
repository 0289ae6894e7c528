-- Every decision, in the order of its number. $1: after this number; $2: how many.
select
  g.guard_event_id,
  g.event_id,
  g.recorded_at as decided_at,
  g.run_id,
  g.call_id,
  cast(null as text) as pipeline,
  g.prompt,
  g.variable,
  g.detector,
  g.findings,
  g.decision,
  g.reason,
  g.fingerprint,
  g.token,
  g.rules_sha256,
  g.policy_sha256
from guard_event g
where g.guard_event_id > $1
order by g.guard_event_id
limit $2
