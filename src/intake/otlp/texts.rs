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
//! it, what stands around it is what the instrumentation made of the request.

mod parts;

use super::proto::{Event, KeyValue, Value as Told};
use crate::domain::{CallPrompt, Digest, Sanitisation, Timestamp};
use crate::error::Result;
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

/// What was sent and answered, not looked at yet. None if the span says nothing of it. What is too large to be kept is
/// its digest.
pub(super) fn of(
    operation: &str,
    attributes: &[KeyValue],
    events: &[Event],
    now: Timestamp,
) -> Option<Box<CallPrompt>> {
    let told = Attributes::of(attributes);
    let mut messages = told.sent();
    let mut output = told.answered();
    for event in events {
        let of_event = Attributes::of(&event.attributes);
        match event.name.as_str() {
            "gen_ai.client.inference.operation.details" => {
                messages = Some(messages).filter(|all| !all.is_empty()).unwrap_or_else(|| of_event.sent());
                output = Some(output).filter(|all| !all.is_empty()).unwrap_or_else(|| of_event.answered());
            }
            "gen_ai.content.prompt" if messages.is_empty() => messages = of_event.sent(),
            "gen_ai.content.completion" if output.is_empty() => output = of_event.answered(),
            "gen_ai.choice" => output.extend(of_event.message("assistant")),
            name => {
                let role = name.strip_prefix("gen_ai.").and_then(|name| name.strip_suffix(".message"));
                messages.extend(role.and_then(|role| of_event.message(role)));
            }
        }
    }
    if operation == "embeddings" {
        // Vectors are no texts.
        output.clear();
    }
    let kept = |all: Vec<Value>| Some(all).filter(|all| !all.is_empty());
    let prompt = CallPrompt {
        messages: kept(messages),
        output: kept(output),
        sanitisation: Sanitisation::Unscanned,
        ..CallPrompt::default()
    };
    if prompt.messages.is_none() && prompt.output.is_none() {
        return None;
    }
    match with_digests(prompt).and_then(|prompt| prompt.check(now).map(|()| prompt)) {
        Ok(prompt) => Some(Box::new(prompt)),
        Err(error) => {
            tracing::warn!("a text in a span is not kept: {error}");
            None
        }
    }
}

fn with_digests(prompt: CallPrompt) -> Result<CallPrompt> {
    let (sent, answered) = (prompt.stored_messages()?, prompt.stored_output()?);
    let (text_sha256, output_sha256) = (sent.map(Digest::of), answered.map(Digest::of));
    Ok(CallPrompt { text_sha256, output_sha256, ..prompt })
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
            let mut instructions = self.messages("gen_ai.system_instructions", "system");
            if instructions.iter().all(|part| part.get("role").is_some_and(|role| role == "system")) {
                instructions.append(&mut messages);
                return instructions;
            }
            return messages;
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

    /// The messages in one attribute: a list, an object that has one, or a text.
    fn messages(&self, key: &str, role: &str) -> Vec<Value> {
        match self.0.get(key).and_then(|told| value(told, 0)) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.into_iter().filter_map(|item| as_chat(item, role)).collect(),
            Some(Value::Object(mut object)) => match object.remove("messages") {
                Some(Value::Array(items)) => {
                    items.into_iter().filter_map(|item| as_chat(item, role)).collect()
                }
                Some(other) => {
                    object.insert("messages".to_owned(), other);
                    as_chat(Value::Object(object), role).into_iter().collect()
                }
                None => as_chat(Value::Object(object), role).into_iter().collect(),
            },
            Some(other) => as_chat(other, role).into_iter().collect(),
        }
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

    /// A message that is the attributes of an event.
    fn message(&self, role: &str) -> Option<Value> {
        let fields: Map<String, Value> =
            self.0.iter().filter_map(|(key, told)| Some(((*key).to_owned(), value(told, 0)?))).collect();
        let inner = fields.get("message").cloned().unwrap_or(Value::Object(fields));
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
        Told::Text(text) if depth == 0 && text.trim_start().starts_with(['[', '{']) => {
            serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
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
