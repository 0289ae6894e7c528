-- Runs with a call that is meant. $1: called at or after, $2: called before, $3: provider, $4: model; each may be null.
select distinct run_id
from llm_call
where ($1 is null or called_at >= $1)
  and ($2 is null or called_at < $2)
  and ($3 is null or provider = $3)
  and ($4 is null or model = $4)
order by run_id
