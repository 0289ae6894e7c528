//! Prompts and answers as spans tell them; read only where they are to be kept.
//!
//! | of | sent | answered |
//! |---|---|---|
//! | `OpenTelemetry`, on spans and on the event `gen_ai.client.inference.operation.details` | `gen_ai.system_instructions`, `gen_ai.input.messages` | `gen_ai.output.messages` |
//! | `OpenTelemetry`'s events of old | `gen_ai.system.message`, `gen_ai.user.message`, …, `gen_ai.content.prompt` | `gen_ai.choice`, `gen_ai.content.completion` |
//! | Traceloop of old | `gen_ai.prompt.N.…` | `gen_ai.completion.N.…` |
//! | `OpenInference` | `llm.input_messages.N.message.…`, `llm.prompts.N.…` | `llm.output_messages.N.message.…` |
//! | Vercel | `ai.prompt.messages`, `ai.prompt` | `ai.response.text`, `ai.response.object`, `ai.response.toolCalls` |
//! | Langfuse, `MLflow`, `OpenInference` | `langfuse.observation.input`, `mlflow.spanInputs`, `input.value` | `langfuse.observation.output`, `mlflow.spanOutputs`, `output.value` |
//!
//! The first that is there counts. Messages become those of a chat request, `role` and `content`: a text keeps every character of
//! it, what stands around it is what the instrumentation made of the request. Where an attribute holds no messages, all of it is one
//! text.

mod parts;

use super::proto::{Event, KeyValue, Value as Told};
use crate::domain::{CallPrompt, Digest, MAX_TEXT_BYTES, Sanitisation, canonical_json};
use parts::{as_chat, without_wrappers};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Whether prompts and answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// They are passed over.
    Drop,
    /// They are read, and are for the guard before they are stored anywhere.
    Keep,
}

/// How deep values may lie in each other.
const MAX_DEPTH: usize = 16;
/// The most values in a text that is read as JSON: each takes many times as much in memory.
const MAX_VALUES: usize = 50_000;
/// The most messages of a call.
const MAX_MESSAGES: usize = 10_000;

/// What was sent and answered, not looked at yet. None if the span says nothing of it. Of what is too large to be kept, or cannot be
/// stored, there is the digest alone.
pub(super) fn of(operation: &str, attributes: &[KeyValue], events: &[Event]) -> Option<Box<CallPrompt>> {
    let told = Attributes::of(attributes);
    let mut messages = told.sent();
    let mut output = told.answered();
    let is_told = (!messages.is_empty(), !output.is_empty());
    for event in events {
        let of_event = Attributes::of(&event.attributes);
        let (mut sent, mut answered) = match event.name.as_str() {
            "gen_ai.client.inference.operation.details" => (of_event.sent(), of_event.answered()),
            "gen_ai.content.prompt" => (of_event.sent(), Vec::new()),
            "gen_ai.content.completion" => (Vec::new(), of_event.answered()),
            "gen_ai.choice" => (Vec::new(), of_event.message("assistant").into_iter().collect()),
            name => {
                let role = name.strip_prefix("gen_ai.").and_then(|name| name.strip_suffix(".message"));
                (role.and_then(|role| of_event.message(role)).into_iter().collect(), Vec::new())
            }
        };
        if !is_told.0 {
            messages.append(&mut sent);
        }
        if !is_told.1 {
            output.append(&mut answered);
        }
    }
    if operation == "embeddings" {
        // Vectors are no texts.
        output.clear();
    }
    let (messages, text_sha256) = kept(messages);
    let (output, output_sha256) = kept(output);
    if text_sha256.is_none() && output_sha256.is_none() {
        return None;
    }
    let sanitisation = Sanitisation::Unscanned;
    Some(Box::new(CallPrompt {
        text_sha256,
        messages,
        output_sha256,
        output,
        sanitisation,
        ..CallPrompt::default()
    }))
}

/// Messages with the digest of how they are stored. What the ledger does not store, for its size or for what is in it, has the digest of
/// how it came.
fn kept(messages: Vec<Value>) -> (Option<Vec<Value>>, Option<Digest>) {
    if messages.is_empty() {
        return (None, None);
    }
    let mut prompt = CallPrompt { messages: Some(messages), ..CallPrompt::default() };
    match prompt.stored_messages() {
        Ok(Some(text)) => (prompt.messages.take(), Some(Digest::of(text))),
        _ => (None, Some(Digest::of(Value::from(prompt.messages.take()).to_string()))),
    }
}

/// Attributes that may hold texts.
struct Attributes<'a>(BTreeMap<&'a str, &'a Told>);

impl<'a> Attributes<'a> {
    fn of(attributes: &'a [KeyValue]) -> Self {
        let told = attributes.iter().filter_map(|attribute| {
            Some((attribute.key.as_str(), attribute.value.as_ref()?.value.as_ref()?))
        });
        Self(told.collect())
    }

    fn sent(&self) -> Vec<Value> {
        let mut messages = self.messages("gen_ai.input.messages", "user");
        if !messages.is_empty() {
            let mut all = self.instructions();
            all.append(&mut messages);
            return all;
        }
        for list in ["gen_ai.prompt.", "llm.input_messages.", "llm.prompts."] {
            let messages = self.indexed(list, "user");
            if !messages.is_empty() {
                return messages;
            }
        }
        self.first_of(
            &[
                "ai.prompt.messages",
                "ai.prompt",
                "gen_ai.prompt",
                "langfuse.observation.input",
                "mlflow.spanInputs",
                "input.value",
            ],
            "user",
        )
    }

    fn answered(&self) -> Vec<Value> {
        let messages = self.messages("gen_ai.output.messages", "assistant");
        if !messages.is_empty() {
            return messages;
        }
        for list in ["gen_ai.completion.", "llm.output_messages.", "llm.completions."] {
            let messages = self.indexed(list, "assistant");
            if !messages.is_empty() {
                return messages;
            }
        }
        if let Some(message) = self.vercel() {
            return vec![message];
        }
        self.first_of(
            &["gen_ai.completion", "langfuse.observation.output", "mlflow.spanOutputs", "output.value"],
            "assistant",
        )
    }

    fn first_of(&self, keys: &[&str], role: &str) -> Vec<Value> {
        let found = keys.iter().map(|key| self.messages(key, role)).find(|messages| !messages.is_empty());
        found.unwrap_or_default()
    }

    /// The messages in one attribute: a list of them, one, what a request says of them; or all of it as the text of one.
    fn messages(&self, key: &str, role: &str) -> Vec<Value> {
        let Some(told) = self.0.get(key) else { return Vec::new() };
        let whole = || plain(told).and_then(|text| as_chat(text, role)).into_iter().collect();
        let are_messages =
            |items: &[Value]| items.len() <= MAX_MESSAGES && items.iter().all(parts::is_message);
        match value(told, 0) {
            Some(Value::Array(items)) if are_messages(&items) => {
                items.into_iter().filter_map(|item| as_chat(item, role)).collect()
            }
            Some(Value::Object(mut request)) => {
                let system = request.remove("system").filter(Value::is_string);
                match (request.remove("messages"), request.remove("prompt")) {
                    (Some(Value::Array(items)), None) if are_messages(&items) => {
                        let system = system.map(|text| json!({"role": "system", "content": text}));
                        system
                            .into_iter()
                            .chain(items.into_iter().filter_map(|item| as_chat(item, role)))
                            .collect()
                    }
                    (None, Some(Value::String(text))) => {
                        let system = system.map(|text| json!({"role": "system", "content": text}));
                        system.into_iter().chain(as_chat(text.into(), role)).collect()
                    }
                    (None, None) => {
                        let message = Value::Object(request);
                        if system.is_none() && parts::is_message(&message) {
                            return as_chat(message, role).into_iter().collect();
                        }
                        whole()
                    }
                    _ => whole(),
                }
            }
            _ => whole(),
        }
    }

    /// System instructions of `OpenTelemetry`: the parts of a message, without one around them.
    fn instructions(&self) -> Vec<Value> {
        let told = self.0.get("gen_ai.system_instructions").and_then(|told| value(told, 0));
        let parts = match told {
            Some(Value::Array(parts)) if parts.len() <= MAX_MESSAGES => parts,
            _ => return self.messages("gen_ai.system_instructions", "system"),
        };
        as_chat(json!({"role": "system", "parts": parts}), "system").into_iter().collect()
    }

    /// Messages that lie in pieces under `LIST.N.…`.
    fn indexed(&self, list: &str, role: &str) -> Vec<Value> {
        let mut items: BTreeMap<u32, Value> = BTreeMap::new();
        let here = self.0.range(list..).take_while(|(key, _)| key.starts_with(list));
        for (key, told) in here {
            let Some((number, path)) = key[list.len()..].split_once('.') else { continue };
            let (Ok(number), Some(value)) = (number.parse(), plain(told)) else { continue };
            put(items.entry(number).or_insert(Value::Null), path, value, 0);
        }
        items.into_values().map(without_wrappers).filter_map(|item| as_chat(item, role)).collect()
    }

    /// What the Vercel AI SDK says of an answer.
    fn vercel(&self) -> Option<Value> {
        let text = |key: &str| self.0.get(key).and_then(|told| plain(told)).filter(|text| *text != "");
        let content = text("ai.response.text").or_else(|| text("ai.response.object"));
        let calls = self.0.get("ai.response.toolCalls").and_then(|told| value(told, 0));
        if content.is_none() && calls.is_none() {
            return None;
        }
        let mut message = Map::new();
        message.insert("role".to_owned(), "assistant".into());
        message.insert("content".to_owned(), content.unwrap_or(Value::Null));
        if let Some(Value::Array(calls)) = calls {
            message.insert("tool_calls".to_owned(), calls.iter().map(parts::vercel_call).collect());
        }
        Some(Value::Object(message))
    }

    /// A message that is the attributes of an event; its content is what it is.
    fn message(&self, role: &str) -> Option<Value> {
        let field = |(key, told): (&&str, &&Told)| {
            let said = if *key == "content" { plain(told)? } else { value(told, 0)? };
            Some(((*key).to_owned(), said))
        };
        let fields: Map<String, Value> = self.0.iter().filter_map(field).collect();
        let inner = match fields.get("message") {
            Some(Value::Object(inner)) => Value::Object(inner.clone()),
            _ => Value::Object(fields),
        };
        let says_something = ["content", "tool_calls", "parts"].iter().any(|key| inner.get(key).is_some());
        as_chat(inner, role).filter(|_| says_something)
    }
}

/// A value as it is; a text stays one.
fn plain(told: &Told) -> Option<Value> {
    match told {
        Told::Text(text) => Some(text.as_str().into()),
        other => value(other, 0),
    }
}

/// A value, and what is written as JSON in a text as what it means.
fn value(told: &Told, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let inner = |told: &super::proto::AnyValue| told.value.as_ref().and_then(|told| value(told, depth + 1));
    Some(match told {
        Told::Text(text) if depth == 0 && is_worth_reading(text) => {
            let read: Option<Value> = serde_json::from_str(text).ok();
            // A number that programs do not agree on stays as it is written.
            let is_exact = |read: &Value| canonical_json(read).is_ok();
            read.filter(is_exact).unwrap_or_else(|| text.as_str().into())
        }
        Told::Text(text) => text.as_str().into(),
        Told::Bool(truth) => (*truth).into(),
        Told::Int(number) => (*number).into(),
        Told::Double(number) => json!(number),
        Told::Array(items) => items.values.iter().filter_map(inner).collect(),
        Told::Map(fields) => fields
            .values
            .iter()
            .filter_map(|field| Some((field.key.clone(), inner(field.value.as_ref()?)?)))
            .collect(),
        Told::Bytes(_) => return None,
    })
}

/// Whether a text may be JSON, and of a size to be read.
fn is_worth_reading(text: &str) -> bool {
    let values = || memchr::memchr3_iter(b',', b'{', b'[', text.as_bytes()).count();
    text.trim_start().starts_with(['[', '{']) && text.len() <= MAX_TEXT_BYTES && values() <= MAX_VALUES
}

/// Puts a value where a path leads: `tool_calls.0.name`. Numbers are places in a list, in the order in which they come.
fn put(into: &mut Value, path: &str, value: Value, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    if into.is_null() {
        *into = Value::Object(Map::new());
    }
    let Value::Object(fields) = into else { return };
    match rest {
        None => {
            fields.insert(first.to_owned(), value);
        }
        Some(rest) => put(fields.entry(first).or_insert(Value::Null), rest, value, depth + 1),
    }
}
