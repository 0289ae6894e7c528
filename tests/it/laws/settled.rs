//! Settling changes no sum: reports say the same before, in between and after, and what comes late finds its place.

use crate::support::{TestDb, on_both_databases};
use crate::writing::{call, now, open, start};
use asmm::clock::Clock;
use asmm::domain::{Call, Status, Timestamp, TokenUsage, Window};
use asmm::pricing::{Origin, PriceEntry, Rates};
use asmm::store::{Filter, Location, PriceScope, SpendBy, SpendKey, Store, Totals};
use chrono_tz::Tz;
use std::collections::BTreeMap;

pub(super) const DAY_MICROS: i64 = 86_400_000_000;
pub(super) const RUNS: u128 = 4;

/// Calls of the twelve days before now, at every time of the day. The same seed makes the same ones.
pub(super) fn calls(seed: u64, count: u128) -> Vec<Call> {
    let mut state = seed;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    (0..count)
        .map(|n| {
            let usage = TokenUsage { input: below(5000), output: below(500), ..TokenUsage::default() };
            let micros = i64::try_from(below(12 * 86_400)).unwrap() * 1_000_000 + 999_999;
            Call {
                called_at: now().plus_micros(-micros),
                agent: format!("agent-{}", below(3)),
                model: ["gpt-4o", "gpt-4o-mini", "m-1"][usize::try_from(below(3)).unwrap()].into(),
                usage: (below(10) > 0).then_some(usage),
                ..call(1 + u128::from(below(4)) % RUNS, u128::from(seed) * 1_000_000 + n)
            }
        })
        .collect()
}

pub(super) async fn filled(db: &TestDb) -> Store {
    let store = open(db).await;
    for n in 1..=RUNS {
        let started_at = now().plus_micros(-13 * DAY_MICROS);
        let run = asmm::domain::StartRun { pipeline: format!("pipeline-{}", n % 2), started_at, ..start(n) };
        store.start_run(&run).await.unwrap();
    }
    store.record_calls(&calls(1, 600)).await.unwrap();
    store
}

/// Settles everything before a time.
async fn settle(db: &TestDb, before: Timestamp) -> u64 {
    let clock = Clock::Fixed(before.plus_micros(DAY_MICROS));
    let store = Store::open(&Location::new(&db.url, &db.schema), clock).await.unwrap();
    let settled = store.settle().await.unwrap();
    store.close().await;
    settled
}

type Report = BTreeMap<SpendKey, Totals>;

/// Every kind of report: zones whose days begin anywhere, ends that cut a bucket, all dimensions, and filters.
async fn reports(store: &Store, status: Option<Status>) -> Vec<Report> {
    let zones: [Tz; 4] = [Tz::UTC, Tz::Europe__Berlin, Tz::Asia__Kathmandu, Tz::America__St_Johns];
    let mut windows: Vec<Window> =
        zones.iter().map(|zone| Window::last_days(9, now(), *zone).unwrap()).collect();
    let at = |micros: i64| now().plus_micros(-micros);
    for (since, until) in
        [(10 * DAY_MICROS + 7, 2 * DAY_MICROS - 3), (DAY_MICROS, DAY_MICROS / 2), (DAY_MICROS, 0)]
    {
        windows.push(Window::between(at(since), at(until), zones[0]).unwrap());
    }
    let some = |text: &str| Some(text.to_owned());
    let filters = [
        Filter::default(),
        Filter { pipeline: some("pipeline-1"), ..Filter::default() },
        Filter { agent: some("agent-2"), ..Filter::default() },
        Filter { provider: some("openai"), model: some("gpt-4o"), ..Filter::default() },
    ];
    let mut reports = Vec::new();
    for window in &windows {
        for filter in &filters {
            for bits in 0..16 {
                let has = |bit: u32| bits & (1 << bit) != 0;
                let by = SpendBy { day: has(0), pipeline: has(1), agent: has(2), model: has(3) };
                let filter = Filter { status, ..filter.clone() };
                reports.push(store.spend(window, by, &filter).await.unwrap());
            }
        }
    }
    reports
}

/// The same from the journal, which alone knows a run's status: all of them are running.
async fn check(store: &Store) {
    let (of_rollup, of_journal) = (reports(store, None).await, reports(store, Some(Status::Running)).await);
    assert_eq!(of_rollup.len(), 7 * 4 * 16);
    for (place, (rollup, journal)) in of_rollup.iter().zip(&of_journal).enumerate() {
        assert_eq!(rollup, journal, "report {place}");
    }
    assert!(of_rollup[0].values().any(|totals| totals.llm_calls > 0));
    assert_eq!(store.broken_laws().await.unwrap(), []);
}

on_both_databases! {
    async fn reports_say_the_same_settled_or_not(db: TestDb) {
        let store = filled(&db).await;
        check(&store).await;
        assert!(settle(&db, now().plus_micros(-5 * DAY_MICROS)).await > 100);
        assert_eq!(settle(&db, now().plus_micros(-5 * DAY_MICROS)).await, 0);
        check(&store).await;
        settle(&db, now().plus_micros(DAY_MICROS)).await;
        check(&store).await;
    }

    async fn what_comes_late_is_settled_again(db: TestDb) {
        let store = filled(&db).await;
        settle(&db, now().plus_micros(DAY_MICROS)).await;
        // For buckets that are settled, and for new ones; then all of them cost something else.
        store.record_calls(&calls(2, 300)).await.unwrap();
        check(&store).await;
        let price = PriceEntry {
            provider: "openai".into(),
            model: "m-1".into(),
            service_tier: "standard".into(),
            over_input_tokens: 0,
            effective_from: Timestamp::from_micros(0),
            daily_utc: None,
            rates: Rates { input: Some(100), output: Some(400), ..Rates::default() },
            source: "a test".into(),
            origin: Origin::User,
            revision: 0,
            price_id: None,
        };
        store.push_prices(Origin::User, "prices.yaml", &[price]).await.unwrap();
        assert!(store.price_all_names().await.unwrap().calls > 100);
        check(&store).await;
        let scope = PriceScope { everything: true, ..PriceScope::default() };
        store.reprice(&scope, "corrected", false).await.unwrap();
        assert!(settle(&db, now().plus_micros(DAY_MICROS)).await > 100);
        check(&store).await;
        assert_eq!(settle(&db, now().plus_micros(DAY_MICROS)).await, 0);
    }

    async fn writers_and_settlers_at_once(db: TestDb) {
        let store = filled(&db).await;
        let location = Location::new(&db.url, &db.schema);
        let mut tasks = Vec::new();
        for writer in 0..4_u64 {
            let location = location.clone();
            tasks.push(tokio::spawn(async move {
                let store = Store::open(&location, Clock::Fixed(now())).await.unwrap();
                for part in calls(10 + writer, 400).chunks(20) {
                    store.record_calls(part).await.unwrap();
                }
                store.close().await;
            }));
        }
        for _ in 0..2 {
            let location = location.clone();
            tasks.push(tokio::spawn(async move {
                let clock = Clock::Fixed(now().plus_micros(2 * DAY_MICROS));
                let store = Store::open(&location, clock).await.unwrap();
                for _ in 0..20 {
                    store.settle().await.unwrap();
                    tokio::task::yield_now().await;
                }
                store.close().await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(store.run(crate::writing::run_id(1)).await.unwrap().status, Status::Running);
        let window = Window::last_days(20, now(), Tz::UTC).unwrap();
        let spend = store.spend(&window, SpendBy::default(), &Filter::default()).await.unwrap();
        assert_eq!(spend.values().map(|totals| totals.llm_calls).sum::<u64>(), 600 + 4 * 400);
        check(&store).await;
    }
}
