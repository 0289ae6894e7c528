-- What the guard decides is recorded when it decides: for calls that come later, or are never sent. What came in
-- from outside can be looked at, and redacted, after it was sent; the digest of what was sent stays.

alter table guard_event drop constraint guard_event_run_id_call_id_fkey;
alter table guard_event add column event_id uuid not null default gen_random_uuid();
alter table guard_event add constraint guard_event_event_id_key unique (event_id);
alter table guard_event add column prompt text collate "C" check (char_length(prompt) between 1 and 200);
alter table guard_event add column variable text collate "C" check (char_length(variable) between 1 and 200);
alter table guard_event add column token text collate "C" check (char_length(token) between 1 and 200);
alter table guard_event add check (call_id is null or run_id is not null);
create index guard_event_recorded_at on guard_event (recorded_at);
create index guard_event_fingerprint on guard_event (fingerprint) where fingerprint is not null;

comment on column guard_event.event_id is 'The event''s id: the same decision about the same call has the same one, and counts once.';
comment on column guard_event.call_id is 'The call it was decided for, which may never have been sent; null outside one.';
comment on column guard_event.prompt is 'The prompt it was about: name@7, or its name alone before there is a version; null for other texts.';
comment on column guard_event.variable is 'The variable whose value it was found in; null for a template''s own text and for captured messages.';
comment on column guard_event.findings is 'How often the value was found there.';
comment on column guard_event.token is 'What took the value''s place, without brackets; null when nothing did.';

alter table llm_call_prompt drop constraint llm_call_prompt_sanitisation_check;
alter table llm_call_prompt add check (sanitisation in ('clean', 'redacted', 'raw_allowed', 'unscanned', 'exposed'));
alter table llm_call_prompt add column redacted_at timestamptz;
alter table llm_call_prompt add check (redacted_at is null or sanitisation = 'exposed');
create index llm_call_prompt_to_scan on llm_call_prompt (run_id, call_id)
  where sanitisation in ('unscanned', 'exposed') and redacted_at is null and purged_at is null;

comment on column llm_call_prompt.sanitisation is
  'Whether it was looked at for secrets and personal data: clean, redacted or raw_allowed before it was sent; unscanned, nobody looked; exposed, found after it was sent.';
comment on column llm_call_prompt.redacted_at is
  'When the inputs were redacted, after they had been sent; text_sha256 is of what was sent.';

-- The only changes there are: retention drops the inputs, and a later look says what it found and redacts it.
drop trigger llm_call_prompt_only_purged on llm_call_prompt;
create trigger llm_call_prompt_only_marked before update on llm_call_prompt
  for each row
  when (not (
    (new.run_id, new.call_id, new.prompt_version_id, new.text_sha256, new.step_id, new.sent_at)
      is not distinct from
      (old.run_id, old.call_id, old.prompt_version_id, old.text_sha256, old.step_id, old.sent_at)
    and old.purged_at is null
    and case
      when new.purged_at is not null then
        new.inputs is null
        and (new.sanitisation, new.redacted_at) is not distinct from (old.sanitisation, old.redacted_at)
      when new.redacted_at is not null then
        old.redacted_at is null and old.sanitisation in ('unscanned', 'exposed')
      else
        old.sanitisation = 'unscanned' and new.sanitisation <> 'unscanned' and new.inputs is not distinct from old.inputs
    end))
  execute function refuse_change();

alter table prompt_text add column redacted_at timestamptz;
comment on column prompt_text.text_sha256 is 'SHA-256 of the messages that were sent, in UTF-8: of body, unless that was redacted.';
comment on column prompt_text.redacted_at is 'When body was redacted, after it had been sent.';

drop trigger prompt_text_no_update on prompt_text;
create trigger prompt_text_only_redacted before update on prompt_text
  for each row
  when (not (
    old.redacted_at is null and new.redacted_at is not null
    and (new.text_sha256, new.recorded_at) = (old.text_sha256, old.recorded_at)))
  execute function refuse_change();

create or replace view v_call_prompt as
select
  s.run_id::text as run_id,
  s.call_id::text as call_id,
  s.step_id::text as step_id,
  s.sent_at,
  s.prompt_version_id,
  v.prompt,
  v.version,
  'sha256:' || encode(s.text_sha256, 'hex') as text_sha256,
  s.sanitisation,
  s.purged_at,
  s.redacted_at
from llm_call_prompt s
left join v_prompt_version v on v.prompt_version_id = s.prompt_version_id;

create view v_guard_event as
select
  g.guard_event_id,
  g.recorded_at,
  g.run_id::text as run_id,
  g.call_id::text as call_id,
  r.pipeline,
  g.prompt,
  g.variable,
  g.detector,
  g.findings,
  g.decision,
  g.reason,
  'sha256:' || encode(g.fingerprint, 'hex') as fingerprint,
  g.token,
  'sha256:' || encode(g.rules_sha256, 'hex') as rules_sha256,
  'sha256:' || encode(g.policy_sha256, 'hex') as policy_sha256
from guard_event g
left join pipeline_run r on r.run_id = g.run_id;

comment on view v_guard_event is 'What the guard decided, with ids and digests as text.';

do $$
declare
  missing record;
begin
  for missing in
    select a.attrelid::regclass as view_name, a.attname as column_name, origin.meaning
    from (values ('v_call_prompt', 'llm_call_prompt'), ('v_guard_event', 'guard_event'), ('v_guard_event', 'pipeline_run'))
           s (view_name, table_name)
    join pg_attribute a on a.attrelid = s.view_name::regclass and a.attnum > 0
    join lateral (
      select col_description(o.attrelid, o.attnum) as meaning
      from pg_attribute o
      where o.attrelid = s.table_name::regclass and o.attname = a.attname) origin on origin.meaning is not null
    where col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', missing.view_name, missing.column_name, missing.meaning);
  end loop;
end $$;

drop function record_prompt_rows(
  uuid[], uuid[], uuid[], timestamptz[], text[], text[], bytea[], text[], text[], timestamptz[]);

create function record_prompt_rows(
  run_id uuid[], call_id uuid[], step_id uuid[], sent_at timestamptz[], version text[], inputs text[],
  text_sha256 bytea[], body text[], sanitisation text[], purged_at timestamptz[], redacted_at timestamptz[] default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC'
set plan_cache_mode to 'force_generic_plan' set enable_seqscan to off set jit to off as $$
#variable_conflict use_column
declare
  size constant integer := coalesce(cardinality(record_prompt_rows.call_id), 0);
  bad integer;
  bad_run uuid;
  version_ids bigint[];
  digests bytea[];
  fresh integer[];
  conflicts jsonb;
  duplicates integer;
begin
  if size > 10000 then
    raise exception 'the batch has % prompts; the limit is 10000', size
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  elsif size = 0 then
    return jsonb_build_object('recorded', 0, 'duplicate', 0, 'conflict', jsonb_build_array());
  end if;
  perform check_time('sent_at', min(v)), check_time('sent_at', max(v)) from unnest(record_prompt_rows.sent_at) v;

  perform 1 from pipeline_run r where r.run_id = any (record_prompt_rows.run_id) order by r.run_id for key share;
  select u.run_id into bad_run
  from (select distinct run_id from unnest(record_prompt_rows.run_id) as n (run_id)) u
  left join pipeline_run r on r.run_id = u.run_id
  where r.run_id is null
  limit 1;
  if found then
    perform unknown_run(bad_run);
  end if;
  select min(u.place) into bad
  from unnest(record_prompt_rows.run_id, record_prompt_rows.step_id) with ordinality as u (run_id, step_id, place)
  left join pipeline_step_run t on t.run_id = u.run_id and t.step_id = u.step_id
  where u.step_id is not null and t.step_id is null;
  if bad is not null then
    raise exception 'step `%` of run `%` is unknown', record_prompt_rows.step_id[bad], record_prompt_rows.run_id[bad]
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;

  select
    min(u.place) filter (where octet_length(u.inputs) > 4194304 or octet_length(u.body) > 4194304)
  into bad
  from unnest(record_prompt_rows.inputs, record_prompt_rows.body) with ordinality as u (inputs, body, place);
  if bad is not null then
    raise exception 'the prompt of call `%` is longer than 4194304 bytes', record_prompt_rows.call_id[bad]
      using errcode = 'AS400', hint = 'record its `text_sha256` alone';
  end if;
  select
    array_agg(coalesce(u.text_sha256, sha256(convert_to(u.body, 'UTF8'))) order by u.place),
    min(u.place) filter (where u.body is not null and u.redacted_at is null
                           and u.text_sha256 <> sha256(convert_to(u.body, 'UTF8')))
  into digests, bad
  from unnest(record_prompt_rows.text_sha256, record_prompt_rows.body, record_prompt_rows.redacted_at)
       with ordinality as u (text_sha256, body, redacted_at, place);
  if bad is not null then
    raise exception '`text_sha256` of call `%` is not the digest of its `messages`', record_prompt_rows.call_id[bad]
      using errcode = 'AS400', hint = 'it is SHA-256 of the canonical JSON of the messages; leave it out, it is computed';
  end if;
  select array_agg(find_prompt_version(u.version, u.sent_at) order by u.place) into version_ids
  from unnest(record_prompt_rows.version, record_prompt_rows.sent_at) with ordinality as u (version, sent_at, place);

  with item as (
    select u.*, row_number() over (partition by u.run_id, u.call_id order by u.place) as nth
    from unnest(record_prompt_rows.run_id, record_prompt_rows.call_id, version_ids, record_prompt_rows.inputs, digests,
                record_prompt_rows.purged_at, record_prompt_rows.redacted_at)
         with ordinality as u (run_id, call_id, version_id, inputs, text_sha256, purged_at, redacted_at, place)
  ), sorted as (
    select i.place, i.run_id, i.call_id,
      p.call_id is null and i.nth = 1 as is_new,
      case when p.call_id is not null then
        (p.prompt_version_id, p.text_sha256) is not distinct from (i.version_id, i.text_sha256)
        and (num_nonnulls(p.purged_at, i.purged_at, p.redacted_at, i.redacted_at) > 0
             or p.inputs is not distinct from i.inputs)
      else
        (f.version_id, f.text_sha256, f.inputs) is not distinct from (i.version_id, i.text_sha256, i.inputs)
      end as is_same
    from item i
    join item f on f.run_id = i.run_id and f.call_id = i.call_id and f.nth = 1
    left join llm_call_prompt p on p.run_id = i.run_id and p.call_id = i.call_id
  )
  select
    coalesce(array_agg(place) filter (where is_new), '{}'),
    count(*) filter (where not is_new and is_same),
    coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'call_id', call_id) order by place)
               filter (where not is_new and not is_same), '[]')
  into fresh, duplicates, conflicts
  from sorted;

  -- Purging excludes this statement, so that a text it finds cannot go before we are done.
  if cardinality(array_remove(record_prompt_rows.body, null)) > 0 then
    -- A text that comes redacted replaces the one that came before: what it forbids is not stored beside it.
    insert into prompt_text as t (text_sha256, body, redacted_at)
    select distinct on (u.text_sha256) u.text_sha256, u.body, u.redacted_at
    from unnest(digests, record_prompt_rows.body, record_prompt_rows.redacted_at)
         with ordinality as u (text_sha256, body, redacted_at, place)
    where u.body is not null and u.place = any (fresh)
    order by u.text_sha256, u.redacted_at nulls last
    on conflict (text_sha256) do update
    set body = excluded.body, redacted_at = excluded.redacted_at
    where t.redacted_at is null and excluded.redacted_at is not null;
  end if;

  insert into llm_call_prompt (
    run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, redacted_at, step_id,
    sent_at)
  select u.run_id, u.call_id, u.version_id, u.inputs, u.text_sha256, coalesce(u.sanitisation, 'unscanned'), u.purged_at,
         u.redacted_at, u.step_id, u.sent_at
  from unnest(record_prompt_rows.run_id, record_prompt_rows.call_id, record_prompt_rows.step_id,
              record_prompt_rows.sent_at, version_ids, record_prompt_rows.inputs, digests,
              record_prompt_rows.sanitisation, record_prompt_rows.purged_at, record_prompt_rows.redacted_at)
       with ordinality as u (run_id, call_id, step_id, sent_at, version_id, inputs, text_sha256, sanitisation, purged_at,
         redacted_at, place)
  where u.place = any (fresh)
  order by u.run_id, u.call_id;
  return jsonb_build_object('recorded', cardinality(fresh), 'duplicate', duplicates, 'conflict', conflicts);
end $$;

comment on function record_prompt_rows is
  'The Rust client''s door: records what was sent, given as one array a column. Atomic; known prompts are no-ops, changed ones conflicts.';

create or replace function prompt_problem(prompt jsonb) returns text
language plpgsql stable set search_path from current as $$
declare
  found_key text;
begin
  if jsonb_typeof(prompt) <> 'object' then
    return '`prompt` is not an object';
  end if;
  select key into found_key from jsonb_object_keys(prompt) as key
  where key <> all (array['version', 'inputs', 'text_sha256', 'messages', 'sanitisation', 'purged_at', 'redacted_at'])
  limit 1;
  if found then
    return format('key `prompt.%s` is unknown', left(found_key, 80));
  elsif coalesce(jsonb_typeof(prompt -> 'version'), 'null') not in ('string', 'number', 'null') then
    return '`prompt.version` is not a reference';
  elsif coalesce(jsonb_typeof(prompt -> 'inputs'), 'null') not in ('object', 'null') then
    return '`prompt.inputs` is not an object';
  elsif prompt ->> 'inputs' is not null and prompt ->> 'version' is null then
    return 'the prompt has `inputs` but no `version` they belong to';
  elsif prompt ->> 'text_sha256' !~ '^(sha256:)?[0-9a-fA-F]{64}$' then
    return format('`prompt.text_sha256` is not a SHA-256 digest: %s', left(prompt ->> 'text_sha256', 80));
  elsif prompt ->> 'sanitisation' not in ('clean', 'redacted', 'raw_allowed', 'unscanned', 'exposed') then
    return format('`prompt.sanitisation` is `%s`; it is clean, redacted, raw_allowed, unscanned or exposed',
                  left(prompt ->> 'sanitisation', 80));
  elsif prompt ->> 'redacted_at' is not null and prompt ->> 'sanitisation' is distinct from 'exposed' then
    return 'the prompt has `redacted_at`, and its `sanitisation` is not `exposed`';
  elsif num_nonnulls(prompt ->> 'redacted_at', prompt ->> 'messages') = 2 and prompt ->> 'text_sha256' is null then
    return 'the prompt has redacted `messages` but no `text_sha256` of what was sent';
  elsif num_nonnulls(prompt ->> 'version', prompt ->> 'text_sha256', prompt ->> 'messages') = 0 then
    return 'the prompt names neither a `version` nor `messages` nor `text_sha256`';
  elsif prompt ->> 'purged_at' is not null and num_nonnulls(prompt ->> 'inputs', prompt ->> 'messages') > 0 then
    return 'the prompt has both `purged_at` and what was purged';
  elsif coalesce(jsonb_typeof(prompt -> 'messages'), 'null') = 'null' then
    return null;
  elsif jsonb_typeof(prompt -> 'messages') <> 'array'
    or jsonb_array_length(prompt -> 'messages') not between 1 and 10000 then
    return '`prompt.messages` is not an array of 1 to 10000 messages';
  elsif exists (
    select 1 from jsonb_array_elements(prompt -> 'messages') m
    where coalesce(jsonb_typeof(m -> 'role'), 'null') <> 'string')
  then
    return 'a message of `prompt.messages` has no `role`';
  end if;
  return null;
end $$;

create or replace function record_prompts(prompts jsonb) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  batch record;
  problem record;
begin
  if coalesce(jsonb_typeof(record_prompts.prompts), 'null') <> 'array' then
    raise exception '`prompts` is not an array'
      using errcode = 'AS400', hint = 'send [{"run_id": …, "call_id": …, "sent_at": …, "prompt": {…}}]';
  elsif jsonb_array_length(record_prompts.prompts) > 10000 then
    raise exception 'the batch has % prompts; the limit is 10000', jsonb_array_length(record_prompts.prompts)
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  end if;
  select n, coalesce(
    case
      when jsonb_typeof(p) <> 'object' then 'a prompt is an object'
      when p - array['type', 'run_id', 'call_id', 'step_id', 'sent_at', 'prompt'] <> '{}' then 'it has an unknown key'
      when num_nulls(p ->> 'run_id', p ->> 'call_id', p ->> 'sent_at', p ->> 'prompt') > 0
        then 'one of `run_id`, `call_id`, `sent_at` and `prompt` is missing'
    end, prompt_problem(p -> 'prompt')) as words
  into problem
  from jsonb_array_elements(record_prompts.prompts) with ordinality as a (p, n)
  where case
      when jsonb_typeof(p) <> 'object' then true
      when p - array['type', 'run_id', 'call_id', 'step_id', 'sent_at', 'prompt'] <> '{}' then true
      when num_nulls(p ->> 'run_id', p ->> 'call_id', p ->> 'sent_at', p ->> 'prompt') > 0 then true
      else prompt_problem(p -> 'prompt') is not null
    end
  order by n
  limit 1;
  if found then
    raise exception 'prompt % of the batch: %', problem.n, problem.words
      using errcode = 'AS400', hint = 'nothing of the batch was recorded; correct the prompt and send the batch again';
  end if;
  begin
    select
      array_agg((p ->> 'run_id')::uuid order by n) as run_id,
      array_agg((p ->> 'call_id')::uuid order by n) as call_id,
      array_agg((p ->> 'step_id')::uuid order by n) as step_id,
      array_agg((p ->> 'sent_at')::timestamptz order by n) as sent_at,
      array_agg(s ->> 'version' order by n) as version,
      array_agg(case jsonb_typeof(s -> 'inputs') when 'object' then canonical_json(s -> 'inputs') end order by n) as inputs,
      array_agg(decode(regexp_replace(s ->> 'text_sha256', '^sha256:', ''), 'hex') order by n) as text_sha256,
      array_agg(case jsonb_typeof(s -> 'messages') when 'array' then canonical_json(s -> 'messages') end order by n)
        as body,
      array_agg(s ->> 'sanitisation' order by n) as sanitisation,
      array_agg((s ->> 'purged_at')::timestamptz order by n) as purged_at,
      array_agg((s ->> 'redacted_at')::timestamptz order by n) as redacted_at
    into strict batch
    from jsonb_array_elements(record_prompts.prompts) with ordinality as a (p, n)
    cross join lateral (select p -> 'prompt' as s) sent;
  exception when data_exception then
    raise exception 'a prompt of the batch: %', sqlerrm
      using errcode = 'AS400', hint = 'nothing of the batch was recorded; ids are UUIDs, times RFC 3339';
  end;
  return record_prompt_rows(
    batch.run_id, batch.call_id, batch.step_id, batch.sent_at, batch.version, batch.inputs, batch.text_sha256,
    batch.body, batch.sanitisation, batch.purged_at, batch.redacted_at);
end $$;

create function record_guard_events(events jsonb) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
declare
  missing uuid;
  recorded integer;
begin
  if coalesce(jsonb_typeof(events), 'null') <> 'array' then
    raise exception '`events` is not an array' using errcode = 'AS400', hint = 'send [{"event_id": …, "detector": …, …}]';
  elsif jsonb_array_length(events) > 10000 then
    raise exception 'the batch has % guard events; the limit is 10000', jsonb_array_length(events)
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  end if;
  begin
    select (e ->> 'run_id')::uuid into missing
    from jsonb_array_elements(events) e
    where e ->> 'run_id' is not null
      and not exists (select 1 from pipeline_run r where r.run_id = (e ->> 'run_id')::uuid)
    limit 1;
    if missing is not null then
      perform unknown_run(missing);
    end if;
    insert into guard_event (
      event_id, run_id, call_id, prompt, variable, detector, findings, decision, reason, fingerprint, token, rules_sha256,
      policy_sha256, recorded_at)
    select
      (e ->> 'event_id')::uuid, (e ->> 'run_id')::uuid, (e ->> 'call_id')::uuid, e ->> 'prompt', e ->> 'variable',
      e ->> 'detector', (e ->> 'findings')::integer, e ->> 'decision', e ->> 'reason',
      decode(regexp_replace(e ->> 'fingerprint', '^sha256:', ''), 'hex'), e ->> 'token',
      decode(regexp_replace(e ->> 'rules_sha256', '^sha256:', ''), 'hex'),
      decode(regexp_replace(e ->> 'policy_sha256', '^sha256:', ''), 'hex'), (e ->> 'decided_at')::timestamptz
    from jsonb_array_elements(events) with ordinality a (e, n)
    order by n
    on conflict (event_id) do nothing;
    get diagnostics recorded = row_count;
  exception when data_exception or not_null_violation or check_violation then
    raise exception 'a guard event of the batch: %', sqlerrm
      using errcode = 'AS400', hint = 'nothing of the batch was recorded; correct the event and send the batch again';
  end;
  return jsonb_build_object('recorded', recorded, 'duplicate', jsonb_array_length(events) - recorded);
end $$;

comment on function record_guard_events is
  'Records what the guard decided: a JSON array. Atomic and idempotent by event_id; answers recorded and duplicate.';

create function mark_scanned(
  run_id uuid, call_id uuid, sanitisation text, redacted_at timestamptz, inputs text, body text)
returns boolean
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  digest bytea;
begin
  update llm_call_prompt p
  set sanitisation = mark_scanned.sanitisation,
      redacted_at = mark_scanned.redacted_at,
      inputs = case when mark_scanned.redacted_at is null then p.inputs else mark_scanned.inputs end
  where p.run_id = mark_scanned.run_id
    and p.call_id = mark_scanned.call_id
    and p.sanitisation in ('unscanned', 'exposed')
    and (p.sanitisation <> mark_scanned.sanitisation or mark_scanned.redacted_at is not null)
    and p.redacted_at is null
    and p.purged_at is null
  returning p.text_sha256 into digest;
  if not found then
    return false;
  end if;
  if mark_scanned.body is not null then
    update prompt_text t
    set body = mark_scanned.body, redacted_at = mark_scanned.redacted_at
    where t.text_sha256 = digest and t.redacted_at is null;
  end if;
  return true;
end $$;

comment on function mark_scanned is
  'Says what a look at something sent found, and puts the redacted inputs or text in its place; false when another was faster.';

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    grant execute on function record_prompts, record_prompt_rows, record_guard_events to asmm_writer;
    grant select on guard_event to asmm_writer;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on v_guard_event to asmm_reader;
    grant select (redacted_at) on llm_call_prompt to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on v_guard_event to asmm_operator;
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
