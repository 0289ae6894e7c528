-- What providers say was used and what they billed: the exports that the ledger is reconciled with (`asmm spend reconcile`).
--
-- An export is of buckets of time. A later import of a bucket, or of one that covers it, takes its place: both stay, and the newest
-- counts. Nothing of this is in the journal, the counters or the rollup.

create table provider_bucket (
  bucket_id   bigint generated always as identity primary key,
  provider    text collate "C" not null check (char_length(provider) between 1 and 200),
  report      text collate "C" not null check (report in ('completions', 'embeddings', 'messages', 'costs')),
  day         integer not null,
  starts_at   timestamptz not null,
  ends_at     timestamptz not null,
  revision    integer not null check (revision >= 1),
  sha256      bytea not null check (octet_length(sha256) = 32),
  lines       integer not null check (lines >= 0),
  source      text not null check (char_length(source) between 1 and 1000),
  imported_at timestamptz not null default clock_timestamp(),
  imported_by text not null,
  unique (provider, report, starts_at, ends_at, revision),
  check (starts_at < ends_at)
);
create index provider_bucket_day on provider_bucket (provider, report, day);

comment on table provider_bucket is
  'A bucket of time in a provider''s export of usage or costs, as one import had it. The newest that covers a time counts.';
comment on column provider_bucket.bucket_id is 'The row''s number; higher is newer.';
comment on column provider_bucket.provider is 'Whose export it is: openai, anthropic.';
comment on column provider_bucket.report is 'Which export: completions, embeddings or messages (what was used), or costs (what was billed).';
comment on column provider_bucket.day is 'The UTC day it is in, counted from 1970-01-01.';
comment on column provider_bucket.starts_at is 'The first instant inside.';
comment on column provider_bucket.ends_at is 'The first instant after; on the same UTC day, or its midnight.';
comment on column provider_bucket.revision is 'Counts the imports of this bucket that had other contents, from 1.';
comment on column provider_bucket.sha256 is 'The digest of its lines, by which the same contents are known again.';
comment on column provider_bucket.lines is 'How many rows of provider_usage it has; 0 when nothing was used.';
comment on column provider_bucket.source is 'The file it came from.';
comment on column provider_bucket.imported_at is 'When it came.';
comment on column provider_bucket.imported_by is 'Who brought it: the operating system''s user.';

create trigger provider_bucket_append_only before update or delete on provider_bucket
  for each row execute function refuse_change();
create trigger provider_bucket_no_truncate before truncate on provider_bucket
  for each statement execute function refuse_change();

create table provider_usage (
  bucket_id               bigint not null references provider_bucket,
  line                    integer not null check (line >= 1),
  model                   text collate "C" check (char_length(model) between 1 and 200),
  service_tier            text collate "C" check (char_length(service_tier) between 1 and 200),
  project                 text collate "C" check (char_length(project) between 1 and 200),
  line_item               text collate "C" check (char_length(line_item) between 1 and 200),
  requests                bigint check (requests >= 0),
  input_tokens            bigint check (input_tokens >= 0),
  cache_read_tokens       bigint check (cache_read_tokens >= 0),
  cache_write_tokens      bigint check (cache_write_tokens >= 0),
  cache_write_long_tokens bigint check (cache_write_long_tokens >= 0),
  llm_tokens_output       bigint check (llm_tokens_output >= 0),
  embedding_tokens        bigint check (embedding_tokens >= 0),
  web_searches            bigint check (web_searches >= 0),
  billed_pico             bigint,
  primary key (bucket_id, line)
);

comment on table provider_usage is 'What a provider''s export says of a bucket of time: one of its results.';
comment on column provider_usage.bucket_id is 'The bucket.';
comment on column provider_usage.line is 'The number of the line in it, from 1.';
comment on column provider_usage.model is 'The model, as the export has it; null when it does not tell models apart.';
comment on column provider_usage.service_tier is 'standard, batch, …; null when it does not say.';
comment on column provider_usage.project is 'The provider''s project or workspace; null when it does not say.';
comment on column provider_usage.line_item is 'Of costs: what is billed, in the provider''s words; null when it does not say.';
comment on column provider_usage.requests is 'Requests; null when the export does not count them.';
comment on column provider_usage.input_tokens is 'Prompt tokens neither read from nor written to a cache.';
comment on column provider_usage.cache_read_tokens is 'Prompt tokens served from a cache.';
comment on column provider_usage.cache_write_tokens is 'Prompt tokens written to a cache at the short lifetime.';
comment on column provider_usage.cache_write_long_tokens is 'Prompt tokens written to a cache at the long lifetime.';
comment on column provider_usage.llm_tokens_output is 'Generated tokens, reasoning included: exports do not tell it apart.';
comment on column provider_usage.embedding_tokens is 'Tokens embedded.';
comment on column provider_usage.web_searches is 'Web searches.';
comment on column provider_usage.billed_pico is 'What was billed, in picodollars (1e-12 USD), negative for a credit; null in exports of usage.';

create trigger provider_usage_append_only before update or delete on provider_usage
  for each row execute function refuse_change();
create trigger provider_usage_no_truncate before truncate on provider_usage
  for each statement execute function refuse_change();

create view v_provider_usage as
select
  b.provider,
  b.report,
  b.starts_at,
  b.ends_at,
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
  (u.billed_pico::numeric / 1000000000000)::numeric(24,12) as billed_usd
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

comment on view v_provider_usage is 'What providers say, for people: the lines that count.';
comment on column v_provider_usage.provider is 'Whose export it is.';
comment on column v_provider_usage.report is 'Which export: completions, embeddings, messages or costs.';
comment on column v_provider_usage.starts_at is 'The first instant of the bucket.';
comment on column v_provider_usage.ends_at is 'The first instant after it.';
comment on column v_provider_usage.revision is 'How often the bucket came with other contents.';
comment on column v_provider_usage.line is 'The number of the line in the bucket.';
comment on column v_provider_usage.model is 'The model, as the export has it.';
comment on column v_provider_usage.service_tier is 'standard, batch, …';
comment on column v_provider_usage.project is 'The provider''s project or workspace.';
comment on column v_provider_usage.line_item is 'What is billed, in the provider''s words.';
comment on column v_provider_usage.requests is 'Requests.';
comment on column v_provider_usage.input_tokens is 'Prompt tokens neither read from nor written to a cache.';
comment on column v_provider_usage.cache_read_tokens is 'Prompt tokens served from a cache.';
comment on column v_provider_usage.cache_write_tokens is 'Prompt tokens written to a cache at the short lifetime.';
comment on column v_provider_usage.cache_write_long_tokens is 'Prompt tokens written to a cache at the long lifetime.';
comment on column v_provider_usage.llm_tokens_output is 'Generated tokens, reasoning included.';
comment on column v_provider_usage.embedding_tokens is 'Tokens embedded.';
comment on column v_provider_usage.web_searches is 'Web searches.';
comment on column v_provider_usage.billed_usd is 'What was billed, in dollars, exact.';

do $$
begin
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select on provider_bucket, provider_usage, v_provider_usage to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    grant select on provider_bucket, provider_usage, v_provider_usage to asmm_operator;
    grant insert on provider_bucket, provider_usage to asmm_operator;
  end if;
end $$;
