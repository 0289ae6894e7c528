-- What was sent is recorded when it is sent, under the id of a call that may come later, or never be answered;
-- and retention may drop what was sent, and nothing else.
--
-- A foreign key goes only with its table: the table is made anew.

create table sent_prompt (
  run_id            blob not null references pipeline_run,
  call_id           blob not null,
  prompt_version_id integer references prompt_version,
  inputs            text,
  text_sha256       blob check (length(text_sha256) = 32),
  sanitisation      text not null check (sanitisation in ('clean', 'redacted', 'raw_allowed', 'unscanned')),
  purged_at         integer,
  step_id           blob,
  sent_at           integer not null,
  primary key (run_id, call_id),
  foreign key (run_id, step_id) references pipeline_step_run,
  check (purged_at is null or inputs is null)
) strict, without rowid;

insert into sent_prompt (
  run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, step_id, sent_at)
select p.run_id, p.call_id, p.prompt_version_id, p.inputs, p.text_sha256, p.sanitisation, p.purged_at, c.step_id,
       c.called_at
from llm_call_prompt p
join llm_call c on c.run_id = p.run_id and c.call_id = p.call_id;
drop table llm_call_prompt;
alter table sent_prompt rename to llm_call_prompt;

create index llm_call_prompt_version on llm_call_prompt (prompt_version_id) where prompt_version_id is not null;
create index llm_call_prompt_text on llm_call_prompt (text_sha256) where text_sha256 is not null;
create index llm_call_prompt_sent_at on llm_call_prompt (sent_at) where purged_at is null;

-- The only change there is: retention drops the inputs, and says when.
create trigger llm_call_prompt_only_purged before update on llm_call_prompt
when not (
  old.purged_at is null and new.purged_at is not null and new.inputs is null
  and new.run_id is old.run_id and new.call_id is old.call_id and new.prompt_version_id is old.prompt_version_id
  and new.text_sha256 is old.text_sha256 and new.sanitisation is old.sanitisation and new.step_id is old.step_id
  and new.sent_at is old.sent_at) begin
  select raise(abort, 'llm_call_prompt is append-only: update is refused');
end;
create trigger llm_call_prompt_no_delete before delete on llm_call_prompt begin
  select raise(abort, 'llm_call_prompt is append-only: delete is refused');
end;
create trigger llm_call_prompt_no_replace before insert on llm_call_prompt
when exists (select 1 from llm_call_prompt where run_id = new.run_id and call_id = new.call_id) begin
  select raise(abort, 'llm_call_prompt is append-only: replacing a row is refused');
end;

drop trigger prompt_text_no_delete;
create trigger prompt_text_no_delete before delete on prompt_text
when exists (select 1 from llm_call_prompt where text_sha256 = old.text_sha256 and purged_at is null) begin
  select raise(abort, 'prompt_text is append-only: delete is refused: a call was sent with it');
end;

create view v_prompt_version as
select
  v.prompt_version_id,
  p.name as prompt,
  v.version,
  'sha256:' || lower(hex(v.digest)) as digest,
  v.description,
  strftime('%Y-%m-%dT%H:%M:%S', v.created_at / 1000000, 'unixepoch') || printf('.%06dZ', v.created_at % 1000000)
    as created_at,
  v.created_by,
  v.git_commit
from prompt_version v
join prompt p on p.prompt_id = v.prompt_id;

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
    as purged_at
from llm_call_prompt s
left join v_prompt_version v on v.prompt_version_id = s.prompt_version_id;
