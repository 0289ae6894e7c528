//! `asmm import`: what is counted, what is named, and that a second time changes nothing.

use super::{Both, Native, id, json, repository};
use crate::support::Sandbox;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Everything the ledger says about spend and runs.
fn spend(sandbox: &Sandbox) -> String {
    let all: [&[&str]; 2] = [
        &["spend", "daily", "--since", "2020-01-01", "--by", "agent,model,pipeline", "--format", "json"],
        &["runs", "list", "--since", "2020-01-01", "--limit", "10000", "--format", "json"],
    ];
    all.map(|args| sandbox.run(args).success()).concat()
}

#[test]
fn the_session_logs_of_claude_code_add_up_to_the_truth() {
    let both = Both::new();
    let folder = repository("tests/data/imports/claude-code");
    let hidden = |text: String| text.replace(env!("CARGO_MANIFEST_DIR"), "[repository]");
    insta::assert_snapshot!(hidden(both.snapshot(&["import", "claude-code", &folder])), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: [repository]/tests/data/imports/claude-code/projects/-home-dev-work-ml/d3c2e5ce-35f7-446e-af36-45e8f7dcaa8c.jsonl:79: the line is cut off: it is not a whole JSON object
    138 calls recorded in 8 runs, 0 were there already, 1 skipped; 11 files, 408 lines: 116 told of a call again, 1 replays, 1 synthetic
    ");
    let truth: Value = serde_json::from_str(
        &std::fs::read_to_string(repository("tests/data/imports/claude-code/truth.json")).unwrap(),
    )
    .unwrap();
    let report = both.json(&["spend", "daily", "--by", "model", "--tz", "UTC", "--days", "90"]);
    let row = |row: &Value| {
        let key = format!("{}|{}", row["day"].as_str().unwrap(), row["model"].as_str().unwrap());
        let kinds = [
            ("input", "input_tokens"),
            ("output", "output_tokens"),
            ("cache_read", "cache_read_tokens"),
            ("cw5", "cache_write_tokens"),
            ("cw1", "cache_write_long_tokens"),
            ("searches", "web_searches"),
            ("responses", "llm_calls"),
        ];
        (key, kinds.map(|(short, column)| (short, row[column].as_u64().unwrap())).into())
    };
    let ours: BTreeMap<String, BTreeMap<&str, u64>> =
        report["rows"].as_array().unwrap().iter().map(row).collect();
    let ours = serde_json::to_value(ours).unwrap();
    assert_eq!(ours, truth["by_day_model"]);
    assert_eq!(report["totals"]["llm_calls"], truth["unique_responses"]);
    let before: Vec<_> = both.each().map(spend).into();
    assert_eq!(before[0], before[1]);
    assert_eq!(both.run(&["import", "claude-code", &folder, "--strict"]).code, 1);
    assert_eq!(both.each().map(spend), before[..], "a second import changes nothing");
    // The subagent of a session is an agent of its own in the session's run.
    let agents = both.json(&["spend", "agent", "--days", "90"]);
    assert_eq!(agents["rows"].as_array().unwrap().len(), 3);
}

#[test]
fn traces_become_runs() {
    let both = Both::new();
    let azure = repository("examples/traces/azure-code/trace.csv.gz");
    let mooncake = repository("examples/traces/mooncake/trace.jsonl.gz");
    let hidden = |text: String| text.replace(env!("CARGO_MANIFEST_DIR"), "[repository]");
    insta::assert_snapshot!(both.run(&["import", "traces", &azure, "--pipeline", "code"]).stderr, @r"1500 calls recorded in 3 runs, 0 were there already");
    insta::assert_snapshot!(hidden(both.snapshot(&["import", "traces", &mooncake])), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: [repository]/examples/traces/mooncake/trace.jsonl.gz:1: a Mooncake trace has times since its beginning only
    hint: say when it began with --start
    ");
    let start = ["--start", "2026-03-01T00:00:00Z", "--run-every", "60", "--model", "gpt-4o-mini"];
    insta::assert_snapshot!(both.run(&[&["import", "traces", &mooncake][..], &start].concat()).stderr, @r"1000 calls recorded in 6 runs, 0 were there already");
    let before = both.each().map(spend);
    assert_eq!(before[0], before[1]);
    insta::assert_snapshot!(both.run(&["import", "traces", &azure, "--pipeline", "code"]).stderr, @r"0 calls recorded in 3 runs, 1500 were there already");
    assert_eq!(both.each().map(spend), before);
    insta::assert_snapshot!(both.run(&["import", "traces", &azure, "--run-every", "0"]).snapshot(), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: a run of 0 seconds holds no calls
    hint: give at least 1 second
    ");
}

#[test]
fn bad_lines_are_named_and_the_rest_goes_on() {
    let both = Both::new();
    let good = Native::default()
        .run(1, "p", "2026-03-10T10:00:00Z")
        .call(1, 10, "a", "2026-03-10T10:00:00Z", 1000)
        .call(1, 10, "a", "2026-03-10T10:00:00Z", 1000)
        .call(1, 10, "a", "2026-03-10T10:00:00Z", 999)
        .line("")
        .line("{\"type\":\"call\",")
        .line("[1,2]")
        .line("{\"type\":\"teapot\",\"a\":1}")
        .call(2, 11, "a", "2026-03-10T10:00:00Z", 1)
        .call_of(1, 12, "a", ("openai", "gpt-4o"), "2026-03-10T10:00:00Z", r#"{"inptu":1}"#)
        .call_of(1, 13, "a", ("openai", "gpt-4o"), "2026-03-10T10:00:00Z", r#"{"input":-1}"#)
        .call_of(1, 14, "a", ("openai", "gpt-4o"), "1999-03-10T10:00:00Z", r#"{"input":1}"#)
        .finish(1, "running", "2026-03-10T10:01:00Z")
        .finish(1, "succeeded", "2026-03-10T10:01:00Z")
        .line(r#"{"type":"price","origin":"user","provider":"p"}"#);
    let mut bytes = good.0.into_bytes();
    bytes.extend_from_slice(b"{\"type\":\"run\xff\"}\n{\"type\":\"run\0\"}\n");
    let last = Native::default().call(1, 15, "a", "2026-03-10T10:00:00Z", 1);
    bytes.extend_from_slice(last.0.trim_end().as_bytes());
    for sandbox in both.each() {
        std::fs::write(sandbox.path().join("lines.jsonl"), &bytes).unwrap();
    }
    insta::assert_snapshot!(both.snapshot(&["import", "jsonl", "lines.jsonl"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: lines.jsonl:8: `type` is `teapot` (it is run, step, call, archived_calls, prompt, finish, finish_step, guard, price, alias, prompt_version or prompt_label)
    skipped: lines.jsonl:15: the line is not one of `asmm export jsonl`: missing field `model` at line 1 column 47
    skipped: lines.jsonl: call `00000000-0000-7000-8000-00000000000a` of run `00000000-0000-7000-8000-000000000001` is recorded with other contents, which stay
    skipped: lines.jsonl:9: run `00000000-0000-7000-8000-000000000002` is unknown (start it first: start_run, or `asmm runs start --run-id`)
    skipped: lines.jsonl:6: column 15: the JSON is broken: EOF while parsing a value
    skipped: lines.jsonl:7: column 1: the line is not a JSON object
    skipped: lines.jsonl:10: column 212: unknown key `inptu`, expected one of `input`, `cache_read`, `cache_write`, `cache_write_long`, `output`, `reasoning`, `embedding`, `web_searches`
    skipped: lines.jsonl:11: column 215: key `usage.input`: invalid value: integer `-1`, expected u64
    skipped: lines.jsonl:12: `called_at` 1999-03-10T10:00:00Z is before 2015
    skipped: lines.jsonl:13: status `running` does not finish anything
    skipped: lines.jsonl:16: column 13: the text is not UTF-8
    skipped: lines.jsonl:17: column 13: the line holds a NUL byte
    2 calls recorded in 1 run, 1 was there already, 1 in conflict, 12 skipped
    ");
    let before = both.each().map(spend);
    assert_eq!(before[0], before[1]);
    let strict = both.run(&["import", "jsonl", "lines.jsonl", "--strict"]);
    assert_eq!(strict.code, 1);
    assert_eq!(both.each().map(spend), before);
    let report = both.json(&["spend", "daily"]);
    assert_eq!(report["totals"]["input_tokens"], 1001);
}

#[test]
fn a_line_without_end_is_passed_over() {
    let sandbox = super::sqlite();
    let before = Native::default().run(1, "p", "2026-03-10T10:00:00Z").0;
    let after = Native::default().call(1, 10, "a", "2026-03-10T10:00:00Z", 1000).0;
    let long = format!("{before}{{\"type\":\"{}\"}}\n{after}", "x".repeat(20 << 20));
    sandbox.file("long.jsonl", &long);
    insta::assert_snapshot!(sandbox.snapshot(&["import", "jsonl", "long.jsonl"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: long.jsonl:2: the line is 20971531 bytes long; the limit is 16777216
    1 call recorded in 1 run, 0 were there already, 1 skipped
    ");
}

#[test]
fn files_that_are_none() {
    let both = Both::new();
    insta::assert_snapshot!(both.snapshot(&["import", "jsonl", "nowhere.jsonl"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `nowhere.jsonl` cannot be read: No such file or directory (os error 2)
    hint: name a file, or `-` for stdin
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "jsonl", "home"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `home` is a folder
    hint: name the files in it
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "claude-code", "nowhere"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot read `nowhere`: No such file or directory (os error 2)
    hint: give the folder `projects`, one project in it, or a session's .jsonl file
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "claude-code"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot read `[dir]/home/.claude`: No such file or directory (os error 2)
    hint: give the folder `projects`, one project in it, or a session's .jsonl file
    ");
    for sandbox in both.each() {
        sandbox.file("empty", "");
        sandbox.file("good.jsonl", &Native::default().run(1, "p", "2026-03-10T10:00:00Z").0);
        sandbox.file("trace.csv", "a,b\n1,2\n");
    }
    insta::assert_snapshot!(both.snapshot(&["import", "jsonl", "empty"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    0 calls recorded in 0 runs, 0 were there already
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "traces", "empty"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `empty` holds no trace: it is empty
    hint: name a trace of Azure or Mooncake, plain or gzip
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "traces", "trace.csv"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: trace.csv:1: this is neither an Azure LLM inference trace nor a Mooncake trace
    hint: the first line must be `TIMESTAMP,ContextTokens,GeneratedTokens`, or a JSON object with `timestamp`, `input_length`, `output_length` and `hash_ids`
    ");
    // A file that is missing is said before any other is taken in.
    assert_eq!(both.run(&["import", "jsonl", "good.jsonl", "nowhere.jsonl"]).code, 1);
    assert_eq!(both.json(&["runs", "list"])["rows"], serde_json::json!([]));
}

#[test]
fn stdin_and_gzip_and_pipes_are_read() {
    let sample = super::spend::sample();
    let plain = super::sqlite();
    plain.run_with_input(&["import", "jsonl", "-"], &sample).success();
    let piped = super::sqlite();
    let fifo = piped.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let child = piped
        .command(&["import", "jsonl", "fifo", "--strict"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::fs::write(&fifo, &sample).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(spend(&piped), spend(&plain));
    let packed = super::sqlite();
    packed.file("sample.jsonl", &sample);
    let gzip = Command::new("gzip").arg(packed.path().join("sample.jsonl")).status().unwrap();
    assert!(gzip.success());
    packed.run(&["import", "jsonl", "sample.jsonl.gz", "--strict"]).success();
    assert_eq!(spend(&packed), spend(&plain));
    // Cut off in the middle: said, exit 1, and what came before is there, once.
    let bytes = std::fs::read(packed.path().join("sample.jsonl.gz")).unwrap();
    std::fs::write(packed.path().join("cut.jsonl.gz"), &bytes[..bytes.len() - 12]).unwrap();
    insta::assert_snapshot!(packed.snapshot(&["import", "jsonl", "cut.jsonl.gz"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: cannot read `cut.jsonl.gz`: incomplete deflate stream
    hint: is it whole? importing it again is safe: what is there already stays once
    ");
    assert_eq!(spend(&packed), spend(&plain));
    assert_eq!(json(plain.run(&["runs", "show", &id(1), "--format", "json"]))["llm_calls"], 3);
}
