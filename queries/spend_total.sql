-- Spend of all pipelines together, in a stretch of time with one offset from UTC: the settled sums, and the open lanes of
-- the rollup.
-- $1: first bucket; $2: bucket after the last; $3: seconds to add to UTC for local time; $4: whether to tell apart days,
-- which are counted from 1970-01-01 in local time.
select
  case when $4 then (cast(s.bucket as bigint) * 900 + $3) / 86400 end as day,
  cast(null as text) as pipeline,
  cast(null as text) as agent,
  cast(null as text) as provider,
  cast(null as text) as model,
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
    bucket, llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
    output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico
  from settled_spend_bucket
  where bucket >= $1 and bucket < $2
  union all
  select
    bucket, llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
    output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico
  from spend_rollup
  where lane > 0 and bucket >= $1 and bucket < $2) s
group by 1
