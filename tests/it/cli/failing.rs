//! The ledger is out of reach: recording goes on, what was recorded waits, and arrives once and in order.

use super::{Both, id, json, spool};
use crate::support::{Output, Sandbox};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A URL with a password, on a port where nobody listens.
pub fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("postgres://writer:hunter2@127.0.0.1:{port}/nowhere")
}

/// The port and the spool's name differ from run to run.
fn hide(text: &str, url: &str) -> String {
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let text = text.replace(port, "[port]");
    let mut parts = text.split("/spool/");
    let mut hidden = parts.next().unwrap().to_owned();
    for part in parts {
        hidden.push_str("/spool/[ledger]");
        hidden.push_str(&part[32..]);
    }
    hidden
}

#[test]
fn an_unreachable_ledger_stops_no_pipeline() {
    let url = nobody();
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", url.clone());
    let started = Instant::now();
    let shown = |output: Output| hide(&output.snapshot(), &url);
    let (run, step) = (id(1), id(2));
    insta::assert_snapshot!(shown(sandbox.run(&["runs", "start", "--pipeline", "p", "--run-id", &run])), @r"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-000000000001
    --- stderr ---
    warning: `postgres://127.0.0.1:[port]/nowhere (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    warning: the event waits in the spool `[dir]/home/.local/state/asmm/spool/[ledger]` and is recorded when the ledger is back
    ");
    insta::assert_snapshot!(shown(sandbox.run(&["runs", "start", "--pipeline", "p", "--strict"])), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: `postgres://127.0.0.1:[port]/nowhere (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    hint: is the database up, and is --database (ASMM_DATABASE_URL) right?
    ");
    sandbox.run(&["runs", "step", "--step", "s", "--run-id", &run, "--step-id", &step]).success();
    sandbox.run(&["runs", "call", "--run-id", &run, "--step-id", &step, "--model", "m"]).success();
    sandbox.run(&["runs", "finish", "--run-id", &run, "--step-id", &step]).success();
    sandbox.run(&["runs", "finish", "--run-id", &run]).success();
    let exec = sandbox.run(&["runs", "exec", "--pipeline", "p", "--", "sh", "-c", "echo works; exit 3"]);
    assert_eq!((exec.code, exec.stdout.as_str()), (3, "works\n"));
    insta::assert_snapshot!(shown(sandbox.run(&["runs", "exec", "--strict", "--pipeline", "p", "--", "echo", "no"])), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: `postgres://127.0.0.1:[port]/nowhere (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    hint: is the database up, and is --database (ASMM_DATABASE_URL) right?
    ");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Reports have nothing to fall back on.
    insta::assert_snapshot!(shown(sandbox.run(&["spend", "daily"])), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: `postgres://127.0.0.1:[port]/nowhere (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    hint: is the database up, and is --database (ASMM_DATABASE_URL) right?
    ");

    let files = spool::everything(&sandbox);
    assert_eq!(files.len(), 2, "the segment, and which ledger it is for");
    for (path, text) in &files {
        assert!(!path.display().to_string().contains("hunter2") && !text.contains("hunter2"), "{text}");
    }
    let events = spool::events(&sandbox);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run", "step", "call", "finish_step", "finish", "run", "finish"]);
    assert_eq!(events[4]["completed_at"], "2026-03-15T12:00:00Z", "it ended when it ended");
    // By hand, into another ledger, and twice.
    let other = Sandbox::new();
    let spooled: String = events.iter().map(|event| format!("{event}\n")).collect();
    for _ in 0..2 {
        other.run_with_input(&["import", "jsonl", "--strict"], &spooled).success();
    }
    let run = json(other.run(&["runs", "show", &run, "--format", "json"]));
    assert_eq!((&run["status"], &run["llm_calls"]), (&"succeeded".into(), &1.into()));
    assert_eq!(run["steps"][0]["status"], "succeeded");
}

#[test]
fn what_waited_arrives_once_and_in_order() {
    let sandbox = Sandbox::new().with_postgres();
    let run = id(7);
    sandbox.run(&["runs", "start", "--pipeline", "p", "--run-id", &run]).success();
    for call in 8..11 {
        let recorded = sandbox.run(&[
            "runs",
            "call",
            "--run-id",
            &run,
            "--call-id",
            &id(call),
            "--provider",
            "openai",
            "--model",
            "gpt-4o",
            "--input",
            "1000",
        ]);
        assert!(recorded.stderr.contains("is not migrated") && recorded.code == 0, "{}", recorded.snapshot());
    }
    sandbox.run(&["runs", "finish", "--run-id", &run]).success();
    let [(spool, spooled)] = spool::segments(&sandbox).try_into().expect("one segment");
    assert_eq!(spooled.lines().count(), 5);

    sandbox.run(&["migrate"]).success();
    let next = sandbox.with_now("2026-03-15T18:00:00Z");
    insta::assert_snapshot!(next.run(&["runs", "exec", "--pipeline", "q", "--", "true"]).snapshot(), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    5 events that waited in the spool are recorded now
    ");
    assert_eq!(spool::segments(&next), []);
    let show = || json(next.run(&["runs", "show", &run, "--format", "json"]));
    let shown = show();
    assert_eq!((&shown["status"], &shown["llm_calls"]), (&"succeeded".into(), &3.into()));
    assert_eq!(shown["completed_at"], "2026-03-15T12:00:00Z", "not when it was delivered");
    assert_eq!(shown["estimated_cost_usd"], "0.0075");
    // A spool that was delivered and could not be removed is harmless; what is damaged is set aside.
    std::fs::write(&spool, format!("{spooled}0123abcd 999 {{\"type\":\"call\"")).unwrap();
    insta::assert_snapshot!(next.run(&["runs", "start", "--pipeline", "q", "--run-id", &id(20)]).snapshot(), @r"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-000000000014
    --- stderr ---
    5 events that waited in the spool are recorded now
    warning: 1 event of the spool is set aside: 27 damaged bytes at byte 1472 of `000000000001.spool`
    hint: `asmm spool status` shows what is set aside, and why
    ");
    assert_eq!(show(), shown);
    assert_eq!(spool::segments(&next), []);
    let aside = spool::aside(&next);
    assert_eq!(aside[0]["damaged"]["text"], "0123abcd 999 {\"type\":\"call\"");
    next.run(&["runs", "show", &id(20)]).success();
}

#[test]
fn a_spool_that_cannot_be_used_stops_no_pipeline() {
    let url = nobody();
    let blocked = Sandbox::new().with_env("ASMM_DATABASE_URL", url.clone());
    blocked.file("home/.local", "a file where a folder should be");
    let output = blocked.run(&["runs", "exec", "--pipeline", "p", "--", "echo", "works"]);
    insta::assert_snapshot!(hide(&output.snapshot(), &url), @r"
    exit: 0
    --- stdout ---
    works
    --- stderr ---
    warning: `postgres://127.0.0.1:[port]/nowhere (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    warning: the spool `[dir]/home/.local/state/asmm/spool/[ledger]` cannot be read: Not a directory (os error 20)
    warning: the event is lost: neither the ledger nor the spool can take it
    warning: `postgres://127.0.0.1:[port]/nowhere (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    warning: the spool `[dir]/home/.local/state/asmm/spool/[ledger]` cannot be read: Not a directory (os error 20)
    warning: the event is lost: neither the ledger nor the spool can take it
    ");
    let strict = blocked.run(&["runs", "start", "--pipeline", "p", "--strict"]);
    assert_eq!(strict.code, 7);

    // A ledger that is there needs no place for a spool, and no home.
    let both = Both::new();
    for sandbox in both.each() {
        let ledger = format!("sqlite:{}", sandbox.path().join("ledger.db").display());
        let url = sandbox.env("ASMM_DATABASE_URL").unwrap_or(&ledger).to_owned();
        let args = ["runs", "start", "--pipeline", "p", "--strict"];
        let homeless =
            sandbox.command(&args).env_remove("HOME").env("ASMM_DATABASE_URL", &url).output().unwrap();
        let homeless = Output::from_process(&homeless, &[]);
        assert_eq!((homeless.code, homeless.stderr.as_str()), (0, ""));
    }
    let sandbox = &both.sqlite;
    sandbox.file("home/.local/state", "a file where a folder should be");
    let output = sandbox.run(&["runs", "exec", "--pipeline", "p", "--", "echo", "works"]);
    assert_eq!((output.code, output.stdout.as_str()), (0, "works\n"), "{}", output.snapshot());
    assert_eq!(json(sandbox.run(&["runs", "show", "last", "--format", "json"]))["status"], "succeeded");
}

#[test]
fn a_sqlite_ledger_that_cannot_be_made_stops_no_pipeline() {
    let sandbox = Sandbox::new();
    sandbox.file("here", "a file where a folder should be");
    let url = format!("sqlite:{}/here/ledger.db", sandbox.path().display());
    let sandbox = sandbox.with_env("ASMM_DATABASE_URL", url);
    let output = sandbox.run(&["runs", "start", "--pipeline", "p", "--run-id", &id(1)]);
    insta::assert_snapshot!(hide(&output.snapshot(), ":none/"), @r"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-000000000001
    --- stderr ---
    warning: the folder `[dir]/here` cannot be made: File exists (os error 17)
    warning: the event waits in the spool `[dir]/home/.local/state/asmm/spool/[ledger]` and is recorded when the ledger is back
    ");
    insta::assert_snapshot!(sandbox.snapshot(&["runs", "start", "--pipeline", "p", "--strict"]), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: the folder `[dir]/here` cannot be made: File exists (os error 17)
    hint: name another file with --database sqlite:PATH
    ");
    insta::assert_snapshot!(sandbox.snapshot(&["spend", "daily"]), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: the folder `[dir]/here` cannot be made: File exists (os error 17)
    hint: name another file with --database sqlite:PATH
    ");
    sandbox.file("text.db", "this is not a database, and it is long enough to be looked at by SQLite");
    insta::assert_snapshot!(sandbox.snapshot(&["spend", "daily", "--database", "sqlite:text.db"]), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: `text.db`: the file is not a SQLite database
    hint: name another file with --database sqlite:PATH
    ");
}
