-- An id that is not there is null in the views, not the dashes of an id without digits.

drop view v_run;
create view v_run as
select
  lower(substr(hex(r.run_id), 1, 8) || '-' || substr(hex(r.run_id), 9, 4) || '-' || substr(hex(r.run_id), 13, 4)
    || '-' || substr(hex(r.run_id), 17, 4) || '-' || substr(hex(r.run_id), 21)) as run_id,
  r.pipeline,
  s.code as status,
  r.labels,
  strftime('%Y-%m-%dT%H:%M:%S', r.started_at / 1000000, 'unixepoch') || printf('.%06dZ', r.started_at % 1000000)
    as started_at,
  strftime('%Y-%m-%dT%H:%M:%S', r.completed_at / 1000000, 'unixepoch') || printf('.%06dZ', r.completed_at % 1000000)
    as completed_at,
  strftime('%Y-%m-%dT%H:%M:%S', r.costed_at / 1000000, 'unixepoch') || printf('.%06dZ', r.costed_at % 1000000)
    as costed_at,
  case when r.parent_run_id is not null then lower(substr(hex(r.parent_run_id), 1, 8) || '-' || substr(hex(r.parent_run_id), 9, 4) || '-'
    || substr(hex(r.parent_run_id), 13, 4) || '-' || substr(hex(r.parent_run_id), 17, 4) || '-'
    || substr(hex(r.parent_run_id), 21)) end as parent_run_id,
  case when r.replay_of is not null then lower(substr(hex(r.replay_of), 1, 8) || '-' || substr(hex(r.replay_of), 9, 4) || '-'
    || substr(hex(r.replay_of), 13, 4) || '-' || substr(hex(r.replay_of), 17, 4) || '-'
    || substr(hex(r.replay_of), 21)) end as replay_of,
  r.llm_calls,
  r.unpriced_calls,
  r.llm_tokens_input,
  r.llm_tokens_output,
  r.embedding_tokens,
  r.input_tokens,
  r.cache_read_tokens,
  r.cache_write_tokens,
  r.cache_write_long_tokens,
  r.output_tokens,
  r.reasoning_tokens,
  r.web_searches,
  r.estimated_cost_usd
from pipeline_run r
join status_lookup s on s.status_id = r.status_id;

drop view v_call;
create view v_call as
select
  lower(substr(hex(c.run_id), 1, 8) || '-' || substr(hex(c.run_id), 9, 4) || '-' || substr(hex(c.run_id), 13, 4)
    || '-' || substr(hex(c.run_id), 17, 4) || '-' || substr(hex(c.run_id), 21)) as run_id,
  lower(substr(hex(c.call_id), 1, 8) || '-' || substr(hex(c.call_id), 9, 4) || '-' || substr(hex(c.call_id), 13, 4)
    || '-' || substr(hex(c.call_id), 17, 4) || '-' || substr(hex(c.call_id), 21)) as call_id,
  case when c.step_id is not null then lower(substr(hex(c.step_id), 1, 8) || '-' || substr(hex(c.step_id), 9, 4) || '-' || substr(hex(c.step_id), 13, 4)
    || '-' || substr(hex(c.step_id), 17, 4) || '-' || substr(hex(c.step_id), 21)) end as step_id,
  r.pipeline,
  c.agent,
  c.provider,
  c.model,
  c.operation,
  c.service_tier,
  strftime('%Y-%m-%dT%H:%M:%S', c.called_at / 1000000, 'unixepoch') || printf('.%06dZ', c.called_at % 1000000)
    as called_at,
  c.input_tokens,
  c.cache_read_tokens,
  c.cache_write_tokens,
  c.cache_write_long_tokens,
  c.output_tokens,
  c.reasoning_tokens,
  c.embedding_tokens,
  c.web_searches,
  c.latency_ms,
  c.outcome,
  c.response_id,
  c.pricing_state,
  c.price_id,
  case when c.cost_pico is not null
       then printf('%d.%012d', c.cost_pico / 1000000000000, c.cost_pico % 1000000000000) end as estimated_cost_usd
from llm_call c
join pipeline_run r on r.run_id = c.run_id;
