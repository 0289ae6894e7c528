-- What may leave the journal, and what stays because it has no price yet. $1: of runs that had finished before this time.
-- A run's counters say what it has, of which some may have left; what has left has a price.
select
  count(case when h.llm_calls > h.unpriced_calls then 1 end) as runs,
  cast(coalesce(sum(h.llm_calls - h.unpriced_calls), 0) as bigint) as calls,
  cast(coalesce(sum(h.unpriced_calls), 0) as bigint) as unpriced
from (
  select
    r.llm_calls - coalesce(p.llm_calls, 0) as llm_calls,
    r.unpriced_calls
  from pipeline_run r
  left join (
    select a.run_id, cast(sum(a.llm_calls) as bigint) as llm_calls
    from archived_part a
    group by a.run_id
  ) p on p.run_id = r.run_id
  where r.completed_at < $1
) h
