-- What models answered, where a pipeline's spans tell it and it is to be kept: a text as those that are sent, under the same
-- rules. And what was sent in a call leaves the journal together with it, when it is withdrawn.

alter table llm_call_prompt add column output_sha256 blob check (length(output_sha256) = 32);
create index llm_call_prompt_output on llm_call_prompt (output_sha256) where output_sha256 is not null;
create index prompt_text_recorded_at on prompt_text (recorded_at);

alter table withdrawn_call add column prompt text check (json_valid(prompt));

-- The only changes there are: retention drops the inputs, and a later look says what it found and redacts it.
drop trigger llm_call_prompt_only_marked;
create trigger llm_call_prompt_only_marked before update on llm_call_prompt
when not (
  new.run_id is old.run_id and new.call_id is old.call_id and new.prompt_version_id is old.prompt_version_id
  and new.text_sha256 is old.text_sha256 and new.output_sha256 is old.output_sha256
  and new.step_id is old.step_id and new.sent_at is old.sent_at
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

drop trigger llm_call_prompt_no_delete;
create trigger llm_call_prompt_no_delete before delete on llm_call_prompt
when exists (select 1 from llm_call where run_id = old.run_id and call_id = old.call_id)
  or not exists (
    select 1
    from withdrawn_call
    where run_id = old.run_id and call_id = old.call_id
      and prompt ->> 'text_sha256' is nullif(lower(hex(old.text_sha256)), '')
      and prompt ->> 'output_sha256' is nullif(lower(hex(old.output_sha256)), '')
      and prompt ->> 'sent_at' is old.sent_at
      and prompt ->> 'sanitisation' is old.sanitisation
      and prompt ->> 'purged_at' is old.purged_at
      and prompt ->> 'redacted_at' is old.redacted_at) begin
  select raise(abort, 'llm_call_prompt is append-only: delete is refused');
end;

drop trigger prompt_text_no_delete;
create trigger prompt_text_no_delete before delete on prompt_text
when exists (select 1 from llm_call_prompt where text_sha256 = old.text_sha256 and purged_at is null)
  or exists (select 1 from llm_call_prompt where output_sha256 = old.text_sha256 and purged_at is null) begin
  select raise(abort, 'prompt_text is append-only: delete is refused: a call was sent with it');
end;
