//! `asmm spool`: what waits is shown, is delivered when that is asked for, and is never lost.

use super::failing::nobody;
use super::{Native, id, json};
use crate::support::{Output, Sandbox};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use uuid::Uuid;

/// A ledger that cannot be reached, with a name that is the same on every machine, and a password.
const AWAY: &str = "postgres://writer:hunter2@127.0.0.1:9/ops";
const ALSO_AWAY: &str = "postgres://127.0.0.1:9/other";

fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.path().join("home/.local/state/asmm/spool")
}

/// Every file of every spool, with what it holds.
pub fn everything(sandbox: &Sandbox) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![home(sandbox)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The segments of every spool, in order.
pub fn segments(sandbox: &Sandbox) -> Vec<(PathBuf, String)> {
    let is_segment = |path: &Path| path.extension().is_some_and(|extension| extension == "spool");
    everything(sandbox).into_iter().filter(|(path, _)| is_segment(path)).collect()
}

/// The events of every spool, in order; a line is a checksum, a length, a time and an event.
pub fn events(sandbox: &Sandbox) -> Vec<Value> {
    let segments = segments(sandbox);
    let lines = segments.iter().flat_map(|(_, text)| text.lines());
    lines.map(|line| serde_json::from_str(line.splitn(4, ' ').nth(3).unwrap()).unwrap()).collect()
}

/// What was set aside.
pub fn aside(sandbox: &Sandbox) -> Vec<Value> {
    let text = std::fs::read_to_string(folder(sandbox).join("aside.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The spool of the ledger in use.
pub fn folder(sandbox: &Sandbox) -> PathBuf {
    let status = sandbox.command(&["spool", "status", "--format", "json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    status["folder"].as_str().unwrap().into()
}

/// Moves a segment into the spool of the ledger in use.
pub fn move_to(sandbox: &Sandbox, segment: &Path) {
    let folder = folder(sandbox);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::rename(segment, folder.join(segment.file_name().unwrap())).unwrap();
}

/// The file in which an earlier version kept what waited for this ledger.
fn older(sandbox: &Sandbox, url: &str, schema: &str) -> PathBuf {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{url}\u{1f}{schema}").as_bytes());
    home(sandbox).join(format!("{}.jsonl", id.simple()))
}

fn start(sandbox: &Sandbox, run: u32) -> Output {
    sandbox.run(&["runs", "start", "--pipeline", "p", "--run-id", &id(run)])
}

fn call(sandbox: &Sandbox, run: u32, number: u32) -> Output {
    let (run, number) = (id(run), id(number));
    let args = ["--run-id", &run, "--call-id", &number, "--provider", "openai", "--model", "gpt-4o"];
    sandbox.run(&[&["runs", "call"], &args[..], &["--input", "1000"]].concat())
}

fn drain(sandbox: &Sandbox) -> Output {
    sandbox.run(&["spool", "drain"])
}

/// A Postgres ledger that is not migrated yet, with a run of two calls that wait for it.
fn not_yet() -> Sandbox {
    let sandbox = Sandbox::new().with_postgres();
    for recorded in [start(&sandbox, 1), call(&sandbox, 1, 2), call(&sandbox, 1, 3)] {
        assert!(
            recorded.code == 0 && recorded.stderr.contains("waits in the spool"),
            "{}",
            recorded.snapshot()
        );
    }
    sandbox
}

#[test]
fn what_waits_is_shown() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", AWAY);
    let hide = |output: Output| {
        let text = output.snapshot();
        let folder = folder(&sandbox);
        text.replace(folder.file_name().unwrap().to_str().unwrap(), "[ledger]")
    };
    let shown = |args: &[&str]| hide(sandbox.run(&[&["spool", "status"], args].concat()));
    insta::assert_snapshot!(shown(&[]), @r"
    exit: 0
    --- stdout ---
    ledger   postgres://127.0.0.1:9/ops (schema asmm)
    spool    [dir]/home/.local/state/asmm/spool/[ledger]
    verdict  nothing waits

    UTC (the system's)
    --- stderr ---
    ");
    assert_eq!(everything(&sandbox), [], "looking makes nothing");
    start(&sandbox, 1).success();
    let mut later = sandbox.command(&["runs", "call", "--run-id", &id(1), "--model", "m"]);
    later.env("ASMM_NOW", "2026-03-15T13:30:00Z").output().unwrap();
    sandbox.run(&["--database", ALSO_AWAY, "runs", "start", "--pipeline", "q"]).success();
    let set_aside = r#"{"reason":"run `r` is already finished as `failed`","set_aside_at":"2026-03-15T11:00:00Z","event":{"type":"finish"}}"#;
    let damaged = r#"{"reason":"12 damaged bytes at byte 0 of `000000000001.spool`","set_aside_at":"2026-03-15T11:00:00Z","damaged":{"text":"abcdefghijkl","bytes":12,"sha256":"d682ed4ca4d989c134ec94f1551e1ec580dd6d5a6ecde9f3d35e6e4a717fbde4"}}"#;
    std::fs::write(folder(&sandbox).join("aside.jsonl"), format!("{set_aside}\n{damaged}\n{set_aside}\n"))
        .unwrap();
    insta::assert_snapshot!(shown(&[]), @r"
    exit: 0
    --- stdout ---
    ledger   postgres://127.0.0.1:9/ops (schema asmm)
    spool    [dir]/home/.local/state/asmm/spool/[ledger]
    verdict  3 events wait

    what waits
    ledger                               events  oldest               bytes  segments  in use  set aside
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    postgres://127.0.0.1:9/ops (schema…       2  2026-03-15 12:00:00    849         1       0          3
    postgres://127.0.0.1:9/other (sche…       1  2026-03-15 12:00:00    144         1       0          0

    what was set aside for this ledger
    why                                                 events  last
    ───────────────────────────────────────────────────────────────────────────────
    12 damaged bytes at byte 0 of `000000000001.spool`       1  2026-03-15 11:00:00
    run `r` is already finished as `failed`                  2  2026-03-15 11:00:00

    UTC (the system's)
    `asmm spool drain --set-aside` tries them again; they are in
    `[dir]/home/.local/state/asmm/spool/[ledger]/aside.jsonl`
    --- stderr ---
    ");
    for columns in ["80", "160"] {
        let mut command = sandbox.command(&["spool", "status"]);
        let output = Output::from_process(&command.env("COLUMNS", columns).output().unwrap(), &[]);
        for line in output.stdout.lines().filter(|line| !line.contains("/spool/")) {
            assert!(line.chars().count() <= columns.parse().unwrap(), "{line}");
        }
    }
    insta::assert_snapshot!(shown(&["--format", "json", "--tz", "Europe/Berlin"]), @r#"
    exit: 0
    --- stdout ---
    {"schema":"asmm.spool_status/1","window":null,"time_zone":"Europe/Berlin","catalogue":null,"coverage":null,"ledger":"postgres://127.0.0.1:9/ops (schema asmm)","folder":"[dir]/home/.local/state/asmm/spool/[ledger]","verdict":"3 events wait","spools":[{"ledger":"postgres://127.0.0.1:9/ops (schema asmm)","events":2,"oldest":"2026-03-15T12:00:00Z","bytes":849,"segments":1,"in_use":0,"set_aside":3},{"ledger":"postgres://127.0.0.1:9/other (schema asmm)","events":1,"oldest":"2026-03-15T12:00:00Z","bytes":144,"segments":1,"in_use":0,"set_aside":0}],"set_aside":[{"reason":"12 damaged bytes at byte 0 of `000000000001.spool`","events":1,"last":"2026-03-15T11:00:00Z"},{"reason":"run `r` is already finished as `failed`","events":2,"last":"2026-03-15T11:00:00Z"}]}
    --- stderr ---
    "#);
    insta::assert_snapshot!(shown(&["--format", "csv"]), @r"
    exit: 0
    --- stdout ---
    ledger,events,oldest,bytes,segments,in_use,set_aside
    postgres://127.0.0.1:9/ops (schema asmm),2,2026-03-15T12:00:00Z,849,1,0,3
    postgres://127.0.0.1:9/other (schema asmm),1,2026-03-15T12:00:00Z,144,1,0,0
    --- stderr ---
    ");
    insta::assert_snapshot!(shown(&["--format", "markdown"]), @r"
    exit: 0
    --- stdout ---
    - **ledger**: postgres\://127.0.0.1:9/ops (schema asmm)
    - **spool**: [dir]/home/.local/state/asmm/spool/[ledger]
    - **verdict**: 3 events wait

    ### what waits

    | ledger                                      | events | oldest              | bytes | segments | in use | set aside |
    | ------------------------------------------- | -----: | ------------------- | ----: | -------: | -----: | --------: |
    | postgres\://127.0.0.1:9/ops (schema asmm)   |      2 | 2026-03-15 12:00:00 |   849 |        1 |      0 |         3 |
    | postgres\://127.0.0.1:9/other (schema asmm) |      1 | 2026-03-15 12:00:00 |   144 |        1 |      0 |         0 |

    ### what was set aside for this ledger

    | why                                                  | events | last                |
    | ---------------------------------------------------- | -----: | ------------------- |
    | 12 damaged bytes at byte 0 of \`000000000001.spool\` |      1 | 2026-03-15 11:00:00 |
    | run \`r\` is already finished as \`failed\`          |      2 | 2026-03-15 11:00:00 |

    > UTC (the system's)
    >
    > `asmm spool drain --set-aside` tries them again; they are in `[dir]/home/.local/state/asmm/spool/[ledger]/aside.jsonl`
    --- stderr ---
    ");
    assert!(!shown(&[]).contains("hunter2"));
}

#[test]
fn a_drain_says_how_it_went() {
    let sandbox = not_yet();
    // Not migrated is out of reach: nothing is lost.
    let waits = segments(&sandbox);
    let out_of_reach = drain(&sandbox);
    assert_eq!((out_of_reach.code, out_of_reach.stdout.as_str()), (7, ""), "{}", out_of_reach.snapshot());
    assert_eq!(segments(&sandbox), waits);
    sandbox.run(&["migrate"]).success();
    insta::assert_snapshot!(drain(&sandbox).snapshot(), @r"
    exit: 0
    --- stdout ---
    3 delivered, 0 still waiting, 0 set aside
    --- stderr ---
    3 events that waited in the spool are recorded now
    ");
    insta::assert_snapshot!(drain(&sandbox).snapshot(), @r"
    exit: 0
    --- stdout ---
    nothing waits
    --- stderr ---
    ");
    assert_eq!(segments(&sandbox), []);
    let run = json(sandbox.run(&["runs", "show", &id(1), "--format", "json"]));
    assert_eq!((&run["llm_calls"], &run["estimated_cost_usd"]), (&2.into(), &"0.005".into()));
    // Delivered a second time, as after a crash just before it was removed.
    std::fs::write(&waits[0].0, &waits[0].1).unwrap();
    assert_eq!(drain(&sandbox).success(), "3 delivered, 0 still waiting, 0 set aside\n");
    assert_eq!(json(sandbox.run(&["runs", "show", &id(1), "--format", "json"])), run);
}

#[test]
fn nobody_is_reached_and_nothing_is_lost() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", AWAY);
    start(&sandbox, 1).success();
    let waits = segments(&sandbox);
    insta::assert_snapshot!(drain(&sandbox).snapshot(), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: `postgres://127.0.0.1:9/ops (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    hint: is the database up, and is --database (ASMM_DATABASE_URL) right?
    ");
    assert_eq!(segments(&sandbox), waits);
}

#[test]
fn an_unknown_run_is_waited_for() {
    let sandbox = super::sqlite();
    // Nothing waits: an unknown run is an error, as ever.
    assert_eq!(call(&sandbox, 1, 2).code, 1);
    assert_eq!(segments(&sandbox), []);
    // The start of another run lies in a spool that somebody holds: its run may be what waits.
    let path = folder(&sandbox).join("000000000001.spool");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let elsewhere = Sandbox::new().with_env("ASMM_DATABASE_URL", AWAY);
    start(&elsewhere, 1).success();
    std::fs::copy(&segments(&elsewhere)[0].0, &path).unwrap();
    let owner = File::open(&path).unwrap();
    owner.lock().unwrap();
    let hide = |output: Output| {
        output.snapshot().replace(path.parent().unwrap().file_name().unwrap().to_str().unwrap(), "[ledger]")
    };
    insta::assert_snapshot!(hide(call(&sandbox, 1, 2)), @r"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-000000000002
    --- stderr ---
    warning: run `00000000-0000-7000-8000-000000000001` is unknown
    warning: the event waits in the spool `[dir]/home/.local/state/asmm/spool/[ledger]`, as what it names may do
    ");
    assert_eq!(segments(&sandbox).len(), 2);
    insta::assert_snapshot!(drain(&sandbox).snapshot(), @r"
    exit: 1
    --- stdout ---
    0 delivered, 1 still waiting, 0 set aside
    --- stderr ---
    warning: 1 event still waits: run `00000000-0000-7000-8000-000000000001` is unknown
    hint: it is tried again for a day, then it is set aside
    1 segment belongs to a running process, which delivers what is in it
    ");
    let strict = sandbox.run(&["runs", "call", "--run-id", &id(1), "--model", "m", "--strict"]);
    assert_eq!(strict.code, 1, "{}", strict.snapshot());
    let status = json(sandbox.run(&["spool", "status", "--format", "json"]));
    let spool = &status["spools"][0];
    assert_eq!((&spool["events"], &spool["segments"], &spool["in_use"]), (&2.into(), &2.into(), &1.into()));
    // Its owner has ended.
    drop(owner);
    assert_eq!(drain(&sandbox).success(), "2 delivered, 0 still waiting, 0 set aside\n");
    sandbox.run(&["runs", "show", &id(1)]).success();
}

#[test]
fn who_waits_too_long_is_set_aside_and_tried_again() {
    let sandbox = not_yet();
    let [(path, text)] = segments(&sandbox).try_into().expect("one segment");
    sandbox.run(&["migrate"]).success();
    // The start is gone: the calls wait for it, a day long.
    let calls: Vec<_> = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    std::fs::write(path, calls.concat()).unwrap();
    assert_eq!(drain(&sandbox).stdout, "0 delivered, 2 still waiting, 0 set aside\n");
    let later = sandbox.with_now("2026-03-16T12:00:01Z");
    insta::assert_snapshot!(drain(&later).snapshot(), @r"
    exit: 1
    --- stdout ---
    0 delivered, 0 still waiting, 2 set aside
    --- stderr ---
    warning: 2 events of the spool are set aside, the last because: run `00000000-0000-7000-8000-000000000001` is unknown
    hint: `asmm spool status` shows what is set aside, and why
    ");
    assert_eq!(segments(&later), []);
    let set_aside = aside(&later);
    assert_eq!(set_aside.len(), 2);
    assert_eq!(set_aside[0]["recorded_at"], "2026-03-15T12:00:00Z");
    assert_eq!(drain(&later).success(), "nothing waits\n");
    let status = json(later.run(&["spool", "status", "--format", "json"]));
    assert_eq!((&status["verdict"], &status["set_aside"][0]["events"]), (&"nothing waits".into(), &2.into()));
    // Too early, and then when the cause is gone.
    insta::assert_snapshot!(later.snapshot(&["spool", "drain", "--set-aside"]), @r"
    exit: 1
    --- stdout ---
    0 delivered, 2 still waiting, 0 set aside
    --- stderr ---
    2 events that were set aside are tried again
    warning: 2 events still wait, the last because: run `00000000-0000-7000-8000-000000000001` is unknown
    hint: they are tried again for a day, then they are set aside
    ");
    start(&later, 1).success();
    assert_eq!(drain(&later).success(), "2 delivered, 0 still waiting, 0 set aside\n");
    let run = json(later.run(&["runs", "show", &id(1), "--format", "json"]));
    assert_eq!(run["llm_calls"], 2);
    assert_eq!(aside(&later).len(), 0);
    insta::assert_snapshot!(later.snapshot(&["spool", "drain", "--set-aside"]), @r"
    exit: 0
    --- stdout ---
    nothing waits
    --- stderr ---
    nothing is set aside that could be tried again
    ");
}

#[test]
fn what_is_refused_is_set_aside_with_its_reason() {
    let sandbox = not_yet();
    sandbox.run(&["runs", "finish", "--run-id", &id(1), "--status", "failed"]).success();
    sandbox.run(&["runs", "finish", "--run-id", &id(1)]).success();
    call(&sandbox, 1, 4).success();
    sandbox.run(&["migrate"]).success();
    insta::assert_snapshot!(drain(&sandbox).snapshot(), @r"
    exit: 1
    --- stdout ---
    5 delivered, 0 still waiting, 1 set aside
    --- stderr ---
    5 events that waited in the spool are recorded now
    warning: 1 event of the spool is set aside: run `00000000-0000-7000-8000-000000000001` is already finished as `failed` at 2026-03-15 12:00:00+00
    hint: `asmm spool status` shows what is set aside, and why
    ");
    let run = json(sandbox.run(&["runs", "show", &id(1), "--format", "json"]));
    assert_eq!((&run["status"], &run["llm_calls"]), (&"failed".into(), &3.into()), "it held up nothing");
    let [one] = aside(&sandbox).try_into().expect("one");
    assert_eq!((&one["event"]["type"], &one["event"]["status"]), (&"finish".into(), &"succeeded".into()));
    // What is damaged stays where it is.
    std::fs::write(folder(&sandbox).join("000000000001.spool"), "this is no event\n").unwrap();
    assert_eq!(drain(&sandbox).code, 1);
    let again = sandbox.run(&["spool", "drain", "--set-aside"]);
    assert!(
        again.code == 1 && again.stderr.contains("1 event that was set aside is tried again"),
        "{}",
        again.snapshot()
    );
    assert_eq!(aside(&sandbox).len(), 2);
}

#[test]
fn one_drains_at_a_time() {
    let sandbox = not_yet();
    sandbox.run(&["migrate"]).success();
    let lock =
        OpenOptions::new().create(true).append(true).open(folder(&sandbox).join("drain.lock")).unwrap();
    lock.lock().unwrap();
    insta::assert_snapshot!(drain(&sandbox).snapshot(), @r"
    exit: 0
    --- stdout ---
    another process is delivering what waits
    --- stderr ---
    hint: `asmm spool status` shows what is left of it
    ");
    // A command that records does not wait for it.
    start(&sandbox, 20).success();
    assert_eq!(events(&sandbox).len(), 3);
    drop(lock);
    // Many at once: each event is delivered by one of them.
    let drains: Vec<_> = (0..4)
        .map(|_| {
            sandbox
                .command(&["spool", "drain"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let said: Vec<_> =
        drains.into_iter().map(|d| Output::from_process(&d.wait_with_output().unwrap(), &[])).collect();
    assert!(said.iter().all(|output| output.code == 0), "{said:#?}");
    assert_eq!(said.iter().filter(|output| output.stdout.starts_with("3 delivered")).count(), 1, "{said:#?}");
    assert_eq!(json(sandbox.run(&["runs", "show", &id(1), "--format", "json"]))["llm_calls"], 2);
}

/// Whoever looks at the spool must not keep anybody from writing and delivering it.
#[test]
fn looking_is_in_nobodys_way() {
    let sandbox = not_yet();
    sandbox.run(&["migrate"]).success();
    let [(path, _)] = segments(&sandbox).try_into().expect("one segment");
    // As `spool status` holds it for a moment.
    let looking = File::open(&path).unwrap();
    looking.lock_shared().unwrap();
    let drain = sandbox.command(&["spool", "drain"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(looking);
    let drained = Output::from_process(&drain.wait_with_output().unwrap(), &[]);
    assert_eq!((drained.code, drained.stdout.as_str()), (0, "3 delivered, 0 still waiting, 0 set aside\n"));
}

#[test]
fn what_an_earlier_version_left_is_taken_over() {
    let lines = Native::default()
        .run(1, "p", "2026-03-15T10:00:00Z")
        .call(1, 2, "a", "2026-03-15T10:00:00Z", 1000)
        .finish(1, "succeeded", "2026-03-15T10:00:01Z")
        .0;
    for by_hand in [true, false] {
        for sandbox in super::Both::new().each() {
            let file = format!("sqlite:{}/home/.local/share/asmm/ledger.db", sandbox.path().display());
            let url = sandbox.env("ASMM_DATABASE_URL").unwrap_or(&file);
            let older = older(sandbox, url, sandbox.env("ASMM_SCHEMA").unwrap_or("asmm"));
            std::fs::create_dir_all(older.parent().unwrap()).unwrap();
            std::fs::write(&older, format!("{lines}{{\"type\":\"call\",\"run")).unwrap();
            let status = sandbox.run(&["spool", "status"]).success();
            assert!(status.contains("events that an earlier version of asmm left wait in"), "{status}");
            // The earlier version is at it: it is left alone.
            let lock = File::open(&older).unwrap();
            lock.lock().unwrap();
            assert_eq!(drain(sandbox).success(), "nothing waits\n");
            drop(lock);
            let output = if by_hand { drain(sandbox) } else { start(sandbox, 20) };
            assert_eq!(output.code, 0, "{}", output.snapshot());
            assert!(
                output.stderr.contains("3 events that waited in the spool are recorded now"),
                "{}",
                output.snapshot()
            );
            assert!(!older.exists());
            let run = json(sandbox.run(&["runs", "show", &id(1), "--format", "json"]));
            assert_eq!((&run["status"], &run["estimated_cost_usd"]), (&"succeeded".into(), &"0.0025".into()));
            let [cut] = aside(sandbox).try_into().expect("one");
            assert_eq!(cut["damaged"]["text"], "{\"type\":\"call\",\"run");
        }
    }
}

/// Else what waits would be out of order as soon as something waits behind it.
#[test]
fn what_an_earlier_version_left_goes_first() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", AWAY);
    let older = older(&sandbox, AWAY, "asmm");
    std::fs::create_dir_all(older.parent().unwrap()).unwrap();
    std::fs::write(&older, Native::default().run(1, "p", "2026-03-15T10:00:00Z").0).unwrap();
    call(&sandbox, 1, 2).success();
    let kinds: Vec<_> = events(&sandbox).into_iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["run", "call"]);
    assert!(!older.exists());
    for (path, text) in everything(&sandbox) {
        assert!(!path.display().to_string().contains("hunter2") && !text.contains("hunter2"));
    }
}

#[test]
fn a_full_spool_takes_nothing_more() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", AWAY).with_env("ASMM_SPOOL_MAX_BYTES", "100");
    start(&sandbox, 1).success();
    let waits = segments(&sandbox);
    let full = start(&sandbox, 2);
    let hidden = full.snapshot().replace(folder(&sandbox).file_name().unwrap().to_str().unwrap(), "[ledger]");
    insta::assert_snapshot!(hidden, @r"
    exit: 0
    --- stdout ---
    00000000-0000-7000-8000-000000000002
    --- stderr ---
    warning: `postgres://127.0.0.1:9/ops (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    warning: the spool `[dir]/home/.local/state/asmm/spool/[ledger]` is full: it holds 144 bytes, and may hold 100
    warning: the event is lost: neither the ledger nor the spool can take it
    hint: bring the ledger back and run `asmm spool drain`, or raise ASMM_SPOOL_MAX_BYTES
    ");
    assert_eq!(segments(&sandbox), waits);
    let sandbox = sandbox.with_env("ASMM_SPOOL_MAX_BYTES", "");
    sandbox.file("asmm.yaml", "recorder: {spool_max_bytes: 100}\n");
    assert!(start(&sandbox, 2).stderr.contains("is full"));
    let sandbox = sandbox.with_env("ASMM_SPOOL_MAX_BYTES", "1GiB");
    insta::assert_snapshot!(start(&sandbox, 2).snapshot(), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `1GiB` (ASMM_SPOOL_MAX_BYTES) is not a number of bytes
    hint: write digits only: 1073741824 for 1 GiB
    ");
    sandbox.file("asmm.yaml", "recorder: {spool_max_bytes: much}\n");
    let sandbox = sandbox.with_env("ASMM_SPOOL_MAX_BYTES", "");
    insta::assert_snapshot!(start(&sandbox, 2).snapshot(), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/asmm.yaml`: recorder.spool_max_bytes: invalid type: string, expected u64 at line 1 column 29
    hint: it may hold `database`, `schema`, `tz`, `ascii`, `guard`, `recorder` and `budgets`
    ");
}

#[test]
fn a_segment_that_cannot_be_read_keeps_nothing_from_the_disk() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", AWAY);
    let folder = folder(&sandbox);
    std::fs::create_dir_all(folder.join("000000000001.spool")).unwrap();
    let kept = start(&sandbox, 1);
    assert!(kept.code == 0 && kept.stderr.contains("waits in the spool"), "{}", kept.snapshot());
    assert!(folder.join("000000000002.spool").is_file());
}

#[test]
fn a_spool_that_cannot_be_read_is_named() {
    let sandbox = super::sqlite();
    let file = sandbox.file("home/.local/state/asmm/spool", "a file where a folder should be");
    insta::assert_snapshot!(sandbox.snapshot(&["spool", "status"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/home/.local/state/asmm/spool` cannot be read: Not a directory (os error 20)
    ");
    let failed = drain(&sandbox);
    assert!(
        failed.code == 1 && failed.stderr.contains("` cannot be read: Not a directory"),
        "{}",
        failed.snapshot()
    );
    // The ledger is there: an event needs no spool.
    let recorded = start(&sandbox, 1);
    assert_eq!((recorded.code, recorded.stderr.as_str()), (0, ""));
    sandbox.run(&["runs", "show", &id(1)]).success();
    std::fs::remove_file(file).unwrap();
    let folder = folder(&sandbox);
    std::fs::create_dir_all(folder.join("aside.jsonl")).unwrap();
    std::fs::write(folder.join("ledger"), "this one").unwrap();
    let hide = |text: String| text.replace(folder.file_name().unwrap().to_str().unwrap(), "[ledger]");
    insta::assert_snapshot!(hide(sandbox.snapshot(&["spool", "status"])), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/home/.local/state/asmm/spool/[ledger]/aside.jsonl` cannot be read: Is a directory (os error 21)
    ");
    let doctor = sandbox.run(&["doctor"]);
    assert!(
        doctor.code == 0 && doctor.stdout.contains("the spool of this machine cannot be read"),
        "{}",
        doctor.snapshot()
    );
}

#[test]
fn the_doctor_knows_what_waits() {
    let sandbox = not_yet();
    sandbox.run(&["migrate"]).success();
    let text = sandbox.run(&["doctor"]).success();
    assert!(
        text.contains("3 events wait in the spool of this machine, 0 are set aside: see `asmm spool status`"),
        "{text}"
    );
    assert!(!text.contains("newest first"), "{text}");
    drain(&sandbox).success();
    let text = sandbox.run(&["doctor"]).success();
    assert!(!text.contains("events wait in the spool"), "{text}");
}

#[test]
fn a_segment_that_cannot_be_read_holds_up_nothing() {
    let sandbox = not_yet();
    let first = segments(&sandbox).remove(0).0;
    std::fs::rename(&first, first.with_file_name("000000000002.spool")).unwrap();
    std::fs::create_dir(&first).unwrap();
    sandbox.run(&["migrate"]).success();
    let drained = drain(&sandbox);
    let spool = folder(&sandbox).display().to_string();
    let shown = drained.snapshot().replace(spool.rsplit('/').next().unwrap(), "[ledger]");
    insta::assert_snapshot!(shown, @r"
    exit: 1
    --- stdout ---
    3 delivered, 0 still waiting, 0 set aside
    --- stderr ---
    3 events that waited in the spool are recorded now
    warning: `[dir]/home/.local/state/asmm/spool/[ledger]/000000000001.spool` cannot be read: Is a directory (os error 21)
    hint: it stays and holds up nothing; make it readable, or move it out of the spool
    ");
    assert_eq!(segments(&sandbox), []);
    assert!(first.is_dir(), "it stays where it is");
}

#[test]
fn the_doctor_knows_the_recorders() {
    let sandbox = super::sqlite();
    let folder = folder(&sandbox).join("recorders");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, process, minute, is_running, is_connected) in [
        ("1", 41, 59, false, true),
        ("2", 42, 59, true, true),
        ("3", 43, 59, true, false),
        // It was killed half an hour ago.
        ("4", 44, 30, true, true),
    ] {
        let report = serde_json::json!({
            "process": process, "started_at": "2026-03-15T11:00:00Z", "updated_at": format!("2026-03-15T11:{minute}:0{name}Z"),
            "level": "buffered", "is_running": is_running, "accepted": 1000, "queued": 1, "delivered": 900,
            "spooled": 98, "in_spool": 97, "waiting": 0, "set_aside": 2, "dropped": 0, "adopted": 0, "failures": 3,
            "is_connected": is_connected,
        });
        std::fs::write(folder.join(format!("{name}.json")), report.to_string()).unwrap();
    }
    std::fs::write(folder.join("5.json"), "{").unwrap();
    let shown = sandbox.with_env("COLUMNS", "160").run(&["doctor"]).success();
    let table = shown.split("recorders on this machine").last().unwrap();
    insta::assert_snapshot!(table, @r"
    , newest first
    process  updated              state      level     accepted  queued  delivered  spooled  in spool  set aside  lost
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
         43  2026-03-15 11:59:03  waiting    buffered     1,000       1        900       98        97          2     0
         42  2026-03-15 11:59:02  connected  buffered     1,000       1        900       98        97          2     0
         41  2026-03-15 11:59:01  ended      buffered     1,000       1        900       98        97          2     0
         44  2026-03-15 11:30:04  silent     buffered     1,000       1        900       98        97          2     0

    UTC (the system's) · catalogue 2026-11-20
    the ledger is empty: that there is no data yet is no failure
    ");
}

#[test]
fn wrong_words_and_readers_that_go() {
    let sandbox = super::sqlite();
    for args in [
        &["spool"][..],
        &["spool", "drain", "--force"],
        &["spool", "drain", "now"],
        &["spool", "status", "--tz", "Nowhere"],
    ] {
        assert_eq!(sandbox.run(args).code, 2, "{args:?}");
    }
    for args in [["spool", "status"], ["spool", "drain"]] {
        let mut child = sandbox.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = Output::from_process(&child.wait_with_output().unwrap(), &[]);
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    }
    // Without a home there is no place for a spool.
    let homeless =
        sandbox.command(&["spool", "status"]).env_remove("HOME").env("ASMM_DATABASE_URL", nobody()).output();
    assert_eq!(Output::from_process(&homeless.unwrap(), &[]).code, 2);
}
