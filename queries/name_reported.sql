-- Every name that was ever reported or resolved, and those of the user's own prices.
select provider, model from model_alias where origin = 'catalogue'
union
select provider, model from spend_rollup
union
select provider, model from model_price where origin <> 'vendored'
order by provider, model
