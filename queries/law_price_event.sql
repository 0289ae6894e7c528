-- Calls whose last price event is not the price they have: the run, the model, what the call has, what the event says.
-- $1: only of that many runs, the newest; null for all.
select
  c.run_id,
  c.provider || '/' || c.model as thing,
  c.pricing_state || ', price ' || coalesce(cast(c.price_id as text), '-') || ', '
    || coalesce(cast(c.cost_pico as text), '-') || ' picodollars' as found,
  e.state_after || ', price ' || cast(e.price_after as text) || ', ' || cast(e.cost_after as text)
    || ' picodollars' as expected
from price_event e
join llm_call c on c.run_id = e.run_id and c.call_id = e.call_id
where ($1 is null
       or e.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0)))
  and not exists (
    select 1
    from price_event later
    where later.run_id = e.run_id and later.call_id = e.call_id and later.price_event_id > e.price_event_id)
  -- What was withdrawn since is another call.
  and not exists (
    select 1
    from withdrawn_call w
    where w.run_id = e.run_id and w.call_id = e.call_id and w.withdrawn_at >= e.recorded_at)
  and (c.pricing_state <> e.state_after
       or c.price_id is distinct from e.price_after
       or c.cost_pico is distinct from e.cost_after)
order by c.run_id, c.call_id
limit 100
