-- Views for people and BI tools: dollars, status codes and text ids, of the same shape in both databases.

create view v_run as
select
  r.run_id::text as run_id,
  r.pipeline,
  s.code as status,
  r.labels::text as labels,
  r.started_at,
  r.completed_at,
  r.costed_at,
  r.parent_run_id::text as parent_run_id,
  r.replay_of::text as replay_of,
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

comment on view v_run is 'Runs with their totals in dollars.';
comment on column v_run.status is 'running, succeeded, failed, cancelled or abandoned.';
comment on column v_run.labels is 'Words to find the run by: a JSON object of strings.';

create view v_call as
select
  c.run_id::text as run_id,
  c.call_id::text as call_id,
  c.step_id::text as step_id,
  r.pipeline,
  c.agent,
  c.provider,
  c.model,
  c.operation,
  c.service_tier,
  c.called_at,
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
  (c.cost_pico * 0.000000000001)::numeric(24, 12) as estimated_cost_usd
from llm_call c
join pipeline_run r on r.run_id = c.run_id;

comment on view v_call is 'The journal in dollars; an unpriced call''s cost is null.';
comment on column v_call.estimated_cost_usd is 'What the call cost in dollars, exact; null when unpriced, which is not zero.';
comment on column v_call.pipeline is 'The pipeline of its run.';

create view v_spend as
select
  to_timestamp(bucket * 900::bigint) as bucket_at,
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
  (cost_pico * 0.000000000001)::numeric(24, 12) as estimated_cost_usd
from spend_rollup;

comment on view v_spend is 'Spend by 15 minutes (UTC), pipeline, agent, provider and model, in dollars.';
comment on column v_spend.bucket_at is 'The start of the 15 minutes, UTC.';
comment on column v_spend.llm_tokens_input is 'The whole prompts: input and the three cache kinds.';
comment on column v_spend.llm_tokens_output is 'Everything generated: output and reasoning.';
comment on column v_spend.estimated_cost_usd is 'What the priced calls cost in dollars, exact.';

create view v_model_alias as
select a.provider, a.model, a.target_provider, a.target_model, a.origin, a.revision
from model_alias a
where a.alias_id = (
    select max(newest.alias_id)
    from model_alias newest
    where newest.model = a.model and newest.provider = a.provider and newest.origin = a.origin)
  and (a.origin = 'catalogue' or a.target_model is not null);

comment on view v_model_alias is 'What each reported name means now: a user''s row before the catalogue''s; a user''s with an empty provider is for any.';

create view journal_spend as
select
  c.run_id,
  c.called_at,
  floor(extract(epoch from c.called_at) / 900)::integer as bucket,
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

comment on view journal_spend is 'The journal in the shape of the rollup, a row a call: for what the rollup does not tell apart.';
comment on column journal_spend.bucket is 'The row of the rollup it is in: seconds since 1970 UTC divided by 900 and rounded down.';
comment on column journal_spend.pipeline is 'The pipeline of its run.';
comment on column journal_spend.status is 'The status of its run, by code.';
comment on column journal_spend.unpriced_calls is '1 when the call has no known price, else 0.';
comment on column journal_spend.input_tokens is 'Prompt tokens neither read from nor written to a cache; 0 when usage is unknown, as the other kinds.';
comment on column journal_spend.cost_pico is 'Picodollars; 0 when unpriced.';

-- Where a view says nothing of a column, the column means what it means in the table it is read from.
do $$
declare
  missing record;
begin
  for missing in
    select a.attrelid::regclass as view_name, a.attname as column_name, origin.meaning
    from (values ('v_run', 'pipeline_run'), ('v_call', 'llm_call'), ('v_spend', 'spend_rollup'),
                 ('v_model_alias', 'model_alias'), ('journal_spend', 'llm_call')) s (view_name, table_name)
    join pg_attribute a on a.attrelid = s.view_name::regclass and a.attnum > 0
    cross join lateral (
      select col_description(o.attrelid, o.attnum) as meaning
      from pg_attribute o
      where o.attrelid = s.table_name::regclass and o.attname = a.attname) origin
    where col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', missing.view_name, missing.column_name, missing.meaning);
  end loop;
end $$;
