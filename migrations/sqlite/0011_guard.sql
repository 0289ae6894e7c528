-- What the guard decides is recorded when it decides: for calls that come later, or are never sent. What came in
-- from outside can be looked at, and redacted, after it was sent; the digest of what was sent stays.
--
-- Foreign keys and checks go only with their tables: the tables are made anew.

create table decided (
  guard_event_id integer primary key,
  run_id         blob references pipeline_run,
  call_id        blob,
  detector       text not null check (length(detector) between 1 and 200),
  findings       integer not null check (findings >= 1),
  decision       text not null check (decision in ('block', 'redact', 'allow_raw', 'report')),
  reason         text not null,
  fingerprint    blob check (length(fingerprint) = 32),
  rules_sha256   blob not null check (length(rules_sha256) = 32),
  policy_sha256  blob not null check (length(policy_sha256) = 32),
  recorded_at    integer not null,
  event_id       blob not null unique default (randomblob(16)) check (length(event_id) = 16),
  prompt         text check (length(prompt) between 1 and 200),
  variable       text check (length(variable) between 1 and 200),
  token          text check (length(token) between 1 and 200),
  check (call_id is null or run_id is not null)
) strict;

insert into decided (
  guard_event_id, run_id, call_id, detector, findings, decision, reason, fingerprint, rules_sha256, policy_sha256,
  recorded_at)
select guard_event_id, run_id, call_id, detector, findings, decision, reason, fingerprint, rules_sha256, policy_sha256,
       recorded_at
from guard_event;
drop table guard_event;
alter table decided rename to guard_event;

create index guard_event_call on guard_event (run_id, call_id);
create index guard_event_recorded_at on guard_event (recorded_at);
create index guard_event_fingerprint on guard_event (fingerprint) where fingerprint is not null;

create trigger guard_event_no_update before update on guard_event begin
  select raise(abort, 'guard_event is append-only: update is refused');
end;
create trigger guard_event_no_delete before delete on guard_event begin
  select raise(abort, 'guard_event is append-only: delete is refused');
end;
create trigger guard_event_no_replace before insert on guard_event
when exists (
  select 1 from guard_event where guard_event_id = new.guard_event_id or event_id = new.event_id) begin
  select raise(abort, 'guard_event is append-only: replacing a row is refused');
end;

drop view v_call_prompt;
create table sent_prompt (
  run_id            blob not null references pipeline_run,
  call_id           blob not null,
  prompt_version_id integer references prompt_version,
  inputs            text,
  text_sha256       blob check (length(text_sha256) = 32),
  sanitisation      text not null
    check (sanitisation in ('clean', 'redacted', 'raw_allowed', 'unscanned', 'exposed')),
  purged_at         integer,
  step_id           blob,
  sent_at           integer not null,
  redacted_at       integer,
  primary key (run_id, call_id),
  foreign key (run_id, step_id) references pipeline_step_run,
  check (purged_at is null or inputs is null),
  check (redacted_at is null or sanitisation = 'exposed')
) strict, without rowid;

insert into sent_prompt (
  run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, step_id, sent_at)
select run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, step_id, sent_at
from llm_call_prompt;
drop trigger prompt_text_no_delete;
drop table llm_call_prompt;
alter table sent_prompt rename to llm_call_prompt;

create index llm_call_prompt_version on llm_call_prompt (prompt_version_id) where prompt_version_id is not null;
create index llm_call_prompt_text on llm_call_prompt (text_sha256) where text_sha256 is not null;
create index llm_call_prompt_sent_at on llm_call_prompt (sent_at) where purged_at is null;
create index llm_call_prompt_to_scan on llm_call_prompt (run_id, call_id)
  where sanitisation in ('unscanned', 'exposed') and redacted_at is null and purged_at is null;

-- The only changes there are: retention drops the inputs, and a later look says what it found and redacts it.
create trigger llm_call_prompt_only_marked before update on llm_call_prompt
when not (
  new.run_id is old.run_id and new.call_id is old.call_id and new.prompt_version_id is old.prompt_version_id
  and new.text_sha256 is old.text_sha256 and new.step_id is old.step_id and new.sent_at is old.sent_at
  and old.purged_at is null
  and case
    when new.purged_at is not null then
      new.inputs is null and new.sanitisation is old.sanitisation and new.redacted_at is old.redacted_at
    when new.redacted_at is not null then
      old.redacted_at is null and old.sanitisation in ('unscanned', 'exposed')
    else
      old.sanitisation = 'unscanned' and new.sanitisation <> 'unscanned' and new.inputs is old.inputs
  end) begin
  select raise(abort, 'llm_call_prompt is append-only: update is refused');
end;
create trigger llm_call_prompt_no_delete before delete on llm_call_prompt begin
  select raise(abort, 'llm_call_prompt is append-only: delete is refused');
end;
create trigger llm_call_prompt_no_replace before insert on llm_call_prompt
when exists (select 1 from llm_call_prompt where run_id = new.run_id and call_id = new.call_id) begin
  select raise(abort, 'llm_call_prompt is append-only: replacing a row is refused');
end;

create trigger prompt_text_no_delete before delete on prompt_text
when exists (select 1 from llm_call_prompt where text_sha256 = old.text_sha256 and purged_at is null) begin
  select raise(abort, 'prompt_text is append-only: delete is refused: a call was sent with it');
end;
alter table prompt_text add column redacted_at integer;
drop trigger prompt_text_no_update;
create trigger prompt_text_only_redacted before update on prompt_text
when not (
  old.redacted_at is null and new.redacted_at is not null
  and new.text_sha256 is old.text_sha256 and new.recorded_at is old.recorded_at) begin
  select raise(abort, 'prompt_text is append-only: update is refused');
end;

create view v_call_prompt as
select
  lower(substr(hex(s.run_id), 1, 8) || '-' || substr(hex(s.run_id), 9, 4) || '-' || substr(hex(s.run_id), 13, 4) || '-'
    || substr(hex(s.run_id), 17, 4) || '-' || substr(hex(s.run_id), 21)) as run_id,
  lower(substr(hex(s.call_id), 1, 8) || '-' || substr(hex(s.call_id), 9, 4) || '-' || substr(hex(s.call_id), 13, 4)
    || '-' || substr(hex(s.call_id), 17, 4) || '-' || substr(hex(s.call_id), 21)) as call_id,
  case when s.step_id is not null then lower(substr(hex(s.step_id), 1, 8) || '-' || substr(hex(s.step_id), 9, 4) || '-' || substr(hex(s.step_id), 13, 4)
    || '-' || substr(hex(s.step_id), 17, 4) || '-' || substr(hex(s.step_id), 21)) end as step_id,
  strftime('%Y-%m-%dT%H:%M:%S', s.sent_at / 1000000, 'unixepoch') || printf('.%06dZ', s.sent_at % 1000000) as sent_at,
  s.prompt_version_id,
  v.prompt,
  v.version,
  case when s.text_sha256 is not null then 'sha256:' || lower(hex(s.text_sha256)) end as text_sha256,
  s.sanitisation,
  strftime('%Y-%m-%dT%H:%M:%S', s.purged_at / 1000000, 'unixepoch') || printf('.%06dZ', s.purged_at % 1000000)
    as purged_at,
  strftime('%Y-%m-%dT%H:%M:%S', s.redacted_at / 1000000, 'unixepoch') || printf('.%06dZ', s.redacted_at % 1000000)
    as redacted_at
from llm_call_prompt s
left join v_prompt_version v on v.prompt_version_id = s.prompt_version_id;

create view v_guard_event as
select
  g.guard_event_id,
  strftime('%Y-%m-%dT%H:%M:%S', g.recorded_at / 1000000, 'unixepoch') || printf('.%06dZ', g.recorded_at % 1000000)
    as recorded_at,
  case when g.run_id is not null then lower(substr(hex(g.run_id), 1, 8) || '-' || substr(hex(g.run_id), 9, 4) || '-' || substr(hex(g.run_id), 13, 4)
    || '-' || substr(hex(g.run_id), 17, 4) || '-' || substr(hex(g.run_id), 21)) end as run_id,
  case when g.call_id is not null then lower(substr(hex(g.call_id), 1, 8) || '-' || substr(hex(g.call_id), 9, 4) || '-' || substr(hex(g.call_id), 13, 4)
    || '-' || substr(hex(g.call_id), 17, 4) || '-' || substr(hex(g.call_id), 21)) end as call_id,
  r.pipeline,
  g.prompt,
  g.variable,
  g.detector,
  g.findings,
  g.decision,
  g.reason,
  case when g.fingerprint is not null then 'sha256:' || lower(hex(g.fingerprint)) end as fingerprint,
  g.token,
  'sha256:' || lower(hex(g.rules_sha256)) as rules_sha256,
  'sha256:' || lower(hex(g.policy_sha256)) as policy_sha256
from guard_event g
left join pipeline_run r on r.run_id = g.run_id;
