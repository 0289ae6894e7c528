-- As spend_by.sql, for whole days (UTC): the settled sums, and the open lanes of the rollup.
-- $1: first day, counted from 1970-01-01; $2: day after the last; $3: whether to tell apart days;
-- $4 to $7: whether to tell apart pipeline, agent, provider, model;
-- $8 to $11: pipeline, agent, provider, model, each may be null for all.
select
  case when $3 then cast(s.day as bigint) end as day,
  case when $4 then s.pipeline end as pipeline,
  case when $5 then s.agent end as agent,
  case when $6 then s.provider end as provider,
  case when $7 then s.model end as model,
  cast(sum(s.llm_calls) as bigint) as llm_calls,
  cast(sum(s.unpriced_calls) as bigint) as unpriced_calls,
  cast(sum(s.input_tokens) as bigint) as input_tokens,
  cast(sum(s.cache_read_tokens) as bigint) as cache_read_tokens,
  cast(sum(s.cache_write_tokens) as bigint) as cache_write_tokens,
  cast(sum(s.cache_write_long_tokens) as bigint) as cache_write_long_tokens,
  cast(sum(s.output_tokens) as bigint) as output_tokens,
  cast(sum(s.reasoning_tokens) as bigint) as reasoning_tokens,
  cast(sum(s.embedding_tokens) as bigint) as embedding_tokens,
  cast(sum(s.web_searches) as bigint) as web_searches,
  sum(s.cost_pico) as cost_pico
from (
  select
    day, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
    cost_pico
  from settled_spend_day
  where day >= $1 and day < $2
  union all
  select
    bucket / 96, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
    cost_pico
  from spend_rollup
  where lane > 0 and bucket >= $1 * 96 and bucket < $2 * 96) s
where ($8 is null or s.pipeline = $8)
  and ($9 is null or s.agent = $9)
  and ($10 is null or s.provider = $10)
  and ($11 is null or s.model = $11)
group by 1, 2, 3, 4, 5
-- What was withdrawn leaves sums of nothing.
having sum(s.llm_calls) > 0
