//! A ledger in Postgres: is it the schema that the migrations make, and may each role do what it should and no more?

use super::{Health, HealthCheck, RoleMembers, made_by_migrations, missing};
use crate::clock::Clock;
use crate::error::Result;
use crate::store::PostgresStore;
use std::collections::BTreeSet;

/// How far the clocks may be apart before it is said: 5 s.
const SKEW_MICROS: i64 = 5_000_000;
/// And before it is a fault: a call from more than a day ahead is refused.
const BAD_SKEW_MICROS: i64 = 86_400_000_000;
/// Dead rows that are not worth a word.
const FEW_DEAD_ROWS: i64 = 50_000;

pub(super) async fn look(store: &PostgresStore) -> Result<Health> {
    let mut checks = schema(store).await?;
    let roles = members(store).await?;
    checks.push(roles_are_there(&roles));
    checks.extend(privileges(store).await?);
    checks.extend(functions(store).await?);
    checks.extend(storage(store).await?);
    Ok(Health { checks, roles })
}

async fn names(store: &PostgresStore, sql: &'static str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(sql).bind(&store.schema).fetch_all(&store.pool).await?)
}

async fn schema(store: &PostgresStore) -> Result<Vec<HealthCheck>> {
    let triggers = made_by_migrations("trigger");
    let found: BTreeSet<String> = names(
        store,
        "select t.tgname::text
         from pg_trigger t
         join pg_class c on c.oid = t.tgrelid
         where c.relnamespace = $1::regnamespace and not t.tgisinternal",
    )
    .await?
    .into_iter()
    .collect();
    let mut wrong = missing("trigger", &triggers, &found);
    wrong.extend(
        names(
            store,
            "select 'the trigger `' || t.tgname || '` of `' || c.relname || '` is disabled'
             from pg_trigger t
             join pg_class c on c.oid = t.tgrelid
             where c.relnamespace = $1::regnamespace and not t.tgisinternal and t.tgenabled not in ('O', 'A')
             order by 1",
        )
        .await?,
    );
    let refusals = HealthCheck::new("schema", "triggers refuse what must not change", triggers.len(), wrong);

    let indexes = made_by_migrations("index");
    let found: BTreeSet<String> = names(
        store,
        "select relname::text from pg_class where relnamespace = $1::regnamespace and relkind in ('i', 'I')",
    )
    .await?
    .into_iter()
    .collect();
    let mut wrong = missing("index", &indexes, &found);
    wrong.extend(
        names(
            store,
            "select 'the index `' || i.relname || '` of `' || c.relname || '` is invalid: `reindex index '
                    || i.relname || '`'
             from pg_index x
             join pg_class i on i.oid = x.indexrelid
             join pg_class c on c.oid = x.indrelid
             where c.relnamespace = $1::regnamespace and not (x.indisvalid and x.indisready)
             order by 1",
        )
        .await?,
    );
    wrong.extend(
        names(
            store,
            "select 'the table `' || c.relname || '` has no primary key'
             from pg_class c
             where c.relnamespace = $1::regnamespace and c.relkind = 'r'
               and exists (select 1 from pg_description d where d.objoid = c.oid and d.objsubid = 0)
               and not exists (select 1 from pg_index x where x.indrelid = c.oid and x.indisprimary)
             order by 1",
        )
        .await?,
    );
    let indexes = HealthCheck::new("schema", "indexes are there and valid", indexes.len(), wrong);

    let wrong = names(
        store,
        "select 'the constraint `' || k.conname || '` of `' || c.relname || '` was never validated'
         from pg_constraint k
         join pg_class c on c.oid = k.conrelid
         where c.relnamespace = $1::regnamespace and not k.convalidated
         order by 1",
    )
    .await?;
    Ok(vec![refusals, indexes, HealthCheck::new("schema", "constraints hold for all rows", 1, wrong)])
}

async fn members(store: &PostgresStore) -> Result<Vec<RoleMembers>> {
    let rows: Vec<(String, bool, Vec<String>)> = sqlx::query_as(
        "select w.role, r.oid is not null,
                array(select u.rolname::text
                      from pg_auth_members m
                      join pg_roles u on u.oid = m.member
                      where m.roleid = r.oid
                      order by u.rolname)
         from unnest(array['asmm_writer', 'asmm_reader', 'asmm_operator']) with ordinality as w (role, n)
         left join pg_roles r on r.rolname = w.role
         order by w.n",
    )
    .fetch_all(&store.pool)
    .await?;
    Ok(rows.into_iter().map(|(role, exists, members)| RoleMembers { role, exists, members }).collect())
}

fn roles_are_there(roles: &[RoleMembers]) -> HealthCheck {
    let wrong = roles
        .iter()
        .filter(|role| !role.exists)
        .map(|role| format!("the role `{}` is not there: see RUNBOOK.md, Roles and log-ins", role.role))
        .collect();
    HealthCheck::new("roles", "the three roles are there", roles.len(), wrong).advice()
}

/// What each role may do, by the server's own answer: grants to others that reach it count too.
async fn privileges(store: &PostgresStore) -> Result<Vec<HealthCheck>> {
    let may_too_much = names(
        store,
        "select '`' || w.role || '` may ' || w.privilege || ' ' || c.relname
         from (values ('asmm_writer', 'insert'), ('asmm_writer', 'update'), ('asmm_writer', 'delete'),
                      ('asmm_writer', 'truncate'), ('asmm_reader', 'insert'), ('asmm_reader', 'update'),
                      ('asmm_reader', 'delete'), ('asmm_reader', 'truncate'), ('asmm_operator', 'update'),
                      ('asmm_operator', 'delete'), ('asmm_operator', 'truncate')) as w (role, privilege)
         join pg_roles r on r.rolname = w.role
         join pg_class c on c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p')
         where has_table_privilege(r.oid, c.oid, w.privilege)
           and (w.role <> 'asmm_operator'
                or c.relname in ('pipeline_run', 'pipeline_step_run', 'llm_call', 'llm_call_prompt', 'prompt',
                                 'prompt_version', 'prompt_text', 'prompt_label', 'spend_rollup', 'price_event',
                                 'guard_event', 'model_price'))
         order by 1",
    )
    .await?;
    let sees_too_much = names(
        store,
        "select '`' || w.role || '` may read ' || w.place || '.' || w.col
         from (values ('asmm_writer', 'llm_call_prompt', 'inputs'), ('asmm_writer', 'prompt_text', 'body'),
                      ('asmm_writer', 'llm_call', 'cost_pico'), ('asmm_writer', 'otel_part', 'spans'),
                      ('asmm_reader', 'llm_call_prompt', 'inputs'), ('asmm_reader', 'prompt_text', 'body'),
                      ('asmm_reader', 'prompt_version', 'content'), ('asmm_reader', 'prompt_version', 'source'),
                      ('asmm_reader', 'otel_part', 'spans')) as w (role, place, col)
         join pg_roles r on r.rolname = w.role
         join pg_class c on c.relnamespace = $1::regnamespace and c.relname = w.place
         where has_column_privilege(r.oid, c.oid, w.col, 'select')
         order by 1",
    )
    .await?;
    let may_not = names(
        store,
        "select '`' || r.rolname || '` may not use the schema'
         from pg_roles r
         where r.rolname in ('asmm_writer', 'asmm_reader', 'asmm_operator')
           and not has_schema_privilege(r.oid, $1::regnamespace, 'usage')
         union all
         select '`' || w.role || '` may not call ' || p.proname
         from (values ('asmm_writer', 'start_run'), ('asmm_writer', 'start_step'), ('asmm_writer', 'record_calls'),
                      ('asmm_writer', 'record_prompts'), ('asmm_writer', 'record_guard_events'),
                      ('asmm_writer', 'finish_step'), ('asmm_writer', 'finish_run'), ('asmm_operator', 'finish_run'),
                      ('asmm_operator', 'record_calls'), ('asmm_operator', 'price_run')) as w (role, name)
         join pg_roles r on r.rolname = w.role
         join pg_proc p on p.pronamespace = $1::regnamespace and p.proname = w.name
         where not has_function_privilege(r.oid, p.oid, 'execute')
         union all
         select '`' || w.role || '` may not read ' || c.relname
         from (values ('asmm_reader', 'v_run'), ('asmm_reader', 'v_call'), ('asmm_reader', 'v_spend'),
                      ('asmm_operator', 'v_run'), ('asmm_operator', 'llm_call'), ('asmm_operator', 'prompt_version'))
              as w (role, name)
         join pg_roles r on r.rolname = w.role
         join pg_class c on c.relnamespace = $1::regnamespace and c.relname = w.name
         where not has_table_privilege(r.oid, c.oid, 'select')
         order by 1",
    )
    .await?;
    Ok(vec![
        HealthCheck::new("roles", "no role may change what is recorded", 3, may_too_much),
        HealthCheck::new("roles", "writers and readers see no inputs and texts", 2, sees_too_much),
        HealthCheck::new("roles", "each role may do what it is for", 3, may_not),
    ])
}

async fn functions(store: &PostgresStore) -> Result<Vec<HealthCheck>> {
    let (count,): (i64,) =
        sqlx::query_as("select count(*) from pg_proc where pronamespace = $1::regnamespace and prosecdef")
            .bind(&store.schema)
            .fetch_one(&store.pool)
            .await?;
    let mut wrong = names(
        store,
        "select 'the function `' || p.proname || '` runs as its owner, with the caller''s search_path'
         from pg_proc p
         where p.pronamespace = $1::regnamespace and p.prosecdef
           and not exists (select 1 from unnest(p.proconfig) as s where s like 'search_path=%')
         order by 1",
    )
    .await?;
    wrong.extend(
        names(
            store,
            "select 'the function `' || p.proname || '` does not run as its owner: `asmm_writer` cannot record by it'
             from pg_proc p
             where p.pronamespace = $1::regnamespace and not p.prosecdef
               and p.proname in ('start_run', 'start_step', 'record_calls', 'record_prompts', 'record_guard_events',
                                 'finish_step', 'finish_run')
             order by 1",
        )
        .await?,
    );
    wrong.extend(
        names(
            store,
            "select 'everybody may call the function `' || p.proname || '`'
             from pg_proc p
             where p.pronamespace = $1::regnamespace and p.prosecdef
               and exists (select 1
                           from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
                           where a.grantee = 0)
             order by 1",
        )
        .await?,
    );
    let looked_at = usize::try_from(count).unwrap_or_default();
    Ok(vec![HealthCheck::new("roles", "functions run as owner, by a fixed search_path", looked_at, wrong)])
}

async fn storage(store: &PostgresStore) -> Result<Vec<HealthCheck>> {
    let rows: Vec<(String, i64, i64, String)> = sqlx::query_as(
        "select relname::text, n_live_tup, n_dead_tup,
                coalesce(to_char(greatest(last_vacuum, last_autovacuum) at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
                         'never')
         from pg_stat_user_tables
         where schemaname = $1
         order by relname",
    )
    .bind(&store.schema)
    .fetch_all(&store.pool)
    .await?;
    let wrong = rows
        .iter()
        .filter(|(_, live, dead, _)| *dead > FEW_DEAD_ROWS && *dead > live / 3)
        .map(|(table, live, dead, vacuumed)| {
            format!(
                "`{table}` has {dead} dead rows beside {live}, last vacuumed {vacuumed}: is autovacuum on?"
            )
        })
        .collect();
    let dead = HealthCheck::new("storage", "dead rows are cleared away", rows.len(), wrong).advice();

    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name::text, setting::text from pg_settings
         where name in ('fsync', 'full_page_writes', 'synchronous_commit') order by name",
    )
    .fetch_all(&store.pool)
    .await?;
    let wrong = settings
        .iter()
        .filter(|(_, value)| value == "off")
        .map(|(name, _)| {
            format!("`{name}` is off: a crash of the server may lose or damage what was recorded")
        })
        .collect();
    let durable = HealthCheck::new("storage", "what is recorded survives a power cut", settings.len(), wrong);
    Ok(vec![dead, durable.advice(), clocks(store).await?])
}

/// The clocks of this machine and of the server; not when this program was told the time.
async fn clocks(store: &PostgresStore) -> Result<HealthCheck> {
    const WORDS: &str = "the clocks here and on the server agree";
    if !matches!(store.clock, Clock::System) {
        return Ok(HealthCheck::not_checked("storage", WORDS, "the time was given by hand"));
    }
    let before = store.clock.now().micros();
    let (server,): (i64,) =
        sqlx::query_as("select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)")
            .fetch_one(&store.pool)
            .await?;
    let after = store.clock.now().micros();
    // The answer was given some time in between.
    let skew = if server < before { before - server } else { (server - after).max(0) };
    let mut check = HealthCheck::new("storage", WORDS, 1, Vec::new()).advice();
    if skew > SKEW_MICROS {
        let ahead = if server < before { "behind" } else { "ahead" };
        check.wrong.push(format!("the server's clock is {} s {ahead}: is NTP running?", skew / 1_000_000));
        check.is_only_advice = skew <= BAD_SKEW_MICROS;
    }
    Ok(check)
}
