//! The two ledgers under test, each with its bare table, and clients that use them side by side.

use crate::bare;
use asmm::clock::Clock;
use asmm::domain::Call;
use asmm::store::{Location, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A ledger to measure.
#[derive(Clone)]
pub(crate) enum Target {
    /// A schema of a Postgres database; the bare table is in the schema `…_bare`.
    Postgres { url: String, schema: String },
    /// A file; the bare table is in another one beside it.
    Sqlite { folder: PathBuf },
}

/// A connection for plain SQL.
pub(crate) enum Plain {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Target {
    /// Makes an empty ledger in `url`'s database.
    pub(crate) async fn postgres(url: &str, name: &str) -> Result<Self> {
        let schema = format!("bench_{}_{name}", std::process::id());
        let target = Self::Postgres { url: url.to_owned(), schema: schema.clone() };
        Store::connect(&target.location(), Clock::System).await?.migrate().await?;
        let Plain::Postgres(mut db) = target.plain().await? else { return Ok(target) };
        sqlx::query(AssertSqlSafe(format!("create schema {schema}_bare"))).execute(&mut db).await?;
        sqlx::query(AssertSqlSafe(format!("set search_path to {schema}_bare, {schema}")))
            .execute(&mut db)
            .await?;
        sqlx::query(bare::POSTGRES_TABLE).execute(&mut db).await?;
        Ok(target)
    }

    /// Makes an empty ledger in a new folder of `parent`.
    pub(crate) async fn sqlite(parent: &std::path::Path, name: &str) -> Result<Self> {
        let target = Self::Sqlite { folder: parent.join(name) };
        Store::open(&target.location(), Clock::System).await?.close().await;
        let Plain::Sqlite(mut db) = target.bare().await? else { return Ok(target) };
        sqlx::query(bare::SQLITE_TABLE).execute(&mut db).await?;
        Ok(target)
    }

    pub(crate) fn location(&self) -> Location {
        match self {
            Self::Postgres { url, schema } => Location::new(url, schema),
            Self::Sqlite { folder } => {
                Location::new(format!("sqlite:{}", folder.join("ledger.db").display()), "asmm".to_owned())
            }
        }
    }

    pub(crate) async fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.location(), Clock::System).await?)
    }

    /// Plain SQL on the ledger itself.
    pub(crate) async fn plain(&self) -> Result<Plain> {
        match self {
            Self::Postgres { url, schema } => {
                let path = format!("{schema},{schema}_bare");
                let options = PgConnectOptions::from_str(url)?.options([("search_path", path.as_str())]);
                Ok(Plain::Postgres(options.connect().await?))
            }
            Self::Sqlite { folder } => open_sqlite(folder.join("ledger.db")).await,
        }
    }

    /// Plain SQL where the bare table is.
    pub(crate) async fn bare(&self) -> Result<Plain> {
        match self {
            Self::Postgres { .. } => self.plain().await,
            Self::Sqlite { folder } => open_sqlite(folder.join("bare.db")).await,
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Postgres { .. } => "Postgres",
            Self::Sqlite { .. } => "SQLite",
        }
    }

    /// Removes it.
    pub(crate) async fn drop(self) -> Result<()> {
        if let Self::Postgres { schema, .. } = &self
            && let Plain::Postgres(mut db) = self.plain().await?
        {
            for schema in [format!("{schema}_bare"), schema.clone()] {
                sqlx::query(AssertSqlSafe(format!("drop schema {schema} cascade"))).execute(&mut db).await?;
            }
        }
        Ok(())
    }
}

async fn open_sqlite(path: PathBuf) -> Result<Plain> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    Ok(Plain::Sqlite(options.connect().await?))
}

impl Plain {
    pub(crate) async fn insert(&mut self, calls: &[Call]) -> Result<()> {
        match self {
            Self::Postgres(db) => bare::insert_postgres(db, calls).await?,
            Self::Sqlite(db) => bare::insert_sqlite(db, calls).await?,
        }
        Ok(())
    }

    /// The JSON door of the Postgres ledger.
    async fn record_json(&mut self, calls: &[Call]) -> Result<()> {
        if let Self::Postgres(db) = self {
            sqlx::query("select record_calls($1)").bind(Json(calls)).execute(db).await?;
        }
        Ok(())
    }

    pub(crate) async fn close(self) -> Result<()> {
        match self {
            Self::Postgres(db) => db.close().await?,
            Self::Sqlite(db) => db.close().await?,
        }
        Ok(())
    }
}

/// Where a batch goes in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `Store::record_calls`.
    Typed,
    /// `record_calls(jsonb)`.
    Json,
    /// The bare insert.
    Bare,
}

/// A thread's worth of work: a runtime, and connections of its own to the ledger and to the bare table.
pub(crate) struct Client {
    runtime: Runtime,
    store: Store,
    ledger: Plain,
    bare: Plain,
}

impl Client {
    pub(crate) fn new(target: &Target) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (store, ledger, bare) = runtime.block_on(async {
            Result::Ok((target.store().await?, target.plain().await?, target.bare().await?))
        })?;
        Ok(Self { runtime, store, ledger, bare })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Takes the time of one bare insert.
    pub(crate) fn insert_bare(&mut self, calls: &[Call]) -> Result<Duration> {
        let began = Instant::now();
        self.runtime.block_on(self.bare.insert(calls))?;
        Ok(began.elapsed())
    }

    pub(crate) fn ask_store<T>(&self, question: &impl AsyncFn(&Store) -> Result<T>) -> Result<T> {
        self.runtime.block_on(question(&self.store))
    }

    pub(crate) fn ask_plain<T>(&mut self, question: &impl AsyncFn(&mut Plain) -> Result<T>) -> Result<T> {
        self.runtime.block_on(question(&mut self.ledger))
    }

    fn send(&mut self, door: Door, batches: &[Vec<Call>]) -> Result<()> {
        let Self { runtime, store, ledger, bare } = self;
        runtime.block_on(async {
            for batch in batches {
                match door {
                    Door::Typed => {
                        let recorded = store.record_calls(batch).await?;
                        if recorded.recorded != batch.len() as u64 {
                            return Err(format!("a batch was not recorded whole: {recorded:?}").into());
                        }
                    }
                    Door::Json => ledger.record_json(batch).await?,
                    Door::Bare => bare.insert(batch).await?,
                }
            }
            Ok(())
        })
    }
}

/// Sends each client's batches through `door`, all clients at once, and takes the time.
pub(crate) fn send_all(clients: &mut [Client], door: Door, batches: &[Vec<Vec<Call>>]) -> Result<Duration> {
    let start = Barrier::new(clients.len() + 1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = clients
            .iter_mut()
            .zip(batches)
            .map(|(client, batches)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    client.send(door, batches)
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        for worker in workers {
            worker.join().map_err(|_| "a client panicked")??;
        }
        Ok(began.elapsed())
    })
}
