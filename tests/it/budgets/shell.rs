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
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"
    exit: 0
    --- stdout ---
    no budgets
    next: `asmm budgets set NAME --limit 50 --per day` makes one
    UTC (the system's) · catalogue 2026-11-20
    --- stderr ---
    ");
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
    assert_snapshot!(both.snapshot(&nightly), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` is new: 0.01 USD a day (Europe/Oslo), pipeline enrichment, hard
    ");
    assert_snapshot!(both.snapshot(&nightly), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` is 0.01 USD a day (Europe/Oslo), pipeline enrichment, hard already: nothing was changed
    ");
    both.run(&["budgets", "set", "team", "--limit", "12.50", "--per", "month", "--label", "team=data"])
        .success();
    let (run, call) = (id(1), id(11));
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--input", "1000", "--output", "300"])), @"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-00000000000b
    --- stderr ---
    ");
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
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"
    exit: 0
    --- stdout ---
    budget   counts               per    kind   limit      spent   reserved   share  is    left
    ───────────────────────────────────────────────────────────────────────────────────────────
    nightly  pipeline enrichment  day    hard   $0.01  $0.002600  $0.005500  26.0 %  near  11 h
    team     label team=data      month  soft  $12.50  $0.002600  $0.005500  <0.1 %  fine  16 d
    UTC (the system's) · catalogue 2026-11-20
    nightly: 1 of 2 calls have no price and are in no sum; `asmm prices missing` names them
    team: 1 of 2 calls have no price and are in no sum; `asmm prices missing` names them
    --- stderr ---
    ");
    assert_snapshot!(both.snapshot(&["budgets", "list", "--format", "json"]), @r#"
    exit: 0
    --- stdout ---
    {"schema":"asmm.budgets/1","window":null,"time_zone":"UTC","catalogue":"2026-11-20","coverage":null,"totals":null,"rows":[{"budget":"nightly","pipeline":"enrichment","agent":null,"provider":null,"model":null,"label":null,"label_value":null,"period":"day","time_zone":"Europe/Oslo","kind":"hard","limit_usd":"0.01","spent_usd":"0.0026","reserved_usd":"0.0055","left_usd":"0.0019","share":"0.260000","standing":"near","since":"2026-03-14T23:00:00Z","until":"2026-03-15T23:00:00Z","llm_calls":2,"unpriced_calls":1,"reservations":1,"unpriced_reservations":0,"origin":"ledger"},{"budget":"team","pipeline":null,"agent":null,"provider":null,"model":null,"label":"team","label_value":"data","period":"month","time_zone":"UTC","kind":"soft","limit_usd":"12.5","spent_usd":"0.0026","reserved_usd":"0.0055","left_usd":"12.4919","share":"0.000208","standing":"fine","since":"2026-03-01T00:00:00Z","until":"2026-04-01T00:00:00Z","llm_calls":2,"unpriced_calls":1,"reservations":1,"unpriced_reservations":0,"origin":"ledger"}]}
    --- stderr ---
    "#);
    assert_snapshot!(both.snapshot(&ask(&id(14), &run, &["--usd", "0.01"])), @"
    exit: 3
    --- stdout ---
    --- stderr ---
    refused: 0.01 USD do not fit into budget `nightly`: 0.0026 USD spent and 0.0055 reserved of 0.01 until 2026-03-15T23:00:00Z, 1 of 2 calls have no price
    ");
    assert_snapshot!(both.snapshot(&["budgets", "release", "--run-id", &run, "--call-id", &call]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    the reservation of call `00000000-0000-7000-8000-00000000000b` is released
    ");
    assert_snapshot!(both.snapshot(&["budgets", "release", "--run-id", &run, "--call-id", &call]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    call `00000000-0000-7000-8000-00000000000b` holds nothing: it was recorded or released before, or never asked for
    ");
    assert_snapshot!(both.snapshot(&["budgets", "set", "nightly", "--limit", "0.002", "--per", "day", "--tz", "Europe/Oslo"]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` is now 0.002 USD a day (Europe/Oslo), all calls, soft; it was 0.01 USD a day (Europe/Oslo), pipeline enrichment, hard
    ");
    assert_snapshot!(both.snapshot(&ask(&id(14), &run, &["--usd", "0.01"])), @"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-00000000000e
    --- stderr ---
    warning: over budget `nightly`: 0.0026 USD spent and 0.01 reserved of 0.002 until 2026-03-15T23:00:00Z, 1 of 2 calls have no price
    ");
    assert_snapshot!(both.snapshot(&["budgets", "remove", "nightly"]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` is removed; it was 0.002 USD a day (Europe/Oslo), all calls, soft
    ");
    assert_snapshot!(both.snapshot(&["budgets", "remove", "nightly"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: budget `nightly` is unknown
    hint: `asmm budgets list` names those there are
    ");
    let shown = both.json(&["budgets", "show", "nightly"]);
    assert_eq!(
        (&shown["standing"], shown["history"].as_array().unwrap().len()),
        (&"removed".into(), 3),
        "{shown:#}"
    );
    assert_eq!(both.json(&["budgets", "show", "team"])["spent_usd"], "0.0026");
    assert_snapshot!(both.snapshot(&["budgets", "show", "never"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: budget `never` is unknown
    hint: `asmm budgets list` names those there are
    ");
}

#[test]
fn budgets_of_the_file_come_into_the_ledger() {
    let both = started();
    assert_snapshot!(both.snapshot(&["budgets", "sync"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: asmm.yaml names no budgets
    hint: put them under `budgets:`, or set one with `asmm budgets set`; see RUNBOOK.md, Budgets
    ");
    let file = "tz: Europe/Oslo\nbudgets:\n  nightly: {limit_usd: \"0.01\", per: day, pipeline: enrichment, hard: true}\n  team: {limit_usd: 50, per: month, label: team=data}\n";
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", file);
    }
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"
    exit: 0
    --- stdout ---
    budget   counts               per    kind   limit  spent  share  is    left
    ──────────────────────────────────────────────────────────────────────────────
    nightly  pipeline enrichment  day    hard   $0.01  $0.00    0 %  fine  11 h
    team     label team=data      month  soft  $50.00  $0.00    0 %  fine  16 d
    Europe/Oslo (from asmm.yaml) · catalogue 2026-11-20
    nightly: only in asmm.yaml; `asmm budgets sync` brings it into the ledger
    team: only in asmm.yaml; `asmm budgets sync` brings it into the ledger
    --- stderr ---
    ");
    // Nobody who asks knows of it yet.
    both.run(&ask(&id(11), &id(1), &["--usd", "1"])).success();
    assert_snapshot!(both.snapshot(&["budgets", "sync", "--dry-run"]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` would be new: 0.01 USD a day (Europe/Oslo), pipeline enrichment, hard
    budget `team` would be new: 50 USD a month (Europe/Oslo), label team=data, soft
    ");
    assert_snapshot!(both.snapshot(&["budgets", "sync"]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` is new: 0.01 USD a day (Europe/Oslo), pipeline enrichment, hard
    budget `team` is new: 50 USD a month (Europe/Oslo), label team=data, soft
    2 of 2 budgets set
    ");
    assert_eq!(both.run(&ask(&id(12), &id(1), &["--usd", "1"])).code, 3);
    assert_snapshot!(both.snapshot(&["budgets", "set", "team", "--limit", "60", "--per", "month"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: budget `team` is another one in asmm.yaml: 50 USD a month (Europe/Oslo), label team=data, soft
    hint: change it there and run `asmm budgets sync`, or take another name
    ");
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", &file.replace("0.01", "0.02"));
    }
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @"
    exit: 0
    --- stdout ---
    budget   counts               per    kind   limit  spent  reserved  share  is    left
    ────────────────────────────────────────────────────────────────────────────────────────
    nightly  pipeline enrichment  day    hard   $0.01  $0.00     $1.00    0 %  near  11 h
    team     label team=data      month  soft  $50.00  $0.00     $1.00    0 %  fine  16 d
    Europe/Oslo (from asmm.yaml) · catalogue 2026-11-20
    --- stderr ---
    warning: budget `nightly` is another one in asmm.yaml: 0.02 USD a day (Europe/Oslo), pipeline enrichment, hard
    hint: the ledger's counts; `asmm budgets sync` brings it in line
    ");
    assert_snapshot!(both.snapshot(&["budgets", "sync"]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `nightly` is now 0.02 USD a day (Europe/Oslo), pipeline enrichment, hard; it was 0.01 USD a day (Europe/Oslo), pipeline enrichment, hard
    budget `team` is 50 USD a month (Europe/Oslo), label team=data, soft already: nothing was changed
    1 of 2 budgets set
    ");
    assert_snapshot!(both.snapshot(&["budgets", "remove", "team"]), @"
    exit: 0
    --- stdout ---
    --- stderr ---
    budget `team` is removed; it was 50 USD a month (Europe/Oslo), label team=data, soft
    warning: asmm.yaml still has it, and `asmm budgets sync` brings it back
    ");
    for sandbox in both.each() {
        sandbox.file("asmm.yaml", &file.replace("\"0.01\"", "0.01"));
    }
    assert_snapshot!(both.snapshot(&["budgets", "list"]), @r#"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/asmm.yaml`: budgets.nightly.limit_usd: `limit_usd` has a point: write it in quotes, as "12.50" at line 3 column 24
    hint: it may hold `database`, `schema`, `tz`, `ascii`, `guard`, `recorder` and `budgets`
    "#);
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let both = started();
    let (call, run) = (id(11), id(1));
    assert_snapshot!(both.snapshot(&ask(&call, &run, &[])), @"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: how much is to be reserved?
    hint: give --usd, or --input and --output tokens with --provider and --model
    ");
    assert_snapshot!(both.snapshot(&ask(&call, &id(2), &["--usd", "1"])), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: run `00000000-0000-7000-8000-000000000002` is unknown, and no `pipeline` is given
    hint: start it first: start_run, or `asmm runs start --run-id`; or say its pipeline
    ");
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--usd", "-1"])), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the amount -1 USD is below 0
    hint: reserve the most that the call may cost
    ");
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--usd", "1", "--expires-in", "0"])), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: an amount cannot be held for 0 s; it takes 1 to 86400
    hint: a reservation is for one call: some minutes
    ");
    both.run(&ask(&call, &run, &["--usd", "1"])).success();
    assert_snapshot!(both.snapshot(&ask(&call, &run, &["--usd", "2"])), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: call `00000000-0000-7000-8000-00000000000b` has a reservation of another amount: 1 USD
    hint: release it first, or give the call another id
    ");
    assert_snapshot!(both.snapshot(&["budgets", "set", "b", "--limit", "-1", "--per", "day"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the limit -1 USD is below 0
    hint: 0 lets nothing be spent that is not free
    ");
    assert_snapshot!(both.snapshot(&["budgets", "set", "b", "--limit", "1", "--per", "day", "--label", "team"]), @"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: the label `team` has no `=`
    hint: write it as team=data
    ");
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
