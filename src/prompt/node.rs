//! A value of the document together with the way to it, so that whoever refuses it can say where it is.

use super::place::Path;
use super::read::{Problem, Read, Spot};
use crate::domain::canonical_json;
use crate::error::Error;
use serde_json::{Map, Value};

/// A value and the way to it.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pub value: &'a Value,
    pub path: Path,
}

/// A mapping whose keys are all known.
pub(super) struct Fields<'a> {
    node: Node<'a>,
    map: &'a Map<String, Value>,
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self { value, path: Path::default() }
    }

    /// An error about the value.
    pub fn problem(&self, error: Error) -> Problem {
        Problem { path: self.path.clone(), spot: Spot::Value, error }
    }

    /// An error about the key that names the value.
    pub fn key_problem(&self, error: Error) -> Problem {
        Problem { path: self.path.clone(), spot: Spot::Key, error }
    }

    /// The value is something else than `expected`.
    pub fn expected(&self, expected: &str) -> Problem {
        let what = if self.path.0.is_empty() { "the file".to_owned() } else { format!("`{}`", self.path) };
        let error = Error::input(format!("{what} is {}; expected {expected}", kind_of(self.value)));
        self.problem(match self.value {
            _ if self.path.0.is_empty() => {
                error.hint(format!("a prompt begins with `schema: {}`", super::read::SCHEMA))
            }
            Value::Null => error.hint("give it a value, or leave it out"),
            Value::Number(_) | Value::Bool(_) if expected == "text" => {
                error.hint("put it in quotes if it is meant as text")
            }
            _ => error,
        })
    }

    /// The text for an error: one line, not long.
    pub fn shown(&self) -> String {
        shown(self.value.as_str().unwrap_or_default())
    }

    pub fn text(&self) -> Read<&'a str> {
        self.value.as_str().ok_or_else(|| self.expected("text"))
    }

    /// Refuses U+0000.
    pub fn check_characters(&self, text: &str) -> Read<()> {
        if text.contains('\0') {
            let error = Error::input(format!("`{}` holds the character U+0000", self.path));
            return Err(self.problem(error.hint("leave it out: not every database can store it")));
        }
        Ok(())
    }

    /// One of a set of words.
    pub fn word<T: Copy>(&self, what: &str, all: &[T], code: fn(T) -> &'static str) -> Read<T> {
        let text = self.text()?;
        all.iter().copied().find(|word| code(*word) == text).ok_or_else(|| {
            let known: Vec<String> = all.iter().map(|word| format!("`{}`", code(*word))).collect();
            let error = Error::input(format!("unknown {what} `{}`", self.shown()));
            self.problem(error.hint(format!("it is one of {}", known.join(", "))))
        })
    }

    pub fn items(&self) -> Read<Vec<Self>> {
        let items = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        let node = |(index, value)| Node { value, path: self.path.index(index) };
        Ok(items.iter().enumerate().map(node).collect())
    }

    pub fn entries(&self) -> Read<Vec<(&'a str, Self)>> {
        let map = self.value.as_object().ok_or_else(|| self.expected("a mapping"))?;
        Ok(map.iter().map(|(key, value)| (key.as_str(), Node { value, path: self.path.key(key) })).collect())
    }

    pub fn fields(&self, known: &[&str]) -> Read<Fields<'a>> {
        let map = self.value.as_object().ok_or_else(|| self.expected("a mapping"))?;
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            let place = if self.path.0.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            return Err(Problem {
                path: self.path.key(key),
                spot: Spot::Key,
                error: Error::input(format!("unknown field `{}`{place}", shown(key)))
                    .hint(format!("known are {}", names.join(", "))),
            });
        }
        Ok(Fields { node: self.clone(), map })
    }

    /// Checks a tree of any JSON for its numbers, its texts, its depth and its size; `left` values may follow.
    pub fn check_tree(&self, depth: usize, left: &mut usize) -> Read<()> {
        if depth == 0 || *left == 0 {
            let what = if depth == 0 { "is nested too deep" } else { "is one value too many" };
            return Err(self.problem(Error::input(format!("`{}` {what}", self.path))));
        }
        *left -= 1;
        match self.value {
            Value::Array(_) => self.items()?.iter().try_for_each(|item| item.check_tree(depth - 1, left)),
            Value::Object(_) => {
                for (key, node) in self.entries()? {
                    node.check_characters(key)?;
                    node.check_tree(depth - 1, left)?;
                }
                Ok(())
            }
            value => canonical_json(value).map(|_| ()).map_err(|e| self.problem(e)),
        }
    }
}

impl<'a> Fields<'a> {
    pub fn optional(&self, key: &str) -> Option<Node<'a>> {
        self.map.get(key).map(|value| Node { value, path: self.node.path.key(key) })
    }

    pub fn required(&self, key: &str) -> Read<Node<'a>> {
        self.optional(key).ok_or_else(|| {
            let owner = if self.node.path.0.is_empty() {
                "the prompt".to_owned()
            } else {
                format!("`{}`", self.node.path)
            };
            self.node.problem(Error::input(format!("{owner} has no `{key}`")).hint(match key {
                "schema" => format!("add `schema: {}`", super::read::SCHEMA),
                "engine" => format!("add `engine: {}`", super::content::ENGINE),
                _ => format!("add `{key}:`"),
            }))
        })
    }
}

/// What a value is, as people say it.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// A text of someone else for an error: one line, not long.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}
