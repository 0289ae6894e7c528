-- What calls of a range of time used, by what they are charged to and the price that priced them (null: none did).
-- $1: called at or after; $2: called before; $3 to $7: pipeline, agent, provider, model, the run's status, each may be
-- null for all.
select
  r.pipeline,
  c.agent,
  c.provider,
  c.model,
  c.service_tier,
  cast(r.labels as text) as labels,
  c.price_id,
  count(*) as llm_calls,
  cast(coalesce(sum(c.input_tokens), 0) as bigint) as input_tokens,
  cast(coalesce(sum(c.cache_read_tokens), 0) as bigint) as cache_read_tokens,
  cast(coalesce(sum(c.cache_write_tokens), 0) as bigint) as cache_write_tokens,
  cast(coalesce(sum(c.cache_write_long_tokens), 0) as bigint) as cache_write_long_tokens,
  cast(coalesce(sum(c.output_tokens), 0) as bigint) as output_tokens,
  cast(coalesce(sum(c.reasoning_tokens), 0) as bigint) as reasoning_tokens,
  cast(coalesce(sum(c.embedding_tokens), 0) as bigint) as embedding_tokens,
  cast(coalesce(sum(c.web_searches), 0) as bigint) as web_searches,
  coalesce(sum(c.cost_pico), 0) as cost_pico
from llm_call c
join pipeline_run r on r.run_id = c.run_id
join status_lookup s on s.status_id = r.status_id
where c.called_at >= $1
  and c.called_at < $2
  and ($3 is null or r.pipeline = $3)
  and ($4 is null or c.agent = $4)
  and ($5 is null or c.provider = $5)
  and ($6 is null or c.model = $6)
  and ($7 is null or s.code = $7)
group by r.pipeline, c.agent, c.provider, c.model, c.service_tier, cast(r.labels as text), c.price_id
