//! When a budget's day, week and month begin, and what is in them: both databases and the program say the same.

use super::{ask, budget};
use crate::support::{Output, TestDb, block_on, psql, psql_program};
use crate::writing::{call, now, open, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{Asker, Budget, BudgetScope, Call, CallId, Period, StartRun, Timestamp, Usd, Window};
use asmm::store::{BudgetState, Location, RecordedCall, Run, Store};
use chrono_tz::Tz;
use std::fmt::Write;
use uuid::Uuid;

/// Zones whose clocks change at midnight, twice through it, by half an hour, at odd minutes, or never.
const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Oslo",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Asuncion",
    "Asia/Beirut",
    "Asia/Amman",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Pacific/Chatham",
    "Antarctica/Casey",
];
const PERIODS: [Period; 3] = [Period::Day, Period::Week, Period::Month];

/// Instants around each change of a zone's offset in some years.
fn moments(zone: Tz) -> Vec<Timestamp> {
    let years = Window::dates("2015-06-01".parse().unwrap(), "2024-12-31".parse().unwrap(), zone).unwrap();
    let hour = 3_600_000_000;
    let mut moments: Vec<Timestamp> = years
        .segments()
        .iter()
        .skip(1)
        .flat_map(|segment| [-30, -2, -1, 0, 1, 2, 30].map(|hours| segment.since.plus_micros(hours * hour)))
        .collect();
    moments.extend((0..40).map(|n| years.since.plus_micros(n * 89 * 24 * hour + n * 7 * hour)));
    moments
}

#[test]
fn postgres_and_the_program_agree_when_a_period_begins() {
    let db = TestDb::postgres();
    block_on(async { open(&db).await.close().await });
    let mut asked = Vec::new();
    let mut rows = String::new();
    for name in ZONES {
        let zone: Tz = name.parse().unwrap();
        for moment in moments(zone) {
            for period in PERIODS {
                let place = asked.len();
                let comma = if place == 0 { "" } else { ", " };
                write!(rows, "{comma}({place}, '{period}', '{name}', timestamptz '{moment}')").unwrap();
                asked.push((zone, moment, period));
            }
        }
    }
    let sql = format!(
        "select (extract(epoch from p.since) * 1000000)::bigint, (extract(epoch from p.until) * 1000000)::bigint
         from (values {rows}) as v (place, period, zone, moment)
         cross join lateral budget_period(v.period, v.zone, v.moment) p
         order by v.place"
    );
    // Too long for an argument.
    let file = db.dir.path().join("periods.sql");
    std::fs::write(&file, sql).unwrap();
    let answers = psql_program(&db.schema).arg("-f").arg(&file).output().unwrap();
    let answers = Output::from_process(&answers, &[]).success();
    assert!(asked.len() > 2_000, "{}", asked.len());
    assert_eq!(answers.lines().count(), asked.len());
    for ((zone, moment, period), answer) in asked.into_iter().zip(answers.lines()) {
        let window = Window::period(period, moment, zone).unwrap();
        let ours = format!("{}|{}", window.since.micros(), window.until.micros());
        assert_eq!(ours, answer, "{period} of {moment} in {zone}");
        assert!(window.since <= moment && moment < window.until, "{window:?}");
    }
}

#[test]
fn a_day_of_the_clocks_is_as_long_as_it_is() {
    let day = |time: &str| {
        let window = Window::period(Period::Day, time.parse().unwrap(), Tz::Europe__Oslo).unwrap();
        (window.since.to_string(), window.until.to_string())
    };
    let span = |since: &str, until: &str| (since.to_owned(), until.to_owned());
    // 23 hours in March, 25 in October.
    assert_eq!(day("2026-03-29T12:00:00Z"), span("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"));
    assert_eq!(day("2026-10-25T12:00:00Z"), span("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"));
    let period = |period| {
        let window =
            Window::period(period, "2026-03-29T12:00:00Z".parse().unwrap(), Tz::Europe__Oslo).unwrap();
        (window.since.to_string(), window.until.to_string())
    };
    assert_eq!(period(Period::Week), span("2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"));
    assert_eq!(period(Period::Month), span("2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"));
}

/// Random calls of two months, the same in both databases, partly settled.
async fn fill(store: &Store) {
    let mut seed = 7_u64;
    let mut below = |limit: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % limit
    };
    for run in 1..=4 {
        let team = if run % 2 == 0 { "data" } else { "sales" };
        let pipeline = if run < 3 { "enrichment" } else { "search" };
        let labels = [("team".to_owned(), team.to_owned())].into();
        let started_at = now().plus_micros(-70 * 86_400_000_000);
        let run = StartRun { pipeline: pipeline.into(), labels, started_at, ..start(run) };
        store.start_run(&run).await.unwrap();
    }
    for batch in 0..4_u128 {
        let calls: Vec<Call> = (0..300_u128)
            .map(|n| Call {
                called_at: now().plus_micros(-i64::try_from(below(60 * 86_400)).unwrap() * 1_000_000),
                agent: ["writer", "researcher"][usize::try_from(below(2)).unwrap()].into(),
                model: ["gpt-4o", "gpt-4o-mini", "nobody-knows-it"][usize::try_from(below(3)).unwrap()]
                    .into(),
                ..call(1 + u128::from(below(4)), batch * 1000 + n)
            })
            .collect();
        store.record_calls(&calls).await.unwrap();
        if batch == 2 {
            store.settle().await.unwrap();
        }
    }
}

/// Budgets of every kind of scope, period and several zones.
fn budgets() -> Vec<Budget> {
    let name = |text: &str| Some(text.to_owned());
    let label = Some(("team".to_owned(), "data".to_owned()));
    let scopes = [
        BudgetScope::default(),
        BudgetScope { pipeline: name("enrichment"), ..BudgetScope::default() },
        BudgetScope { agent: name("writer"), model: name("gpt-4o"), ..BudgetScope::default() },
        BudgetScope { label: label.clone(), ..BudgetScope::default() },
        BudgetScope { provider: name("openai"), label, ..BudgetScope::default() },
    ];
    let mut budgets = Vec::new();
    for (place, scope) in scopes.into_iter().enumerate() {
        for zone in ["UTC", "Europe/Oslo", "Asia/Kathmandu", "America/Havana"] {
            for period in PERIODS {
                let (zone, scope) = (zone.parse().unwrap(), scope.clone());
                budgets.push(Budget {
                    period,
                    zone,
                    scope,
                    is_hard: place % 2 == 0,
                    ..budget(&format!("{place} {period} {zone}"), "0.4")
                });
            }
        }
    }
    budgets
}

/// The same history and the same questions at many times: both databases answer the same, and what a plain sum over the calls says.
#[test]
fn both_databases_answer_the_same() {
    block_on(async {
        let dbs = [TestDb::sqlite(), TestDb::postgres()];
        for db in &dbs {
            let store = open(db).await;
            fill(&store).await;
            for budget in budgets() {
                store.set_budget(&budget).await.unwrap();
            }
        }
        let calls = calls(&dbs[0]).await;
        let mut asked = 0;
        for n in 0..8_u128 {
            let time = now().plus_micros(-i64::try_from(n).unwrap() * 173 * 3_600_000_000);
            let mut answers = Vec::new();
            for db in &dbs {
                let location = Location::new(&db.url, &db.schema);
                let store = Store::connect(&location, Clock::Fixed(time)).await.unwrap();
                let reserved = store.reserve(&ask(2, 9_000_000 + n, "0.05")).await.unwrap();
                let states = store.budget_states(time).await.unwrap();
                for state in &states {
                    check(&calls, state);
                }
                answers.push((reserved, states));
            }
            asked += answers[0].0.budgets.len();
            assert_eq!(answers[0], answers[1], "at {time}");
        }
        assert!(asked > 200, "{asked}");
    });
}

/// Every call, with its run.
async fn calls(db: &TestDb) -> Vec<(Run, RecordedCall)> {
    let store = open(db).await;
    let mut calls = Vec::new();
    for run in 1..=4 {
        let run = store.run(run_id(run)).await.unwrap();
        let recorded = store.calls(run.run_id, None, 10_000).await.unwrap();
        calls.extend(recorded.into_iter().map(|call| (run.clone(), call)));
    }
    calls
}

/// A budget's sums are those of the calls in its period.
fn check(calls: &[(Run, RecordedCall)], state: &BudgetState) {
    let counts = |(run, recorded): &&(Run, RecordedCall)| {
        let call = &recorded.call;
        let asker = Asker {
            pipeline: &run.pipeline,
            agent: &call.agent,
            provider: &call.provider,
            model: &call.model,
            labels: &run.labels,
        };
        let is_in = state.window.since <= call.called_at && call.called_at < state.window.until;
        is_in && state.budget.scope.covers(&asker)
    };
    let counted: Vec<_> = calls.iter().filter(counts).collect();
    let spent: Usd = counted.iter().filter_map(|(_, recorded)| recorded.cost).sum();
    assert_eq!((state.spent, state.llm_calls), (spent, counted.len() as u64), "{state:?}");
}

#[test]
fn a_reservation_sees_what_others_reserve_meanwhile() {
    let db = TestDb::postgres();
    block_on(async {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        let id = CallId(Uuid::from_u128(1));
        let sql = format!(
            "begin isolation level repeatable read; select reserve(run_id => '{}', call_id => '{id}', amount_usd => 1)",
            run_id(1)
        );
        let output = psql(&sql, &db.schema);
        assert!(
            output.stderr.contains("a reservation cannot be made in a transaction that is repeatable read"),
            "{output:?}"
        );
    });
}
