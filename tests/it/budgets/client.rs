//! Asking through the recorder: it waits for a moment only, and fails as it was told to.

use super::{CALL_USD, budget, figures, three, usd};
use crate::recorder::settings;
use crate::support::{Server, TestDb, block_on, on_both_databases};
use crate::writing::open;
use asmm::clock::Clock;
use asmm::domain::{Budget, BudgetScope, TokenUsage};
use asmm::recorder::{Fail, Recorder};
use asmm::store::{Location, Store};
use std::time::Duration;

const SOON: Duration = Duration::from_mins(1);

/// A recorder that waits for the ledger as long as a busy machine may take.
fn patient(db: &TestDb) -> Recorder {
    let mut settings = settings(db);
    settings.reserve_patience = SOON;
    Recorder::connect(settings)
}

on_both_databases! {
    async fn a_pipeline_asks_before_it_spends(db: TestDb) {
        // What was reserved is looked at as the recorder's own clock sees it.
        open(&db).await;
        let store = Store::open(&Location::new(&db.url, &db.schema), Clock::System).await.unwrap();
        let scope = BudgetScope {
            pipeline: Some("enrichment".into()),
            agent: Some("writer".into()),
            label: Some(("team".into(), "data".into())),
            ..BudgetScope::default()
        };
        store.set_budget(&Budget { scope, ..budget("nightly", "0.01") }).await.unwrap();
        let recorder = patient(&db);
        let run = recorder.run("enrichment").label("team", "data").start();
        let step = run.step("summarise").agent("writer").start();
        // The ledger need not know of the run yet.
        let reservation = step.reserve("openai", "gpt-4o").tokens(1000, 300).ask().await;
        assert!(reservation.is_granted(), "{reservation:?}");
        assert_eq!(reservation.answer().unwrap().amount, Some(usd("0.0055")));
        assert_eq!(figures(&store, "nightly").await, three("0", "0.0055", "0.0045"));
        let refused = std::thread::scope(|scope| {
            // A thread without a runtime.
            scope.spawn(|| step.reserve("openai", "gpt-4o").usd(usd("0.005")).ask_blocking()).join().unwrap()
        });
        assert!(!refused.is_granted());
        let reason = refused.reason().unwrap();
        assert!(reason.starts_with("0.005 USD do not fit into budget `nightly`: 0 USD spent and 0.0055 reserved of 0.01 until "), "{reason}");
        let usage = TokenUsage { input: 1000, output: 10, ..TokenUsage::default() };
        step.call("openai", "gpt-4o").reservation(&reservation).usage(usage).record().await.unwrap();
        assert!(recorder.flush(SOON).await.is_safe);
        let other = step.reserve("openai", "gpt-4o").usd(usd("0.001")).ask().await;
        assert_eq!(figures(&store, "nightly").await, three(CALL_USD, "0.001", "0.0064"));
        other.release();
        // Behind it, by the same way.
        let unknown = step.reserve("openai", "nobody-knows-it").tokens(1, 1).ask().await;
        assert!(unknown.is_granted());
        let unknown = step.reserve("openai", "nobody-knows-it").tokens(1, 1).fail(Fail::Closed).ask().await;
        assert_eq!((unknown.is_granted(), unknown.reason()), (false, Some("the price of the tokens is unknown")));
        // What cannot be asked at all fails the same way.
        assert!(!step.reserve("openai", "gpt-4o").usd(usd("-1")).fail(Fail::Closed).ask().await.is_granted());
        let metrics = recorder.metrics();
        assert_eq!((metrics.granted, metrics.refused, metrics.unanswered), (2, 1, 3));
        recorder.shutdown(SOON).await;
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}

#[test]
fn a_ledger_that_is_gone_or_hangs_holds_nobody_up() {
    let server = Server::new();
    server.start();
    let db = TestDb { url: server.url(), schema: "asmm".to_owned(), dir: tempfile::tempdir().unwrap() };
    block_on(async {
        let store = open(&db).await;
        store.set_budget(&budget("nightly", "1")).await.unwrap();
        store.close().await;
        let recorder = patient(&db);
        let run = recorder.run("enrichment").start();
        assert!(run.reserve("openai", "gpt-4o").usd(usd("0.1")).ask().await.answer().is_some());
        server.crash();
        let open = run.reserve("openai", "gpt-4o").usd(usd("0.1")).ask().await;
        assert!(open.is_granted() && open.answer().is_none() && open.reason().is_some(), "{open:?}");
        let closed = run.reserve("openai", "gpt-4o").usd(usd("0.1")).fail(Fail::Closed).ask().await;
        assert!(!closed.is_granted() && closed.reason().is_some(), "{closed:?}");
        assert_eq!(recorder.metrics().unanswered, 2);
        // The call is recorded all the same, and counts when the ledger is back.
        run.call("openai", "gpt-4o").reservation(&open).usage(TokenUsage::default()).record();
        assert!(recorder.shutdown(Duration::from_secs(1)).await.is_safe);
        server.start();

        let mut settings = settings(&db);
        settings.reserve_patience = Duration::from_millis(1);
        settings.reserve_fail = Fail::Closed;
        let recorder = Recorder::connect(settings);
        server.signal("STOP");
        let run = recorder.run("enrichment").start();
        let hung = run.reserve("openai", "gpt-4o").usd(usd("0.1")).ask().await;
        assert_eq!(hung.reason(), Some("the ledger did not answer within 1 ms"));
        // Whoever asks next does not wait at all.
        let again = run.reserve("openai", "gpt-4o").usd(usd("0.1")).fail(Fail::Open).ask().await;
        assert_eq!(
            (again.is_granted(), again.reason()),
            (true, Some("the ledger did not answer a moment ago"))
        );
        server.signal("CONT");
        recorder.shutdown(Duration::from_secs(1)).await;
    });
}
