-- Recording what was sent, and dropping it again when its time is over.

create function canonical_number(amount numeric) returns text
language plpgsql immutable as $$
declare
  plain constant text := trim_scale(abs(amount))::text;
begin
  if amount = trunc(amount) and abs(amount) < 9007199254740992 then
    return trunc(amount)::bigint::text;
  elsif amount = trunc(amount) or length(ltrim(replace(plain, '.', ''), '0')) > 15 or length(plain) > 40 then
    raise exception 'the number % does not survive every program', left(amount::text, 80)
      using errcode = 'AS400', hint = 'use a whole number below 2^53 or at most 15 digits, or write it as text';
  end if;
  return trim_scale(amount)::text;
end $$;

comment on function canonical_number is 'A number as canonical JSON writes it; raises AS400 for one that programs disagree on.';

create function canonical_json(document jsonb, depth integer default 32) returns text
language plpgsql immutable set search_path from current as $$
begin
  if depth = 0 then
    raise exception 'the JSON is nested more than 32 deep' using errcode = 'AS400';
  end if;
  case jsonb_typeof(document)
    when 'object' then
      return '{' || coalesce((
        select string_agg(to_json(e.key)::text || ':' || canonical_json(e.value, depth - 1), ','
                          order by e.key collate "C")
        from jsonb_each(document) e), '') || '}';
    when 'array' then
      return '[' || coalesce((
        select string_agg(canonical_json(e.value, depth - 1), ',' order by e.place)
        from jsonb_array_elements(document) with ordinality e (value, place)), '') || ']';
    when 'number' then
      return canonical_number(document::numeric);
    else
      return document::text;
  end case;
end $$;

comment on function canonical_json is 'The one text of a JSON value: no spaces, keys by code point, plain numbers. As src/domain/canonical.rs.';

drop function find_prompt_version(text);

create function find_prompt_version(reference text, at timestamptz) returns bigint
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
declare
  parts constant text[] := regexp_match(reference, '^([^@]+)(?:@([^@]+))?$');
  found_ids bigint[];
begin
  if reference is null then
    return null;
  elsif reference ~ '^[0-9]{1,18}$' then
    select array_agg(v.prompt_version_id) into found_ids
    from prompt_version v
    where v.prompt_version_id = reference::bigint;
  elsif parts[2] is null then
    select array[v.prompt_version_id] into found_ids
    from prompt_version v
    join prompt p on p.prompt_id = v.prompt_id
    where p.name = parts[1] and v.created_at <= at
    order by v.version desc
    limit 1;
  elsif parts[2] ~ '^[0-9]{1,9}$' then
    select array_agg(v.prompt_version_id) into found_ids
    from prompt_version v
    join prompt p on p.prompt_id = v.prompt_id
    where p.name = parts[1] and v.version = parts[2]::integer;
  elsif parts[2] ~ '^sha256:[0-9a-f]{4,64}$' then
    -- Content that came back has the same digest: its first version stands for it.
    select array_agg(m.prompt_version_id) into found_ids
    from (
      select distinct on (v.digest) v.prompt_version_id
      from prompt_version v
      join prompt p on p.prompt_id = v.prompt_id
      where p.name = parts[1] and starts_with(encode(v.digest, 'hex'), substr(parts[2], 8))
      order by v.digest, v.version) m;
  else
    select array[l.prompt_version_id] into found_ids
    from prompt_label l
    join prompt p on p.prompt_id = l.prompt_id
    where p.name = parts[1] and l.label = parts[2] and l.moved_at <= at
    order by l.prompt_label_id desc
    limit 1;
  end if;
  if found_ids is null then
    raise exception 'prompt version `%` is unknown', left(reference, 300)
      using errcode = 'AS404', hint = 'name a version''s id, `name`, `name@7`, `name@label` or `name@sha256:…`; see `asmm prompts list`';
  elsif cardinality(found_ids) > 1 then
    raise exception 'prompt version `%` is not the only one with such a digest', left(reference, 300)
      using errcode = 'AS400', hint = 'give more digits of it';
  end if;
  return found_ids[1];
end $$;

comment on function find_prompt_version is
  'The id of a prompt version named by id, name@7, name@sha256:…, or by what name and name@label meant at a time; raises AS404.';

create or replace function start_step(
  run_id uuid, step_id uuid, step text, agent text default null, prompt_version text default null,
  attempt integer default 1, started_at timestamptz default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  stored pipeline_step_run%rowtype;
  version_id bigint;
begin
  if start_step.step_id is null then
    raise exception '`step_id` is missing' using errcode = 'AS400', hint = 'make a UUIDv7 and keep it for retries';
  end if;
  perform check_name('step', start_step.step, true);
  perform check_name('agent', start_step.agent, false);
  perform check_time('started_at', start_step.started_at);
  if start_step.attempt is null or start_step.attempt not between 1 and 10000 then
    raise exception '`attempt` is %; attempts count from 1 to 10000', coalesce(start_step.attempt::text, 'null')
      using errcode = 'AS400', hint = 'leave `attempt` out for the first';
  end if;
  if not exists (select 1 from pipeline_run r where r.run_id = start_step.run_id) then
    perform unknown_run(start_step.run_id);
  end if;

  -- A label means what it meant when the step started, also when the step is sent again later.
  select * into stored from pipeline_step_run t
  where t.run_id = start_step.run_id and t.step_id = start_step.step_id;
  version_id := find_prompt_version(
    start_step.prompt_version, coalesce(stored.started_at, start_step.started_at, clock_timestamp()));

  insert into pipeline_step_run (run_id, step_id, step, agent, attempt, status_id, prompt_version_id, started_at)
  select start_step.run_id, start_step.step_id, start_step.step, coalesce(start_step.agent, ''), start_step.attempt,
         s.status_id, version_id, coalesce(start_step.started_at, clock_timestamp())
  from status_lookup s
  where s.code = 'running'
  on conflict (run_id, step_id) do nothing;

  if not found then
    select * into stored from pipeline_step_run t
    where t.run_id = start_step.run_id and t.step_id = start_step.step_id;
    if stored.step <> start_step.step
      or stored.agent <> coalesce(start_step.agent, '')
      or stored.attempt <> start_step.attempt
      or stored.prompt_version_id is distinct from version_id
      or stored.started_at <> start_step.started_at then
      raise exception 'step `%` of run `%` is already recorded with other contents', start_step.step_id, start_step.run_id
        using errcode = 'AS409', hint = 'a step''s name, agent, attempt, prompt version and start never change; use a new step id';
    end if;
  end if;
  return step_json(start_step.run_id, start_step.step_id);
end $$;

create function record_prompt_rows(
  run_id uuid[], call_id uuid[], step_id uuid[], sent_at timestamptz[], version text[], inputs text[],
  text_sha256 bytea[], body text[], sanitisation text[], purged_at timestamptz[])
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
    min(u.place) filter (where u.body is not null and u.text_sha256 <> sha256(convert_to(u.body, 'UTF8')))
  into digests, bad
  from unnest(record_prompt_rows.text_sha256, record_prompt_rows.body) with ordinality as u (text_sha256, body, place);
  if bad is not null then
    raise exception '`text_sha256` of call `%` is not the digest of its `messages`', record_prompt_rows.call_id[bad]
      using errcode = 'AS400', hint = 'it is SHA-256 of the canonical JSON of the messages; leave it out, it is computed';
  end if;
  select array_agg(find_prompt_version(u.version, u.sent_at) order by u.place) into version_ids
  from unnest(record_prompt_rows.version, record_prompt_rows.sent_at) with ordinality as u (version, sent_at, place);

  with item as (
    select u.*, row_number() over (partition by u.run_id, u.call_id order by u.place) as nth
    from unnest(record_prompt_rows.run_id, record_prompt_rows.call_id, version_ids, record_prompt_rows.inputs, digests,
                record_prompt_rows.purged_at)
         with ordinality as u (run_id, call_id, version_id, inputs, text_sha256, purged_at, place)
  ), sorted as (
    select i.place, i.run_id, i.call_id,
      p.call_id is null and i.nth = 1 as is_new,
      case when p.call_id is not null then
        (p.prompt_version_id, p.text_sha256) is not distinct from (i.version_id, i.text_sha256)
        and (p.purged_at is not null or i.purged_at is not null or p.inputs is not distinct from i.inputs)
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
    insert into prompt_text (text_sha256, body)
    select distinct on (u.text_sha256) u.text_sha256, u.body
    from unnest(digests, record_prompt_rows.body) with ordinality as u (text_sha256, body, place)
    where u.body is not null and u.place = any (fresh)
    order by u.text_sha256
    on conflict (text_sha256) do nothing;
  end if;

  insert into llm_call_prompt (
    run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, step_id, sent_at)
  select u.run_id, u.call_id, u.version_id, u.inputs, u.text_sha256, coalesce(u.sanitisation, 'unscanned'), u.purged_at,
         u.step_id, u.sent_at
  from unnest(record_prompt_rows.run_id, record_prompt_rows.call_id, record_prompt_rows.step_id,
              record_prompt_rows.sent_at, version_ids, record_prompt_rows.inputs, digests,
              record_prompt_rows.sanitisation, record_prompt_rows.purged_at)
       with ordinality as u (run_id, call_id, step_id, sent_at, version_id, inputs, text_sha256, sanitisation, purged_at,
         place)
  where u.place = any (fresh)
  order by u.run_id, u.call_id;
  return jsonb_build_object('recorded', cardinality(fresh), 'duplicate', duplicates, 'conflict', conflicts);
end $$;

comment on function record_prompt_rows is
  'The Rust client''s door: records what was sent, given as one array a column. Atomic; known prompts are no-ops, changed ones conflicts.';

create function prompt_problem(prompt jsonb) returns text
language plpgsql stable set search_path from current as $$
declare
  found_key text;
begin
  if jsonb_typeof(prompt) <> 'object' then
    return '`prompt` is not an object';
  end if;
  select key into found_key from jsonb_object_keys(prompt) as key
  where key <> all (array['version', 'inputs', 'text_sha256', 'messages', 'sanitisation', 'purged_at'])
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
  elsif prompt ->> 'sanitisation' not in ('clean', 'redacted', 'raw_allowed', 'unscanned') then
    return format('`prompt.sanitisation` is `%s`; it is clean, redacted, raw_allowed or unscanned',
                  left(prompt ->> 'sanitisation', 80));
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

comment on function prompt_problem is 'What is wrong with one prompt object, in words; null when it could be recorded.';

create function record_prompts(prompts jsonb) returns jsonb
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
      array_agg((s ->> 'purged_at')::timestamptz order by n) as purged_at
    into strict batch
    from jsonb_array_elements(record_prompts.prompts) with ordinality as a (p, n)
    cross join lateral (select p -> 'prompt' as s) sent;
  exception when data_exception then
    raise exception 'a prompt of the batch: %', sqlerrm
      using errcode = 'AS400', hint = 'nothing of the batch was recorded; ids are UUIDs, times RFC 3339';
  end;
  return record_prompt_rows(
    batch.run_id, batch.call_id, batch.step_id, batch.sent_at, batch.version, batch.inputs, batch.text_sha256,
    batch.body, batch.sanitisation, batch.purged_at);
end $$;

comment on function record_prompts is
  'Records what was sent, for calls that are recorded later: a JSON array. Atomic and idempotent; answers recorded, duplicate, conflict.';

create or replace function call_problem(call jsonb) returns text
language plpgsql stable as $$
declare
  required text;
  kind text;
  amount numeric;
begin
  if jsonb_typeof(call) <> 'object' then
    return 'a call is an object';
  end if;
  foreach required in array array['run_id', 'call_id', 'model', 'called_at'] loop
    if coalesce(jsonb_typeof(call -> required), 'null') = 'null' then
      return format('`%s` is missing', required);
    end if;
  end loop;
  select key into kind from jsonb_object_keys(call) as key
  where key <> all (array['type', 'run_id', 'call_id', 'step_id', 'pipeline', 'agent', 'provider', 'model', 'operation',
                          'service_tier', 'called_at', 'usage', 'latency_ms', 'outcome', 'response_id', 'prompt'])
  limit 1;
  if found then
    return format('key `%s` is unknown', kind);
  end if;
  foreach kind in array array['run_id', 'call_id', 'step_id'] loop
    begin
      perform (call ->> kind)::uuid;
    exception when data_exception then
      return format('`%s` is not a UUID: %s', kind, left(call ->> kind, 80));
    end;
  end loop;
  begin
    perform check_time('called_at', (call ->> 'called_at')::timestamptz);
  exception when data_exception then
    return format('`called_at` is not a time: %s', left(call ->> 'called_at', 80));
  end;
  foreach kind in array array['pipeline', 'agent', 'provider', 'model', 'operation', 'service_tier', 'outcome', 'response_id'] loop
    if coalesce(jsonb_typeof(call -> kind), 'null') not in ('string', 'null') then
      return format('`%s` is not text', kind);
    end if;
    perform check_name(kind, call ->> kind, call ->> kind is not null and kind not in ('agent', 'provider'));
  end loop;
  if call ->> 'outcome' not in ('ok', 'error') then
    return format('`outcome` is `%s`; it is ok or error', left(call ->> 'outcome', 80));
  end if;
  if coalesce(jsonb_typeof(call -> 'usage'), 'null') not in ('object', 'null') then
    return '`usage` is not an object';
  end if;
  if coalesce(jsonb_typeof(call -> 'prompt'), 'null') <> 'null' and prompt_problem(call -> 'prompt') is not null then
    return prompt_problem(call -> 'prompt');
  end if;
  for kind, amount in
    select 'latency_ms', case jsonb_typeof(call -> 'latency_ms') when 'number' then (call ->> 'latency_ms')::numeric end
    where coalesce(jsonb_typeof(call -> 'latency_ms'), 'null') <> 'null'
    union all
    select key, case jsonb_typeof(value) when 'number' then value::numeric end
    from jsonb_each(case jsonb_typeof(call -> 'usage') when 'object' then call -> 'usage' else '{}' end)
  loop
    if kind <> all (array['latency_ms', 'input', 'cache_read', 'cache_write', 'cache_write_long', 'output', 'reasoning',
                          'embedding', 'web_searches']) then
      return format('usage `%s` is unknown', kind);
    elsif coalesce(call -> 'usage' -> kind, call -> kind) <> 'null'
      and (amount is null or amount <> trunc(amount) or amount < 0) then
      return format('`%s` is not a count: %s', kind, left(coalesce(call -> 'usage' -> kind, call -> kind)::text, 80));
    elsif kind <> 'latency_ms' and amount > 1000000000 then
      return format('usage `%s` is %s; one call has at most 1000000000 of a kind', kind, amount);
    elsif kind = 'latency_ms' and amount > 2592000000 then
      return format('`latency_ms` is %s; the limit is 2592000000 (30 days)', amount);
    end if;
  end loop;
  return null;
exception when sqlstate 'AS400' then
  return sqlerrm;
end $$;


create or replace function record_calls(calls jsonb) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  batch record;
  place bigint;
  problem text;
  answer jsonb;
  sent jsonb;
begin
  if coalesce(jsonb_typeof(record_calls.calls), 'null') <> 'array' then
    raise exception '`calls` is not an array' using errcode = 'AS400', hint = 'send [{"run_id": …, "call_id": …, …}]';
  elsif jsonb_array_length(record_calls.calls) > 10000 then
    raise exception 'the batch has % calls; the limit is 10000', jsonb_array_length(record_calls.calls)
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  end if;
  begin
    select
      array_agg((c ->> 'run_id')::uuid order by n) as run_id,
      array_agg((c ->> 'call_id')::uuid order by n) as call_id,
      array_agg((c ->> 'step_id')::uuid order by n) as step_id,
      array_agg(c ->> 'pipeline' order by n) as pipeline,
      array_agg(c ->> 'agent' order by n) as agent,
      array_agg(coalesce(c ->> 'provider', '') order by n) as provider,
      array_agg(c ->> 'model' order by n) as model,
      array_agg(coalesce(c ->> 'operation', 'chat') order by n) as operation,
      array_agg(coalesce(c ->> 'service_tier', 'standard') order by n) as service_tier,
      array_agg((c ->> 'called_at')::timestamptz order by n) as called_at,
      array_agg(case when u is not null then coalesce((u ->> 'input')::integer, 0) end order by n) as input,
      array_agg(case when u is not null then coalesce((u ->> 'cache_read')::integer, 0) end order by n) as cache_read,
      array_agg(case when u is not null then coalesce((u ->> 'cache_write')::integer, 0) end order by n) as cache_write,
      array_agg(case when u is not null then coalesce((u ->> 'cache_write_long')::integer, 0) end order by n)
        as cache_write_long,
      array_agg(case when u is not null then coalesce((u ->> 'output')::integer, 0) end order by n) as output,
      array_agg(case when u is not null then coalesce((u ->> 'reasoning')::integer, 0) end order by n) as reasoning,
      array_agg(case when u is not null then coalesce((u ->> 'embedding')::integer, 0) end order by n) as embedding,
      array_agg(case when u is not null then coalesce((u ->> 'web_searches')::integer, 0) end order by n)
        as web_searches,
      array_agg((c ->> 'latency_ms')::bigint order by n) as latency_ms,
      array_agg(coalesce(c ->> 'outcome', 'ok') order by n) as outcome,
      array_agg(c ->> 'response_id' order by n) as response_id,
      -- What no cast and no constraint would notice.
      min(n) filter (where
        jsonb_typeof(c) <> 'object'
        or c - array['type', 'run_id', 'call_id', 'step_id', 'pipeline', 'agent', 'provider', 'model', 'operation',
                     'service_tier', 'called_at', 'usage', 'latency_ms', 'outcome', 'response_id', 'prompt'] <> '{}'
        or num_nulls(c ->> 'run_id', c ->> 'call_id', c ->> 'model', c ->> 'called_at') > 0
        or coalesce(jsonb_typeof(c -> 'usage'), 'null') not in ('object', 'null')
        or u - array['input', 'cache_read', 'cache_write', 'cache_write_long', 'output', 'reasoning', 'embedding',
                     'web_searches'] <> '{}'
        or c - array['usage', 'latency_ms', 'prompt'] @? 'strict $.* ? (@.type() != "string" && @.type() != "null")'
        or u @? 'strict $.* ? (@.type() != "number" && @.type() != "null")'
        or jsonb_typeof(c -> 'latency_ms') not in ('number', 'null')
        or c ->> 'pipeline' = ''
        or coalesce(jsonb_typeof(c -> 'prompt'), 'null') <> 'null' and prompt_problem(c -> 'prompt') is not null) as bad
    into strict batch
    from jsonb_array_elements(record_calls.calls) with ordinality as a (c, n)
    cross join lateral (
      select case jsonb_typeof(c -> 'usage') when 'object' then c -> 'usage' end as u) usage;
    if batch.bad is not null then
      raise exception 'wrong keys' using errcode = 'AS400';
    end if;
    answer := record_call_rows(
      batch.run_id, batch.call_id, batch.step_id, batch.pipeline, batch.agent, batch.provider, batch.model,
      batch.operation, batch.service_tier, batch.called_at, batch.input, batch.cache_read, batch.cache_write,
      batch.cache_write_long, batch.output, batch.reasoning, batch.embedding, batch.web_searches,
      batch.latency_ms, batch.outcome, batch.response_id);
    -- What was sent in a call that is in conflict is not recorded either.
    select jsonb_agg(jsonb_build_object('run_id', c -> 'run_id', 'call_id', c -> 'call_id', 'step_id', c -> 'step_id',
                                        'sent_at', c -> 'called_at', 'prompt', c -> 'prompt') order by n)
    into sent
    from jsonb_array_elements(record_calls.calls) with ordinality as a (c, n)
    where jsonb_typeof(c -> 'prompt') = 'object'
      and not exists (
        select 1
        from jsonb_array_elements(answer -> 'conflict') known
        where (known ->> 'run_id')::uuid = (c ->> 'run_id')::uuid
          and (known ->> 'call_id')::uuid = (c ->> 'call_id')::uuid);
    if sent is not null then
      sent := record_prompts(sent);
      answer := jsonb_set(answer, '{conflict}', (answer -> 'conflict') || (sent -> 'conflict'));
    end if;
    return answer;
  exception when data_exception or integrity_constraint_violation or sqlstate 'AS400' then
    -- Only now look at each call, to name the one that is wrong.
    for place in 1 .. jsonb_array_length(record_calls.calls) loop
      problem := call_problem(record_calls.calls -> (place - 1)::integer);
      if problem is not null then
        raise exception 'call % of the batch: %', place, problem
          using errcode = 'AS400', hint = 'nothing of the batch was recorded; correct the call and send the batch again';
      end if;
    end loop;
    if sqlstate = '22003' and sqlerrm not like 'call % USD' then
      raise exception 'the calls of a run, or of a quarter of an hour, cost more than 9,223,372 USD'
        using errcode = '22003',
              hint = 'check the price and the token counts; one of them is off by orders of magnitude';
    end if;
    raise;
  end;
end $$;


comment on function record_calls is
  'Records a JSON array of calls, of any number of runs, with what was sent in them. Atomic and idempotent; answers recorded, duplicate, conflict, unpriced.';

create function purge_inputs(before timestamptz, purged_at timestamptz, at_most integer default 10000) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  digests bytea[];
  calls bigint;
  texts bigint;
begin
  -- Whoever records a text waits until we are done: it would rely on one that goes.
  lock table prompt_text in share row exclusive mode;
  with due as (
    select p.run_id, p.call_id
    from llm_call_prompt p
    where p.sent_at < purge_inputs.before
      and p.purged_at is null
      and (p.inputs <> '{}' or exists (select 1 from prompt_text t where t.text_sha256 = p.text_sha256))
    order by p.run_id, p.call_id
    limit purge_inputs.at_most
    for update of p
  ), purged as (
    update llm_call_prompt p
    set inputs = null, purged_at = purge_inputs.purged_at
    from due d
    where p.run_id = d.run_id and p.call_id = d.call_id
    returning p.text_sha256
  )
  select count(*), array_agg(distinct text_sha256) into calls, digests from purged;
  delete from prompt_text t
  where t.text_sha256 = any (digests)
    and not exists (
      select 1 from llm_call_prompt p where p.text_sha256 = t.text_sha256 and p.purged_at is null);
  get diagnostics texts = row_count;
  return jsonb_build_object('calls', calls, 'texts', texts);
end $$;

comment on function purge_inputs is
  'Drops the inputs and texts of calls sent before a time, at most so many at once; keeps versions, digests and spend. Answers calls and texts dropped.';

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    grant execute on function record_prompts, record_prompt_rows to asmm_writer;
    grant select on prompt, prompt_version, prompt_label to asmm_writer;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on v_prompt_version, v_call_prompt to asmm_reader;
    -- Which version was used where, but neither what it says nor what was put into it.
    grant select (prompt_version_id, prompt_id, version, digest, description, created_at, created_by, git_commit)
      on prompt_version to asmm_reader;
    grant select (run_id, call_id, prompt_version_id, text_sha256, sanitisation, purged_at, step_id, sent_at)
      on llm_call_prompt to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on v_prompt_version, v_call_prompt to asmm_operator;
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
