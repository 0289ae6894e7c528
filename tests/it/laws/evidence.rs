//! Of a large ledger a part is looked at: the newest, and no more than was asked for.

use crate::support::{TestDb, on_both_databases};
use crate::writing::{call, now, open, run_id, start};
use asmm::domain::{Call, StartRun, Timestamp};
use asmm::store::{LawScope, Store};
use sqlx::{AssertSqlSafe, Connection};

/// Run 1 has four calls of three days ago, run 2 three of yesterday, run 3 two of now.
async fn three_runs(db: &TestDb) -> Store {
    let store = open(db).await;
    // Nobody settles by the way: settled sums would be changed by hand as well.
    let far = if db.url.starts_with("sqlite:") { "4102444800000000" } else { "'2100-01-01T00:00:00Z'" };
    by_hand(db, &format!("update settlement set settled_at = {far}")).await;
    let at = |days: i64| now().plus_micros(-days * 86_400_000_000);
    let mut next = 0;
    for (run, days, calls) in [(1, 3, 4), (2, 1, 3), (3, 0, 2)] {
        store.start_run(&StartRun { started_at: at(days), ..start(run) }).await.unwrap();
        for _ in 0..calls {
            next += 1;
            let call = Call { called_at: at(days), ..call(run, next) };
            store.record_calls(&[call]).await.unwrap();
        }
    }
    store
}

async fn by_hand(db: &TestDb, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if db.url.starts_with("sqlite:") {
        let mut connection = sqlx::SqliteConnection::connect(&db.url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    } else {
        let options: sqlx::postgres::PgConnectOptions = db.url.parse().unwrap();
        let options = options.options([("search_path", &db.schema)]);
        let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
}

fn bucket(days: i64) -> i64 {
    Timestamp::from_micros(now().micros() - days * 86_400_000_000).bucket()
}

on_both_databases! {
    async fn the_newest_part_is_looked_at(db: TestDb) {
        let store = three_runs(&db).await;
        for (limits, runs, calls, from) in [
            (None, 3, 9, None),
            (Some((9, 3)), 3, 9, None),
            (Some((8, 3)), 2, 5, Some((bucket(1), 5))),
            (Some((9, 2)), 2, 5, Some((bucket(3), 9))),
            (Some((4, 9)), 1, 2, Some((bucket(0), 2))),
            // The newest run, and the newest bucket, are always in it.
            (Some((1, 9)), 1, 2, Some((bucket(0), 2))),
        ] {
            let scope = store.evidence_scope(limits).await.unwrap();
            assert_eq!((scope.runs, scope.calls, scope.bucket), (runs, calls, from), "{limits:?}");
            assert_eq!((scope.all_runs, scope.all_calls), (3, 9));
            assert_eq!(scope.is_whole(), runs == 3);
            let evidence = store.run_evidence(&scope).await.unwrap();
            assert_eq!((evidence.runs, evidence.calls), (runs, calls), "{limits:?}");
            assert_eq!(store.sent_evidence(&scope).await.unwrap().calls, calls, "{limits:?}");
        }
    }

    async fn laws_are_recomputed_of_a_part(db: TestDb) {
        let store = three_runs(&db).await;
        assert_eq!(store.broken_laws().await.unwrap(), []);
        by_hand(&db, "update pipeline_run set llm_calls = llm_calls + 1 where llm_calls = 4").await;
        by_hand(&db, &format!("update spend_rollup set llm_calls = 7 where bucket = {}", bucket(3))).await;
        let whole = store.broken_laws().await.unwrap();
        assert_eq!(whole.iter().map(|b| b.run_id).filter(|run| *run == Some(run_id(1))).count(), 1, "{whole:?}");
        assert!(whole.len() >= 2, "{whole:?}");
        let newest = LawScope { runs: Some(2), bucket: Some(bucket(1)) };
        assert_eq!(store.broken_laws_in(newest).await.unwrap(), []);
        by_hand(&db, "update pipeline_run set llm_calls = llm_calls + 1 where llm_calls = 2").await;
        by_hand(&db, &format!("update spend_rollup set llm_calls = 7 where bucket = {}", bucket(1))).await;
        let laws: Vec<_> = store.broken_laws_in(newest).await.unwrap().iter().map(|b| b.law).collect();
        assert_eq!(laws, ["a run's counters are the sums of its calls", "the rollup is the sum of all calls"]);
    }
}
