-- Reported names whose calls are unpriced, and how much hangs on each. $1: the time from which, $2: before which.
select
  provider,
  model,
  service_tier,
  cast(count(*) as bigint) as llm_calls,
  cast(sum(case when input_tokens is null then 1 else 0 end) as bigint) as without_usage,
  cast(coalesce(sum(input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens), 0) as bigint)
    as llm_tokens_input,
  cast(coalesce(sum(output_tokens + reasoning_tokens), 0) as bigint) as llm_tokens_output,
  cast(coalesce(sum(embedding_tokens), 0) as bigint) as embedding_tokens,
  min(called_at) as first_called_at,
  max(called_at) as last_called_at
from llm_call
where pricing_state = 'unpriced'
  and called_at >= $1
  and called_at < $2
group by provider, model, service_tier
order by llm_calls desc, provider, model, service_tier
