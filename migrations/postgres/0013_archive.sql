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

create function fresh_calls(run_id uuid[], call_id uuid[]) returns integer[]
language sql stable set search_path from current as $$
  select array(
    select min(u.place)::integer
    from unnest(fresh_calls.run_id, fresh_calls.call_id) with ordinality as u (run_id, call_id, place)
    left join (
      select p.run_id, unnest(p.call_ids) as call_id
      from archived_part p
      where p.run_id = any (fresh_calls.run_id)) a on a.run_id = u.run_id and a.call_id = u.call_id
    where a.call_id is null
      and not exists (select 1 from llm_call c where c.run_id = u.run_id and c.call_id = u.call_id)
    group by u.run_id, u.call_id)
$$;

comment on function fresh_calls is
  'The places, from 1, of calls that neither the journal nor an archive holds; of the same call twice, the first.';

create or replace function record_call_row(
  run_id uuid, call_id uuid, step_id uuid, pipeline text, agent text, provider text, model text, operation text,
  service_tier text, called_at timestamptz, input_tokens integer, cache_read_tokens integer,
  cache_write_tokens integer, cache_write_long_tokens integer, output_tokens integer, reasoning_tokens integer,
  embedding_tokens integer, web_searches integer, latency_ms bigint, outcome text, response_id text)
returns jsonb
language plpgsql set search_path from current as $$
#variable_conflict use_column
declare
  of_run text;          -- its pipeline
  called_by text := nullif(record_call_row.agent, '');
  of_step text;         -- its agent
  price record;
  unpriced integer;
  quarter constant integer := floor(date_part('epoch', record_call_row.called_at) / 900)::integer;
  place tid;
  is_same boolean;
begin
  perform
    check_name('pipeline', record_call_row.pipeline, false), check_name('agent', record_call_row.agent, false),
    check_name('provider', record_call_row.provider, false), check_name('model', record_call_row.model, true),
    check_name('operation', record_call_row.operation, true), check_name('service_tier', record_call_row.service_tier, true),
    check_time('called_at', record_call_row.called_at);
  if record_call_row.response_id is not null then
    perform check_name('response_id', record_call_row.response_id, true);
  end if;
  if record_call_row.latency_ms > 2592000000 then
    raise exception '`latency_ms` is %; the limit is 2592000000 (30 days)', record_call_row.latency_ms using errcode = 'AS400';
  end if;

  if record_call_row.pipeline is not null then
    insert into pipeline_run (run_id, pipeline, status_id, started_at)
    select record_call_row.run_id, record_call_row.pipeline, s.status_id, record_call_row.called_at
    from status_lookup s
    where s.code = 'running'
    on conflict (run_id) do nothing;
  end if;
  select r.pipeline into of_run from pipeline_run r where r.run_id = record_call_row.run_id for update;
  if not found then
    perform unknown_run(record_call_row.run_id);
  elsif record_call_row.pipeline <> of_run then
    raise exception 'run `%` belongs to another pipeline than a call of it says', record_call_row.run_id
      using errcode = 'AS409', hint = 'leave `pipeline` out, or use a new run id';
  end if;
  if record_call_row.step_id is not null then
    select t.agent into of_step
    from pipeline_step_run t
    where t.run_id = record_call_row.run_id and t.step_id = record_call_row.step_id;
    if not found then
      raise exception 'step `%` of run `%` is unknown', record_call_row.step_id, record_call_row.run_id
        using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
    end if;
  end if;
  called_by := coalesce(called_by, of_step, '');

  if exists (
    select 1
    from archived_part p
    where p.run_id = record_call_row.run_id and record_call_row.call_id = any (p.call_ids)) then
    -- What it was is in the archive: it cannot be compared.
    return jsonb_build_object('recorded', 0, 'duplicate', 1, 'unpriced', 0, 'conflict', '[]'::jsonb);
  end if;

  begin
    select * into price
    from price_of_call(
      record_call_row.provider, record_call_row.model, record_call_row.service_tier, record_call_row.called_at,
      record_call_row.input_tokens, record_call_row.cache_read_tokens, record_call_row.cache_write_tokens,
      record_call_row.cache_write_long_tokens, record_call_row.output_tokens, record_call_row.reasoning_tokens,
      record_call_row.embedding_tokens, record_call_row.web_searches);
  exception when numeric_value_out_of_range then
    raise exception 'call `%` costs more than 9,223,372 USD', record_call_row.call_id
      using errcode = '22003', hint = 'check the price and the token counts; one of them is off by orders of magnitude';
  end;
  insert into llm_call (
    run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at, input_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
    embedding_tokens, web_searches, latency_ms, outcome, response_id, price_id, pricing_state, cost_pico)
  values (
    record_call_row.run_id, record_call_row.call_id, record_call_row.step_id, called_by, record_call_row.provider,
    record_call_row.model, record_call_row.operation, record_call_row.service_tier, record_call_row.called_at,
    record_call_row.input_tokens, record_call_row.cache_read_tokens, record_call_row.cache_write_tokens,
    record_call_row.cache_write_long_tokens, record_call_row.output_tokens, record_call_row.reasoning_tokens,
    record_call_row.embedding_tokens, record_call_row.web_searches, record_call_row.latency_ms,
    record_call_row.outcome, record_call_row.response_id, price.price_id, price.pricing_state, price.cost_pico)
  on conflict (run_id, call_id) do nothing;
  if not found then
    select
      (c.step_id, c.agent, c.provider, c.model, c.operation, c.service_tier, c.called_at, c.input_tokens,
       c.cache_read_tokens, c.cache_write_tokens, c.cache_write_long_tokens, c.output_tokens,
       c.reasoning_tokens, c.embedding_tokens, c.web_searches, c.latency_ms, c.outcome, c.response_id)
      is not distinct from
      (
       record_call_row.step_id, called_by, record_call_row.provider, record_call_row.model,
       record_call_row.operation, record_call_row.service_tier, record_call_row.called_at,
       record_call_row.input_tokens, record_call_row.cache_read_tokens, record_call_row.cache_write_tokens,
       record_call_row.cache_write_long_tokens, record_call_row.output_tokens, record_call_row.reasoning_tokens,
       record_call_row.embedding_tokens, record_call_row.web_searches, record_call_row.latency_ms,
       record_call_row.outcome, record_call_row.response_id)
    into is_same
    from llm_call c
    where c.run_id = record_call_row.run_id and c.call_id = record_call_row.call_id;
    return jsonb_build_object(
      'recorded', 0, 'duplicate', is_same::integer, 'unpriced', 0,
      'conflict', case when is_same then '[]'
                  else jsonb_build_array(jsonb_build_object('run_id', record_call_row.run_id, 'call_id', record_call_row.call_id)) end);
  end if;

  unpriced := (price.cost_pico is null)::integer;
  update pipeline_run r
  set llm_calls = r.llm_calls + 1,
      unpriced_calls = r.unpriced_calls + unpriced,
      input_tokens = r.input_tokens + coalesce(record_call_row.input_tokens, 0),
      cache_read_tokens = r.cache_read_tokens + coalesce(record_call_row.cache_read_tokens, 0),
      cache_write_tokens = r.cache_write_tokens + coalesce(record_call_row.cache_write_tokens, 0),
      cache_write_long_tokens = r.cache_write_long_tokens + coalesce(record_call_row.cache_write_long_tokens, 0),
      output_tokens = r.output_tokens + coalesce(record_call_row.output_tokens, 0),
      reasoning_tokens = r.reasoning_tokens + coalesce(record_call_row.reasoning_tokens, 0),
      embedding_tokens = r.embedding_tokens + coalesce(record_call_row.embedding_tokens, 0),
      web_searches = r.web_searches + coalesce(record_call_row.web_searches, 0),
      cost_pico = r.cost_pico + coalesce(price.cost_pico, 0),
      costed_at = case when r.completed_at is not null then clock_timestamp() end
  where r.run_id = record_call_row.run_id;

  -- As add_spend does for many.
  select s.ctid into place
  from spend_rollup s
  where s.bucket = quarter and s.pipeline = of_run and s.agent = called_by
    and s.provider = record_call_row.provider and s.model = record_call_row.model and s.lane <> 0
  limit 1
  for update skip locked;
  if found then
    update spend_rollup s
    set llm_calls = s.llm_calls + 1,
        unpriced_calls = s.unpriced_calls + unpriced,
        input_tokens = s.input_tokens + coalesce(record_call_row.input_tokens, 0),
        cache_read_tokens = s.cache_read_tokens + coalesce(record_call_row.cache_read_tokens, 0),
        cache_write_tokens = s.cache_write_tokens + coalesce(record_call_row.cache_write_tokens, 0),
        cache_write_long_tokens = s.cache_write_long_tokens + coalesce(record_call_row.cache_write_long_tokens, 0),
        output_tokens = s.output_tokens + coalesce(record_call_row.output_tokens, 0),
        reasoning_tokens = s.reasoning_tokens + coalesce(record_call_row.reasoning_tokens, 0),
        embedding_tokens = s.embedding_tokens + coalesce(record_call_row.embedding_tokens, 0),
        web_searches = s.web_searches + coalesce(record_call_row.web_searches, 0),
        cost_pico = s.cost_pico + coalesce(price.cost_pico, 0)
    where s.ctid = place;
  else
    insert into spend_rollup (
      bucket, pipeline, agent, provider, model, lane, llm_calls, unpriced_calls,
      input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
      embedding_tokens, web_searches, cost_pico)
    values (
      quarter, of_run, called_by, record_call_row.provider, record_call_row.model, 1 + floor(random() * 2147483647)::integer, 1, unpriced,
      coalesce(record_call_row.input_tokens, 0), coalesce(record_call_row.cache_read_tokens, 0),
      coalesce(record_call_row.cache_write_tokens, 0), coalesce(record_call_row.cache_write_long_tokens, 0),
      coalesce(record_call_row.output_tokens, 0), coalesce(record_call_row.reasoning_tokens, 0),
      coalesce(record_call_row.embedding_tokens, 0), coalesce(record_call_row.web_searches, 0),
      coalesce(price.cost_pico, 0));
  end if;
  return jsonb_build_object('recorded', 1, 'duplicate', 0, 'conflict', '[]'::jsonb, 'unpriced', unpriced);
end $$;

create or replace function record_call_rows(
  run_id uuid[], call_id uuid[], step_id uuid[], pipeline text[], agent text[], provider text[], model text[],
  operation text[], service_tier text[], called_at timestamptz[], input_tokens integer[],
  cache_read_tokens integer[], cache_write_tokens integer[], cache_write_long_tokens integer[],
  output_tokens integer[], reasoning_tokens integer[], embedding_tokens integer[], web_searches integer[],
  latency_ms bigint[], outcome text[], response_id text[])
returns jsonb
-- Every statement looks rows up by key, whatever the batch: one plan is right for all, and planning anew costs
-- more than recording one call. No scan of tables that were small when that plan was made, and then grew.
language plpgsql security definer set search_path from current set timezone to 'UTC'
set plan_cache_mode to 'force_generic_plan' set enable_seqscan to off set jit to off as $$
#variable_conflict use_column
declare
  size constant integer := coalesce(cardinality(record_call_rows.call_id), 0);
  conflicts jsonb := '[]';
  recorded bigint;
  fresh integer[];   -- places of the calls to insert; null for all
  missing record;
  runs uuid[];
  -- What was inserted, summed up by run, bucket, agent, provider and model: an array a column.
  sums record;
begin
  if size > 10000 then
    raise exception 'the batch has % calls; the limit is 10000', size
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  elsif size = 0 then
    return jsonb_build_object('recorded', 0, 'duplicate', 0, 'conflict', conflicts, 'unpriced', 0);
  elsif size = 1 then
    return record_call_row(
      record_call_rows.run_id[1], record_call_rows.call_id[1], record_call_rows.step_id[1],
      record_call_rows.pipeline[1], record_call_rows.agent[1], record_call_rows.provider[1],
      record_call_rows.model[1], record_call_rows.operation[1], record_call_rows.service_tier[1],
      record_call_rows.called_at[1], record_call_rows.input_tokens[1], record_call_rows.cache_read_tokens[1],
      record_call_rows.cache_write_tokens[1], record_call_rows.cache_write_long_tokens[1],
      record_call_rows.output_tokens[1], record_call_rows.reasoning_tokens[1], record_call_rows.embedding_tokens[1],
      record_call_rows.web_searches[1], record_call_rows.latency_ms[1], record_call_rows.outcome[1],
      record_call_rows.response_id[1]);
  end if;

  -- Names repeat, so that each is checked once.
  perform check_name(n.field, n.name, n.required)
  from (
    select 'pipeline' as field, v as name, false as required from unnest(record_call_rows.pipeline) v
    union select 'agent', v, false from unnest(record_call_rows.agent) v
    union select 'provider', v, false from unnest(record_call_rows.provider) v
    union select 'model', v, true from unnest(record_call_rows.model) v
    union select 'operation', v, true from unnest(record_call_rows.operation) v
    union select 'service_tier', v, true from unnest(record_call_rows.service_tier) v) n;
  perform check_time('called_at', min(v)), check_time('called_at', max(v)) from unnest(record_call_rows.called_at) v;
  -- Responses' ids do not repeat, and nearly all are plain: the function looks at the others.
  perform check_name('response_id', v, true)
  from unnest(record_call_rows.response_id) v
  where char_length(v) > 200 or v !~ '^[!-~]+$';
  if (select max(v) from unnest(record_call_rows.latency_ms) v) > 2592000000 then
    raise exception '`latency_ms` is %; the limit is 2592000000 (30 days)',
      (select max(v) from unnest(record_call_rows.latency_ms) v) using errcode = 'AS400';
  end if;

  -- A call that names its pipeline starts its run.
  insert into pipeline_run (run_id, pipeline, status_id, started_at)
  select u.run_id, min(u.pipeline), s.status_id, min(u.called_at)
  from unnest(record_call_rows.run_id, record_call_rows.pipeline, record_call_rows.called_at)
         as u (run_id, pipeline, called_at)
  cross join status_lookup s
  where s.code = 'running' and u.pipeline is not null
  group by u.run_id, s.status_id
  order by u.run_id
  on conflict (run_id) do nothing;

  -- From here on every run of the batch is ours until the end of the transaction. They are the only rows that
  -- writers queue for, always in the order of their ids.
  runs := array(select distinct u.run_id from unnest(record_call_rows.run_id) as u (run_id));
  perform 1 from pipeline_run r where r.run_id = any (runs) order by r.run_id for update;
  get diagnostics recorded = row_count;
  if recorded < cardinality(runs) then
    select u.run_id into missing
    from unnest(runs) as u (run_id)
    where not exists (select 1 from pipeline_run r where r.run_id = u.run_id)
    limit 1;
    perform unknown_run(missing.run_id);
  end if;
  select u.run_id into missing
  from unnest(record_call_rows.run_id, record_call_rows.pipeline) as u (run_id, pipeline)
  join pipeline_run r on r.run_id = u.run_id
  where u.pipeline is not null and u.pipeline <> r.pipeline
  limit 1;
  if found then
    raise exception 'run `%` belongs to another pipeline than a call of it says', missing.run_id
      using errcode = 'AS409', hint = 'leave `pipeline` out, or use a new run id';
  end if;
  select u.run_id, u.step_id into missing
  from (
    select distinct u.run_id, u.step_id
    from unnest(record_call_rows.run_id, record_call_rows.step_id) as u (run_id, step_id)
    where u.step_id is not null) u
  where not exists (select 1 from pipeline_step_run t where t.run_id = u.run_id and t.step_id = u.step_id)
  limit 1;
  if found then
    raise exception 'step `%` of run `%` is unknown', missing.step_id, missing.run_id
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;

  if exists (select 1 from archived_part p where p.run_id = any (runs)) then
    fresh := fresh_calls(record_call_rows.run_id, record_call_rows.call_id);
  end if;
  -- As if all were new; at the second attempt only those that are.
  <<inserting>>
  loop
    begin
      -- The prices of the batch's few models once, not once a call; then each call takes the first that applies to it, as
      -- price_of_call does for one.
      with offered as materialized (
        select
          k.provider, k.model, k.service_tier, m.price_id, m.effective_from, m.daily_from, m.daily_until,
          m.over_input_tokens, m.input_rate, m.cache_read_rate, m.cache_write_rate, m.cache_write_long_rate,
          m.output_rate, m.reasoning_rate, m.embedding_rate, m.web_search_rate, m.request_fee,
          row_number() over (
            order by m.origin_rank desc, m.daily_from is not null desc, m.effective_from desc, m.revision desc,
                     m.over_input_tokens desc) as rank
        from (
          select distinct k.provider, k.model, k.service_tier
          from unnest(record_call_rows.provider, record_call_rows.model, record_call_rows.service_tier)
                 as k (provider, model, service_tier)) k
        cross join lateral (
          select a.target_provider, a.target_model
          from v_model_alias a
          where a.model = k.model
            and (a.provider = k.provider or (a.provider = '' and a.origin = 'user'))
          order by a.origin = 'user' desc, a.provider = k.provider desc
          limit 1) n
        join model_price m
          on m.provider = n.target_provider and m.model = n.target_model and m.service_tier = k.service_tier
      ), step as materialized (
        select k.run_id, k.step_id, t.agent
        from (
          select distinct k.run_id, k.step_id
          from unnest(record_call_rows.run_id, record_call_rows.step_id) as k (run_id, step_id)
          where k.step_id is not null) k
        cross join lateral (
          select t.agent from pipeline_step_run t where t.run_id = k.run_id and t.step_id = k.step_id limit 1) t
      ), item as (
        select distinct on (u.place)
          u.*, t.agent as step_agent, o.price_id, o.input_rate, o.cache_read_rate, o.cache_write_rate,
          o.cache_write_long_rate, o.output_rate, o.reasoning_rate, o.embedding_rate, o.web_search_rate, o.request_fee
        from unnest(
               record_call_rows.run_id, record_call_rows.call_id, record_call_rows.step_id, record_call_rows.agent,
               record_call_rows.provider, record_call_rows.model, record_call_rows.operation,
               record_call_rows.service_tier, record_call_rows.called_at, record_call_rows.input_tokens,
               record_call_rows.cache_read_tokens, record_call_rows.cache_write_tokens,
               record_call_rows.cache_write_long_tokens, record_call_rows.output_tokens,
               record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens, record_call_rows.web_searches,
               record_call_rows.latency_ms, record_call_rows.outcome, record_call_rows.response_id)
             with ordinality as u (run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at,
               input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches,
               latency_ms, outcome, response_id, place)
        left join step t on t.run_id = u.run_id and t.step_id = u.step_id
        left join offered o
          on o.provider = u.provider and o.model = u.model and o.service_tier = u.service_tier
          and o.effective_from <= u.called_at
          and (o.daily_from is null
               or extract(epoch from u.called_at) % 86400 >= o.daily_from
                  and extract(epoch from u.called_at) % 86400 < o.daily_until)
          and (o.over_input_tokens = 0
               or u.input::bigint + u.cache_read + u.cache_write + u.cache_write_long > o.over_input_tokens)
        order by u.place, o.rank
      ), journal as (
        insert into llm_call (
          run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at, input_tokens,
          cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
          embedding_tokens, web_searches, latency_ms, outcome, response_id, price_id, pricing_state, cost_pico)
        select
          i.run_id, i.call_id, i.step_id, coalesce(nullif(i.agent, ''), i.step_agent, ''), i.provider, i.model,
          i.operation, i.service_tier, i.called_at, i.input, i.cache_read, i.cache_write, i.cache_write_long, i.output,
          i.reasoning, i.embedding, i.web_searches, i.latency_ms, i.outcome, i.response_id,
          case when x.pricing_state <> 'unpriced' then i.price_id end, x.pricing_state, x.cost_pico
        from item i
        cross join lateral cost_of_usage(
          i.price_id, i.input_rate, i.cache_read_rate, i.cache_write_rate, i.cache_write_long_rate, i.output_rate,
          i.reasoning_rate, i.embedding_rate, i.web_search_rate, i.request_fee, i.input, i.cache_read, i.cache_write,
          i.cache_write_long, i.output, i.reasoning, i.embedding, i.web_searches) x
        where fresh is null or i.place = any (fresh)
        returning
          run_id, called_at, agent, provider, model, input_tokens, cache_read_tokens, cache_write_tokens,
          cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico
      ), part as (
        select
          j.run_id, floor(date_part('epoch', j.called_at) / 900)::integer as bucket, j.agent, j.provider, j.model,
          count(*) as llm_calls, count(*) - count(j.cost_pico) as unpriced_calls,
          coalesce(sum(j.input_tokens), 0) as input, coalesce(sum(j.cache_read_tokens), 0) as cache_read,
          coalesce(sum(j.cache_write_tokens), 0) as cache_write,
          coalesce(sum(j.cache_write_long_tokens), 0) as cache_write_long,
          coalesce(sum(j.output_tokens), 0) as output, coalesce(sum(j.reasoning_tokens), 0) as reasoning,
          coalesce(sum(j.embedding_tokens), 0) as embedding, coalesce(sum(j.web_searches), 0) as web_searches,
          coalesce(sum(j.cost_pico), 0)::bigint as cost_pico
        from journal j
        group by j.run_id, bucket, j.agent, j.provider, j.model
      )
      select
        array_agg(p.run_id) as run_id, array_agg(p.bucket) as bucket, array_agg(r.pipeline) as pipeline,
        array_agg(p.agent) as agent, array_agg(p.provider) as provider, array_agg(p.model) as model,
        array_agg(p.llm_calls) as llm_calls, array_agg(p.unpriced_calls) as unpriced_calls,
        array_agg(p.input) as input, array_agg(p.cache_read) as cache_read, array_agg(p.cache_write) as cache_write,
        array_agg(p.cache_write_long) as cache_write_long, array_agg(p.output) as output,
        array_agg(p.reasoning) as reasoning, array_agg(p.embedding) as embedding,
        array_agg(p.web_searches) as web_searches, array_agg(p.cost_pico) as cost_pico,
        coalesce(sum(p.llm_calls), 0)::bigint as recorded, coalesce(sum(p.unpriced_calls), 0)::bigint as unpriced
      into strict sums
      from part p
      join pipeline_run r on r.run_id = p.run_id;
      exit inserting;
    exception when unique_violation then
      if fresh is not null then
        raise;
      end if;
      -- Calls that are known, or twice in the batch. The runs are ours: nobody else adds one meanwhile.
      fresh := fresh_calls(record_call_rows.run_id, record_call_rows.call_id);
    when numeric_value_out_of_range then
      for place in 1 .. size loop
        begin
          perform price_of_call(
            record_call_rows.provider[place], record_call_rows.model[place], record_call_rows.service_tier[place],
            record_call_rows.called_at[place], record_call_rows.input_tokens[place],
            record_call_rows.cache_read_tokens[place], record_call_rows.cache_write_tokens[place],
            record_call_rows.cache_write_long_tokens[place], record_call_rows.output_tokens[place],
            record_call_rows.reasoning_tokens[place], record_call_rows.embedding_tokens[place],
            record_call_rows.web_searches[place]);
        exception when numeric_value_out_of_range then
          raise exception 'call `%` costs more than 9,223,372 USD', record_call_rows.call_id[place]
            using errcode = '22003',
                  hint = 'check the price and the token counts; one of them is off by orders of magnitude';
        end;
      end loop;
      raise;
    end;
  end loop;
  recorded := sums.recorded;

  if recorded > 0 then
    update pipeline_run r
    set llm_calls = r.llm_calls + d.llm_calls,
        unpriced_calls = r.unpriced_calls + d.unpriced_calls,
        input_tokens = r.input_tokens + d.input,
        cache_read_tokens = r.cache_read_tokens + d.cache_read,
        cache_write_tokens = r.cache_write_tokens + d.cache_write,
        cache_write_long_tokens = r.cache_write_long_tokens + d.cache_write_long,
        output_tokens = r.output_tokens + d.output,
        reasoning_tokens = r.reasoning_tokens + d.reasoning,
        embedding_tokens = r.embedding_tokens + d.embedding,
        web_searches = r.web_searches + d.web_searches,
        cost_pico = r.cost_pico + d.cost_pico,
        costed_at = case when r.completed_at is not null then clock_timestamp() end
    from (
      select
        u.run_id, sum(u.llm_calls) as llm_calls, sum(u.unpriced_calls) as unpriced_calls, sum(u.input) as input,
        sum(u.cache_read) as cache_read, sum(u.cache_write) as cache_write,
        sum(u.cache_write_long) as cache_write_long, sum(u.output) as output, sum(u.reasoning) as reasoning,
        sum(u.embedding) as embedding, sum(u.web_searches) as web_searches, sum(u.cost_pico) as cost_pico
      from unnest(
             sums.run_id, sums.llm_calls, sums.unpriced_calls, sums.input, sums.cache_read, sums.cache_write,
             sums.cache_write_long, sums.output, sums.reasoning, sums.embedding, sums.web_searches, sums.cost_pico)
             as u (run_id, llm_calls, unpriced_calls, input, cache_read, cache_write, cache_write_long, output,
               reasoning, embedding, web_searches, cost_pico)
      group by u.run_id) d
    where r.run_id = d.run_id;
    perform add_spend(
      sums.bucket, sums.pipeline, sums.agent, sums.provider, sums.model, sums.llm_calls, sums.unpriced_calls,
      sums.input, sums.cache_read, sums.cache_write, sums.cache_write_long, sums.output, sums.reasoning,
      sums.embedding, sums.web_searches, sums.cost_pico);
  end if;

  -- What was not inserted is known, or twice in the batch: the same contents are a duplicate, others a conflict. Of what is
  -- in an archive the contents are not known here: it is a duplicate.
  if recorded < size then
    select coalesce(jsonb_agg(jsonb_build_object('run_id', u.run_id, 'call_id', u.call_id) order by u.place), '[]')
    into conflicts
    from unnest(
           record_call_rows.run_id, record_call_rows.call_id, record_call_rows.step_id, record_call_rows.agent,
           record_call_rows.provider, record_call_rows.model, record_call_rows.operation,
           record_call_rows.service_tier, record_call_rows.called_at, record_call_rows.input_tokens,
           record_call_rows.cache_read_tokens, record_call_rows.cache_write_tokens,
           record_call_rows.cache_write_long_tokens, record_call_rows.output_tokens,
           record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens, record_call_rows.web_searches,
           record_call_rows.latency_ms, record_call_rows.outcome, record_call_rows.response_id)
         with ordinality as u (run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at,
           input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches,
           latency_ms, outcome, response_id, place)
    left join pipeline_step_run t on t.run_id = u.run_id and t.step_id = u.step_id
    join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
    where (c.step_id, c.agent, c.provider, c.model, c.operation, c.service_tier, c.called_at, c.input_tokens,
           c.cache_read_tokens, c.cache_write_tokens, c.cache_write_long_tokens, c.output_tokens,
           c.reasoning_tokens, c.embedding_tokens, c.web_searches, c.latency_ms, c.outcome, c.response_id)
          is distinct from
          (u.step_id, coalesce(nullif(u.agent, ''), t.agent, ''), u.provider, u.model, u.operation, u.service_tier,
           u.called_at, u.input, u.cache_read, u.cache_write, u.cache_write_long, u.output,
           u.reasoning, u.embedding, u.web_searches, u.latency_ms, u.outcome, u.response_id);
  end if;
  return jsonb_build_object(
    'recorded', recorded,
    'duplicate', size - recorded - jsonb_array_length(conflicts),
    'conflict', conflicts,
    'unpriced', sums.unpriced);
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
