-- Recording calls, finishing runs, and pricing after the fact.

create function record_call_rows(
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
  fresh integer[];          -- positions to insert; null for all
  conflicts jsonb := '[]';
  duplicates integer := 0;
  bad integer;
  bad_run uuid;
  agents text[];            -- the caller's, else the step's
  price_ids bigint[];
  states text[];
  costs bigint[];
begin
  if size > 10000 then
    raise exception 'the batch has % calls; the limit is 10000', size
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  elsif size = 0 then
    return jsonb_build_object('recorded', 0, 'duplicate', 0, 'conflict', conflicts, 'unpriced', 0);
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

  -- From here on every run of the batch is ours until the end of the transaction.
  perform 1 from pipeline_run r where r.run_id = any (record_call_rows.run_id) order by r.run_id for update;
  select u.run_id into bad_run
  from (select distinct run_id from unnest(record_call_rows.run_id) as n (run_id)) u
  left join pipeline_run r on r.run_id = u.run_id
  where r.run_id is null
  limit 1;
  if found then
    perform unknown_run(bad_run);
  end if;
  select u.run_id into bad_run
  from unnest(record_call_rows.run_id, record_call_rows.pipeline) as u (run_id, pipeline)
  join pipeline_run r on r.run_id = u.run_id
  where u.pipeline <> r.pipeline
  limit 1;
  if found then
    raise exception 'run `%` belongs to another pipeline than a call of it says', bad_run
      using errcode = 'AS409', hint = 'leave `pipeline` out, or use a new run id';
  end if;

  -- Price first, into arrays: each later statement then reads plain values.
  begin
    select
      array_agg(coalesce(nullif(u.agent, ''), t.agent, '') order by u.place),
      array_agg(x.price_id order by u.place),
      array_agg(x.pricing_state order by u.place),
      array_agg(x.cost_pico order by u.place),
      min(u.place) filter (where u.step_id is not null and t.step_id is null)
    into agents, price_ids, states, costs, bad
    from unnest(
           record_call_rows.run_id, record_call_rows.step_id, record_call_rows.agent, record_call_rows.provider,
           record_call_rows.model, record_call_rows.service_tier, record_call_rows.called_at,
           record_call_rows.input_tokens, record_call_rows.cache_read_tokens, record_call_rows.cache_write_tokens,
           record_call_rows.cache_write_long_tokens, record_call_rows.output_tokens,
           record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens, record_call_rows.web_searches)
         with ordinality as u (run_id, step_id, agent, provider, model, service_tier, called_at, input, cache_read,
           cache_write, cache_write_long, output, reasoning, embedding, web_searches, place)
    left join pipeline_step_run t on t.run_id = u.run_id and t.step_id = u.step_id
    cross join lateral price_of_call(u.provider, u.model, u.service_tier, u.called_at, u.input, u.cache_read,
      u.cache_write, u.cache_write_long, u.output, u.reasoning, u.embedding, u.web_searches) x;
  exception when numeric_value_out_of_range then
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
  if bad is not null then
    raise exception 'step `%` of run `%` is unknown', record_call_rows.step_id[bad], record_call_rows.run_id[bad]
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;

  -- Calls that are known, or twice in this batch: the same contents are a duplicate, others a conflict.
  if exists (
      select 1
      from unnest(record_call_rows.run_id, record_call_rows.call_id) as u (run_id, call_id)
      join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id)
    or size > (
      select count(*)
      from (
        select distinct u.run_id, u.call_id
        from unnest(record_call_rows.run_id, record_call_rows.call_id) as u (run_id, call_id)) d)
  then
    with item as (
      select u.*, row_number() over (partition by u.run_id, u.call_id order by u.place) as nth
      from unnest(
             record_call_rows.run_id, record_call_rows.call_id, record_call_rows.step_id, agents,
             record_call_rows.provider, record_call_rows.model, record_call_rows.operation,
             record_call_rows.service_tier, record_call_rows.called_at, record_call_rows.input_tokens,
             record_call_rows.cache_read_tokens, record_call_rows.cache_write_tokens,
             record_call_rows.cache_write_long_tokens, record_call_rows.output_tokens,
             record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens, record_call_rows.web_searches,
             record_call_rows.latency_ms, record_call_rows.outcome, record_call_rows.response_id)
           with ordinality as u (run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at,
             input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches,
             latency_ms, outcome, response_id, place)
    ), sorted as (
      select i.place, i.run_id, i.call_id,
        c.call_id is null and i.nth = 1 as is_new,
        case when c.call_id is not null then
          (c.step_id, c.agent, c.provider, c.model, c.operation, c.service_tier, c.called_at, c.input_tokens,
           c.cache_read_tokens, c.cache_write_tokens, c.cache_write_long_tokens, c.output_tokens,
           c.reasoning_tokens, c.embedding_tokens, c.web_searches, c.latency_ms, c.outcome, c.response_id)
          is not distinct from
          (i.step_id, i.agent, i.provider, i.model, i.operation, i.service_tier, i.called_at, i.input,
           i.cache_read, i.cache_write, i.cache_write_long, i.output, i.reasoning, i.embedding,
           i.web_searches, i.latency_ms, i.outcome, i.response_id)
        else
          (f.step_id, f.agent, f.provider, f.model, f.operation, f.service_tier, f.called_at, f.input,
           f.cache_read, f.cache_write, f.cache_write_long, f.output, f.reasoning, f.embedding,
           f.web_searches, f.latency_ms, f.outcome, f.response_id)
          is not distinct from
          (i.step_id, i.agent, i.provider, i.model, i.operation, i.service_tier, i.called_at, i.input,
           i.cache_read, i.cache_write, i.cache_write_long, i.output, i.reasoning, i.embedding,
           i.web_searches, i.latency_ms, i.outcome, i.response_id)
        end as is_same
      from item i
      join item f on f.run_id = i.run_id and f.call_id = i.call_id and f.nth = 1
      left join llm_call c on c.run_id = i.run_id and c.call_id = i.call_id
    )
    select
      coalesce(array_agg(place) filter (where is_new), '{}'),
      count(*) filter (where not is_new and is_same),
      coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'call_id', call_id) order by place)
                 filter (where not is_new and not is_same), '[]')
    into fresh, duplicates, conflicts
    from sorted;
  end if;

  insert into llm_call (
    run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at, input_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
    embedding_tokens, web_searches, latency_ms, outcome, response_id, price_id, pricing_state, cost_pico)
  select
    u.run_id, u.call_id, u.step_id, u.agent, u.provider, u.model, u.operation, u.service_tier, u.called_at, u.input,
    u.cache_read, u.cache_write, u.cache_write_long, u.output, u.reasoning,
    u.embedding, u.web_searches, u.latency_ms, u.outcome, u.response_id, u.price_id, u.pricing_state, u.cost_pico
  from unnest(
         record_call_rows.run_id, record_call_rows.call_id, record_call_rows.step_id, agents,
         record_call_rows.provider, record_call_rows.model, record_call_rows.operation,
         record_call_rows.service_tier, record_call_rows.called_at, record_call_rows.input_tokens,
         record_call_rows.cache_read_tokens, record_call_rows.cache_write_tokens,
         record_call_rows.cache_write_long_tokens, record_call_rows.output_tokens,
         record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens, record_call_rows.web_searches,
         record_call_rows.latency_ms, record_call_rows.outcome, record_call_rows.response_id, price_ids, states, costs)
       with ordinality as u (run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at,
         input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches,
         latency_ms, outcome, response_id, price_id, pricing_state, cost_pico, place)
  where fresh is null or u.place = any (fresh);

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
      u.run_id,
      count(*) as llm_calls,
      count(*) filter (where u.cost_pico is null) as unpriced_calls,
      coalesce(sum(u.input), 0) as input,
      coalesce(sum(u.cache_read), 0) as cache_read,
      coalesce(sum(u.cache_write), 0) as cache_write,
      coalesce(sum(u.cache_write_long), 0) as cache_write_long,
      coalesce(sum(u.output), 0) as output,
      coalesce(sum(u.reasoning), 0) as reasoning,
      coalesce(sum(u.embedding), 0) as embedding,
      coalesce(sum(u.web_searches), 0) as web_searches,
      coalesce(sum(u.cost_pico), 0) as cost_pico
    from unnest(
           record_call_rows.run_id, record_call_rows.input_tokens, record_call_rows.cache_read_tokens,
           record_call_rows.cache_write_tokens, record_call_rows.cache_write_long_tokens,
           record_call_rows.output_tokens, record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens,
           record_call_rows.web_searches, costs)
         with ordinality as u (run_id, input, cache_read, cache_write, cache_write_long, output, reasoning,
           embedding, web_searches, cost_pico, place)
    where fresh is null or u.place = any (fresh)
    group by u.run_id) d
  where r.run_id = d.run_id;

  insert into spend_rollup as s (
    bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
    cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches,
    cost_pico)
  select
    floor(extract(epoch from u.called_at) / 900)::integer as bucket,
    r.pipeline, u.agent, u.provider, u.model,
    count(*), count(*) filter (where u.cost_pico is null),
    coalesce(sum(u.input), 0), coalesce(sum(u.cache_read), 0), coalesce(sum(u.cache_write), 0),
    coalesce(sum(u.cache_write_long), 0), coalesce(sum(u.output), 0), coalesce(sum(u.reasoning), 0),
    coalesce(sum(u.embedding), 0), coalesce(sum(u.web_searches), 0), coalesce(sum(u.cost_pico), 0)
  from unnest(
         record_call_rows.run_id, agents, record_call_rows.provider, record_call_rows.model,
         record_call_rows.called_at, record_call_rows.input_tokens, record_call_rows.cache_read_tokens,
         record_call_rows.cache_write_tokens, record_call_rows.cache_write_long_tokens,
         record_call_rows.output_tokens, record_call_rows.reasoning_tokens, record_call_rows.embedding_tokens,
         record_call_rows.web_searches, costs)
       with ordinality as u (run_id, agent, provider, model, called_at, input, cache_read, cache_write,
         cache_write_long, output, reasoning, embedding, web_searches, cost_pico, place)
  join pipeline_run r on r.run_id = u.run_id
  where fresh is null or u.place = any (fresh)
  group by bucket, r.pipeline, u.agent, u.provider, u.model
  order by bucket, r.pipeline, u.agent, u.provider, u.model
  on conflict (bucket, pipeline, agent, provider, model) do update
  set llm_calls = s.llm_calls + excluded.llm_calls,
      unpriced_calls = s.unpriced_calls + excluded.unpriced_calls,
      input_tokens = s.input_tokens + excluded.input_tokens,
      cache_read_tokens = s.cache_read_tokens + excluded.cache_read_tokens,
      cache_write_tokens = s.cache_write_tokens + excluded.cache_write_tokens,
      cache_write_long_tokens = s.cache_write_long_tokens + excluded.cache_write_long_tokens,
      output_tokens = s.output_tokens + excluded.output_tokens,
      reasoning_tokens = s.reasoning_tokens + excluded.reasoning_tokens,
      embedding_tokens = s.embedding_tokens + excluded.embedding_tokens,
      web_searches = s.web_searches + excluded.web_searches,
      cost_pico = s.cost_pico + excluded.cost_pico;

  return jsonb_build_object(
    'recorded', coalesce(cardinality(fresh), size),
    'duplicate', duplicates,
    'conflict', conflicts,
    'unpriced', (select count(*) from unnest(costs) with ordinality as u (cost, place)
                 where u.cost is null and (fresh is null or u.place = any (fresh))));
end $$;

comment on function record_call_rows is
  'The core and the Rust client''s door: records calls given as one array a column (usage null when unknown). Atomic; known calls are no-ops, changed ones conflicts.';

create function call_problem(call jsonb) returns text
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
                          'service_tier', 'called_at', 'usage', 'latency_ms', 'outcome', 'response_id'])
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

comment on function call_problem is 'What is wrong with one call object, in words; null when it could be recorded.';

create function record_calls(calls jsonb) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  batch record;
  place bigint;
  problem text;
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
                     'service_tier', 'called_at', 'usage', 'latency_ms', 'outcome', 'response_id'] <> '{}'
        or num_nulls(c ->> 'run_id', c ->> 'call_id', c ->> 'model', c ->> 'called_at') > 0
        or coalesce(jsonb_typeof(c -> 'usage'), 'null') not in ('object', 'null')
        or u - array['input', 'cache_read', 'cache_write', 'cache_write_long', 'output', 'reasoning', 'embedding',
                     'web_searches'] <> '{}'
        or c - array['usage', 'latency_ms'] @? 'strict $.* ? (@.type() != "string" && @.type() != "null")'
        or u @? 'strict $.* ? (@.type() != "number" && @.type() != "null")'
        or jsonb_typeof(c -> 'latency_ms') not in ('number', 'null')
        or c ->> 'pipeline' = '') as bad
    into strict batch
    from jsonb_array_elements(record_calls.calls) with ordinality as a (c, n)
    cross join lateral (
      select case jsonb_typeof(c -> 'usage') when 'object' then c -> 'usage' end as u) usage;
    if batch.bad is not null then
      raise exception 'wrong keys' using errcode = 'AS400';
    end if;
    return record_call_rows(
      batch.run_id, batch.call_id, batch.step_id, batch.pipeline, batch.agent, batch.provider, batch.model,
      batch.operation, batch.service_tier, batch.called_at, batch.input, batch.cache_read, batch.cache_write,
      batch.cache_write_long, batch.output, batch.reasoning, batch.embedding, batch.web_searches,
      batch.latency_ms, batch.outcome, batch.response_id);
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
  'Records a JSON array of calls, of any number of runs. Atomic and idempotent; answers recorded, duplicate, conflict, unpriced.';

create function price_run(
  run_id uuid, everything boolean, since timestamptz, until timestamptz, provider text, model text, reason text,
  recorded_by text)
returns table (calls bigint, cost_before numeric, cost_after numeric)
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  call_ids uuid[];
  price_ids bigint[];
  states text[];
  costs bigint[];
  now_priced bigint;
  sum_before numeric;
  sum_after numeric;
begin
  perform 1 from pipeline_run r where r.run_id = price_run.run_id for update;
  if not found then
    perform unknown_run(price_run.run_id);
  end if;

  select
    array_agg(c.call_id), array_agg(x.price_id), array_agg(x.pricing_state), array_agg(x.cost_pico),
    count(*) filter (where c.pricing_state = 'unpriced'), coalesce(sum(c.cost_pico), 0), coalesce(sum(x.cost_pico), 0)
  into call_ids, price_ids, states, costs, now_priced, sum_before, sum_after
  from llm_call c
  cross join lateral price_of_call(c.provider, c.model, c.service_tier, c.called_at, c.input_tokens,
    c.cache_read_tokens, c.cache_write_tokens, c.cache_write_long_tokens, c.output_tokens, c.reasoning_tokens,
    c.embedding_tokens, c.web_searches) x
  where c.run_id = price_run.run_id
    and (price_run.everything or c.pricing_state = 'unpriced')
    and (price_run.since is null or c.called_at >= price_run.since)
    and (price_run.until is null or c.called_at < price_run.until)
    and (price_run.provider is null or c.provider = price_run.provider)
    and (price_run.model is null or c.model = price_run.model)
    and x.pricing_state <> 'unpriced'
    and (x.price_id, x.pricing_state, x.cost_pico) is distinct from (c.price_id, c.pricing_state, c.cost_pico);

  if call_ids is not null then
    insert into price_event (
      run_id, call_id, state_before, price_before, cost_before, state_after, price_after, cost_after, reason, recorded_by)
    select c.run_id, c.call_id, c.pricing_state, c.price_id, c.cost_pico, u.pricing_state, u.price_id, u.cost_pico,
           price_run.reason, price_run.recorded_by
    from unnest(call_ids, price_ids, states, costs) as u (call_id, price_id, pricing_state, cost_pico)
    join llm_call c on c.run_id = price_run.run_id and c.call_id = u.call_id
    order by c.called_at, c.call_id;

    -- The journal still says what each call was before: the rollup moves by the difference.
    perform 1
    from spend_rollup s
    where (s.bucket, s.pipeline, s.agent, s.provider, s.model) in (
      select floor(extract(epoch from c.called_at) / 900)::integer, r.pipeline, c.agent, c.provider, c.model
      from llm_call c
      join pipeline_run r on r.run_id = c.run_id
      where c.run_id = price_run.run_id and c.call_id = any (call_ids))
    order by s.bucket, s.pipeline, s.agent, s.provider, s.model
    for update;

    update spend_rollup s
    set unpriced_calls = s.unpriced_calls - d.now_priced,
        cost_pico = s.cost_pico + d.difference
    from (
      select
        floor(extract(epoch from c.called_at) / 900)::integer as bucket, r.pipeline, c.agent, c.provider, c.model,
        count(*) filter (where c.pricing_state = 'unpriced') as now_priced,
        sum(u.cost_pico - coalesce(c.cost_pico, 0)) as difference
      from unnest(call_ids, costs) as u (call_id, cost_pico)
      join llm_call c on c.run_id = price_run.run_id and c.call_id = u.call_id
      join pipeline_run r on r.run_id = c.run_id
      group by bucket, r.pipeline, c.agent, c.provider, c.model) d
    where (s.bucket, s.pipeline, s.agent, s.provider, s.model) = (d.bucket, d.pipeline, d.agent, d.provider, d.model);

    update llm_call c
    set price_id = u.price_id, pricing_state = u.pricing_state, cost_pico = u.cost_pico
    from unnest(call_ids, price_ids, states, costs) as u (call_id, price_id, pricing_state, cost_pico)
    where c.run_id = price_run.run_id and c.call_id = u.call_id;

    update pipeline_run r
    set unpriced_calls = r.unpriced_calls - now_priced,
        cost_pico = r.cost_pico + (sum_after - sum_before),
        costed_at = case when r.completed_at is not null then clock_timestamp() end
    where r.run_id = price_run.run_id;
  end if;
  return query select coalesce(cardinality(call_ids), 0)::bigint, sum_before, sum_after;
end $$;

comment on function price_run is
  'Prices a run''s unpriced calls (or, with everything, each call whose price has changed) by the catalogue, and notes it in price_event.';

create function finish_run(run_id uuid, status text, completed_at timestamptz default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  stored pipeline_run%rowtype;
  new_status smallint := final_status(finish_run.status);
begin
  perform check_time('completed_at', finish_run.completed_at);
  select * into stored from pipeline_run r where r.run_id = finish_run.run_id for update;
  if not found then
    perform unknown_run(finish_run.run_id);
  end if;
  if stored.completed_at is null then
    perform price_run(finish_run.run_id, false, null, null, null, null, 'run finished', session_user::text);
    update pipeline_run r
    set status_id = new_status,
        completed_at = coalesce(finish_run.completed_at, clock_timestamp()),
        costed_at = clock_timestamp(),
        cost_pico = (select coalesce(sum(c.cost_pico), 0) from llm_call c where c.run_id = finish_run.run_id)
    where r.run_id = finish_run.run_id;
  elsif stored.status_id <> new_status or stored.completed_at <> finish_run.completed_at then
    raise exception 'run `%` is already finished as `%` at %', finish_run.run_id,
      (select code from status_lookup s where s.status_id = stored.status_id), stored.completed_at
      using errcode = 'AS409', hint = 'a finished run stays as it is; calls that come late are still taken';
  end if;
  return run_json(finish_run.run_id);
end $$;

comment on function finish_run is
  'Finishes a run: prices what was unpriced, sums the journal, stores the final cost. The same finish again is a no-op; another one raises AS409.';
