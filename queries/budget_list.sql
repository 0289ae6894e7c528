-- The budgets that count now, by name.
select
  budget_id, name, limit_pico, period, time_zone, pipeline, agent, provider, model, label, label_value, is_hard,
  set_at, set_by
from current_budget
order by name
