-- What the archived calls of a range cost, of which the ledger keeps neither tokens per price nor prompt versions.
-- $1: first bucket; $2: bucket after the last; $3, $4, $5: whether to tell apart pipelines, agents, models;
-- $6 to $10: pipeline, agent, provider, model, the run's status, each may be null for all.
select
  case when $3 then r.pipeline end as pipeline,
  case when $4 then a.agent end as agent,
  case when $5 then a.provider end as provider,
  case when $5 then a.model end as model,
  cast(sum(a.llm_calls) as bigint) as llm_calls,
  sum(a.cost_pico) as cost_pico
from archived_spend a
join pipeline_run r on r.run_id = a.run_id
join status_lookup s on s.status_id = r.status_id
where a.bucket >= $1
  and a.bucket < $2
  and ($6 is null or r.pipeline = $6)
  and ($7 is null or a.agent = $7)
  and ($8 is null or a.provider = $8)
  and ($9 is null or a.model = $9)
  and ($10 is null or s.code = $10)
group by 1, 2, 3, 4
