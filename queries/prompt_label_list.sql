-- Every move of labels, oldest first. $1: the prompt, or null for all; $2: until when.
select
  l.prompt_label_id,
  p.name,
  l.label,
  l.prompt_version_id,
  cast(v.version as bigint) as version,
  l.moved_at,
  l.moved_by
from prompt_label l
join prompt p on p.prompt_id = l.prompt_id
join prompt_version v on v.prompt_version_id = l.prompt_version_id
where (cast($1 as text) is null or p.name = $1)
  and l.moved_at <= $2
order by l.prompt_label_id
