//! Several at once, and migrations that fail half way.

use super::{connect, count, execute, location, migrated, said};
use crate::support::{TestDb, block_on};
use asmm::clock::Clock;
use asmm::store::{SchemaState, Store};
use std::sync::Barrier;

/// Runs `work` on `n` threads with a runtime each, as `n` processes would, all starting together.
fn at_once(n: usize, work: impl Fn() + Sync) {
    let barrier = Barrier::new(n);
    std::thread::scope(|scope| {
        for _ in 0..n {
            scope.spawn(|| {
                barrier.wait();
                work();
            });
        }
    });
}

async fn is_loaded_once(db: &TestDb) {
    assert_eq!(connect(db).await.schema_state().await.unwrap(), SchemaState::Current);
    assert_eq!(count(db, "select count(*) from price_catalogue").await, 1);
}

#[test]
fn several_migrate_one_postgres_schema() {
    let db = TestDb::postgres();
    at_once(6, || {
        block_on(async {
            connect(&db).await.migrate().await.unwrap();
        });
    });
    block_on(is_loaded_once(&db));
}

/// Roles are the server's, so that two ledgers meet there.
#[test]
fn several_schemas_are_migrated_at_once() {
    at_once(6, || {
        block_on(async {
            let db = TestDb::postgres();
            migrated(&db).await;
            is_loaded_once(&db).await;
        });
    });
}

#[test]
fn several_open_one_new_file() {
    let db = TestDb::sqlite();
    at_once(8, || {
        block_on(async {
            let store = Store::open(&location(&db), Clock::System).await.unwrap();
            assert!(store.catalogue_version().await.unwrap().is_some(), "an open ledger has prices");
        });
    });
    block_on(is_loaded_once(&db));
}

/// Something of the same name is in the way: the first migration fails, and nothing of it stays.
#[test]
fn a_failed_migration_leaves_nothing() {
    block_on(async {
        let db = TestDb::postgres();
        let schema = &db.schema;
        execute(
            &db,
            &format!(
                "create schema {schema};
             create function {schema}.refuse_change() returns integer language sql as 'select 1'"
            ),
        )
        .await;
        let store = connect(&db).await;
        let error = store.migrate().await.unwrap_err();
        insta::assert_snapshot!(said(&error, &[(store.shown(), "[ledger]")]), @r#"
        `[ledger]`: migration 0001_catalogue failed and was rolled back: the database failed: function "refuse_change" already exists with same argument types
        hint: remove what is in its way and run `asmm migrate` again: it goes on there
        Database, exit code 1
        "#);
        let left = format!(
            "select count(*) from pg_class where relnamespace = '{schema}'::regnamespace
                            and relkind in ('r', 'v') and relname <> '_sqlx_migrations'"
        );
        assert_eq!(count(&db, &left).await, 0);
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Empty);

        // The failed one is still open and holds nothing that another would wait for.
        execute(&db, "drop function refuse_change()").await;
        assert_eq!(connect(&db).await.migrate().await.unwrap().len(), 18);
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
    });
}

/// Each migration is a transaction: what came before the failed one stays, and the next attempt goes on there.
#[test]
fn a_failed_migration_is_taken_up_again() {
    block_on(async {
        let db = TestDb::postgres();
        let schema = &db.schema;
        execute(
            &db,
            &format!(
                "create schema {schema};
             create function {schema}.find_prompt_version(reference text) returns integer
             language sql as 'select 1'"
            ),
        )
        .await;
        let store = connect(&db).await;
        let error = store.migrate().await.unwrap_err();
        insta::assert_snapshot!(said(&error, &[(store.shown(), "[ledger]")]), @r#"
        `[ledger]`: migration 0005_writing failed and was rolled back: the database failed: function "find_prompt_version" already exists with same argument types
        hint: remove what is in its way and run `asmm migrate` again: it goes on there
        Database, exit code 1
        "#);
        let pending = store.pending_migrations().await.unwrap();
        assert_eq!(
            pending.iter().map(|m| m.version).collect::<Vec<_>>(),
            [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
        );
        assert_eq!(count(&db, "select count(*) from pg_proc where proname = 'start_run' and pronamespace = current_schema()::regnamespace").await, 0);

        execute(&db, "drop function find_prompt_version(text)").await;
        assert_eq!(store.migrate().await.unwrap().len(), 14);
        is_loaded_once(&db).await;
    });
}

#[test]
fn a_failed_migration_of_a_file_is_taken_up_again() {
    block_on(async {
        let db = TestDb::sqlite();
        execute(&db, "create view v_spend as select 1 as one").await;
        let store = connect(&db).await;
        let error = store.migrate().await.unwrap_err();
        insta::assert_snapshot!(said(&error, &[(store.shown(), "[ledger]")]), @"
        `[ledger]`: migration 0004_views failed and was rolled back: the ledger failed: view v_spend already exists
        hint: remove what is in its way and run `asmm migrate` again: it goes on there
        Database, exit code 1
        ");
        let pending = store.pending_migrations().await.unwrap();
        assert_eq!(
            pending.iter().map(|m| m.version).collect::<Vec<_>>(),
            [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
        );
        assert_eq!(count(&db, "select count(*) from sqlite_master where name = 'v_run'").await, 0);

        execute(&db, "drop view v_spend").await;
        Store::open(&location(&db), Clock::System).await.unwrap();
        is_loaded_once(&db).await;
    });
}
