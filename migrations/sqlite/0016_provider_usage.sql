-- What providers say was used and what they billed: the exports that the ledger is reconciled with (`asmm spend reconcile`).
--
-- An export is of buckets of time. A later import of a bucket, or of one that covers it, takes its place: both stay, and the newest
-- counts. Nothing of this is in the journal, the counters or the rollup.

create table provider_bucket (
  bucket_id   integer primary key,
  provider    text not null check (length(provider) between 1 and 200),
  report      text not null check (report in ('completions', 'embeddings', 'messages', 'costs')),
  day         integer not null,
  starts_at   integer not null,
  ends_at     integer not null,
  revision    integer not null check (revision >= 1),
  sha256      blob not null check (length(sha256) = 32),
  lines       integer not null check (lines >= 0),
  source      text not null check (length(source) between 1 and 1000),
  imported_at integer not null,
  imported_by text not null,
  unique (provider, report, starts_at, ends_at, revision),
  check (starts_at < ends_at)
) strict;
create index provider_bucket_day on provider_bucket (provider, report, day);

create trigger provider_bucket_no_update before update on provider_bucket begin
  select raise(abort, 'provider_bucket is append-only: update is refused');
end;
create trigger provider_bucket_no_delete before delete on provider_bucket begin
  select raise(abort, 'provider_bucket is append-only: delete is refused');
end;
create trigger provider_bucket_no_replace before insert on provider_bucket
when exists (
  select 1
  from provider_bucket
  where bucket_id = new.bucket_id
    or (provider = new.provider and report = new.report and starts_at = new.starts_at and ends_at = new.ends_at
        and revision = new.revision)) begin
  select raise(abort, 'provider_bucket is append-only: replacing a row is refused');
end;

create table provider_usage (
  bucket_id               integer not null references provider_bucket,
  line                    integer not null check (line >= 1),
  model                   text check (length(model) between 1 and 200),
  service_tier            text check (length(service_tier) between 1 and 200),
  project                 text check (length(project) between 1 and 200),
  line_item               text check (length(line_item) between 1 and 200),
  requests                integer check (requests >= 0),
  input_tokens            integer check (input_tokens >= 0),
  cache_read_tokens       integer check (cache_read_tokens >= 0),
  cache_write_tokens      integer check (cache_write_tokens >= 0),
  cache_write_long_tokens integer check (cache_write_long_tokens >= 0),
  llm_tokens_output       integer check (llm_tokens_output >= 0),
  embedding_tokens        integer check (embedding_tokens >= 0),
  web_searches            integer check (web_searches >= 0),
  billed_pico             integer,
  primary key (bucket_id, line)
) strict, without rowid;

create trigger provider_usage_no_update before update on provider_usage begin
  select raise(abort, 'provider_usage is append-only: update is refused');
end;
create trigger provider_usage_no_delete before delete on provider_usage begin
  select raise(abort, 'provider_usage is append-only: delete is refused');
end;
create trigger provider_usage_no_replace before insert on provider_usage
when exists (select 1 from provider_usage where bucket_id = new.bucket_id and line = new.line) begin
  select raise(abort, 'provider_usage is append-only: replacing a row is refused');
end;

create view v_provider_usage as
select
  b.provider,
  b.report,
  strftime('%Y-%m-%dT%H:%M:%SZ', b.starts_at / 1000000, 'unixepoch') as starts_at,
  strftime('%Y-%m-%dT%H:%M:%SZ', b.ends_at / 1000000, 'unixepoch') as ends_at,
  b.revision,
  u.line,
  u.model,
  u.service_tier,
  u.project,
  u.line_item,
  u.requests,
  u.input_tokens,
  u.cache_read_tokens,
  u.cache_write_tokens,
  u.cache_write_long_tokens,
  u.llm_tokens_output,
  u.embedding_tokens,
  u.web_searches,
  case when u.billed_pico is not null then
    printf('%s%d.%012d', case when u.billed_pico < 0 then '-' else '' end, abs(u.billed_pico) / 1000000000000,
      abs(u.billed_pico) % 1000000000000)
  end as billed_usd
from provider_bucket b
join provider_usage u on u.bucket_id = b.bucket_id
where not exists (
  select 1
  from provider_bucket newer
  where newer.provider = b.provider
    and newer.report = b.report
    and newer.day = b.day
    and newer.starts_at <= b.starts_at
    and newer.ends_at >= b.ends_at
    and newer.bucket_id > b.bucket_id);
