-- Who spent most: agents or models, the most expensive first.
-- $1: first bucket; $2: bucket after the last; $3 to $6: pipeline, agent, provider, model, each may be null for all;
-- $7: whether agents are meant, else models; $8: how many.
select
  case when $7 then s.agent else s.model end as name,
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
group by 1
having sum(s.llm_calls) > 0
order by cost_pico desc, llm_calls desc, name
limit $8
