-- Calls whose run or step is not there. $1: only of that many runs, the newest; null for all.
select
  c.run_id,
  'call ' || case when r.run_id is null then 'of an unknown run' else 'of an unknown step' end as thing,
  cast(count(*) as text) || ' calls' as found,
  'none' as expected
from llm_call c
left join pipeline_run r on r.run_id = c.run_id
left join pipeline_step_run t on t.run_id = c.run_id and t.step_id = c.step_id
where ($1 is null
       or c.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0)))
  and (r.run_id is null
       or (c.step_id is not null and t.step_id is null))
group by c.run_id, r.run_id
order by c.run_id
limit 100
