-- Spend by quarter of an hour, all of it.
-- $1: first bucket; $2: bucket after the last; $3 to $6: pipeline, agent, provider, model, each may be null for all.
select
  cast(s.bucket as bigint) as bucket,
  cast(sum(s.llm_calls) as bigint) as llm_calls,
  cast(sum(s.unpriced_calls) as bigint) as unpriced_calls,
  sum(s.cost_pico) as cost_pico
from spend_rollup s
where s.bucket >= $1
  and s.bucket < $2
  and ($3 is null or s.pipeline = $3)
  and ($4 is null or s.agent = $4)
  and ($5 is null or s.provider = $5)
  and ($6 is null or s.model = $6)
group by s.bucket
