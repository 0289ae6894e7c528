//! An object of an export, whose values are read by their literal text: no number becomes a float.

use crate::domain::Timestamp;
use crate::error::{Error, Result, without_value};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// An object, and where in the page it stands.
pub(super) struct Object<'a> {
    place: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Reads the object that stands at `place`; `""` is the whole.
    pub(super) fn read(place: String, text: &'a str) -> Result<Self> {
        let fields = serde_json::from_str(text).map_err(|error| {
            let whole = without_value(&error.to_string());
            let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
            let error = Error::input(format!("it is not an object: {message}"));
            if place.is_empty() { error } else { error.at(format_args!("`{place}`")) }
        })?;
        Ok(Self { place, fields })
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Where a value stands: `data[3].results[0].input_tokens`.
    fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// The literal text of a value; none if it is missing or null.
    fn literal(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    fn wrong(&self, key: &str, found: &str, expected: impl fmt::Display) -> Error {
        const SHORT: usize = 40;
        let shown: String = found.chars().take(SHORT).collect();
        let rest = if found.chars().nth(SHORT).is_some() { "…" } else { "" };
        Error::input(format!("`{}` is `{shown}{rest}`, not {expected}", self.at(key)))
    }

    /// A value's place, as complaints name it.
    pub(super) fn named(&self, key: &str) -> String {
        format!("`{}`", self.at(key))
    }

    /// Checks that a currency is the dollar.
    pub(super) fn dollars(&self, key: &str) -> Result<()> {
        let currency = self.words(key)?.ok_or_else(|| self.missing(key))?;
        if currency.eq_ignore_ascii_case("usd") { Ok(()) } else { Err(self.wrong(key, &currency, "USD")) }
    }

    /// An error of the object as a whole.
    pub(super) fn whole(&self, problem: &str) -> Error {
        let place = if self.place.is_empty() { "the bucket" } else { &self.place };
        Error::input(format!("`{place}` {problem}"))
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        Error::input(format!("`{}` is missing", self.at(key)))
    }

    /// A count, which a sum of requests has.
    pub(super) fn count(&self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.literal(key) else { return Ok(None) };
        let is_count = text.bytes().all(|byte| byte.is_ascii_digit());
        let count = text.parse().ok().filter(|_| is_count);
        count.map(Some).ok_or_else(|| self.wrong(key, text, "a count"))
    }

    pub(super) fn required_count(&self, key: &str) -> Result<u64> {
        self.count(key)?.ok_or_else(|| self.missing(key))
    }

    /// Words; none if they are missing, null or empty.
    pub(super) fn words(&self, key: &str) -> Result<Option<String>> {
        let Some(text) = self.literal(key) else { return Ok(None) };
        let words: String = serde_json::from_str(text).map_err(|_| self.wrong(key, text, "a string"))?;
        Ok(Some(words).filter(|words| !words.trim().is_empty()))
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(text) = self.literal(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(key, text, "true or false"))
    }

    /// The digits of a number, written as one or as a string.
    pub(super) fn number(&self, key: &str) -> Result<String> {
        let text = self.literal(key).ok_or_else(|| self.missing(key))?;
        if text.starts_with('"') {
            return self.words(key)?.ok_or_else(|| self.missing(key));
        }
        Ok(text.to_owned())
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Object<'a>>> {
        let Some(text) = self.literal(key) else { return Ok(None) };
        Object::read(self.at(key), text).map(Some)
    }

    /// The values of an array, each with its place.
    pub(super) fn list(&self, key: &str) -> Result<Vec<(String, &'a RawValue)>> {
        let text = self.literal(key).ok_or_else(|| self.missing(key))?;
        let values: Vec<&'a RawValue> =
            serde_json::from_str(text).map_err(|_| self.wrong(key, text, "a list"))?;
        let at = self.at(key);
        Ok(values.into_iter().enumerate().map(|(nth, raw)| (format!("{at}[{nth}]"), raw)).collect())
    }

    /// An instant in whole seconds since 1970.
    pub(super) fn seconds(&self, key: &str) -> Result<Timestamp> {
        let seconds = self.required_count(key)?;
        let micros = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000));
        micros
            .map(Timestamp::from_micros)
            .filter(|time| *time <= Timestamp::FAR)
            .ok_or_else(|| self.wrong(key, &seconds.to_string(), "a time in seconds since 1970"))
    }

    /// An instant in RFC 3339.
    pub(super) fn time(&self, key: &str) -> Result<Timestamp> {
        let text = self.words(key)?.ok_or_else(|| self.missing(key))?;
        text.parse().map_err(|_| self.wrong(key, &text, "a time like `2026-11-20T00:00:00Z`"))
    }
}
