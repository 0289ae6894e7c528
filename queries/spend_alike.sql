-- The journal's calls of a range, those together that are alike in what a change of spend is explained by: model, operation,
-- service tier, the version of the prompt and the price, which is null for calls without one.
-- $1: called at or after; $2: called before; $3, $4: whether to tell apart pipelines, agents;
-- $5 to $9: pipeline, agent, provider, model, the run's status, each may be null for all.
select
  case when $3 then r.pipeline end as pipeline,
  case when $4 then c.agent end as agent,
  c.provider,
  c.model,
  c.operation,
  c.service_tier,
  v.prompt,
  cast(v.version as bigint) as prompt_version,
  c.price_id,
  cast(count(*) as bigint) as llm_calls,
  cast(sum(coalesce(c.input_tokens, 0)) as bigint) as input_tokens,
  cast(sum(coalesce(c.cache_read_tokens, 0)) as bigint) as cache_read_tokens,
  cast(sum(coalesce(c.cache_write_tokens, 0)) as bigint) as cache_write_tokens,
  cast(sum(coalesce(c.cache_write_long_tokens, 0)) as bigint) as cache_write_long_tokens,
  cast(sum(coalesce(c.output_tokens, 0)) as bigint) as output_tokens,
  cast(sum(coalesce(c.reasoning_tokens, 0)) as bigint) as reasoning_tokens,
  cast(sum(coalesce(c.embedding_tokens, 0)) as bigint) as embedding_tokens,
  cast(sum(coalesce(c.web_searches, 0)) as bigint) as web_searches,
  sum(coalesce(c.cost_pico, 0)) as cost_pico
from llm_call c
join pipeline_run r on r.run_id = c.run_id
join status_lookup s on s.status_id = r.status_id
left join pipeline_step_run t on t.run_id = c.run_id and t.step_id = c.step_id
left join llm_call_prompt q on q.run_id = c.run_id and q.call_id = c.call_id
-- What a call was sent with comes before what its step says.
left join v_prompt_version v on v.prompt_version_id = coalesce(q.prompt_version_id, t.prompt_version_id)
where c.called_at >= $1
  and c.called_at < $2
  and ($5 is null or r.pipeline = $5)
  and ($6 is null or c.agent = $6)
  and ($7 is null or c.provider = $7)
  and ($8 is null or c.model = $8)
  and ($9 is null or s.code = $9)
group by 1, 2, 3, 4, 5, 6, 7, 8, 9
