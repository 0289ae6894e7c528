//! Whatever happens to the server, the disk or the pipeline: what was acknowledged is in the ledger, once.

mod disk;
mod processes;
mod servers;

use crate::support::{Output, TestDb, asmm, block_on};
use asmm::clock::Clock;
use asmm::store::{Location, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use uuid::Uuid;

/// Both levels of the recorder.
const LEVELS: [&str; 2] = ["buffered", "durable"];

/// Every call in the ledger.
async fn stored(db: &TestDb) -> BTreeSet<Uuid> {
    const CALLS: &str = "select call_id from llm_call";
    let ids: Vec<Uuid> = if db.url.starts_with("sqlite:") {
        let mut connection = SqliteConnectOptions::from_str(&db.url).unwrap().connect().await.unwrap();
        let ids = sqlx::query_scalar(CALLS).fetch_all(&mut connection).await.unwrap();
        // Dropped, it would be closed later, and take the files of a ledger with it that is made meanwhile.
        connection.close().await.unwrap();
        ids
    } else {
        let options = PgConnectOptions::from_str(&db.url).unwrap().options([("search_path", &db.schema)]);
        sqlx::query_scalar(CALLS).fetch_all(&mut options.connect().await.unwrap()).await.unwrap()
    };
    let count = ids.len();
    let set: BTreeSet<Uuid> = ids.into_iter().collect();
    assert_eq!(set.len(), count, "a call is there twice");
    set
}

/// `wanted` is in the ledger, nothing but `recorded` is, the laws hold, and nothing waits any more.
fn check(db: &TestDb, wanted: &BTreeSet<Uuid>, recorded: &BTreeSet<Uuid>) {
    block_on(async {
        let stored = stored(db).await;
        let missing = wanted.difference(&stored).count();
        assert_eq!(missing, 0, "of {} calls that were acknowledged", wanted.len());
        assert_eq!(stored.difference(recorded).count(), 0, "calls that nobody recorded");
        let location = Location::new(&db.url, &db.schema);
        let store = Store::open(&location, Clock::System).await.unwrap();
        assert_eq!(store.broken_laws().await.unwrap(), []);
        store.close().await;
    });
    let status = program(db, &["spool", "status", "--format", "json"]).success();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    for spool in status["spools"].as_array().into_iter().flatten() {
        assert_eq!((&spool["events"], &spool["set_aside"]), (&0.into(), &0.into()), "{status:#}");
    }
}

/// Makes the ledger.
fn migrate(db: &TestDb) {
    block_on(async {
        let location = Location::new(&db.url, &db.schema);
        let store = Store::connect(&location, Clock::System).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
    });
}

/// The program, in the home of the test's pipelines.
fn program(db: &TestDb, args: &[&str]) -> Output {
    let mut command = asmm(db.dir.path());
    command.env("ASMM_DATABASE_URL", &db.url).env("ASMM_SCHEMA", &db.schema).env_remove("ASMM_NOW");
    Output::from_process(&command.args(args).output().unwrap(), &[])
}

/// A ledger in SQLite whose file cannot be made, until [`come_back`].
fn away() -> TestDb {
    let db = TestDb::sqlite();
    std::fs::create_dir(file(&db)).unwrap();
    db
}

fn come_back(db: &TestDb) {
    std::fs::remove_dir(file(db)).unwrap();
}

fn file(db: &TestDb) -> PathBuf {
    db.url.strip_prefix("sqlite://").unwrap().into()
}

/// The one spool in the home of the test's pipelines.
fn spool(db: &TestDb) -> PathBuf {
    let home = db.dir.path().join("home/.local/state/asmm/spool");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

/// The segments of the spool, in order.
fn segments(db: &TestDb) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(spool(db)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    paths.sort();
    paths
}
