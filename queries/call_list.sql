-- A run's calls in order. $1: the run's id; $2, $3: after the call with this time and id (null from the start); $4: how many.
select *
from llm_call c
where c.run_id = $1
  and ($2 is null or c.called_at > $2 or (c.called_at = $2 and c.call_id > $3))
order by c.called_at, c.call_id
limit $4
