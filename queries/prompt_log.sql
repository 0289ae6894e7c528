-- The versions of a prompt, newest first, and how many runs, steps and calls used each. $1: the prompt.
with used as (
  select t.prompt_version_id, t.run_id, 1 as steps, 0 as calls
  from pipeline_step_run t
  where t.prompt_version_id is not null
  union all
  select s.prompt_version_id, s.run_id, 0 as steps, 1 as calls
  from llm_call_prompt s
  where s.prompt_version_id is not null
)
select
  v.prompt_version_id,
  p.name,
  cast(v.version as bigint) as version,
  v.digest,
  v.description,
  v.created_at,
  v.created_by,
  v.git_commit,
  (select cast(count(distinct u.run_id) as bigint) from used u where u.prompt_version_id = v.prompt_version_id) as runs,
  (select cast(coalesce(sum(u.calls), 0) as bigint) from used u where u.prompt_version_id = v.prompt_version_id) as calls
from prompt_version v
join prompt p on p.prompt_id = v.prompt_id
where p.name = $1
order by v.version desc
