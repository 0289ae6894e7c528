-- What a period of a budget has used, and what reservations hold of it, of one instant: no call is in both or in neither.
-- The settled sums answer for whole days (UTC), with the open lanes of the rollup; the rollup for the edges.
-- $1: first bucket; $2: bucket after the last; $3, $4: the whole days between, and the day after them, counted from
-- 1970-01-01; $5 to $8: pipeline, agent, provider, model, each may be null for all; $9: now.
with used as (
  select s.llm_calls, s.unpriced_calls, s.cost_pico
  from (
    select pipeline, agent, provider, model, llm_calls, unpriced_calls, cost_pico
    from settled_spend_day
    where day >= $3 and day < $4
    union all
    select pipeline, agent, provider, model, llm_calls, unpriced_calls, cost_pico
    from spend_rollup
    where lane > 0 and bucket >= $3 * 96 and bucket < $4 * 96
    union all
    select pipeline, agent, provider, model, llm_calls, unpriced_calls, cost_pico
    from spend_rollup
    where bucket >= $1 and bucket < $2 and bucket < $3 * 96
    union all
    select pipeline, agent, provider, model, llm_calls, unpriced_calls, cost_pico
    from spend_rollup
    where bucket >= $1 and bucket < $2 and bucket >= $4 * 96) s
  where ($5 is null or s.pipeline = $5)
    and ($6 is null or s.agent = $6)
    and ($7 is null or s.provider = $7)
    and ($8 is null or s.model = $8)
), held as (
  select o.amount_pico
  from open_reservation o
  where o.expires_at > $9
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
