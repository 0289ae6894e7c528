//! `asmm spend check`: what is out of the ordinary, on histories whose anomalies are known.

use super::replay::stub;
use super::{Both, Native, id, repository};
use crate::support::Sandbox;
use chrono::{DateTime, Datelike, Timelike, Utc};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

/// A Tuesday, in the middle of an hour.
const NOW: &str = "2026-03-17T15:20:00Z";
/// Seconds of an hour.
const HOUR: i64 = 3600;

fn at(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().unwrap().timestamp()
}

fn time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn both() -> Both {
    let Both { sqlite, postgres } = Both::new();
    Both { sqlite: sqlite.with_now(NOW), postgres: postgres.with_now(NOW) }
}

/// Native lines with ids that count up.
#[derive(Default)]
struct History {
    lines: Native,
    last: u32,
}

impl History {
    /// A run of some seconds with calls of so many tokens of gpt-4o, a millionth of 2.50 USD each.
    fn run(mut self, pipeline: &str, agent: &str, start: i64, seconds: i64, tokens: &[u64]) -> Self {
        self.last += 1;
        let run = self.last;
        self.lines = self.lines.run(run, pipeline, &time(start));
        for tokens in tokens {
            self.last += 1;
            self.lines = self.lines.call(run, self.last, agent, &time(start + 1), *tokens);
        }
        self.lines = self.lines.finish(run, "succeeded", &time(start + seconds));
        self
    }

    /// `days` of office hours before the day of [`NOW`] and that day until 14:00: a run an hour of about a dollar.
    fn office(mut self, days: i64) -> Self {
        let today = at("2026-03-17T00:00:00Z");
        for hour in -days * 24..14 {
            let start = today + hour * HOUR;
            let local = DateTime::from_timestamp(start, 0).unwrap();
            if local.weekday().num_days_from_monday() < 5 && (8..18).contains(&local.hour()) {
                let tokens = 380_000 + 10_000 * u64::try_from(hour.rem_euclid(5)).unwrap();
                self = self.run("enrichment", "writer", start, 40, &[tokens]);
            }
        }
        self
    }

    /// An agent that asks again and again, from 14:05 on.
    fn runaway(self) -> Self {
        self.run("enrichment", "writer", at("2026-03-17T14:05:00Z"), 1500, &[400_000; 12])
    }

    fn load(&self, both: &Both) {
        both.run_with_input(&["import", "jsonl"], &self.lines.0).success();
    }
}

const CHECK: [&str; 2] = ["spend", "check"];

fn check<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&CHECK[..], more].concat()
}

fn kinds(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

/// The JSON of a check that must end so.
#[track_caller]
fn ended(sandbox: &Sandbox, code: i32, more: &[&str]) -> Value {
    let output = sandbox.run(&check(&[more, &["--format", "json"]].concat()));
    assert_eq!(output.code, code, "{}", output.snapshot());
    serde_json::from_str(&output.stdout).expect("the output is JSON")
}

#[test]
fn what_is_ordinary_is_not_called() {
    let both = both();
    insta::assert_snapshot!(both.snapshot(&CHECK), @r"
    exit: 0
    --- stdout ---
    verdict    nothing is out of the ordinary: no spend is large enough to be
    looked at  0 series of 1 USD or more; 0 runs

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20
    --- stderr ---
    ");
    History::default().office(2).load(&both);
    insta::assert_snapshot!(both.snapshot(&CHECK), @r"
    exit: 0
    --- stdout ---
    verdict    nothing is called: the history is too short to say what is usual
    looked at  3 series of 1 USD or more (3 with too short a history); 16 runs (16 of pipelines with too
               few earlier runs)

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 16 calls priced
    --- stderr ---
    ");
    let both = self::both();
    History::default().office(56).load(&both);
    insta::assert_snapshot!(both.snapshot(&CHECK), @r"
    exit: 0
    --- stdout ---
    verdict    nothing is out of the ordinary
    looked at  3 series of 1 USD or more, with 56 days before; 16 runs

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 16 calls priced
    --- stderr ---
    ");
}

#[test]
fn what_is_called_is_said_with_its_reason() {
    let both = both();
    History::default().office(56).runaway().load(&both);
    insta::assert_snapshot!(both.snapshot(&CHECK), @r"
    exit: 3
    --- stdout ---
    verdict    4 things are out of the ordinary
    looked at  3 series of 1 USD or more, with 56 days before; 17 runs

    What was found
    #  what           who                              when                        found   usually
    ──────────────────────────────────────────────────────────────────────────────────────────────
    1  run cost       run …00000000032d of enrichment  Tue 2026-03-17 14:05–14:30  $12.00  $1.00
    2  spend by hour  agent writer                     Tue 2026-03-17 14:00–15:00  $12.00  $0.9875
    3  spend by hour  model openai/gpt-4o              Tue 2026-03-17 14:00–15:00  $12.00  $0.9875
    4  spend by hour  pipeline enrichment              Tue 2026-03-17 14:00–15:00  $12.00  $0.9875

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 28 calls priced
    1. $12.00 and succeeded after 25 m 00 s; runs of enrichment usually $1.00 (median of 200, 99 of 100
    not above $1.05): 12 times
    next: asmm runs show 00000000-0000-7000-8000-00000000032d
    2. $12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD
    $0.0375): 12 times
    next: asmm spend agent --by pipeline,model --agent writer --since 2026-03-17T14:00:00Z --until
    2026-03-17T15:00:00Z
    3. $12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD
    $0.0375): 12 times
    next: asmm spend model --by pipeline,agent --provider openai --model gpt-4o --since
    2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z
    4. $12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD
    $0.0375): 12 times
    next: asmm spend pipeline --by agent,model --pipeline enrichment --since 2026-03-17T14:00:00Z
    --until 2026-03-17T15:00:00Z
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&check(&["--format", "markdown", "--hours", "2"])), @r"
    exit: 3
    --- stdout ---
    - **verdict**: 4 things are out of the ordinary
    - **looked at**: 3 series of 1 USD or more, with 56 days before; 1 run

    ### What was found

    |    # | what          | who                             | when                       | found  | usually | why                                                          | next                                                         |
    | ---: | ------------- | ------------------------------- | -------------------------- | ------ | ------- | --------------------------------------------------------------------------------------------------------------------------- | ------------------------------------------------------------------------------------------------------------------------------- |
    |    1 | run cost      | run …00000000032d of enrichment | Tue 2026-03-17 14:05–14:30 | $12.00 | $1.00   | $12.00 and succeeded after 25 m 00 s; runs of enrichment usually $1.00 (median of 200, 99 of 100 not above $1.05): 12 times | asmm runs show 00000000-0000-7000-8000-00000000032d          |
    |    2 | spend by hour | agent writer                    | Tue 2026-03-17 14:00–15:00 | $12.00 | $0.9875 | $12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD $0.0375): 12 times | asmm spend agent --by pipeline,model --agent writer --since 2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z |
    |    3 | spend by hour | model openai/gpt-4o             | Tue 2026-03-17 14:00–15:00 | $12.00 | $0.9875 | $12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD $0.0375): 12 times | asmm spend model --by pipeline,agent --provider openai --model gpt-4o --since 2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z |
    |    4 | spend by hour | pipeline enrichment             | Tue 2026-03-17 14:00–15:00 | $12.00 | $0.9875 | $12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD $0.0375): 12 times | asmm spend pipeline --by agent,model --pipeline enrichment --since 2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z |

    > 2026-03-17 14:15 – 2026-03-17 15:30 · UTC (the system's) · catalogue 2026-11-20
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&check(&["--format", "csv"])).replace('\r', ""), @r#"
    exit: 3
    --- stdout ---
    kind,budget,pipeline,agent,provider,model,run_id,since,until,unit,found,usual,limit,why,next_step
    run_cost,,enrichment,,,,00000000-0000-7000-8000-00000000032d,2026-03-17T14:05:00Z,2026-03-17T14:30:00Z,usd,12,1,3,"$12.00 and succeeded after 25 m 00 s; runs of enrichment usually $1.00 (median of 200, 99 of 100 not above $1.05): 12 times",asmm runs show 00000000-0000-7000-8000-00000000032d
    spend_hour,,,writer,,,,2026-03-17T14:00:00Z,2026-03-17T15:00:00Z,usd,12,0.9875,1.9875,"$12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD $0.0375): 12 times","asmm spend agent --by pipeline,model --agent writer --since 2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z"
    spend_hour,,,,openai,gpt-4o,,2026-03-17T14:00:00Z,2026-03-17T15:00:00Z,usd,12,0.9875,1.9875,"$12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD $0.0375): 12 times","asmm spend model --by pipeline,agent --provider openai --model gpt-4o --since 2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z"
    spend_hour,,enrichment,,,,,2026-03-17T14:00:00Z,2026-03-17T15:00:00Z,usd,12,0.9875,1.9875,"$12.00 in Tue 2026-03-17 14:00–15:00; Tuesdays at 14:00 usually $0.9875 (median of 8, MAD $0.0375): 12 times","asmm spend pipeline --by agent,model --pipeline enrichment --since 2026-03-17T14:00:00Z --until 2026-03-17T15:00:00Z"
    --- stderr ---
    "#);
    let report = ended(&both.sqlite, 3, &["--tz", "Asia/Kolkata"]);
    assert_eq!(report, ended(&both.postgres, 3, &["--tz", "Asia/Kolkata"]));
    // Half past seven there is two o'clock here: local hours are half from one and half from the other.
    assert_eq!(kinds(&report), ["run_cost", "spend_hour", "spend_hour", "spend_hour"]);
    assert_eq!(report["findings"][1]["since"], "2026-03-17T13:30:00Z");
    // Every next step can be run as it is.
    for finding in report["findings"].as_array().unwrap() {
        let words: Vec<&str> = finding["next_step"].as_str().unwrap().split(' ').collect();
        assert_eq!(words[0], "asmm");
        both.run(&words[1..]).success();
    }
}

#[test]
fn a_check_is_as_sensitive_as_it_is_told() {
    let both = both();
    History::default()
        .office(56)
        .run("enrichment", "writer", at("2026-03-17T14:05:00Z"), 40, &[1_100_000])
        .load(&both);
    let called = |more: &[&str]| {
        let output = both.run(&check(&[more, &["--format", "json"]].concat()));
        kinds(&serde_json::from_str(&output.stdout).unwrap()).len()
    };
    assert_eq!(called(&["--sensitivity", "low"]), 0);
    assert_eq!(called(&[]), 3);
    assert_eq!(called(&["--at-least", "5"]), 0);
    assert_eq!(called(&["--pipeline", "enrichment"]), 3);
    assert_eq!(called(&["--pipeline", "other"]), 0);
    // Before it was spent, and after.
    assert_eq!(called(&["--until", "2026-03-17T14:00:00Z"]), 0);
    assert_eq!(called(&["--hours", "1"]), 0);
    assert_eq!(called(&["--hours", "2"]), 3);
}

#[test]
fn runs_are_called_while_they_run() {
    let both = both();
    let mut history = History::default().office(56);
    history.lines = history
        .lines
        .run(90_000, "enrichment", "2026-03-17T15:00:00Z")
        .call(90_000, 90_001, "writer", "2026-03-17T15:10:00Z", 3_000_000)
        .run(90_002, "digest", "2026-03-17T15:00:00Z")
        .call(90_002, 90_003, "editor", "2026-03-17T15:10:00Z", 1_200_000)
        .run(90_004, "enrichment", "2026-03-17T09:00:00Z");
    history.load(&both);
    let report = ended(&both.sqlite, 3, &["--runaway-over", "2"]);
    assert_eq!(report, ended(&both.postgres, 3, &["--runaway-over", "2"]));
    let runs: Vec<Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| !finding["run_id"].is_null())
        .map(|finding| json!([finding["kind"], finding["run_id"], finding["found"], finding["why"]]))
        .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&runs).unwrap(), @r#"
    [
      [
        "run_cost",
        "00000000-0000-7000-8000-000000015f90",
        "7.5",
        "$7.50 and running for 20 m 00 s; runs of enrichment usually $1.00 (median of 200, 99 of 100 not above $1.05): 7.5 times"
      ],
      [
        "run_cost",
        "00000000-0000-7000-8000-000000015f92",
        "3",
        "$3.00 and running for 20 m 00 s; --runaway-over is $2.00, and there are too few earlier runs of digest to compare with"
      ],
      [
        "run_duration",
        "00000000-0000-7000-8000-000000015f94",
        "22800000",
        "6 h 20 m and running for 6 h 20 m; runs of enrichment usually 40.0 s (median of 200, 99 of 100 not above 40.0 s): 570 times"
      ]
    ]
    "#);
    let kinds = kinds(&report);
    assert!(kinds.contains(&"run_cost") && kinds.contains(&"run_duration"), "{kinds:?}");
    // Nothing is said of a pipeline without earlier runs, unless a limit is.
    let report = ended(&both.sqlite, 3, &[]);
    assert!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|finding| finding["pipeline"] != "digest" || finding["run_id"].is_null())
    );
    assert_eq!(report["runs_without_history"], 1);
}

#[test]
fn a_large_newcomer_is_called() {
    let both = both();
    let new = History::default()
        .office(20)
        .run("enrichment", "critic", at("2026-03-17T11:05:00Z"), 40, &[2_000_000; 3])
        .run("enrichment", "tiny", at("2026-03-17T12:05:00Z"), 40, &[500_000]);
    new.load(&both);
    let report = ended(&both.sqlite, 3, &["--days", "1"]);
    assert_eq!(report, ended(&both.postgres, 3, &["--days", "1"]));
    let findings = report["findings"].as_array().unwrap();
    let new: Vec<&Value> = findings.iter().filter(|finding| finding["kind"] == "spend_new").collect();
    assert_eq!(new.len(), 1);
    insta::assert_snapshot!(new[0]["why"].as_str().unwrap(), @r"$15.00 in Tue 2026-03-17 11:00–15:30, 77.9 % of all spend, without enough history to compare with; $10.00 is large");
    assert_eq!(new[0]["agent"], "critic");
}

#[test]
fn shares_that_rise_are_called() {
    let both = both();
    let mut lines = Native::default();
    let mut call = 0;
    for day in 0..6 {
        let start = at("2026-03-12T10:00:00Z") + day * 24 * HOUR;
        call += 1;
        let run = call;
        lines = lines.run(run, "digest", &time(start));
        for n in 0..30 {
            call += 1;
            let is_last = day == 5 && n < 12;
            let model = if is_last { "llama-x" } else { "gpt-4o" };
            // Of the last ones nobody knows what was sent.
            let prompt = json!({"messages": [{"role": "user", "content": "Look"}], "sanitisation": "clean"});
            let prompt = if is_last { Value::Null } else { prompt };
            lines = lines.line(
                &json!({"type": "call", "run_id": id(run), "call_id": id(call), "agent": "editor", "provider": "openai",
                        "model": model, "called_at": time(start + 60), "usage": {"input": 100}, "prompt": prompt})
                .to_string(),
            );
        }
        lines = lines.finish(run, "succeeded", &time(start + 120));
    }
    both.run_with_input(&["import", "jsonl", "--strict"], &lines.0).success();
    insta::assert_snapshot!(both.snapshot(&CHECK), @r"
    exit: 3
    --- stdout ---
    verdict    2 things are out of the ordinary
    looked at  0 series of 1 USD or more; 2 runs (2 of pipelines with too few earlier runs)

    What was found
    #  what       who              when                              found   usually
    ────────────────────────────────────────────────────────────────────────────────
    1  unpriced   pipeline digest  Mon 2026-03-16 15:20 – Tue 15:20  40.0 %  0 %
    2  unscanned  pipeline digest  Mon 2026-03-16 15:20 – Tue 15:20  40.0 %  0 %

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20 ·
    80.0 % of 60 calls priced
    12 calls (20.0 %) are unpriced and not in these sums: see `asmm prices missing`
    1. 12 of 30 calls have no price in Mon 2026-03-16 15:20 – Tue 15:20 (40.0 %); on the days before
    usually 0 % (median of 5, MAD 0 %)
    next: asmm prices missing --since 2026-03-16T15:20:00Z --until 2026-03-17T15:20:00Z
    2. 12 of 30 calls were not looked at in Mon 2026-03-16 15:20 – Tue 15:20 (40.0 %); on the days
    before usually 0 % (median of 5, MAD 0 %)
    next: asmm guard coverage --pipeline digest --since 2026-03-16T15:20:00Z --until
    2026-03-17T15:20:00Z
    --- stderr ---
    ");
    // Both steps show it.
    let report = ended(&both.sqlite, 3, &[]);
    assert_eq!(kinds(&report), ["unpriced_share", "unscanned_share"]);
    for finding in report["findings"].as_array().unwrap() {
        let words: Vec<&str> = finding["next_step"].as_str().unwrap().split(' ').collect();
        let shown = both.run(&words[1..]).success();
        assert!(shown.contains("12"), "{shown}");
    }
}

#[test]
fn budgets_that_are_used_up_are_called() {
    let both = both();
    History::default().office(56).load(&both);
    // Six runs of about a dollar today.
    for (name, limit, pipeline) in [
        ("day", "5", "enrichment"),
        ("tight", "7", "enrichment"),
        ("wide", "100", "enrichment"),
        ("other", "0.01", "digest"),
    ] {
        let args =
            ["budgets", "set", name, "--limit", limit, "--per", "day", "--tz", "UTC", "--pipeline", pipeline];
        for sandbox in both.each() {
            sandbox.run(&args).success();
        }
    }
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", "budgets:\n  mine: {limit_usd: \"0.50\", per: day}\n");
    }
    insta::assert_snapshot!(both.snapshot(&CHECK), @r"
    exit: 3
    --- stdout ---
    verdict    3 things are out of the ordinary
    looked at  3 series of 1 USD or more, with 56 days before; 16 runs

    What was found
    #  what         who           when            found  usually
    ────────────────────────────────────────────────────────────
    1  over budget  budget day    Tue 2026-03-17  $6.03  –
    2  over budget  budget mine   Tue 2026-03-17  $6.03  –
    3  near budget  budget tight  Tue 2026-03-17  $6.03  –

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 16 calls priced
    1. $6.03 of $5.00 spent (120.5 %) in Tue 2026-03-17; it counts pipeline enrichment
    next: asmm budgets show day
    2. $6.03 of $0.5000 spent (1,205.0 %) in Tue 2026-03-17; it counts all calls
    next: asmm budgets show mine
    3. $6.03 of $7.00 spent or reserved (86.1 %) in Tue 2026-03-17; it counts pipeline enrichment
    next: asmm budgets show tight
    --- stderr ---
    ");
    let report = ended(&both.sqlite, 3, &["--pipeline", "enrichment"]);
    assert_eq!(kinds(&report), ["budget_over", "budget_near"]);
    assert_eq!(report["findings"][0]["budget"], "day");
    // A range that has ended says nothing of budgets.
    assert_eq!(kinds(&ended(&both.sqlite, 0, &["--until", "2026-03-16"])), [""; 0]);
}

#[test]
fn a_webhook_is_told() {
    let sandbox = super::sqlite().with_now(NOW);
    let history = History::default().office(56);
    sandbox.run_with_input(&["import", "jsonl"], &history.lines.0).success();
    let (url, requests) =
        stub(vec![(200, "", "ok".to_owned()), (200, "", "ok".to_owned()), (500, "", "hunter2".to_owned())]);
    let url = url.replace("http://", "http://me:hunter2@") + "?key=hunter2";
    let with = |more: &[&str]| sandbox.command(&check(more)).env("ASMM_NOTIFY_URL", &url).output().unwrap();

    // Nothing was found: nobody is told, unless that is wanted.
    assert_eq!(with(&[]).status.code(), Some(0));
    assert!(requests.try_recv().is_err());
    assert_eq!(with(&["--notify-always"]).status.code(), Some(0));
    let (_, body) = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(body["text"], "asmm: nothing is out of the ordinary");

    let history = History { lines: Native::default(), last: 50_000 }.runaway();
    sandbox.run_with_input(&["import", "jsonl"], &history.lines.0).success();
    let output = with(&["--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let (head, body) = requests.recv_timeout(Duration::from_secs(20)).unwrap();
    // What is posted is what is printed; the user of the address is said as HTTP has it.
    assert_eq!(body, serde_json::from_slice::<Value>(&output.stdout).unwrap());
    assert!(head.to_lowercase().contains("authorization: basic bwu6ahvudgvymg=="), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert!(body["text"].as_str().unwrap().starts_with("asmm: 4 things are out of the ordinary\n• run …"));

    // It is not taken: that is said, and what was found still decides.
    let output = with(&[]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("answered 500"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_webhook_that_is_down_is_said() {
    let sandbox = super::sqlite().with_now(NOW);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://me:hunter2@127.0.0.1:{port}/services/hunter2?key=hunter2");
    let output = sandbox.run(&check(&["--notify", &url, "--notify-always"]));
    let shown = output.snapshot().replace(&port.to_string(), "[port]");
    insta::assert_snapshot!(shown, @r"
    exit: 1
    --- stdout ---
    verdict    nothing is out of the ordinary: no spend is large enough to be
    looked at  0 series of 1 USD or more; 0 runs

    2026-03-16 – 2026-03-17 (2 days) · UTC (the system's) · catalogue 2026-11-20
    --- stderr ---
    error: the webhook at `http://127.0.0.1:[port]` cannot be reached: io: Connection refused (os error 111)
    hint: is it up, and may this machine reach it? HTTPS_PROXY names a proxy
    ");
    assert_eq!(output.code, 1);
}

#[test]
fn wrong_flags_are_refused() {
    let sandbox = super::sqlite();
    for args in [
        &["--hours", "3", "--days", "2"][..],
        &["--hours", "0"],
        &["--at-least", "0"],
        &["--at-least", "99999999999"],
        &["--at-least", "much"],
        &["--sensitivity", "extreme"],
        &["--notify", "ftp://hunter2.example.com/hunter2"],
        &["--notify", "hunter2"],
        &["--notify-always"],
        &["--since", "2026-03-01", "--until", "2026-02-01"],
    ] {
        let output = sandbox.run(&check(args));
        assert!(matches!(output.code, 1 | 2), "{args:?} {}", output.snapshot());
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
        assert!(
            output.stderr.contains("hint: ") || output.stderr.contains("For more information"),
            "{}",
            output.stderr
        );
        assert_eq!(output.stdout, "");
    }
}

/// Sizes of requests, as production traces have them: (input, output).
fn sizes() -> Vec<(u64, u64)> {
    let text = |name: &str| {
        let mut text = String::new();
        let file = File::open(repository(&format!("examples/traces/{name}"))).unwrap();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    };
    let mut sizes = Vec::new();
    for name in ["azure-code/trace.csv.gz", "azure-conversation/trace.csv.gz"] {
        let of = |line: &str| {
            let mut parts = line.trim().rsplit(',').map(|part| part.parse().unwrap());
            let output = parts.next().unwrap();
            (parts.next().unwrap(), output)
        };
        sizes.extend(text(name).lines().skip(1).map(of));
    }
    let of = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (row["input_length"].as_u64().unwrap(), row["output_length"].as_u64().unwrap())
    };
    sizes.extend(text("mooncake/trace.jsonl.gz").lines().map(of));
    sizes
}

/// Each of three services takes the next requests of its trace hour by hour, four by day and one by night, for weeks.
fn services(runaway: Option<i64>) -> String {
    let sizes = sizes();
    let thirds: Vec<&[(u64, u64)]> =
        vec![&sizes[..1500], &sizes[1500..sizes.len() - 1000], &sizes[sizes.len() - 1000..]];
    let today = at("2026-03-17T00:00:00Z");
    let mut lines = Native::default();
    let mut last = 0;
    for (service, sizes) in ["code", "conversation", "assistant"].into_iter().zip(thirds) {
        let mut requests = sizes.iter().cycle();
        for hour in -28 * 24..15 {
            let start = today + hour * HOUR;
            let mut count = if (8..20).contains(&hour.rem_euclid(24)) { 4 } else { 1 };
            if service == "code" && runaway == Some(hour) {
                count = 120;
            }
            last += 1;
            let run = last;
            lines = lines.run(run, service, &time(start));
            for _ in 0..count {
                last += 1;
                let (input, output) = requests.next().unwrap();
                let usage = format!(r#"{{"input":{input},"output":{output}}}"#);
                lines = lines.call_of(run, last, service, ("openai", "gpt-4o"), &time(start + 5), &usage);
            }
            lines = lines.finish(run, "succeeded", &time(start + 60));
        }
    }
    lines.0
}

/// Real sizes, a real price, and cents: the least amount is a cent, so that nothing is quiet because it is small.
#[test]
fn real_traces_are_calm_until_an_agent_runs_away() {
    let week = check(&["--days", "14", "--at-least", "0.01", "--format", "json"]);
    let sandbox = super::sqlite().with_now(NOW);
    sandbox.run_with_input(&["import", "jsonl"], &services(None)).success();
    let output = sandbox.run(&week);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let hours: BTreeSet<&str> = findings.iter().map(|finding| finding["since"].as_str().unwrap()).collect();
    println!(
        "real traces, two weeks of 9 series: {} findings in {} hours\n{report:#}",
        findings.len(),
        hours.len()
    );
    assert!(hours.len() <= 4, "{report:#}");

    let sandbox = super::sqlite().with_now(NOW);
    sandbox.run_with_input(&["import", "jsonl"], &services(Some(11))).success();
    let report = ended(&sandbox, 3, &["--hours", "6", "--at-least", "0.01"]);
    let findings = report["findings"].as_array().unwrap();
    for (kind, key) in [("run_cost", "pipeline"), ("spend_hour", "pipeline"), ("spend_hour", "agent")] {
        let is_it = |finding: &Value| finding["kind"] == kind && finding[key] == "code";
        assert!(findings.iter().any(is_it), "{kind} {key}: {report:#}");
    }
}
