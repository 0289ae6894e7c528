-- From which bucket on the rollup has no more than $1 calls, and how many these are. No row: even the newest has more.
select
  s.bucket,
  cast(s.calls as bigint) as calls
from (
  select b.bucket, sum(b.llm_calls) over (order by b.bucket desc rows unbounded preceding) as calls
  from (
    select bucket, sum(llm_calls) as llm_calls
    from spend_rollup
    group by bucket) b) s
where s.calls <= $1
order by s.bucket
limit 1
