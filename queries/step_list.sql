-- A run's steps in order, each with the totals of its calls. $1: the run's id.
select
  t.run_id,
  t.step_id,
  t.step,
  t.agent,
  cast(t.attempt as integer) as attempt,
  s.code as status,
  p.name || '@' || cast(v.version as text) as prompt_version,
  t.started_at,
  t.completed_at,
  cast(count(c.call_id) as bigint) as llm_calls,
  cast(coalesce(sum(case when c.pricing_state = 'unpriced' then 1 else 0 end), 0) as bigint) as unpriced_calls,
  cast(coalesce(sum(c.input_tokens), 0) as bigint) as input_tokens,
  cast(coalesce(sum(c.cache_read_tokens), 0) as bigint) as cache_read_tokens,
  cast(coalesce(sum(c.cache_write_tokens), 0) as bigint) as cache_write_tokens,
  cast(coalesce(sum(c.cache_write_long_tokens), 0) as bigint) as cache_write_long_tokens,
  cast(coalesce(sum(c.output_tokens), 0) as bigint) as output_tokens,
  cast(coalesce(sum(c.reasoning_tokens), 0) as bigint) as reasoning_tokens,
  cast(coalesce(sum(c.embedding_tokens), 0) as bigint) as embedding_tokens,
  cast(coalesce(sum(c.web_searches), 0) as bigint) as web_searches,
  coalesce(sum(c.cost_pico), 0) as cost_pico
from pipeline_step_run t
join status_lookup s on s.status_id = t.status_id
left join prompt_version v on v.prompt_version_id = t.prompt_version_id
left join prompt p on p.prompt_id = v.prompt_id
left join llm_call c on c.run_id = t.run_id and c.step_id = t.step_id
where t.run_id = $1
group by t.run_id, t.step_id, t.step, t.agent, t.attempt, s.code, p.name, v.version, t.started_at, t.completed_at
order by t.started_at, t.step_id
