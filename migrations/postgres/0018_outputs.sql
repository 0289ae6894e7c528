-- What models answered, where a pipeline's spans tell it and it is to be kept: a text as those that are sent, under the same
-- rules. And what was sent in a call leaves the journal together with it, when it is withdrawn.

alter table llm_call_prompt add column output_sha256 bytea check (octet_length(output_sha256) = 32);
create index llm_call_prompt_output on llm_call_prompt (output_sha256) where output_sha256 is not null;
create index prompt_text_recorded_at on prompt_text (recorded_at);
comment on column llm_call_prompt.output_sha256 is 'SHA-256 of the canonical JSON of the messages that the model answered with; null where they are not kept.';
comment on table prompt_text is 'Exact text captured by pipelines that render elsewhere, and of answers that are kept, once per content.';

alter table withdrawn_call add column prompt jsonb;
comment on column withdrawn_call.prompt is 'The row of llm_call_prompt as it was, without inputs; null where there was none.';

-- The only changes there are: retention drops the inputs, and a later look says what it found and redacts it.
drop trigger llm_call_prompt_only_marked on llm_call_prompt;
create trigger llm_call_prompt_only_marked before update on llm_call_prompt
  for each row
  when (not (
    (new.run_id, new.call_id, new.prompt_version_id, new.text_sha256, new.output_sha256, new.step_id, new.sent_at)
      is not distinct from
      (old.run_id, old.call_id, old.prompt_version_id, old.text_sha256, old.output_sha256, old.step_id, old.sent_at)
    and old.purged_at is null
    and case
      when new.purged_at is not null then
        new.inputs is null
        and (new.sanitisation, new.redacted_at) is not distinct from (old.sanitisation, old.redacted_at)
      when new.redacted_at is not null then
        old.redacted_at is null and old.sanitisation in ('unscanned', 'exposed')
      else
        old.sanitisation = 'unscanned' and new.sanitisation <> 'unscanned' and new.inputs is not distinct from old.inputs
    end))
  execute function refuse_change();

create function refuse_unless_withdrawn() returns trigger
language plpgsql set search_path from current as $$
begin
  if not exists (select 1 from llm_call c where c.run_id = old.run_id and c.call_id = old.call_id)
     and exists (
       select 1
       from withdrawn_call w
       where w.run_id = old.run_id and w.call_id = old.call_id and w.prompt = to_jsonb(old) - 'inputs') then
    return old;
  end if;
  raise exception '% is append-only: % is refused', tg_table_name, lower(tg_op)
    using errcode = 'AS403', hint = 'corrections are new rows; see RUNBOOK.md';
end $$;

comment on function refuse_unless_withdrawn is 'Trigger: refuses DELETE of what was sent, unless it is kept with its call as withdrawn.';

drop trigger llm_call_prompt_no_delete on llm_call_prompt;
create trigger llm_call_prompt_no_delete before delete on llm_call_prompt
  for each row execute function refuse_unless_withdrawn();

create or replace function refuse_needed_text() returns trigger
language plpgsql set search_path from current as $$
begin
  if exists (select 1 from llm_call_prompt p where p.text_sha256 = old.text_sha256 and p.purged_at is null)
     or exists (select 1 from llm_call_prompt p where p.output_sha256 = old.text_sha256 and p.purged_at is null)
  then
    raise exception 'prompt_text is append-only: delete is refused: a call was sent with it'
      using errcode = 'AS403', hint = 'corrections are new rows, and retention is `asmm prompts purge-inputs`; see RUNBOOK.md';
  end if;
  return old;
end $$;

create function keep_texts(text_sha256 bytea[], body text[], redacted_at timestamptz[], sent_at timestamptz) returns void
language plpgsql security definer set search_path from current as $$
#variable_conflict use_column
begin
  if exists (
    select 1
    from unnest(keep_texts.text_sha256, keep_texts.body, keep_texts.redacted_at) as u (text_sha256, body, redacted_at)
    where u.redacted_at is null and u.text_sha256 <> sha256(convert_to(u.body, 'UTF8')))
  then
    raise exception 'a text is not what its digest says'
      using errcode = 'AS400', hint = 'the digest is SHA-256 of the canonical JSON of the messages';
  end if;
  -- A text that comes redacted replaces the one that came before: what it forbids is not stored beside it.
  insert into prompt_text as t (text_sha256, body, recorded_at, redacted_at)
  select distinct on (u.text_sha256) u.text_sha256, u.body, keep_texts.sent_at, u.redacted_at
  from unnest(keep_texts.text_sha256, keep_texts.body, keep_texts.redacted_at) as u (text_sha256, body, redacted_at)
  where u.body is not null
  order by u.text_sha256, u.redacted_at nulls last
  on conflict (text_sha256) do update
  set body = excluded.body, redacted_at = excluded.redacted_at
  where t.redacted_at is null and excluded.redacted_at is not null;
end $$;

comment on function keep_texts is 'Keeps texts under the digests of what they were, also those that no call is recorded with yet.';

create function purged_texts(run_id uuid[], call_id uuid[])
returns table (text_sha256 bytea, output_sha256 bytea, purged_at timestamptz)
language sql stable security definer set search_path from current as $$
  select p.text_sha256, p.output_sha256, p.purged_at
  from unnest(purged_texts.run_id, purged_texts.call_id) as u (run_id, call_id)
  join llm_call_prompt p on p.run_id = u.run_id and p.call_id = u.call_id
  where p.purged_at is not null
$$;

comment on function purged_texts is 'The digests of what was sent and answered in these calls, where retention dropped the texts, and when.';

drop function record_prompt_rows(
  uuid[], uuid[], uuid[], timestamptz[], text[], text[], bytea[], text[], text[], timestamptz[], timestamptz[]);
create function record_prompt_rows(
  run_id uuid[], call_id uuid[], step_id uuid[], sent_at timestamptz[], version text[], inputs text[],
  text_sha256 bytea[], body text[], sanitisation text[], purged_at timestamptz[], redacted_at timestamptz[] default null,
  output_sha256 bytea[] default null, output_body text[] default null)
returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC'
set plan_cache_mode to 'force_generic_plan' set enable_seqscan to off set jit to off as $$
#variable_conflict use_column
declare
  size constant integer := coalesce(cardinality(record_prompt_rows.call_id), 0);
  bad integer;
  bad_run uuid;
  version_ids bigint[];
  digests bytea[];
  output_digests bytea[];
  fresh integer[];
  conflicts jsonb;
  duplicates integer;
begin
  if size > 10000 then
    raise exception 'the batch has % prompts; the limit is 10000', size
      using errcode = 'AS400', hint = 'send it in parts; a part that is sent twice changes nothing';
  elsif size = 0 then
    return jsonb_build_object('recorded', 0, 'duplicate', 0, 'conflict', jsonb_build_array());
  end if;
  perform check_time('sent_at', min(v)), check_time('sent_at', max(v)) from unnest(record_prompt_rows.sent_at) v;

  perform 1 from pipeline_run r where r.run_id = any (record_prompt_rows.run_id) order by r.run_id for key share;
  select u.run_id into bad_run
  from (select distinct run_id from unnest(record_prompt_rows.run_id) as n (run_id)) u
  left join pipeline_run r on r.run_id = u.run_id
  where r.run_id is null
  limit 1;
  if found then
    perform unknown_run(bad_run);
  end if;
  select min(u.place) into bad
  from unnest(record_prompt_rows.run_id, record_prompt_rows.step_id) with ordinality as u (run_id, step_id, place)
  left join pipeline_step_run t on t.run_id = u.run_id and t.step_id = u.step_id
  where u.step_id is not null and t.step_id is null;
  if bad is not null then
    raise exception 'step `%` of run `%` is unknown', record_prompt_rows.step_id[bad], record_prompt_rows.run_id[bad]
      using errcode = 'AS404', hint = 'start it first: start_step, or `asmm runs step`';
  end if;

  select
    min(u.place) filter (where greatest(octet_length(u.inputs), octet_length(u.body), octet_length(u.output_body)) > 4194304)
  into bad
  from unnest(record_prompt_rows.inputs, record_prompt_rows.body, record_prompt_rows.output_body)
       with ordinality as u (inputs, body, output_body, place);
  if bad is not null then
    raise exception 'the prompt of call `%` is longer than 4194304 bytes', record_prompt_rows.call_id[bad]
      using errcode = 'AS400', hint = 'record its `text_sha256` alone';
  end if;
  select
    array_agg(coalesce(u.text_sha256, sha256(convert_to(u.body, 'UTF8'))) order by u.place),
    min(u.place) filter (where u.body is not null and u.redacted_at is null
                           and u.text_sha256 <> sha256(convert_to(u.body, 'UTF8')))
  into digests, bad
  from unnest(record_prompt_rows.text_sha256, record_prompt_rows.body, record_prompt_rows.redacted_at)
       with ordinality as u (text_sha256, body, redacted_at, place);
  if bad is not null then
    raise exception '`text_sha256` of call `%` is not the digest of its `messages`', record_prompt_rows.call_id[bad]
      using errcode = 'AS400', hint = 'it is SHA-256 of the canonical JSON of the messages; leave it out, it is computed';
  end if;
  select
    array_agg(coalesce(u.output_sha256, sha256(convert_to(u.output_body, 'UTF8'))) order by u.place),
    min(u.place) filter (where u.output_body is not null and u.redacted_at is null
                           and u.output_sha256 <> sha256(convert_to(u.output_body, 'UTF8')))
  into output_digests, bad
  from unnest(record_prompt_rows.call_id, record_prompt_rows.output_sha256, record_prompt_rows.output_body,
              record_prompt_rows.redacted_at)
       with ordinality as u (call_id, output_sha256, output_body, redacted_at, place);
  if bad is not null then
    raise exception '`output_sha256` of call `%` is not the digest of its `output`', record_prompt_rows.call_id[bad]
      using errcode = 'AS400', hint = 'it is SHA-256 of the canonical JSON of the output; leave it out, it is computed';
  end if;
  select array_agg(find_prompt_version(u.version, u.sent_at) order by u.place) into version_ids
  from unnest(record_prompt_rows.version, record_prompt_rows.sent_at) with ordinality as u (version, sent_at, place);

  with item as (
    select u.*, row_number() over (partition by u.run_id, u.call_id order by u.place) as nth
    from unnest(record_prompt_rows.run_id, record_prompt_rows.call_id, version_ids, record_prompt_rows.inputs, digests,
                record_prompt_rows.purged_at, record_prompt_rows.redacted_at, output_digests)
         with ordinality as u (run_id, call_id, version_id, inputs, text_sha256, purged_at, redacted_at, output_sha256, place)
  ), sorted as (
    select i.place, i.run_id, i.call_id,
      p.call_id is null and i.nth = 1 as is_new,
      case when p.call_id is not null then
        (p.prompt_version_id, p.text_sha256, p.output_sha256)
          is not distinct from (i.version_id, i.text_sha256, i.output_sha256)
        and (num_nonnulls(p.purged_at, i.purged_at, p.redacted_at, i.redacted_at) > 0
             or p.inputs is not distinct from i.inputs)
      else
        (f.version_id, f.text_sha256, f.inputs, f.output_sha256)
          is not distinct from (i.version_id, i.text_sha256, i.inputs, i.output_sha256)
      end as is_same
    from item i
    join item f on f.run_id = i.run_id and f.call_id = i.call_id and f.nth = 1
    left join llm_call_prompt p on p.run_id = i.run_id and p.call_id = i.call_id
  )
  select
    coalesce(array_agg(place) filter (where is_new), '{}'),
    count(*) filter (where not is_new and is_same),
    coalesce(jsonb_agg(jsonb_build_object('run_id', run_id, 'call_id', call_id) order by place)
               filter (where not is_new and not is_same), '[]')
  into fresh, duplicates, conflicts
  from sorted;

  -- Purging excludes this statement, so that a text it finds cannot go before we are done.
  if cardinality(array_remove(record_prompt_rows.body || record_prompt_rows.output_body, null)) > 0 then
    perform keep_texts(
      array_agg(u.text_sha256), array_agg(u.body),
      -- Of a prompt and its answer only one may have been redacted.
      array_agg(case when u.text_sha256 <> sha256(convert_to(u.body, 'UTF8')) then u.redacted_at end),
      (select max(v) from unnest(record_prompt_rows.sent_at) v))
    from (
      select o.text_sha256, o.body, o.redacted_at
      from unnest(digests, record_prompt_rows.body, record_prompt_rows.redacted_at)
           with ordinality as o (text_sha256, body, redacted_at, place)
      where o.body is not null and o.place = any (fresh)
      union all
      select o.text_sha256, o.body, o.redacted_at
      from unnest(output_digests, record_prompt_rows.output_body, record_prompt_rows.redacted_at)
           with ordinality as o (text_sha256, body, redacted_at, place)
      where o.body is not null and o.place = any (fresh)) u;
  end if;

  insert into llm_call_prompt (
    run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, redacted_at, step_id,
    sent_at, output_sha256)
  select u.run_id, u.call_id, u.version_id, u.inputs, u.text_sha256, coalesce(u.sanitisation, 'unscanned'), u.purged_at,
         u.redacted_at, u.step_id, u.sent_at, u.output_sha256
  from unnest(record_prompt_rows.run_id, record_prompt_rows.call_id, record_prompt_rows.step_id,
              record_prompt_rows.sent_at, version_ids, record_prompt_rows.inputs, digests,
              record_prompt_rows.sanitisation, record_prompt_rows.purged_at, record_prompt_rows.redacted_at,
              output_digests)
       with ordinality as u (run_id, call_id, step_id, sent_at, version_id, inputs, text_sha256, sanitisation, purged_at,
         redacted_at, output_sha256, place)
  where u.place = any (fresh)
  order by u.run_id, u.call_id;
  return jsonb_build_object('recorded', cardinality(fresh), 'duplicate', duplicates, 'conflict', conflicts);
end $$;

comment on function record_prompt_rows is
  'The Rust client''s door: records what was sent and answered, given as one array a column. Atomic; known prompts are no-ops, changed ones conflicts.';

create or replace function purge_inputs(before timestamptz, purged_at timestamptz, at_most integer default 10000) returns jsonb
language plpgsql security definer set search_path from current set timezone to 'UTC' as $$
#variable_conflict use_column
declare
  digests bytea[];
  calls bigint;
  texts bigint;
begin
  -- Whoever records a text waits until we are done: it would rely on one that goes.
  lock table prompt_text in share row exclusive mode;
  with due as (
    select p.run_id, p.call_id
    from llm_call_prompt p
    where p.sent_at < purge_inputs.before
      and p.purged_at is null
      and (p.inputs <> '{}'
           or exists (select 1 from prompt_text t where t.text_sha256 in (p.text_sha256, p.output_sha256)))
    order by p.run_id, p.call_id
    limit purge_inputs.at_most
    for update of p
  ), purged as (
    update llm_call_prompt p
    set inputs = null, purged_at = purge_inputs.purged_at
    from due d
    where p.run_id = d.run_id and p.call_id = d.call_id
    returning p.text_sha256, p.output_sha256
  )
  select count(*), array_agg(text_sha256) || array_agg(output_sha256) into calls, digests from purged;
  if calls = 0 then
    -- Those that no call needs, for it was withdrawn, or another report of it counted.
    select array_agg(t.text_sha256) into digests
    from (
      select t.text_sha256
      from prompt_text t
      where t.recorded_at < purge_inputs.before
        and not exists (select 1 from llm_call_prompt p where p.text_sha256 = t.text_sha256 and p.purged_at is null)
        and not exists (select 1 from llm_call_prompt p where p.output_sha256 = t.text_sha256 and p.purged_at is null)
      order by t.recorded_at
      limit purge_inputs.at_most) t;
  end if;
  delete from prompt_text t
  where t.text_sha256 = any (digests)
    and not exists (
      select 1 from llm_call_prompt p where p.text_sha256 = t.text_sha256 and p.purged_at is null)
    and not exists (
      select 1 from llm_call_prompt p where p.output_sha256 = t.text_sha256 and p.purged_at is null);
  get diagnostics texts = row_count;
  return jsonb_build_object('calls', calls, 'texts', texts);
end $$;

create or replace function withdraw_calls(run_id uuid[], call_id uuid[], reason text) returns integer
language plpgsql security definer set search_path from current set timezone to 'UTC' set enable_seqscan to off as $$
#variable_conflict use_column
declare
  withdrawn integer;
  gone_runs uuid[];
  gone_calls uuid[];
begin
  -- As purging does, before what was sent is touched.
  lock table prompt_text in row exclusive mode;
  perform 1 from pipeline_run r where r.run_id = any (withdraw_calls.run_id) order by r.run_id for update;
  insert into withdrawn_call (run_id, call_id, call, prompt, reason, withdrawn_at, withdrawn_by)
  select
    c.run_id, c.call_id, to_jsonb(c), to_jsonb(p) - 'inputs', withdraw_calls.reason, clock_timestamp(), session_user::text
  from unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
  join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
  left join llm_call_prompt p on p.run_id = u.run_id and p.call_id = u.call_id;

  with sums as (
    select
      c.run_id, count(*) as llm_calls, count(*) - count(c.cost_pico) as unpriced_calls,
      coalesce(sum(c.input_tokens), 0) as input_tokens, coalesce(sum(c.cache_read_tokens), 0) as cache_read_tokens,
      coalesce(sum(c.cache_write_tokens), 0) as cache_write_tokens,
      coalesce(sum(c.cache_write_long_tokens), 0) as cache_write_long_tokens,
      coalesce(sum(c.output_tokens), 0) as output_tokens, coalesce(sum(c.reasoning_tokens), 0) as reasoning_tokens,
      coalesce(sum(c.embedding_tokens), 0) as embedding_tokens, coalesce(sum(c.web_searches), 0) as web_searches,
      coalesce(sum(c.cost_pico), 0) as cost_pico
    from unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
    join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
    group by c.run_id
  )
  update pipeline_run r
  set llm_calls = r.llm_calls - s.llm_calls,
      unpriced_calls = r.unpriced_calls - s.unpriced_calls,
      input_tokens = r.input_tokens - s.input_tokens,
      cache_read_tokens = r.cache_read_tokens - s.cache_read_tokens,
      cache_write_tokens = r.cache_write_tokens - s.cache_write_tokens,
      cache_write_long_tokens = r.cache_write_long_tokens - s.cache_write_long_tokens,
      output_tokens = r.output_tokens - s.output_tokens,
      reasoning_tokens = r.reasoning_tokens - s.reasoning_tokens,
      embedding_tokens = r.embedding_tokens - s.embedding_tokens,
      web_searches = r.web_searches - s.web_searches,
      cost_pico = r.cost_pico - s.cost_pico,
      costed_at = case when r.completed_at is not null then clock_timestamp() end
  from sums s
  where r.run_id = s.run_id;

  perform add_spend(
    array_agg(s.bucket), array_agg(r.pipeline), array_agg(s.agent), array_agg(s.provider), array_agg(s.model),
    array_agg(-s.llm_calls), array_agg(-s.unpriced_calls), array_agg(-s.input_tokens), array_agg(-s.cache_read_tokens),
    array_agg(-s.cache_write_tokens), array_agg(-s.cache_write_long_tokens), array_agg(-s.output_tokens),
    array_agg(-s.reasoning_tokens), array_agg(-s.embedding_tokens), array_agg(-s.web_searches),
    array_agg(-s.cost_pico))
  from (
    select
      c.run_id, floor(extract(epoch from c.called_at) / 900)::integer as bucket, c.agent, c.provider, c.model,
      count(*) as llm_calls, count(*) - count(c.cost_pico) as unpriced_calls,
      coalesce(sum(c.input_tokens), 0) as input_tokens, coalesce(sum(c.cache_read_tokens), 0) as cache_read_tokens,
      coalesce(sum(c.cache_write_tokens), 0) as cache_write_tokens,
      coalesce(sum(c.cache_write_long_tokens), 0) as cache_write_long_tokens,
      coalesce(sum(c.output_tokens), 0) as output_tokens, coalesce(sum(c.reasoning_tokens), 0) as reasoning_tokens,
      coalesce(sum(c.embedding_tokens), 0) as embedding_tokens, coalesce(sum(c.web_searches), 0) as web_searches,
      coalesce(sum(c.cost_pico), 0)::bigint as cost_pico
    from unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
    join llm_call c on c.run_id = u.run_id and c.call_id = u.call_id
    group by 1, 2, 3, 4, 5) s
  join pipeline_run r on r.run_id = s.run_id
  having count(*) > 0;

  with gone as (
    delete from llm_call c
    using unnest(withdraw_calls.run_id, withdraw_calls.call_id) as u (run_id, call_id)
    where c.run_id = u.run_id and c.call_id = u.call_id
    returning c.run_id, c.call_id
  )
  select count(*), array_agg(run_id), array_agg(call_id) into withdrawn, gone_runs, gone_calls from gone;
  -- Calls in an archive are not withdrawn, and keep what was sent.
  delete from llm_call_prompt p
  using unnest(gone_runs, gone_calls) as u (run_id, call_id)
  where p.run_id = u.run_id and p.call_id = u.call_id;
  return withdrawn;
end $$;

do $$
declare
  ledger constant text := quote_ident(current_schema());
begin
  execute format('revoke all on all functions in schema %s from public', ledger);
  if exists (select 1 from pg_roles where rolname = 'asmm_writer') then
    grant execute on function record_prompt_rows, keep_texts, purged_texts to asmm_writer;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_reader') then
    grant select (output_sha256) on llm_call_prompt to asmm_reader;
  end if;
  if exists (select 1 from pg_roles where rolname = 'asmm_operator') then
    execute format('grant execute on all functions in schema %s to asmm_operator', ledger);
  end if;
end $$;
