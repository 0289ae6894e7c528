-- What may leave the journal, and what stays because it has no price yet. $1: of runs that had finished before this time.
select
  cast(count(distinct case when c.pricing_state <> 'unpriced' then c.run_id end) as bigint) as runs,
  cast(count(case when c.pricing_state <> 'unpriced' then 1 end) as bigint) as calls,
  cast(count(case when c.pricing_state = 'unpriced' then 1 end) as bigint) as unpriced
from pipeline_run r
join llm_call c on c.run_id = r.run_id
where r.completed_at < $1
