//! Archiving changes no sum, loses no call, and counts none twice: whatever happens between its steps.

use super::settled::{DAY_MICROS, RUNS, calls, filled};
use crate::support::{TestDb, on_both_databases};
use crate::writing::{now, run_id};
use asmm::domain::{Call, CallId, FinishRun, RunId, Status, Window};
use asmm::pricing::{Origin, PriceEntry, Rates};
use asmm::store::{Filter, PriceScope, RecordedCall, Restored, SpendBy, SpendKey, Store, Totals};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// Reports by everything, of the rollup and of the journal, in zones whose days begin anywhere.
async fn reports(store: &Store) -> Vec<BTreeMap<SpendKey, Totals>> {
    let mut reports = Vec::new();
    for zone in [Tz::UTC, Tz::Asia__Kathmandu, Tz::America__St_Johns] {
        let window = Window::last_days(13, now(), zone).unwrap();
        for status in [None, Some(Status::Succeeded)] {
            for agent in [None, Some("agent-2".to_owned())] {
                for bits in 0..16 {
                    let has = |bit: u32| bits & (1 << bit) != 0;
                    let by = SpendBy { day: has(0), pipeline: has(1), agent: has(2), model: has(3) };
                    let filter = Filter { status, agent: agent.clone(), ..Filter::default() };
                    reports.push(store.spend(&window, by, &filter).await.unwrap());
                }
            }
        }
    }
    for n in 1..=RUNS {
        let spend = store.run_spend(run_id(n)).await.unwrap();
        let key = |s: &asmm::store::ModelSpend| SpendKey {
            agent: Some(s.agent.clone()),
            provider: Some(s.provider.clone()),
            model: Some(s.model.clone()),
            ..SpendKey::default()
        };
        reports.push(spend.iter().map(|s| (key(s), s.totals)).collect());
    }
    reports
}

async fn finished(db: &TestDb) -> Store {
    let store = filled(db).await;
    for n in 1..=RUNS {
        let end = FinishRun { run_id: run_id(n), status: Status::Succeeded, completed_at: Some(now()) };
        store.finish_run(&end).await.unwrap();
    }
    store
}

/// Lines with all that may leave.
async fn lines(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for run in store.archivable_runs(now().plus_micros(1), None, 100).await.unwrap() {
        let mut after = None;
        while let Some(line) = store.next_archive_line(run.run_id, after).await.unwrap() {
            after = Some(line.last);
            lines.push(line.text);
        }
    }
    lines
}

async fn archive(store: &Store, lines: &[String]) -> u64 {
    let archive = store.start_archive("a-file.jsonl.gz", now()).await.unwrap();
    let mut moved = 0;
    for line in lines {
        moved += store.archive_line(archive, line).await.unwrap();
    }
    moved
}

async fn journal(store: &Store) -> BTreeMap<(RunId, CallId), RecordedCall> {
    let mut all = BTreeMap::new();
    for n in 1..=RUNS {
        for call in store.calls(run_id(n), None, 10_000).await.unwrap() {
            all.insert((call.call.run_id, call.call.call_id), call);
        }
    }
    all
}

async fn check(store: &Store, expected: &[BTreeMap<SpendKey, Totals>]) {
    let found = reports(store).await;
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "report {place}");
    }
    assert_eq!(store.broken_laws().await.unwrap(), []);
}

/// A price for the model that has none.
async fn price_the_rest(store: &Store) -> u64 {
    let price = PriceEntry {
        provider: "openai".into(),
        model: "m-1".into(),
        service_tier: "standard".into(),
        over_input_tokens: 0,
        effective_from: asmm::domain::Timestamp::from_micros(0),
        daily_utc: None,
        rates: Rates { input: Some(100), output: Some(400), ..Rates::default() },
        source: "a test".into(),
        origin: Origin::User,
        revision: 0,
        price_id: None,
    };
    store.push_prices(Origin::User, "prices.yaml", &[price]).await.unwrap();
    store.price_all_names().await.unwrap().calls
}

on_both_databases! {
    async fn reports_say_the_same_archived_or_not(db: TestDb) {
        let store = finished(&db).await;
        let before = journal(&store).await;
        let expected = reports(&store).await;
        assert!(expected[0].values().any(|totals| totals.unpriced_calls > 0));
        let lines = lines(&store).await;
        let found = store.archivable(now().plus_micros(1)).await.unwrap();
        assert_eq!(archive(&store, &lines).await, found.calls);
        assert!(found.calls > 300 && found.unpriced > 100, "{found:?}");
        let left = journal(&store).await;
        assert!(left.values().all(|call| call.cost.is_none()));
        assert_eq!(left.len() as u64, found.unpriced);
        check(&store, &expected).await;

        // Back in another order, one of them twice.
        for line in lines.iter().rev() {
            assert!(matches!(store.restore_line(line).await.unwrap(), Restored::Back(calls) if calls > 0));
            assert!(matches!(store.restore_line(line).await.unwrap(), Restored::Elsewhere(_)));
            check(&store, &expected).await;
        }
        assert_eq!(journal(&store).await, before);
        assert_eq!(store.archived_calls().await.unwrap(), 0);
    }

    async fn what_left_is_known_and_what_comes_late_is_counted(db: TestDb) {
        let store = finished(&db).await;
        let before = journal(&store).await;
        archive(&store, &lines(&store).await).await;
        let expected = reports(&store).await;
        // All of it again, in batches and alone, also beside calls that are new.
        let again: Vec<Call> = before.values().map(|recorded| recorded.call.clone()).collect();
        let recorded = store.record_calls(&again).await.unwrap();
        assert_eq!((recorded.recorded, recorded.duplicate), (0, again.len() as u64));
        assert_eq!(recorded.conflict, []);
        for call in again.iter().take(20) {
            let recorded = store.record_calls(std::slice::from_ref(call)).await.unwrap();
            assert_eq!((recorded.recorded, recorded.duplicate), (0, 1));
        }
        check(&store, &expected).await;
        let late = calls(9, 50);
        let mixed: Vec<Call> = late.iter().chain(&again).cloned().collect();
        let recorded = store.record_calls(&mixed).await.unwrap();
        assert_eq!((recorded.recorded, recorded.duplicate), (50, again.len() as u64));
        assert_eq!(store.broken_laws().await.unwrap(), []);

        // They may leave as well, and so may what has a price by now.
        let now_priced = price_the_rest(&store).await;
        assert!(now_priced > 100);
        let expected = reports(&store).await;
        let more = lines(&store).await;
        assert!(archive(&store, &more).await > now_priced);
        check(&store, &expected).await;
    }

    async fn what_changed_since_it_was_written_stays(db: TestDb) {
        let store = finished(&db).await;
        let stale = lines(&store).await;
        let dearer = PriceScope { everything: true, ..PriceScope::default() };
        let double = PriceEntry {
            rates: Rates { input: Some(5_000_000), output: Some(20_000_000), ..Rates::default() },
            model: "gpt-4o".into(),
            provider: "openai".into(),
            service_tier: "standard".into(),
            over_input_tokens: 0,
            effective_from: asmm::domain::Timestamp::from_micros(0),
            daily_utc: None,
            source: "a test".into(),
            origin: Origin::User,
            revision: 0,
            price_id: None,
        };
        store.push_prices(Origin::User, "prices.yaml", &[double]).await.unwrap();
        store.price_all_names().await.unwrap();
        assert!(!store.reprice(&dearer, "corrected", false).await.unwrap().is_empty());
        let expected = reports(&store).await;
        assert_eq!(archive(&store, &stale).await, 0);
        check(&store, &expected).await;
        // Written anew they leave, once, whoever else has the same line.
        let fresh = lines(&store).await;
        let all = archive(&store, &fresh).await;
        assert!(all > 300);
        assert_eq!(archive(&store, &fresh).await, 0);
        check(&store, &expected).await;
        // A line that is not what left changes nothing.
        for altered in [
            fresh[0].replacen("\"output_tokens\":", "\"output_tokens\":1", 1),
            fresh[0].replacen("},{", "}, {", 1),
        ] {
            let refused = store.restore_line(&altered).await.unwrap_err();
            assert!(refused.to_string().contains("not the line they left in"), "{refused}");
        }
        for broken in ["", "{}", "[]", "{\"type\":\"archived_calls\",\"run_id\":1,\"calls\":[]}"] {
            assert!(store.restore_line(broken).await.unwrap_err().to_string().contains("not one of an archive"));
        }
        check(&store, &expected).await;
    }

    async fn a_running_run_stays_whole(db: TestDb) {
        let store = filled(&db).await;
        let line = store.next_archive_line(run_id(1), None).await.unwrap().unwrap();
        assert_eq!(archive(&store, &[line.text]).await, 0);
        assert_eq!(store.archivable(now().plus_micros(1)).await.unwrap(), asmm::store::Archivable::default());
        assert_eq!(lines(&store).await, [""; 0]);
    }

    async fn a_quarter_of_an_hour_that_is_archived_cannot_be_cut(db: TestDb) {
        let store = finished(&db).await;
        let all = journal(&store).await;
        archive(&store, &lines(&store).await).await;
        let at = all.values().find(|call| call.cost.is_some()).unwrap().call.called_at.bucket_start();
        let cut = Window::between(at.plus_micros(7), now(), Tz::UTC).unwrap();
        let refused = store.spend(&cut, SpendBy::default(), &Filter::default()).await.unwrap_err();
        assert!(refused.to_string().contains("are archived, so that it cannot be cut"), "{refused}");
        let whole = Window::between(at, at.plus_micros(DAY_MICROS), Tz::UTC).unwrap();
        store.spend(&whole, SpendBy::default(), &Filter::default()).await.unwrap();
    }

    async fn archives_writers_and_imports_at_once(db: TestDb) {
        let store = finished(&db).await;
        let lines = lines(&store).await;
        let late = calls(5, 400);
        let (first, second) = (archive(&store, &lines), archive(&store, &lines));
        let writing = async {
            for batch in late.chunks(20) {
                store.record_calls(batch).await.unwrap();
            }
        };
        let restoring = async {
            for line in lines.iter().cycle().take(lines.len() * 3) {
                // Not yet, or no more, in an archive is fine as well.
                store.restore_line(line).await.unwrap();
            }
        };
        tokio::join!(first, second, writing, restoring);
        assert_eq!(store.broken_laws().await.unwrap(), []);
        for line in &lines {
            store.restore_line(line).await.unwrap();
        }
        assert_eq!(journal(&store).await.len(), 1000);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}
