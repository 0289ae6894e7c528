-- Priced calls that do not cost their tokens times the rates of their price, each missing rate replaced as when they
-- were priced: the run, the call's model, what it costs, what it should. Calls without their price row are
-- law_call_price's. $1: only of that many runs, the newest; null for all.
with costed as (
  select
    c.run_id, c.call_id, c.provider, c.model, c.cost_pico,
    cast(c.input_tokens as numeric) * coalesce(p.input_rate, 0)
      + cast(c.cache_read_tokens as numeric) * coalesce(p.cache_read_rate, p.input_rate, 0)
      + cast(c.cache_write_tokens as numeric) * coalesce(p.cache_write_rate, p.input_rate, 0)
      + cast(c.cache_write_long_tokens as numeric)
          * coalesce(p.cache_write_long_rate, p.cache_write_rate, p.input_rate, 0)
      + cast(c.output_tokens as numeric) * coalesce(p.output_rate, 0)
      + cast(c.reasoning_tokens as numeric) * coalesce(p.reasoning_rate, p.output_rate, 0)
      + cast(c.embedding_tokens as numeric) * coalesce(p.embedding_rate, 0)
      + cast(c.web_searches as numeric) * coalesce(p.web_search_rate, 0)
      + coalesce(p.request_fee, 0) as cost
  from llm_call c
  join model_price p on p.price_id = c.price_id
  where c.pricing_state <> 'unpriced'
    and ($1 is null
         or c.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0)))
)
select
  run_id,
  provider || '/' || model as thing,
  cast(cost_pico as text) || ' picodollars' as found,
  cast(cost as text) || ' picodollars' as expected
from costed
where cost_pico <> cost
order by run_id, call_id
limit 100
