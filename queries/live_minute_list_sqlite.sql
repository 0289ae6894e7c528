-- Calls by minute, counted from $1, of the newest runs that were running since then. No index leads to a time, so the runs do;
-- they are taken as long as their calls together are few enough to be read again and again. The rollup says what is not in here.
-- It is two texts because the difference of two times is a number here and an interval there: see live_minute_list_postgres.sql.
-- $1: called at or after; $2: called before; $3: runs that started at or after; $4: how many calls may be read;
-- $5 to $8: pipeline, agent, provider, model, each may be null for all.
select
  (c.called_at - $1) / 60000000 as minute,
  cast(count(*) as bigint) as llm_calls,
  cast(sum(case when c.pricing_state = 'unpriced' then 1 else 0 end) as bigint) as unpriced_calls,
  sum(coalesce(c.cost_pico, 0)) as cost_pico
from (
  select
    r.run_id,
    sum(r.llm_calls) over (order by r.started_at desc, r.run_id rows unbounded preceding) as calls_to_here
  from pipeline_run r
  where r.started_at >= $3
    and (r.completed_at is null or r.completed_at >= $1)
    and ($5 is null or r.pipeline = $5)) r
-- `cross`: the runs first, whatever the planner thinks of them.
cross join llm_call c
where c.run_id = r.run_id
  and r.calls_to_here <= $4
  and c.called_at >= $1
  and c.called_at < $2
  and ($6 is null or c.agent = $6)
  and ($7 is null or c.provider = $7)
  and ($8 is null or c.model = $8)
group by 1
