-- How many runs started in a range, and their totals. Parameters $1 to $7 as in run_list.sql; $8: the prompt that a
-- step or call used and $9: its version, each may be null for all.
select
  cast(count(*) as bigint) as runs,
  cast(coalesce(sum(r.llm_calls), 0) as bigint) as llm_calls,
  cast(coalesce(sum(r.unpriced_calls), 0) as bigint) as unpriced_calls,
  cast(coalesce(sum(r.input_tokens), 0) as bigint) as input_tokens,
  cast(coalesce(sum(r.cache_read_tokens), 0) as bigint) as cache_read_tokens,
  cast(coalesce(sum(r.cache_write_tokens), 0) as bigint) as cache_write_tokens,
  cast(coalesce(sum(r.cache_write_long_tokens), 0) as bigint) as cache_write_long_tokens,
  cast(coalesce(sum(r.output_tokens), 0) as bigint) as output_tokens,
  cast(coalesce(sum(r.reasoning_tokens), 0) as bigint) as reasoning_tokens,
  cast(coalesce(sum(r.embedding_tokens), 0) as bigint) as embedding_tokens,
  cast(coalesce(sum(r.web_searches), 0) as bigint) as web_searches,
  coalesce(sum(r.cost_pico), 0) as cost_pico
from pipeline_run r
join status_lookup s on s.status_id = r.status_id
where r.started_at >= $1
  and r.started_at < $2
  and ($3 is null or r.pipeline = $3)
  and ($4 is null or s.code = $4)
  and (($5 is null and $6 is null and $7 is null)
       or exists (
         select 1
         from llm_call c
         where c.run_id = r.run_id
           and ($5 is null or c.agent = $5)
           and ($6 is null or c.provider = $6)
           and ($7 is null or c.model = $7))
       or exists (
         select 1
         from archived_spend a
         where a.run_id = r.run_id
           and ($5 is null or a.agent = $5)
           and ($6 is null or a.provider = $6)
           and ($7 is null or a.model = $7)))
  and (cast($8 as text) is null
       or exists (
         select 1
         from prompt_version v
         join prompt p on p.prompt_id = v.prompt_id
         where p.name = $8
           and (cast($9 as bigint) is null or v.version = $9)
           and (exists (
                  select 1
                  from pipeline_step_run t
                  where t.run_id = r.run_id and t.prompt_version_id = v.prompt_version_id)
                or exists (
                  select 1
                  from llm_call_prompt s
                  where s.run_id = r.run_id and s.prompt_version_id = v.prompt_version_id))))
