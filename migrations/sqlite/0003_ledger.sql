-- The ledger: runs, steps, the journal of calls, and the rollup that reports read.
--
-- A run's counters and the rollup change in the same transaction as the call, by src/store/sqlite. Times
-- are integer microseconds since 1970 UTC, ids 16-byte blobs, money integer picodollars (1e-12 USD). What a
-- column means is the same as in migrations/postgres, where comments say it.

create table pipeline_run (
  run_id                  blob primary key check (length(run_id) = 16),
  pipeline                text not null check (length(pipeline) between 1 and 200),
  status_id               integer not null references status_lookup,
  labels                  text not null default '{}' check (json_valid(labels) and json_type(labels) = 'object'),
  started_at              integer not null check (started_at >= 1420070400000000),
  completed_at            integer check (completed_at >= 1420070400000000),
  costed_at               integer,
  parent_run_id           blob check (parent_run_id <> run_id),
  replay_of               blob references pipeline_run check (replay_of <> run_id),
  llm_calls               integer not null default 0 check (llm_calls >= 0),
  unpriced_calls          integer not null default 0 check (unpriced_calls between 0 and llm_calls),
  input_tokens            integer not null default 0 check (input_tokens >= 0),
  cache_read_tokens       integer not null default 0 check (cache_read_tokens >= 0),
  cache_write_tokens      integer not null default 0 check (cache_write_tokens >= 0),
  cache_write_long_tokens integer not null default 0 check (cache_write_long_tokens >= 0),
  output_tokens           integer not null default 0 check (output_tokens >= 0),
  reasoning_tokens        integer not null default 0 check (reasoning_tokens >= 0),
  embedding_tokens        integer not null default 0 check (embedding_tokens >= 0),
  web_searches            integer not null default 0 check (web_searches >= 0),
  cost_pico               integer not null default 0 check (cost_pico >= 0),
  llm_tokens_input        integer not null generated always as
                            (input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens) stored,
  llm_tokens_output       integer not null generated always as (output_tokens + reasoning_tokens) stored,
  estimated_cost_usd      text not null generated always as
                            (printf('%d.%012d', cost_pico / 1000000000000, cost_pico % 1000000000000)) stored,
  check ((completed_at is null) = (costed_at is null))
) strict, without rowid;
create index pipeline_run_started_at on pipeline_run (started_at);
create index pipeline_run_parent on pipeline_run (parent_run_id) where parent_run_id is not null;

create trigger pipeline_run_no_update before update of run_id, pipeline, labels, started_at, parent_run_id, replay_of
on pipeline_run begin
  select raise(abort, 'pipeline_run is append-only: update is refused');
end;
create trigger pipeline_run_no_delete before delete on pipeline_run begin
  select raise(abort, 'pipeline_run is append-only: delete is refused');
end;
create trigger pipeline_run_no_replace before insert on pipeline_run
when exists (select 1 from pipeline_run where run_id = new.run_id) begin
  select raise(abort, 'pipeline_run is append-only: replacing a row is refused');
end;

create table pipeline_step_run (
  run_id            blob not null references pipeline_run,
  step_id           blob not null check (length(step_id) = 16),
  step              text not null check (length(step) between 1 and 200),
  agent             text not null default '' check (length(agent) <= 200),
  attempt           integer not null default 1 check (attempt between 1 and 10000),
  status_id         integer not null references status_lookup,
  prompt_version_id integer references prompt_version,
  started_at        integer not null check (started_at >= 1420070400000000),
  completed_at      integer check (completed_at >= 1420070400000000),
  primary key (run_id, step_id)
) strict, without rowid;
create index pipeline_step_run_prompt on pipeline_step_run (prompt_version_id) where prompt_version_id is not null;

create trigger pipeline_step_run_no_update before update of run_id, step_id, step, agent, attempt, prompt_version_id,
  started_at on pipeline_step_run begin
  select raise(abort, 'pipeline_step_run is append-only: update is refused');
end;
create trigger pipeline_step_run_no_delete before delete on pipeline_step_run begin
  select raise(abort, 'pipeline_step_run is append-only: delete is refused');
end;
create trigger pipeline_step_run_no_replace before insert on pipeline_step_run
when exists (select 1 from pipeline_step_run where run_id = new.run_id and step_id = new.step_id) begin
  select raise(abort, 'pipeline_step_run is append-only: replacing a row is refused');
end;

create table llm_call (
  run_id                  blob not null references pipeline_run,
  call_id                 blob not null check (length(call_id) = 16),
  step_id                 blob,
  called_at               integer not null check (called_at >= 1420070400000000),
  input_tokens            integer check (input_tokens between 0 and 1000000000),
  cache_read_tokens       integer check (cache_read_tokens between 0 and 1000000000),
  cache_write_tokens      integer check (cache_write_tokens between 0 and 1000000000),
  cache_write_long_tokens integer check (cache_write_long_tokens between 0 and 1000000000),
  output_tokens           integer check (output_tokens between 0 and 1000000000),
  reasoning_tokens        integer check (reasoning_tokens between 0 and 1000000000),
  embedding_tokens        integer check (embedding_tokens between 0 and 1000000000),
  web_searches            integer check (web_searches between 0 and 1000000000),
  latency_ms              integer check (latency_ms >= 0),
  cost_pico               integer check (cost_pico >= 0),
  price_id                integer,
  agent                   text not null default '' check (length(agent) <= 200),
  provider                text not null default '' check (length(provider) <= 200),
  model                   text not null check (length(model) between 1 and 200),
  operation               text not null default 'chat' check (length(operation) between 1 and 200),
  service_tier            text not null default 'standard' check (length(service_tier) between 1 and 200),
  pricing_state           text not null check (pricing_state in ('priced', 'estimated', 'free', 'unpriced')),
  outcome                 text not null default 'ok' check (outcome in ('ok', 'error')),
  response_id             text check (length(response_id) between 1 and 200),
  primary key (run_id, call_id),
  foreign key (run_id, step_id) references pipeline_step_run,
  constraint llm_call_usage_is_whole check (
    (input_tokens is not null) + (cache_read_tokens is not null) + (cache_write_tokens is not null)
    + (cache_write_long_tokens is not null) + (output_tokens is not null) + (reasoning_tokens is not null)
    + (embedding_tokens is not null) + (web_searches is not null) in (0, 8)),
  constraint llm_call_price_is_whole check (
    case when pricing_state = 'unpriced' then cost_pico is null and price_id is null
         else cost_pico is not null and price_id is not null and input_tokens is not null end)
) strict, without rowid;
create index llm_call_unpriced on llm_call (provider, model) where pricing_state = 'unpriced';

create trigger llm_call_no_update before update of run_id, call_id, step_id, called_at, input_tokens, cache_read_tokens,
  cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
  latency_ms, agent, provider, model, operation, service_tier, outcome, response_id on llm_call begin
  select raise(abort, 'llm_call is append-only: update is refused');
end;
create trigger llm_call_no_delete before delete on llm_call begin
  select raise(abort, 'llm_call is append-only: delete is refused');
end;
create trigger llm_call_no_replace before insert on llm_call
when exists (select 1 from llm_call where run_id = new.run_id and call_id = new.call_id) begin
  select raise(abort, 'llm_call is append-only: replacing a row is refused');
end;

create table llm_call_prompt (
  run_id            blob not null,
  call_id           blob not null,
  prompt_version_id integer references prompt_version,
  inputs            text,
  text_sha256       blob check (length(text_sha256) = 32),
  sanitisation      text not null check (sanitisation in ('clean', 'redacted', 'raw_allowed', 'unscanned')),
  purged_at         integer,
  primary key (run_id, call_id),
  foreign key (run_id, call_id) references llm_call,
  check (purged_at is null or inputs is null)
) strict, without rowid;

create trigger llm_call_prompt_no_update before update on llm_call_prompt begin
  select raise(abort, 'llm_call_prompt is append-only: update is refused');
end;
create trigger llm_call_prompt_no_delete before delete on llm_call_prompt begin
  select raise(abort, 'llm_call_prompt is append-only: delete is refused');
end;
create trigger llm_call_prompt_no_replace before insert on llm_call_prompt
when exists (select 1 from llm_call_prompt where run_id = new.run_id and call_id = new.call_id) begin
  select raise(abort, 'llm_call_prompt is append-only: replacing a row is refused');
end;

create table spend_rollup (
  bucket                  integer not null,
  pipeline                text not null,
  agent                   text not null,
  provider                text not null,
  model                   text not null,
  llm_calls               integer not null check (llm_calls >= 0),
  unpriced_calls          integer not null check (unpriced_calls between 0 and llm_calls),
  input_tokens            integer not null check (input_tokens >= 0),
  cache_read_tokens       integer not null check (cache_read_tokens >= 0),
  cache_write_tokens      integer not null check (cache_write_tokens >= 0),
  cache_write_long_tokens integer not null check (cache_write_long_tokens >= 0),
  output_tokens           integer not null check (output_tokens >= 0),
  reasoning_tokens        integer not null check (reasoning_tokens >= 0),
  embedding_tokens        integer not null check (embedding_tokens >= 0),
  web_searches            integer not null check (web_searches >= 0),
  cost_pico               integer not null check (cost_pico >= 0),
  primary key (bucket, pipeline, agent, provider, model)
) strict, without rowid;

create table price_event (
  price_event_id integer primary key,
  run_id         blob not null,
  call_id        blob not null,
  state_before   text not null,
  price_before   integer references model_price,
  cost_before    integer,
  state_after    text not null,
  price_after    integer not null references model_price,
  cost_after     integer not null,
  reason         text not null,
  recorded_at    integer not null,
  recorded_by    text not null,
  foreign key (run_id, call_id) references llm_call
) strict;
create index price_event_call on price_event (run_id, call_id);

create trigger price_event_no_update before update on price_event begin
  select raise(abort, 'price_event is append-only: update is refused');
end;
create trigger price_event_no_delete before delete on price_event begin
  select raise(abort, 'price_event is append-only: delete is refused');
end;
create trigger price_event_no_replace before insert on price_event
when exists (select 1 from price_event where price_event_id = new.price_event_id) begin
  select raise(abort, 'price_event is append-only: replacing a row is refused');
end;

create table guard_event (
  guard_event_id integer primary key,
  run_id         blob references pipeline_run,
  call_id        blob,
  detector       text not null check (length(detector) between 1 and 200),
  findings       integer not null check (findings >= 1),
  decision       text not null check (decision in ('block', 'redact', 'allow_raw', 'report')),
  reason         text not null,
  fingerprint    blob check (length(fingerprint) = 32),
  rules_sha256   blob not null check (length(rules_sha256) = 32),
  policy_sha256  blob not null check (length(policy_sha256) = 32),
  recorded_at    integer not null,
  foreign key (run_id, call_id) references llm_call
) strict;
create index guard_event_call on guard_event (run_id, call_id);

create trigger guard_event_no_update before update on guard_event begin
  select raise(abort, 'guard_event is append-only: update is refused');
end;
create trigger guard_event_no_delete before delete on guard_event begin
  select raise(abort, 'guard_event is append-only: delete is refused');
end;
create trigger guard_event_no_replace before insert on guard_event
when exists (select 1 from guard_event where guard_event_id = new.guard_event_id) begin
  select raise(abort, 'guard_event is append-only: replacing a row is refused');
end;
