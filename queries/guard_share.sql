-- How many calls nobody looked at before they were sent, by pipeline: of the newest runs that started in a range, for the
-- journal of a range of calls is too long to read often.
-- $1: started at or after; $2: started before; $3: pipeline, may be null for all; $4: at most so many runs.
select
  r.pipeline,
  count(*) as llm_calls,
  count(*) filter (where p.sanitisation is null or p.sanitisation in ('unscanned', 'exposed')) as unscanned
from (
  select n.run_id, n.pipeline
  from pipeline_run n
  where n.started_at >= $1
    and n.started_at < $2
    and ($3 is null or n.pipeline = $3)
  order by n.started_at desc
  limit $4) r
join llm_call c on c.run_id = r.run_id
left join llm_call_prompt p on p.run_id = c.run_id and p.call_id = c.call_id
group by r.pipeline
