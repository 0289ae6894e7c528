-- Versions of a prompt whose digest begins so, the first of each digest. $1: the prompt; $2: sha256: and hexadecimal digits.
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
join v_prompt_version d on d.prompt_version_id = v.prompt_version_id
where p.name = $1
  and substr(d.digest, 1, length($2)) = $2
  and not exists (
    select 1
    from prompt_version earlier
    where earlier.prompt_id = v.prompt_id and earlier.digest = v.digest and earlier.version < v.version)
order by v.version
limit 2
