-- How many calls were looked at before they were sent, by pipeline. $1, $2: called from and up to this time;
-- $3: in this pipeline, or null. A call without a recorded prompt is one that nobody looked at here.
select
  r.pipeline,
  count(*) as calls,
  count(*) filter (where p.sanitisation = 'clean') as clean,
  count(*) filter (where p.sanitisation = 'redacted') as redacted,
  count(*) filter (where p.sanitisation = 'raw_allowed') as raw_allowed,
  count(*) filter (where p.sanitisation = 'exposed') as exposed,
  count(*) filter (where p.sanitisation = 'unscanned') as unscanned,
  count(*) filter (where p.sanitisation is null) as not_recorded
from llm_call c
join pipeline_run r on r.run_id = c.run_id
left join llm_call_prompt p on p.run_id = c.run_id and p.call_id = c.call_id
where c.called_at >= $1
  and c.called_at < $2
  and ($3 is null or r.pipeline = $3)
group by r.pipeline
order by r.pipeline
