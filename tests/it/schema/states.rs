//! Every state a database can be in when asmm meets it, and what asmm says.

use super::{connect, count, execute, is_postgres, location, migrated, said};
use crate::support::{TestDb, on_both_databases};
use asmm::clock::Clock;
use asmm::error::{Error, Result};
use asmm::store::{MigrationName, SchemaState, Store};

/// insta takes the second database for a loop.
macro_rules! same_snapshot {
    ($value:expr, @$snapshot:literal) => {
        let value = $value;
        insta::allow_duplicates! { insta::assert_snapshot!(value, @$snapshot) }
    };
}

fn names(migrations: &[MigrationName]) -> Vec<String> {
    migrations.iter().map(|m| format!("{:04}_{}", m.version, m.name)).collect()
}

const ALL: [&str; 18] = [
    "0001_catalogue",
    "0002_prompts",
    "0003_ledger",
    "0004_views",
    "0005_writing",
    "0006_calls",
    "0007_roles",
    "0008_sent_prompts",
    "0009_recording_prompts",
    "0010_absent_ids",
    "0011_guard",
    "0012_settled_spend",
    "0013_archive",
    "0014_named_once",
    "0015_spans",
    "0016_provider_usage",
    "0017_budgets",
    "0018_outputs",
];

/// What every way into the ledger says, which must be the same; the ledger's name is replaced.
async fn refused(db: &TestDb) -> String {
    let store = connect(db).await;
    let hidden = [(store.shown(), "[ledger]")];
    let said = |outcome: Result<()>| said(&outcome.unwrap_err(), &hidden);
    let opened = said(Store::open(&location(db), Clock::System).await.map(drop));
    assert_eq!(said(store.migrate().await.map(drop)), opened);
    assert_eq!(said(store.pending_migrations().await.map(drop)), opened);
    opened
}

on_both_databases! {
    async fn nothing_becomes_a_ledger(db: TestDb) {
        let store = connect(&db).await;
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Empty);
        assert_eq!(names(&store.pending_migrations().await.unwrap()), ALL);
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Empty, "looking changes nothing");
        assert_eq!(names(&store.migrate().await.unwrap()), ALL);
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
        assert!(store.catalogue_version().await.unwrap().is_some());
    }

    async fn migrating_again_changes_nothing(db: TestDb) {
        let store = migrated(&db).await;
        assert_eq!(store.migrate().await.unwrap(), []);
        assert_eq!(connect(&db).await.migrate().await.unwrap(), []);
        assert_eq!(store.pending_migrations().await.unwrap(), []);
        assert_eq!(count(&db, "select count(*) from price_catalogue").await, 1);
        assert_eq!(count(&db, "select count(*) from _sqlx_migrations").await, 18);
    }

    async fn what_is_missing_is_named_and_applied(db: TestDb) {
        let store = migrated(&db).await;
        execute(&db, "delete from _sqlx_migrations where version = 10").await;
        assert_eq!(names(&store.pending_migrations().await.unwrap()), ["0010_absent_ids"]);
        let error = store.schema_state().await.unwrap().into_error(&store);
        same_snapshot!(said(&error, &[(store.shown(), "[ledger]")]), @"
        `[ledger]` is not up to date: 1 migration is pending
        hint: run `asmm migrate`; `asmm migrate --dry-run` shows what it would do
        Ledger, exit code 7
        ");
        assert_eq!(names(&store.migrate().await.unwrap()), ["0010_absent_ids"]);
        Store::open(&location(&db), Clock::System).await.unwrap();
    }

    async fn a_newer_ledger_is_left_alone(db: TestDb) {
        migrated(&db).await;
        execute(&db, "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                      select 9999, 'tomorrow', success, checksum, 1 from _sqlx_migrations where version = 1").await;
        same_snapshot!(refused(&db).await, @"
        `[ledger]` is newer than this program: it has migration 9999, and this asmm knows up to 18
        hint: install the newer asmm; a ledger is never migrated back
        Ledger, exit code 7
        ");
    }

    async fn a_migration_begun_and_not_finished_is_told(db: TestDb) {
        migrated(&db).await;
        execute(&db, "update _sqlx_migrations set success = false where version = 7").await;
        same_snapshot!(refused(&db).await, @"
        `[ledger]`: migration 7 was begun and not finished
        hint: restore the backup made before migrating; see RUNBOOK.md
        Ledger, exit code 7
        ");
    }

    async fn an_edited_migration_is_told(db: TestDb) {
        migrated(&db).await;
        execute(&db, "update _sqlx_migrations
                      set checksum = (select checksum from _sqlx_migrations where version = 1)
                      where version = 2").await;
        same_snapshot!(refused(&db).await, @"
        `[ledger]`: migration 0002_prompts was applied with other contents than this program has
        hint: was the ledger made by a development build? use a released asmm, or restore a backup
        Ledger, exit code 7
        ");
    }

    async fn another_program_s_tables_are_left_alone(db: TestDb) {
        if is_postgres(&db) {
            execute(&db, &format!("create schema {0}; create table {0}.invoices (id integer)", db.schema)).await;
        } else {
            execute(&db, "create table invoices (id integer)").await;
        }
        same_snapshot!(refused(&db).await, @"
        `[ledger]` is no ledger: it holds the table `invoices` of something else
        hint: name an empty database, another file, or another --schema
        Ledger, exit code 7
        ");
    }

    async fn another_program_s_migrations_are_left_alone(db: TestDb) {
        let blob = if is_postgres(&db) { "bytea" } else { "blob" };
        if is_postgres(&db) {
            execute(&db, &format!("create schema {}", db.schema)).await;
        }
        execute(&db, &format!(
            "create table _sqlx_migrations (
               version bigint primary key, description text not null, success boolean not null,
               checksum {blob} not null, execution_time bigint not null);
             create table invoices (id integer);
             insert into _sqlx_migrations values (1, 'invoices', true, '', 1)")).await;
        same_snapshot!(refused(&db).await, @"
        `[ledger]` is no ledger: it holds the table `_sqlx_migrations` of something else
        hint: name an empty database, another file, or another --schema
        Ledger, exit code 7
        ");
    }
}

/// `open` may make a SQLite file, but a Postgres ledger is made by whoever runs `asmm migrate`.
#[test]
fn opening_makes_a_file_but_no_postgres_ledger() {
    crate::support::block_on(async {
        let db = TestDb::sqlite();
        Store::open(&location(&db), Clock::System).await.unwrap();
        assert_eq!(connect(&db).await.schema_state().await.unwrap(), SchemaState::Current);

        let db = TestDb::postgres();
        let store = connect(&db).await;
        let said = |error: &Error| said(error, &[(store.shown(), "[ledger]")]);
        let error = Store::open(&location(&db), Clock::System).await.unwrap_err();
        insta::assert_snapshot!(said(&error), @"
        `[ledger]` is not migrated: it holds no ledger yet
        hint: run `asmm migrate`, and check --schema
        Ledger, exit code 7
        ");
        store.migrate().await.unwrap();
        execute(&db, "delete from _sqlx_migrations where version > 5").await;
        let error = Store::open(&location(&db), Clock::System).await.unwrap_err();
        insta::assert_snapshot!(said(&error), @"
        `[ledger]` is not up to date: 13 migrations are pending
        hint: run `asmm migrate`; `asmm migrate --dry-run` shows what it would do
        Ledger, exit code 7
        ");
    });
}

/// A ledger that may only be read is read, also by a program with newer prices.
#[test]
fn a_read_only_file_is_opened_and_not_written() {
    crate::support::block_on(async {
        let db = TestDb::sqlite();
        migrated(&db).await.close().await;
        execute(
            &db,
            "drop trigger price_catalogue_no_update; update price_catalogue set name = '2020-01-01'",
        )
        .await;
        let location = asmm::store::Location::new(format!("{}?mode=ro", db.url), &db.schema);
        let store = Store::open(&location, Clock::System).await.unwrap();
        assert_eq!(store.catalogue_version().await.unwrap().as_deref(), Some("2020-01-01"));

        execute(&db, "delete from _sqlx_migrations where version = 7").await;
        let error = Store::open(&location, Clock::System).await.unwrap_err();
        insta::assert_snapshot!(said(&error, &[(store.shown(), "[ledger]")]), @"
        `[ledger]` is not up to date: 1 migration is pending
        hint: run `asmm migrate`; `asmm migrate --dry-run` shows what it would do
        Ledger, exit code 7
        ");
    });
}
