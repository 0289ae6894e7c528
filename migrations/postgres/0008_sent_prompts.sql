-- What was sent is recorded when it is sent, under the id of a call that may come later, or never be answered;
-- and retention may drop what was sent, and nothing else.

alter table llm_call_prompt drop constraint llm_call_prompt_run_id_call_id_fkey;
alter table llm_call_prompt add column step_id uuid;
alter table llm_call_prompt add column sent_at timestamptz not null default clock_timestamp();
alter table llm_call_prompt alter column sent_at drop default;
alter table llm_call_prompt add foreign key (run_id) references pipeline_run;
alter table llm_call_prompt add foreign key (run_id, step_id) references pipeline_step_run;

comment on table llm_call_prompt is 'What was sent in a call. Apart from llm_call: it is known before the call is answered, and retention can drop inputs and keep spend.';
comment on column llm_call_prompt.call_id is 'With run_id: the call, which may be recorded later.';
comment on column llm_call_prompt.inputs is 'The template''s inputs after sanitising: a JSON object, in canonical form.';
comment on column llm_call_prompt.text_sha256 is 'SHA-256 of the canonical JSON of the messages sent.';
comment on column llm_call_prompt.purged_at is 'When retention dropped the inputs and the text.';
comment on column llm_call_prompt.step_id is 'The step that sent it; null when none did.';
comment on column llm_call_prompt.sent_at is 'When it was sent, as the caller says.';
comment on column prompt_text.text_sha256 is 'SHA-256 of body in UTF-8.';
comment on column prompt_text.body is 'The messages, in canonical JSON.';

create index llm_call_prompt_version on llm_call_prompt (prompt_version_id) where prompt_version_id is not null;
create index llm_call_prompt_text on llm_call_prompt (text_sha256) where text_sha256 is not null;
create index llm_call_prompt_sent_at on llm_call_prompt using brin (sent_at);

-- The only change there is: retention drops the inputs, and says when.
drop trigger llm_call_prompt_append_only on llm_call_prompt;
create trigger llm_call_prompt_no_delete before delete on llm_call_prompt
  for each row execute function refuse_change();
create trigger llm_call_prompt_only_purged before update on llm_call_prompt
  for each row
  when (not (
    old.purged_at is null and new.purged_at is not null and new.inputs is null
    and (new.run_id, new.call_id, new.prompt_version_id, new.text_sha256, new.sanitisation, new.step_id, new.sent_at)
      is not distinct from
      (old.run_id, old.call_id, old.prompt_version_id, old.text_sha256, old.sanitisation, old.step_id, old.sent_at)))
  execute function refuse_change();

create function refuse_needed_text() returns trigger
language plpgsql set search_path from current as $$
begin
  if exists (
    select 1
    from llm_call_prompt p
    where p.text_sha256 = old.text_sha256 and p.purged_at is null)
  then
    raise exception 'prompt_text is append-only: delete is refused: a call was sent with it'
      using errcode = 'AS403', hint = 'corrections are new rows, and retention is `asmm prompts purge-inputs`; see RUNBOOK.md';
  end if;
  return old;
end $$;

comment on function refuse_needed_text() is 'Trigger: refuses DELETE of a text that a call needs which is not purged.';

drop trigger prompt_text_append_only on prompt_text;
create trigger prompt_text_no_update before update on prompt_text
  for each row execute function refuse_change();
create trigger prompt_text_no_delete before delete on prompt_text
  for each row execute function refuse_needed_text();

create view v_prompt_version as
select
  v.prompt_version_id,
  p.name as prompt,
  v.version,
  'sha256:' || encode(v.digest, 'hex') as digest,
  v.description,
  v.created_at,
  v.created_by,
  v.git_commit
from prompt_version v
join prompt p on p.prompt_id = v.prompt_id;

comment on view v_prompt_version is 'Prompt versions without what they say.';
comment on column v_prompt_version.prompt is 'The prompt''s name.';
comment on column v_prompt_version.digest is 'sha256: and the hexadecimal digits of the SHA-256 of the version''s content.';

create view v_call_prompt as
select
  s.run_id::text as run_id,
  s.call_id::text as call_id,
  s.step_id::text as step_id,
  s.sent_at,
  s.prompt_version_id,
  v.prompt,
  v.version,
  'sha256:' || encode(s.text_sha256, 'hex') as text_sha256,
  s.sanitisation,
  s.purged_at
from llm_call_prompt s
left join v_prompt_version v on v.prompt_version_id = s.prompt_version_id;

comment on view v_call_prompt is 'Which version was sent in which call, without inputs and texts.';
comment on column v_call_prompt.prompt is 'The prompt''s name; null when the pipeline renders elsewhere.';
comment on column v_call_prompt.version is 'The version''s number; null when the pipeline renders elsewhere.';
comment on column v_call_prompt.text_sha256 is 'sha256: and the hexadecimal digits of the SHA-256 of the messages sent, in canonical JSON.';

do $$
declare
  missing record;
begin
  for missing in
    select a.attrelid::regclass as view_name, a.attname as column_name, origin.meaning
    from (values ('v_prompt_version', 'prompt_version'), ('v_call_prompt', 'llm_call_prompt'),
                 ('v_call_prompt', 'v_prompt_version')) s (view_name, table_name)
    join pg_attribute a on a.attrelid = s.view_name::regclass and a.attnum > 0
    join lateral (
      select col_description(o.attrelid, o.attnum) as meaning
      from pg_attribute o
      where o.attrelid = s.table_name::regclass and o.attname = a.attname) origin on origin.meaning is not null
    where col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', missing.view_name, missing.column_name, missing.meaning);
  end loop;
end $$;
