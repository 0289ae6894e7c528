-- Every name that was ever reported or resolved.
select provider, model from model_alias where origin = 'catalogue'
union
select provider, model from spend_rollup
order by provider, model
