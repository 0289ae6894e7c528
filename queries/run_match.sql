-- Ids of runs that start or end with a text, with their hyphens or, as trace ids are written, without; at most five of
-- the newest. $1: the text, lower-case; $2: its length.
select run_id
from v_run
where substr(run_id, 1, $2) = $1
   or substr(run_id, 37 - $2) = $1
   or ($2 <= 32
       and (substr(replace(run_id, '-', ''), 1, $2) = $1 or substr(replace(run_id, '-', ''), 33 - $2) = $1))
order by started_at desc, run_id
limit 5
