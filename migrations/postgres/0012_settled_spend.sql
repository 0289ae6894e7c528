-- Recording that is faster, and reports that do not slow down as the ledger grows.
--
-- The rollup has a row for each quarter of an hour of each (pipeline, agent, provider, model), and changes in the
-- transaction that records the call. Nobody waits for a row of it: a key may have several rows, its lanes. Whoever
-- adds to a key takes a lane that nobody holds, and makes a new one if there is none; whoever reads sums them up.
-- So the only rows that writers queue for are those of runs, in the order of their ids.
--
-- Lanes are open: they change. From time to time those of yesterday and before are settled: they become lane 0, and
-- are added to two sums of coarser grain, by day (UTC) and by quarter of an hour alone, in one statement. So at
-- every instant settled sums and open lanes together are the rollup, and a report of a month reads days instead of
-- quarters. What comes late for a settled key opens a lane again.

alter table spend_rollup
  add column lane integer not null default 0 check (lane >= 0),
  drop constraint spend_rollup_pkey,
  -- What is priced later is taken off whichever lane is free.
  drop constraint spend_rollup_check,
  drop constraint spend_rollup_cost_pico_check,
  add primary key (bucket, pipeline, agent, provider, model, lane);
-- What is there already is settled by the next settlement.
update spend_rollup set lane = 1;
alter table spend_rollup alter column lane drop default;
create index spend_rollup_open on spend_rollup (bucket) where lane > 0;

comment on column spend_rollup.lane is 'Tells apart rows of one key, which are to be summed up. 0: settled; others: open, so that writers at the same time add to different ones.';

create table settled_spend_day (
  day                     integer not null,
  pipeline                text collate "C" not null,
  agent                   text collate "C" not null,
  provider                text collate "C" not null,
  model                   text collate "C" not null,
  llm_calls               bigint not null,
  unpriced_calls          bigint not null,
  input_tokens            bigint not null,
  cache_read_tokens       bigint not null,
  cache_write_tokens      bigint not null,
  cache_write_long_tokens bigint not null,
  output_tokens           bigint not null,
  reasoning_tokens        bigint not null,
  embedding_tokens        bigint not null,
  web_searches            bigint not null,
  cost_pico               bigint not null,
  primary key (day, pipeline, agent, provider, model)
);

comment on table settled_spend_day is 'The settled rows of spend_rollup, by day (UTC).';
comment on column settled_spend_day.day is 'Days since 1970-01-01, UTC, of the call.';

create table settled_spend_bucket (
  bucket                  integer primary key,
  llm_calls               bigint not null,
  unpriced_calls          bigint not null,
  input_tokens            bigint not null,
  cache_read_tokens       bigint not null,
  cache_write_tokens      bigint not null,
  cache_write_long_tokens bigint not null,
  output_tokens           bigint not null,
  reasoning_tokens        bigint not null,
  embedding_tokens        bigint not null,
  web_searches            bigint not null,
  cost_pico               bigint not null
);

comment on table settled_spend_bucket is 'The settled rows of spend_rollup, by 15-minute bucket (UTC) alone.';

create table settlement (
  only_one   boolean primary key default true check (only_one),
  settled_at timestamptz not null
);

comment on table settlement is 'When the rollup was last settled: one row, locked by whoever settles.';
comment on column settlement.only_one is 'Keeps it to one row.';
comment on column settlement.settled_at is 'When that was.';

insert into settlement (settled_at) values ('1970-01-01T00:00:00Z');

do $$
declare
  missing record;
begin
  -- What the columns mean is said in one place.
  for missing in
    select a.attrelid::regclass as table_name, a.attname as column_name, col_description(o.attrelid, o.attnum) as meaning
    from pg_attribute a
    join pg_attribute o on o.attrelid = 'spend_rollup'::regclass and o.attname = a.attname
    where a.attrelid in ('settled_spend_day'::regclass, 'settled_spend_bucket'::regclass)
      and a.attnum > 0
      and col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', missing.table_name, missing.column_name, missing.meaning);
  end loop;
end $$;

create or replace view v_spend as
select
  to_timestamp(bucket * 900::bigint) as bucket_at,
  pipeline,
  agent,
  provider,
  model,
  sum(llm_calls)::bigint as llm_calls,
  sum(unpriced_calls)::bigint as unpriced_calls,
  sum(input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens)::bigint as llm_tokens_input,
  sum(output_tokens + reasoning_tokens)::bigint as llm_tokens_output,
  sum(embedding_tokens)::bigint as embedding_tokens,
  sum(input_tokens)::bigint as input_tokens,
  sum(cache_read_tokens)::bigint as cache_read_tokens,
  sum(cache_write_tokens)::bigint as cache_write_tokens,
  sum(cache_write_long_tokens)::bigint as cache_write_long_tokens,
  sum(output_tokens)::bigint as output_tokens,
  sum(reasoning_tokens)::bigint as reasoning_tokens,
  sum(web_searches)::bigint as web_searches,
  (sum(cost_pico) * 0.000000000001)::numeric(24, 12) as estimated_cost_usd
from spend_rollup
group by bucket, pipeline, agent, provider, model;

-- A journal row was checked against its run and its step one by one. The functions lock the run and look up the step of
-- every call before they insert it, runs and steps are never deleted, and `asmm doctor` looks for calls without them.
alter table llm_call
  drop constraint llm_call_run_id_fkey,
  drop constraint llm_call_run_id_step_id_fkey;

create or replace function run_json(run_id uuid) returns jsonb
language sql stable set search_path from current as $$
  select jsonb_build_object(
    'run_id', r.run_id, 'pipeline', r.pipeline, 'status', s.code, 'labels', r.labels, 'started_at', r.started_at,
    'completed_at', r.completed_at, 'costed_at', r.costed_at, 'parent_run_id', r.parent_run_id,
    'replay_of', r.replay_of, 'llm_calls', r.llm_calls, 'unpriced_calls', r.unpriced_calls,
    'priced_calls', r.llm_calls - r.unpriced_calls, 'llm_tokens_input', r.llm_tokens_input,
    'llm_tokens_output', r.llm_tokens_output, 'embedding_tokens', r.embedding_tokens,
    'input_tokens', r.input_tokens, 'cache_read_tokens', r.cache_read_tokens,
    'cache_write_tokens', r.cache_write_tokens, 'cache_write_long_tokens', r.cache_write_long_tokens,
    'output_tokens', r.output_tokens, 'reasoning_tokens', r.reasoning_tokens, 'web_searches', r.web_searches,
    'estimated_cost_usd', trim_scale(r.estimated_cost_usd)::text)
  from pipeline_run r
  join status_lookup s on s.status_id = r.status_id
  where r.run_id = run_json.run_id
$$;

create function add_spend(
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
    array_agg((
      select s.lane
      from spend_rollup s
      where s.bucket = d.bucket and s.pipeline = d.pipeline
        and s.agent = d.agent and s.provider = d.provider and s.model = d.model
        -- Not `> 0`: the index of open lanes by bucket would be chosen while the table is small, and stay so.
        and s.lane <> 0
      limit 1
      for update skip locked)) as lane
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
      d.bucket, d.pipeline, d.agent, d.provider, d.model, 1 + floor(random() * 2147483647)::integer,
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

comment on function add_spend is
  'Adds to the rollup, given as one array a column. Waits for nobody: see spend_rollup.lane.';

create function settle_spend(before timestamptz, at_most integer default 20000) returns integer
language plpgsql security definer set search_path from current set timezone to 'UTC' set enable_seqscan to off as $$
#variable_conflict use_column
declare
  settled integer;
begin
  -- One at a time; whoever comes meanwhile need not.
  perform 1 from settlement for update skip locked;
  if not found then
    return 0;
  end if;
  with due as (
    select s.*
    from spend_rollup s
    where s.lane > 0 and s.bucket < floor(extract(epoch from settle_spend.before) / 900)::integer
    order by s.bucket
    limit settle_spend.at_most
    for update skip locked
  ), quarters as materialized (
    select
      d.bucket, d.pipeline, d.agent, d.provider, d.model,
      sum(d.llm_calls)::bigint as llm_calls, sum(d.unpriced_calls)::bigint as unpriced_calls,
      sum(d.input_tokens)::bigint as input_tokens, sum(d.cache_read_tokens)::bigint as cache_read_tokens,
      sum(d.cache_write_tokens)::bigint as cache_write_tokens,
      sum(d.cache_write_long_tokens)::bigint as cache_write_long_tokens,
      sum(d.output_tokens)::bigint as output_tokens, sum(d.reasoning_tokens)::bigint as reasoning_tokens,
      sum(d.embedding_tokens)::bigint as embedding_tokens, sum(d.web_searches)::bigint as web_searches,
      sum(d.cost_pico)::bigint as cost_pico,
      -- The row that stays: the one that is settled already, else one of these, which is changed where it is.
      coalesce(
        (select s.lane
         from spend_rollup s
         where s.bucket = d.bucket and s.pipeline = d.pipeline and s.agent = d.agent and s.provider = d.provider
           and s.model = d.model and s.lane = 0),
        min(d.lane)) as lane
    from due d
    group by d.bucket, d.pipeline, d.agent, d.provider, d.model
  ), kept as (
    update spend_rollup s
    set lane = 0,
        llm_calls = case s.lane when 0 then s.llm_calls else 0 end + q.llm_calls,
        unpriced_calls = case s.lane when 0 then s.unpriced_calls else 0 end + q.unpriced_calls,
        input_tokens = case s.lane when 0 then s.input_tokens else 0 end + q.input_tokens,
        cache_read_tokens = case s.lane when 0 then s.cache_read_tokens else 0 end + q.cache_read_tokens,
        cache_write_tokens = case s.lane when 0 then s.cache_write_tokens else 0 end + q.cache_write_tokens,
        cache_write_long_tokens = case s.lane when 0 then s.cache_write_long_tokens else 0 end + q.cache_write_long_tokens,
        output_tokens = case s.lane when 0 then s.output_tokens else 0 end + q.output_tokens,
        reasoning_tokens = case s.lane when 0 then s.reasoning_tokens else 0 end + q.reasoning_tokens,
        embedding_tokens = case s.lane when 0 then s.embedding_tokens else 0 end + q.embedding_tokens,
        web_searches = case s.lane when 0 then s.web_searches else 0 end + q.web_searches,
        cost_pico = case s.lane when 0 then s.cost_pico else 0 end + q.cost_pico
    from quarters q
    where s.bucket = q.bucket and s.pipeline = q.pipeline and s.agent = q.agent and s.provider = q.provider
      and s.model = q.model and s.lane = q.lane
  ), gone as (
    delete from spend_rollup s
    using due d, quarters q
    where s.bucket = d.bucket and s.pipeline = d.pipeline and s.agent = d.agent and s.provider = d.provider
      and s.model = d.model and s.lane = d.lane
      and q.bucket = d.bucket and q.pipeline = d.pipeline and q.agent = d.agent and q.provider = d.provider
      and q.model = d.model and q.lane <> d.lane
  ), days as (
    insert into settled_spend_day as s (
      day, pipeline, agent, provider, model,
      llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
      output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
    select
      bucket / 96, pipeline, agent, provider, model,
      sum(llm_calls), sum(unpriced_calls), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens),
      sum(cache_write_long_tokens), sum(output_tokens), sum(reasoning_tokens), sum(embedding_tokens),
      sum(web_searches), sum(cost_pico)
    from quarters
    group by 1, 2, 3, 4, 5
    on conflict (day, pipeline, agent, provider, model) do update
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
        cost_pico = s.cost_pico + excluded.cost_pico
  ), buckets as (
    insert into settled_spend_bucket as s (
      bucket,
      llm_calls, unpriced_calls, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,
      output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
    select
      bucket,
      sum(llm_calls), sum(unpriced_calls), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens),
      sum(cache_write_long_tokens), sum(output_tokens), sum(reasoning_tokens), sum(embedding_tokens),
      sum(web_searches), sum(cost_pico)
    from quarters
    group by 1
    on conflict (bucket) do update
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
        cost_pico = s.cost_pico + excluded.cost_pico
  )
  select count(*)::integer into settled from due;
  if settled < settle_spend.at_most then
    update settlement set settled_at = clock_timestamp();
  end if;
  return settled;
end $$;

comment on function settle_spend is
  'Settles open rows of the rollup, at most so many, of calls made before a time: see spend_rollup.lane. Changes no sum. Answers how many.';

create function cost_of_usage(
  price_id bigint, input_rate bigint, cache_read_rate bigint, cache_write_rate bigint, cache_write_long_rate bigint,
  output_rate bigint, reasoning_rate bigint, embedding_rate bigint, web_search_rate bigint, request_fee bigint,
  input_tokens integer, cache_read_tokens integer, cache_write_tokens integer, cache_write_long_tokens integer,
  output_tokens integer, reasoning_tokens integer, embedding_tokens integer, web_searches integer)
returns table (pricing_state text, cost_pico bigint)
language sql immutable as $$
  select
    x.state,
    case when x.state <> 'unpriced' then
      input_tokens * coalesce(input_rate, 0)
      + cache_read_tokens * coalesce(cache_read_rate, input_rate, 0)
      + cache_write_tokens * coalesce(cache_write_rate, input_rate, 0)
      + cache_write_long_tokens * coalesce(cache_write_long_rate, cache_write_rate, input_rate, 0)
      + output_tokens * coalesce(output_rate, 0)
      + reasoning_tokens * coalesce(reasoning_rate, output_rate, 0)
      + embedding_tokens * coalesce(embedding_rate, 0)
      + web_searches * coalesce(web_search_rate, 0)
      + coalesce(request_fee, 0) end
  from (
    select
      case when price_id is null or input_tokens is null
             or input_tokens > 0 and input_rate is null
             or cache_read_tokens > 0 and coalesce(cache_read_rate, input_rate) is null
             or cache_write_tokens > 0 and coalesce(cache_write_rate, input_rate) is null
             or cache_write_long_tokens > 0 and coalesce(cache_write_long_rate, cache_write_rate, input_rate) is null
             or output_tokens > 0 and output_rate is null
             or reasoning_tokens > 0 and coalesce(reasoning_rate, output_rate) is null
             or embedding_tokens > 0 and embedding_rate is null
             or web_searches > 0 and web_search_rate is null then 'unpriced'
           when greatest(input_rate, cache_read_rate, cache_write_rate, cache_write_long_rate, output_rate,
                         reasoning_rate, embedding_rate, web_search_rate, request_fee) = 0 then 'free'
           when cache_read_tokens > 0 and cache_read_rate is null
             or cache_write_tokens > 0 and cache_write_rate is null
             or cache_write_long_tokens > 0 and cache_write_long_rate is null
             or reasoning_tokens > 0 and reasoning_rate is null then 'estimated'
           else 'priced' end as state) x
$$;

comment on function cost_of_usage is
  'What a usage costs at the rates of one price, in picodollars; price_id is null when there is none. The same rules as src/pricing, which is the reference.';

create or replace function price_of_call(
  provider text, model text, service_tier text, called_at timestamptz,
  input_tokens integer, cache_read_tokens integer, cache_write_tokens integer, cache_write_long_tokens integer,
  output_tokens integer, reasoning_tokens integer, embedding_tokens integer, web_searches integer)
returns table (price_id bigint, pricing_state text, cost_pico bigint)
language sql stable as $$
  select case when x.pricing_state <> 'unpriced' then p.price_id end, x.pricing_state, x.cost_pico
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
  cross join lateral cost_of_usage(
    p.price_id, p.input_rate, p.cache_read_rate, p.cache_write_rate, p.cache_write_long_rate, p.output_rate,
    p.reasoning_rate, p.embedding_rate, p.web_search_rate, p.request_fee, price_of_call.input_tokens,
    price_of_call.cache_read_tokens, price_of_call.cache_write_tokens, price_of_call.cache_write_long_tokens,
    price_of_call.output_tokens, price_of_call.reasoning_tokens, price_of_call.embedding_tokens,
    price_of_call.web_searches) x
$$;

create function record_call_row(
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

comment on function record_call_row is
  'As record_call_rows for one call, without what is only worth it for many.';

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
      fresh := array(
        select min(u.place)
        from unnest(record_call_rows.run_id, record_call_rows.call_id) with ordinality as u (run_id, call_id, place)
        where not exists (select 1 from llm_call c where c.run_id = u.run_id and c.call_id = u.call_id)
        group by u.run_id, u.call_id);
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

  -- What was not inserted is known, or twice in the batch: the same contents are a duplicate, others a conflict.
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

create or replace function price_run(
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

    -- The journal still says what each call was before: the rollups move by the difference.
    perform add_spend(
      array_agg(d.bucket), array_agg(d.pipeline), array_agg(d.agent), array_agg(d.provider), array_agg(d.model),
      array_agg(0::bigint), array_agg(-d.now_priced), array_agg(0::bigint), array_agg(0::bigint),
      array_agg(0::bigint), array_agg(0::bigint), array_agg(0::bigint), array_agg(0::bigint), array_agg(0::bigint),
      array_agg(0::bigint), array_agg(d.difference))
    from (
      select
        floor(extract(epoch from c.called_at) / 900)::integer as bucket, r.pipeline, c.agent, c.provider, c.model,
        count(*) filter (where c.pricing_state = 'unpriced') as now_priced,
        sum(u.cost_pico - coalesce(c.cost_pico, 0))::bigint as difference
      from unnest(call_ids, costs) as u (call_id, cost_pico)
      join llm_call c on c.run_id = price_run.run_id and c.call_id = u.call_id
      join pipeline_run r on r.run_id = c.run_id
      group by bucket, r.pipeline, c.agent, c.provider, c.model) d;

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
  -- Once an hour whoever finishes a run settles what was spent yesterday and before.
  if exists (select 1 from settlement where settled_at < clock_timestamp() - interval '1 hour') then
    perform settle_spend(clock_timestamp() - interval '1 day');
  end if;
  return run_json(finish_run.run_id);
end $$;


do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on settled_spend_day, settled_spend_bucket, settlement to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on settled_spend_day, settled_spend_bucket, settlement to asmm_operator;
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
