-- The prompts and their latest version at a time. $1: when.
select
  v.prompt_version_id,
  p.name,
  cast(v.version as bigint) as version,
  v.digest,
  v.description,
  v.created_at,
  v.created_by,
  v.git_commit
from prompt p
join prompt_version v on v.prompt_id = p.prompt_id
where v.version = (
  select max(latest.version)
  from prompt_version latest
  where latest.prompt_id = p.prompt_id and latest.created_at <= $1)
order by p.name
