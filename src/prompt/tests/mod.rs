//! The room's tests, by what they ask.
#![allow(clippy::format_collect, reason = "a text for a test may take its time")]

mod diffs;
mod errors;
mod golden;
mod limits;
mod random;
mod references;
mod rendering;

use super::{Content, PromptFile, parse_file};
use serde_json::{Map, Value};

/// A file that is right.
const GOOD: &str = "\
schema: asmm.prompt/v1
name: enrichment/company-summary      # identity; never the file name
description: Summarise a company
engine: subst/1
model: {id: claude-sonnet-4-6, params: {temperature: 0.0, max_tokens: 512}}
variables:
  company: {type: string, sensitivity: public}
  notes:   {type: string, sensitivity: personal, max_bytes: 20000}
  tone:    {type: enum, values: [plain, formal], default: plain}
messages:
  - role: system
    content: 'You write two-sentence company summaries. Tone: {{tone}}.'
  - role: user
    content: |-
      Company: {{company}}
      Notes: {{ notes }}
";

fn parse(yaml: &str) -> PromptFile {
    parse_file("p.yaml", yaml.as_bytes()).expect("a prompt")
}

/// A prompt of one message and these variables.
fn one(variables: &str, content: &str) -> Content {
    let content = serde_json::to_string(content).expect("JSON");
    parse(&format!(
        "schema: asmm.prompt/v1\nname: a\nengine: subst/1\nvariables: {variables}\nmessages: [{{role: user, content: {content}}}]\n"
    ))
    .content
}

fn inputs(json: &str) -> Map<String, Value> {
    serde_json::from_str(json).expect("a JSON object")
}

/// An error as a user reads it.
fn said(error: &crate::Error) -> String {
    match error.next_step() {
        Some(hint) => format!("{error}\nhint: {hint}"),
        None => error.to_string(),
    }
}
