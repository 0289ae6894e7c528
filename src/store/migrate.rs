//! The schema: which migrations there are, what a database has of them, and bringing it up to date.

use super::connections::Lease;
use super::open::lock_file;
use super::{PostgresStore, Store, on_pool};
use crate::error::{Error, Result};
use sqlx::SqlitePool;
use sqlx::migrate::{MigrateError, Migrator};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// A migration, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationName {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Its SQL.
    pub sql: String,
}

/// What a database has of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// Every migration is applied.
    Current,
    /// Nothing is there yet.
    Empty,
    /// These are still to be applied.
    Pending(Vec<MigrationName>),
    /// The database has tables, but they are not a ledger's.
    NoLedger(String),
    /// A migration that this program does not know is applied.
    Newer(i64),
    /// An applied migration is not the one this program has.
    Edited(MigrationName),
    /// A migration was begun and not finished.
    HalfApplied(i64),
}

impl SchemaState {
    /// The error of using a ledger in this state.
    #[must_use]
    pub fn into_error(self, store: &Store) -> Error {
        let ledger = store.shown();
        match self {
            Self::Current => Error::ledger(format!("`{ledger}` is up to date")),
            Self::Empty => Error::ledger(format!("`{ledger}` is not migrated: it holds no ledger yet"))
                .hint("run `asmm migrate`, and check --schema"),
            Self::Pending(pending) => {
                let count = pending.len();
                let plural = if count == 1 { "migration is" } else { "migrations are" };
                Error::ledger(format!("`{ledger}` is not up to date: {count} {plural} pending"))
                    .hint("run `asmm migrate`; `asmm migrate --dry-run` shows what it would do")
            }
            Self::NoLedger(table) => Error::ledger(format!(
                "`{ledger}` is no ledger: it holds the table `{table}` of something else"
            ))
            .hint("name an empty database, another file, or another --schema"),
            Self::Newer(version) => {
                let known = migrator(store).iter().map(|m| m.version).max().unwrap_or_default();
                Error::ledger(format!(
                    "`{ledger}` is newer than this program: it has migration {version}, and this asmm knows up to {known}"
                ))
                .hint("install the newer asmm; a ledger is never migrated back")
            }
            Self::Edited(migration) => Error::ledger(format!(
                "`{ledger}`: migration {:04}_{} was applied with other contents than this program has",
                migration.version, migration.name
            ))
            .hint("was the ledger made by a development build? use a released asmm, or restore a backup"),
            Self::HalfApplied(version) => {
                Error::ledger(format!("`{ledger}`: migration {version} was begun and not finished"))
                    .hint("restore the backup made before migrating; see RUNBOOK.md")
            }
        }
    }
}

fn migrator(store: &Store) -> &'static Migrator {
    match store {
        Store::Postgres(_) => &POSTGRES,
        Store::Sqlite(_) => &SQLITE,
    }
}

fn name_of(migration: &sqlx::migrate::Migration) -> MigrationName {
    MigrationName {
        version: migration.version,
        name: migration.description.replace(' ', "_"),
        sql: migration.sql.as_str().to_owned(),
    }
}

#[derive(sqlx::FromRow)]
struct Applied {
    version: i64,
    description: String,
    success: bool,
    checksum: Vec<u8>,
}

/// A schema that one may not look into is not the same as one that is not there.
async fn check_usable(store: &PostgresStore) -> Result<()> {
    let may_use: Option<bool> =
        sqlx::query_scalar("select has_schema_privilege(oid, 'usage') from pg_namespace where nspname = $1")
            .bind(&store.schema)
            .fetch_optional(&store.pool)
            .await?;
    if may_use == Some(false) {
        return Err(Error::ledger(format!("the user may not use the schema `{}`", store.schema)).hint(
            "connect as a member of asmm_operator (or asmm_reader to read, asmm_writer to record); see RUNBOOK.md",
        ));
    }
    Ok(())
}

async fn table_names(store: &Store) -> Result<Vec<String>, sqlx::Error> {
    match store {
        Store::Postgres(s) => {
            sqlx::query_scalar(
                "select tablename::text from pg_tables where schemaname = $1 order by tablename",
            )
            .bind(&s.schema)
            .fetch_all(&s.pool)
            .await
        }
        Store::Sqlite(s) => sqlx::query_scalar(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name",
        )
        .fetch_all(&s.pool)
        .await,
    }
}

/// Compares a database with the migrations in this program.
pub(super) async fn schema_state(store: &Store) -> Result<SchemaState> {
    if let Store::Postgres(s) = store {
        check_usable(s).await?;
    }
    let tables = table_names(store).await?;
    if !tables.iter().any(|t| t == "_sqlx_migrations") {
        return Ok(match tables.into_iter().next() {
            Some(table) => SchemaState::NoLedger(table),
            None => SchemaState::Empty,
        });
    }
    let applied: Vec<Applied> = on_pool!(store, |pool| {
        sqlx::query_as(
            "select version, description, success, checksum from _sqlx_migrations order by version",
        )
        .fetch_all(pool)
        .await?
    });
    // Looked at again, because another process may have applied the first migration since.
    let is_ledger = |tables: &[String]| tables.iter().any(|t| t == "status_lookup");
    if !applied.is_empty() && !is_ledger(&tables) && !is_ledger(&table_names(store).await?) {
        return Ok(SchemaState::NoLedger("_sqlx_migrations".to_owned()));
    }
    let known = migrator(store);
    for row in &applied {
        let Some(migration) = known.iter().find(|m| m.version == row.version) else {
            return Ok(SchemaState::Newer(row.version));
        };
        if !row.success {
            return Ok(SchemaState::HalfApplied(row.version));
        }
        if row.description != migration.description {
            return Ok(SchemaState::NoLedger("_sqlx_migrations".to_owned()));
        }
        if row.checksum != *migration.checksum {
            return Ok(SchemaState::Edited(name_of(migration)));
        }
    }
    let pending: Vec<_> =
        known.iter().filter(|m| !applied.iter().any(|a| a.version == m.version)).map(name_of).collect();
    Ok(match (pending.is_empty(), applied.is_empty()) {
        (true, _) => SchemaState::Current,
        (false, true) => SchemaState::Empty,
        (false, false) => SchemaState::Pending(pending),
    })
}

/// The text of each migration of Postgres, in order.
pub(super) fn postgres_texts() -> impl Iterator<Item = &'static str> {
    POSTGRES.iter().map(|migration| migration.sql.as_str())
}

/// Applies the migrations to an empty SQLite database.
pub(super) async fn run_sqlite(pool: &SqlitePool) -> Result<()> {
    SQLITE.run(pool).await.map_err(|error| Error::database(error.to_string()))
}

/// Held until dropped.
enum MigrationLock {
    File { _held: std::fs::File },
    Transaction { _held: Lease },
}

impl Store {
    /// The migrations that are not applied, in order.
    ///
    /// # Errors
    /// Of kind `Ledger` when the database cannot be migrated by this program at all.
    pub async fn pending_migrations(&self) -> Result<Vec<MigrationName>> {
        match self.schema_state().await? {
            SchemaState::Current => Ok(Vec::new()),
            SchemaState::Empty => Ok(migrator(self).iter().map(name_of).collect()),
            SchemaState::Pending(pending) => Ok(pending),
            state => Err(state.into_error(self)),
        }
    }

    /// Brings the schema up to date and the vendored catalogue in; answers what was applied.
    pub async fn migrate(&self) -> Result<Vec<MigrationName>> {
        let lock = self.lock_migration().await?;
        let pending = self.pending_migrations().await?;
        if !pending.is_empty() {
            let outcome = match self {
                Store::Postgres(s) => {
                    let mut migrator =
                        Migrator { migrations: POSTGRES.migrations.clone(), ..Migrator::DEFAULT };
                    migrator.create_schema(s.schema.clone());
                    migrator.set_locking(false);
                    migrator.run(s.pool.straight()?).await
                }
                Store::Sqlite(s) => SQLITE.run(&s.pool).await,
            };
            outcome.map_err(|e| self.migration_failed(e))?;
        }
        drop(lock);
        self.load_vendored_catalogue().await?;
        Ok(pending)
    }

    /// One migration at a time. sqlx does not lock a SQLite file, and on Postgres a failed migration would leave
    /// its lock with a connection of the pool.
    async fn lock_migration(&self) -> Result<MigrationLock> {
        match self {
            Store::Sqlite(s) => Ok(MigrationLock::File { _held: lock_file(&s.path)? }),
            Store::Postgres(s) => {
                let mut held = s.pool.begin().await?;
                sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(format!("asmm migrate {}", s.schema))
                    .execute(&mut *held)
                    .await?;
                Ok(MigrationLock::Transaction { _held: held })
            }
        }
    }

    fn migration_failed(&self, error: MigrateError) -> Error {
        let error = match error {
            MigrateError::ExecuteMigration(cause, version) => {
                let name = migrator(self).iter().find(|m| m.version == version).map(name_of);
                let name = name.map_or_else(|| version.to_string(), |m| format!("{version:04}_{}", m.name));
                let error =
                    Error::from(cause).at(format_args!("migration {name} failed and was rolled back"));
                match error.next_step() {
                    Some(_) => error,
                    None => {
                        error.hint("remove what is in its way and run `asmm migrate` again: it goes on there")
                    }
                }
            }
            MigrateError::Execute(cause) => Error::from(cause),
            MigrateError::VersionMissing(version) => SchemaState::Newer(version).into_error(self),
            MigrateError::Dirty(version) => SchemaState::HalfApplied(version).into_error(self),
            other => Error::ledger(other.to_string()),
        };
        error.at(format_args!("`{}`", self.shown()))
    }
}
