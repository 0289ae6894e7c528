-- The tokens that a run has given, with the fingerprints of their values. $1: the run's id.
select distinct
  g.token,
  g.fingerprint
from guard_event g
where g.run_id = $1
  and g.token is not null
  and g.fingerprint is not null
order by g.token
