-- What a name meant at a time. $1: the prompt; $2: the version's number, or null; $3: the label, or null; $4: when.
-- With neither number nor label: the version that was the latest then.
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
where p.name = $1
  and (cast($2 as bigint) is null or v.version = $2)
  and (cast($3 as text) is null
       or v.prompt_version_id = (
            select l.prompt_version_id
            from prompt_label l
            where l.prompt_id = p.prompt_id and l.label = $3 and l.moved_at <= $4
            order by l.prompt_label_id desc
            limit 1))
  and (cast($2 as bigint) is not null or cast($3 as text) is not null or v.created_at <= $4)
order by v.version desc
limit 1
