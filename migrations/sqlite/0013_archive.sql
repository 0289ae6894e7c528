-- Old calls may leave the journal for a compressed file, a run's priced ones in parts, and come back from it.
--
-- A part is one line of the file. Its ids stay, so that a call which is sent again is still known; its digest stays,
-- so that nothing else than that line comes back; and its sums stay, by run and quarter of an hour, so that counters
-- and the rollup remain the sums of all calls and every report says what it said. Calls without a price stay in the
-- journal: their price may still come.

create table call_archive (
  archive_id  integer primary key,
  file        text not null check (length(file) between 1 and 4096),
  before      integer not null,
  archived_at integer not null,
  archived_by text not null,
  moving      blob
) strict;

create table archived_part (
  run_id     blob not null references pipeline_run,
  sha256     blob not null check (length(sha256) = 32),
  archive_id integer not null references call_archive,
  llm_calls  integer not null check (llm_calls between 1 and 10000),
  call_ids   blob not null check (length(call_ids) = 16 * llm_calls),
  primary key (run_id, sha256)
) strict;

create table archived_spend (
  run_id                  blob not null references pipeline_run,
  bucket                  integer not null,
  agent                   text not null,
  provider                text not null,
  model                   text not null,
  llm_calls               integer not null,
  input_tokens            integer not null,
  cache_read_tokens       integer not null,
  cache_write_tokens      integer not null,
  cache_write_long_tokens integer not null,
  output_tokens           integer not null,
  reasoning_tokens        integer not null,
  embedding_tokens        integer not null,
  web_searches            integer not null,
  cost_pico               integer not null,
  primary key (run_id, bucket, agent, provider, model)
) strict, without rowid;
create index archived_spend_bucket on archived_spend (bucket);

create trigger call_archive_no_update before update of archive_id, file, before, archived_at, archived_by on call_archive begin
  select raise(abort, 'call_archive is append-only: update is refused');
end;
create trigger call_archive_no_delete before delete on call_archive begin
  select raise(abort, 'call_archive is append-only: delete is refused');
end;
create trigger call_archive_no_replace before insert on call_archive
when exists (select 1 from call_archive where archive_id = new.archive_id) begin
  select raise(abort, 'call_archive is append-only: replacing a row is refused');
end;

create trigger archived_part_no_update before update on archived_part begin
  select raise(abort, 'archived_part is append-only: update is refused');
end;
create trigger archived_part_no_delete before delete on archived_part
when not exists (select 1 from call_archive where moving = old.run_id) begin
  select raise(abort, 'archived_part is append-only: delete is refused');
end;
create trigger archived_part_no_replace before insert on archived_part
when exists (select 1 from archived_part where run_id = new.run_id and sha256 = new.sha256) begin
  select raise(abort, 'archived_part is append-only: replacing a row is refused');
end;

create trigger archived_spend_no_update before update on archived_spend
when not exists (select 1 from call_archive where moving = old.run_id) begin
  select raise(abort, 'archived_spend is append-only: update is refused');
end;
create trigger archived_spend_no_delete before delete on archived_spend
when not exists (select 1 from call_archive where moving = old.run_id) begin
  select raise(abort, 'archived_spend is append-only: delete is refused');
end;
create trigger archived_spend_no_replace before insert on archived_spend
when not exists (select 1 from call_archive where moving = new.run_id) and exists (
  select 1
  from archived_spend
  where run_id = new.run_id and bucket = new.bucket and agent = new.agent and provider = new.provider
    and model = new.model) begin
  select raise(abort, 'archived_spend is append-only: replacing a row is refused');
end;

-- A price event outlives the journal's row: its call may be in an archive. A foreign key goes only with its table: it
-- is made anew.
create table priced (
  price_event_id integer primary key,
  run_id         blob not null,
  call_id        blob not null,
  state_before   text not null,
  price_before   integer references model_price,
  cost_before    integer,
  state_after    text not null,
  price_after    integer not null references model_price,
  cost_after     integer not null,
  reason         text not null,
  recorded_at    integer not null,
  recorded_by    text not null
) strict;
insert into priced select * from price_event;
drop table price_event;
alter table priced rename to price_event;
create index price_event_call on price_event (run_id, call_id);

create trigger price_event_no_update before update on price_event begin
  select raise(abort, 'price_event is append-only: update is refused');
end;
create trigger price_event_no_delete before delete on price_event begin
  select raise(abort, 'price_event is append-only: delete is refused');
end;
create trigger price_event_no_replace before insert on price_event
when exists (select 1 from price_event where price_event_id = new.price_event_id) begin
  select raise(abort, 'price_event is append-only: replacing a row is refused');
end;

drop trigger llm_call_no_delete;
create trigger llm_call_no_delete before delete on llm_call
when not exists (select 1 from call_archive where moving = old.run_id) begin
  select raise(abort, 'llm_call is append-only: delete is refused');
end;

drop view journal_spend;
create view journal_spend as
select
  c.run_id,
  c.called_at,
  c.called_at / 900000000 as bucket,
  r.pipeline,
  s.code as status,
  c.agent,
  c.provider,
  c.model,
  case when c.pricing_state = 'unpriced' then 1 else 0 end as unpriced_calls,
  coalesce(c.input_tokens, 0) as input_tokens,
  coalesce(c.cache_read_tokens, 0) as cache_read_tokens,
  coalesce(c.cache_write_tokens, 0) as cache_write_tokens,
  coalesce(c.cache_write_long_tokens, 0) as cache_write_long_tokens,
  coalesce(c.output_tokens, 0) as output_tokens,
  coalesce(c.reasoning_tokens, 0) as reasoning_tokens,
  coalesce(c.embedding_tokens, 0) as embedding_tokens,
  coalesce(c.web_searches, 0) as web_searches,
  coalesce(c.cost_pico, 0) as cost_pico,
  1 as llm_calls
from llm_call c
join pipeline_run r on r.run_id = c.run_id
join status_lookup s on s.status_id = r.status_id
union all
select
  a.run_id,
  a.bucket * 900000000,
  a.bucket,
  r.pipeline,
  s.code,
  a.agent,
  a.provider,
  a.model,
  0,
  a.input_tokens,
  a.cache_read_tokens,
  a.cache_write_tokens,
  a.cache_write_long_tokens,
  a.output_tokens,
  a.reasoning_tokens,
  a.embedding_tokens,
  a.web_searches,
  a.cost_pico,
  a.llm_calls
from archived_spend a
join pipeline_run r on r.run_id = a.run_id
join status_lookup s on s.status_id = r.status_id;
