-- What was done to a budget, the newest first. $1: its name.
select
  budget_id, name, limit_pico, period, time_zone, pipeline, agent, provider, model, label, label_value, is_hard,
  is_removed, set_at, set_by
from budget
where name = $1
order by budget_id desc
