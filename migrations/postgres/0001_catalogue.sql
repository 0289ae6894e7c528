-- Statuses, prices, and the names prices are looked up by.
--
-- Everything here is append-only: a correction is a new row with a higher revision, and old calls keep
-- pointing at the row that priced them.

create function refuse_change() returns trigger
language plpgsql as $$
begin
  raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op)
    using errcode = 'AS403', hint = 'corrections are new rows; see RUNBOOK.md';
end $$;

comment on function refuse_change() is 'Trigger: refuses UPDATE, DELETE and TRUNCATE of append-only tables.';

create table status_lookup (
  status_id   smallint primary key,
  code        text collate "C" not null unique,
  is_final    boolean not null,
  description text not null
);

comment on table status_lookup is 'The statuses of runs and steps; looked up by code everywhere.';
comment on column status_lookup.status_id is 'The number that rows refer to; look it up by code.';
comment on column status_lookup.code is 'running, succeeded, failed, cancelled or abandoned.';
comment on column status_lookup.is_final is 'Whether nothing more is expected of a run or step with this status.';
comment on column status_lookup.description is 'What the status means, in words.';

insert into status_lookup (status_id, code, is_final, description) values
  (1, 'running',   false, 'not finished'),
  (2, 'succeeded', true,  'finished well'),
  (3, 'failed',    true,  'finished with an error'),
  (4, 'cancelled', true,  'stopped on request'),
  (5, 'abandoned', true,  'given up without a word: the process that ran it is gone');

create trigger status_lookup_append_only before update or delete on status_lookup
  for each row execute function refuse_change();
create trigger status_lookup_no_truncate before truncate on status_lookup
  for each statement execute function refuse_change();

create table price_catalogue (
  revision    bigint generated always as identity primary key,
  origin      text collate "C" not null check (origin in ('vendored', 'imported', 'user')),
  name        text not null check (char_length(name) between 1 and 200),
  prices      bigint not null check (prices >= 0),
  recorded_at timestamptz not null default clock_timestamp(),
  recorded_by text not null
);

comment on table price_catalogue is 'One act of bringing prices in.';
comment on column price_catalogue.revision is 'Numbers the acts; of two rows for one price the higher revision is the correction.';
comment on column price_catalogue.origin is 'Where the prices came from: vendored (in the program), imported (a file) or user.';
comment on column price_catalogue.name is 'The vendored catalogue''s version, or the file the prices came from.';
comment on column price_catalogue.prices is 'How many model_price rows it brought: what was already known is not written again.';
comment on column price_catalogue.recorded_at is 'When it was done.';
comment on column price_catalogue.recorded_by is 'Who did it: the operating system''s user.';

create trigger price_catalogue_append_only before update or delete on price_catalogue
  for each row execute function refuse_change();
create trigger price_catalogue_no_truncate before truncate on price_catalogue
  for each statement execute function refuse_change();

create table model_price (
  price_id              bigint generated always as identity primary key,
  origin                text collate "C" not null check (origin in ('vendored', 'imported', 'user')),
  origin_rank           smallint not null generated always as
                          (case origin when 'user' then 2 when 'imported' then 1 else 0 end) stored,
  provider              text collate "C" not null check (char_length(provider) between 1 and 200),
  model                 text collate "C" not null check (char_length(model) between 1 and 200),
  service_tier          text collate "C" not null check (char_length(service_tier) between 1 and 200),
  effective_from        timestamptz not null,
  daily_from            integer check (daily_from between 0 and 86399),
  daily_until           integer check (daily_until between 1 and 86400),
  revision              bigint not null references price_catalogue,
  over_input_tokens     bigint not null check (over_input_tokens >= 0),
  input_rate            bigint check (input_rate >= 0),
  cache_read_rate       bigint check (cache_read_rate >= 0),
  cache_write_rate      bigint check (cache_write_rate >= 0),
  cache_write_long_rate bigint check (cache_write_long_rate >= 0),
  output_rate           bigint check (output_rate >= 0),
  reasoning_rate        bigint check (reasoning_rate >= 0),
  embedding_rate        bigint check (embedding_rate >= 0),
  web_search_rate       bigint check (web_search_rate >= 0),
  request_fee           bigint check (request_fee >= 0),
  source                text not null,
  check ((daily_from is null) = (daily_until is null)),
  check (daily_from < daily_until),
  check (num_nonnulls(input_rate, cache_read_rate, cache_write_rate, cache_write_long_rate, output_rate,
                      reasoning_rate, embedding_rate, web_search_rate, request_fee) > 0)
);

comment on table model_price is
  'Dated prices. Of the rows that apply to a call, the first by origin_rank, daily window before none, effective_from, revision, over_input_tokens (all descending) is the price.';
comment on column model_price.price_id is 'The row''s number; llm_call.price_id names the row that priced a call.';
comment on column model_price.origin is 'Who says so: the catalogue in the binary, `asmm prices import`, or the user; later ones win.';
comment on column model_price.origin_rank is 'The origin as a number to sort by.';
comment on column model_price.provider is 'The provider, as the catalogue spells it.';
comment on column model_price.model is 'The model, as the catalogue spells it.';
comment on column model_price.service_tier is 'standard, batch, priority, flex …: in force only for calls of this tier.';
comment on column model_price.effective_from is 'In force from this instant; 1970-01-01 when always.';
comment on column model_price.daily_from is 'In force only from this second of the UTC day …';
comment on column model_price.daily_until is '… until before this one.';
comment on column model_price.revision is 'The act that brought the row; of the rows for one price the highest counts.';
comment on column model_price.over_input_tokens is 'In force only for calls with more input tokens than this (cache included); 0 for every call.';
comment on column model_price.input_rate is 'Picodollars (1e-12 USD) a token, which is microdollars per million tokens; so are the other rates.';
comment on column model_price.cache_read_rate is 'Picodollars a token read from a cache; when null, input_rate counts and the call is estimated.';
comment on column model_price.cache_write_rate is 'Picodollars a token written at the short lifetime; when null, input_rate counts and the call is estimated.';
comment on column model_price.cache_write_long_rate is 'Picodollars a token written at the long lifetime; when null, cache_write_rate counts and the call is estimated.';
comment on column model_price.output_rate is 'Picodollars a generated token other than reasoning.';
comment on column model_price.reasoning_rate is 'Picodollars a reasoning token; when null, output_rate counts and the call is estimated.';
comment on column model_price.embedding_rate is 'Picodollars an embedded token.';
comment on column model_price.web_search_rate is 'Picodollars a web search.';
comment on column model_price.request_fee is 'Picodollars a call.';
comment on column model_price.source is 'Where the price was read.';

create unique index model_price_key on model_price
  (provider, model, service_tier, origin, effective_from, coalesce(daily_from, -1), revision, over_input_tokens);

create trigger model_price_append_only before update or delete on model_price
  for each row execute function refuse_change();
create trigger model_price_no_truncate before truncate on model_price
  for each statement execute function refuse_change();

create table model_alias (
  alias_id        bigint generated always as identity primary key,
  origin          text collate "C" not null check (origin in ('catalogue', 'user')),
  provider        text collate "C" not null check (char_length(provider) <= 200),
  model           text collate "C" not null check (char_length(model) between 1 and 200),
  target_provider text collate "C" check (char_length(target_provider) between 1 and 200),
  target_model    text collate "C" check (char_length(target_model) between 1 and 200),
  revision        bigint not null references price_catalogue,
  recorded_at     timestamptz not null default clock_timestamp(),
  recorded_by     text not null,
  check ((target_provider is null) = (target_model is null))
);

comment on table model_alias is
  'Which price entry a reported name means. Of one name, the newest row of the user counts if it has a target, else the newest of the catalogue.';
comment on column model_alias.alias_id is 'The row''s number; higher is newer.';
comment on column model_alias.origin is 'Who says so: the resolution against the catalogue, or the user.';
comment on column model_alias.provider is 'The provider as reported; empty when none was (in a user''s row: any).';
comment on column model_alias.model is 'The model as reported.';
comment on column model_alias.target_provider is 'The provider of the price entry; null together with target_model.';
comment on column model_alias.target_model is 'The model of the price entry. Null: the catalogue has none, or the user takes the alias back.';
comment on column model_alias.revision is 'The newest act of price_catalogue when the name was resolved.';
comment on column model_alias.recorded_at is 'When the name was resolved or the alias set.';
comment on column model_alias.recorded_by is 'Who did it: the operating system''s user.';

create index model_alias_name on model_alias (model, provider, alias_id);

create trigger model_alias_append_only before update or delete on model_alias
  for each row execute function refuse_change();
create trigger model_alias_no_truncate before truncate on model_alias
  for each statement execute function refuse_change();
