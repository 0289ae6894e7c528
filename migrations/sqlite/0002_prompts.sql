-- The prompt registry: immutable versions and the history of their labels.

create table prompt (
  prompt_id  integer primary key,
  name       text not null unique check (length(name) between 1 and 200),
  created_at integer not null
) strict;

-- What a prompt said at one version. Never changes and never goes away. digest is the SHA-256 of content,
-- the canonical JSON of the version's semantic fields; source is the YAML file as it was pushed.
create table prompt_version (
  prompt_version_id integer primary key,
  prompt_id         integer not null references prompt,
  version           integer not null check (version >= 1),
  digest            blob not null check (length(digest) = 32),
  content           text not null,
  source            text not null,
  description       text not null default '',
  created_at        integer not null,
  created_by        text not null,
  git_commit        text,
  unique (prompt_id, version),
  unique (prompt_id, prompt_version_id)
) strict;

create trigger prompt_no_update before update on prompt begin
  select raise(abort, 'prompt is append-only: update is refused');
end;
create trigger prompt_no_delete before delete on prompt begin
  select raise(abort, 'prompt is append-only: delete is refused');
end;
create trigger prompt_no_replace before insert on prompt
when exists (select 1 from prompt where prompt_id = new.prompt_id or name = new.name) begin
  select raise(abort, 'prompt is append-only: replacing a row is refused');
end;
create trigger prompt_version_no_update before update on prompt_version begin
  select raise(abort, 'prompt_version is append-only: update is refused');
end;
create trigger prompt_version_no_delete before delete on prompt_version begin
  select raise(abort, 'prompt_version is append-only: delete is refused');
end;
create trigger prompt_version_no_replace before insert on prompt_version
when exists (select 1 from prompt_version where prompt_version_id = new.prompt_version_id
             or prompt_id = new.prompt_id and version = new.version) begin
  select raise(abort, 'prompt_version is append-only: replacing a row is refused');
end;

-- Every move of a label; the newest row of a label says where it points.
create table prompt_label (
  prompt_label_id   integer primary key,
  prompt_id         integer not null,
  label             text not null check (length(label) between 1 and 200 and label glob '*[^0-9]*'),
  prompt_version_id integer not null,
  moved_at          integer not null,
  moved_by          text not null,
  foreign key (prompt_id, prompt_version_id) references prompt_version (prompt_id, prompt_version_id)
) strict;

create index prompt_label_history on prompt_label (prompt_id, label, prompt_label_id);

create trigger prompt_label_no_update before update on prompt_label begin
  select raise(abort, 'prompt_label is append-only: update is refused');
end;
create trigger prompt_label_no_delete before delete on prompt_label begin
  select raise(abort, 'prompt_label is append-only: delete is refused');
end;
create trigger prompt_label_no_replace before insert on prompt_label
when exists (select 1 from prompt_label where prompt_label_id = new.prompt_label_id) begin
  select raise(abort, 'prompt_label is append-only: replacing a row is refused');
end;

-- Exact text captured by pipelines that render elsewhere, once per content.
create table prompt_text (
  text_sha256 blob primary key check (length(text_sha256) = 32),
  body        text not null,
  recorded_at integer not null
) strict, without rowid;

create trigger prompt_text_no_update before update on prompt_text begin
  select raise(abort, 'prompt_text is append-only: update is refused');
end;
create trigger prompt_text_no_delete before delete on prompt_text begin
  select raise(abort, 'prompt_text is append-only: delete is refused');
end;
create trigger prompt_text_no_replace before insert on prompt_text
when exists (select 1 from prompt_text where text_sha256 = new.text_sha256) begin
  select raise(abort, 'prompt_text is append-only: replacing a row is refused');
end;
