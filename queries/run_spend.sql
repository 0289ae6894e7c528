-- What a run spent, by agent, provider and model. $1: the run's id.
select
  s.agent,
  s.provider,
  s.model,
  cast(sum(s.llm_calls) as bigint) as llm_calls,
  cast(sum(s.unpriced_calls) as bigint) as unpriced_calls,
  cast(sum(s.input_tokens) as bigint) as input_tokens,
  cast(sum(s.cache_read_tokens) as bigint) as cache_read_tokens,
  cast(sum(s.cache_write_tokens) as bigint) as cache_write_tokens,
  cast(sum(s.cache_write_long_tokens) as bigint) as cache_write_long_tokens,
  cast(sum(s.output_tokens) as bigint) as output_tokens,
  cast(sum(s.reasoning_tokens) as bigint) as reasoning_tokens,
  cast(sum(s.embedding_tokens) as bigint) as embedding_tokens,
  cast(sum(s.web_searches) as bigint) as web_searches,
  sum(s.cost_pico) as cost_pico
from journal_spend s
where s.run_id = $1
group by s.agent, s.provider, s.model
order by cost_pico desc, s.agent, s.provider, s.model
