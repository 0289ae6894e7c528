//! From a database URL to a ledger that can be used.

use super::connections::Connections;
use super::migrate::{self, SchemaState};
use super::sqlite::price::KeptBook;
use super::{PostgresStore, SqliteStore, Store};
use crate::clock::Clock;
use crate::error::{Error, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// How long to wait for a lock or a connection before giving up, unless a [`Location`] says otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which ledger is meant.
#[derive(Clone)]
pub struct Location {
    /// `postgres://…` or `sqlite:PATH`.
    pub url: String,
    /// The Postgres schema.
    pub schema: String,
    /// How long to wait for a lock or a connection before giving up.
    pub patience: Duration,
    /// Whether much is written: see [`Location::for_bulk`].
    pub bulk: bool,
}

impl Location {
    /// The ledger at `url`, waited for as long as the program does: 20 seconds.
    pub fn new(url: impl Into<String>, schema: impl Into<String>) -> Self {
        Self { url: url.into(), schema: schema.into(), patience: PATIENCE, bulk: false }
    }

    /// The same ledger for somebody who writes much and stays. With SQLite's own settings half of the time goes into pages that
    /// leave the cache before they are whole, and into checkpoints; this one takes up to 64 MiB of memory, and 32 MiB of disk
    /// for the write-ahead log, instead. Postgres has its settings on the server.
    #[must_use]
    pub fn for_bulk(self) -> Self {
        Self { bulk: true, ..self }
    }

    /// The ledger's name for people and for the spool: without user and password, so that a changed password means
    /// the same ledger.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            let path = file_of(path);
            return format!("sqlite:{}", std::path::absolute(&path).unwrap_or(path).display());
        }
        match PgConnectOptions::from_str(&self.url) {
            Ok(options) => shown(&options, &self.schema),
            // Nothing of it is repeated: it could be a password.
            Err(_) => "a database URL that cannot be read".to_owned(),
        }
    }

    /// The SQLite file that is meant, if it is one and is not there yet: whoever connects makes it.
    pub(crate) fn missing_file(&self) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite:").map(file_of).filter(|path| !path.exists())
    }
}

impl std::fmt::Debug for Location {
    /// Never the URL: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Location").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a ledger for use. A SQLite file is created and migrated if need be, unless the URL ends in
    /// `?mode=ro`; a Postgres ledger must have been migrated by `asmm migrate`.
    ///
    /// # Errors
    /// Of kind `Ledger` when the database cannot be reached, is no ledger, or has another schema version.
    pub async fn open(location: &Location, clock: Clock) -> Result<Store> {
        let store = Self::connect(location, clock).await?;
        let migrates_itself = matches!(&store, Store::Sqlite(s) if !s.read_only);
        match store.schema_state().await? {
            SchemaState::Empty | SchemaState::Pending(_) if migrates_itself => {
                store.migrate().await?;
            }
            SchemaState::Current if migrates_itself => store.load_vendored_catalogue().await?,
            SchemaState::Current => {}
            state => return Err(state.into_error(&store)),
        }
        Ok(store)
    }

    /// Connects to see what the schema is. A SQLite file that is not there is not made: an empty database in
    /// memory stands for it.
    pub async fn connect_to_look(location: &Location, clock: Clock) -> Result<Store> {
        let Some(path) = location.missing_file() else { return Self::connect(location, clock).await };
        let options = SqliteConnectOptions::new().in_memory(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let shown = path.display().to_string();
        Ok(Store::Sqlite(SqliteStore {
            pool,
            path,
            read_only: true,
            shown,
            clock,
            names: super::Names::default(),
            prices: KeptBook::default(),
        }))
    }

    /// Connects without looking at the schema: for `asmm migrate`.
    pub async fn connect(location: &Location, clock: Clock) -> Result<Store> {
        if location.url.starts_with("postgres://") || location.url.starts_with("postgresql://") {
            connect_postgres(location, clock).await
        } else if let Some(path) = location.url.strip_prefix("sqlite:") {
            connect_sqlite(path, location, clock).await
        } else {
            // Only a plain word before `://` is repeated: anything else could be a password.
            let scheme = location.url.split_once("://").map(|(scheme, _)| scheme);
            let is_word =
                |s: &&str| s.len() <= 20 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
            let message = match scheme.filter(is_word) {
                Some(scheme) => format!("the database URL starts with `{scheme}`"),
                None => "the database URL names no kind of database".to_owned(),
            };
            Err(Error::usage(message).hint("write postgres://user@host/database or sqlite:PATH"))
        }
    }
}

async fn connect_postgres(location: &Location, clock: Clock) -> Result<Store> {
    check_schema_name(&location.schema)?;
    // The parser's own error could repeat a part of the URL, and so a password.
    let options = PgConnectOptions::from_str(&location.url).map_err(|_| {
        Error::usage("the database URL cannot be read")
            .hint("write postgres://user:password@host:5432/database; percent-encode special characters")
    })?;
    let shown = shown(&options, &location.schema);
    let options = options.application_name("asmm").disable_statement_logging();
    knock(&options, location.patience).await.map_err(|e| name_ledger(e.into(), &shown))?;
    let pool = Connections::open(options, &location.schema, location.patience)
        .await
        .map_err(|e| name_ledger(e, &shown))?;
    Ok(Store::Postgres(PostgresStore {
        pool,
        schema: location.schema.clone(),
        shown,
        clock,
        names: super::Names::default(),
    }))
}

/// A ledger in Postgres, for people.
fn shown(options: &PgConnectOptions, schema: &str) -> String {
    format!(
        "postgres://{}:{}/{} (schema {schema})",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or(options.get_username()),
    )
}

/// Whether anybody listens. A pool takes a refused connection for a server that is starting up and tries
/// again until its patience ends; whoever waits for the answer wants it at once.
async fn knock(options: &PgConnectOptions, patience: Duration) -> Result<(), sqlx::Error> {
    let (host, port) = (options.get_host(), options.get_port());
    if options.get_socket().is_some() || host.starts_with('/') {
        return Ok(());
    }
    match tokio::time::timeout(patience, tokio::net::TcpStream::connect((host, port))).await {
        Ok(connected) => Ok(connected.map(drop)?),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// Schema names are kept to what needs no quoting, so that they read the same everywhere.
fn check_schema_name(schema: &str) -> Result<()> {
    let mut bytes = schema.bytes();
    let first_ok = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest_ok = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if first_ok && rest_ok && schema.len() <= 63 && !schema.starts_with("pg_") {
        return Ok(());
    }
    let shown: String = schema.chars().take(80).collect();
    Err(Error::usage(format!("`{shown}` is no name for a schema"))
        .hint("use lower-case letters, digits and _, at most 63, not starting with a digit or pg_"))
}

/// The file that a SQLite URL names, after its `sqlite:`.
fn file_of(path_and_query: &str) -> PathBuf {
    let path = path_and_query.split('?').next().unwrap_or_default();
    PathBuf::from(path.strip_prefix("//").unwrap_or(path))
}

async fn connect_sqlite(path_and_query: &str, location: &Location, clock: Clock) -> Result<Store> {
    let path = file_of(path_and_query);
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return Err(Error::usage("the database URL names no file").hint("write sqlite:PATH"));
    }
    let shown = path.display().to_string();
    let read_only = path_and_query.contains("?mode=ro") || path_and_query.contains("&mode=ro");
    if let Some(folder) = path.parent()
        && !read_only
        && !folder.as_os_str().is_empty()
    {
        std::fs::create_dir_all(folder).map_err(|e| {
            Error::ledger(format!("the folder `{}` cannot be made: {e}", folder.display()))
                .hint("name another file with --database sqlite:PATH")
        })?;
    }
    let mut options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(!read_only)
        .read_only(read_only)
        .foreign_keys(true)
        .busy_timeout(location.patience)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    if location.bulk {
        options = options
            .pragma("cache_size", "-65536") // KiB
            .pragma("wal_autocheckpoint", "8192") // pages of 4 KiB
            .pragma("temp_store", "memory"); // what a statement that fails half-way takes back
    }
    if !read_only {
        switch_to_wal(&path, &options).await.map_err(|e| name_ledger(e, &shown))?;
    }
    let pool = SqlitePoolOptions::new()
        .min_connections(0)
        // What one connection has written empties the cache of the other.
        .max_connections(if location.bulk { 1 } else { 2 })
        .acquire_timeout(location.patience)
        // When the disk fails, SQLite ends the transaction itself; sqlx goes on believing in it, and would
        // begin no other on this connection ever.
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await
        .map_err(|e| name_ledger(e.into(), &shown))?;
    let (names, prices) = (super::Names::default(), KeptBook::default());
    Ok(Store::Sqlite(SqliteStore { pool, path, read_only, shown, clock, names, prices }))
}

/// A new file is switched to write-ahead logging under a file lock: SQLite does not queue that switch, so
/// that several first users would meet "database is locked".
async fn switch_to_wal(path: &Path, options: &SqliteConnectOptions) -> Result<()> {
    if path.exists() && path.metadata().is_ok_and(|m| m.len() > 0) {
        return Ok(());
    }
    let _lock = lock_file(path)?;
    let connection = options.clone().journal_mode(SqliteJournalMode::Wal).connect().await?;
    connection.close().await?;
    Ok(())
}

/// An exclusive lock beside the ledger's file, held until dropped.
pub(super) fn lock_file(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let failed = |e| {
        Error::ledger(format!("the lock file `{}` cannot be used: {e}", path.display()))
            .hint("check the permissions of the folder")
    };
    let file = File::create(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Says which ledger an error is about.
fn name_ledger(error: Error, shown: &str) -> Error {
    error.at(format_args!("`{shown}`"))
}

impl Store {
    /// What the schema's state is, against what this program knows.
    pub async fn schema_state(&self) -> Result<SchemaState> {
        migrate::schema_state(self).await.map_err(|e| name_ledger(e, self.shown()))
    }
}
