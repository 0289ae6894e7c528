-- The functions through which everything is written, and who may call them.
--
-- All are idempotent and take the words of the native JSONL format as parameter names, so that psql, any
-- driver and PostgREST call them alike. Errors carry a SQLSTATE: AS400 a wrong value, AS404 an unknown run
-- or step, AS409 the same id with other contents, AS403 a change of what never changes.
--
-- Locks are always taken in one order - runs by id, then rollup rows by key - so that overlapping batches
-- queue and never deadlock.

create function check_name(field text, name text, required boolean) returns void
language plpgsql immutable as $$
begin
  -- All of Unicode's spaces, whatever the database's locale.
  if coalesce(name, '') ~ '^[\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$' then
    if required or name <> '' then
      raise exception '`%` is empty', field
        using errcode = 'AS400', hint = format('give `%s` a name', field);
    end if;
  elsif char_length(name) > 200 then
    raise exception '`%` is % characters long; the limit is 200', field, char_length(name)
      using errcode = 'AS400', hint = 'put details into the run''s labels instead';
  elsif name ~ '[\u0001-\u001f\u007f-\u009f]' then
    raise exception '`%` holds a control character', field
      using errcode = 'AS400', hint = 'names are one line of printable text';
  end if;
end $$;

comment on function check_name is 'Raises unless a name is 1 to 200 printable characters (or absent, when not required).';

create function check_time(field text, moment timestamptz) returns void
language plpgsql stable as $$
begin
  if moment < '2015-01-01T00:00:00Z' then
    raise exception '`%` % is before 2015', field, moment
      using errcode = 'AS400', hint = 'is it in the right unit? times are RFC 3339, such as 2026-11-20T12:00:00Z';
  elsif moment > clock_timestamp() + interval '1 day' then
    raise exception '`%` % is more than a day ahead', field, moment
      using errcode = 'AS400', hint = 'check the clock and the time zone of the machine that recorded it';
  end if;
end $$;

comment on function check_time is 'Raises unless a time is after 2015 and at most a day ahead.';

create function price_of_call(
  provider text, model text, service_tier text, called_at timestamptz,
  input_tokens integer, cache_read_tokens integer, cache_write_tokens integer, cache_write_long_tokens integer,
  output_tokens integer, reasoning_tokens integer, embedding_tokens integer, web_searches integer)
returns table (price_id bigint, pricing_state text, cost_pico bigint)
language sql stable as $$
  select
    case when known.price then p.price_id end,
    case when not known.price then 'unpriced'
         when greatest(p.input_rate, p.cache_read_rate, p.cache_write_rate, p.cache_write_long_rate, p.output_rate,
                       p.reasoning_rate, p.embedding_rate, p.web_search_rate, p.request_fee) = 0 then 'free'
         when (price_of_call.cache_read_tokens > 0 and p.cache_read_rate is null)
           or (price_of_call.cache_write_tokens > 0 and p.cache_write_rate is null)
           or (price_of_call.cache_write_long_tokens > 0 and p.cache_write_long_rate is null)
           or (price_of_call.reasoning_tokens > 0 and p.reasoning_rate is null) then 'estimated'
         else 'priced' end,
    case when known.price then
      price_of_call.input_tokens * coalesce(p.input_rate, 0)
      + price_of_call.cache_read_tokens * coalesce(rate.cache_read, 0)
      + price_of_call.cache_write_tokens * coalesce(rate.cache_write, 0)
      + price_of_call.cache_write_long_tokens * coalesce(rate.cache_write_long, 0)
      + price_of_call.output_tokens * coalesce(p.output_rate, 0)
      + price_of_call.reasoning_tokens * coalesce(rate.reasoning, 0)
      + price_of_call.embedding_tokens * coalesce(p.embedding_rate, 0)
      + price_of_call.web_searches * coalesce(p.web_search_rate, 0)
      + coalesce(p.request_fee, 0) end
  from (values (1)) one
  left join lateral (
    select a.target_provider, a.target_model
    from v_model_alias a
    where a.model = price_of_call.model
      and (a.provider = price_of_call.provider or (a.provider = '' and a.origin = 'user'))
    order by a.origin = 'user' desc, a.provider = price_of_call.provider desc
    limit 1) n on true
  left join lateral (
    select m.*
    from model_price m
    where m.provider = n.target_provider
      and m.model = n.target_model
      and m.service_tier = price_of_call.service_tier
      and m.effective_from <= price_of_call.called_at
      and (m.daily_from is null
           or extract(epoch from price_of_call.called_at) % 86400 >= m.daily_from
              and extract(epoch from price_of_call.called_at) % 86400 < m.daily_until)
      and (m.over_input_tokens = 0
           or price_of_call.input_tokens::bigint + price_of_call.cache_read_tokens
              + price_of_call.cache_write_tokens + price_of_call.cache_write_long_tokens > m.over_input_tokens)
    order by m.origin_rank desc, m.daily_from is not null desc, m.effective_from desc, m.revision desc,
             m.over_input_tokens desc
    limit 1) p on true
  cross join lateral (
    select
      coalesce(p.cache_read_rate, p.input_rate) as cache_read,
      coalesce(p.cache_write_rate, p.input_rate) as cache_write,
      coalesce(p.cache_write_long_rate, p.cache_write_rate, p.input_rate) as cache_write_long,
      coalesce(p.reasoning_rate, p.output_rate) as reasoning) rate
  cross join lateral (
    select p.price_id is not null
      and price_of_call.input_tokens is not null
      and not coalesce(
            price_of_call.input_tokens > 0 and p.input_rate is null
            or price_of_call.cache_read_tokens > 0 and rate.cache_read is null
            or price_of_call.cache_write_tokens > 0 and rate.cache_write is null
            or price_of_call.cache_write_long_tokens > 0 and rate.cache_write_long is null
            or price_of_call.output_tokens > 0 and p.output_rate is null
            or price_of_call.reasoning_tokens > 0 and rate.reasoning is null
            or price_of_call.embedding_tokens > 0 and p.embedding_rate is null
            or price_of_call.web_searches > 0 and p.web_search_rate is null, false) as price) known
$$;

comment on function price_of_call is
  'What a call costs by the catalogue in force at called_at, in picodollars. The same rules as src/pricing, which is the reference.';

create function run_json(run_id uuid) returns jsonb
language sql stable set search_path from current as $$
  select to_jsonb(v) - array['estimated_cost_usd', 'labels']
    || jsonb_build_object(
         'labels', v.labels::jsonb,
         'estimated_cost_usd', trim_scale(v.estimated_cost_usd)::text,
         'priced_calls', v.llm_calls - v.unpriced_calls)
  from v_run v
  where v.run_id = run_json.run_id::text
$$;

comment on function run_json is 'A run as the functions answer it: totals, cost as exact decimal text, coverage.';

create function step_json(run_id uuid, step_id uuid) returns jsonb
language sql stable set search_path from current as $$
  select jsonb_build_object(
    'run_id', t.run_id, 'step_id', t.step_id, 'step', t.step, 'agent', t.agent, 'attempt', t.attempt,
    'status', s.code, 'prompt_version_id', t.prompt_version_id, 'prompt_version', p.name || '@' || v.version,
    'started_at', t.started_at, 'completed_at', t.completed_at)
  from pipeline_step_run t
  join status_lookup s on s.status_id = t.status_id
  left join prompt_version v on v.prompt_version_id = t.prompt_version_id
  left join prompt p on p.prompt_id = v.prompt_id
  where t.run_id = step_json.run_id and t.step_id = step_json.step_id
$$;

comment on function step_json is 'A step as the functions answer it.';

create function unknown_run(run_id uuid) returns void
language plpgsql immutable as $$
begin
  raise exception 'run `%` is unknown', coalesce(run_id::text, 'null')
    using errcode = 'AS404', hint = 'start it first: start_run, or `asmm runs start --run-id`';
end $$;

comment on function unknown_run is 'Raises AS404 for a run that was never started.';

create function start_run(
  run_id uuid, pipeline text, started_at timestamptz default null, labels jsonb default null,
  parent_run_id uuid default null, replay_of uuid default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  stored pipeline_run%rowtype;
begin
  if start_run.run_id is null then
    raise exception '`run_id` is missing' using errcode = 'AS400', hint = 'make a UUIDv7 and keep it for retries';
  end if;
  perform check_name('pipeline', start_run.pipeline, true);
  perform check_time('started_at', start_run.started_at);
  if start_run.labels is not null then
    perform check_labels(start_run.labels);
  end if;
  if start_run.parent_run_id = start_run.run_id or start_run.replay_of = start_run.run_id then
    raise exception 'run `%` names itself as its parent or original', start_run.run_id using errcode = 'AS400';
  end if;
  if start_run.replay_of is not null then
    select * into stored from pipeline_run r where r.run_id = start_run.replay_of;
    if not found then
      perform unknown_run(start_run.replay_of);
    elsif stored.started_at >= start_run.started_at then
      raise exception '`started_at` % is not after that of the run it replays', start_run.started_at
        using errcode = 'AS400', hint = 'a replay starts after its original';
    end if;
  end if;

  insert into pipeline_run (run_id, pipeline, status_id, labels, started_at, parent_run_id, replay_of)
  select start_run.run_id, start_run.pipeline, s.status_id, coalesce(start_run.labels, '{}'),
         coalesce(start_run.started_at, clock_timestamp()), start_run.parent_run_id, start_run.replay_of
  from status_lookup s
  where s.code = 'running'
  on conflict (run_id) do nothing;

  if not found then
    select * into stored from pipeline_run r where r.run_id = start_run.run_id;
    if stored.pipeline <> start_run.pipeline
      or stored.started_at <> start_run.started_at
      or stored.labels <> start_run.labels
      or stored.parent_run_id is distinct from start_run.parent_run_id
      or stored.replay_of is distinct from start_run.replay_of then
      raise exception 'run `%` is already recorded with other contents', start_run.run_id
        using errcode = 'AS409', hint = 'a run''s pipeline, start, labels, parent and original never change; use a new run id';
    end if;
  end if;
  return run_json(start_run.run_id);
end $$;

comment on function start_run is 'Starts a run. The same run again is a no-op; other contents under its id raise AS409.';

create function check_labels(labels jsonb) returns void
language plpgsql immutable as $$
begin
  if jsonb_typeof(labels) <> 'object' then
    raise exception '`labels` is not an object'
      using errcode = 'AS400', hint = 'labels are {"name": "text", …}';
  end if;
  if (select count(*) from jsonb_object_keys(labels)) > 64 then
    raise exception '`labels` has more than 64 entries'
      using errcode = 'AS400', hint = 'labels are words to find a run by; record what there is much of elsewhere';
  end if;
  perform check_name('labels', key, true),
          case when jsonb_typeof(value) = 'string' then check_name(key, value #>> '{}', false) end
  from jsonb_each(labels);
  if exists (select 1 from jsonb_each(labels) where jsonb_typeof(value) <> 'string') then
    raise exception '`labels` holds a value that is not text'
      using errcode = 'AS400', hint = 'write {"batch": "7"}, not {"batch": 7}';
  end if;
end $$;

comment on function check_labels is 'Raises unless labels are an object of at most 64 short texts.';

create function find_prompt_version(reference text) returns bigint
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
declare
  found_id bigint;
begin
  if reference is null then
    return null;
  elsif reference ~ '^[0-9]{1,18}$' then
    select v.prompt_version_id into found_id
    from prompt_version v
    where v.prompt_version_id = reference::bigint;
  elsif reference ~ '@[0-9]{1,9}$' then
    select v.prompt_version_id into found_id
    from prompt_version v
    join prompt p on p.prompt_id = v.prompt_id
    where p.name = regexp_replace(reference, '@[0-9]+$', '')
      and v.version = substring(reference from '@([0-9]+)$')::integer;
  end if;
  if found_id is null then
    raise exception 'prompt version `%` is unknown', reference
      using errcode = 'AS404', hint = 'name a version''s id or `name@7`';
  end if;
  return found_id;
end $$;

comment on function find_prompt_version is 'The id of a prompt version named by its id or as name@7; raises AS404.';

create function start_step(
  run_id uuid, step_id uuid, step text, agent text default null, prompt_version text default null,
  attempt integer default 1, started_at timestamptz default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  stored pipeline_step_run%rowtype;
  version_id bigint := find_prompt_version(start_step.prompt_version);
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

comment on function start_step is 'Starts a step of a run. The same step again is a no-op; other contents under its id raise AS409.';

create function final_status(status text) returns smallint
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
declare
  found_status status_lookup%rowtype;
begin
  select * into found_status from status_lookup s where s.code = final_status.status;
  if not found then
    raise exception 'status `%` is unknown', coalesce(final_status.status, 'null')
      using errcode = 'AS400',
            hint = (select 'the statuses are ' || string_agg(code, ', ' order by status_id) from status_lookup);
  elsif not found_status.is_final then
    raise exception 'status `%` does not finish anything', final_status.status
      using errcode = 'AS400',
            hint = (select 'finish with ' || string_agg(code, ', ' order by status_id) from status_lookup where is_final);
  end if;
  return found_status.status_id;
end $$;

comment on function final_status is 'The id of a final status by its code; raises AS400.';

create function finish_step(run_id uuid, step_id uuid, status text, completed_at timestamptz default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  stored pipeline_step_run%rowtype;
  new_status smallint := final_status(finish_step.status);
begin
  perform check_time('completed_at', finish_step.completed_at);
  select * into stored from pipeline_step_run t
  where t.run_id = finish_step.run_id and t.step_id = finish_step.step_id
  for update;
  if not found then
    raise exception 'step `%` of run `%` is unknown', finish_step.step_id, finish_step.run_id
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;
  if stored.completed_at is null then
    update pipeline_step_run t
    set status_id = new_status,
        completed_at = coalesce(finish_step.completed_at, clock_timestamp())
    where t.run_id = finish_step.run_id and t.step_id = finish_step.step_id;
  elsif stored.status_id <> new_status or stored.completed_at <> finish_step.completed_at then
    raise exception 'step `%` of run `%` is already finished as `%` at %', finish_step.step_id, finish_step.run_id,
      (select code from status_lookup s where s.status_id = stored.status_id), stored.completed_at
      using errcode = 'AS409', hint = 'a finished step stays as it is';
  end if;
  return step_json(finish_step.run_id, finish_step.step_id);
end $$;

comment on function finish_step is 'Finishes a step. The same finish again is a no-op; another one raises AS409.';
