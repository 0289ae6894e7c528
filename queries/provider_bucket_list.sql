-- The buckets of providers' exports that count: no newer one covers them.
-- $1: the provider, $2: the report, each may be null for all; $3: the first day, counted from 1970-01-01 UTC; $4: the day after the last.
select
  b.bucket_id,
  b.provider,
  b.report,
  cast(b.day as bigint) as day,
  b.starts_at,
  b.ends_at,
  b.sha256
from provider_bucket b
where ($1 is null or b.provider = $1)
  and ($2 is null or b.report = $2)
  and b.day >= $3
  and b.day < $4
  and not exists (
    select 1
    from provider_bucket newer
    where newer.provider = b.provider
      and newer.report = b.report
      and newer.day = b.day
      and newer.starts_at <= b.starts_at
      and newer.ends_at >= b.ends_at
      and newer.bucket_id > b.bucket_id)
order by b.provider, b.report, b.starts_at, b.ends_at
