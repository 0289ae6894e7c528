-- The prompt registry: immutable versions and the history of their labels.

create table prompt (
  prompt_id  bigint generated always as identity primary key,
  name       text collate "C" not null unique check (char_length(name) between 1 and 200),
  created_at timestamptz not null default clock_timestamp()
);

comment on table prompt is 'A prompt''s identity: its name. What it says is in its versions.';
comment on column prompt.prompt_id is 'The prompt''s number.';
comment on column prompt.name is 'The name it is pushed and used by, such as enrichment/company-summary.';
comment on column prompt.created_at is 'When its first version was pushed.';

create table prompt_version (
  prompt_version_id bigint generated always as identity primary key,
  prompt_id         bigint not null references prompt,
  version           integer not null check (version >= 1),
  digest            bytea not null check (octet_length(digest) = 32),
  content           text not null,
  source            text not null,
  description       text not null default '',
  created_at        timestamptz not null default clock_timestamp(),
  created_by        text not null,
  git_commit        text collate "C",
  unique (prompt_id, version),
  unique (prompt_id, prompt_version_id)
);

comment on table prompt_version is 'What a prompt said at one version. Never changes and never goes away.';
comment on column prompt_version.prompt_version_id is 'The version''s number; llm_call_prompt and pipeline_step_run refer to it.';
comment on column prompt_version.prompt_id is 'The prompt it is a version of.';
comment on column prompt_version.version is 'Counts from 1 per prompt; a number is never used again.';
comment on column prompt_version.digest is 'SHA-256 of content.';
comment on column prompt_version.content is 'The canonical JSON of the version''s semantic fields.';
comment on column prompt_version.source is 'The YAML file as it was pushed.';
comment on column prompt_version.description is 'What its author says about it; empty when nothing.';
comment on column prompt_version.created_at is 'When it was pushed.';
comment on column prompt_version.created_by is 'Who pushed it: the operating system''s user.';
comment on column prompt_version.git_commit is 'The commit of the folder it was pushed from; null when there was none.';

create trigger prompt_append_only before update or delete on prompt
  for each row execute function refuse_change();
create trigger prompt_no_truncate before truncate on prompt
  for each statement execute function refuse_change();
create trigger prompt_version_append_only before update or delete on prompt_version
  for each row execute function refuse_change();
create trigger prompt_version_no_truncate before truncate on prompt_version
  for each statement execute function refuse_change();

create table prompt_label (
  prompt_label_id   bigint generated always as identity primary key,
  prompt_id         bigint not null,
  label             text collate "C" not null check (char_length(label) between 1 and 200 and label !~ '^[0-9]+$'),
  prompt_version_id bigint not null,
  moved_at          timestamptz not null default clock_timestamp(),
  moved_by          text not null,
  foreign key (prompt_id, prompt_version_id) references prompt_version (prompt_id, prompt_version_id)
);

comment on table prompt_label is 'Every move of a label; the newest row of a label says where it points.';
comment on column prompt_label.prompt_label_id is 'The row''s number; of one label the highest says where it points.';
comment on column prompt_label.prompt_id is 'The prompt the label belongs to.';
comment on column prompt_label.label is 'Such as production. Never only digits: those are version numbers.';
comment on column prompt_label.prompt_version_id is 'The version it was moved to, of the same prompt.';
comment on column prompt_label.moved_at is 'When it was moved.';
comment on column prompt_label.moved_by is 'Who moved it: the operating system''s user.';

create index prompt_label_history on prompt_label (prompt_id, label, prompt_label_id);

create trigger prompt_label_append_only before update or delete on prompt_label
  for each row execute function refuse_change();
create trigger prompt_label_no_truncate before truncate on prompt_label
  for each statement execute function refuse_change();

create table prompt_text (
  text_sha256 bytea primary key check (octet_length(text_sha256) = 32),
  body        text not null,
  recorded_at timestamptz not null default clock_timestamp()
);

comment on table prompt_text is 'Exact text captured by pipelines that render elsewhere, once per content.';
comment on column prompt_text.text_sha256 is 'SHA-256 of body in UTF-8.';
comment on column prompt_text.body is 'The text.';
comment on column prompt_text.recorded_at is 'When it was first captured.';

create trigger prompt_text_append_only before update or delete on prompt_text
  for each row execute function refuse_change();
create trigger prompt_text_no_truncate before truncate on prompt_text
  for each statement execute function refuse_change();
