-- As budget_use.sql, for runs with a label: from the journal, since the rollup does not tell runs apart.
-- It is a text of its own because Postgres, in one for both, plans the journal's part for budgets without a label as well, which
-- takes longer than their whole answer.
-- $1: first bucket; $2: bucket after the last; $3, $4: when these begin; $5 to $8: pipeline, agent, provider, model, each may be null for all; $9: now;
-- $10, $11: the label and what it says.
with used as (
  select s.llm_calls, s.unpriced_calls, s.cost_pico
  from journal_spend s
  join run_label l on l.run_id = s.run_id
  where s.called_at >= $3
    and s.called_at < $4
    and s.bucket >= $1
    and s.bucket < $2
    and l.label = $10
    and l.value = $11
    and ($5 is null or s.pipeline = $5)
    and ($6 is null or s.agent = $6)
    and ($7 is null or s.provider = $7)
    and ($8 is null or s.model = $8)
), held as (
  select o.amount_pico
  from open_reservation o
  join reservation_label l on l.run_id = o.run_id and l.call_id = o.call_id
  where o.expires_at > $9
    and l.label = $10
    and l.value = $11
    and ($5 is null or o.pipeline = $5)
    and ($6 is null or o.agent = $6)
    and ($7 is null or o.provider = $7)
    and ($8 is null or o.model = $8)
)
select u.llm_calls, u.unpriced_calls, u.spent_pico, h.reservations, h.unpriced_reservations, h.reserved_pico
from (
  select
    cast(coalesce(sum(llm_calls), 0) as bigint) as llm_calls,
    cast(coalesce(sum(unpriced_calls), 0) as bigint) as unpriced_calls,
    coalesce(sum(cost_pico), 0) as spent_pico
  from used) u
cross join (
  select
    count(*) as reservations,
    count(*) - count(amount_pico) as unpriced_reservations,
    coalesce(sum(amount_pico), 0) as reserved_pico
  from held) h
