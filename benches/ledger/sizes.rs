//! Bytes on disk for each call, by table and index.

use crate::ledgers::{Plain, Result, Target};
use crate::table::{Results, Samples, Unit};

const POSTGRES: &str = "select c.relname::text, pg_relation_size(c.oid)::bigint
 from pg_class c
 join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any (current_schemas(false)) and c.relkind in ('r', 'i')";

const SQLITE: &str = "select name, sum(pgsize) from dbstat group by name";

/// Below this many bytes a call, a table is not worth a line.
const LITTLE: f64 = 0.5;

pub(crate) async fn measure(target: &Target, results: &mut Results) -> Result<()> {
    results.section(&format!("{}: bytes a call on disk, against the bare table", target.name()));
    let mut sizes = read(target.plain().await?).await?;
    if let Target::Sqlite { .. } = target {
        sizes.extend(read(target.bare().await?).await?);
    }
    let calls = match target.plain().await? {
        Plain::Postgres(mut db) => {
            sqlx::query_scalar::<_, i64>("select count(*) from llm_call").fetch_one(&mut db).await?
        }
        Plain::Sqlite(mut db) => {
            sqlx::query_scalar::<_, i64>("select count(*) from llm_call").fetch_one(&mut db).await?
        }
    };
    let is_bare = |name: &str| name.starts_with("bare_call");
    let each = |bytes: i64| bytes as f64 / calls as f64;
    let sum =
        |bare: bool| each(sizes.iter().filter(|(n, _)| is_bare(n) == bare).map(|(_, bytes)| bytes).sum());
    results.add("everything", Unit::BytesPerCall, Samples::one(sum(false)), Some(Samples::one(sum(true))));
    sizes.sort_by_key(|(name, bytes)| (is_bare(name), -bytes));
    for (name, bytes) in &sizes {
        if !is_bare(name) && each(*bytes) >= LITTLE {
            let reference = sizes.iter().find(|(n, _)| match name.as_str() {
                "llm_call" => n == "bare_call",
                "llm_call_pkey" => n == "bare_call_pkey",
                _ => false,
            });
            let reference = reference.map(|(_, bytes)| Samples::one(each(*bytes)));
            results.add(name, Unit::BytesPerCall, Samples::one(each(*bytes)), reference);
        }
    }
    Ok(())
}

async fn read(plain: Plain) -> Result<Vec<(String, i64)>> {
    Ok(match plain {
        Plain::Postgres(mut db) => sqlx::query_as(POSTGRES).fetch_all(&mut db).await?,
        Plain::Sqlite(mut db) => sqlx::query_as(SQLITE).fetch_all(&mut db).await?,
    })
}
