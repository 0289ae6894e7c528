-- One run with its totals. $1: the run's id.
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
where r.run_id = $1
