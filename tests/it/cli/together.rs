//! Several programs on one ledger, and one that is stopped in the middle.

use super::{Both, Native, json};
use crate::support::{Sandbox, psql};
use serde_json::Value;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Many calls in many runs, of sizes that tell whether one is missing or twice.
fn many(runs: u32, calls: u32) -> String {
    let mut lines = Native::default();
    for run in 1..=runs {
        lines = lines.run(run, "p", "2026-03-10T10:00:00Z");
        for call in 0..calls {
            lines = lines.call(run, call + 1, "a", "2026-03-10T10:00:00Z", u64::from(run * 1000 + call));
        }
        lines = lines.finish(run, "succeeded", "2026-03-10T11:00:00Z");
    }
    lines.0
}

/// The totals by the three ways the ledger keeps them: the rollup, the journal, the runs' counters.
fn three_totals(sandbox: &Sandbox) -> [(Value, Value, Value); 3] {
    let totals = |args: &[&str]| {
        let report = json(sandbox.run(&[args, &["--days", "30", "--format", "json"]].concat()));
        let totals = &report["totals"];
        (totals["llm_calls"].clone(), totals["input_tokens"].clone(), totals["estimated_cost_usd"].clone())
    };
    // An agent that all calls have sends run reports to the journal; a range that cuts a bucket does it for spend.
    let odd = ["spend", "daily", "--since", "2026-03-01T00:00:01Z", "--format", "json"];
    let odd = json(sandbox.run(&odd))["totals"].clone();
    let odd = (odd["llm_calls"].clone(), odd["input_tokens"].clone(), odd["estimated_cost_usd"].clone());
    [totals(&["spend", "daily"]), odd, totals(&["runs", "top", "--limit", "1"])]
}

fn import(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command(&["import", "jsonl", "many.jsonl", "--strict"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

#[test]
fn two_imports_of_one_file_at_once_count_once() {
    let both = Both::new();
    let lines = many(20, 300);
    for sandbox in both.each() {
        sandbox.file("many.jsonl", &lines);
        let imports: Vec<_> = (0..2).map(|_| import(sandbox).spawn().unwrap()).collect();
        let mut recorded = 0_u64;
        for child in imports {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{said}");
            recorded += said.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
        assert_eq!(recorded, 6000, "each call was recorded by one of the two");
        let [rollup, journal, runs] = three_totals(sandbox);
        assert_eq!(rollup.0, 6000);
        assert_eq!((&rollup, &rollup), (&journal, &runs));
    }
    assert_eq!(both.run(&["export", "jsonl"]).success().lines().count(), 6040);
}

#[test]
fn first_users_at_once_make_one_ledger() {
    let sandbox = Sandbox::new();
    let children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = sandbox.command(&["runs", "start", "--pipeline", "p", "--strict"]);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(json(sandbox.run(&["runs", "list", "--format", "json"]))["rows"].as_array().unwrap().len(), 4);
}

#[test]
fn an_import_that_is_stopped_leaves_a_ledger_that_adds_up() {
    let both = Both::new();
    let lines = many(30, 600);
    for sandbox in both.each() {
        sandbox.file("many.jsonl", &lines);
        for (signal, wait) in [("-INT", 150), ("-KILL", 400)] {
            let mut child = import(sandbox).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            Command::new("kill")
                .args([signal, &child.id().to_string()])
                .stderr(Stdio::null())
                .status()
                .unwrap();
            child.wait().unwrap();
            let [rollup, journal, runs] = three_totals(sandbox);
            assert_eq!(rollup, journal, "after {signal}");
            assert_eq!(rollup, runs, "after {signal}");
        }
        assert!(import(sandbox).status().unwrap().success());
        let [rollup, journal, runs] = three_totals(sandbox);
        assert_eq!(rollup.0, 18_000);
        assert_eq!((&rollup, &rollup), (&journal, &runs));
    }
    assert_eq!(three_totals(&both.sqlite), three_totals(&both.postgres));
    let schema = both.postgres.env("ASMM_SCHEMA").unwrap();
    assert_eq!(psql("select count(*) from llm_call", schema).success(), "18000\n");
}
