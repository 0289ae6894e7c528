-- The price entry that a reported name means. $1: the provider, $2: the model, as reported.
select target_provider, target_model
from v_model_alias
where model = $2
  and (provider = $1 or (provider = '' and origin = 'user'))
order by origin = 'user' desc, provider = $1 desc
limit 1
