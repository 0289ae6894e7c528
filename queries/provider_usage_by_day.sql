-- What providers say of each day, by report, model and line item: the buckets that count. A sum is null where no line says anything.
-- $1: the first day, counted from 1970-01-01 UTC; $2: the day after the last.
select
  cast(b.day as bigint) as day,
  b.provider,
  b.report,
  u.model,
  u.line_item,
  cast(sum(u.requests) as bigint) as requests,
  cast(sum(u.input_tokens) as bigint) as input_tokens,
  cast(sum(u.cache_read_tokens) as bigint) as cache_read_tokens,
  cast(sum(u.cache_write_tokens) as bigint) as cache_write_tokens,
  cast(sum(u.cache_write_long_tokens) as bigint) as cache_write_long_tokens,
  cast(sum(u.llm_tokens_output) as bigint) as llm_tokens_output,
  cast(sum(u.embedding_tokens) as bigint) as embedding_tokens,
  cast(sum(u.web_searches) as bigint) as web_searches,
  sum(u.billed_pico) as billed_pico
from provider_bucket b
join provider_usage u on u.bucket_id = b.bucket_id
where b.day >= $1
  and b.day < $2
  and not exists (
    select 1
    from provider_bucket newer
    where newer.provider = b.provider
      and newer.report = b.report
      and newer.day = b.day
      and newer.starts_at <= b.starts_at
      and newer.ends_at >= b.ends_at
      and newer.bucket_id > b.bucket_id)
group by b.day, b.provider, b.report, u.model, u.line_item
order by 1, 2, 3, 4 nulls last, 5 nulls last
