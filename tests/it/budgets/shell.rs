//! `asmm budgets`, as it is used from a shell.

use crate::cli::{Both, id};
use crate::support::{Sandbox, Server};
use insta::assert_snapshot;

/// A run of `enrichment` with a label, on both databases.
fn started() -> Both {
    let both = Both::new();
    both.run(&["runs", "start", "--pipeline", "enrichment", "--run-id", &id(1), "--label", "team=data"])
        .success();
    both
}

fn ask<'a>(call: &'a str, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["budgets", "reserve", "--run-id", run, "--call-id", call];
    args.extend(["--provider", "openai", "--model", "gpt-4o"]);
    args.extend(more);
    args
}

#[test]
fn a_budget_is_set_listed_changed_and_removed() {
    let both = started();
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"");
    let nightly = [
        "budgets",
        "set",
        "nightly",
        "--limit",
        "0.01",
        "--per",
        "day",
        "--tz",
        "Europe/Oslo",
        "--pipeline",
        "enrichment",
        "--hard",
    ];
    assert_snapshot!(both.snapshot(&nightly), @"");
    assert_snapshot!(both.snapshot(&nightly), @"");
    both.run(&["budgets", "set", "team", "--limit", "12.50", "--per", "month", "--label", "team=data"])
        .success();
    let (run, call) = (id(1), id(11));
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--input", "1000", "--output", "300"])), @"");
    both.run(&[
        "runs",
        "call",
        "--run-id",
        &run,
        "--call-id",
        &id(12),
        "--provider",
        "openai",
        "--model",
        "gpt-4o",
        "--input",
        "1000",
        "--output",
        "10",
    ])
    .success();
    both.run(&[
        "runs",
        "call",
        "--run-id",
        &run,
        "--call-id",
        &id(13),
        "--model",
        "nobody-knows-it",
        "--input",
        "1",
    ])
    .success();
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "list", "--format", "json"]), @"");
    assert_snapshot!(both.snapshot(&ask(&id(14), &run, &["--usd", "0.01"])), @"");
    assert_snapshot!(both.snapshot(&["budgets", "release", "--run-id", &run, "--call-id", &call]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "release", "--run-id", &run, "--call-id", &call]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "set", "nightly", "--limit", "0.002", "--per", "day", "--tz", "Europe/Oslo"]), @"");
    assert_snapshot!(both.snapshot(&ask(&id(14), &run, &["--usd", "0.01"])), @"");
    assert_snapshot!(both.snapshot(&["budgets", "remove", "nightly"]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "remove", "nightly"]), @"");
    let shown = both.json(&["budgets", "show", "nightly"]);
    assert_eq!(
        (&shown["standing"], shown["history"].as_array().unwrap().len()),
        (&"removed".into(), 3),
        "{shown:#}"
    );
    assert_eq!(both.json(&["budgets", "show", "team"])["spent_usd"], "0.0026");
    assert_snapshot!(both.snapshot(&["budgets", "show", "never"]), @"");
}

#[test]
fn budgets_of_the_file_come_into_the_ledger() {
    let both = started();
    assert_snapshot!(both.snapshot(&["budgets", "sync"]), @"");
    let file = "tz: Europe/Oslo\nbudgets:\n  nightly: {limit_usd: \"0.01\", per: day, pipeline: enrichment, hard: true}\n  team: {limit_usd: 50, per: month, label: team=data}\n";
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", file);
    }
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"");
    // Nobody who asks knows of it yet.
    both.run(&ask(&id(11), &id(1), &["--usd", "1"])).success();
    assert_snapshot!(both.snapshot(&["budgets", "sync", "--dry-run"]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "sync"]), @"");
    assert_eq!(both.run(&ask(&id(12), &id(1), &["--usd", "1"])).code, 3);
    assert_snapshot!(both.snapshot(&["budgets", "set", "team", "--limit", "60", "--per", "month"]), @"");
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", &file.replace("0.01", "0.02"));
    }
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "sync"]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "remove", "team"]), @"");
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", &file.replace("\"0.01\"", "0.01"));
    }
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"");
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let both = started();
    let (call, run) = (id(11), id(1));
    assert_snapshot!(both.snapshot(&ask(&call, &run, &[])), @"");
    assert_snapshot!(both.snapshot(&ask(&call, &id(2), &["--usd", "1"])), @"");
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--usd", "-1"])), @"");
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--usd", "1", "--expires-in", "0"])), @"");
    both.run(&ask(&call, &run, &["--usd", "1"])).success();
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--usd", "2"])), @"");
    assert_snapshot!(both.snapshot(&["budgets", "set", "b", "--limit", "-1", "--per", "day"]), @"");
    assert_snapshot!(both.snapshot(&["budgets", "set", "b", "--limit", "1", "--per", "day", "--label", "team"]), @"");
}

#[test]
fn without_an_answer_the_shell_goes_on_or_not_as_it_was_told() {
    let server = Server::new();
    server.start();
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", server.url());
    sandbox.run(&["migrate"]).success();
    sandbox.run(&["budgets", "set", "nightly", "--limit", "1", "--per", "day"]).success();
    server.crash();
    let args = ask(
        "00000000-0000-7000-8000-00000000000b",
        "00000000-0000-7000-8000-000000000001",
        &["--usd", "0.5"],
    );
    let open = sandbox.run(&args);
    assert_eq!((open.code, open.stdout.as_str()), (0, "00000000-0000-7000-8000-00000000000b\n"), "{open:?}");
    assert!(
        open.stderr.starts_with("warning: ")
            && open.stderr.contains("; the call may be made without a reservation"),
        "{open:?}"
    );
    let closed = sandbox.run(&[&args[..], &["--fail", "closed"]].concat());
    assert_eq!((closed.code, closed.stdout.as_str()), (7, ""), "{closed:?}");
    let set = sandbox.with_env("ASMM_RESERVE_FAIL", "closed").run(&args);
    assert_eq!((set.code, set.stdout.as_str()), (7, ""), "{set:?}");
}
