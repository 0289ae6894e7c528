-- Runs that run now, sorted, each with the agents at work in it: those of its running steps, or else that of its newest call
-- (ids of calls ascend with time where pipelines make them as UUIDv7).
-- It is a text of its own beside run_list.sql because of the count, with which a list takes almost twice as long.
-- $1: started at or after; $2: pipeline, $3: agent, $4: provider, $5: model of a call, each may be null for all;
-- $6: cost, started, calls or tokens; $7: how many. `running` is how many there are.
select
  r.run_id,
  r.pipeline,
  r.started_at,
  coalesce(
    (select string_agg(a.agent, ', ' order by a.agent)
     from (
       select distinct t.agent
       from pipeline_step_run t
       join status_lookup u on u.status_id = t.status_id
       where t.run_id = r.run_id and u.code = 'running' and t.agent <> '') a),
    (select c.agent
     from llm_call c
     where c.run_id = r.run_id
     order by c.call_id desc
     limit 1),
    '') as agents,
  cast(r.running as bigint) as running,
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
from (
  -- Only for those that are shown are agents looked for: there may be many that died without a word.
  select
    p.*,
    count(*) over () as running,
    row_number() over (
      order by
        case $6
          when 'cost' then p.cost_pico
          when 'calls' then p.llm_calls
          when 'tokens' then p.llm_tokens_input + p.llm_tokens_output + p.embedding_tokens
        end desc nulls last,
        p.started_at desc,
        p.run_id) as place
  from pipeline_run p
  join status_lookup s on s.status_id = p.status_id
  where p.started_at >= $1
    and s.code = 'running'
    and ($2 is null or p.pipeline = $2)
    and (($3 is null and $4 is null and $5 is null)
         or exists (
           select 1
           from llm_call c
           where c.run_id = p.run_id
             and ($3 is null or c.agent = $3)
             and ($4 is null or c.provider = $4)
             and ($5 is null or c.model = $5)))) r
where r.place <= $7
order by r.place
