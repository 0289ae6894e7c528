-- Runs whose status and times disagree: one that is finished has an end and a final cost, one that runs has neither.
-- $1: only of that many runs, the newest; null for all.
select
  r.run_id,
  r.pipeline as thing,
  s.code || case when r.completed_at is null then ' without an end' else ' with an end' end as found,
  case when s.is_final then 'an end and a final cost' else 'neither end nor final cost' end as expected
from pipeline_run r
join status_lookup s on s.status_id = r.status_id
where ($1 is null
       or r.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0)))
  and (s.is_final <> (r.completed_at is not null)
       or s.is_final <> (r.costed_at is not null))
order by r.run_id
limit 100
