-- The ledger: runs, steps, the journal of calls, and the rollup that reports read.
--
-- A run's counters and the rollup change in the same transaction as the call, by the functions of 0005.
-- No index contains a counter, and the counter tables leave room in their pages, so that counting stays
-- a heap-only update.

create table pipeline_run (
  run_id                  uuid primary key,
  pipeline                text collate "C" not null check (char_length(pipeline) between 1 and 200),
  status_id               smallint not null references status_lookup,
  labels                  jsonb not null default '{}' check (jsonb_typeof(labels) = 'object'),
  started_at              timestamptz not null check (started_at >= '2015-01-01T00:00:00Z'),
  completed_at            timestamptz check (completed_at >= '2015-01-01T00:00:00Z'),
  costed_at               timestamptz,
  parent_run_id           uuid check (parent_run_id <> run_id),
  replay_of               uuid references pipeline_run check (replay_of <> run_id),
  llm_calls               bigint not null default 0 check (llm_calls >= 0),
  unpriced_calls          bigint not null default 0 check (unpriced_calls between 0 and llm_calls),
  input_tokens            bigint not null default 0 check (input_tokens >= 0),
  cache_read_tokens       bigint not null default 0 check (cache_read_tokens >= 0),
  cache_write_tokens      bigint not null default 0 check (cache_write_tokens >= 0),
  cache_write_long_tokens bigint not null default 0 check (cache_write_long_tokens >= 0),
  output_tokens           bigint not null default 0 check (output_tokens >= 0),
  reasoning_tokens        bigint not null default 0 check (reasoning_tokens >= 0),
  embedding_tokens        bigint not null default 0 check (embedding_tokens >= 0),
  web_searches            bigint not null default 0 check (web_searches >= 0),
  cost_pico               bigint not null default 0 check (cost_pico >= 0),
  llm_tokens_input        bigint not null generated always as
                            (input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens) stored,
  llm_tokens_output       bigint not null generated always as (output_tokens + reasoning_tokens) stored,
  estimated_cost_usd      numeric(24, 12) not null generated always as (cost_pico * 0.000000000001) stored,
  check ((completed_at is null) = (costed_at is null))
) with (fillfactor = 50);

comment on table pipeline_run is 'One execution of a pipeline, with the sums of its calls.';
comment on column pipeline_run.run_id is 'Made by the caller, so that a retry is the same run.';
comment on column pipeline_run.pipeline is 'Which pipeline was executed.';
comment on column pipeline_run.status_id is 'Where the run stands, in status_lookup; v_run shows the code.';
comment on column pipeline_run.labels is 'Words to find the run by: an object of strings.';
comment on column pipeline_run.started_at is 'When it started, as the caller says.';
comment on column pipeline_run.completed_at is 'When it ended; null while it is open.';
comment on column pipeline_run.costed_at is 'When the cost was last made final: at completion, and at each call that came later.';
comment on column pipeline_run.parent_run_id is 'The run that started this one. It may be in another ledger, so it is no foreign key.';
comment on column pipeline_run.replay_of is 'The run whose prompts this one sent again.';
comment on column pipeline_run.llm_calls is 'Calls recorded; equals the rows of llm_call.';
comment on column pipeline_run.unpriced_calls is 'Calls without a known price; they are in no cost.';
comment on column pipeline_run.input_tokens is 'Prompt tokens neither read from nor written to a cache. All kinds are disjoint.';
comment on column pipeline_run.cache_read_tokens is 'Prompt tokens served from a cache.';
comment on column pipeline_run.cache_write_tokens is 'Prompt tokens written to a cache at the provider''s short lifetime.';
comment on column pipeline_run.cache_write_long_tokens is 'Prompt tokens written to a cache at the provider''s long lifetime.';
comment on column pipeline_run.output_tokens is 'Generated tokens other than reasoning.';
comment on column pipeline_run.reasoning_tokens is 'Reasoning tokens generated.';
comment on column pipeline_run.embedding_tokens is 'Tokens embedded.';
comment on column pipeline_run.web_searches is 'Billed web searches: requests, not tokens.';
comment on column pipeline_run.cost_pico is 'Picodollars (1e-12 USD) of the priced calls.';
comment on column pipeline_run.llm_tokens_input is 'The whole prompts: input and the three cache kinds.';
comment on column pipeline_run.llm_tokens_output is 'Everything generated: output and reasoning.';
comment on column pipeline_run.estimated_cost_usd is 'cost_pico in dollars. While the run is open, what has accrued.';

create index pipeline_run_started_at on pipeline_run (started_at);
create index pipeline_run_parent on pipeline_run (parent_run_id) where parent_run_id is not null;

create trigger pipeline_run_append_only
  before delete or update of run_id, pipeline, labels, started_at, parent_run_id, replay_of on pipeline_run
  for each row execute function refuse_change();
create trigger pipeline_run_no_truncate before truncate on pipeline_run
  for each statement execute function refuse_change();

create table pipeline_step_run (
  run_id            uuid not null references pipeline_run,
  step_id           uuid not null,
  step              text collate "C" not null check (char_length(step) between 1 and 200),
  agent             text collate "C" not null default '' check (char_length(agent) <= 200),
  attempt           integer not null default 1 check (attempt between 1 and 10000),
  status_id         smallint not null references status_lookup,
  prompt_version_id bigint references prompt_version,
  started_at        timestamptz not null check (started_at >= '2015-01-01T00:00:00Z'),
  completed_at      timestamptz check (completed_at >= '2015-01-01T00:00:00Z'),
  primary key (run_id, step_id)
);

comment on table pipeline_step_run is 'One agent''s unit of work in a run.';
comment on column pipeline_step_run.run_id is 'The run it belongs to.';
comment on column pipeline_step_run.step_id is 'Made by the caller; unique within the run.';
comment on column pipeline_step_run.step is 'The step''s name.';
comment on column pipeline_step_run.agent is 'Empty when the step has no agent.';
comment on column pipeline_step_run.attempt is 'Which attempt of the step this is, from 1.';
comment on column pipeline_step_run.status_id is 'Where the step stands, in status_lookup.';
comment on column pipeline_step_run.prompt_version_id is 'The prompt version the step used.';
comment on column pipeline_step_run.started_at is 'When it started, as the caller says.';
comment on column pipeline_step_run.completed_at is 'When it ended; null while it is open.';

create index pipeline_step_run_prompt on pipeline_step_run (prompt_version_id) where prompt_version_id is not null;

create trigger pipeline_step_run_append_only
  before delete or update of run_id, step_id, step, agent, attempt, prompt_version_id, started_at on pipeline_step_run
  for each row execute function refuse_change();
create trigger pipeline_step_run_no_truncate before truncate on pipeline_step_run
  for each statement execute function refuse_change();

create table llm_call (
  run_id                  uuid not null references pipeline_run,
  call_id                 uuid not null,
  step_id                 uuid,
  called_at               timestamptz not null check (called_at >= '2015-01-01T00:00:00Z'),
  input_tokens            integer check (input_tokens between 0 and 1000000000),
  cache_read_tokens       integer check (cache_read_tokens between 0 and 1000000000),
  cache_write_tokens      integer check (cache_write_tokens between 0 and 1000000000),
  cache_write_long_tokens integer check (cache_write_long_tokens between 0 and 1000000000),
  output_tokens           integer check (output_tokens between 0 and 1000000000),
  reasoning_tokens        integer check (reasoning_tokens between 0 and 1000000000),
  embedding_tokens        integer check (embedding_tokens between 0 and 1000000000),
  web_searches            integer check (web_searches between 0 and 1000000000),
  latency_ms              bigint check (latency_ms >= 0),
  cost_pico               bigint check (cost_pico >= 0),
  price_id                bigint,
  agent                   text collate "C" not null default '' check (char_length(agent) <= 200),
  provider                text collate "C" not null default '' check (char_length(provider) <= 200),
  model                   text collate "C" not null check (char_length(model) between 1 and 200),
  operation               text collate "C" not null default 'chat' check (char_length(operation) between 1 and 200),
  service_tier            text collate "C" not null default 'standard' check (char_length(service_tier) between 1 and 200),
  pricing_state           text collate "C" not null check (pricing_state in ('priced', 'estimated', 'free', 'unpriced')),
  outcome                 text collate "C" not null default 'ok' check (outcome in ('ok', 'error')),
  response_id             text collate "C" check (char_length(response_id) between 1 and 200),
  primary key (run_id, call_id),
  foreign key (run_id, step_id) references pipeline_step_run,
  constraint llm_call_usage_is_whole check (num_nonnulls(input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches) in (0, 8)),
  constraint llm_call_price_is_whole check (
    case when pricing_state = 'unpriced' then cost_pico is null and price_id is null
         else cost_pico is not null and price_id is not null and input_tokens is not null end)
);

comment on table llm_call is 'One request to a model: the journal. Only the price columns ever change, inside functions that note it in price_event.';
comment on column llm_call.run_id is 'The run it belongs to.';
comment on column llm_call.call_id is 'Made by the caller; with run_id the idempotency key.';
comment on column llm_call.step_id is 'The step that made it; null when none did.';
comment on column llm_call.called_at is 'When the call was made; its price is the one in force then.';
comment on column llm_call.input_tokens is 'Prompt tokens neither read from nor written to a cache. All kinds are disjoint; all null is usage unknown.';
comment on column llm_call.cache_read_tokens is 'Prompt tokens served from a cache.';
comment on column llm_call.cache_write_tokens is 'Written to a cache at the provider''s short lifetime.';
comment on column llm_call.cache_write_long_tokens is 'Written to a cache at the provider''s long lifetime.';
comment on column llm_call.output_tokens is 'Generated tokens other than reasoning.';
comment on column llm_call.reasoning_tokens is 'Reasoning tokens generated.';
comment on column llm_call.embedding_tokens is 'Tokens embedded.';
comment on column llm_call.web_searches is 'Billed web searches: requests, not tokens.';
comment on column llm_call.latency_ms is 'Milliseconds from request to answer; null when unknown.';
comment on column llm_call.cost_pico is 'Picodollars; null when unpriced, which is not zero.';
comment on column llm_call.price_id is 'The model_price row that priced it. No foreign key: its row locks would queue every writer on a few hot prices, and model_price never loses a row.';
comment on column llm_call.agent is 'The agent that made it, the step''s unless the call says; empty when none.';
comment on column llm_call.provider is 'As reported; empty when it was not.';
comment on column llm_call.model is 'As reported.';
comment on column llm_call.operation is 'chat, embeddings, …';
comment on column llm_call.service_tier is 'standard, batch, priority, flex …, as the price depends on it.';
comment on column llm_call.pricing_state is 'priced; estimated (a missing rate fell back to a related one); free (the price is 0); unpriced.';
comment on column llm_call.outcome is 'ok or error.';
comment on column llm_call.response_id is 'The provider''s id of the response.';

create index llm_call_unpriced on llm_call (provider, model) where pricing_state = 'unpriced';
create index llm_call_called_at on llm_call using brin (called_at);

create trigger llm_call_append_only
  before delete or update of run_id, call_id, step_id, called_at, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, latency_ms, agent,
    provider, model, operation, service_tier, outcome, response_id on llm_call
  for each row execute function refuse_change();
create trigger llm_call_no_truncate before truncate on llm_call
  for each statement execute function refuse_change();

create table llm_call_prompt (
  run_id            uuid not null,
  call_id           uuid not null,
  prompt_version_id bigint references prompt_version,
  inputs            text,
  text_sha256       bytea check (octet_length(text_sha256) = 32),
  sanitisation      text collate "C" not null check (sanitisation in ('clean', 'redacted', 'raw_allowed', 'unscanned')),
  purged_at         timestamptz,
  primary key (run_id, call_id),
  foreign key (run_id, call_id) references llm_call,
  check (purged_at is null or inputs is null)
);

comment on table llm_call_prompt is 'What was sent in a call. Apart from llm_call, so that retention can drop inputs and keep spend.';
comment on column llm_call_prompt.run_id is 'With call_id: the call.';
comment on column llm_call_prompt.call_id is 'With run_id: the call.';
comment on column llm_call_prompt.prompt_version_id is 'The registered version that was rendered; null when the pipeline renders elsewhere.';
comment on column llm_call_prompt.inputs is 'The template''s inputs after sanitising: a JSON object.';
comment on column llm_call_prompt.text_sha256 is 'SHA-256 of the exact messages sent.';
comment on column llm_call_prompt.sanitisation is 'clean (nothing found), redacted, raw_allowed (found and let through) or unscanned.';
comment on column llm_call_prompt.purged_at is 'When retention dropped the inputs.';

create trigger llm_call_prompt_append_only before update or delete on llm_call_prompt
  for each row execute function refuse_change();
create trigger llm_call_prompt_no_truncate before truncate on llm_call_prompt
  for each statement execute function refuse_change();

create table spend_rollup (
  bucket                  integer not null,
  pipeline                text collate "C" not null,
  agent                   text collate "C" not null,
  provider                text collate "C" not null,
  model                   text collate "C" not null,
  llm_calls               bigint not null check (llm_calls >= 0),
  unpriced_calls          bigint not null check (unpriced_calls between 0 and llm_calls),
  input_tokens            bigint not null check (input_tokens >= 0),
  cache_read_tokens       bigint not null check (cache_read_tokens >= 0),
  cache_write_tokens      bigint not null check (cache_write_tokens >= 0),
  cache_write_long_tokens bigint not null check (cache_write_long_tokens >= 0),
  output_tokens           bigint not null check (output_tokens >= 0),
  reasoning_tokens        bigint not null check (reasoning_tokens >= 0),
  embedding_tokens        bigint not null check (embedding_tokens >= 0),
  web_searches            bigint not null check (web_searches >= 0),
  cost_pico               bigint not null check (cost_pico >= 0),
  primary key (bucket, pipeline, agent, provider, model)
) with (fillfactor = 50);

comment on table spend_rollup is 'Spend of one 15-minute UTC bucket of one (pipeline, agent, provider, model): every time zone''s midnight falls on a bucket.';
comment on column spend_rollup.bucket is 'Seconds since 1970 UTC of the call, divided by 900 and rounded down.';
comment on column spend_rollup.pipeline is 'The pipeline of the calls.';
comment on column spend_rollup.agent is 'The agent of the calls; empty when none.';
comment on column spend_rollup.provider is 'The provider as reported; empty when it was not.';
comment on column spend_rollup.model is 'The model as reported.';
comment on column spend_rollup.llm_calls is 'Calls recorded.';
comment on column spend_rollup.unpriced_calls is 'Calls without a known price; they are in no cost.';
comment on column spend_rollup.input_tokens is 'Prompt tokens neither read from nor written to a cache. All kinds are disjoint.';
comment on column spend_rollup.cache_read_tokens is 'Prompt tokens served from a cache.';
comment on column spend_rollup.cache_write_tokens is 'Prompt tokens written to a cache at the provider''s short lifetime.';
comment on column spend_rollup.cache_write_long_tokens is 'Prompt tokens written to a cache at the provider''s long lifetime.';
comment on column spend_rollup.output_tokens is 'Generated tokens other than reasoning.';
comment on column spend_rollup.reasoning_tokens is 'Reasoning tokens generated.';
comment on column spend_rollup.embedding_tokens is 'Tokens embedded.';
comment on column spend_rollup.web_searches is 'Billed web searches: requests, not tokens.';
comment on column spend_rollup.cost_pico is 'Picodollars (1e-12 USD) of the priced calls.';

create table price_event (
  price_event_id bigint generated always as identity primary key,
  run_id         uuid not null,
  call_id        uuid not null,
  state_before   text collate "C" not null,
  price_before   bigint references model_price,
  cost_before    bigint,
  state_after    text collate "C" not null,
  price_after    bigint not null references model_price,
  cost_after     bigint not null,
  reason         text not null,
  recorded_at    timestamptz not null default clock_timestamp(),
  recorded_by    text not null,
  foreign key (run_id, call_id) references llm_call
);

comment on table price_event is 'One call priced after the fact: from what, to what, who and why.';
comment on column price_event.price_event_id is 'The row''s number.';
comment on column price_event.run_id is 'With call_id: the call.';
comment on column price_event.call_id is 'With run_id: the call.';
comment on column price_event.state_before is 'llm_call.pricing_state before.';
comment on column price_event.price_before is 'The model_price row before; null when it was unpriced.';
comment on column price_event.cost_before is 'Picodollars; null when it was unpriced.';
comment on column price_event.state_after is 'llm_call.pricing_state after.';
comment on column price_event.price_after is 'The model_price row after.';
comment on column price_event.cost_after is 'Picodollars.';
comment on column price_event.reason is 'Why: run finished, price became known, or what the user gave.';
comment on column price_event.recorded_at is 'When it was done.';
comment on column price_event.recorded_by is 'Who did it, as the program or the session says.';

create index price_event_call on price_event (run_id, call_id);

create trigger price_event_append_only before update or delete on price_event
  for each row execute function refuse_change();
create trigger price_event_no_truncate before truncate on price_event
  for each statement execute function refuse_change();

create table guard_event (
  guard_event_id bigint generated always as identity primary key,
  run_id         uuid references pipeline_run,
  call_id        uuid,
  detector       text collate "C" not null check (char_length(detector) between 1 and 200),
  findings       integer not null check (findings >= 1),
  decision       text collate "C" not null check (decision in ('block', 'redact', 'allow_raw', 'report')),
  reason         text not null,
  fingerprint    bytea check (octet_length(fingerprint) = 32),
  rules_sha256   bytea not null check (octet_length(rules_sha256) = 32),
  policy_sha256  bytea not null check (octet_length(policy_sha256) = 32),
  recorded_at    timestamptz not null default clock_timestamp(),
  foreign key (run_id, call_id) references llm_call
);

comment on table guard_event is 'One sanitisation decision; never the value.';
comment on column guard_event.guard_event_id is 'The row''s number.';
comment on column guard_event.run_id is 'The run it was decided in; null outside one.';
comment on column guard_event.call_id is 'The call it was decided for; null outside one.';
comment on column guard_event.detector is 'The detector that found something.';
comment on column guard_event.findings is 'How many the detector found.';
comment on column guard_event.decision is 'block, redact, allow_raw or report.';
comment on column guard_event.reason is 'Why it was decided so.';
comment on column guard_event.fingerprint is 'An HMAC of the value under a key kept outside the database, to recognise a repeat.';
comment on column guard_event.rules_sha256 is 'SHA-256 of the detectors'' rules then in force.';
comment on column guard_event.policy_sha256 is 'SHA-256 of the policy then in force.';
comment on column guard_event.recorded_at is 'When it was decided.';

create index guard_event_call on guard_event (run_id, call_id);

create trigger guard_event_append_only before update or delete on guard_event
  for each row execute function refuse_change();
create trigger guard_event_no_truncate before truncate on guard_event
  for each statement execute function refuse_change();
