//! The guard as users meet it: at the gate, at the doors, after the fact, in CI; and that no value is anywhere.

mod doors;
mod gate;
mod key;
mod leaks;
pub mod planted;
mod scan;
mod sweep;

use crate::support::{Output, Sandbox};
use serde_json::Value;

/// A prompt about a customer, with one variable of each sort.
pub const REPLY: &str = "schema: asmm.prompt/v1
name: support/reply
engine: subst/1
variables:
  text: {type: string}
  who: {type: string, sensitivity: personal, default: somebody}
  cc: {type: string, allow_raw: [email], raw_reason: the model writes to them, default: nobody}
  log: {type: string, on_secret: redact, default: empty}
  number: {type: integer, default: 3}
messages:
  - {role: system, content: 'Answer {{who}}, copy to {{cc}}. Number: {{number}}.'}
  - {role: user, content: \"They say:\\n{{text}}\\nThe log:\\n{{log}}\"}
";

/// A sandbox with a ledger in which the prompt is pushed, and a run: the run's id.
pub fn with_reply(sandbox: &Sandbox) -> String {
    sandbox.file("prompts/reply.yaml", REPLY);
    sandbox.run(&["prompts", "push"]).success();
    start(sandbox)
}

pub fn start(sandbox: &Sandbox) -> String {
    sandbox.run(&["runs", "start", "--pipeline", "support"]).success().trim().to_owned()
}

/// Renders for a run and records it; inputs are `name=value`.
pub fn render(sandbox: &Sandbox, run: &str, inputs: &[String]) -> Output {
    let mut args = vec!["prompts", "render", "support/reply", "--record", "--run-id", run];
    for input in inputs {
        args.extend(["--input", input]);
    }
    sandbox.run(&args)
}

/// The guard's events, oldest first.
pub fn events(sandbox: &Sandbox) -> Vec<Value> {
    let text = sandbox.run(&["guard", "events", "--format", "json", "--limit", "1000"]).success();
    let report: Value = serde_json::from_str(&text).unwrap();
    report["rows"].as_array().unwrap().iter().rev().cloned().collect()
}

/// What was decided about what, in a line each.
pub fn decided(sandbox: &Sandbox) -> Vec<String> {
    let word = |row: &Value, key: &str| row[key].as_str().unwrap_or("-").to_owned();
    let line =
        |row: &Value| ["variable", "detector", "decision", "token"].map(|key| word(row, key)).join(" ");
    let mut lines: Vec<String> = events(sandbox).iter().map(line).collect();
    lines.sort();
    lines
}
