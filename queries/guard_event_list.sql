-- The guard's decisions, newest first. $1, $2: from and up to this time; $3: of this run; $4: by this detector;
-- $5: this decision; $6: in this pipeline; $7: about the value with this fingerprint; $8: how many. Null is all.
select
  g.guard_event_id,
  g.event_id,
  g.recorded_at as decided_at,
  g.run_id,
  g.call_id,
  r.pipeline,
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
left join pipeline_run r on r.run_id = g.run_id
where g.recorded_at >= $1
  and g.recorded_at < $2
  and ($3 is null or g.run_id = $3)
  and ($4 is null or g.detector = $4)
  and ($5 is null or g.decision = $5)
  and ($6 is null or r.pipeline = $6)
  and ($7 is null or g.fingerprint = $7)
order by g.recorded_at desc, g.guard_event_id desc
limit $8
