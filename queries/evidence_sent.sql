-- What was known before it was sent. $1: only of that many runs, the newest.
select
  count(*) as calls,
  count(*) filter (where p.sanitisation = 'clean') as clean,
  count(*) filter (where p.sanitisation = 'redacted') as redacted,
  count(*) filter (where p.sanitisation = 'raw_allowed') as raw_allowed,
  count(*) filter (where p.sanitisation = 'exposed') as exposed,
  count(*) filter (where p.sanitisation = 'unscanned') as unscanned,
  count(*) filter (where p.sanitisation is null) as not_recorded,
  count(*) filter (where p.sanitisation = 'raw_allowed'
                     and exists (
                       select 1
                       from guard_event g
                       where g.run_id = c.run_id and g.call_id = c.call_id
                         and g.decision = 'allow_raw')) as raw_logged
from llm_call c
left join llm_call_prompt p on p.run_id = c.run_id and p.call_id = c.call_id
where c.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit $1)
