-- Priced calls whose price row is not there or was not in force when they were made: the run and the call's model.
select
  c.run_id,
  c.provider || '/' || c.model as thing,
  'price ' || cast(c.price_id as text) as found,
  'a price in force at the time of the call' as expected
from llm_call c
left join model_price p on p.price_id = c.price_id
where c.pricing_state <> 'unpriced'
  and (p.price_id is null or p.effective_from > c.called_at or p.service_tier <> c.service_tier)
order by c.run_id, c.call_id
limit 100
