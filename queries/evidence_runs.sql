-- What runs show of the acceptance criteria. $1: only of that many runs, the newest.
select
  count(*) as runs,
  count(*) filter (where s.is_final) as finished,
  count(*) filter (where s.is_final and r.costed_at is not null and r.completed_at is not null) as costed,
  count(*) filter (where s.is_final and r.costed_at is not null and r.estimated_cost_usd is not null
                     and r.llm_tokens_input + r.llm_tokens_output + r.embedding_tokens > 0
                     and r.cost_pico > 0) as with_cost,
  cast(coalesce(sum(r.llm_calls), 0) as bigint) as calls,
  cast(coalesce(sum(r.unpriced_calls), 0) as bigint) as unpriced
from (
  select *
  from pipeline_run
  order by started_at desc, run_id desc
  limit $1) r
join status_lookup s on s.status_id = r.status_id
