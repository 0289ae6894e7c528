-- Rollup rows that are not the sums of the journal's calls, missing and superfluous ones included (but not sums of
-- nothing, which withdrawn calls leave): bucket, pipeline, agent, provider and model, what the rollup holds, what the calls sum to.
-- $1, $2: only from this bucket on, and the time it starts; null for all.
with side as (
  select
    bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
    cost_pico, 1 as sign
  from spend_rollup
  where $1 is null or bucket >= $1
  union all
  select
    bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
    cost_pico, -1
  from journal_spend
  where $2 is null or called_at >= $2
)
select
  (select run_id from pipeline_run where false) as run_id,
  cast(bucket as text) || ' ' || pipeline || ' ' || agent || ' ' || provider || ' ' || model as thing,
  case when max(sign) < 0 then 'no row' else
    cast(sum(case when sign > 0 then llm_calls else 0 end) as text) || ' calls, '
    || cast(sum(case when sign > 0 then unpriced_calls else 0 end) as text) || ' unpriced, '
    || cast(sum(case when sign > 0 then input_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign > 0 then cache_read_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign > 0 then cache_write_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign > 0 then cache_write_long_tokens else 0 end) as text) || ' in, '
    || cast(sum(case when sign > 0 then output_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign > 0 then reasoning_tokens else 0 end) as text) || ' out, '
    || cast(sum(case when sign > 0 then embedding_tokens else 0 end) as text) || ' embedded, '
    || cast(sum(case when sign > 0 then web_searches else 0 end) as text) || ' searches, '
    || cast(sum(case when sign > 0 then cost_pico else 0 end) as text) || ' picodollars' end as found,
  case when min(sign) > 0 then 'no row' else
    cast(sum(case when sign < 0 then llm_calls else 0 end) as text) || ' calls, '
    || cast(sum(case when sign < 0 then unpriced_calls else 0 end) as text) || ' unpriced, '
    || cast(sum(case when sign < 0 then input_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign < 0 then cache_read_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign < 0 then cache_write_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign < 0 then cache_write_long_tokens else 0 end) as text) || ' in, '
    || cast(sum(case when sign < 0 then output_tokens else 0 end) as text) || '+'
    || cast(sum(case when sign < 0 then reasoning_tokens else 0 end) as text) || ' out, '
    || cast(sum(case when sign < 0 then embedding_tokens else 0 end) as text) || ' embedded, '
    || cast(sum(case when sign < 0 then web_searches else 0 end) as text) || ' searches, '
    || cast(sum(case when sign < 0 then cost_pico else 0 end) as text) || ' picodollars' end as expected
from side
group by bucket, pipeline, agent, provider, model
having sum(sign * llm_calls) <> 0
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
order by 2
limit 100
