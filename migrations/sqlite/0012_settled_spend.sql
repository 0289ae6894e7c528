-- Reports that do not slow down as the ledger grows. In Postgres this also makes recording faster, and there a key of
-- the rollup may have several open lanes; here, where one process writes at a time, it has one: lane 1.
--
-- From time to time the lanes of yesterday and before are settled: they become lane 0, and are added to two sums of
-- coarser grain, by day (UTC) and by quarter of an hour alone, in one transaction. So at every instant settled sums
-- and open lanes together are the rollup, and a report of a month reads days instead of quarters. What comes late for a
-- settled key opens a lane again.
--
-- Checks go only with their table: it is made anew.

drop view v_spend;
create table rollup (
  bucket                  integer not null,
  pipeline                text not null,
  agent                   text not null,
  provider                text not null,
  model                   text not null,
  llm_calls               integer not null check (llm_calls >= 0),
  unpriced_calls          integer not null,
  input_tokens            integer not null check (input_tokens >= 0),
  cache_read_tokens       integer not null check (cache_read_tokens >= 0),
  cache_write_tokens      integer not null check (cache_write_tokens >= 0),
  cache_write_long_tokens integer not null check (cache_write_long_tokens >= 0),
  output_tokens           integer not null check (output_tokens >= 0),
  reasoning_tokens        integer not null check (reasoning_tokens >= 0),
  embedding_tokens        integer not null check (embedding_tokens >= 0),
  web_searches            integer not null check (web_searches >= 0),
  cost_pico               integer not null,
  lane                    integer not null check (lane >= 0),
  primary key (bucket, pipeline, agent, provider, model, lane)
) strict, without rowid;
insert into rollup select *, 1 from spend_rollup;
drop table spend_rollup;
alter table rollup rename to spend_rollup;
create index spend_rollup_open on spend_rollup (bucket) where lane > 0;

create table settled_spend_day (
  day                     integer not null,
  pipeline                text not null,
  agent                   text not null,
  provider                text not null,
  model                   text not null,
  llm_calls               integer not null,
  unpriced_calls          integer not null,
  input_tokens            integer not null,
  cache_read_tokens       integer not null,
  cache_write_tokens      integer not null,
  cache_write_long_tokens integer not null,
  output_tokens           integer not null,
  reasoning_tokens        integer not null,
  embedding_tokens        integer not null,
  web_searches            integer not null,
  cost_pico               integer not null,
  primary key (day, pipeline, agent, provider, model)
) strict, without rowid;

create table settled_spend_bucket (
  bucket                  integer not null primary key,
  llm_calls               integer not null,
  unpriced_calls          integer not null,
  input_tokens            integer not null,
  cache_read_tokens       integer not null,
  cache_write_tokens      integer not null,
  cache_write_long_tokens integer not null,
  output_tokens           integer not null,
  reasoning_tokens        integer not null,
  embedding_tokens        integer not null,
  web_searches            integer not null,
  cost_pico               integer not null
) strict;

create table settlement (
  only_one   integer not null primary key default 1 check (only_one = 1),
  settled_at integer not null
) strict;
insert into settlement (settled_at) values (0);

create view v_spend as
select
  strftime('%Y-%m-%dT%H:%M:%SZ', bucket * 900, 'unixepoch') as bucket_at,
  pipeline,
  agent,
  provider,
  model,
  sum(llm_calls) as llm_calls,
  sum(unpriced_calls) as unpriced_calls,
  sum(input_tokens + cache_read_tokens + cache_write_tokens + cache_write_long_tokens) as llm_tokens_input,
  sum(output_tokens + reasoning_tokens) as llm_tokens_output,
  sum(embedding_tokens) as embedding_tokens,
  sum(input_tokens) as input_tokens,
  sum(cache_read_tokens) as cache_read_tokens,
  sum(cache_write_tokens) as cache_write_tokens,
  sum(cache_write_long_tokens) as cache_write_long_tokens,
  sum(output_tokens) as output_tokens,
  sum(reasoning_tokens) as reasoning_tokens,
  sum(web_searches) as web_searches,
  printf('%d.%012d', sum(cost_pico) / 1000000000000, sum(cost_pico) % 1000000000000) as estimated_cost_usd
from spend_rollup
group by bucket, pipeline, agent, provider, model;
