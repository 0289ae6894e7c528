-- Price rows. $1: provider or null; $2: model or null; $3: origin or null.
select
  price_id,
  origin,
  provider,
  model,
  service_tier,
  effective_from,
  daily_from,
  daily_until,
  revision,
  over_input_tokens,
  input_rate,
  cache_read_rate,
  cache_write_rate,
  cache_write_long_rate,
  output_rate,
  reasoning_rate,
  embedding_rate,
  web_search_rate,
  request_fee,
  source
from model_price
where ($1 is null or provider = $1)
  and ($2 is null or model = $2)
  and ($3 is null or origin = $3)
order by provider, model, service_tier, origin_rank desc, effective_from, revision, over_input_tokens, price_id
