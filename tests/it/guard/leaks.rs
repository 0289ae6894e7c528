//! No value that the guard found is anywhere: not in what commands say, nor in databases, spools, keys and exports.

use super::planted::{card, email, github_token, password, phone};
use super::{REPLY, start};
use crate::cli::Both;
use crate::support::{Sandbox, psql_program};
use serde_json::json;
use std::path::Path;

/// Everything that is planted. What a variable allows raw is not among it.
fn planted() -> Vec<String> {
    (1..4).flat_map(|n| [github_token(n), email(n), phone(n), card(n), password(n)]).collect()
}

/// The same, as a text has them: a password is one because a word says so.
fn as_said() -> Vec<String> {
    let said =
        |value: String| if value.starts_with("Kestrel") { format!("password: {value}") } else { value };
    planted().into_iter().map(said).collect()
}

/// Every file under a folder, but for those that the test wrote itself.
fn files(folder: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

/// Plants values in everything that takes texts, with every command there is; answers all that was said.
fn exercise(sandbox: &Sandbox, run: &str) -> String {
    let values = as_said();
    let dirty = values.join("\n");
    let inputs = format!("written/{run}");
    sandbox.file(&format!("{inputs}/i.json"), &json!({"text": dirty, "who": email(1)}).to_string());
    sandbox.file(
        &format!("{inputs}/m.json"),
        &json!([{"role": "user", "content": dirty, "password": password(2)}]).to_string(),
    );
    sandbox.file(&format!("{inputs}/bad.yaml"), &REPLY.replace("Answer", &dirty));
    sandbox.file(
        &format!("{inputs}/worse.yaml"),
        &format!("schema: asmm.prompt/v1\nname: {}\nengine: {}\n", github_token(1), github_token(2)),
    );
    sandbox.file(&format!("{inputs}/lines.jsonl"), &format!(
        "{}\n{}\n{}\n",
        json!({"type": "prompt", "run_id": run, "call_id": "00000000-0000-7000-8000-0000000000a1", "sent_at": "2026-03-15T11:00:00Z",
               "prompt": {"messages": [{"role": "user", "content": dirty}]}}),
        json!({"type": "prompt", "run_id": run, "call_id": "00000000-0000-7000-8000-0000000000a2", "sent_at": "2026-03-15T11:00:00Z",
               "prompt": {"version": "support/reply@1", "inputs": dirty}}),
        json!({"type": "call", "run_id": run, "usage": github_token(3), "model": "m"}),
    ));
    let path = |name: &str| format!("{inputs}/{name}");
    let (i, m, bad, worse, lines) =
        (path("i.json"), path("m.json"), path("bad.yaml"), path("worse.yaml"), path("lines.jsonl"));
    let away = ["--database", "postgres://127.0.0.1:9/away"];
    let mut said = String::new();
    let mut run_all = |args: &[&str]| {
        for log in [&["--log-format", "json", "--log-level", "info"][..], &["--log-level", "info"]] {
            said += &sandbox.run(&[args, log].concat()).snapshot();
        }
    };
    run_all(&["prompts", "push", &bad]);
    run_all(&["prompts", "check", &worse]);
    run_all(&["prompts", "render", "support/reply", "--inputs", &i]);
    run_all(&["prompts", "render", "support/reply", "--inputs", &i, "--record", "--run-id", run]);
    for value in &values {
        let input = format!("text={value}");
        for variable in ["text", "log"] {
            let input = input.replace("text=", &format!("{variable}="));
            run_all(&[
                "prompts",
                "render",
                "support/reply",
                "--input",
                "text=x",
                "--record",
                "--run-id",
                run,
                "--input",
                &input,
            ]);
        }
        run_all(&[
            "prompts",
            "render",
            "support/reply",
            "--record",
            "--run-id",
            run,
            "--input",
            &input,
            "--format",
            "json",
        ]);
    }
    run_all(&["runs", "call", "--run-id", run, "--model", "m", "--prompt-messages", &m]);
    run_all(&[
        "runs",
        "call",
        "--run-id",
        run,
        "--model",
        "m",
        "--prompt-version",
        "support/reply@1",
        "--prompt-inputs",
        &i,
    ]);
    run_all(
        &[&away[..], &["runs", "call", "--run-id", run, "--model", "m", "--prompt-messages", &m]].concat(),
    );
    run_all(
        &[
            &away[..],
            &[
                "runs",
                "call",
                "--run-id",
                run,
                "--model",
                "m",
                "--prompt-version",
                "support/reply@1",
                "--prompt-inputs",
                &i,
            ],
        ]
        .concat(),
    );
    run_all(&[
        "runs",
        "start",
        "--pipeline",
        "support",
        "--label",
        &format!("key={}", github_token(1)),
        "--label",
        &format!("password={}", password(2)),
    ]);
    run_all(&["import", "jsonl", &lines]);
    for format in ["text", "json", "sarif"] {
        run_all(&["guard", "scan", "--suspicions", "--soft", "--format", format, &inputs]);
    }
    run_all(&["guard", "scan", "--jsonl", &lines]);
    run_all(&["guard", "events", "--format", "json"]);
    run_all(&["guard", "events"]);
    run_all(&["guard", "coverage"]);
    run_all(&["guard", "sweep"]);
    run_all(&["guard", "sweep", "--redact"]);
    run_all(&["replay", run]);
    run_all(&["replay", run, "--format", "json"]);
    run_all(&["prompts", "list"]);
    run_all(&["prompts", "show", "support/reply"]);
    run_all(&["runs", "show", run]);
    run_all(&["doctor"]);
    run_all(&["spool", "drain"]);
    for format in ["table", "json"] {
        run_all(&["spool", "status", "--format", format]);
        run_all(&[&away[..], &["spool", "status", "--format", format]].concat());
    }
    run_all(&["export", "jsonl"]);
    said
}

#[test]
fn no_value_is_anywhere() {
    for sandbox in Both::new().each() {
        sandbox.file("prompts/reply.yaml", REPLY);
        sandbox.run(&["prompts", "push"]).success();
        let run = start(sandbox);
        let said = exercise(sandbox, &run);
        assert!(
            said.contains("[SECRET_1]") && said.contains("github_token") && said.contains("EMAIL"),
            "the test plants nothing"
        );
        let mut everything = vec![("what commands said".to_owned(), said.into_bytes())];
        files(&sandbox.path().join("home"), &mut everything);
        assert!(everything.len() > 2, "key, spool and ledger");
        if let Some(schema) = sandbox.env("ASMM_SCHEMA") {
            let tables = [
                "prompt_version",
                "prompt_text",
                "llm_call_prompt",
                "llm_call",
                "guard_event",
                "pipeline_run",
            ];
            for table in tables {
                let dump =
                    psql_program(schema).args(["-c", &format!("copy {table} to stdout")]).output().unwrap();
                assert!(dump.status.success());
                everything.push((table.to_owned(), dump.stdout));
            }
        }
        for (place, bytes) in &everything {
            for value in planted() {
                // Numbers and their parts are short: whole values only.
                let found = memchr_in(bytes, value.as_bytes());
                let text = String::from_utf8_lossy(bytes);
                let line = text.lines().find(|line| line.contains(&value)).unwrap_or_default();
                assert!(!found, "a value of {} bytes is in {place}: {line}", value.len());
            }
        }
    }
}

fn memchr_in(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}
