-- Runs whose archived calls and the sums of them disagree: the run, how many calls the sums hold, how many the parts hold.
select
  r.run_id,
  r.pipeline as thing,
  cast(coalesce(s.llm_calls, 0) as text) || ' archived calls in the sums' as found,
  cast(coalesce(p.llm_calls, 0) as text) || ' in the parts' as expected
from pipeline_run r
left join (select run_id, sum(llm_calls) as llm_calls from archived_spend group by run_id) s on s.run_id = r.run_id
left join (select run_id, sum(llm_calls) as llm_calls from archived_part group by run_id) p on p.run_id = r.run_id
where coalesce(s.llm_calls, 0) <> coalesce(p.llm_calls, 0)
order by r.run_id
limit 100
