//! What a pipeline records, with a ledger that works.

use super::{recorder, settings};
use crate::support::on_both_databases;
use crate::writing::open;
use asmm::domain::{RunId, Status, TokenUsage};
use asmm::recorder::{Context, Recorder, in_current, spawn};
use asmm::store::Store;
use std::collections::HashMap;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

fn usage() -> TokenUsage {
    TokenUsage { input: 1000, output: 10, ..TokenUsage::default() }
}

/// A ledger that nobody has written to yet, as a SQLite file that is not there.
async fn calls_of(store: &Store, run_id: RunId) -> (Status, u64, String) {
    let run = store.run(run_id).await.unwrap();
    (run.status, run.totals.llm_calls, run.totals.cost.to_string())
}

on_both_databases! {
    async fn a_run_is_recorded_as_it_happened(db: TestDb) {
        let (store, recorder) = recorder(&db).await;
        let run = recorder.run("enrichment").label("team", "data").start();
        let run_id = run.run_id();
        let step = run.step("summarise").agent("writer").attempt(2).start();
        let step_id = step.step_id().unwrap();
        let receipt = step.call("openai", "gpt-4o").usage(usage()).latency(Duration::from_millis(120)).record();
        let call_id = receipt.call_id();
        receipt.await.unwrap();
        step.call("openai", "gpt-4o").failed().record();
        step.finish(Status::Succeeded);
        run.finish(Status::Succeeded);
        let flushed = recorder.shutdown(SOON).await;
        assert!(flushed.is_safe && flushed.dropped == 0 && flushed.in_spool == 0, "{flushed:?}");

        assert_eq!(calls_of(&store, run_id).await, (Status::Succeeded, 2, "0.0026".to_owned()));
        let step = store.step(run_id, step_id).await.unwrap();
        assert_eq!((step.step.as_str(), step.agent.as_str(), step.attempt), ("summarise", "writer", 2));
        assert_eq!(step.status, Status::Succeeded);
        let first = store.find_call(run_id, call_id).await.unwrap().unwrap().call;
        assert_eq!((first.agent.as_str(), first.step_id, first.latency_ms), ("writer", Some(step_id), Some(120)));
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn what_is_dropped_is_abandoned(db: TestDb) {
        let (store, recorder) = recorder(&db).await;
        let run = recorder.run("enrichment").start();
        let run_id = run.run_id();
        let step = run.step("summarise").start();
        let step_id = step.step_id().unwrap();
        drop(step);
        drop(run);
        // Dropping the last handle delivers as well.
        drop(recorder);
        assert_eq!(calls_of(&store, run_id).await.0, Status::Abandoned);
        assert_eq!(store.step(run_id, step_id).await.unwrap().status, Status::Abandoned);
    }

    async fn a_context_travels(db: TestDb) {
        let (store, recorder) = recorder(&db).await;
        let run = recorder.run("enrichment").start();
        let (run_id, other) = (run.run_id(), recorder.clone());
        assert!(Context::current().is_none());
        let step = run.step("plan").start();
        let step_id = step.step_id();
        // Over tasks, started two ways, and over a run that this one starts.
        let inner = step
            .scope(async move {
                let first = spawn(async {
                    let context = Context::current().unwrap();
                    context.call("openai", "gpt-4o").usage(usage()).record();
                    (context.run_id(), context.step_id())
                });
                let second = tokio::spawn(in_current(async { Context::current().map(|c| c.run_id()) }));
                assert_eq!(first.await.unwrap(), (run_id, step_id));
                assert_eq!(second.await.unwrap(), Some(run_id));
                let inner = other.run("sub-agent").start();
                let inner_id = inner.run_id();
                inner.finish(Status::Succeeded);
                inner_id
            })
            .await;
        // Over HTTP, to another process that has a recorder of its own.
        let mut headers = HashMap::new();
        step.inject(&mut headers);
        let server = Recorder::connect(settings(&db));
        let context = server.extract(&headers).unwrap();
        assert_eq!((context.run_id(), context.step_id()), (run_id, step_id));
        context.call("openai", "gpt-4o").usage(usage()).record().await.unwrap();
        drop(context);
        assert!(server.shutdown(SOON).await.is_safe);
        step.finish(Status::Succeeded);
        run.finish(Status::Succeeded);
        recorder.shutdown(SOON).await;

        // The other recorder may have been faster than this one: then its call waits, and is found.
        let third = Recorder::connect(settings(&db));
        let deadline = Instant::now() + SOON;
        while third.metrics().waiting > 0 || store.run(run_id).await.unwrap().totals.llm_calls < 2 {
            assert!(Instant::now() < deadline, "the other recorder's call does not arrive: {:?}", third.metrics());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(calls_of(&store, run_id).await, (Status::Succeeded, 2, "0.0052".to_owned()));
        assert_eq!(store.run(inner).await.unwrap().parent_run_id, Some(run_id));
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn many_tasks_record_at_once(db: TestDb) {
        const TASKS: usize = 8;
        const CALLS: usize = 2_500;
        let (store, recorder) = recorder(&db).await;
        let runs: Vec<RunId> = (0..TASKS).map(|number| {
            let run = recorder.run(format!("pipeline-{number}")).start();
            for _ in 0..CALLS {
                run.call("openai", "gpt-4o").usage(usage()).record();
            }
            let run_id = run.run_id();
            run.finish(Status::Succeeded);
            run_id
        }).collect();
        let flushed = recorder.flush(Duration::from_mins(1)).await;
        assert!(flushed.is_safe, "{flushed:?}");
        let flushed = recorder.clone().shutdown(Duration::from_mins(1)).await;
        let metrics = recorder.metrics();
        assert_eq!((flushed.in_spool, flushed.dropped), (0, 0), "{metrics:?}");
        assert_eq!(metrics.delivered, metrics.accepted, "{metrics:?}");
        for run_id in runs {
            assert_eq!(calls_of(&store, run_id).await.1, CALLS as u64);
        }
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn a_ledger_that_comes_later_gets_everything(db: TestDb) {
        // Postgres is not migrated yet; SQLite has a folder in its place.
        let file = db.url.strip_prefix("sqlite://").map(std::path::PathBuf::from);
        if let Some(file) = &file {
            std::fs::create_dir(file).unwrap();
        }
        let recorder = Recorder::connect(settings(&db));
        let run = recorder.run("enrichment").start();
        let run_id = run.run_id();
        for _ in 0..10 {
            run.call("openai", "gpt-4o").usage(usage()).record().await.unwrap();
        }
        run.finish(Status::Succeeded);
        let flushed = recorder.flush(SOON).await;
        assert!(flushed.is_safe && flushed.in_spool > 0, "{flushed:?}");
        let metrics = recorder.metrics();
        assert!(!metrics.is_connected && metrics.failures > 0 && metrics.last_error.is_some(), "{metrics:?}");
        if let Some(file) = &file {
            std::fs::remove_dir(file).unwrap();
        }
        let store = open(&db).await;
        let deadline = Instant::now() + SOON;
        while recorder.metrics().in_spool > 0 {
            assert!(Instant::now() < deadline, "the spool is not emptied: {:?}", recorder.metrics());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(calls_of(&store, run_id).await, (Status::Succeeded, 10, "0.026".to_owned()));
        assert!(recorder.metrics().is_connected);
        // Nothing is left behind.
        recorder.shutdown(SOON).await;
        let folder = std::fs::read_dir(db.dir.path().join("spool")).unwrap().next().unwrap().unwrap().path();
        let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| path.extension().is_none_or(|e| e != "spool")), "{left:?}");
    }

    async fn what_the_ledger_refuses_holds_up_nothing(db: TestDb) {
        let (store, recorder) = recorder(&db).await;
        let run = recorder.run("enrichment").start();
        let run_id = run.run_id();
        run.call("openai", "").usage(usage()).record();
        let known = run.call("openai", "gpt-4o").usage(usage()).record();
        let call_id = known.call_id();
        known.await.unwrap();
        run.call("openai", "gpt-4o").id(call_id).record();
        run.call("openai", "gpt-4o").reported(TokenUsage::from_openai(&serde_json::json!({}))).record();
        run.finish(Status::Running);
        recorder.clone().shutdown(SOON).await;
        let metrics = recorder.metrics();
        assert_eq!((metrics.set_aside, metrics.dropped), (2, 0), "{metrics:?}");
        let (status, calls, _) = calls_of(&store, run_id).await;
        assert_eq!((status, calls), (Status::Abandoned, 2));
        assert_eq!(store.run(run_id).await.unwrap().totals.unpriced_calls, 1);
        let folder = std::fs::read_dir(db.dir.path().join("spool")).unwrap().next().unwrap().unwrap().path();
        let aside = std::fs::read_to_string(folder.join("aside.jsonl")).unwrap();
        assert!(aside.contains("`model` is empty"), "{aside}");
        assert!(aside.contains("is already recorded with other contents"), "{aside}");
    }
}
