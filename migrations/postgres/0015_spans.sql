-- Spans: what traces report. Several of them may report one call, in any order, and what says whose it is may come last.
--
-- The spans of the last days are kept, in parts as they came. When more come, the calls of their traces are resolved from all that is
-- known (src/domain/span/resolve.rs), and the difference is recorded: a call that turns out to be another one is withdrawn
-- from the journal, kept as it was, and the other one is recorded in its place, in the same transaction.

create table otel_part (
  trace_id    uuid not null,
  part        integer not null,
  received_at timestamptz not null,
  spans       bytea not null,
  primary key (trace_id, part)
);
create index otel_part_received on otel_part (received_at);
-- It is compressed already.
alter table otel_part alter column spans set storage external;

comment on table otel_part is 'Spans that came in the last days, to resolve later ones with: those of one trace that came together. They may go: calls stay.';
comment on column otel_part.trace_id is 'The trace.';
comment on column otel_part.part is 'The number of the part, from 1.';
comment on column otel_part.received_at is 'When it came.';
comment on column otel_part.spans is 'What the spans say: a JSON array of what the native format has as `span`, compressed by zstd. No texts of prompts or completions.';

create table otel_response (
  hour         integer not null,
  response_key bigint not null,
  trace_id     uuid not null,
  primary key (hour, response_key, trace_id)
);

comment on table otel_response is 'Which traces report a response, to find the other reports of one call.';
comment on column otel_response.hour is 'The hour in which the span started that reports it: seconds since 1970 UTC divided by 3600.';
comment on column otel_response.response_key is 'A hash of the response''s id.';
comment on column otel_response.trace_id is 'The trace.';

create table withdrawn_call (
  withdrawal_id bigint generated always as identity primary key,
  run_id        uuid not null,
  call_id       uuid not null,
  call          jsonb not null,
  reason        text not null check (char_length(reason) between 1 and 1000),
  withdrawn_at  timestamptz not null,
  withdrawn_by  text not null
);
create index withdrawn_call_call on withdrawn_call (run_id, call_id);

comment on table withdrawn_call is 'A call that left the journal because it was another one than it seemed to be.';
comment on column withdrawn_call.withdrawal_id is 'The row''s number.';
comment on column withdrawn_call.run_id is 'The run that it was recorded in.';
comment on column withdrawn_call.call_id is 'Its id there.';
comment on column withdrawn_call.call is 'The journal''s row as it was.';
comment on column withdrawn_call.reason is 'Why.';
comment on column withdrawn_call.withdrawn_at is 'When.';
comment on column withdrawn_call.withdrawn_by is 'Who did it, as the database says.';

create trigger withdrawn_call_append_only before update or delete on withdrawn_call
  for each row execute function refuse_change();
create trigger withdrawn_call_no_truncate before truncate on withdrawn_call
  for each statement execute function refuse_change();

create function refuse_unless_leaving() returns trigger
language plpgsql set search_path from current as $$
begin
  if exists (select 1 from call_archive a where a.moving = old.run_id)
     or exists (
       select 1
       from withdrawn_call w
       where w.run_id = old.run_id and w.call_id = old.call_id and w.call = to_jsonb(old)) then
    return old;
  end if;
  raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op)
    using errcode = 'AS403', hint = 'corrections are new rows; see RUNBOOK.md';
end $$;

comment on function refuse_unless_leaving is 'Trigger: refuses DELETE of a call that neither leaves for an archive nor is kept as withdrawn.';

drop trigger llm_call_no_delete on llm_call;
create trigger llm_call_no_delete before delete on llm_call
  for each row execute function refuse_unless_leaving();

-- What a trace's conversation is may come after its first call: labels may be given once.
drop trigger pipeline_run_append_only on pipeline_run;
create trigger pipeline_run_append_only
  before delete or update of run_id, pipeline, started_at, parent_run_id, replay_of on pipeline_run
  for each row execute function refuse_change();
create trigger pipeline_run_labels_once before update of labels on pipeline_run
  for each row when (old.labels <> '{}') execute function refuse_change();

-- What is withdrawn may be settled already: it opens a lane with less than nothing.
alter table spend_rollup
  drop constraint spend_rollup_counts,
  add check (lane >= 0);

create function known_spans(trace_id uuid[], hour integer[], response_key bigint[])
returns setof otel_part
language plpgsql security definer set search_path from current set enable_seqscan to off as $$
#variable_conflict use_column
begin
  -- One at a time resolves spans, until the end of its transaction.
  perform pg_advisory_xact_lock(7310579, hashtext(current_schema()));
  return query
    with trace as (
      select unnest(known_spans.trace_id) as trace_id
      union
      select r.trace_id
      from unnest(known_spans.hour, known_spans.response_key) as u (hour, response_key)
      join otel_response r on r.hour = u.hour and r.response_key = u.response_key
      -- A stub that answers with one id for all tells nothing by it.
      where (
        select count(*)
        from (
          select 1 from otel_response o where o.hour = u.hour and o.response_key = u.response_key limit 17) o) <= 16
    )
    select p.*
    from trace t
    join otel_part p on p.trace_id = t.trace_id
    -- A trace without end is resolved request by request.
    where not exists (select 1 from otel_part o where o.trace_id = t.trace_id and o.part > 5000);
end $$;

comment on function known_spans is
  'The spans of these traces, and of those that report the same responses. Whoever asks is alone with them until the end of the transaction.';

create function keep_spans(
  trace_id uuid[], part integer[], spans bytea[], hour integer[], response_key bigint[], response_trace_id uuid[])
returns void
language sql security definer set search_path from current as $$
  insert into otel_part (trace_id, part, received_at, spans)
  select u.trace_id, greatest(u.part, (select coalesce(max(o.part), 0) + 1 from otel_part o where o.trace_id = u.trace_id)),
    clock_timestamp(), u.spans
  from unnest(keep_spans.trace_id, keep_spans.part, keep_spans.spans) as u (trace_id, part, spans);
  insert into otel_response (hour, response_key, trace_id)
  select u.hour, u.response_key, u.trace_id
  from unnest(keep_spans.hour, keep_spans.response_key, keep_spans.response_trace_id) as u (hour, response_key, trace_id)
  on conflict (hour, response_key, trace_id) do nothing
$$;

comment on function keep_spans is 'Keeps spans to resolve later ones with: a part of each trace.';

create function forget_spans(before timestamptz, at_most integer) returns integer
language plpgsql security definer set search_path from current as $$
declare
  forgotten integer;
begin
  delete from otel_response r where r.hour < floor(extract(epoch from forget_spans.before) / 3600);
  delete from otel_part p
  where (p.trace_id, p.part) in (
    select o.trace_id, o.part
    from otel_part o
    where o.received_at < forget_spans.before
    order by o.received_at
    limit forget_spans.at_most);
  get diagnostics forgotten = row_count;
  return forgotten;
end $$;

comment on function forget_spans is 'Drops what came before a time, at most so many parts of traces. Answers how many.';

create function open_span_runs(run_id uuid[], pipeline text[], started_at timestamptz[], conversation text[])
returns void
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
begin
  perform check_name('pipeline', v, true) from unnest(open_span_runs.pipeline) v;
  perform check_time('started_at', min(v)), check_time('started_at', max(v)) from unnest(open_span_runs.started_at) v;
  insert into pipeline_run (run_id, pipeline, status_id, started_at, labels)
  select
    u.run_id, u.pipeline, s.status_id, u.started_at,
    case when u.conversation is null then '{}' else jsonb_build_object('conversation', u.conversation) end
  from unnest(open_span_runs.run_id, open_span_runs.pipeline, open_span_runs.started_at, open_span_runs.conversation)
         as u (run_id, pipeline, started_at, conversation)
  cross join status_lookup s
  where s.code = 'running'
  order by u.run_id
  on conflict (run_id) do nothing;
  update pipeline_run r
  set labels = jsonb_build_object('conversation', u.conversation)
  from unnest(open_span_runs.run_id, open_span_runs.conversation) as u (run_id, conversation)
  where r.run_id = u.run_id and r.labels = '{}' and u.conversation is not null;
end $$;

comment on function open_span_runs is
  'Starts those of the runs that are not there, and labels those that have no label with their conversation, if it is known.';

create function open_span_step(
  run_id uuid, step_id uuid, step text, agent text, prompt_version text, started_at timestamptz)
returns void
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
begin
  if exists (
    select 1 from pipeline_step_run t where t.run_id = open_span_step.run_id and t.step_id = open_span_step.step_id)
  then
    return;
  end if;
  begin
    perform start_step(
      open_span_step.run_id, open_span_step.step_id, open_span_step.step, open_span_step.agent,
      open_span_step.prompt_version, 1, open_span_step.started_at);
  exception when sqlstate 'AS404' or sqlstate 'AS400' then
    -- No version of that name: the step is there all the same.
    perform start_step(
      open_span_step.run_id, open_span_step.step_id, open_span_step.step, open_span_step.agent, null, 1,
      open_span_step.started_at);
  end;
end $$;

comment on function open_span_step is 'Starts a step if it is not there; with its prompt version, if there is such a one.';

create function close_span_runs(run_id uuid[], status text[], completed_at timestamptz[]) returns void
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
begin
  perform final_status(v) from unnest(close_span_runs.status) v;
  -- Those without a price are priced first, as far as prices are there by now.
  perform finish_run(u.run_id, u.status, u.completed_at)
  from unnest(close_span_runs.run_id, close_span_runs.status, close_span_runs.completed_at)
         as u (run_id, status, completed_at)
  join pipeline_run r on r.run_id = u.run_id
  where r.completed_at is null and r.unpriced_calls > 0
  order by u.run_id;
  update pipeline_run r
  set status_id = s.status_id,
      completed_at = u.completed_at,
      costed_at = clock_timestamp()
  from unnest(close_span_runs.run_id, close_span_runs.status, close_span_runs.completed_at)
         as u (run_id, status, completed_at)
  join status_lookup s on s.code = u.status
  where r.run_id = u.run_id and r.completed_at is null;
  if exists (select 1 from settlement where settled_at < clock_timestamp() - interval '1 hour') then
    perform settle_spend(clock_timestamp() - interval '1 hour');
  end if;
end $$;

comment on function close_span_runs is
  'Finishes those of the runs that are not finished: their counters are the sums of their calls, and become the final cost.';

create function withdraw_calls(run_id uuid[], call_id uuid[], reason text) returns integer
language plpgsql security definer set search_path from current set timezone to 'UTC' set enable_seqscan to off as $$
#variable_conflict use_column
declare
  withdrawn integer;
begin
  perform 1 from pipeline_run r where r.run_id = any (withdraw_calls.run_id) order by r.run_id for update;
  insert into withdrawn_call (run_id, call_id, call, reason, withdrawn_at, withdrawn_by)
  select c.run_id, c.call_id, to_jsonb(c), withdraw_calls.reason, clock_timestamp(), session_user::text
  from unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
  join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id;

  with sums as (
    select
      c.run_id, count(*) as llm_calls, count(*) - count(c.cost_pico) as unpriced_calls,
      coalesce(sum(c.input_tokens), 0) as input_tokens, coalesce(sum(c.cache_read_tokens), 0) as cache_read_tokens,
      coalesce(sum(c.cache_write_tokens), 0) as cache_write_tokens,
      coalesce(sum(c.cache_write_long_tokens), 0) as cache_write_long_tokens,
      coalesce(sum(c.output_tokens), 0) as output_tokens, coalesce(sum(c.reasoning_tokens), 0) as reasoning_tokens,
      coalesce(sum(c.embedding_tokens), 0) as embedding_tokens, coalesce(sum(c.web_searches), 0) as web_searches,
      coalesce(sum(c.cost_pico), 0) as cost_pico
    from unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
    join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
    group by c.run_id
  )
  update pipeline_run r
  set llm_calls = r.llm_calls - s.llm_calls,
      unpriced_calls = r.unpriced_calls - s.unpriced_calls,
      input_tokens = r.input_tokens - s.input_tokens,
      cache_read_tokens = r.cache_read_tokens - s.cache_read_tokens,
      cache_write_tokens = r.cache_write_tokens - s.cache_write_tokens,
      cache_write_long_tokens = r.cache_write_long_tokens - s.cache_write_long_tokens,
      output_tokens = r.output_tokens - s.output_tokens,
      reasoning_tokens = r.reasoning_tokens - s.reasoning_tokens,
      embedding_tokens = r.embedding_tokens - s.embedding_tokens,
      web_searches = r.web_searches - s.web_searches,
      cost_pico = r.cost_pico - s.cost_pico,
      costed_at = case when r.completed_at is not null then clock_timestamp() end
  from sums s
  where r.run_id = s.run_id;

  perform add_spend(
    array_agg(s.bucket), array_agg(r.pipeline), array_agg(s.agent), array_agg(s.provider), array_agg(s.model),
    array_agg(-s.llm_calls), array_agg(-s.unpriced_calls), array_agg(-s.input_tokens), array_agg(-s.cache_read_tokens),
    array_agg(-s.cache_write_tokens), array_agg(-s.cache_write_long_tokens), array_agg(-s.output_tokens),
    array_agg(-s.reasoning_tokens), array_agg(-s.embedding_tokens), array_agg(-s.web_searches),
    array_agg(-s.cost_pico))
  from (
    select
      c.run_id, floor(extract(epoch from c.called_at) / 900)::integer as bucket, c.agent, c.provider, c.model,
      count(*) as llm_calls, count(*) - count(c.cost_pico) as unpriced_calls,
      coalesce(sum(c.input_tokens), 0) as input_tokens, coalesce(sum(c.cache_read_tokens), 0) as cache_read_tokens,
      coalesce(sum(c.cache_write_tokens), 0) as cache_write_tokens,
      coalesce(sum(c.cache_write_long_tokens), 0) as cache_write_long_tokens,
      coalesce(sum(c.output_tokens), 0) as output_tokens, coalesce(sum(c.reasoning_tokens), 0) as reasoning_tokens,
      coalesce(sum(c.embedding_tokens), 0) as embedding_tokens, coalesce(sum(c.web_searches), 0) as web_searches,
      coalesce(sum(c.cost_pico), 0)::bigint as cost_pico
    from unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
    join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
    group by 1, 2, 3, 4, 5) s
  join pipeline_run r on r.run_id = s.run_id
  having count(*) > 0;

  delete from llm_call c
  using unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
  where c.run_id = u.run_id and c.call_id = u.call_id;
  get diagnostics withdrawn = row_count;
  return withdrawn;
end $$;

comment on function withdraw_calls is
  'Takes calls out of the journal, the counters and the rollup, and keeps them as they were. Answers how many: those in an archive stay.';

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    grant execute on function known_spans, keep_spans, forget_spans, open_span_runs, open_span_step, close_span_runs,
      withdraw_calls to asmm_writer;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on withdrawn_call to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on otel_part, otel_response, withdrawn_call to asmm_operator;
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
