//! Recording, on both databases: once, in step, and nothing of what is refused.

use crate::support::{TestDb, on_both_databases};
use asmm::clock::Clock;
use asmm::domain::{Call, CallId, FinishRun, RunId, StartRun, Status, Timestamp, TokenUsage, Window};
use asmm::store::{Filter, Location, SpendBy, Store};
use std::collections::BTreeMap;
use uuid::Uuid;

pub fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

pub async fn open(db: &TestDb) -> Store {
    let location = Location::new(&db.url, &db.schema);
    let store = Store::connect(&location, Clock::Fixed(now())).await.unwrap();
    store.migrate().await.unwrap();
    store
}

pub fn run_id(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

pub fn start(n: u128) -> StartRun {
    StartRun {
        run_id: run_id(n),
        pipeline: "enrichment".into(),
        started_at: now(),
        labels: [("team".to_owned(), "data".to_owned())].into(),
        parent_run_id: None,
        replay_of: None,
    }
}

pub fn call(run: u128, n: u128) -> Call {
    Call {
        run_id: run_id(run),
        call_id: CallId(Uuid::from_u128(n)),
        step_id: None,
        agent: "researcher".into(),
        provider: "openai".into(),
        model: "gpt-4o".into(),
        operation: "chat".into(),
        service_tier: "standard".into(),
        called_at: now(),
        usage: Some(TokenUsage { input: 1000, output: 10, ..TokenUsage::default() }),
        latency_ms: Some(120),
        outcome: asmm::domain::Outcome::Ok,
        response_id: None,
        pipeline: None,
        prompt: None,
    }
}

on_both_databases! {
    /// SQLite takes large batches in several statements: what is known may only show in the last of them.
    async fn batches_of_any_size_count_once(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        let mut first: u128 = 1;
        for size in [1, 15, 16, 17, 255, 256, 257, 600] {
            let batch: Vec<Call> = (first..first + size).map(|n| call(1, n)).collect();
            let last = batch.last().unwrap().clone();
            let known = store.record_calls(std::slice::from_ref(&last)).await.unwrap();
            assert_eq!(known.recorded, 1, "{size}");
            let rest = store.record_calls(&batch).await.unwrap();
            assert_eq!((u128::from(rest.recorded), rest.duplicate, rest.conflict.len()), (size - 1, 1, 0), "{size}");
            first += size;
        }
        let run = store.run(run_id(1)).await.unwrap();
        assert_eq!(u128::from(run.totals.llm_calls), first - 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn a_batch_counts_once(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        let calls = [call(1, 1), call(1, 2), call(1, 1)];
        let first = store.record_calls(&calls).await.unwrap();
        assert_eq!((first.recorded, first.duplicate, first.conflict.len(), first.unpriced), (2, 1, 0, 0));
        let again = store.record_calls(&calls).await.unwrap();
        assert_eq!((again.recorded, again.duplicate), (0, 3));
        let mut other = call(1, 1);
        other.usage = None;
        let conflict = store.record_calls(&[other, call(1, 3)]).await.unwrap();
        assert_eq!(conflict.conflict, [(run_id(1), CallId(Uuid::from_u128(1)))]);
        assert_eq!(conflict.recorded, 1);

        let finish = FinishRun { run_id: run_id(1), status: Status::Succeeded, completed_at: None };
        let run = store.finish_run(&finish).await.unwrap();
        assert_eq!(run.totals.llm_calls, 3);
        assert_eq!(run.totals.cost.to_string(), "0.0078");
        assert_eq!(store.finish_run(&finish).await.unwrap(), run);
        let late = store.record_calls(&[call(1, 4)]).await.unwrap();
        assert_eq!(late.recorded, 1);
        assert_eq!(store.run(run_id(1)).await.unwrap().totals.cost.to_string(), "0.0104");
        let error = store.finish_run(&FinishRun { status: Status::Failed, ..finish }).await.unwrap_err();
        assert!(error.to_string().contains("already finished as `succeeded`"), "{error}");
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}

on_both_databases! {
    /// Casey changes its clock at a minute past midnight, inside of a rollup bucket.
    async fn days_are_exact_where_a_bucket_is_cut(db: TestDb) {
        let store = open(&db).await;
        let zone = chrono_tz::Antarctica::Casey;
        let window = Window::dates("2018-01-01".parse().unwrap(), "2025-12-31".parse().unwrap(), zone).unwrap();
        let changes: Vec<Timestamp> = window.segments().iter().skip(1).map(|s| s.since).collect();
        assert!(changes.iter().any(|t| *t != t.bucket_start()), "{changes:?}");
        store.start_run(&start(1)).await.unwrap();
        let mut expected = BTreeMap::new();
        let mut calls = Vec::new();
        for (place, at) in changes.iter().flat_map(|t| [-61_i64, -30, 30, 600].map(|s| t.plus_micros(s * 1_000_000))).enumerate() {
            calls.push(Call { called_at: at, ..call(1, place as u128) });
            *expected.entry(at.to_utc().with_timezone(&zone).date_naive()).or_insert(0) += 1;
        }
        store.record_calls(&calls).await.unwrap();
        let by = SpendBy { day: true, ..SpendBy::default() };
        let spend = store.spend(&window, by, &Filter::default()).await.unwrap();
        let found: BTreeMap<_, _> = spend.into_iter().map(|(key, totals)| (key.day.unwrap(), totals.llm_calls)).collect();
        assert_eq!(found, expected);
    }
}
