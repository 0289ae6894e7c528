-- Old calls may leave the journal for a compressed file, a run's priced ones in parts, and come back from it.
--
-- A part is one line of the file. Its ids stay, so that a call which is sent again is still known; its digest stays,
-- so that nothing else than that line comes back; and its sums stay, by run and quarter of an hour, so that counters
-- and the rollup remain the sums of all calls and every report says what it said. Calls without a price stay in the
-- journal: their price may still come.

create table call_archive (
  archive_id  bigint generated always as identity primary key,
  file        text not null check (char_length(file) between 1 and 4096),
  before      timestamptz not null,
  archived_at timestamptz not null,
  archived_by text not null,
  moving      uuid
);

comment on table call_archive is 'One file that calls left the journal for.';
comment on column call_archive.archive_id is 'The row''s number.';
comment on column call_archive.file is 'Where the file was written; it may have been moved since.';
comment on column call_archive.before is 'Calls of runs that had finished before this time.';
comment on column call_archive.archived_at is 'When it was done.';
comment on column call_archive.archived_by is 'Who did it, as the program says.';
comment on column call_archive.moving is 'The run whose calls are leaving or coming back; null outside of the transaction in which they do.';

create table archived_part (
  run_id     uuid not null references pipeline_run,
  sha256     bytea not null check (octet_length(sha256) = 32),
  archive_id bigint not null references call_archive,
  llm_calls  integer not null check (llm_calls between 1 and 10000),
  call_ids   uuid[] not null check (cardinality(call_ids) = llm_calls),
  primary key (run_id, sha256)
);

comment on table archived_part is 'Calls of a run that are in an archive instead of the journal: one line of its file. The row goes when they come back.';
comment on column archived_part.run_id is 'The run they belong to.';
comment on column archived_part.sha256 is 'SHA-256 of the line.';
comment on column archived_part.archive_id is 'The archive.';
comment on column archived_part.llm_calls is 'How many they are.';
comment on column archived_part.call_ids is 'Their ids; in SQLite one after the other.';

create table archived_spend (
  run_id                  uuid not null references pipeline_run,
  bucket                  integer not null,
  agent                   text collate "C" not null,
  provider                text collate "C" not null,
  model                   text collate "C" not null,
  llm_calls               bigint not null,
  input_tokens            bigint not null,
  cache_read_tokens       bigint not null,
  cache_write_tokens      bigint not null,
  cache_write_long_tokens bigint not null,
  output_tokens           bigint not null,
  reasoning_tokens        bigint not null,
  embedding_tokens        bigint not null,
  web_searches            bigint not null,
  cost_pico               bigint not null,
  primary key (run_id, bucket, agent, provider, model)
);
create index archived_spend_bucket on archived_spend (bucket);

comment on table archived_spend is 'The sums of a run''s archived calls, by 15-minute bucket, agent, provider and model.';
comment on column archived_spend.run_id is 'The run.';

do $$
declare
  missing record;
begin
  -- What the columns mean is said in one place.
  for missing in
    select a.attname as column_name, col_description(o.attrelid, o.attnum) as meaning
    from pg_attribute a
    join pg_attribute o on o.attrelid = 'spend_rollup'::regclass and o.attname = a.attname
    where a.attrelid = 'archived_spend'::regclass
      and a.attnum > 0
      and col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column archived_spend.%I is %L', missing.column_name, missing.meaning);
  end loop;
end $$;

-- A price event outlives the journal's row: its call may be in an archive.
alter table price_event drop constraint price_event_run_id_call_id_fkey;

create function refuse_unless_moving() returns trigger
language plpgsql set search_path from current as $$
begin
  if not exists (select 1 from call_archive a where a.moving = old.run_id) then
    raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op)
      using errcode = 'AS403', hint = 'corrections are new rows; see RUNBOOK.md';
  elsif tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end $$;

comment on function refuse_unless_moving is 'Trigger: refuses UPDATE and DELETE of a run''s rows while its calls are not on their way to an archive or back.';

create trigger call_archive_append_only
  before delete or update of archive_id, file, before, archived_at, archived_by on call_archive
  for each row execute function refuse_change();
create trigger call_archive_no_truncate before truncate on call_archive
  for each statement execute function refuse_change();
create trigger archived_part_no_update before update on archived_part
  for each row execute function refuse_change();
create trigger archived_part_no_delete before delete on archived_part
  for each row execute function refuse_unless_moving();
create trigger archived_part_no_truncate before truncate on archived_part
  for each statement execute function refuse_change();
create trigger archived_spend_append_only before update or delete on archived_spend
  for each row execute function refuse_unless_moving();
create trigger archived_spend_no_truncate before truncate on archived_spend
  for each statement execute function refuse_change();

drop trigger llm_call_append_only on llm_call;
create trigger llm_call_append_only
  before update of run_id, call_id, step_id, called_at, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, latency_ms, agent,
    provider, model, operation, service_tier, outcome, response_id on llm_call
  for each row execute function refuse_change();
create trigger llm_call_no_delete before delete on llm_call
  for each row execute function refuse_unless_moving();

create function start_archive(file text, before timestamptz, archived_at timestamptz, archived_by text) returns bigint
language sql security definer set search_path from current as $$
  insert into call_archive (file, before, archived_at, archived_by)
  values (start_archive.file, start_archive.before, start_archive.archived_at, start_archive.archived_by)
  returning archive_id
$$;

comment on function start_archive is 'Notes a file that is about to hold calls; answers its number.';

create function add_archived_spend(run_id uuid, call_ids uuid[], sign integer) returns void
language sql set search_path from current set timezone to 'UTC' as $$
  insert into archived_spend as s (
    run_id, bucket, agent, provider, model, llm_calls, input_tokens, cache_read_tokens, cache_write_tokens,
    cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
  select
    c.run_id, floor(extract(epoch from c.called_at) / 900)::integer, c.agent, c.provider, c.model, sign * count(*),
    sign * sum(c.input_tokens), sign * sum(c.cache_read_tokens), sign * sum(c.cache_write_tokens),
    sign * sum(c.cache_write_long_tokens), sign * sum(c.output_tokens), sign * sum(c.reasoning_tokens),
    sign * sum(c.embedding_tokens), sign * sum(c.web_searches), sign * sum(c.cost_pico)
  from llm_call c
  where c.run_id = add_archived_spend.run_id and c.call_id = any (add_archived_spend.call_ids)
  group by c.run_id, 2, c.agent, c.provider, c.model
  on conflict (run_id, bucket, agent, provider, model) do update
  set llm_calls = s.llm_calls + excluded.llm_calls,
      input_tokens = s.input_tokens + excluded.input_tokens,
      cache_read_tokens = s.cache_read_tokens + excluded.cache_read_tokens,
      cache_write_tokens = s.cache_write_tokens + excluded.cache_write_tokens,
      cache_write_long_tokens = s.cache_write_long_tokens + excluded.cache_write_long_tokens,
      output_tokens = s.output_tokens + excluded.output_tokens,
      reasoning_tokens = s.reasoning_tokens + excluded.reasoning_tokens,
      embedding_tokens = s.embedding_tokens + excluded.embedding_tokens,
      web_searches = s.web_searches + excluded.web_searches,
      cost_pico = s.cost_pico + excluded.cost_pico
$$;

comment on function add_archived_spend is
  'Adds calls of the journal to the sums of archived ones (sign 1), or takes them off (-1).';

create function archive_calls(archive_id bigint, line text) returns integer
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  calls constant jsonb := (archive_calls.line::jsonb) -> 'calls';
  of_run constant uuid := (archive_calls.line::jsonb) ->> 'run_id';
  size constant integer := jsonb_array_length(calls);
  ids uuid[];
begin
  perform 1 from pipeline_run r where r.run_id = of_run and r.completed_at is not null for update;
  if not found then
    return 0;
  end if;
  -- Only what the line holds to the last column may leave.
  select array_agg(c.call_id order by c.call_id) into ids
  from jsonb_populate_recordset(null::llm_call, calls) j
  join llm_call c on c.run_id = j.run_id and c.call_id = j.call_id
  where c.run_id = of_run
    and c.pricing_state <> 'unpriced'
    and c is not distinct from j;
  if coalesce(cardinality(ids), 0) <> size then
    return 0;
  end if;

  insert into archived_part (run_id, sha256, archive_id, llm_calls, call_ids)
  values (of_run, sha256(convert_to(archive_calls.line, 'UTF8')), archive_calls.archive_id, size, ids);
  update call_archive a set moving = of_run where a.archive_id = archive_calls.archive_id;
  perform add_archived_spend(of_run, ids, 1);
  delete from llm_call c where c.run_id = of_run and c.call_id = any (ids);
  update call_archive a set moving = null where a.archive_id = archive_calls.archive_id;
  return size;
end $$;

comment on function archive_calls is
  'Moves the calls of one line of an archive''s file out of the journal. Answers how many: none when the journal does not hold exactly these.';

create function restore_calls(line text) returns integer
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  calls constant jsonb := (restore_calls.line::jsonb) -> 'calls';
  of_run constant uuid := (restore_calls.line::jsonb) ->> 'run_id';
  part archived_part%rowtype;
begin
  perform 1 from pipeline_run r where r.run_id = of_run for update;
  select p.* into part
  from archived_part p
  where p.run_id = of_run and p.sha256 = sha256(convert_to(restore_calls.line, 'UTF8'));
  if not found then
    return (
      select min(-1)
      from archived_part p
      where p.run_id = of_run
        and p.call_ids && array(select (c ->> 'call_id')::uuid from jsonb_array_elements(calls) as c));
  end if;
  insert into llm_call select j.* from jsonb_populate_recordset(null::llm_call, calls) j;
  update call_archive a set moving = of_run where a.archive_id = part.archive_id;
  perform add_archived_spend(of_run, part.call_ids, -1);
  delete from archived_spend s where s.run_id = of_run and s.llm_calls = 0;
  delete from archived_part p where p.run_id = of_run and p.sha256 = part.sha256;
  update call_archive a set moving = null where a.archive_id = part.archive_id;
  return part.llm_calls;
end $$;

comment on function restore_calls is
  'Brings back the calls of one line of an archive''s file, as they were. Answers how many; null when they did not leave this ledger or are back, -1 when they left it in another line.';

drop view journal_spend;
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
  coalesce(c.input_tokens, 0)::bigint as input_tokens,
  coalesce(c.cache_read_tokens, 0)::bigint as cache_read_tokens,
  coalesce(c.cache_write_tokens, 0)::bigint as cache_write_tokens,
  coalesce(c.cache_write_long_tokens, 0)::bigint as cache_write_long_tokens,
  coalesce(c.output_tokens, 0)::bigint as output_tokens,
  coalesce(c.reasoning_tokens, 0)::bigint as reasoning_tokens,
  coalesce(c.embedding_tokens, 0)::bigint as embedding_tokens,
  coalesce(c.web_searches, 0)::bigint as web_searches,
  coalesce(c.cost_pico, 0) as cost_pico,
  1::bigint as llm_calls
from llm_call c
join pipeline_run r on r.run_id = c.run_id
join status_lookup s on s.status_id = r.status_id
union all
select
  a.run_id,
  to_timestamp(a.bucket * 900::bigint),
  a.bucket,
  r.pipeline,
  s.code,
  a.agent,
  a.provider,
  a.model,
  0,
  a.input_tokens,
  a.cache_read_tokens,
  a.cache_write_tokens,
  a.cache_write_long_tokens,
  a.output_tokens,
  a.reasoning_tokens,
  a.embedding_tokens,
  a.web_searches,
  a.cost_pico,
  a.llm_calls
from archived_spend a
join pipeline_run r on r.run_id = a.run_id
join status_lookup s on s.status_id = r.status_id;

comment on view journal_spend is 'The journal in the shape of the rollup, a row a call, and the sums of archived calls: for what the rollup does not tell apart.';
comment on column journal_spend.called_at is 'When the call was made; of archived calls, when their bucket starts.';
comment on column journal_spend.bucket is 'The row of the rollup it is in: seconds since 1970 UTC divided by 900 and rounded down.';
comment on column journal_spend.pipeline is 'The pipeline of its run.';
comment on column journal_spend.status is 'The status of its run, by code.';
comment on column journal_spend.unpriced_calls is '1 when the call has no known price, else 0; archived calls all have one.';
comment on column journal_spend.input_tokens is 'Prompt tokens neither read from nor written to a cache; 0 when usage is unknown, as the other kinds.';
comment on column journal_spend.cost_pico is 'Picodollars; 0 when unpriced.';
comment on column journal_spend.llm_calls is '1, or how many archived calls it stands for.';

do $$
declare
  missing record;
begin
  for missing in
    select a.attname as column_name, col_description(o.attrelid, o.attnum) as meaning
    from pg_attribute a
    join pg_attribute o on o.attrelid = 'llm_call'::regclass and o.attname = a.attname
    where a.attrelid = 'journal_spend'::regclass
      and a.attnum > 0
      and col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column journal_spend.%I is %L', missing.column_name, missing.meaning);
  end loop;
end $$;

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on call_archive, archived_part, archived_spend, journal_spend to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on call_archive, archived_part, archived_spend, journal_spend to asmm_operator;
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
