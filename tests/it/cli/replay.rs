//! `asmm replay`: given back exactly, or said why not; shown otherwise, and sent again.

use super::{Sandbox, id, json};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc;

const NOW: &str = "2026-03-10T12:00:00Z";
const KEY: &str = "key-that-nobody-may-see";

fn greet(words: &str) -> String {
    format!(
        "schema: asmm.prompt/v1\nname: greet\nengine: subst/1\nmodel: {{id: gpt-5-mini, params: {{seed: 7}}}}\n\
         variables: {{who: {{type: string}}}}\nmessages: [{{role: user, content: '{words} {{{{who}}}}'}}]\n"
    )
}

/// Run 1 has a step with two calls of `greet@1`, and a captured text outside of steps.
fn recorded(sandbox: &Sandbox) {
    sandbox.file("prompts/greet.yaml", &greet("Hello"));
    sandbox.run(&["prompts", "push"]).success();
    let prompt = |who: &str| json!({"version": "greet@1", "inputs": {"who": who}, "sanitisation": "clean"});
    let captured = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look"}]}]});
    let call = |n: u32, step: Option<String>, prompt: Value| {
        json!({"type": "call", "run_id": id(1), "call_id": id(n), "step_id": step, "provider": "openai",
               "model": "gpt-5-mini-2025-08-07", "called_at": format!("2026-03-10T11:00:{n}Z"),
               "usage": {"input": 10, "output": 5}, "prompt": prompt})
    };
    let lines = [
        json!({"type": "run", "run_id": id(1), "pipeline": "p", "started_at": "2026-03-10T11:00:00Z"}),
        json!({"type": "step", "run_id": id(1), "step_id": id(9), "step": "greet", "agent": "host",
               "prompt_version": "1", "started_at": "2026-03-10T11:00:00Z"}),
        call(11, Some(id(9)), prompt("Ada")),
        call(12, Some(id(9)), prompt("Bob")),
        call(13, None, captured),
        json!({"type": "finish", "run_id": id(1), "status": "succeeded", "completed_at": "2026-03-10T11:30:00Z"}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &text).success();
}

fn sandbox() -> Sandbox {
    let sandbox = super::sqlite().with_now(NOW);
    recorded(&sandbox);
    sandbox
}

#[test]
fn is_the_same_on_both_databases() {
    let postgres = Sandbox::new().with_postgres().with_now(NOW);
    postgres.run(&["migrate"]).success();
    recorded(&postgres);
    let sqlite = sandbox();
    for args in [
        &["replay", "last"][..],
        &["replay", "last", "--verify"],
        &["replay", "last", "--format", "json"],
        &["replay", "last", "--format", "openai"],
        &["replay", "last", "--step", "greet"],
        &["replay", "last", "--call", &id(13)],
    ] {
        let (ours, theirs) = (sqlite.run(args), postgres.run(args));
        assert_eq!((ours.code, &ours.stdout, &ours.stderr), (theirs.code, &theirs.stdout, &theirs.stderr));
        assert_eq!(ours.code, 0, "{args:?} {}", ours.stderr);
    }
}

#[test]
fn gives_every_format() {
    let sandbox = sandbox();
    insta::assert_snapshot!(sandbox.run(&["replay", "last", "--step", "greet"]).stdout, @r"
    run 00000000-0000-7000-8000-000000000001  p  succeeded  started 2026-03-10T11:00:00Z

    call 1  00000000-0000-7000-8000-00000000000b  greet  host  gpt-5-mini-2025-08-07
    greet@1 sha256:34e82bf53812  clean  verified
    --- user ---
    Hello Ada

    call 2  00000000-0000-7000-8000-00000000000c  greet  host  gpt-5-mini-2025-08-07
    greet@1 sha256:34e82bf53812  clean  verified
    --- user ---
    Hello Bob

    2 of 2 calls verified
    ");
    let requests = sandbox.run(&["replay", "last", "--format", "openai"]).success();
    let requests: Vec<Value> = requests.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        requests[0],
        json!({"model": "gpt-5-mini-2025-08-07", "seed": 7, "messages": [{"role": "user", "content": "Hello Ada"}]})
    );
    assert_eq!(requests[2]["messages"][0]["content"][0]["text"], "Look");
    let all = json(sandbox.run(&["replay", "last", "--format", "json"]));
    assert_eq!(
        (&all["schema"], &all["verified"], &all["calls_total"]),
        (&"asmm.replay/1".into(), &3.into(), &3.into())
    );
    assert_eq!(all["calls"][1]["inputs"], json!({"who": "Bob"}));
    for (args, says) in
        [(["--step", "nothing"], "no call of step `nothing`"), (["--call", &id(99)], "no call of id")]
    {
        let output = sandbox.run(&[&["replay", "last"][..], &args].concat());
        assert!(output.code == 1 && output.stderr.contains(says), "{}", output.stderr);
    }
}

#[test]
fn shows_what_another_version_would_have_sent() {
    let sandbox = sandbox();
    sandbox.file("prompts/greet.yaml", &greet("Good day"));
    sandbox.run(&["prompts", "push"]).success();
    let output = sandbox.run(&["replay", "last", "--with", "greet@2"]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("-  Hello Bob\n+  Good day Bob"), "{}", output.stdout);
    assert!(output.stderr.contains("1 call is left out"), "{}", output.stderr);
    let requests = sandbox.run(&["replay", "last", "--with", "greet", "--format", "openai"]).success();
    assert!(requests.contains("Good day Ada") && requests.contains("\"model\":\"gpt-5-mini\""), "{requests}");
    sandbox.file("prompts/other.yaml", &greet("Hi").replace("name: greet", "name: other"));
    sandbox.run(&["prompts", "push"]).success();
    let output = sandbox.run(&["replay", "last", "--with", "other"]);
    assert!(
        output.code == 1 && output.stderr.contains("no call whose inputs to `other`"),
        "{}",
        output.stderr
    );
}

/// Past the triggers, as somebody with the file could.
fn tamper(sandbox: &Sandbox, statements: &[&str]) {
    let path = sandbox.path().join("home/.local/share/asmm/ledger.db");
    crate::support::block_on(async {
        let mut connection =
            SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        for sql in statements {
            sqlx::raw_sql(sqlx::AssertSqlSafe((*sql).to_owned())).execute(&mut connection).await.unwrap();
        }
    });
}

#[test]
fn what_was_changed_is_told_by_replay_and_doctor() {
    let sandbox = sandbox();
    let doctor = sandbox.run(&["doctor"]);
    assert!(doctor.code == 0 && doctor.stdout.contains("all laws hold"), "{}", doctor.stdout);
    tamper(
        &sandbox,
        &[
            "drop trigger llm_call_prompt_only_marked",
            "update llm_call_prompt set inputs = '{\"who\":\"Eve\"}' where inputs like '%Bob%'",
        ],
    );
    let replay = sandbox.run(&["replay", "last", "--verify"]);
    assert_eq!(replay.code, 5, "{}", replay.stdout);
    assert!(replay.stdout.contains("2 of 3 calls verified; 1: mismatch"), "{}", replay.stdout);
    let requests = sandbox.run(&["replay", "last", "--format", "openai"]);
    assert!(requests.code == 5 && !requests.stdout.contains("Eve"), "{}", requests.stdout);
    let doctor = sandbox.run(&["doctor"]);
    assert!(doctor.code == 5 && doctor.stdout.contains(&id(12)), "{}", doctor.stdout);
    tamper(
        &sandbox,
        &[
            "drop trigger prompt_version_no_update",
            "update prompt_version set content = replace(content, 'Hello', 'Hi')",
        ],
    );
    let doctor = json(Output::ignoring_code(sandbox.run(&["doctor", "--format", "json"])));
    assert_eq!(doctor["verdict"], "a law is broken");
    assert_eq!(sandbox.run(&["replay", "last"]).code, 5);
    assert_eq!(sandbox.run(&["prompts", "show", "greet@1"]).code, 5);
}

/// A command's output whatever its exit code.
struct Output;

impl Output {
    fn ignoring_code(mut output: crate::support::Output) -> crate::support::Output {
        output.code = 0;
        output
    }
}

/// One answer of the stub: status, headers, body.
pub(super) type Response = (u16, &'static str, String);

fn answered(number: usize) -> Response {
    let body = json!({
        "id": format!("chatcmpl-{number}"), "model": "gpt-5-mini-2025-08-07",
        "choices": [{"message": {"role": "assistant", "content": "ok"}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 40},
                  "completion_tokens_details": {"reasoning_tokens": 5}},
    });
    (200, "", body.to_string())
}

/// An endpoint on a free port that gives these answers, one a request, and tells what it was sent. It never answers
/// a request without one.
pub(super) fn stub(answers: Vec<Response>) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        let mut unanswered = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            if sender.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
            match answers.next() {
                Some((status, headers, body)) => {
                    let length = body.len();
                    write!(stream, "HTTP/1.1 {status} x\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")
                        .unwrap();
                }
                None => unanswered.push(stream),
            }
        }
    });
    (url, receiver)
}

#[test]
fn sends_the_same_again_as_a_new_run() {
    let busy = (429, "retry-after: 0\r\n", "{}".to_owned());
    let broken = (500, "retry-after: 0\r\n", "{}".to_owned());
    let (url, requests) = stub(vec![busy, broken, answered(1), answered(2), answered(3)]);
    let sandbox = sandbox().with_env("OPENAI_API_KEY", KEY);
    let output = sandbox.run(&["replay", "last", "--execute", "--base-url", &url]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!output.stderr.contains(KEY) && output.stderr.contains("429"), "{}", output.stderr);
    let requests: Vec<(String, Value)> = requests.try_iter().collect();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|(head, body)| head.contains(KEY) && body["stream"] == false));
    assert_eq!(requests[2].1["messages"], json!([{"role": "user", "content": "Hello Ada"}]));
    let new = output.stdout.trim().to_owned();
    let run = json(sandbox.run(&["runs", "show", &new, "--format", "json"]));
    assert_eq!(
        (&run["replay_of"], &run["status"], &run["llm_calls"]),
        (&id(1).into(), &"succeeded".into(), &3.into())
    );
    assert_eq!(run["llm_tokens_input"], 300);
    assert_eq!(run["steps"][0]["prompt_version"], "greet@1");
    assert_eq!(sandbox.run(&["replay", &new, "--verify"]).code, 0);
    let diff = json(sandbox.run(&["runs", "diff", &id(1), &new, "--format", "json"]));
    assert_eq!((&diff["equal_texts"], &diff["texts"]), (&3.into(), &3.into()));
    assert!(sandbox.run(&["runs", "diff", &id(1), &new]).stdout.contains("greet@1"));
    assert_eq!(sandbox.run(&["doctor"]).code, 0);
}

#[test]
fn a_call_that_cannot_be_sent_is_recorded_as_failed() {
    let refused = (401, "", json!({"error": {"message": format!("Incorrect API key: {KEY}")}}).to_string());
    let (url, requests) = stub(vec![refused, answered(2), answered(3)]);
    let sandbox = sandbox().with_env("MY_KEY", KEY);
    let args =
        ["replay", "last", "--execute", "--base-url", &url, "--api-key-env", "MY_KEY", "--retries", "0"];
    let output = sandbox.run(&args);
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("[key]") && !output.stderr.contains(KEY), "{}", output.stderr);
    assert_eq!(requests.try_iter().count(), 3, "a refusal is not tried again");
    let run = json(sandbox.run(&["runs", "show", output.stdout.trim(), "--format", "json"]));
    assert_eq!((&run["status"], &run["unpriced_calls"]), (&"failed".into(), &1.into()));
}

#[test]
fn an_endpoint_that_does_not_answer_is_given_up() {
    let (url, _requests) = stub(Vec::new());
    let sandbox = sandbox();
    let args = [
        "replay",
        "last",
        "--call",
        &id(11),
        "--execute",
        "--base-url",
        &url,
        "--timeout",
        "1",
        "--retries",
        "0",
    ];
    let output = sandbox.run(&args);
    assert!(output.code == 1 && output.stderr.contains("timeout"), "{}", output.stderr);
    let output = sandbox.run(&["replay", "last", "--execute", "--base-url", "http://example.com/v1"]);
    assert_ne!(output.code, 0);
    let keyed = sandbox.with_env("OPENAI_API_KEY", KEY);
    for url in ["http://example.com/v1", "ftp://x", "nonsense"] {
        let output = keyed.run(&["replay", &id(1), "--execute", "--base-url", url, "--retries", "0"]);
        assert!(output.code == 2 && output.stderr.contains("hint:"), "{}", output.stderr);
    }
}

fn run_ids(sandbox: &Sandbox) -> usize {
    json(sandbox.run(&["runs", "list", "--format", "json"]))["rows"].as_array().unwrap().len()
}

#[test]
fn what_cannot_be_sent_leaves_no_run_behind() {
    let (url, requests) = stub(Vec::new());
    let sandbox = sandbox();
    sandbox.file("prompts/other.yaml", &greet("Hi").replace("name: greet", "name: other"));
    sandbox.run(&["prompts", "push"]).success();
    let execute = ["replay", "last", "--execute", "--base-url", &url];
    for (args, says) in [
        (["--step", "nothing"], "no call of step `nothing`"),
        (["--call", &id(99)], "no call of id"),
        (["--with", "other"], "no call whose inputs to `other`"),
    ] {
        let output = sandbox.run(&[&execute[..], &args].concat());
        assert!(output.code == 1 && output.stderr.contains(says), "{}", output.snapshot());
    }
    assert_eq!((run_ids(&sandbox), requests.try_iter().count()), (1, 0));
}

#[test]
fn a_limit_is_no_wrong_step() {
    let (url, requests) = stub(vec![answered(1)]);
    let sandbox = sandbox();
    let calls = ["--call", &id(11), "--call", &id(12)];
    let args = ["replay", "last", "--execute", "--base-url", &url, "--limit", "1"];
    let output = sandbox.run(&[&args[..], &calls].concat());
    assert_eq!(output.code, 0, "{}", output.snapshot());
    assert!(output.stderr.contains("1 of 1 sent"), "{}", output.stderr);
    assert_eq!(requests.try_iter().count(), 1);
}

#[test]
fn inputs_that_were_changed_are_not_sent_in_other_words() {
    let sandbox = sandbox();
    sandbox.file("prompts/greet.yaml", &greet("Good day"));
    sandbox.run(&["prompts", "push"]).success();
    let update = "update llm_call_prompt set inputs = '{\"who\":\"Eve\"}' where inputs like '%Bob%'";
    tamper(&sandbox, &["drop trigger llm_call_prompt_only_marked", update]);
    let printed = sandbox.run(&["replay", "last", "--with", "greet", "--format", "openai"]);
    assert!(printed.code == 5 && !printed.stdout.contains("Eve"), "{}", printed.snapshot());
    let (url, requests) = stub(vec![answered(1), answered(2)]);
    let output = sandbox.run(&["replay", "last", "--with", "greet", "--execute", "--base-url", &url]);
    assert_eq!(output.code, 5, "{}", output.snapshot());
    let sent: Vec<(String, Value)> = requests.try_iter().collect();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1["messages"][0]["content"], "Good day Ada");
    let new = json(sandbox.run(&["runs", "show", output.stdout.trim(), "--format", "json"]));
    assert_eq!(
        (&new["status"], &new["steps"][0]["prompt_version"]),
        (&"succeeded".into(), &"greet@2".into())
    );
}

#[test]
fn a_text_without_a_model_needs_one_to_be_sent() {
    let sandbox = super::sqlite().with_now(NOW);
    let text = json!({"messages": [{"role": "user", "content": "Hi"}]});
    let lines = [
        json!({"type": "run", "run_id": id(1), "pipeline": "p", "started_at": "2026-03-10T11:00:00Z"}),
        json!({"type": "prompt", "run_id": id(1), "call_id": id(11), "sent_at": "2026-03-10T11:00:01Z", "prompt": text}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &text).success();
    insta::assert_snapshot!(sandbox.snapshot(&["replay", "last", "--format", "openai"]), @r"
    exit: 5
    --- stdout ---
    --- stderr ---
    warning: call `00000000-0000-7000-8000-00000000000b` is left out: neither the call nor its prompt names a model
    1 of 1 call verified
    ");
    let (url, requests) = stub(vec![answered(1)]);
    let execute = ["replay", "last", "--execute", "--base-url", &url];
    let output = sandbox.run(&execute);
    assert_eq!((output.code, run_ids(&sandbox)), (5, 1), "{}", output.snapshot());
    sandbox.run(&[&execute[..], &["--model", "gpt-5-mini"]].concat()).success();
    assert_eq!(requests.recv().unwrap().1["model"], "gpt-5-mini");
}

#[test]
fn json_is_whole_or_not_there() {
    let sandbox = sandbox();
    let output = sandbox.run(&["replay", "last", "--format", "json", "--step", "nothing"]);
    assert_eq!((output.code, output.stdout.as_str()), (1, ""));
    let empty =
        json!({"type": "run", "run_id": id(2), "pipeline": "p", "started_at": "2026-03-10T11:59:00Z"});
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &empty.to_string()).success();
    let all = json(sandbox.run(&["replay", &id(2), "--format", "json"]));
    assert_eq!((&all["calls"], &all["verified"], &all["purged"]), (&json!([]), &0.into(), &0.into()));
    let all = json(sandbox.run(&["replay", &id(1), "--format", "json", "--verify"]));
    assert_eq!((&all["verified"], &all["mismatch"], &all["broken"]), (&3.into(), &0.into(), &0.into()));
}

/// What an endpoint says of itself is recorded, and a key is never.
#[test]
fn a_key_that_comes_back_is_not_recorded() {
    let (status, headers, body) = answered(1);
    let (url, requests) = stub(vec![(status, headers, body.replace("chatcmpl-1", KEY))]);
    let sandbox = sandbox()
        .with_env("OPENAI_API_KEY", format!("{KEY}\n"))
        .with_env("HTTP_PROXY", "http://127.0.0.1:1")
        .with_env("ALL_PROXY", "http://127.0.0.1:1");
    let args = ["replay", "last", "--call", &id(11), "--execute", "--base-url", &url, "--retries", "0"];
    sandbox.run(&args).success();
    assert_eq!(requests.try_iter().count(), 1, "an endpoint on this machine is not reached through a proxy");
    let ledger = sandbox.run(&["export", "jsonl"]).success();
    assert!(ledger.contains("\"[key]\"") && !ledger.contains(KEY), "{ledger}");
}

#[test]
fn a_redirect_is_not_followed() {
    let (elsewhere, seen) = stub(vec![answered(1)]);
    let location: &'static str = format!("location: {elsewhere}\r\n").leak();
    for status in [302, 307, 308] {
        let (url, _requests) = stub(vec![(status, location, String::new())]);
        let sandbox = sandbox().with_env("OPENAI_API_KEY", KEY);
        let output = sandbox.run(&["replay", "last", "--call", &id(11), "--execute", "--base-url", &url]);
        assert_eq!(output.code, 1, "{}", output.snapshot());
    }
    assert_eq!(seen.try_iter().count(), 0);
}

#[test]
fn an_interrupted_run_says_what_it_sent() {
    for signal in ["-INT", "-TERM"] {
        // The second request is not answered: it waits until the signal comes.
        let (url, requests) = stub(vec![answered(1)]);
        let sandbox = sandbox();
        let mut command = sandbox.command(&["replay", "last", "--execute", "--base-url", &url]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        requests.recv().unwrap();
        requests.recv().unwrap();
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let output = crate::support::Output::from_process(&child.wait_with_output().unwrap(), &[]);
        assert_eq!(output.code, 130, "{}", output.snapshot());
        let new = output.stdout.trim();
        let run = json(sandbox.run(&["runs", "show", new, "--format", "json"]));
        assert_eq!(
            (&run["status"], &run["llm_calls"], &run["unpriced_calls"]),
            (&"cancelled".into(), &2.into(), &1.into()),
            "what was sent may be billed, answered or not"
        );
        assert_eq!(sandbox.run(&["replay", new, "--verify"]).code, 0);
    }
}

#[test]
fn a_change_of_cost_is_known_when_both_costs_are() {
    let (url, _requests) = stub(vec![answered(1), (400, "", "{}".to_owned()), answered(3)]);
    let sandbox = sandbox();
    let output = sandbox.run(&["replay", "last", "--execute", "--base-url", &url]);
    assert_eq!(output.code, 1, "{}", output.snapshot());
    let new = output.stdout.trim();
    let diff = json(sandbox.run(&["runs", "diff", &id(1), new, "--format", "json"]));
    assert_eq!(diff["change_usd"], Value::Null, "a call without a known cost is not free");
    let same = json(sandbox.run(&["runs", "diff", &id(1), &id(1), "--format", "json"]));
    assert_eq!(same["change_usd"], "0");
    let run = json(sandbox.run(&["runs", "show", new, "--format", "json"]));
    assert_eq!(run["steps"][0]["status"], "failed");
}
