-- How large finished runs were: of each pipeline the newest.
-- $1: started at or after; $2: started before; $3: pipeline, may be null for all; $4: at most so many of each.
select
  n.pipeline,
  n.started_at,
  n.completed_at,
  n.llm_calls,
  n.cost_pico
from (
  select
    r.pipeline,
    r.started_at,
    r.completed_at,
    r.llm_calls,
    r.cost_pico,
    row_number() over (partition by r.pipeline order by r.started_at desc, r.run_id) as place
  from pipeline_run r
  join status_lookup s on s.status_id = r.status_id
  where r.started_at >= $1
    and r.started_at < $2
    and s.code in ('succeeded', 'failed', 'cancelled')
    and ($3 is null or r.pipeline = $3)) n
where n.place <= $4
