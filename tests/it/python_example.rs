//! `examples/python/`: a pipeline in Python records through the Postgres functions, loses nothing while the ledger is
//! away, and counts once.

use crate::support::{Output, Sandbox, psql};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python");

/// The Python that has psycopg.
fn python() -> Command {
    let program = std::env::var("ASMM_TEST_PYTHON").expect("tests/run says which python3 has psycopg");
    Command::new(program)
}

/// A ledger, and a user who may only record.
struct Ledger {
    sandbox: Sandbox,
    writer: String,
}

impl Ledger {
    fn new() -> Self {
        // The example has no other clock than the system's.
        let sandbox = Sandbox::new().with_postgres().with_env("ASMM_NOW", "");
        sandbox.run(&["migrate"]).success();
        let user = format!("w_{}", uuid::Uuid::now_v7().simple());
        psql(&format!("create role {user} login password 'w' in role asmm_writer"), "public").success();
        let url = sandbox.env("ASMM_DATABASE_URL").unwrap();
        let (_, server) = url.split_once('@').unwrap();
        let writer = format!("postgres://{user}:w@{server}");
        Self { sandbox, writer }
    }

    /// Runs the example with the ledger at `url`.
    fn record(&self, url: &str) -> Output {
        let output = python()
            .arg(format!("{EXAMPLE}/record.py"))
            .current_dir(self.sandbox.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("ASMM_DATABASE_URL", url)
            .env("ASMM_SCHEMA", self.sandbox.env("ASMM_SCHEMA").unwrap())
            .output()
            .unwrap();
        Output::from_process(&output, &[])
    }

    fn waiting(&self) -> PathBuf {
        self.sandbox.path().join("waiting.jsonl")
    }

    /// Every run: status, calls, tokens, cost.
    fn runs(&self) -> Vec<String> {
        let listed = self.sandbox.run(&["runs", "list", "--format", "json"]).success();
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let keys = [
            "status",
            "llm_calls",
            "unpriced_calls",
            "llm_tokens_input",
            "llm_tokens_output",
            "estimated_cost_usd",
        ];
        let shown = |run: &Value| keys.map(|key| run[key].to_string().replace('"', "")).join(" ");
        listed["rows"].as_array().unwrap().iter().map(shown).collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let (_, user) = self.writer.split_once("//").unwrap();
        let (user, _) = user.split_once(':').unwrap();
        psql(&format!("drop role {user}"), "public");
    }
}

/// Two calls: 1,200 fresh, 800 cached and 350 written tokens of Claude Haiku 4.5 at 1, 0.1 and 5 dollars a million; 400
/// fresh, 600 cached, 150 written and 50 reasoned ones of GPT-4o at 2.5, 1.25 and 10.
const ONE_RUN: &str = "succeeded 2 0 3000 550 0.00678";

#[test]
fn it_records_as_a_user_who_may_only_record() {
    let ledger = Ledger::new();
    let said = ledger.record(&ledger.writer);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{}", said.snapshot());
    assert_eq!(ledger.runs(), [ONE_RUN]);
    let run: Value =
        serde_json::from_str(&ledger.sandbox.run(&["runs", "show", "last", "--format", "json"]).success())
            .unwrap();
    assert_eq!(
        (&run["steps"][0]["agent"], &run["steps"][0]["status"]),
        (&"summariser".into(), &"succeeded".into())
    );
    ledger.sandbox.run(&["doctor"]).success();
    assert!(!ledger.waiting().exists());
}

#[test]
fn what_the_ledger_could_not_take_is_imported_or_delivered_later_once() {
    let ledger = Ledger::new();
    let away = "postgres://nobody@127.0.0.1:9/nowhere";
    let said = ledger.record(away);
    assert!(said.code == 0 && said.stderr.contains("waits in waiting.jsonl"), "{}", said.snapshot());
    let text = std::fs::read_to_string(ledger.waiting()).unwrap();
    assert_eq!(text.lines().count(), 6, "{text}");
    // By hand, and twice.
    for _ in 0..2 {
        ledger.sandbox.run(&["import", "jsonl", "--strict", "waiting.jsonl"]).success();
        assert_eq!(ledger.runs(), [ONE_RUN]);
    }
    // Two more that wait, behind a line that was cut off; the next start delivers all of it, and once.
    std::fs::write(ledger.waiting(), format!("{text}{{\"type\":\"call\"")).unwrap();
    ledger.record(away);
    let said = ledger.record(&ledger.writer);
    assert!(said.code == 0 && said.stderr.contains("the line is no event"), "{}", said.snapshot());
    assert_eq!(ledger.runs(), [ONE_RUN; 3]);
    assert!(!ledger.waiting().exists());
    ledger.sandbox.run(&["doctor"]).success();
}

#[test]
fn what_the_ledger_refuses_holds_up_nothing() {
    let ledger = Ledger::new();
    ledger.record("postgres://nobody@127.0.0.1:9/nowhere");
    // A call of no model, among the others.
    let text = std::fs::read_to_string(ledger.waiting()).unwrap();
    let bad =
        text.lines().find(|line| line.contains("claude")).unwrap().replace("claude-haiku-4-5-20251001", "");
    let mut bad: Value = serde_json::from_str(&bad).unwrap();
    bad["call_id"] = uuid::Uuid::now_v7().to_string().into();
    let mut lines: Vec<&str> = text.lines().collect();
    let bad = bad.to_string();
    lines.insert(3, &bad);
    std::fs::write(ledger.waiting(), lines.join("\n")).unwrap();
    let said = ledger.record(&ledger.writer);
    assert!(said.code == 0 && said.stderr.contains("`model` is empty"), "{}", said.snapshot());
    assert_eq!(ledger.runs(), [ONE_RUN; 2]);
    let refused = std::fs::read_to_string(ledger.sandbox.path().join("waiting.jsonl.refused")).unwrap();
    assert!(refused.lines().count() == 1 && refused.contains("`model` is empty"), "{refused}");
}
