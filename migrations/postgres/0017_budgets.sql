-- Budgets: how much may be spent in a day, a week or a month, and reservations, by which a pipeline asks before it spends.
--
-- Whether a reservation still holds its amount is derived, never written by those who record: it does until its call is
-- in the journal, it is released, or it expires. So recording costs nothing more, and no amount is ever counted twice or
-- not at all: the journal's call and the rollup change together.

create table budget (
  budget_id   bigint generated always as identity primary key,
  name        text collate "C" not null check (char_length(name) between 1 and 200),
  limit_pico  bigint not null check (limit_pico >= 0),
  period      text not null check (period in ('day', 'week', 'month')),
  time_zone   text not null check (char_length(time_zone) between 1 and 200),
  pipeline    text collate "C" check (char_length(pipeline) between 1 and 200),
  agent       text collate "C" check (char_length(agent) between 1 and 200),
  provider    text collate "C" check (char_length(provider) between 1 and 200),
  model       text collate "C" check (char_length(model) between 1 and 200),
  label       text collate "C" check (char_length(label) between 1 and 200),
  label_value text collate "C" check (char_length(label_value) <= 1000),
  is_hard     boolean not null,
  is_removed  boolean not null,
  set_at      timestamptz not null default clock_timestamp(),
  set_by      text not null check (char_length(set_by) between 1 and 200),
  check ((label is null) = (label_value is null))
);
create index budget_name on budget (name, budget_id);

comment on table budget is 'A budget as somebody set it. Setting it anew and removing it add a row: of each name the newest counts.';
comment on column budget.budget_id is 'The row''s number; of one name the highest counts.';
comment on column budget.name is 'What it is called.';
comment on column budget.limit_pico is 'The most that may be spent in a period, in picodollars.';
comment on column budget.period is '`day`, `week` (from Monday) or `month`, of the calendar.';
comment on column budget.time_zone is 'Whose midnight begins a period: an IANA name.';
comment on column budget.pipeline is 'Only calls of this pipeline; null for all.';
comment on column budget.agent is 'Only calls of this agent; null for all.';
comment on column budget.provider is 'Only calls of this provider, as reported; null for all.';
comment on column budget.model is 'Only calls of this model, as reported; null for all.';
comment on column budget.label is 'Only calls of runs that have this label; null for all.';
comment on column budget.label_value is 'What that label says.';
comment on column budget.is_hard is 'Whether a reservation that does not fit is refused; else it is only said.';
comment on column budget.is_removed is 'Whether this row takes the budget back.';
comment on column budget.set_at is 'When.';
comment on column budget.set_by is 'By whom.';

create trigger budget_append_only before update or delete on budget
  for each row execute function refuse_change();
create trigger budget_no_truncate before truncate on budget
  for each statement execute function refuse_change();

create table budget_reservation (
  run_id      uuid not null,
  call_id     uuid not null,
  pipeline    text collate "C" not null check (char_length(pipeline) between 1 and 200),
  agent       text collate "C" not null check (char_length(agent) <= 200),
  provider    text collate "C" not null check (char_length(provider) <= 200),
  model       text collate "C" not null check (char_length(model) <= 200),
  labels      jsonb not null check (jsonb_typeof(labels) = 'object'),
  amount_pico bigint check (amount_pico >= 0),
  reserved_at timestamptz not null,
  expires_at  timestamptz not null,
  state       text not null check (state in ('open', 'released', 'settled')),
  primary key (run_id, call_id)
);
create index budget_reservation_expires_at on budget_reservation (expires_at);
create index budget_reservation_open on budget_reservation (expires_at) where state = 'open';

comment on table budget_reservation is 'What a pipeline asked for before it spent. No record of spending: a row goes a day after it expired.';
comment on column budget_reservation.run_id is 'The run of the call it is for, which may start later.';
comment on column budget_reservation.call_id is 'The call it is for. Once that is recorded, what it cost counts instead.';
comment on column budget_reservation.pipeline is 'The pipeline: the run''s, or what was said before the run was known.';
comment on column budget_reservation.agent is 'The agent; empty when there is none.';
comment on column budget_reservation.provider is 'The provider; empty when it was not said.';
comment on column budget_reservation.model is 'The model; empty when it was not said.';
comment on column budget_reservation.labels is 'The run''s labels: an object of strings.';
comment on column budget_reservation.amount_pico is 'How much, in picodollars; null when the price of what was asked for is unknown.';
comment on column budget_reservation.reserved_at is 'When it was asked for.';
comment on column budget_reservation.expires_at is 'From when on it holds nothing.';
comment on column budget_reservation.state is '`open`, `released`, or `settled`: noted when somebody looks; open_reservation says what holds an amount now.';

create view current_budget as
select
  b.budget_id, b.name, b.limit_pico, b.period, b.time_zone, b.pipeline, b.agent, b.provider, b.model, b.label,
  b.label_value, b.is_hard, b.set_at, b.set_by
from budget b
where not b.is_removed
  and not exists (select 1 from budget o where o.name = b.name and o.budget_id > b.budget_id);

comment on view current_budget is 'The budgets that count now.';

create view open_reservation as
select
  r.run_id, r.call_id, r.pipeline, r.agent, r.provider, r.model, r.amount_pico, r.reserved_at, r.expires_at
from budget_reservation r
where r.state = 'open'
  and not exists (select 1 from llm_call c where c.run_id = r.run_id and c.call_id = r.call_id)
  and not exists (select 1 from archived_part p where p.run_id = r.run_id and r.call_id = any (p.call_ids))
  and not exists (select 1 from withdrawn_call w where w.run_id = r.run_id and w.call_id = r.call_id);

comment on view open_reservation is 'Reservations whose call is not recorded yet; they hold their amount until they expire.';

create view run_label as
select r.run_id, l.key collate "C" as label, l.value collate "C" as value
from pipeline_run r
cross join jsonb_each_text(r.labels) l;

comment on view run_label is 'The labels of runs, a row each.';
comment on column run_label.run_id is 'The run.';
comment on column run_label.label is 'The label''s name.';
comment on column run_label.value is 'What it says.';

create view reservation_label as
select r.run_id, r.call_id, l.key collate "C" as label, l.value collate "C" as value
from budget_reservation r
cross join jsonb_each_text(r.labels) l;

comment on view reservation_label is 'The labels of reservations, a row each.';
comment on column reservation_label.run_id is 'The reservation''s run.';
comment on column reservation_label.call_id is 'The reservation''s call.';
comment on column reservation_label.label is 'The label''s name.';
comment on column reservation_label.value is 'What it says.';

-- A view's column is what the table's column is.
do $$
declare
  missing record;
begin
  for missing in
    select v.attrelid::regclass as relation, v.attname as column_name, col_description(o.attrelid, o.attnum) as meaning
    from (values ('current_budget'::regclass, 'budget'::regclass), ('open_reservation', 'budget_reservation'))
           as pair (view, of)
    join pg_attribute v on v.attrelid = pair.view and v.attnum > 0
    join pg_attribute o on o.attrelid = pair.of and o.attname = v.attname
  loop
    execute format('comment on column %s.%I is %L', missing.relation, missing.column_name, missing.meaning);
  end loop;
end $$;

create function usd_text(pico numeric) returns text
language sql immutable as $$
  select trim_scale(pico * 0.000000000001)::text
$$;

comment on function usd_text is 'Picodollars as exact decimal text in dollars.';

create function in_budget(b budget, pipeline text, agent text, provider text, model text, labels jsonb) returns boolean
language sql immutable as $$
  select (b.pipeline is null or b.pipeline = in_budget.pipeline)
    and (b.agent is null or b.agent = in_budget.agent)
    and (b.provider is null or b.provider = in_budget.provider)
    and (b.model is null or b.model = in_budget.model)
    and (b.label is null or coalesce(in_budget.labels ->> b.label = b.label_value, false))
$$;

comment on function in_budget is 'Whether a call with these names and labels counts in a budget.';

create function day_start(day date, time_zone text) returns timestamptz
language sql stable as $$
  -- The first moment of the day: Postgres means the second midnight where there are two, and a moment after the gap
  -- where there is none.
  select min(c.moment)
  from (
    select (day_start.day::timestamp at time zone day_start.time_zone) - n * interval '15 minutes' as moment
    from generate_series(0, 12) n) c
  where (c.moment at time zone day_start.time_zone)::date >= day_start.day
$$;

comment on function day_start is 'When a day begins in a time zone.';

create function budget_period(period text, time_zone text, moment timestamptz)
returns table (since timestamptz, until timestamptz)
language sql stable as $$
  select day_start(f.first::date, budget_period.time_zone),
         day_start((f.first + ('1 ' || budget_period.period)::interval)::date, budget_period.time_zone)
  from (
    select date_trunc(budget_period.period, budget_period.moment at time zone budget_period.time_zone) as first) f
$$;

comment on function budget_period is 'The day, week (from Monday) or month that a moment is in, in a time zone.';

-- The same sums as queries/budget_use.sql and queries/budget_use_labelled.sql.
create function budget_use(b budget, since timestamptz, until timestamptz, moment timestamptz)
returns table (
  llm_calls bigint, unpriced_calls bigint, spent_pico numeric, unpriced_reservations bigint, reserved_pico numeric)
language plpgsql stable as $$
#variable_conflict use_column
declare
  -- A quarter of an hour that the period's edge cuts counts whole.
  first_bucket constant integer := floor(extract(epoch from budget_use.since) / 900);
  after_bucket constant integer := ceil(extract(epoch from budget_use.until) / 900);
  first_day constant integer := ceil(first_bucket / 96.0);
  after_day constant integer := greatest(floor(after_bucket / 96.0), first_day);
begin
  if b.label is null then
    return query
      with used as (
        select s.llm_calls, s.unpriced_calls, s.cost_pico
        from (
          select d.pipeline, d.agent, d.provider, d.model, d.llm_calls, d.unpriced_calls, d.cost_pico
          from settled_spend_day d
          where d.day >= first_day and d.day < after_day
          union all
          select l.pipeline, l.agent, l.provider, l.model, l.llm_calls, l.unpriced_calls, l.cost_pico
          from spend_rollup l
          where l.lane > 0 and l.bucket >= first_day * 96 and l.bucket < after_day * 96
          union all
          select e.pipeline, e.agent, e.provider, e.model, e.llm_calls, e.unpriced_calls, e.cost_pico
          from spend_rollup e
          where e.bucket >= first_bucket and e.bucket < least(first_day * 96, after_bucket)
          union all
          select e.pipeline, e.agent, e.provider, e.model, e.llm_calls, e.unpriced_calls, e.cost_pico
          from spend_rollup e
          where e.bucket >= greatest(after_day * 96, first_bucket) and e.bucket < after_bucket) s
        where (b.pipeline is null or s.pipeline = b.pipeline)
          and (b.agent is null or s.agent = b.agent)
          and (b.provider is null or s.provider = b.provider)
          and (b.model is null or s.model = b.model)
      ), held as (
        select o.amount_pico
        from open_reservation o
        where o.expires_at > budget_use.moment
          and (b.pipeline is null or o.pipeline = b.pipeline)
          and (b.agent is null or o.agent = b.agent)
          and (b.provider is null or o.provider = b.provider)
          and (b.model is null or o.model = b.model)
      )
      select u.llm_calls, u.unpriced_calls, u.spent_pico, h.unpriced_reservations, h.reserved_pico
      from (
        select
          coalesce(sum(used.llm_calls), 0)::bigint as llm_calls,
          coalesce(sum(used.unpriced_calls), 0)::bigint as unpriced_calls,
          coalesce(sum(used.cost_pico), 0)::numeric as spent_pico
        from used) u
      cross join (
        select count(*) - count(held.amount_pico) as unpriced_reservations,
               coalesce(sum(held.amount_pico), 0)::numeric as reserved_pico
        from held) h;
  else
    return query
      with used as (
        select s.llm_calls, s.unpriced_calls, s.cost_pico
        from journal_spend s
        join pipeline_run r on r.run_id = s.run_id
        where s.called_at >= to_timestamp(first_bucket * 900::bigint)
          and s.called_at < to_timestamp(after_bucket * 900::bigint)
          and s.bucket >= first_bucket and s.bucket < after_bucket
          and r.labels ->> b.label = b.label_value
          and (b.pipeline is null or s.pipeline = b.pipeline)
          and (b.agent is null or s.agent = b.agent)
          and (b.provider is null or s.provider = b.provider)
          and (b.model is null or s.model = b.model)
      ), held as (
        select o.amount_pico
        from open_reservation o
        join budget_reservation r on r.run_id = o.run_id and r.call_id = o.call_id
        where o.expires_at > budget_use.moment
          and r.labels ->> b.label = b.label_value
          and (b.pipeline is null or o.pipeline = b.pipeline)
          and (b.agent is null or o.agent = b.agent)
          and (b.provider is null or o.provider = b.provider)
          and (b.model is null or o.model = b.model)
      )
      select u.llm_calls, u.unpriced_calls, u.spent_pico, h.unpriced_reservations, h.reserved_pico
      from (
        select
          coalesce(sum(used.llm_calls), 0)::bigint as llm_calls,
          coalesce(sum(used.unpriced_calls), 0)::bigint as unpriced_calls,
          coalesce(sum(used.cost_pico), 0)::numeric as spent_pico
        from used) u
      cross join (
        select count(*) - count(held.amount_pico) as unpriced_reservations,
               coalesce(sum(held.amount_pico), 0)::numeric as reserved_pico
        from held) h;
  end if;
end $$;

comment on function budget_use is
  'What a period of a budget has used, and what reservations hold of it at a moment: of one instant, so that no call is in both or in neither.';

create function ask_budgets(
  pipeline text, agent text, provider text, model text, labels jsonb, amount_pico bigint, moment timestamptz)
returns table (budgets jsonb, refused_by text)
language plpgsql stable as $$
#variable_conflict use_column
declare
  b budget%rowtype;
  p record;
  u record;
  fits boolean;
begin
  budgets := '[]';
  for b in
    select o.*
    from budget o
    join current_budget c on c.budget_id = o.budget_id
    where in_budget(
      o, ask_budgets.pipeline, ask_budgets.agent, ask_budgets.provider, ask_budgets.model, ask_budgets.labels)
    order by o.name
  loop
    select * into p from budget_period(b.period, b.time_zone, ask_budgets.moment);
    select * into u from budget_use(b, p.since, p.until, ask_budgets.moment);
    fits := u.spent_pico + u.reserved_pico + ask_budgets.amount_pico <= b.limit_pico;
    if b.is_hard and not fits then
      refused_by := coalesce(refused_by, b.name);
    end if;
    budgets := budgets || jsonb_build_object(
      'budget', b.name, 'is_hard', b.is_hard, 'fits', fits, 'limit_usd', usd_text(b.limit_pico),
      'spent_usd', usd_text(u.spent_pico), 'reserved_usd', usd_text(u.reserved_pico), 'llm_calls', u.llm_calls,
      'unpriced_calls', u.unpriced_calls, 'unpriced_reservations', u.unpriced_reservations,
      'period', b.period, 'time_zone', b.time_zone, 'since', p.since, 'until', p.until);
  end loop;
  return next;
end $$;

comment on function ask_budgets is
  'The budgets that a call counts in, with what they have used, whether an amount more fits, and the first hard one in which it does not.';

create function reserve(
  run_id uuid, call_id uuid, amount_usd numeric default null, input_tokens integer default null,
  output_tokens integer default null, pipeline text default null, labels jsonb default null, agent text default null,
  provider text default null, model text default null, service_tier text default 'standard',
  expires_in_seconds integer default 600, refuse_unpriced boolean default false,
  reserved_at timestamptz default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  asked budget_reservation%rowtype;
  kept budget_reservation%rowtype;
  answer record;
  moment timestamptz;
  reason text;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a reservation cannot be made in a transaction that is %', current_setting('transaction_isolation')
      using errcode = 'AS400', hint = 'it must see what others reserve meanwhile: use read committed, the default';
  elsif reserve.run_id is null or reserve.call_id is null then
    raise exception '`%` is missing', case when reserve.run_id is null then 'run_id' else 'call_id' end
      using errcode = 'AS400', hint = 'make the ids of the run and of the call before the call, and record it with them';
  elsif (reserve.amount_usd is null) = (coalesce(reserve.input_tokens, reserve.output_tokens) is null) then
    raise exception 'the amount is to be given in dollars or in tokens'
      using errcode = 'AS400', hint = 'give `amount_usd`, or `input_tokens` and the most `output_tokens`';
  elsif not coalesce(reserve.amount_usd, 0) between 0 and 9223372
     or trunc(reserve.amount_usd * 1000000000000) <> reserve.amount_usd * 1000000000000 then
    raise exception '`amount_usd` % is not an amount of dollars', reserve.amount_usd
      using errcode = 'AS400', hint = 'it is 0 to 9223372, with at most 12 decimals';
  elsif not (coalesce(reserve.input_tokens, 0) between 0 and 1000000000
             and coalesce(reserve.output_tokens, 0) between 0 and 1000000000) then
    raise exception '`input_tokens` and `output_tokens` are 0 to 1000000000' using errcode = 'AS400';
  elsif coalesce(reserve.expires_in_seconds, 0) not between 1 and 86400 then
    raise exception '`expires_in_seconds` is %; it takes 1 to 86400', coalesce(reserve.expires_in_seconds::text, 'null')
      using errcode = 'AS400', hint = 'a reservation is for one call: some minutes';
  end if;
  perform check_name('agent', reserve.agent, false), check_name('provider', reserve.provider, false),
          check_name('model', reserve.model, false), check_name('service_tier', reserve.service_tier, true),
          check_name('pipeline', reserve.pipeline, false), check_time('reserved_at', reserve.reserved_at);
  perform check_labels(coalesce(reserve.labels, '{}'));

  -- Budgets are changed while nobody reserves: see Store::set_budget.
  perform pg_advisory_xact_lock_shared(7310580, hashtext(current_schema()));
  select r.pipeline, r.labels into asked.pipeline, asked.labels from pipeline_run r where r.run_id = reserve.run_id;
  if not found then
    if coalesce(reserve.pipeline, '') = '' then
      raise exception 'run `%` is unknown, and no `pipeline` is given', reserve.run_id
        using errcode = 'AS404', hint = 'start it first: start_run, or `asmm runs start --run-id`; or say its pipeline';
    end if;
    asked.pipeline := reserve.pipeline;
    asked.labels := coalesce(reserve.labels, '{}');
  end if;
  asked.agent := coalesce(reserve.agent, '');
  asked.provider := coalesce(reserve.provider, '');
  asked.model := coalesce(reserve.model, '');

  -- One at a time for each hard budget, until the end of the transaction.
  perform 1
  from budget b
  where b.is_hard
    and exists (select 1 from current_budget c where c.budget_id = b.budget_id)
    and in_budget(b, asked.pipeline, asked.agent, asked.provider, asked.model, asked.labels)
  order by b.budget_id
  for update;
  moment := coalesce(reserve.reserved_at, clock_timestamp());

  if reserve.amount_usd is not null then
    asked.amount_pico := reserve.amount_usd * 1000000000000;
  else
    select x.cost_pico into asked.amount_pico
    from price_of_call(
      asked.provider, asked.model, reserve.service_tier, moment, coalesce(reserve.input_tokens, 0), 0, 0, 0,
      coalesce(reserve.output_tokens, 0), 0, 0, 0) x;
  end if;

  select r.* into kept
  from budget_reservation r
  where r.run_id = reserve.run_id and r.call_id = reserve.call_id
  for update;
  if (known_calls(array[reserve.run_id], array[reserve.call_id]))[1]
     or exists (select 1 from withdrawn_call w where w.run_id = reserve.run_id and w.call_id = reserve.call_id) then
    update budget_reservation r set state = 'settled'
    where r.run_id = reserve.run_id and r.call_id = reserve.call_id and r.state = 'open';
    kept.state := 'settled';
  elsif kept.state = 'open' and kept.expires_at > moment then
    if reserve.amount_usd is not null and kept.amount_pico is distinct from asked.amount_pico then
      raise exception 'call `%` has a reservation of another amount: % USD', reserve.call_id,
        coalesce(usd_text(kept.amount_pico), 'unknown')
        using errcode = 'AS409', hint = 'release it first, or give the call another id';
    end if;
  else
    kept := null;
  end if;
  if kept.state is not null then
    -- Asked again: nothing changes, and the answer is the same.
    select * into answer
    from ask_budgets(asked.pipeline, asked.agent, asked.provider, asked.model, asked.labels, 0, moment);
    return jsonb_build_object(
      'granted', true, 'reason', null, 'refused_by', null, 'state', kept.state, 'run_id', reserve.run_id,
      'call_id', reserve.call_id,
      'amount_usd', usd_text(case when kept.run_id is null then asked.amount_pico else kept.amount_pico end),
      'expires_at', kept.expires_at, 'budgets', answer.budgets);
  end if;

  -- Of those whose call is recorded by now, so that each is looked up once; and away with what is long over.
  update budget_reservation r
  set state = 'settled'
  where (r.run_id, r.call_id) in (
    select s.run_id, s.call_id
    from budget_reservation s
    where s.state = 'open' and s.expires_at > moment
      and exists (select 1 from llm_call c where c.run_id = s.run_id and c.call_id = s.call_id)
    for update skip locked);
  delete from budget_reservation r
  where (r.run_id, r.call_id) in (
    select s.run_id, s.call_id
    from budget_reservation s
    where s.expires_at < moment - interval '1 day'
    order by s.expires_at
    limit 100
    for update skip locked);

  select * into answer
  from ask_budgets(
    asked.pipeline, asked.agent, asked.provider, asked.model, asked.labels, coalesce(asked.amount_pico, 0), moment);
  reason := case when answer.refused_by is not null then 'over_budget'
                 when asked.amount_pico is null and reserve.refuse_unpriced then 'unpriced' end;
  if reason is null then
    insert into budget_reservation as r (
      run_id, call_id, pipeline, agent, provider, model, labels, amount_pico, reserved_at, expires_at, state)
    values (
      reserve.run_id, reserve.call_id, asked.pipeline, asked.agent, asked.provider, asked.model, asked.labels,
      asked.amount_pico, moment, moment + reserve.expires_in_seconds * interval '1 second', 'open')
    on conflict (run_id, call_id) do update
    set pipeline = excluded.pipeline, agent = excluded.agent, provider = excluded.provider, model = excluded.model,
        labels = excluded.labels, amount_pico = excluded.amount_pico, reserved_at = excluded.reserved_at,
        expires_at = excluded.expires_at, state = 'open'
    returning r.* into kept;
    -- With what is held now.
    select
      coalesce(jsonb_agg(
        e || jsonb_build_object(
          'reserved_usd',
          trim_scale((e ->> 'reserved_usd')::numeric + coalesce(asked.amount_pico, 0) * 0.000000000001)::text,
          'unpriced_reservations',
          (e ->> 'unpriced_reservations')::bigint + case when asked.amount_pico is null then 1 else 0 end)
        order by place), '[]') as budgets,
      null as refused_by
    into answer
    from jsonb_array_elements(answer.budgets) with ordinality as a (e, place);
  end if;
  return jsonb_build_object(
    'granted', reason is null, 'reason', reason,
    'refused_by', answer.refused_by, 'state', kept.state,
    'run_id', reserve.run_id, 'call_id', reserve.call_id, 'amount_usd', usd_text(asked.amount_pico),
    'expires_at', kept.expires_at, 'budgets', answer.budgets);
end $$;

comment on function reserve is
  'Asks, before a call, whether it fits into the budgets it counts in, and holds its amount until the call is recorded under these ids, it is released, or it expires. Never more than a hard budget''s limit is held and spent together, however many ask at once. The same ids again change nothing and get the same answer. The amount is given in dollars, or as tokens, which are priced by the catalogue; without a known price it is granted with an amount of null, unless refuse_unpriced says otherwise.';

create function release(run_id uuid, call_id uuid) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  released boolean;
begin
  update budget_reservation r
  set state = 'released'
  where r.run_id = release.run_id and r.call_id = release.call_id and r.state = 'open'
    and exists (select 1 from open_reservation o where o.run_id = r.run_id and o.call_id = r.call_id);
  released := found;
  return jsonb_build_object('run_id', release.run_id, 'call_id', release.call_id, 'released', released);
end $$;

comment on function release is
  'Gives a reservation back whose call will not be made. Answers whether there was one to give back: not after its call was recorded, and not twice.';

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    grant execute on function reserve, release to asmm_writer;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on budget, budget_reservation, current_budget, open_reservation, run_label, reservation_label
      to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on budget, budget_reservation, current_budget, open_reservation, run_label, reservation_label
      to asmm_operator;
    grant insert on budget to asmm_operator;
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
