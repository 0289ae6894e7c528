//! [`TokenUsage`] from the objects that model APIs answer, one file a provider.
//!
//! They share the rules: a count that is absent or null is 0, but an object without any of its main counts is an
//! error, because unknown is not zero. What does not add up, and what is billed at a price that no kind of the
//! ledger has, is an error too: a call whose usage is unknown is found in every report, one that is priced
//! wrongly in none.

mod anthropic;
mod bedrock;
mod gemini;
mod openai;
mod otel;
#[cfg(test)]
mod tests;

use super::usage::{MAX_COUNT, TokenUsage};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::fmt;

/// The next step after every refusal here.
const RECORD_UNKNOWN: &str =
    "record the call without usage: unknown usage shows in reports, wrong usage does not";

fn refused(message: String) -> Error {
    Error::input(message).hint(RECORD_UNKNOWN)
}

/// An object of counts; `None` where an inner object is absent, so that each of its counts is.
#[derive(Clone, Copy)]
struct Counts<'a> {
    fields: Option<&'a Map<String, Value>>,
    /// The key of the object, with a dot, for messages.
    path: (&'static str, &'static str),
    /// Whether a count may be a string, as in OTLP's JSON.
    may_be_text: bool,
}

impl<'a> Counts<'a> {
    fn of(usage: &'a Value, name: &str) -> Result<Self> {
        let fields = usage
            .as_object()
            .ok_or_else(|| refused(format!("`{name}` is {}, not an object of counts", kind_of(usage))))?;
        Ok(Self { fields: Some(fields), path: ("", ""), may_be_text: false })
    }

    fn of_attributes(fields: &'a Map<String, Value>) -> Self {
        Self { fields: Some(fields), path: ("", ""), may_be_text: true }
    }

    /// The key as a message names it.
    fn path(self, key: &str) -> String {
        format!("{}{}{key}", self.path.0, self.path.1)
    }

    /// What is under `key`, unless it is null.
    fn value(self, key: &str) -> Option<&'a Value> {
        self.fields?.get(key).filter(|value| !value.is_null())
    }

    /// The object of counts under the first of `keys` that is there.
    fn inner(self, keys: &[&'static str]) -> Result<Self> {
        for &key in keys {
            let Some(value) = self.value(key) else { continue };
            let fields = value.as_object().ok_or_else(|| {
                refused(format!("`{}` is {}, not an object of counts", self.path(key), kind_of(value)))
            })?;
            return Ok(Self { fields: Some(fields), path: (key, "."), ..self });
        }
        Ok(Self { fields: None, ..self })
    }

    fn find(self, key: &str) -> Result<Option<u64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let wrong = |what: &str| refused(format!("`{}` is {what}, not a count", self.path(key)));
        let count = match value {
            Value::Number(number) => number.as_u64().ok_or_else(|| {
                wrong(if number.is_i64() { "negative" } else { "a fraction or too large a number" })
            })?,
            // `parse` would also take a sign.
            Value::String(text) if self.may_be_text && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_| wrong("empty or too large a number"))?
            }
            other => return Err(wrong(kind_of(other))),
        };
        if count > MAX_COUNT {
            return Err(wrong(&format!("more than {MAX_COUNT}, the most that one call has of a kind")));
        }
        Ok(Some(count))
    }

    fn get(self, key: &str) -> Result<u64> {
        Ok(self.find(key)?.unwrap_or(0))
    }

    /// The count that goes by any of `keys`, for formats that renamed it, or say it in two places.
    fn find_any(self, keys: &[&str]) -> Result<Option<u64>> {
        let mut found: Option<(&str, u64)> = None;
        for &key in keys {
            let Some(count) = self.find(key)? else { continue };
            match found {
                None => found = Some((key, count)),
                Some((first, other)) if other != count => {
                    return Err(refused(format!(
                        "`{}` is {other} and `{}`, the same count by another name, {count}",
                        self.path(first),
                        self.path(key)
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(found.map(|(_, count)| count))
    }

    fn get_any(self, keys: &[&str]) -> Result<u64> {
        Ok(self.find_any(keys)?.unwrap_or(0))
    }

    /// Refuses what is billed at a price of its own and has no kind.
    fn without(self, keys: &[&str]) -> Result<()> {
        for &key in keys {
            let count = self.get(key)?;
            if count > 0 {
                return Err(refused(format!(
                    "`{}` is {count}, billed at a price of its own, and the ledger has no kind for it",
                    self.path(key)
                )));
            }
        }
        Ok(())
    }

    /// Refuses an object that has none of the counts which every answer has.
    fn with_any_of(self, name: &str, keys: &[&str]) -> Result<()> {
        if keys.iter().any(|key| self.value(key).is_some()) {
            return Ok(());
        }
        Err(refused(format!("`{name}` has neither of `{}`", keys.join("`, `"))))
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Checks that a part, or two together, are no larger than the whole that includes them; names are keys.
fn check_within(part: impl fmt::Display, of: u64, whole: impl fmt::Display, total: u64) -> Result<()> {
    if of <= total {
        return Ok(());
    }
    Err(refused(format!("`{part}` {of} is larger than the `{whole}` {total} that includes it")))
}

/// Tells by the total of input and output whether `output` leaves out the reasoning, on which even servers of one
/// format disagree; `usually` says it where there is no total, or nothing to tell apart.
fn is_reasoning_outside(
    (name, total): (&str, Option<u64>),
    input: u64,
    output: u64,
    reasoning: u64,
    usually: bool,
) -> Result<bool> {
    let Some(total) = total else { return Ok(usually) };
    if reasoning > 0 && total == input + output + reasoning {
        return Ok(true);
    }
    if total == input + output {
        return Ok(reasoning == 0 && usually);
    }
    Err(refused(format!(
        "`{name}` is {total}, not the sum of {input} in and {output} out: some tokens are not accounted for"
    )))
}

/// From counts of which `output` includes `reasoning` or not.
fn with_reasoning(
    input: u64,
    cache_read: u64,
    cache_write: u64,
    (output, reasoning): (u64, u64),
    is_outside: bool,
) -> Result<TokenUsage> {
    let whole = if is_outside { output + reasoning } else { output };
    let usage = TokenUsage::from_inclusive(input, cache_read, cache_write, whole, reasoning)?;
    usage.check()?;
    Ok(usage)
}
