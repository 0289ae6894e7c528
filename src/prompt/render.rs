//! From inputs to the exact messages that are sent.

use super::content::{Content, Kind, Role, Sensitivity, Variable};
use super::node::{kind_of, shown};
use super::template::Part;
use crate::domain::{Digest, MAX_TEXT_BYTES, canonical_json};
use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The messages as they are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// In the order in which they are sent.
    pub messages: Vec<RenderedMessage>,
}

/// One message as it is sent.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct RenderedMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl fmt::Debug for RenderedMessage {
    /// Without what is said: it may hold what nobody should see.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RenderedMessage({}, {} bytes)", self.role, self.content.len())
    }
}

impl Rendered {
    /// The canonical JSON of the messages: `[{"content":…,"role":…},…]`.
    ///
    /// # Errors
    /// Of kind `Input`, for a text with U+0000; [`Content::render`] makes none.
    pub fn canonical(&self) -> Result<String> {
        canonical_json(&Value::Array(self.to_values()))
    }

    /// The SHA-256 of [`Rendered::canonical`]: what a call records of what was sent.
    ///
    /// # Errors
    /// As [`Rendered::canonical`].
    pub fn digest(&self) -> Result<Digest> {
        self.canonical().map(Digest::of)
    }

    /// The messages as JSON, as chat APIs take them and as a call records them.
    #[must_use]
    pub fn to_values(&self) -> Vec<Value> {
        self.messages.iter().map(|m| json!({"role": m.role.code(), "content": m.content})).collect()
    }

    /// Refuses what a call could not record: more than [`MAX_TEXT_BYTES`] of canonical JSON.
    fn check_size(&self) -> Result<()> {
        let bytes: usize = self.messages.iter().map(|m| m.content.len()).sum();
        // A character takes at most six times its bytes in JSON, and the rest of a message under 64.
        if bytes * 6 + self.messages.len() * 64 <= MAX_TEXT_BYTES || self.canonical()?.len() <= MAX_TEXT_BYTES
        {
            Ok(())
        } else {
            Err(too_long())
        }
    }
}

impl Content {
    /// The messages with `inputs` in their places. Values are put in as they are: never scanned, escaped or
    /// trimmed. An input that is not given is its variable's default.
    ///
    /// # Errors
    /// Of kind `Input`, naming the variable but never its value: an input that is missing, unknown or of another
    /// type, longer than its `max_bytes`, or not among its `values`; a secret variable; U+0000; messages of more
    /// than [`MAX_TEXT_BYTES`] of canonical JSON.
    pub fn render(&self, inputs: &Map<String, Value>) -> Result<Rendered> {
        let texts = self.texts(inputs)?;
        let mut bytes = 0;
        let mut messages = Vec::with_capacity(self.messages.len());
        for message in &self.messages {
            let mut content = String::new();
            for part in message.content.parts() {
                let text = match part {
                    Part::Literal(text) => text,
                    Part::Variable(name) => texts.get(name.as_str()).ok_or_else(|| self.unknown(name))?,
                };
                bytes += text.len();
                if bytes > MAX_TEXT_BYTES {
                    return Err(too_long());
                }
                content.push_str(text);
            }
            messages.push(RenderedMessage { role: message.role, content });
        }
        let rendered = Rendered { messages };
        rendered.check_size()?;
        Ok(rendered)
    }

    /// The text that each variable is rendered as.
    ///
    /// # Errors
    /// As [`Content::render`], but for the length of the messages.
    pub fn texts(&self, inputs: &Map<String, Value>) -> Result<BTreeMap<&str, String>> {
        if let Some(name) = inputs.keys().find(|name| !self.variables.contains_key(name.as_str())) {
            return Err(self.unknown(name));
        }
        let mut texts: BTreeMap<&str, String> = BTreeMap::new();
        for (name, variable) in &self.variables {
            let value = inputs.get(name).or(variable.default.as_ref()).ok_or_else(|| {
                Error::input(format!("input `{name}` is missing"))
                    .hint(format!("give it ({}), or give the variable a `default`", variable.kind))
            })?;
            texts.insert(name, check_value("input", name, variable, value)?);
        }
        Ok(texts)
    }

    /// The value of the variable `name` that `text`, from a command line, means: text as it is, numbers as JSON
    /// writes them, `true` or `false`.
    ///
    /// # Errors
    /// Of kind `Input`, when there is no such variable, or the text is no value of it.
    pub fn parse_input(&self, name: &str, text: &str) -> Result<Value> {
        let variable = self.variables.get(name).ok_or_else(|| self.unknown(name))?;
        let value = match variable.kind {
            Kind::String | Kind::Enum => Value::String(text.to_owned()),
            Kind::Integer | Kind::Number | Kind::Boolean => serde_json::from_str(text).map_err(|_| {
                Error::input(format!("input `{name}` is not {}", noun(variable.kind)))
                    .hint(format!("variable `{name}` is of type {}", variable.kind))
            })?,
        };
        check_value("input", name, variable, &value)?;
        Ok(value)
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<String> = self.variables.keys().map(|name| format!("`{name}`")).collect();
        let error = Error::input(format!("the prompt has no variable `{}`", shown(name)));
        error.hint(if known.is_empty() {
            "it takes no inputs".to_owned()
        } else {
            format!("it has {}", known.join(", "))
        })
    }
}

/// The text that `value` is rendered as, if `variable` takes it. Errors never hold the value.
pub(super) fn check_value(what: &str, name: &str, variable: &Variable, value: &Value) -> Result<String> {
    if variable.sensitivity == Sensitivity::Secret {
        return Err(Error::input(format!("variable `{name}` is secret and may never be rendered"))
            .hint("give secrets to the program that sends the prompt, not to the prompt"));
    }
    let wrong = || {
        Error::input(format!("{what} `{name}` is {}; expected {}", kind_of(value), noun(variable.kind)))
            .hint(format!("variable `{name}` is of type {}", variable.kind))
    };
    let text = match (variable.kind, value) {
        (Kind::String | Kind::Enum, Value::String(text)) => text.clone(),
        (Kind::Integer | Kind::Number, Value::Number(_)) => canonical_json(value).map_err(|_| {
            Error::input(format!("{what} `{name}` is a number that does not survive every program"))
                .hint("use a whole number below 2^53 or at most 15 digits, or make the variable a string")
        })?,
        (Kind::Boolean, Value::Bool(value)) => value.to_string(),
        _ => return Err(wrong()),
    };
    if variable.kind == Kind::Integer && text.contains('.') {
        return Err(Error::input(format!("{what} `{name}` is a fraction; expected a whole number")));
    }
    if text.contains('\0') {
        return Err(Error::input(format!("{what} `{name}` holds the character U+0000"))
            .hint("leave it out: not every database can store it"));
    }
    if let Some(max_bytes) = variable.max_bytes.filter(|max_bytes| text.len() > *max_bytes) {
        return Err(Error::input(format!(
            "{what} `{name}` is {} bytes long; its limit is {max_bytes}",
            text.len()
        ))
        .hint("shorten it, or raise the variable's `max_bytes`"));
    }
    if variable.kind == Kind::Enum && !variable.values.contains(&text) {
        let values: Vec<String> =
            variable.values.iter().take(20).map(|v| format!("`{}`", shown(v))).collect();
        let more = if variable.values.len() > 20 { ", …" } else { "" };
        return Err(Error::input(format!("{what} `{name}` is none of its values"))
            .hint(format!("it is one of {}{more}", values.join(", "))));
    }
    Ok(text)
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::String | Kind::Enum => "text",
        Kind::Integer => "a whole number",
        Kind::Number => "a number",
        Kind::Boolean => "`true` or `false`",
    }
}

fn too_long() -> Error {
    Error::input(format!("the rendered messages are longer than {MAX_TEXT_BYTES} bytes"))
        .hint("give shorter inputs; `max_bytes` holds a variable to a length")
}
