-- A run's calls that may leave the journal, in the order of their ids, a page at a time. $1: the run; $2: after this call
-- (null from the start); $3: how many.
select *
from llm_call c
where c.run_id = $1
  and ($2 is null or c.call_id > $2)
  and c.pricing_state <> 'unpriced'
order by c.call_id
limit $3
