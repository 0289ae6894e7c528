-- Reported names of unpriced calls that were not resolved against the newest catalogue.
select distinct c.provider, c.model
from llm_call c
where c.pricing_state = 'unpriced'
  and not exists (
    select 1
    from model_alias a
    where a.model = c.model
      and a.provider = c.provider
      and a.origin = 'catalogue'
      and (a.target_model is not null or a.revision >= (select max(revision) from price_catalogue)))
order by c.provider, c.model
