-- The archives that a run's calls left for, the oldest first. $1: the run's id.
select
  a.file,
  a.archived_at,
  cast(sum(p.llm_calls) as bigint) as calls
from archived_part p
join call_archive a on a.archive_id = p.archive_id
where p.run_id = $1
group by a.archive_id, a.file, a.archived_at
order by a.archive_id
