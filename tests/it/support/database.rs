//! A place of one's own in each database.

use super::sandbox::Output;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use uuid::Uuid;

/// The Postgres server to test against.
///
/// # Panics
///
/// When there is none: a test that needs Postgres fails without it and never skips.
pub fn postgres_url() -> String {
    std::env::var("ASMM_TEST_POSTGRES_URL").unwrap_or_else(|_| {
        panic!(
            "ASMM_TEST_POSTGRES_URL is not set: run `tests/run` (or `tests/run FILTER`), \
             which starts a PostgreSQL server"
        )
    })
}

/// A schema name that no other test uses. The schema is not made.
pub fn fresh_schema() -> String {
    format!("t_{}", Uuid::now_v7().simple())
}

/// An empty place for a ledger; [`on_both_databases!`] makes one for each test.
pub struct TestDb {
    /// What `ASMM_DATABASE_URL` would say.
    pub url: String,
    /// What `ASMM_SCHEMA` would say; SQLite has no use for it.
    pub schema: String,
    /// For the test's files; holds the SQLite file. Removed when dropped.
    pub dir: TempDir,
}

impl TestDb {
    /// A file that is not there yet.
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let url = format!("sqlite://{}", dir.path().join("ledger.db").display());
        Self { url, schema: fresh_schema(), dir }
    }

    /// A schema that is not there yet.
    pub fn postgres() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        Self { url: postgres_url(), schema: fresh_schema(), dir }
    }
}

/// Runs a future to its end on a runtime of its own, as the program does.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made")
        .block_on(future)
}

/// One test body, two tests: `NAME::sqlite` and `NAME::postgres`, each with a [`TestDb`] of its own.
/// The body may return a `Result`.
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* async fn $name:ident($db:ident: TestDb) $(-> $returned:ty)? $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports, clippy::wildcard_imports, reason = "the body sees what its neighbours see")]
            use super::*;

            $(#[$attribute])*
            #[allow(clippy::unused_async, reason = "the macro awaits every body")]
            async fn body($db: $crate::support::TestDb) $(-> $returned)? $body

            #[test]
            fn sqlite() $(-> $returned)? {
                $crate::support::block_on(body($crate::support::TestDb::sqlite()))
            }

            #[test]
            fn postgres() $(-> $returned)? {
                $crate::support::block_on(body($crate::support::TestDb::postgres()))
            }
        }
    )+};
}
pub(crate) use on_both_databases;

/// `psql` as a user would start it, with `schema` as the search path.
pub fn psql_program(schema: &str) -> Command {
    let ours = std::env::var("ASMM_TEST_PG_BIN").map(|folder| Path::new(&folder).join("psql"));
    let program = ours.ok().filter(|path| path.exists()).unwrap_or_else(|| "psql".into());
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PGOPTIONS", format!("-c search_path={schema}"))
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-At", "-d", &postgres_url()]);
    command
}

/// Runs SQL through `psql`: rows without a frame, stopping at the first error.
pub fn psql(sql: &str, schema: &str) -> Output {
    let output = psql_program(schema).args(["-c", sql]).output().expect("psql can be started");
    Output::from_process(&output, &[(schema, "[schema]")])
}
