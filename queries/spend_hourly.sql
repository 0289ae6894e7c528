-- Spend by local hour of each pipeline, each agent and each model that matters, in a stretch of time with one offset from UTC.
-- What matters is said by a part of the time: who spent enough in it, and which pipeline had enough unpriced calls.
-- Hours are counted from 1970-01-01 in local time. It reads the rollup of the stretch once, and sums what is left of it.
-- $1: first bucket; $2: bucket after the last; $3: seconds to add to UTC for local time; $4, $5: first bucket of the part, and
-- the one after its last; $6: picodollars spent in it at least, or, of a pipeline, $7: unpriced calls at least;
-- $8: pipeline, may be null for all.
with hours as materialized (
  select
    (cast(s.bucket as bigint) * 900 + $3) / 3600 as hour,
    s.pipeline,
    s.agent,
    s.provider,
    s.model,
    sum(s.llm_calls) as llm_calls,
    sum(s.unpriced_calls) as unpriced_calls,
    sum(s.cost_pico) as cost_pico
  from spend_rollup s
  where s.bucket >= $1
    and s.bucket < $2
    and ($8 is null or s.pipeline = $8)
  group by 1, 2, 3, 4, 5),
part as materialized (
  select
    s.pipeline,
    s.agent,
    s.provider,
    s.model,
    sum(s.unpriced_calls) as unpriced_calls,
    sum(s.cost_pico) as cost_pico
  from spend_rollup s
  where s.bucket >= $4
    and s.bucket < $5
    and ($8 is null or s.pipeline = $8)
  group by 1, 2, 3, 4)
select
  'pipeline' as dimension,
  '' as provider,
  h.pipeline as name,
  h.hour,
  cast(sum(h.llm_calls) as bigint) as llm_calls,
  cast(sum(h.unpriced_calls) as bigint) as unpriced_calls,
  sum(h.cost_pico) as cost_pico
from hours h
where h.pipeline in (
  select p.pipeline
  from part p
  group by p.pipeline
  having sum(p.cost_pico) >= $6 or sum(p.unpriced_calls) >= $7)
group by h.pipeline, h.hour
union all
select
  'agent',
  '',
  h.agent,
  h.hour,
  cast(sum(h.llm_calls) as bigint),
  cast(sum(h.unpriced_calls) as bigint),
  sum(h.cost_pico)
from hours h
where h.agent in (
  select p.agent
  from part p
  group by p.agent
  having sum(p.cost_pico) >= $6)
group by h.agent, h.hour
union all
select
  'model',
  h.provider,
  h.model,
  h.hour,
  cast(sum(h.llm_calls) as bigint),
  cast(sum(h.unpriced_calls) as bigint),
  sum(h.cost_pico)
from hours h
join (
  select p.provider, p.model
  from part p
  group by p.provider, p.model
  having sum(p.cost_pico) >= $6) m on m.provider = h.provider and m.model = h.model
group by h.provider, h.model, h.hour
