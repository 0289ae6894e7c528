-- Recording says each name once a batch instead of once a call, checks cost less, and what is archived is known.
--
-- The rows' constraints are evaluated for each row, and read anew by each statement: a few long ones cost a third of
-- many short ones. They refuse the same.

do $$
declare
  old record;
begin
  for old in
    select conrelid::regclass as relation, conname
    from pg_constraint
    where contype = 'c' and conrelid in ('llm_call'::regclass, 'pipeline_run'::regclass, 'spend_rollup'::regclass)
  loop
    execute format('alter table %s drop constraint %I', old.relation, old.conname);
  end loop;
end $$;

alter table llm_call
  add constraint llm_call_is_possible check (
    called_at >= '2015-01-01T00:00:00Z'
    and coalesce(latency_ms, 0) >= 0
    and outcome in ('ok', 'error')),
  add constraint llm_call_names_fit check (
    char_length(agent) <= 200
    and char_length(provider) <= 200
    and char_length(model) between 1 and 200
    and char_length(operation) between 1 and 200
    and char_length(service_tier) between 1 and 200
    and coalesce(char_length(response_id), 1) between 1 and 200),
  -- A sum with an absent part is absent: all are there, or none is.
  add constraint llm_call_usage_is_whole check (
    case when input_tokens is null
         then coalesce(cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
                       embedding_tokens, web_searches) is null
         else coalesce(
                (input_tokens | cache_read_tokens | cache_write_tokens | cache_write_long_tokens | output_tokens
                 | reasoning_tokens | embedding_tokens | web_searches) >= 0, false)
              and greatest(input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens,
                           reasoning_tokens, embedding_tokens, web_searches) <= 1000000000 end),
  add constraint llm_call_price_is_whole check (
    case pricing_state
      when 'unpriced' then cost_pico is null and price_id is null
      else pricing_state in ('priced', 'estimated', 'free')
           and coalesce(cost_pico, -1) >= 0 and price_id is not null and input_tokens is not null end);

alter table pipeline_run
  add constraint pipeline_run_is_possible check (
    char_length(pipeline) between 1 and 200
    and jsonb_typeof(labels) = 'object'
    and started_at >= '2015-01-01T00:00:00Z'
    and coalesce(completed_at, '2015-01-01T00:00:00Z') >= '2015-01-01T00:00:00Z'
    and (completed_at is null) = (costed_at is null)
    and parent_run_id is distinct from run_id
    and replay_of is distinct from run_id),
  -- The highest bit says that a number is negative.
  add constraint pipeline_run_counts check (
    unpriced_calls <= llm_calls
    and (llm_calls | unpriced_calls | input_tokens | cache_read_tokens | cache_write_tokens | cache_write_long_tokens
         | output_tokens | reasoning_tokens | embedding_tokens | web_searches | cost_pico) >= 0);

-- What is priced later is taken off whichever lane is free: unpriced calls and cost of a lane may be below zero.
alter table spend_rollup
  add constraint spend_rollup_counts check (
    (lane | llm_calls | input_tokens | cache_read_tokens | cache_write_tokens | cache_write_long_tokens | output_tokens
     | reasoning_tokens | embedding_tokens | web_searches) >= 0);

-- Most rows of the rollup are settled and stay as they are: half of each page is too much room for the few that change.
alter table spend_rollup set (fillfactor = 80);

-- A writer has a lane of its own, by the number of its server process, so that many at once need not look through those
-- that others hold. It is made when no other is free; whoever is alone uses what is there.
create function new_lane(bucket integer, pipeline text, agent text, provider text, model text) returns integer
language sql volatile set search_path from current as $$
  select
    case when exists (
           select 1
           from spend_rollup s
           where s.bucket = new_lane.bucket and s.pipeline = new_lane.pipeline and s.agent = new_lane.agent
             and s.provider = new_lane.provider and s.model = new_lane.model and s.lane = pg_backend_pid())
         -- Somebody holds it: it is being settled, or was taken while it was free. Processes have smaller numbers.
         then 4194305 + floor(random() * (2147483647 - 4194305))::integer
         else pg_backend_pid() end
$$;

comment on function new_lane is 'A number for a row of spend_rollup that this session adds.';

create or replace function add_spend(
  bucket integer[], pipeline text[], agent text[], provider text[], model text[],
  llm_calls bigint[], unpriced_calls bigint[], input_tokens bigint[], cache_read_tokens bigint[],
  cache_write_tokens bigint[], cache_write_long_tokens bigint[], output_tokens bigint[], reasoning_tokens bigint[],
  embedding_tokens bigint[], web_searches bigint[], cost_pico bigint[])
returns void
language plpgsql set search_path from current
set plan_cache_mode to 'force_generic_plan' set enable_seqscan to off set jit to off as $$
#variable_conflict use_column
declare
  sums record;   -- a key each, an array a column, with a lane that is ours now, or none
begin
  with d as materialized (
    select
      u.bucket, u.pipeline, u.agent, u.provider, u.model,
      sum(u.llm_calls)::bigint as llm_calls, sum(u.unpriced_calls)::bigint as unpriced_calls,
      sum(u.input_tokens)::bigint as input_tokens, sum(u.cache_read_tokens)::bigint as cache_read_tokens,
      sum(u.cache_write_tokens)::bigint as cache_write_tokens,
      sum(u.cache_write_long_tokens)::bigint as cache_write_long_tokens,
      sum(u.output_tokens)::bigint as output_tokens, sum(u.reasoning_tokens)::bigint as reasoning_tokens,
      sum(u.embedding_tokens)::bigint as embedding_tokens, sum(u.web_searches)::bigint as web_searches,
      sum(u.cost_pico)::bigint as cost_pico
    from unnest(
           add_spend.bucket, add_spend.pipeline, add_spend.agent, add_spend.provider, add_spend.model,
           add_spend.llm_calls, add_spend.unpriced_calls, add_spend.input_tokens, add_spend.cache_read_tokens,
           add_spend.cache_write_tokens, add_spend.cache_write_long_tokens, add_spend.output_tokens,
           add_spend.reasoning_tokens, add_spend.embedding_tokens, add_spend.web_searches, add_spend.cost_pico)
           as u (bucket, pipeline, agent, provider, model, llm_calls, unpriced_calls, input_tokens, cache_read_tokens,
             cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens,
             web_searches, cost_pico)
    group by u.bucket, u.pipeline, u.agent, u.provider, u.model
  )
  select
    array_agg(d.bucket) as bucket, array_agg(d.pipeline) as pipeline, array_agg(d.agent) as agent,
    array_agg(d.provider) as provider, array_agg(d.model) as model, array_agg(d.llm_calls) as llm_calls,
    array_agg(d.unpriced_calls) as unpriced_calls, array_agg(d.input_tokens) as input_tokens,
    array_agg(d.cache_read_tokens) as cache_read_tokens, array_agg(d.cache_write_tokens) as cache_write_tokens,
    array_agg(d.cache_write_long_tokens) as cache_write_long_tokens, array_agg(d.output_tokens) as output_tokens,
    array_agg(d.reasoning_tokens) as reasoning_tokens, array_agg(d.embedding_tokens) as embedding_tokens,
    array_agg(d.web_searches) as web_searches, array_agg(d.cost_pico) as cost_pico,
    array_agg(coalesce(
      (select s.lane
       from spend_rollup s
       where s.bucket = d.bucket and s.pipeline = d.pipeline
         and s.agent = d.agent and s.provider = d.provider and s.model = d.model and s.lane = pg_backend_pid()
       for update skip locked),
      (select s.lane
       from spend_rollup s
       where s.bucket = d.bucket and s.pipeline = d.pipeline
         and s.agent = d.agent and s.provider = d.provider and s.model = d.model
         -- Not `> 0`: the index of open lanes by bucket would be chosen while the table is small, and stay so.
         and s.lane <> 0
       limit 1
       for update skip locked))) as lane
  into sums
  from d;

  update spend_rollup s
  set llm_calls = s.llm_calls + d.llm_calls,
      unpriced_calls = s.unpriced_calls + d.unpriced_calls,
      input_tokens = s.input_tokens + d.input_tokens,
      cache_read_tokens = s.cache_read_tokens + d.cache_read_tokens,
      cache_write_tokens = s.cache_write_tokens + d.cache_write_tokens,
      cache_write_long_tokens = s.cache_write_long_tokens + d.cache_write_long_tokens,
      output_tokens = s.output_tokens + d.output_tokens,
      reasoning_tokens = s.reasoning_tokens + d.reasoning_tokens,
      embedding_tokens = s.embedding_tokens + d.embedding_tokens,
      web_searches = s.web_searches + d.web_searches,
      cost_pico = s.cost_pico + d.cost_pico
  from unnest(
           sums.bucket, sums.pipeline, sums.agent, sums.provider, sums.model, sums.lane, sums.llm_calls,
           sums.unpriced_calls, sums.input_tokens, sums.cache_read_tokens, sums.cache_write_tokens,
           sums.cache_write_long_tokens, sums.output_tokens, sums.reasoning_tokens, sums.embedding_tokens,
           sums.web_searches, sums.cost_pico)
         as d (bucket, pipeline, agent, provider, model, lane, llm_calls, unpriced_calls,
           input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens,
           reasoning_tokens, embedding_tokens, web_searches, cost_pico)
  where s.bucket = d.bucket and s.pipeline = d.pipeline
    and s.agent = d.agent and s.provider = d.provider and s.model = d.model
    and s.lane = d.lane;

  if array_position(sums.lane, null) is not null then
    insert into spend_rollup (
      bucket, pipeline, agent, provider, model, lane,
      llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
      output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
    select
      d.bucket, d.pipeline, d.agent, d.provider, d.model, new_lane(d.bucket, d.pipeline, d.agent, d.provider, d.model),
      d.llm_calls, d.unpriced_calls, d.input_tokens, d.cache_read_tokens, d.cache_write_tokens,
      d.cache_write_long_tokens, d.output_tokens, d.reasoning_tokens, d.embedding_tokens, d.web_searches,
      d.cost_pico
    from unnest(
           sums.bucket, sums.pipeline, sums.agent, sums.provider, sums.model, sums.lane, sums.llm_calls,
           sums.unpriced_calls, sums.input_tokens, sums.cache_read_tokens, sums.cache_write_tokens,
           sums.cache_write_long_tokens, sums.output_tokens, sums.reasoning_tokens, sums.embedding_tokens,
           sums.web_searches, sums.cost_pico)
           as d (bucket, pipeline, agent, provider, model, lane, llm_calls, unpriced_calls,
             input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens,
             reasoning_tokens, embedding_tokens, web_searches, cost_pico)
    where d.lane is null;
  end if;
end $$;

drop function record_call_rows;
drop function record_call_row;

create function known_calls(run_id uuid[], call_id uuid[]) returns boolean[]
language sql stable set search_path from current as $$
  -- Of the same call twice the second is known.
  select array_agg(k.is_known order by k.place)
  from (
    select
      u.place,
      a.call_id is not null
      or row_number() over (partition by u.run_id, u.call_id order by u.place) > 1
      or exists (select 1 from llm_call c where c.run_id = u.run_id and c.call_id = u.call_id) as is_known
    from unnest(known_calls.run_id, known_calls.call_id) with ordinality as u (run_id, call_id, place)
    left join (
      select p.run_id, unnest(p.call_ids) as call_id
      from archived_part p
      where p.run_id = any (known_calls.run_id)) a on a.run_id = u.run_id and a.call_id = u.call_id) k
$$;

comment on function known_calls is
  'Which calls the journal or an archive holds already, or are earlier in the arrays.';

create function record_call_batch(
  run_id uuid[],
  named_run integer[], named_pipeline text[], named_at timestamptz[],
  step_run integer[], step_id uuid[],
  agent text[], provider text[], model text[], operation text[], service_tier text[],
  run integer[], step integer[], kind integer[], call_id uuid[], called_at timestamptz[],
  input_tokens integer[], cache_read_tokens integer[], cache_write_tokens integer[], cache_write_long_tokens integer[],
  output_tokens integer[], reasoning_tokens integer[], embedding_tokens integer[], web_searches integer[],
  latency_ms bigint[], outcome text[], response_id text[])
returns jsonb
-- Every statement looks rows up by key, whatever the batch: one plan is right for all, and planning anew costs
-- more than recording one call. No scan of tables that were small when that plan was made, and then grew.
language plpgsql security definer set search_path from current set timezone to 'UTC'
set plan_cache_mode to 'force_generic_plan' set enable_seqscan to off set jit to off as $$
#variable_conflict use_column
declare
  size constant integer := coalesce(cardinality(record_call_batch.call_id), 0);
  runs constant uuid[] := record_call_batch.run_id;
  found_rows bigint;
  pipeline_of text[];   -- by run
  agent_of text[];      -- by step
  missing record;
  known boolean[];   -- which calls are not to be inserted; null for none
  run_of uuid[];     -- each call's run, for the rare occasions
  -- What was inserted, summed up by run, bucket, agent, provider and model: an array a column.
  sums record;
  conflicts jsonb := '[]';
begin
  if size > 10000 then
    raise exception 'the batch has % calls; the limit is 10000', size
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  elsif size = 0 then
    return jsonb_build_object('recorded', 0, 'duplicate', 0, 'conflict', conflicts, 'unpriced', 0);
  end if;

  perform check_name('pipeline', v, false) from unnest(record_call_batch.named_pipeline) v;
  perform
    check_name('agent', k.agent, false), check_name('provider', k.provider, false), check_name('model', k.model, true),
    check_name('operation', k.operation, true), check_name('service_tier', k.service_tier, true)
  from unnest(
         record_call_batch.agent, record_call_batch.provider, record_call_batch.model, record_call_batch.operation,
         record_call_batch.service_tier) as k (agent, provider, model, operation, service_tier);
  perform check_time('called_at', min(v)), check_time('called_at', max(v)) from unnest(record_call_batch.called_at) v;
  -- Responses' ids do not repeat, and nearly all are plain: the function looks at the others.
  perform check_name('response_id', v, true)
  from unnest(record_call_batch.response_id) v
  where char_length(v) > 200 or v !~ '^[!-~]+$';
  if (select max(v) from unnest(record_call_batch.latency_ms) v) > 2592000000 then
    raise exception '`latency_ms` is %; the limit is 2592000000 (30 days)',
      (select max(v) from unnest(record_call_batch.latency_ms) v) using errcode = 'AS400';
  end if;

  -- A call that names its pipeline starts its run.
  if cardinality(record_call_batch.named_run) > 0 then
    insert into pipeline_run (run_id, pipeline, status_id, started_at)
    select runs[u.run], min(u.pipeline), s.status_id, min(u.at)
    from unnest(record_call_batch.named_run, record_call_batch.named_pipeline, record_call_batch.named_at)
           as u (run, pipeline, at)
    cross join status_lookup s
    where s.code = 'running'
    group by runs[u.run], s.status_id
    order by runs[u.run]
    on conflict (run_id) do nothing;
  end if;

  -- From here on every run of the batch is ours until the end of the transaction. They are the only rows that
  -- writers queue for, always in the order of their ids.
  perform 1 from pipeline_run r where r.run_id = any (runs) order by r.run_id for update;
  get diagnostics found_rows = row_count;
  if found_rows < cardinality(runs) then
    select u.run_id into missing
    from unnest(runs) as u (run_id)
    where not exists (select 1 from pipeline_run r where r.run_id = u.run_id)
    limit 1;
    perform unknown_run(missing.run_id);
  end if;
  if cardinality(record_call_batch.named_run) > 0 then
    select r.run_id into missing
    from unnest(record_call_batch.named_run, record_call_batch.named_pipeline) as u (run, pipeline)
    join pipeline_run r on r.run_id = runs[u.run]
    where u.pipeline <> r.pipeline
    limit 1;
    if found then
      raise exception 'run `%` belongs to another pipeline than a call of it says', missing.run_id
        using errcode = 'AS409', hint = 'leave `pipeline` out, or use a new run id';
    end if;
  end if;
  pipeline_of := array(
    select r.pipeline
    from unnest(runs) with ordinality as u (run_id, n)
    join pipeline_run r on r.run_id = u.run_id
    order by u.n);
  agent_of := array(
    select t.agent
    from unnest(record_call_batch.step_run, record_call_batch.step_id) with ordinality as u (run, step_id, n)
    left join pipeline_step_run t on t.run_id = runs[u.run] and t.step_id = u.step_id
    order by u.n);
  if array_position(agent_of, null) is not null then
    raise exception 'step `%` of run `%` is unknown',
      record_call_batch.step_id[array_position(agent_of, null)],
      runs[record_call_batch.step_run[array_position(agent_of, null)]]
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;
  if exists (select 1 from archived_part p where p.run_id = any (runs)) then
    run_of := array(select runs[u.run] from unnest(record_call_batch.run) with ordinality as u (run, n) order by u.n);
    known := known_calls(run_of, record_call_batch.call_id);
  end if;

  -- As if all others were new; at the second attempt only those that are.
  <<inserting>>
  loop
    begin
      with kind as materialized (
        select k.n, k.service_tier, a.target_provider, a.target_model
        from unnest(record_call_batch.provider, record_call_batch.model, record_call_batch.service_tier)
               with ordinality as k (provider, model, service_tier, n)
        cross join lateral (
          select a.target_provider, a.target_model
          from v_model_alias a
          where a.model = k.model
            and (a.provider = k.provider or (a.provider = '' and a.origin = 'user'))
          order by a.origin = 'user' desc, a.provider = k.provider desc
          limit 1) a
      ), offered as materialized (
        -- The prices of the batch's few models, in the order in which price_of_call looks at them: a call takes the
        -- first that applies to it.
        select
          k.n, m.price_id, m.effective_from, m.daily_from, m.daily_until, m.over_input_tokens, m.input_rate,
          m.cache_read_rate, m.cache_write_rate, m.cache_write_long_rate, m.output_rate, m.reasoning_rate,
          m.embedding_rate, m.web_search_rate, m.request_fee
        from kind k
        join model_price m
          on m.provider = k.target_provider and m.model = k.target_model and m.service_tier = k.service_tier
        order by m.origin_rank desc, m.daily_from is not null desc, m.effective_from desc, m.revision desc,
                 m.over_input_tokens desc
      ), item as materialized (
        select
          u.run, u.step, u.kind, u.call_id, u.called_at, u.input, u.cache_read, u.cache_write, u.cache_write_long,
          u.output, u.reasoning, u.embedding, u.web_searches, u.latency_ms, u.outcome, u.response_id,
          case when x.pricing_state <> 'unpriced' then o.price_id end as price_id, x.pricing_state, x.cost_pico
        from unnest(
               record_call_batch.run, record_call_batch.step, record_call_batch.kind, record_call_batch.call_id,
               record_call_batch.called_at, record_call_batch.input_tokens, record_call_batch.cache_read_tokens,
               record_call_batch.cache_write_tokens, record_call_batch.cache_write_long_tokens,
               record_call_batch.output_tokens, record_call_batch.reasoning_tokens,
               record_call_batch.embedding_tokens, record_call_batch.web_searches, record_call_batch.latency_ms,
               record_call_batch.outcome, record_call_batch.response_id, known)
             as u (run, step, kind, call_id, called_at, input, cache_read, cache_write, cache_write_long, output,
               reasoning, embedding, web_searches, latency_ms, outcome, response_id, is_known)
        left join lateral (
          select o.*
          from offered o
          where o.n = u.kind
            and o.effective_from <= u.called_at
            and (o.daily_from is null
                 or extract(epoch from u.called_at) % 86400 >= o.daily_from
                    and extract(epoch from u.called_at) % 86400 < o.daily_until)
            and (o.over_input_tokens = 0
                 or u.input::bigint + u.cache_read + u.cache_write + u.cache_write_long > o.over_input_tokens)
          limit 1) o on true
        cross join lateral cost_of_usage(
          o.price_id, o.input_rate, o.cache_read_rate, o.cache_write_rate, o.cache_write_long_rate, o.output_rate,
          o.reasoning_rate, o.embedding_rate, o.web_search_rate, o.request_fee, u.input, u.cache_read, u.cache_write,
          u.cache_write_long, u.output, u.reasoning, u.embedding, u.web_searches) x
        where u.is_known is not true
      ), journal as (
        insert into llm_call (
          run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at, input_tokens,
          cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
          embedding_tokens, web_searches, latency_ms, outcome, response_id, price_id, pricing_state, cost_pico)
        select
          runs[i.run], i.call_id, record_call_batch.step_id[i.step],
          coalesce(nullif(record_call_batch.agent[i.kind], ''), agent_of[i.step], ''),
          record_call_batch.provider[i.kind], record_call_batch.model[i.kind], record_call_batch.operation[i.kind],
          record_call_batch.service_tier[i.kind], i.called_at, i.input, i.cache_read, i.cache_write,
          i.cache_write_long, i.output, i.reasoning, i.embedding, i.web_searches, i.latency_ms, i.outcome,
          i.response_id, i.price_id, i.pricing_state, i.cost_pico
        from item i
      ), part as (
        -- All of them are inserted, or none.
        select
          i.run, i.kind, i.step, floor(date_part('epoch', i.called_at) / 900)::integer as bucket,
          count(*) as llm_calls, count(*) - count(i.cost_pico) as unpriced_calls,
          coalesce(sum(i.input), 0) as input, coalesce(sum(i.cache_read), 0) as cache_read,
          coalesce(sum(i.cache_write), 0) as cache_write, coalesce(sum(i.cache_write_long), 0) as cache_write_long,
          coalesce(sum(i.output), 0) as output, coalesce(sum(i.reasoning), 0) as reasoning,
          coalesce(sum(i.embedding), 0) as embedding, coalesce(sum(i.web_searches), 0) as web_searches,
          coalesce(sum(i.cost_pico), 0)::bigint as cost_pico
        from item i
        group by i.run, i.kind, i.step, bucket
      )
      select
        array_agg(runs[p.run]) as run_id, array_agg(p.bucket) as bucket, array_agg(pipeline_of[p.run]) as pipeline,
        array_agg(coalesce(nullif(record_call_batch.agent[p.kind], ''), agent_of[p.step], '')) as agent,
        array_agg(record_call_batch.provider[p.kind]) as provider,
        array_agg(record_call_batch.model[p.kind]) as model, array_agg(p.llm_calls) as llm_calls,
        array_agg(p.unpriced_calls) as unpriced_calls, array_agg(p.input) as input,
        array_agg(p.cache_read) as cache_read, array_agg(p.cache_write) as cache_write,
        array_agg(p.cache_write_long) as cache_write_long, array_agg(p.output) as output,
        array_agg(p.reasoning) as reasoning, array_agg(p.embedding) as embedding,
        array_agg(p.web_searches) as web_searches, array_agg(p.cost_pico) as cost_pico,
        coalesce(sum(p.llm_calls), 0)::bigint as recorded, coalesce(sum(p.unpriced_calls), 0)::bigint as unpriced
      into strict sums
      from part p;
      exit inserting;
    exception when unique_violation then
      if known is not null then
        raise;
      end if;
      -- The runs are ours: nobody else adds a call meanwhile.
      run_of := array(select runs[u.run] from unnest(record_call_batch.run) with ordinality as u (run, n) order by u.n);
      known := known_calls(run_of, record_call_batch.call_id);
    when numeric_value_out_of_range then
      for place in 1 .. size loop
        begin
          perform price_of_call(
            record_call_batch.provider[record_call_batch.kind[place]],
            record_call_batch.model[record_call_batch.kind[place]],
            record_call_batch.service_tier[record_call_batch.kind[place]], record_call_batch.called_at[place],
            record_call_batch.input_tokens[place], record_call_batch.cache_read_tokens[place],
            record_call_batch.cache_write_tokens[place], record_call_batch.cache_write_long_tokens[place],
            record_call_batch.output_tokens[place], record_call_batch.reasoning_tokens[place],
            record_call_batch.embedding_tokens[place], record_call_batch.web_searches[place]);
        exception when numeric_value_out_of_range then
          raise exception 'call `%` costs more than 9,223,372 USD', record_call_batch.call_id[place]
            using errcode = '22003',
                  hint = 'check the price and the token counts; one of them is off by orders of magnitude';
        end;
      end loop;
      raise;
    end;
  end loop;

  if sums.recorded > 0 then
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
  if sums.recorded < size then
    select coalesce(jsonb_agg(jsonb_build_object('run_id', c.run_id, 'call_id', c.call_id) order by u.place), '[]')
    into conflicts
    from unnest(
           run_of, record_call_batch.call_id, record_call_batch.step, record_call_batch.kind,
           record_call_batch.called_at, record_call_batch.input_tokens, record_call_batch.cache_read_tokens,
           record_call_batch.cache_write_tokens, record_call_batch.cache_write_long_tokens,
           record_call_batch.output_tokens, record_call_batch.reasoning_tokens, record_call_batch.embedding_tokens,
           record_call_batch.web_searches, record_call_batch.latency_ms, record_call_batch.outcome,
           record_call_batch.response_id)
         with ordinality as u (run_id, call_id, step, kind, called_at, input, cache_read, cache_write,
           cache_write_long, output, reasoning, embedding, web_searches, latency_ms, outcome, response_id, place)
    join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
    where (c.step_id, c.agent, c.provider, c.model, c.operation, c.service_tier, c.called_at, c.input_tokens,
           c.cache_read_tokens, c.cache_write_tokens, c.cache_write_long_tokens, c.output_tokens,
           c.reasoning_tokens, c.embedding_tokens, c.web_searches, c.latency_ms, c.outcome, c.response_id)
          is distinct from
          (record_call_batch.step_id[u.step],
           coalesce(nullif(record_call_batch.agent[u.kind], ''), agent_of[u.step], ''),
           record_call_batch.provider[u.kind], record_call_batch.model[u.kind], record_call_batch.operation[u.kind],
           record_call_batch.service_tier[u.kind], u.called_at, u.input, u.cache_read, u.cache_write,
           u.cache_write_long, u.output, u.reasoning, u.embedding, u.web_searches, u.latency_ms, u.outcome,
           u.response_id);
  end if;
  return jsonb_build_object(
    'recorded', sums.recorded,
    'duplicate', size - sums.recorded - jsonb_array_length(conflicts),
    'conflict', conflicts,
    'unpriced', sums.unpriced);
end $$;

comment on function record_call_batch is
  'The core of recording, and the door of the Rust client: a batch that says each run, step and name once. Runs; which of them name a pipeline, and since when; steps with the place of their run; names; then each call, with the places of its run, step (or null) and names. Answers as record_calls.';

create function record_call(
  run_id uuid, call_id uuid, step_id uuid, pipeline text, agent text, provider text, model text, operation text,
  service_tier text, called_at timestamptz, input_tokens integer, cache_read_tokens integer,
  cache_write_tokens integer, cache_write_long_tokens integer, output_tokens integer, reasoning_tokens integer,
  embedding_tokens integer, web_searches integer, latency_ms bigint, outcome text, response_id text)
returns jsonb
language plpgsql security definer set search_path from current set enable_seqscan to off as $$
#variable_conflict use_column
declare
  of_run text;          -- its pipeline
  called_by text := nullif(record_call.agent, '');
  of_step text;         -- its agent
  price record;
  unpriced integer;
  quarter constant integer := floor(date_part('epoch', record_call.called_at) / 900)::integer;
  place tid;
  is_same boolean;
begin
  -- Nearly all names are short and plain: the function looks at the others, and says what is wrong.
  if num_nulls(record_call.provider, record_call.model, record_call.operation, record_call.service_tier) > 0
     or '' in (record_call.model, record_call.operation, record_call.service_tier)
     or record_call.pipeline = ''
     or record_call.response_id = ''
     or octet_length(concat(
          record_call.pipeline, record_call.agent, record_call.provider, record_call.model, record_call.operation,
          record_call.service_tier, record_call.response_id)) > 200
     or concat(
          record_call.pipeline, record_call.agent, record_call.provider, record_call.model, record_call.operation,
          record_call.service_tier, record_call.response_id) ~ '[^!-~]' then
    perform
      check_name('pipeline', record_call.pipeline, false), check_name('agent', record_call.agent, false),
      check_name('provider', record_call.provider, false), check_name('model', record_call.model, true),
      check_name('operation', record_call.operation, true),
      check_name('service_tier', record_call.service_tier, true);
    if record_call.response_id is not null then
      perform check_name('response_id', record_call.response_id, true);
    end if;
  end if;
  if record_call.called_at not between '2015-01-01T00:00:00Z' and clock_timestamp() + interval '1 day' then
    perform check_time('called_at', record_call.called_at);
  end if;
  if record_call.latency_ms > 2592000000 then
    raise exception '`latency_ms` is %; the limit is 2592000000 (30 days)', record_call.latency_ms using errcode = 'AS400';
  end if;

  if record_call.pipeline is not null then
    insert into pipeline_run (run_id, pipeline, status_id, started_at)
    select record_call.run_id, record_call.pipeline, s.status_id, record_call.called_at
    from status_lookup s
    where s.code = 'running'
    on conflict (run_id) do nothing;
  end if;
  select r.pipeline, t.agent
  into of_run, of_step
  from pipeline_run r
  left join pipeline_step_run t on t.run_id = r.run_id and t.step_id = record_call.step_id
  where r.run_id = record_call.run_id
  for update of r;
  if not found then
    perform unknown_run(record_call.run_id);
  elsif record_call.pipeline <> of_run then
    raise exception 'run `%` belongs to another pipeline than a call of it says', record_call.run_id
      using errcode = 'AS409', hint = 'leave `pipeline` out, or use a new run id';
  elsif record_call.step_id is not null and of_step is null then
    raise exception 'step `%` of run `%` is unknown', record_call.step_id, record_call.run_id
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;
  called_by := coalesce(called_by, of_step, '');

  begin
    -- Looked at now that the run is ours.
    select
      x.*,
      exists (
        select 1
        from archived_part p
        where p.run_id = record_call.run_id and record_call.call_id = any (p.call_ids)) as is_archived
    into price
    from price_of_call(
      record_call.provider, record_call.model, record_call.service_tier, record_call.called_at,
      record_call.input_tokens, record_call.cache_read_tokens, record_call.cache_write_tokens,
      record_call.cache_write_long_tokens, record_call.output_tokens, record_call.reasoning_tokens,
      record_call.embedding_tokens, record_call.web_searches) x;
  exception when numeric_value_out_of_range then
    raise exception 'call `%` costs more than 9,223,372 USD', record_call.call_id
      using errcode = '22003', hint = 'check the price and the token counts; one of them is off by orders of magnitude';
  end;
  if price.is_archived then
    -- What it was is in the archive: it cannot be compared.
    return jsonb_build_object('recorded', 0, 'duplicate', 1, 'unpriced', 0, 'conflict', '[]'::jsonb);
  end if;
  insert into llm_call (
    run_id, call_id, step_id, agent, provider, model, operation, service_tier, called_at, input_tokens,
    cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
    embedding_tokens, web_searches, latency_ms, outcome, response_id, price_id, pricing_state, cost_pico)
  values (
    record_call.run_id, record_call.call_id, record_call.step_id, called_by, record_call.provider,
    record_call.model, record_call.operation, record_call.service_tier, record_call.called_at,
    record_call.input_tokens, record_call.cache_read_tokens, record_call.cache_write_tokens,
    record_call.cache_write_long_tokens, record_call.output_tokens, record_call.reasoning_tokens,
    record_call.embedding_tokens, record_call.web_searches, record_call.latency_ms,
    record_call.outcome, record_call.response_id, price.price_id, price.pricing_state, price.cost_pico)
  on conflict (run_id, call_id) do nothing;
  if not found then
    select
      (c.step_id, c.agent, c.provider, c.model, c.operation, c.service_tier, c.called_at, c.input_tokens,
       c.cache_read_tokens, c.cache_write_tokens, c.cache_write_long_tokens, c.output_tokens,
       c.reasoning_tokens, c.embedding_tokens, c.web_searches, c.latency_ms, c.outcome, c.response_id)
      is not distinct from
      (
       record_call.step_id, called_by, record_call.provider, record_call.model,
       record_call.operation, record_call.service_tier, record_call.called_at,
       record_call.input_tokens, record_call.cache_read_tokens, record_call.cache_write_tokens,
       record_call.cache_write_long_tokens, record_call.output_tokens, record_call.reasoning_tokens,
       record_call.embedding_tokens, record_call.web_searches, record_call.latency_ms,
       record_call.outcome, record_call.response_id)
    into is_same
    from llm_call c
    where c.run_id = record_call.run_id and c.call_id = record_call.call_id;
    return jsonb_build_object(
      'recorded', 0, 'duplicate', is_same::integer, 'unpriced', 0,
      'conflict', case when is_same then '[]'
                  else jsonb_build_array(jsonb_build_object('run_id', record_call.run_id, 'call_id', record_call.call_id)) end);
  end if;

  unpriced := (price.cost_pico is null)::integer;
  update pipeline_run r
  set llm_calls = r.llm_calls + 1,
      unpriced_calls = r.unpriced_calls + unpriced,
      input_tokens = r.input_tokens + coalesce(record_call.input_tokens, 0),
      cache_read_tokens = r.cache_read_tokens + coalesce(record_call.cache_read_tokens, 0),
      cache_write_tokens = r.cache_write_tokens + coalesce(record_call.cache_write_tokens, 0),
      cache_write_long_tokens = r.cache_write_long_tokens + coalesce(record_call.cache_write_long_tokens, 0),
      output_tokens = r.output_tokens + coalesce(record_call.output_tokens, 0),
      reasoning_tokens = r.reasoning_tokens + coalesce(record_call.reasoning_tokens, 0),
      embedding_tokens = r.embedding_tokens + coalesce(record_call.embedding_tokens, 0),
      web_searches = r.web_searches + coalesce(record_call.web_searches, 0),
      cost_pico = r.cost_pico + coalesce(price.cost_pico, 0),
      costed_at = case when r.completed_at is not null then clock_timestamp() end
  where r.run_id = record_call.run_id;

  -- As add_spend does for many.
  select s.ctid into place
  from spend_rollup s
  where s.bucket = quarter and s.pipeline = of_run and s.agent = called_by
    and s.provider = record_call.provider and s.model = record_call.model and s.lane = pg_backend_pid()
  for update skip locked;
  if not found then
    select s.ctid into place
    from spend_rollup s
    where s.bucket = quarter and s.pipeline = of_run and s.agent = called_by
      and s.provider = record_call.provider and s.model = record_call.model and s.lane <> 0
    limit 1
    for update skip locked;
  end if;
  if found then
    update spend_rollup s
    set llm_calls = s.llm_calls + 1,
        unpriced_calls = s.unpriced_calls + unpriced,
        input_tokens = s.input_tokens + coalesce(record_call.input_tokens, 0),
        cache_read_tokens = s.cache_read_tokens + coalesce(record_call.cache_read_tokens, 0),
        cache_write_tokens = s.cache_write_tokens + coalesce(record_call.cache_write_tokens, 0),
        cache_write_long_tokens = s.cache_write_long_tokens + coalesce(record_call.cache_write_long_tokens, 0),
        output_tokens = s.output_tokens + coalesce(record_call.output_tokens, 0),
        reasoning_tokens = s.reasoning_tokens + coalesce(record_call.reasoning_tokens, 0),
        embedding_tokens = s.embedding_tokens + coalesce(record_call.embedding_tokens, 0),
        web_searches = s.web_searches + coalesce(record_call.web_searches, 0),
        cost_pico = s.cost_pico + coalesce(price.cost_pico, 0)
    where s.ctid = place;
  else
    insert into spend_rollup (
      bucket, pipeline, agent, provider, model, lane, llm_calls, unpriced_calls,
      input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens, output_tokens, reasoning_tokens,
      embedding_tokens, web_searches, cost_pico)
    values (
      quarter, of_run, called_by, record_call.provider, record_call.model,
      new_lane(quarter, of_run, called_by, record_call.provider, record_call.model), 1, unpriced,
      coalesce(record_call.input_tokens, 0), coalesce(record_call.cache_read_tokens, 0),
      coalesce(record_call.cache_write_tokens, 0), coalesce(record_call.cache_write_long_tokens, 0),
      coalesce(record_call.output_tokens, 0), coalesce(record_call.reasoning_tokens, 0),
      coalesce(record_call.embedding_tokens, 0), coalesce(record_call.web_searches, 0),
      coalesce(price.cost_pico, 0));
  end if;
  return jsonb_build_object('recorded', 1, 'duplicate', 0, 'conflict', '[]'::jsonb, 'unpriced', unpriced);
end $$;

comment on function record_call is
  'Records one call: as record_call_batch, without what is only worth it for many.';

create or replace function record_calls(calls jsonb) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  batch record;
  bad bigint;
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
    -- What no cast and no constraint would notice.
    select min(n) into bad
    from jsonb_array_elements(record_calls.calls) with ordinality as a (c, n)
    cross join lateral (
      select case jsonb_typeof(c -> 'usage') when 'object' then c -> 'usage' end as u) usage
    where jsonb_typeof(c) <> 'object'
       or c - array['type', 'run_id', 'call_id', 'step_id', 'pipeline', 'agent', 'provider', 'model', 'operation',
                    'service_tier', 'called_at', 'usage', 'latency_ms', 'outcome', 'response_id', 'prompt'] <> '{}'
       or coalesce(jsonb_typeof(c -> 'usage'), 'null') not in ('object', 'null')
       or u - array['input', 'cache_read', 'cache_write', 'cache_write_long', 'output', 'reasoning', 'embedding',
                    'web_searches'] <> '{}'
       or c - array['usage', 'latency_ms', 'prompt'] @? 'strict $.* ? (@.type() != "string" && @.type() != "null")'
       or u @? 'strict $.* ? (@.type() != "number" && @.type() != "null")'
       or jsonb_typeof(c -> 'latency_ms') not in ('number', 'null')
       or coalesce(jsonb_typeof(c -> 'prompt'), 'null') <> 'null' and prompt_problem(c -> 'prompt') is not null;
    if bad is not null then
      raise exception 'wrong keys' using errcode = 'AS400';
    end if;

    -- Runs, steps and names get numbers; the arrays are in the order of the calls, for that is how rows come.
    with call as materialized (
      select
        c.n, c.run_id, c.call_id, c.step_id, c.pipeline, c.called_at, c.latency_ms, c.response_id,
        coalesce(c.agent, '') as agent, coalesce(c.provider, '') as provider, c.model,
        coalesce(c.operation, 'chat') as operation, coalesce(c.service_tier, 'standard') as service_tier,
        coalesce(c.outcome, 'ok') as outcome, nullif(c.usage, 'null') as usage
      from rows from (
        jsonb_to_recordset(record_calls.calls) as (
          run_id uuid, call_id uuid, step_id uuid, pipeline text, agent text, provider text, model text,
          operation text, service_tier text, called_at timestamptz, usage jsonb, latency_ms bigint, outcome text,
          response_id text)) with ordinality as c (run_id, call_id, step_id, pipeline, agent, provider, model,
          operation, service_tier, called_at, usage, latency_ms, outcome, response_id, n)
    ), run as materialized (
      select r.run_id, row_number() over ()::integer as place from (select distinct run_id from call) r
    ), step as materialized (
      select s.run_id, s.step_id, row_number() over ()::integer as place
      from (select distinct run_id, step_id from call where step_id is not null) s
    ), kind as materialized (
      select k.*, row_number() over ()::integer as place
      from (select distinct agent, provider, model, operation, service_tier from call) k
    ), numbered as (
      select c.*, r.place as run, s.place as step, k.place as kind
      from call c
      left join run r on r.run_id = c.run_id
      left join step s on s.run_id = c.run_id and s.step_id = c.step_id
      left join kind k
        on k.agent = c.agent and k.provider = c.provider and k.model = c.model and k.operation = c.operation
        and k.service_tier = c.service_tier
      order by c.n
    )
    select
      (select array_agg(r.run_id order by r.place) from run r) as run_id,
      (select array_agg(k.agent order by k.place) from kind k) as agent,
      (select array_agg(k.provider order by k.place) from kind k) as provider,
      (select array_agg(k.model order by k.place) from kind k) as model,
      (select array_agg(k.operation order by k.place) from kind k) as operation,
      (select array_agg(k.service_tier order by k.place) from kind k) as service_tier,
      (select array_agg(r.place order by s.place) from step s join run r on r.run_id = s.run_id) as step_run,
      (select array_agg(s.step_id order by s.place) from step s) as step_id,
      array_agg(n.run) filter (where n.pipeline is not null) as named_run,
      array_agg(n.pipeline) filter (where n.pipeline is not null) as named_pipeline,
      array_agg(n.called_at) filter (where n.pipeline is not null) as named_at,
      array_agg(n.run) as run, array_agg(n.step) as step, array_agg(n.kind) as kind, array_agg(n.call_id) as call_id,
      array_agg(n.called_at) as called_at,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'input')::integer, 0) end) as input,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'cache_read')::integer, 0) end)
        as cache_read,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'cache_write')::integer, 0) end)
        as cache_write,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'cache_write_long')::integer, 0) end)
        as cache_write_long,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'output')::integer, 0) end) as output,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'reasoning')::integer, 0) end) as reasoning,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'embedding')::integer, 0) end) as embedding,
      array_agg(case when n.usage is not null then coalesce((n.usage ->> 'web_searches')::integer, 0) end)
        as web_searches,
      array_agg(n.latency_ms) as latency_ms, array_agg(n.outcome) as outcome, array_agg(n.response_id) as response_id,
      -- Keys that must be there, and a name that may not be empty.
      min(n.n) filter (where
        n.run_id is null or n.call_id is null or n.model is null or n.called_at is null or n.pipeline = '') as bad
    into strict batch
    from numbered n;
    if batch.bad is not null then
      raise exception 'wrong keys' using errcode = 'AS400';
    end if;
    answer := record_call_batch(
      batch.run_id, batch.named_run, batch.named_pipeline, batch.named_at, batch.step_run, batch.step_id, batch.agent,
      batch.provider, batch.model, batch.operation, batch.service_tier, batch.run, batch.step, batch.kind,
      batch.call_id, batch.called_at, batch.input, batch.cache_read, batch.cache_write, batch.cache_write_long,
      batch.output, batch.reasoning, batch.embedding, batch.web_searches, batch.latency_ms, batch.outcome,
      batch.response_id);
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


-- Settled sooner: the open rows of a busy ledger's day are what its reports read most of.
create or replace function finish_run(run_id uuid, status text, completed_at timestamptz default null)
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
  -- Once an hour whoever finishes a run settles what was spent an hour ago and before.
  if exists (select 1 from settlement where settled_at < clock_timestamp() - interval '1 hour') then
    perform settle_spend(clock_timestamp() - interval '1 hour');
  end if;
  return run_json(finish_run.run_id);
end $$;

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    grant execute on function record_call, record_call_batch to asmm_writer;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
