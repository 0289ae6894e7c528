-- Statuses, prices, and the names prices are looked up by.
--
-- Everything here is append-only: a correction is a new row with a higher revision, and old calls keep
-- pointing at the row that priced them. REPLACE deletes without firing delete triggers, so an insert over a
-- row is refused as well. Times are integer microseconds since 1970 UTC.

create table status_lookup (
  status_id   integer primary key,
  code        text not null unique,
  is_final    integer not null check (is_final in (0, 1)),
  description text not null
) strict;

insert into status_lookup (status_id, code, is_final, description) values
  (1, 'running',   0, 'not finished'),
  (2, 'succeeded', 1, 'finished well'),
  (3, 'failed',    1, 'finished with an error'),
  (4, 'cancelled', 1, 'stopped on request'),
  (5, 'abandoned', 1, 'given up without a word: the process that ran it is gone');

create trigger status_lookup_no_update before update on status_lookup begin
  select raise(abort, 'status_lookup is append-only: update is refused');
end;
create trigger status_lookup_no_delete before delete on status_lookup begin
  select raise(abort, 'status_lookup is append-only: delete is refused');
end;
create trigger status_lookup_no_replace before insert on status_lookup
when exists (select 1 from status_lookup where status_id = new.status_id or code = new.code) begin
  select raise(abort, 'status_lookup is append-only: replacing a row is refused');
end;

-- One act of bringing prices in; of two rows for one price the one of the higher revision is the correction.
create table price_catalogue (
  revision    integer primary key,
  origin      text not null check (origin in ('vendored', 'imported', 'user')),
  name        text not null check (length(name) between 1 and 200),
  prices      integer not null check (prices >= 0),
  recorded_at integer not null,
  recorded_by text not null
) strict;

create trigger price_catalogue_no_update before update on price_catalogue begin
  select raise(abort, 'price_catalogue is append-only: update is refused');
end;
create trigger price_catalogue_no_delete before delete on price_catalogue begin
  select raise(abort, 'price_catalogue is append-only: delete is refused');
end;
create trigger price_catalogue_no_replace before insert on price_catalogue
when exists (select 1 from price_catalogue where revision = new.revision) begin
  select raise(abort, 'price_catalogue is append-only: replacing a row is refused');
end;

-- Of the rows that apply to a call, the first by origin_rank, daily window before none, effective_from,
-- revision, over_input_tokens (all descending) is the price. Rates are picodollars (1e-12 USD) a token.
create table model_price (
  price_id              integer primary key,
  origin                text not null check (origin in ('vendored', 'imported', 'user')),
  origin_rank           integer not null generated always as
                          (case origin when 'user' then 2 when 'imported' then 1 else 0 end) stored,
  provider              text not null check (length(provider) between 1 and 200),
  model                 text not null check (length(model) between 1 and 200),
  service_tier          text not null check (length(service_tier) between 1 and 200),
  effective_from        integer not null,
  daily_from            integer check (daily_from between 0 and 86399),
  daily_until           integer check (daily_until between 1 and 86400),
  revision              integer not null references price_catalogue,
  over_input_tokens     integer not null check (over_input_tokens >= 0),
  input_rate            integer check (input_rate >= 0),
  cache_read_rate       integer check (cache_read_rate >= 0),
  cache_write_rate      integer check (cache_write_rate >= 0),
  cache_write_long_rate integer check (cache_write_long_rate >= 0),
  output_rate           integer check (output_rate >= 0),
  reasoning_rate        integer check (reasoning_rate >= 0),
  embedding_rate        integer check (embedding_rate >= 0),
  web_search_rate       integer check (web_search_rate >= 0),
  request_fee           integer check (request_fee >= 0),
  source                text not null,
  check ((daily_from is null) = (daily_until is null)),
  check (daily_from < daily_until),
  check (coalesce(input_rate, cache_read_rate, cache_write_rate, cache_write_long_rate, output_rate,
                  reasoning_rate, embedding_rate, web_search_rate, request_fee) is not null)
) strict;

create unique index model_price_key on model_price
  (provider, model, service_tier, origin, effective_from, coalesce(daily_from, -1), revision, over_input_tokens);

create trigger model_price_no_update before update on model_price begin
  select raise(abort, 'model_price is append-only: update is refused');
end;
create trigger model_price_no_delete before delete on model_price begin
  select raise(abort, 'model_price is append-only: delete is refused');
end;
create trigger model_price_no_replace before insert on model_price
when exists (select 1 from model_price where price_id = new.price_id
             or provider = new.provider and model = new.model and service_tier = new.service_tier
                and origin = new.origin and effective_from = new.effective_from
                and coalesce(daily_from, -1) = coalesce(new.daily_from, -1) and revision = new.revision
                and over_input_tokens = new.over_input_tokens) begin
  select raise(abort, 'model_price is append-only: replacing a row is refused');
end;

-- Which price entry a reported name means. Of one name, the newest row of the user counts if it has a
-- target, else the newest of the catalogue; one without a target says that the catalogue has no price.
create table model_alias (
  alias_id        integer primary key,
  origin          text not null check (origin in ('catalogue', 'user')),
  provider        text not null check (length(provider) <= 200),
  model           text not null check (length(model) between 1 and 200),
  target_provider text check (length(target_provider) between 1 and 200),
  target_model    text check (length(target_model) between 1 and 200),
  revision        integer not null references price_catalogue,
  recorded_at     integer not null,
  recorded_by     text not null,
  check ((target_provider is null) = (target_model is null))
) strict;

create index model_alias_name on model_alias (model, provider, alias_id);

create trigger model_alias_no_update before update on model_alias begin
  select raise(abort, 'model_alias is append-only: update is refused');
end;
create trigger model_alias_no_delete before delete on model_alias begin
  select raise(abort, 'model_alias is append-only: delete is refused');
end;
create trigger model_alias_no_replace before insert on model_alias
when exists (select 1 from model_alias where alias_id = new.alias_id) begin
  select raise(abort, 'model_alias is append-only: replacing a row is refused');
end;
