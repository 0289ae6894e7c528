-- Runs whose counters are not the sums of their calls: the run, what it holds, what its calls sum to.
-- $1: only of that many runs, the newest; null for all.
with journal as (
  select
    s.run_id,
    sum(s.llm_calls) as llm_calls,
    sum(s.unpriced_calls) as unpriced_calls,
    sum(s.input_tokens) as input_tokens,
    sum(s.cache_read_tokens) as cache_read_tokens,
    sum(s.cache_write_tokens) as cache_write_tokens,
    sum(s.cache_write_long_tokens) as cache_write_long_tokens,
    sum(s.output_tokens) as output_tokens,
    sum(s.reasoning_tokens) as reasoning_tokens,
    sum(s.embedding_tokens) as embedding_tokens,
    sum(s.web_searches) as web_searches,
    sum(s.cost_pico) as cost_pico
  from journal_spend s
  where $1 is null
     or s.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0))
  group by s.run_id
)
select
  r.run_id,
  r.pipeline as thing,
  cast(r.llm_calls as text) || ' calls, ' || cast(r.unpriced_calls as text) || ' unpriced, '
    || cast(r.input_tokens as text) || '+' || cast(r.cache_read_tokens as text) || '+'
    || cast(r.cache_write_tokens as text) || '+' || cast(r.cache_write_long_tokens as text) || ' in, '
    || cast(r.output_tokens as text) || '+' || cast(r.reasoning_tokens as text) || ' out, '
    || cast(r.embedding_tokens as text) || ' embedded, ' || cast(r.web_searches as text) || ' searches, '
    || cast(r.cost_pico as text) || ' picodollars' as found,
  cast(coalesce(j.llm_calls, 0) as text) || ' calls, ' || cast(coalesce(j.unpriced_calls, 0) as text) || ' unpriced, '
    || cast(coalesce(j.input_tokens, 0) as text) || '+' || cast(coalesce(j.cache_read_tokens, 0) as text) || '+'
    || cast(coalesce(j.cache_write_tokens, 0) as text) || '+'
    || cast(coalesce(j.cache_write_long_tokens, 0) as text) || ' in, '
    || cast(coalesce(j.output_tokens, 0) as text) || '+' || cast(coalesce(j.reasoning_tokens, 0) as text) || ' out, '
    || cast(coalesce(j.embedding_tokens, 0) as text) || ' embedded, '
    || cast(coalesce(j.web_searches, 0) as text) || ' searches, '
    || cast(coalesce(j.cost_pico, 0) as text) || ' picodollars' as expected
from pipeline_run r
left join journal j on j.run_id = r.run_id
where ($1 is null
       or r.run_id in (select run_id from pipeline_run order by started_at desc, run_id desc limit coalesce($1, 0)))
  and (r.llm_calls <> coalesce(j.llm_calls, 0)
   or r.unpriced_calls <> coalesce(j.unpriced_calls, 0)
   or r.input_tokens <> coalesce(j.input_tokens, 0)
   or r.cache_read_tokens <> coalesce(j.cache_read_tokens, 0)
   or r.cache_write_tokens <> coalesce(j.cache_write_tokens, 0)
   or r.cache_write_long_tokens <> coalesce(j.cache_write_long_tokens, 0)
   or r.output_tokens <> coalesce(j.output_tokens, 0)
   or r.reasoning_tokens <> coalesce(j.reasoning_tokens, 0)
   or r.embedding_tokens <> coalesce(j.embedding_tokens, 0)
   or r.web_searches <> coalesce(j.web_searches, 0)
   or r.cost_pico <> coalesce(j.cost_pico, 0))
order by r.run_id
limit 100
