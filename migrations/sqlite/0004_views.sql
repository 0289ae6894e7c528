-- Views for people and BI tools: dollars, status codes and text ids, of the same shape in both databases.
-- Times are RFC 3339 text, dollars exact decimal text.

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
  lower(substr(hex(r.parent_run_id), 1, 8) || '-' || substr(hex(r.parent_run_id), 9, 4) || '-'
    || substr(hex(r.parent_run_id), 13, 4) || '-' || substr(hex(r.parent_run_id), 17, 4) || '-'
    || substr(hex(r.parent_run_id), 21)) as parent_run_id,
  lower(substr(hex(r.replay_of), 1, 8) || '-' || substr(hex(r.replay_of), 9, 4) || '-'
    || substr(hex(r.replay_of), 13, 4) || '-' || substr(hex(r.replay_of), 17, 4) || '-'
    || substr(hex(r.replay_of), 21)) as replay_of,
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

create view v_call as
select
  lower(substr(hex(c.run_id), 1, 8) || '-' || substr(hex(c.run_id), 9, 4) || '-' || substr(hex(c.run_id), 13, 4)
    || '-' || substr(hex(c.run_id), 17, 4) || '-' || substr(hex(c.run_id), 21)) as run_id,
  lower(substr(hex(c.call_id), 1, 8) || '-' || substr(hex(c.call_id), 9, 4) || '-' || substr(hex(c.call_id), 13, 4)
    || '-' || substr(hex(c.call_id), 17, 4) || '-' || substr(hex(c.call_id), 21)) as call_id,
  lower(substr(hex(c.step_id), 1, 8) || '-' || substr(hex(c.step_id), 9, 4) || '-' || substr(hex(c.step_id), 13, 4)
    || '-' || substr(hex(c.step_id), 17, 4) || '-' || substr(hex(c.step_id), 21)) as step_id,
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

create view v_spend as
select
  strftime('%Y-%m-%dT%H:%M:%SZ', bucket * 900, 'unixepoch') as bucket_at,
  pipeline,
  agent,
  provider,
  model,
  llm_calls,
  unpriced_calls,
  input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens as llm_tokens_input,
  output_tokens + reasoning_tokens as llm_tokens_output,
  embedding_tokens,
  input_tokens,
  cache_read_tokens,
  cache_write_tokens,
  cache_write_long_tokens,
  output_tokens,
  reasoning_tokens,
  web_searches,
  printf('%d.%012d', cost_pico / 1000000000000, cost_pico % 1000000000000) as estimated_cost_usd
from spend_rollup;

-- What each reported name means now: a user's row before the catalogue's; a user's with an empty provider is
-- for any.
create view v_model_alias as
select a.provider, a.model, a.target_provider, a.target_model, a.origin, a.revision
from model_alias a
where a.alias_id = (
    select max(newest.alias_id)
    from model_alias newest
    where newest.model = a.model and newest.provider = a.provider and newest.origin = a.origin)
  and (a.origin = 'catalogue' or a.target_model is not null);

-- The journal in the shape of the rollup, a row a call: for what the rollup does not tell apart.
create view journal_spend as
select
  c.run_id,
  c.called_at,
  c.called_at / 900000000 as bucket,
  r.pipeline,
  s.code as status,
  c.agent,
  c.provider,
  c.model,
  case when c.pricing_state = 'unpriced' then 1 else 0 end as unpriced_calls,
  coalesce(c.input_tokens, 0) as input_tokens,
  coalesce(c.cache_read_tokens, 0) as cache_read_tokens,
  coalesce(c.cache_write_tokens, 0) as cache_write_tokens,
  coalesce(c.cache_write_long_tokens, 0) as cache_write_long_tokens,
  coalesce(c.output_tokens, 0) as output_tokens,
  coalesce(c.reasoning_tokens, 0) as reasoning_tokens,
  coalesce(c.embedding_tokens, 0) as embedding_tokens,
  coalesce(c.web_searches, 0) as web_searches,
  coalesce(c.cost_pico, 0) as cost_pico
from llm_call c
join pipeline_run r on r.run_id = c.run_id
join status_lookup s on s.status_id = r.status_id;
