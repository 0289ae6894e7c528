-- What was sent in a run's calls, in the order of their ids. $1: the run's id; $2: after this call, or null; $3: how many.
select
  s.run_id,
  s.call_id,
  s.step_id,
  s.sent_at,
  p.name || '@' || cast(v.version as text) as version,
  s.inputs,
  s.text_sha256,
  s.sanitisation,
  s.purged_at,
  s.redacted_at,
  case when s.purged_at is null then x.body end as body,
  s.output_sha256,
  case when s.purged_at is null then o.body end as output_body
from llm_call_prompt s
left join prompt_version v on v.prompt_version_id = s.prompt_version_id
left join prompt p on p.prompt_id = v.prompt_id
left join prompt_text x on x.text_sha256 = s.text_sha256
left join prompt_text o on o.text_sha256 = s.output_sha256
where s.run_id = $1
  and ($2 is null or s.call_id > $2)
order by s.call_id
limit $3
