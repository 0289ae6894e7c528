//! Local days: daylight saving, odd offsets, and every zone there is.

use super::{Native, id, json};
use crate::support::{NOW, Sandbox, TestDb, block_on};
use asmm::clock::Clock;
use asmm::domain::{Call, CallId, RunId, StartRun, TokenUsage, Window};
use asmm::store::{Filter, Location, SpendBy, Store};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// Calls every 15 minutes, each of its own size, for the hours around `day`'s midnights in `zone`.
fn around(zone: Tz, day: NaiveDate) -> Vec<(DateTime<Utc>, u64)> {
    let noon = day.and_hms_opt(12, 0, 0).unwrap().and_local_timezone(zone).unwrap().with_timezone(&Utc);
    (-80_i32..=80)
        .map(|n| (noon + TimeDelta::minutes(15 * i64::from(n)), u64::from(n.unsigned_abs()) * 1000 + 7))
        .flat_map(|(at, tokens)| [(at, tokens), (at - TimeDelta::microseconds(1), tokens + 1)])
        .collect()
}

/// What the calendar says: tokens by local day.
fn by_day(calls: &[(DateTime<Utc>, u64)], zone: Tz) -> BTreeMap<NaiveDate, u64> {
    let mut days = BTreeMap::new();
    for (at, tokens) in calls {
        *days.entry(at.with_timezone(&zone).date_naive()).or_default() += tokens;
    }
    days
}

#[test]
fn days_are_those_of_the_calendar() {
    for (zone, day) in [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("Asia/Kathmandu", "2026-06-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("America/St_Johns", "2026-03-08"),
        ("Pacific/Chatham", "2026-04-05"),
    ] {
        let (tz, date): (Tz, NaiveDate) = (zone.parse().unwrap(), day.parse().unwrap());
        let calls = around(tz, date);
        let mut native = Native::default().run(1, "p", "2026-01-01T00:00:00Z");
        for (number, (at, tokens)) in (100_u32..).zip(&calls) {
            native = native.call(1, number, "a", &at.to_rfc3339(), *tokens);
        }
        let sandbox = super::sqlite().with_now("2026-12-01T00:00:00Z");
        sandbox.run_with_input(&["import", "jsonl", "--strict"], &native.0).success();
        let (first, last) = (date - Days::new(1), date + Days::new(1));
        for journal in [&[][..], &["--status", "running"]] {
            let (since, until) = (first.to_string(), last.to_string());
            let range = ["spend", "daily", "--tz", zone, "--since", &since, "--until", &until];
            let report = json(sandbox.run(&[&range[..], journal, &["--format", "json"]].concat()));
            let days = report["rows"].as_array().unwrap().iter().map(|row| {
                (row["day"].as_str().unwrap().parse().unwrap(), row["input_tokens"].as_u64().unwrap())
            });
            assert_eq!(days.collect::<BTreeMap<NaiveDate, u64>>(), by_day(&calls, tz), "{zone} {day}");
            assert_eq!(report["time_zone"], zone);
            assert_eq!(report["window"]["days"], 3);
        }
    }
}

#[test]
fn every_zone_has_its_days() {
    let db = TestDb::sqlite();
    let location = Location::new(&db.url, &db.schema);
    block_on(async {
        let now = "2026-12-31T00:00:00Z".parse().unwrap();
        let store = Store::open(&location, Clock::Fixed(now)).await.unwrap();
        let run_id: RunId = id(1).parse().unwrap();
        let calls: Vec<(DateTime<Utc>, u64)> = (0_i64..366 * 4)
            .map(|n| {
                let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
                (at + TimeDelta::minutes(n * 345), n.unsigned_abs() * 13 % 1009 + 1)
            })
            .filter(|(at, _)| *at < "2026-12-30T00:00:00Z".parse::<DateTime<Utc>>().unwrap())
            .collect();
        let run = StartRun {
            run_id,
            pipeline: "p".into(),
            started_at: calls[0].0.into(),
            labels: BTreeMap::new(),
            parent_run_id: None,
            replay_of: None,
        };
        store.start_run(&run).await.unwrap();
        let recorded: Vec<Call> = (1_u32..)
            .zip(&calls)
            .map(|(number, (at, input))| Call {
                run_id,
                call_id: id(number).parse::<CallId>().unwrap(),
                step_id: None,
                agent: String::new(),
                provider: "openai".into(),
                model: "gpt-4o".into(),
                operation: "chat".into(),
                service_tier: "standard".into(),
                called_at: (*at).into(),
                usage: Some(TokenUsage { input: *input, ..TokenUsage::default() }),
                latency_ms: None,
                outcome: asmm::domain::Outcome::Ok,
                response_id: None,
                pipeline: None,
                prompt: None,
            })
            .collect();
        store.record_calls(&recorded).await.unwrap();
        let by = SpendBy { day: true, ..SpendBy::default() };
        for zone in chrono_tz::TZ_VARIANTS {
            let window =
                Window::dates("2025-12-30".parse().unwrap(), "2026-12-31".parse().unwrap(), zone).unwrap();
            let spend = store.spend(&window, by, &Filter::default()).await.unwrap();
            let days: BTreeMap<NaiveDate, u64> =
                spend.into_iter().map(|(key, totals)| (key.day.unwrap(), totals.input_tokens)).collect();
            assert_eq!(days, by_day(&calls, zone), "{zone}");
        }
    });
}

#[test]
fn the_zone_comes_from_the_flag_then_the_environment_then_the_file() {
    let sandbox = super::sqlite();
    let footer = |sandbox: &Sandbox, more: &[&str]| {
        let text = sandbox.run(&[&["spend", "daily"], more].concat()).success();
        text.lines().last().unwrap().split(" · ").nth(1).unwrap().to_owned()
    };
    assert_eq!(footer(&sandbox, &[]), "UTC (the system's)");
    sandbox.file("asmm.yaml", "tz: Asia/Tokyo\n");
    assert_eq!(footer(&sandbox, &[]), "Asia/Tokyo (from asmm.yaml)");
    let sandbox = sandbox.with_env("ASMM_TZ", "Asia/Kathmandu");
    assert_eq!(footer(&sandbox, &[]), "Asia/Kathmandu (from ASMM_TZ)");
    assert_eq!(footer(&sandbox, &["--tz", "America/St_Johns"]), "America/St_Johns (from --tz)");
    let sandbox = sandbox.with_env("ASMM_TZ", "");
    assert_eq!(footer(&sandbox, &[]), "Asia/Tokyo (from asmm.yaml)", "empty is not set");
    // A day ahead in Tokyo.
    let sandbox = sandbox.with_now("2026-03-15T20:00:00Z");
    assert!(sandbox.run(&["spend", "daily", "--days", "1"]).success().contains("2026-03-16 (1 day)"));
    assert_ne!(NOW, "2026-03-15T20:00:00Z");
}
