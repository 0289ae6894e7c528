-- How many decisions there are by decision, and how much they found; $1 to $7 as in guard_event_list.sql.
select
  g.decision,
  count(*) as events,
  cast(sum(g.findings) as bigint) as findings
from guard_event g
left join pipeline_run r on r.run_id = g.run_id
where g.recorded_at >= $1
  and g.recorded_at < $2
  and ($3 is null or g.run_id = $3)
  and ($4 is null or g.detector = $4)
  and ($5 is null or g.decision = $5)
  and ($6 is null or r.pipeline = $6)
  and ($7 is null or g.fingerprint = $7)
group by g.decision
order by g.decision
