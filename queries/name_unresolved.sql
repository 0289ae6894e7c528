-- Reported names of unpriced calls that were not resolved against the newest catalogue. Each name is one look into the
-- index of unpriced calls, however many calls there are.
with recursive
provider as (
  select min(c.provider) as provider
  from llm_call c
  where c.pricing_state = 'unpriced'
  union all
  select (select min(c.provider) from llm_call c where c.pricing_state = 'unpriced' and c.provider > p.provider)
  from provider p
  where p.provider is not null
),
name as (
  select
    p.provider,
    (select min(c.model) from llm_call c where c.pricing_state = 'unpriced' and c.provider = p.provider) as model
  from provider p
  where p.provider is not null
  union all
  select
    n.provider,
    (select min(c.model)
     from llm_call c
     where c.pricing_state = 'unpriced' and c.provider = n.provider and c.model > n.model)
  from name n
  where n.model is not null
)
select n.provider, n.model
from name n
where n.model is not null
  and not exists (
    select 1
    from model_alias a
    where a.model = n.model
      and a.provider = n.provider
      and a.origin = 'catalogue'
      and (a.target_model is not null or a.revision >= (select max(revision) from price_catalogue)))
order by n.provider, n.model
