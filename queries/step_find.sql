-- One step. $1: the run's id; $2: the step's.
select
  t.run_id,
  t.step_id,
  t.step,
  t.agent,
  cast(t.attempt as integer) as attempt,
  s.code as status,
  p.name || '@' || cast(v.version as text) as prompt_version,
  t.started_at,
  t.completed_at
from pipeline_step_run t
join status_lookup s on s.status_id = t.status_id
left join prompt_version v on v.prompt_version_id = t.prompt_version_id
left join prompt p on p.prompt_id = v.prompt_id
where t.run_id = $1
  and t.step_id = $2
