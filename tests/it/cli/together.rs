//! Several programs on one ledger, and one that is stopped in the middle.

use super::{Both, Native, json};
use crate::support::{Sandbox, block_on, psql};
use asmm::clock::Clock;
use asmm::store::{Location, Store};
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

/// How many calls there are and what they cost, after checking each law on the ledger in one statement: whoever
/// was killed, Postgres may still be committing for him.
fn totals(sandbox: &Sandbox) -> (Value, Value) {
    let file = sandbox.path().join("home/.local/share/asmm/ledger.db");
    let url = sandbox.env("ASMM_DATABASE_URL").map_or(format!("sqlite:{}", file.display()), str::to_owned);
    let location = Location::new(url, sandbox.env("ASMM_SCHEMA").unwrap_or("asmm"));
    block_on(async {
        let store = Store::open(&location, Clock::System).await.unwrap();
        assert_eq!(store.broken_laws().await.unwrap(), []);
        store.close().await;
    });
    let report = json(sandbox.run(&["spend", "daily", "--days", "30", "--format", "json"]));
    (report["totals"]["llm_calls"].clone(), report["totals"]["estimated_cost_usd"].clone())
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
        assert_eq!(totals(sandbox).0, 6000);
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
            totals(sandbox);
        }
        assert!(import(sandbox).status().unwrap().success());
        assert_eq!(totals(sandbox).0, 18_000);
    }
    assert_eq!(totals(&both.sqlite), totals(&both.postgres));
    let schema = both.postgres.env("ASMM_SCHEMA").unwrap();
    assert_eq!(psql("select count(*) from llm_call", schema).success(), "18000\n");
}
