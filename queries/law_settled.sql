-- Settled sums, by day and by bucket, that are not the sums of the rollup's settled rows, missing and superfluous ones
-- included.
with side as (
  select
    'day ' || cast(day as text) || ' ' || pipeline || ' ' || agent || ' ' || provider || ' ' || model as thing,
    llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
    output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico, 1 as sign
  from settled_spend_day
  union all
  select
    'day ' || cast(bucket / 96 as text) || ' ' || pipeline || ' ' || agent || ' ' || provider || ' ' || model,
    llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
    output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico, -1
  from spend_rollup
  where lane = 0
  union all
  select
    'bucket ' || cast(bucket as text),
    llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
    output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico, 1
  from settled_spend_bucket
  union all
  select
    'bucket ' || cast(bucket as text),
    llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
    output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico, -1
  from spend_rollup
  where lane = 0
)
select
  (select run_id from pipeline_run where false) as run_id,
  thing,
  case when max(sign) < 0 then 'no row' else
    cast(sum(case when sign > 0 then llm_calls else 0 end) as text) || ' calls, '
    || cast(sum(case when sign > 0 then input_tokens + output_tokens else 0 end) as text) || ' in and out, '
    || cast(sum(case when sign > 0 then cost_pico else 0 end) as text) || ' picodollars' end as found,
  case when min(sign) > 0 then 'no row' else
    cast(sum(case when sign < 0 then llm_calls else 0 end) as text) || ' calls, '
    || cast(sum(case when sign < 0 then input_tokens + output_tokens else 0 end) as text) || ' in and out, '
    || cast(sum(case when sign < 0 then cost_pico else 0 end) as text) || ' picodollars' end as expected
from side
group by thing
having min(sign) > 0
    or max(sign) < 0
    or sum(sign * llm_calls) <> 0
    or sum(sign * unpriced_calls) <> 0
    or sum(sign * input_tokens) <> 0
    or sum(sign * cache_read_tokens) <> 0
    or sum(sign * cache_write_tokens) <> 0
    or sum(sign * cache_write_long_tokens) <> 0
    or sum(sign * output_tokens) <> 0
    or sum(sign * reasoning_tokens) <> 0
    or sum(sign * embedding_tokens) <> 0
    or sum(sign * web_searches) <> 0
    or sum(sign * cost_pico) <> 0
order by thing
limit 100
