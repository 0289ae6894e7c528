//! Ledgers that cannot be written, or go away: a clear error in time, and what was answered is there.

use super::{Refusals, dump, filled, finish, said};
use crate::support::{TestDb, block_on, on_both_databases, psql};
use crate::writing::{call, now, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{Event, Status};
use asmm::error::ErrorKind;
use asmm::store::{Location, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, PgConnection, SqliteConnection};
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Set in the process that runs into the full disk: the ledger's URL.
const WORKER: &str = "ASMM_TEST_WORKER";
/// The calls of one of its batches.
const BATCH: u128 = 400;

/// The ledger of `db`, which is waited for only shortly.
async fn hasty(db: &TestDb) -> Store {
    let location = Location { patience: Duration::from_millis(200), ..Location::new(&db.url, &db.schema) };
    Store::connect(&location, Clock::Fixed(now())).await.unwrap()
}

fn path(db: &TestDb) -> PathBuf {
    db.dir.path().join("ledger.db")
}

async fn sqlite(db: &TestDb) -> SqliteConnection {
    SqliteConnectOptions::from_str(&db.url).unwrap().connect().await.unwrap()
}

async fn postgres(db: &TestDb) -> PgConnection {
    let options = PgConnectOptions::from_str(&db.url).unwrap();
    options.options([("search_path", &db.schema)]).connect().await.unwrap()
}

/// Every way to write, refused.
async fn every_write(store: &Store) -> String {
    let mut refusals = Refusals::of(store).await;
    refusals.add("start", store.start_run(&start(9)).await).await;
    refusals.add("step", store.start_step(&super::step(1, 9)).await).await;
    refusals.add("calls", store.record_calls(&[call(1, 9)]).await).await;
    let unknown = asmm::domain::Call { model: "unheard-of".into(), ..call(1, 9) };
    refusals.add("calls of a new model", store.record_calls(&[unknown]).await).await;
    refusals.add("finish", store.finish_run(&finish(1, Status::Succeeded, None)).await).await;
    refusals.end().await
}

#[test]
fn a_file_opened_to_read() {
    block_on(async {
        let db = TestDb::sqlite();
        let before = {
            let store = filled(&db).await;
            let before = dump(&store).await;
            store.close().await;
            before
        };
        let location = Location::new(format!("{}?mode=ro", db.url), &db.schema);
        let store = Store::open(&location, Clock::Fixed(now())).await.unwrap();
        insta::assert_snapshot!(every_write(&store).await, @"
        start, step, calls, calls of a new model, finish
          Database: the ledger's file is read-only
          hint: check the permissions of the file and its folder
        ");
        assert_eq!(dump(&store).await, before);
    });
}

/// Root may write what nobody may.
#[test]
fn a_file_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;
    block_on(async {
        let db = TestDb::sqlite();
        filled(&db).await.close().await;
        std::fs::set_permissions(path(&db), std::fs::Permissions::from_mode(0o444)).unwrap();
        if std::fs::OpenOptions::new().write(true).open(path(&db)).is_ok() {
            return;
        }
        let store = hasty(&db).await;
        assert!(every_write(&store).await.contains("Database: the ledger's file is read-only\n  hint: "));
    });
}

#[test]
fn a_file_that_another_holds() {
    block_on(async {
        let db = TestDb::sqlite();
        filled(&db).await.close().await;
        let store = hasty(&db).await;
        let mut other = sqlite(&db).await;
        sqlx::raw_sql("begin exclusive").execute(&mut other).await.unwrap();
        let started = Instant::now();
        insta::assert_snapshot!(every_write(&store).await, @"
        start, step, calls, calls of a new model, finish
          Ledger: the ledger is locked by another process
          hint: wait until it is done; a copy or a backup of the file may hold it
        ");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
        assert_eq!(store.record_calls(&[call(1, 9)]).await.unwrap().recorded, 1);
    });
}

/// Both connections are busy: the third waits no longer than it was told to.
#[test]
fn a_file_with_too_many_writers() {
    block_on(async {
        let db = TestDb::sqlite();
        filled(&db).await.close().await;
        let store = hasty(&db).await;
        let mut other = sqlite(&db).await;
        sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
        let started = Instant::now();
        let calls = [call(1, 9)];
        let write = || store.record_calls(&calls);
        let outcomes = tokio::join!(write(), write(), write(), write());
        for outcome in [outcomes.0, outcomes.1, outcomes.2, outcomes.3] {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Ledger, "{error:?}");
            assert!(error.next_step().is_some(), "{error:?}");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    });
}

/// The worker of the next test: records batches until the disk is full, and says which were answered.
#[test]
fn records_until_the_disk_is_full() {
    let Ok(url) = std::env::var(WORKER) else { return };
    block_on(async {
        let location = Location { patience: Duration::from_millis(500), ..Location::new(url, "unused") };
        let store = Store::connect(&location, Clock::Fixed(now())).await.unwrap();
        let mut failures = 0;
        for batch in 0..10_000_u128 {
            let calls: Vec<_> = (0..BATCH).map(|n| call(1, 1_000 + BATCH * batch + n)).collect();
            let outcome = if batch % 2 == 0 {
                store.record_calls(&calls).await
            } else {
                let changes: Vec<Event> = calls.into_iter().map(Event::Call).collect();
                store.apply(&changes).await.map(|applied| applied.calls)
            };
            match outcome {
                Ok(recorded) => println!("answered {batch} {}", recorded.recorded),
                Err(error) => {
                    println!("failed {batch} {}", said(&error).replace('\n', ";"));
                    failures += 1;
                }
            }
            if failures == 5 {
                return;
            }
        }
        panic!("the disk is never full");
    });
}

#[test]
fn a_disk_without_room_for_the_log() {
    assert!(a_full_disk(500 * 1024) <= 500 * 1024);
}

/// The log is copied into the file several times before that fails.
#[test]
fn a_disk_without_room_for_the_file() {
    assert!(a_full_disk(3_500 * 1024) > 3_000 * 1024);
}

/// A disk with `room` for any one file beyond what the ledger takes. Answers what the ledger's file has grown by.
fn a_full_disk(room: u64) -> u64 {
    block_on(async {
        let db = TestDb::sqlite();
        filled(&db).await.close().await;
        let size = || std::fs::metadata(path(&db)).unwrap().len();
        let before = size();
        // In the unit that shells count in.
        let limit = (before + room) / 512;
        let script = format!("ulimit -f {limit}; trap '' XFSZ; exec \"$0\" \"$@\"");
        let name = "bad_input::broken::records_until_the_disk_is_full";
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(WORKER, &db.url)
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}\n{err}");
        let answered: Vec<&str> = out.lines().filter(|l| l.contains("answered ")).collect();
        let failed: Vec<&str> = out.lines().filter(|l| l.contains("failed ")).collect();
        assert!(!answered.is_empty() && failed.len() == 5, "{out}");
        for line in &failed {
            let clear = line.contains("Database: reading or writing the ledger's file failed: ")
                || line.contains("Database: the disk is full");
            assert!(clear && line.contains("hint: ") && line.contains("nothing was recorded"), "{line}");
        }

        let growth = size() - before;

        // There is room again: what was answered is there, and what failed is not.
        let location = Location::new(&db.url, &db.schema);
        let store = Store::open(&location, Clock::Fixed(now())).await.unwrap();
        assert_eq!(store.broken_laws().await.unwrap(), []);
        let run = store.run(run_id(1)).await.unwrap();
        assert_eq!(
            run.totals.llm_calls,
            1 + u64::try_from(BATCH).unwrap() * u64::try_from(answered.len()).unwrap(),
            "{out}"
        );
        let again: Vec<_> = (0..100).map(|n| call(1, 1_000 + n)).collect();
        assert_eq!(store.record_calls(&again).await.unwrap().duplicate, 100);
        let new: Vec<_> = (0..100).map(|n| call(1, 9_000_000 + n)).collect();
        assert_eq!(store.record_calls(&new).await.unwrap().recorded, 100);
        let mut connection = sqlite(&db).await;
        let check: String =
            sqlx::query_scalar("pragma integrity_check").fetch_one(&mut connection).await.unwrap();
        assert_eq!(check, "ok");
        growth
    })
}

/// The server ends the session while it waits for a run that another transaction holds.
#[test]
fn a_session_that_is_ended() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let before = dump(&store).await;
        let mut holder = postgres(&db).await;
        sqlx::raw_sql("begin; select 1 from pipeline_run for update").execute(&mut holder).await.unwrap();
        let calls = [call(1, 9)];
        let end = async {
            let started = Instant::now();
            loop {
                // Those of this ledger only: tests share the server.
                let ended = psql(
                    "select pg_terminate_backend(a.pid)
                     from pg_locks l
                     join pg_stat_activity a using (pid)
                     where not l.granted and a.query like 'select record_call(%'
                       and pg_blocking_pids(a.pid) && (select array_agg(h.pid) from pg_locks h
                                                       where h.relation = 'pipeline_run'::regclass)",
                    &db.schema,
                )
                .success();
                if ended.contains('t') {
                    return;
                }
                assert!(started.elapsed() < Duration::from_secs(20), "nobody waits");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (outcome, ()) = tokio::join!(store.record_calls(&calls), end);
        insta::assert_snapshot!(said(&outcome.unwrap_err()), @"
        Ledger: the database is shutting down or starting up: terminating connection due to administrator command
          hint: try again when it is up; what was not answered was not recorded
        ");
        sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
        assert_eq!(dump(&store).await, before);
        assert_eq!(store.record_calls(&calls).await.unwrap().recorded, 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    });
}

on_both_databases! {
    /// A ledger that was closed says so.
    async fn a_closed_ledger(db: TestDb) {
        let store = filled(&db).await;
        store.close().await;
        let error = store.record_calls(&[call(1, 9)]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ledger, "{error:?}");
        assert!(error.to_string().contains("the connection was closed"), "{error:?}");
        assert!(error.next_step().is_some());
    }
}
