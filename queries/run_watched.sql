-- Runs that go on, and those that ended in a range.
-- $1: started at or after; $2: started before; $3, $4: or ended at or after, and before; $5: pipeline, may be null for all.
select
  r.run_id,
  r.pipeline,
  s.code as status,
  r.started_at,
  r.completed_at,
  r.llm_calls,
  r.cost_pico
from pipeline_run r
join status_lookup s on s.status_id = r.status_id
where r.started_at >= $1
  and r.started_at < $2
  and (s.code = 'running' or (r.completed_at >= $3 and r.completed_at < $4))
  and ($5 is null or r.pipeline = $5)
