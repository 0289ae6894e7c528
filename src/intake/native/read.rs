//! One line to one event.
//!
//! Serde's internally tagged enums buffer the whole object to find the tag. Here the tag is looked at
//! first, and the object is then read straight into its struct by a deserializer that drops the `type`
//! key, which those structs refuse as unknown.

use super::Line;
use crate::domain::{
    Call, Event, FinishRun, FinishStep, GuardEvent, SentPrompt, Span, StartRun, StartStep, Timestamp,
};
use crate::error::{Error, Result, without_value};
use serde::Deserialize;
use serde::de::value::CowStrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Reads one line of the native format; `now` is the reader's clock.
///
/// # Errors
/// When the line is not a JSON object with a `type`, or an event has a key missing, unknown or of the
/// wrong type, or a value that the ledger does not take. The message names the key.
pub fn parse_line(text: &str, now: Timestamp) -> Result<Line> {
    let kind = kind_of(text)?;
    let event = match &*kind {
        "run" => Event::Run(parse(text, |run: &StartRun| run.check(now))?),
        "step" => Event::Step(parse(text, |step: &StartStep| step.check(now))?),
        "call" => Event::Call(parse(text, |call: &Call| call.check(now))?),
        "prompt" => Event::Prompt(parse(text, |prompt: &SentPrompt| prompt.check(now))?),
        "finish" => Event::Finish(parse(text, |finish: &FinishRun| finish.check(now))?),
        "guard" => Event::Guard(parse(text, |event: &GuardEvent| event.check(now))?),
        "span" => Event::Span(Box::new(parse(text, |span: &Span| span.check(now))?)),
        "finish_step" => Event::FinishStep(parse(text, |finish: &FinishStep| finish.check(now))?),
        other => {
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| readable(&error, text, None))?;
            return Ok(Line::Other { kind: other.to_owned(), json: text.to_owned() });
        }
    };
    Ok(Line::Event(event))
}

/// The value of the `type` key: at a glance where it comes first, as this crate writes it.
fn kind_of(text: &str) -> Result<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    let glance = text.strip_prefix("{\"type\":\"").and_then(|rest| rest.split_once(['"', '\\', '\u{7f}']));
    if let Some((kind, _)) = glance
        && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && text.as_bytes().get(9 + kind.len()) == Some(&b'"')
    {
        return Ok(Cow::Borrowed(kind));
    }
    if !text.trim_start().starts_with('{') {
        return Err(Error::input("column 1: the line is not a JSON object"));
    }
    serde_json::from_str(text)
        .map(|tagged: Tagged<'_>| tagged.kind)
        .map_err(|error| readable(&error, text, Some("type")))
}

fn parse<T: DeserializeOwned>(text: &str, check: impl FnOnce(&T) -> Result<()>) -> Result<T> {
    let mut key = String::new();
    let mut json = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(Untagged { inner: &mut json, key: &mut key })
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| readable(&error, text, Some(&key)))?;
    check(&value)?;
    Ok(value)
}

/// A deserializer of structs that does not see the key `type`, and remembers which key it is at.
struct Untagged<'k, D> {
    inner: D,
    key: &'k mut String,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Untagged<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_map(Keys { inner: visitor, key: self.key })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Keys<'k, I> {
    inner: I,
    key: &'k mut String,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Keys<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Keys { inner: map, key: self.key })
    }
}

/// A key, borrowed from the line where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Keys<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.key.clear();
        while let Some(Key(key)) = self.inner.next_key()? {
            if key != "type" {
                self.key.push_str(&key);
                return seed.deserialize(CowStrDeserializer::new(key)).map(Some);
            }
            self.inner.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

/// A serde message as a user reads it: the column, the key, what was found and what was expected.
fn readable(error: &serde_json::Error, text: &str, key: Option<&str>) -> Error {
    let whole = without_value(&error.to_string());
    let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
    let column = error.column();
    let message = if let Some(name) = message.strip_prefix("missing field ") {
        format!("key {name} is missing")
    } else if let Some(rest) = message.strip_prefix("unknown field ") {
        format!("unknown key {rest}")
    } else if let Some(rest) = message.strip_prefix("duplicate field ") {
        format!("key {rest} is there twice")
    } else if error.is_data() {
        match key.filter(|key| !key.is_empty()) {
            Some(key) => format!("key `{}`: {message}", nested(key, text, column)),
            None => message.to_owned(),
        }
    } else {
        format!("the JSON is broken: {message}")
    };
    Error::input(format!("column {column}: {message}"))
}

/// Names the count inside `usage` that an error at `column` is about; other keys hold one value.
fn nested<'a>(key: &'a str, text: &str, column: usize) -> Cow<'a, str> {
    let inner = (key == "usage")
        .then(|| text.get(..column))
        .flatten()
        .and_then(|before| before.rsplit_once("\":"))
        .and_then(|(before, _)| before.rsplit_once('"'));
    match inner {
        Some((_, count)) if count != "usage" => Cow::Owned(format!("usage.{count}")),
        _ => Cow::Borrowed(key),
    }
}
