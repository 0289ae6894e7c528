-- What retention would drop. $1: sent before this time. Answers the calls, and the texts that no later call needs.
select
  (select count(*)
   from llm_call_prompt p
   where p.sent_at < $1
     and p.purged_at is null
     and (p.inputs <> '{}'
          or exists (select 1 from prompt_text t where t.text_sha256 in (p.text_sha256, p.output_sha256)))) as calls,
  (select count(*)
   from prompt_text t
   where (t.recorded_at < $1
          or exists (
            select 1
            from llm_call_prompt p
            where (p.text_sha256 = t.text_sha256 or p.output_sha256 = t.text_sha256)
              and p.purged_at is null
              and p.sent_at < $1))
     and not exists (
       select 1
       from llm_call_prompt p
       where (p.text_sha256 = t.text_sha256 or p.output_sha256 = t.text_sha256)
         and p.purged_at is null
         and p.sent_at >= $1)) as texts
