//! Real clients: SDKs and instrumentations as their makers ship them, from `tests/otel/requirements.txt`.

use super::journal;
use super::receiver::Receiver;
use crate::support::{Sandbox, block_on};
use asmm::clock::Clock;
use asmm::domain::{Call, Outcome, RunId, StepId, TokenUsage};
use asmm::store::{Location, Store};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// The Python that has OpenAI's SDK and `OpenTelemetry`, in an environment that holds nothing of the machine's.
fn python(receiver: &Receiver) -> Command {
    let program = std::env::var("ASMM_TEST_OTEL_PYTHON").expect("tests/run says which python3 has the SDKs");
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url(""))
        .env("OTEL_SERVICE_NAME", "shop");
    command
}

fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Ledgers on both databases, with the machine's clock: spans are of now.
fn sandboxes() -> [Sandbox; 2] {
    let postgres = Sandbox::new().with_postgres().with_env("ASMM_NOW", "");
    postgres.run(&["migrate"]).success();
    let sqlite = Sandbox::new().with_env("ASMM_NOW", "");
    let url = format!("sqlite:{}", sqlite.path().join("ledger.db").display());
    [sqlite.with_env("ASMM_DATABASE_URL", url), postgres]
}

fn calls(sandbox: &Sandbox) -> Vec<Call> {
    let url = sandbox.env("ASMM_DATABASE_URL").unwrap();
    let location = Location::new(url, sandbox.env("ASMM_SCHEMA").unwrap_or("asmm"));
    block_on(async {
        let store = Store::open(&location, Clock::System).await.unwrap();
        let calls = journal(&store).await.into_values().collect();
        assert_eq!(store.broken_laws().await.unwrap(), []);
        store.close().await;
        calls
    })
}

/// Of 1,200 tokens in, 1,024 came from the cache; of 80 out, 16 were for reasoning.
fn usual() -> TokenUsage {
    TokenUsage { input: 176, cache_read: 1024, output: 64, reasoning: 16, ..TokenUsage::default() }
}

/// What is told of a call: agent, model, operation, response, usage and outcome.
type Told = (String, String, String, Option<String>, Option<TokenUsage>, Outcome);

fn told(call: &Call) -> Told {
    let of = call.clone();
    (of.agent, of.model, of.operation, of.response_id, of.usage, of.outcome)
}

/// What has to be told of the calls that `tests/otel/client.py` makes; the stand-in numbers its answers.
fn expected() -> Vec<Told> {
    let told = |agent: &str, model: &str, operation: &str, response: Option<&str>, usage, outcome| {
        (
            agent.to_owned(),
            model.to_owned(),
            operation.to_owned(),
            response.map(str::to_owned),
            usage,
            outcome,
        )
    };
    let mini = "gpt-4o-mini-2024-07-18";
    let chat =
        |agent: &str, response: &str| told(agent, mini, "chat", Some(response), Some(usual()), Outcome::Ok);
    let embedded = TokenUsage { embedding: 42, ..TokenUsage::default() };
    let mut calls = vec![
        chat("planner", "chatcmpl-1"),
        chat("planner", "resp_2"),
        chat("streamer", "chatcmpl-3"),
        chat("streamer", "resp_4"),
        told("streamer", mini, "chat", Some("chatcmpl-5"), None, Outcome::Ok),
        told("planner", "text-embedding-3-small", "embeddings", None, Some(embedded), Outcome::Ok),
        told("planner", "no-such-model", "chat", None, None, Outcome::Error),
        chat("", "chatcmpl-6"),
        chat("by-attribute", "chatcmpl-7"),
    ];
    calls.extend((8..24).map(|number| chat("by-baggage", &format!("chatcmpl-{number}"))));
    calls.sort_by_key(|told| format!("{told:?}"));
    calls
}

#[test]
fn the_calls_of_a_real_client_come_in_as_they_were() {
    for sandbox in sandboxes() {
        let receiver = Receiver::start(&sandbox, &["--keep-texts"]);
        let run_id = RunId(uuid::Uuid::now_v7());
        let step_id = StepId(uuid::Uuid::now_v7());
        let mut command = python(&receiver);
        command.arg(format!("{REPOSITORY}/tests/otel/client.py"));
        command.args([run_id.to_string(), step_id.to_string()]);
        command.env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY");
        succeed(command);
        let (said, code) = receiver.end();
        assert_eq!(code, Some(0), "{said}");

        let calls = calls(&sandbox);
        let mut found: Vec<Told> = calls.iter().map(told).collect();
        found.sort_by_key(|told| format!("{told:?}"));
        assert_eq!(found, expected());
        for call in &calls {
            assert_eq!(call.provider, "openai");
            let is_named = call.agent.starts_with("by-");
            assert_eq!(call.run_id == run_id, is_named, "{call:?}");
            assert_eq!(call.step_id, Some(step_id).filter(|_| call.agent == "by-attribute"), "{call:?}");
        }
        // The planner's trace is one run, and the call without anything around it another.
        let runs: std::collections::BTreeSet<RunId> = calls.iter().map(|call| call.run_id).collect();
        assert_eq!(runs.len(), 3);
        // The two whose usage nobody told are without a price, and no other.
        let spend = sandbox.run(&["spend", "agent", "--days", "2"]).success();
        assert!(spend.contains("92.0 % of 25 calls priced"), "{spend}");
        // What was sent and answered is there as the client had it.
        let mut answered = 0;
        for run_id in runs {
            let replayed = sandbox.run(&["replay", &run_id.to_string(), "--format", "json"]);
            let replayed: Value = serde_json::from_str(&replayed.stdout).unwrap();
            for call in
                replayed["calls"].as_array().unwrap().iter().filter(|call| call["operation"] == "chat")
            {
                assert_eq!(
                    (&call["verdict"], &call["sanitisation"]),
                    (&json!("verified"), &json!("clean")),
                    "{call}"
                );
                assert_eq!(call["messages"], json!([{"role": "user", "content": "hello"}]), "{call}");
                if let Some(output) = call["output"].as_array() {
                    assert_eq!((&output[0]["role"], output.len()), (&json!("assistant"), 1), "{call}");
                    assert!(output[0]["content"].as_str().is_some_and(|text| !text.is_empty()), "{call}");
                    answered += 1;
                }
            }
        }
        assert_eq!(answered, 23);
    }
}

/// The stand-in of the examples, as a process of its own.
struct Stub(Child, String);

impl Stub {
    fn start(receiver: &Receiver) -> Self {
        use std::io::{BufRead, BufReader};
        let mut command = python(receiver);
        command.args([&format!("{REPOSITORY}/examples/otel/stub.py"), "0"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self(child, url.trim().to_owned())
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_runbook_shows_what_the_example_in_python_gives() {
    let runbook = std::fs::read_to_string(PathBuf::from(REPOSITORY).join("RUNBOOK.md")).unwrap();
    for sandbox in sandboxes() {
        let receiver = Receiver::start(&sandbox, &[]);
        let stub = Stub::start(&receiver);
        let mut command = python(&receiver);
        command.arg(format!("{REPOSITORY}/examples/otel/python/shop.py"));
        command.env("OPENAI_BASE_URL", &stub.1).env("OPENAI_API_KEY", "none");
        assert_eq!(succeed(command), "Hello, world.\nHello, world.\n");
        assert_eq!(receiver.end().1, Some(0));
        let spend = sandbox.run(&["spend", "agent", "--days", "2"]).success();
        // Below the sum are the dates.
        let sum = spend.lines().position(|line| line.starts_with("total ")).unwrap();
        let table: Vec<&str> = spend.lines().take(sum + 1).collect();
        let table = table.join("\n");
        assert!(runbook.contains(&table), "RUNBOOK.md shows another table than\n{table}");
    }
}
