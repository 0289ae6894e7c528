-- Runs that started in a range, with their totals: the most expensive, the newest, …
-- $1: started at or after; $2: started before; $3: pipeline, $4: status, $5: agent, $6: provider, $7: model of a
-- call, each may be null for all; $8: cost, started, calls or tokens; $9: how many;
-- $10: the prompt that a step or call used and $11: its version, each may be null for all.
select
  r.run_id,
  r.pipeline,
  s.code as status,
  r.labels,
  r.started_at,
  r.completed_at,
  r.costed_at,
  r.parent_run_id,
  r.replay_of,
  r.llm_calls,
  r.unpriced_calls,
  r.input_tokens,
  r.cache_read_tokens,
  r.cache_write_tokens,
  r.cache_write_long_tokens,
  r.output_tokens,
  r.reasoning_tokens,
  r.embedding_tokens,
  r.web_searches,
  r.cost_pico
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
  and (cast($10 as text) is null
       or exists (
         select 1
         from prompt_version v
         join prompt p on p.prompt_id = v.prompt_id
         where p.name = $10
           and (cast($11 as bigint) is null or v.version = $11)
           and (exists (
                  select 1
                  from pipeline_step_run t
                  where t.run_id = r.run_id and t.prompt_version_id = v.prompt_version_id)
                or exists (
                  select 1
                  from llm_call_prompt s
                  where s.run_id = r.run_id and s.prompt_version_id = v.prompt_version_id))))
order by
  case $8
    when 'cost' then r.cost_pico
    when 'calls' then r.llm_calls
    when 'tokens' then r.llm_tokens_input + r.llm_tokens_output + r.embedding_tokens
  end desc nulls last,
  r.started_at desc,
  r.run_id
limit $9
