-- Calls whose price cannot be: an unpriced one with a cost, or a priced one whose price row is not there, was not in
-- force when the call was made, or is for larger ones: the run, the call's model, what it has, what it should have.
-- $1: only of that many runs, the newest; null for all.
select
  c.run_id,
  c.provider || '/' || c.model as thing,
  c.pricing_state || ', price ' || coalesce(cast(c.price_id as text), '-') || ', '
    || coalesce(cast(c.cost_pico as text), '-') || ' picodollars' as found,
  case when c.pricing_state = 'unpriced' then 'no price and no cost'
       when c.cost_pico is null then 'a cost'
       else 'a price in force at the time of the call' end as expected
from llm_call c
left join model_price p on p.price_id = c.price_id
where ($1 is null
       or c.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0)))
  and case when c.pricing_state = 'unpriced' then c.price_id is not null or c.cost_pico is not null
           else c.cost_pico is null
             or p.price_id is null
             or p.effective_from > c.called_at
             or p.service_tier <> c.service_tier
             or (p.over_input_tokens > 0
                 and p.over_input_tokens >= cast(c.input_tokens as bigint) + c.cache_read_tokens + c.cache_write_tokens
                       + c.cache_write_long_tokens) end
order by c.run_id, c.call_id
limit 100
