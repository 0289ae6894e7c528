//! A ledger in SQLite: is it a whole file, with the schema that the migrations make?

use super::{Health, HealthCheck};
use crate::error::Result;
use crate::store::{SqliteStore, migrate};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files up to this size are read as a whole each time: 64 MB.
const SMALL_FILE: u64 = 64 << 20;
/// A write-ahead log that is larger was not put back for long: 64 MB. SQLite does it every 4 MB, unless a reader holds on.
const LARGE_LOG: u64 = 64 << 20;

pub(super) async fn look(store: &SqliteStore, full: bool) -> Result<Health> {
    let mut checks = schema(store).await?;
    checks.extend(storage(store, full).await?);
    Ok(Health { checks, roles: Vec::new() })
}

/// Type and name of what a schema is made of, with the statement that made it.
type Objects = BTreeMap<(String, String), String>;

async fn objects(pool: &SqlitePool) -> Result<Objects> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select type, name, coalesce(sql, '') from sqlite_master where name not like 'sqlite_%'",
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(kind, name, sql)| ((kind, name), sql)).collect())
}

/// Held against a fresh ledger in memory.
async fn schema(store: &SqliteStore) -> Result<Vec<HealthCheck>> {
    let fresh = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(SqliteConnectOptions::new().in_memory(true))
        .await?;
    migrate::run_sqlite(&fresh).await?;
    let (wanted, found) = (objects(&fresh).await?, objects(&store.pool).await?);
    fresh.close().await;
    let check = |words, kinds: &[&str]| {
        let of_kind: Vec<_> = wanted.iter().filter(|((kind, _), _)| kinds.contains(&kind.as_str())).collect();
        let wrong = of_kind.iter().filter_map(|(key, sql)| {
            let (kind, name) = key;
            match found.get(key) {
                None => Some(format!("the {kind} `{name}` is not there")),
                Some(other) if other != *sql => Some(format!("the {kind} `{name}` is another one")),
                Some(_) => None,
            }
        });
        HealthCheck::new("schema", words, of_kind.len(), wrong.collect())
    };
    Ok(vec![
        check("tables and views are those of the migrations", &["table", "view"]),
        check("triggers refuse what must not change", &["trigger"]),
        check("indexes are those of the migrations", &["index"]),
    ])
}

async fn storage(store: &SqliteStore, full: bool) -> Result<Vec<HealthCheck>> {
    let size = std::fs::metadata(&store.path).map(|file| file.len()).unwrap_or_default();
    let mut checks = vec![whole(store, full || size <= SMALL_FILE, full).await?];
    checks.push(foreign_keys(store, full || size <= SMALL_FILE).await?);

    let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(&store.pool).await?;
    let wrong =
        if mode == "wal" { Vec::new() } else { vec![format!("the journal mode is `{mode}`, not `wal`")] };
    checks.push(
        HealthCheck::new("storage", "readers and writers do not wait for each other", 1, wrong).advice(),
    );

    let level: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(&store.pool).await?;
    let wrong = if level >= 2 { Vec::new() } else { vec![format!("`synchronous` is {level}, not 2 (full)")] };
    checks.push(HealthCheck::new("storage", "what is recorded survives a power cut", 1, wrong));

    checks.push(log(&store.path));
    checks.push(permissions(&store.path));
    Ok(checks)
}

async fn whole(store: &SqliteStore, is_read: bool, full: bool) -> Result<HealthCheck> {
    const WORDS: &str = "the file is not damaged";
    if !is_read {
        return Ok(HealthCheck::not_checked("storage", WORDS, "the file is large: `--full` reads all of it"));
    }
    let lines: Vec<String> = if full {
        sqlx::query_scalar("pragma integrity_check(20)").fetch_all(&store.pool).await?
    } else {
        sqlx::query_scalar("pragma quick_check(20)").fetch_all(&store.pool).await?
    };
    let wrong = lines.into_iter().filter(|line| line != "ok").collect();
    Ok(HealthCheck::new("storage", WORDS, 1, wrong))
}

async fn foreign_keys(store: &SqliteStore, is_read: bool) -> Result<HealthCheck> {
    const WORDS: &str = "what a row refers to is there";
    if !is_read {
        return Ok(HealthCheck::not_checked("storage", WORDS, "the file is large: `--full` reads all of it"));
    }
    let broken: Vec<(String, String, i64)> = sqlx::query_as(
        "select \"table\", parent, count(*) from pragma_foreign_key_check group by 1, 2 order by 1, 2 limit 20",
    )
    .fetch_all(&store.pool)
    .await?;
    let wrong = broken
        .into_iter()
        .map(|(table, parent, rows)| format!("{rows} of `{table}` refer to what is not in `{parent}`"))
        .collect();
    Ok(HealthCheck::new("storage", WORDS, 1, wrong))
}

fn log(path: &Path) -> HealthCheck {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let bytes = std::fs::metadata(PathBuf::from(name)).map(|file| file.len()).unwrap_or_default();
    let wrong = if bytes > LARGE_LOG {
        vec![format!("the write-ahead log has {} MB: does somebody hold a read open?", bytes >> 20)]
    } else {
        Vec::new()
    };
    HealthCheck::new("storage", "the write-ahead log is short", 1, wrong).advice()
}

/// Whoever may write the file may write the ledger: there are no roles.
#[cfg(unix)]
fn permissions(path: &Path) -> HealthCheck {
    use std::os::unix::fs::PermissionsExt;
    const WORDS: &str = "only its owner may write the file";
    match std::fs::metadata(path) {
        Ok(file) => {
            let mode = file.permissions().mode() & 0o777;
            let wrong = if mode & 0o022 == 0 {
                Vec::new()
            } else {
                vec![format!("others may write the file (mode {mode:o}): `chmod go-w {}`", path.display())]
            };
            HealthCheck::new("roles", WORDS, 1, wrong)
        }
        Err(error) => {
            HealthCheck::not_checked("roles", WORDS, format!("the file cannot be looked at: {error}"))
        }
    }
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> HealthCheck {
    HealthCheck::not_checked(
        "roles",
        "only its owner may write the file",
        "this system has no such permissions",
    )
}
