-- Spans: what traces report. Several of them may report one call, in any order, and what says whose it is may come last.
--
-- The spans of the last days are kept, in parts as they came. When more come, the calls of their traces are resolved from all that is
-- known (src/domain/span/resolve.rs), and the difference is recorded: a call that turns out to be another one is withdrawn
-- from the journal, kept as it was, and the other one is recorded in its place, in the same transaction.

create table otel_part (
  trace_id    blob not null check (length(trace_id) = 16),
  part        integer not null,
  received_at integer not null,
  spans       blob not null,
  primary key (trace_id, part)
) strict, without rowid;
create index otel_part_received on otel_part (received_at);

create table otel_response (
  hour         integer not null,
  response_key integer not null,
  trace_id     blob not null check (length(trace_id) = 16),
  primary key (hour, response_key, trace_id)
) strict, without rowid;

create table withdrawn_call (
  withdrawal_id integer primary key,
  run_id        blob not null,
  call_id       blob not null,
  call          text not null check (json_valid(call)),
  reason        text not null check (length(reason) between 1 and 1000),
  withdrawn_at  integer not null,
  withdrawn_by  text not null
) strict;
create index withdrawn_call_call on withdrawn_call (run_id, call_id);

create trigger withdrawn_call_no_update before update on withdrawn_call begin
  select raise(abort, 'withdrawn_call is append-only: update is refused');
end;
create trigger withdrawn_call_no_delete before delete on withdrawn_call begin
  select raise(abort, 'withdrawn_call is append-only: delete is refused');
end;
create trigger withdrawn_call_no_replace before insert on withdrawn_call
when exists (select 1 from withdrawn_call where withdrawal_id = new.withdrawal_id) begin
  select raise(abort, 'withdrawn_call is append-only: replacing a row is refused');
end;

drop trigger llm_call_no_delete;
create trigger llm_call_no_delete before delete on llm_call
when not exists (select 1 from call_archive where moving = old.run_id)
 and not exists (select 1 from withdrawn_call where run_id = old.run_id and call_id = old.call_id) begin
  select raise(abort, 'llm_call is append-only: delete is refused');
end;

-- What a trace's conversation is may come after its first call: labels may be given once.
drop trigger pipeline_run_no_update;
create trigger pipeline_run_no_update before update of run_id, pipeline, started_at, parent_run_id, replay_of
on pipeline_run begin
  select raise(abort, 'pipeline_run is append-only: update is refused');
end;
create trigger pipeline_run_labels_once before update of labels on pipeline_run
when old.labels <> '{}' begin
  select raise(abort, 'pipeline_run is append-only: update is refused');
end;

-- What is withdrawn may be settled already: it opens a lane with less than nothing. Checks go only with their table: it is made
-- anew.
drop view v_spend;
create table rollup (
  bucket                  integer not null,
  pipeline                text not null,
  agent                   text not null,
  provider                text not null,
  model                   text not null,
  llm_calls               integer not null,
  unpriced_calls          integer not null,
  input_tokens            integer not null,
  cache_read_tokens       integer not null,
  cache_write_tokens      integer not null,
  cache_write_long_tokens integer not null,
  output_tokens           integer not null,
  reasoning_tokens        integer not null,
  embedding_tokens        integer not null,
  web_searches            integer not null,
  cost_pico               integer not null,
  lane                    integer not null check (lane >= 0),
  primary key (bucket, pipeline, agent, provider, model, lane)
) strict, without rowid;
insert into rollup select * from spend_rollup;
drop table spend_rollup;
alter table rollup rename to spend_rollup;
create index spend_rollup_open on spend_rollup (bucket) where lane > 0;

create view v_spend as
select
  strftime('%Y-%m-%dT%H:%M:%SZ', bucket * 900, 'unixepoch') as bucket_at,
  pipeline,
  agent,
  provider,
  model,
  sum(llm_calls) as llm_calls,
  sum(unpriced_calls) as unpriced_calls,
  sum(input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens) as llm_tokens_input,
  sum(output_tokens + reasoning_tokens) as llm_tokens_output,
  sum(embedding_tokens) as embedding_tokens,
  sum(input_tokens) as input_tokens,
  sum(cache_read_tokens) as cache_read_tokens,
  sum(cache_write_tokens) as cache_write_tokens,
  sum(cache_write_long_tokens) as cache_write_long_tokens,
  sum(output_tokens) as output_tokens,
  sum(reasoning_tokens) as reasoning_tokens,
  sum(web_searches) as web_searches,
  printf('%d.%012d', sum(cost_pico) / 1000000000000, sum(cost_pico) % 1000000000000) as estimated_cost_usd
from spend_rollup
group by bucket, pipeline, agent, provider, model;
