-- Budgets: how much may be spent in a day, a week or a month, and reservations, by which a pipeline asks before it spends.
--
-- Whether a reservation still holds its amount is derived, never written by those who record: it does until its call is
-- in the journal, it is released, or it expires. So recording costs nothing more, and no amount is ever counted twice or
-- not at all: the journal's call and the rollup change together.

create table budget (
  budget_id   integer primary key,
  name        text not null check (length(name) between 1 and 200),
  limit_pico  integer not null check (limit_pico >= 0),
  period      text not null check (period in ('day', 'week', 'month')),
  time_zone   text not null check (length(time_zone) between 1 and 200),
  pipeline    text check (length(pipeline) between 1 and 200),
  agent       text check (length(agent) between 1 and 200),
  provider    text check (length(provider) between 1 and 200),
  model       text check (length(model) between 1 and 200),
  label       text check (length(label) between 1 and 200),
  label_value text check (length(label_value) <= 1000),
  is_hard     integer not null check (is_hard in (0, 1)),
  is_removed  integer not null check (is_removed in (0, 1)),
  set_at      integer not null,
  set_by      text not null check (length(set_by) between 1 and 200),
  check ((label is null) = (label_value is null))
) strict;
create index budget_name on budget (name, budget_id);

create trigger budget_no_update before update on budget begin
  select raise(abort, 'budget is append-only: update is refused');
end;
create trigger budget_no_delete before delete on budget begin
  select raise(abort, 'budget is append-only: delete is refused');
end;
create trigger budget_no_replace before insert on budget
when exists (select 1 from budget where budget_id = new.budget_id) begin
  select raise(abort, 'budget is append-only: replacing a row is refused');
end;

create table budget_reservation (
  run_id      blob not null check (length(run_id) = 16),
  call_id     blob not null check (length(call_id) = 16),
  pipeline    text not null check (length(pipeline) between 1 and 200),
  agent       text not null check (length(agent) <= 200),
  provider    text not null check (length(provider) <= 200),
  model       text not null check (length(model) <= 200),
  labels      text not null check (json_type(labels) = 'object'),
  amount_pico integer check (amount_pico >= 0),
  reserved_at integer not null,
  expires_at  integer not null,
  state       text not null check (state in ('open', 'released', 'settled')),
  primary key (run_id, call_id)
) strict, without rowid;
create index budget_reservation_expires_at on budget_reservation (expires_at);
create index budget_reservation_open on budget_reservation (expires_at) where state = 'open';

create view current_budget as
select
  b.budget_id, b.name, b.limit_pico, b.period, b.time_zone, b.pipeline, b.agent, b.provider, b.model, b.label,
  b.label_value, b.is_hard, b.set_at, b.set_by
from budget b
where not b.is_removed
  and not exists (select 1 from budget o where o.name = b.name and o.budget_id > b.budget_id);

-- An archived part's ids lie one after the other, 16 bytes each.
create view open_reservation as
select
  r.run_id, r.call_id, r.pipeline, r.agent, r.provider, r.model, r.amount_pico, r.reserved_at, r.expires_at
from budget_reservation r
where r.state = 'open'
  and not exists (select 1 from llm_call c where c.run_id = r.run_id and c.call_id = r.call_id)
  and not exists (
    select 1 from archived_part p where p.run_id = r.run_id and instr(p.call_ids, r.call_id) % 16 = 1)
  and not exists (select 1 from withdrawn_call w where w.run_id = r.run_id and w.call_id = r.call_id);

create view run_label as
select r.run_id, l.key as label, l.value as value
from pipeline_run r
join json_each(r.labels) l;

create view reservation_label as
select r.run_id, r.call_id, l.key as label, l.value as value
from budget_reservation r
join json_each(r.labels) l;
