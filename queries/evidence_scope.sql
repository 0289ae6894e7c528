-- How many runs, the newest first, have no more than $1 calls together, and how many calls these have. $2: how many runs
-- at most.
select
  count(*) as runs,
  cast(coalesce(max(s.calls), 0) as bigint) as calls
from (
  select sum(r.llm_calls) over (order by r.started_at desc, r.run_id desc rows unbounded preceding) as calls
  from (
    select started_at, run_id, llm_calls
    from pipeline_run
    order by started_at desc, run_id desc
    limit $2) r) s
where s.calls <= $1
