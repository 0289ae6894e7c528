-- A run's calls in order with what was sent in them, and what was sent without a call that is recorded. $1: the run's id;
-- $2: only this call, or null.
select
  k.call_id,
  coalesce(k.step_id, p.step_id) as step_id,
  k.called_at,
  k.has_call,
  coalesce(nullif(k.agent, ''), t.agent, '') as agent,
  k.provider,
  k.model,
  k.operation,
  t.step,
  t.prompt_version_id as step_version_id,
  p.prompt_version_id,
  p.inputs,
  p.text_sha256,
  p.sanitisation,
  p.purged_at,
  case when x.body is not null then x.redacted_at else p.redacted_at end as redacted_at,
  x.body,
  p.output_sha256,
  o.body as output_body,
  o.redacted_at as output_redacted_at
from (
  select c.run_id, c.call_id, c.step_id, c.called_at, c.agent, c.provider, c.model, c.operation, true as has_call
  from llm_call c
  where c.run_id = $1
    and ($2 is null or c.call_id = $2)
  union all
  select s.run_id, s.call_id, s.step_id, s.sent_at, '', '', '', 'chat', false
  from llm_call_prompt s
  where s.run_id = $1
    and ($2 is null or s.call_id = $2)
    and not exists (select 1 from llm_call c where c.run_id = s.run_id and c.call_id = s.call_id)) k
left join llm_call_prompt p on p.run_id = k.run_id and p.call_id = k.call_id
left join prompt_text x on x.text_sha256 = p.text_sha256
left join prompt_text o on o.text_sha256 = p.output_sha256 and p.purged_at is null
left join pipeline_step_run t on t.run_id = k.run_id and t.step_id = coalesce(k.step_id, p.step_id)
order by k.called_at, k.call_id
