-- Price events that do not start where the one before them, of the same call, ended: the run, the call's model, where
-- the event starts, where the one before it ended. $1: only of that many runs, the newest; null for all.
with chain as (
  select
    e.*,
    lag(e.price_event_id) over w as event_previous,
    lag(e.recorded_at) over w as recorded_previous,
    lag(e.state_after) over w as state_previous,
    lag(e.price_after) over w as price_previous,
    lag(e.cost_after) over w as cost_previous
  from price_event e
  where $1 is null
     or e.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0))
  window w as (partition by e.run_id, e.call_id order by e.price_event_id)
)
select
  e.run_id,
  c.provider || '/' || c.model as thing,
  'from ' || e.state_before || ', price ' || coalesce(cast(e.price_before as text), '-') || ', '
    || coalesce(cast(e.cost_before as text), '-') || ' picodollars' as found,
  'from ' || e.state_previous || ', price ' || cast(e.price_previous as text) || ', '
    || cast(e.cost_previous as text) || ' picodollars' as expected
from chain e
join llm_call c on c.run_id = e.run_id and c.call_id = e.call_id
where e.event_previous is not null
  -- What was withdrawn in between is another call.
  and not exists (
    select 1
    from withdrawn_call v
    where v.run_id = e.run_id and v.call_id = e.call_id
      and v.withdrawn_at >= e.recorded_previous and v.withdrawn_at <= e.recorded_at)
  and (e.state_before <> e.state_previous
       or e.price_before is distinct from e.price_previous
       or e.cost_before is distinct from e.cost_previous)
order by e.price_event_id
limit 100
