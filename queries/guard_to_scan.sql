-- What was sent and nobody looked at, in the order of its ids; answers are never stored unseen. $1, $2: after this run and call, or null; $3: also what
-- was looked at and found wanting, and is not redacted yet; $4: how many.
select
  s.run_id,
  s.call_id,
  s.step_id,
  s.sent_at,
  cast(s.prompt_version_id as text) as version,
  s.inputs,
  s.text_sha256,
  s.sanitisation,
  s.purged_at,
  x.redacted_at,
  x.body,
  s.output_sha256,
  cast(null as text) as output_body
from llm_call_prompt s
left join prompt_text x on x.text_sha256 = s.text_sha256
where s.sanitisation in ('unscanned', 'exposed')
  and s.redacted_at is null
  and s.purged_at is null
  and ($3 or s.sanitisation = 'unscanned')
  and (s.prompt_version_id is not null or x.body is not null)
  and ($1 is null or (s.run_id, s.call_id) > ($1, $2))
order by s.run_id, s.call_id
limit $4
