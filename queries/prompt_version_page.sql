-- All prompt versions with what they say, in the order they were pushed. $1: after this id; $2: how many.
select
  v.prompt_version_id,
  p.name,
  cast(v.version as bigint) as version,
  v.digest,
  v.content,
  v.source,
  v.description,
  v.created_at,
  v.created_by,
  v.git_commit
from prompt_version v
join prompt p on p.prompt_id = v.prompt_id
where v.prompt_version_id > $1
order by v.prompt_version_id
limit $2
