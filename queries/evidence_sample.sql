-- The newest runs' calls of which it is recorded what was sent. $1: how many.
select p.run_id, p.call_id
from pipeline_run r
join llm_call_prompt p on p.run_id = r.run_id
order by r.started_at desc, r.run_id desc, p.call_id desc
limit $1
