-- Spend from the rollup, by any of five dimensions, in a stretch of time with one offset from UTC.
-- Days are counted from 1970-01-01 in local time.
-- $1: first bucket; $2: bucket after the last; $3: seconds to add to UTC for local time;
-- $4 to $8: whether to tell apart day, pipeline, agent, provider, model;
-- $9 to $12: pipeline, agent, provider, model, each may be null for all.
select
  case when $4 then (cast(s.bucket as bigint) * 900 + $3) / 86400 end as day,
  case when $5 then s.pipeline end as pipeline,
  case when $6 then s.agent end as agent,
  case when $7 then s.provider end as provider,
  case when $8 then s.model end as model,
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
from spend_rollup s
where s.bucket >= $1
  and s.bucket < $2
  and ($9 is null or s.pipeline = $9)
  and ($10 is null or s.agent = $10)
  and ($11 is null or s.provider = $11)
  and ($12 is null or s.model = $12)
group by 1, 2, 3, 4, 5
-- What was withdrawn leaves sums of nothing.
having sum(s.llm_calls) > 0
