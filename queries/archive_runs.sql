-- Finished runs with calls that may leave the journal, in the order they started, a page at a time. $1: finished before
-- this time; $2, $3: after the run with this start and id (null from the start); $4: how many.
select
  r.run_id,
  r.pipeline,
  s.code as status,
  r.labels,
  r.started_at,
  r.completed_at,
  r.costed_at,
  r.parent_run_id,
  r.replay_of,
  r.llm_calls,
  r.unpriced_calls,
  r.input_tokens,
  r.cache_read_tokens,
  r.cache_write_tokens,
  r.cache_write_long_tokens,
  r.output_tokens,
  r.reasoning_tokens,
  r.embedding_tokens,
  r.web_searches,
  r.cost_pico
from pipeline_run r
join status_lookup s on s.status_id = r.status_id
where r.completed_at < $1
  and ($2 is null or r.started_at > $2 or (r.started_at = $2 and r.run_id > $3))
  and exists (select 1 from llm_call c where c.run_id = r.run_id and c.pricing_state <> 'unpriced')
order by r.started_at, r.run_id
limit $4
