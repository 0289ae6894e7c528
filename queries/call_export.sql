-- Calls of a range of time with the pipeline of their run, in the order they were made.
-- $1: called at or after; $2: called before; $3 to $7: pipeline, agent, provider, model, the run's status, each may be
-- null for all.
select c.*, r.pipeline
from llm_call c
join pipeline_run r on r.run_id = c.run_id
join status_lookup s on s.status_id = r.status_id
where c.called_at >= $1
  and c.called_at < $2
  and ($3 is null or r.pipeline = $3)
  and ($4 is null or c.agent = $4)
  and ($5 is null or c.provider = $5)
  and ($6 is null or c.model = $6)
  and ($7 is null or s.code = $7)
order by c.called_at, c.run_id, c.call_id
