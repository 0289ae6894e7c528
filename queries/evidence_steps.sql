-- Step runs, those of them that called a model, and those of these of which it is known which prompt version they used: it
-- was said of the step, or of what was sent in it. $1: only of that many runs, the newest.
with newest as (
  select run_id
  from pipeline_run
  order by started_at desc, run_id desc
  limit $1
),
called as (
  select distinct run_id, step_id
  from llm_call
  where step_id is not null and run_id in (select run_id from newest)
),
sent as (
  select distinct run_id, step_id
  from llm_call_prompt
  where step_id is not null and prompt_version_id is not null and run_id in (select run_id from newest)
)
select
  count(*) as steps,
  count(c.step_id) as calling,
  count(*) filter (where c.step_id is not null and (t.prompt_version_id is not null or s.step_id is not null))
    as versioned
from pipeline_step_run t
left join called c on c.run_id = t.run_id and c.step_id = t.step_id
left join sent s on s.run_id = t.run_id and s.step_id = t.step_id
where t.run_id in (select run_id from newest)
