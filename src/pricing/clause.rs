//! The match clauses that the catalogue's curators wrote: which reported names an entry means.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::sync::OnceLock;

/// A condition on a name. Case does not count: `GLM-4.5-Air` and `glm-4.5-air` are one model.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Clause {
    Eq(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Any(Vec<Clause>),
    All(Vec<Clause>),
    Not(Box<Clause>),
    Regex(Pattern),
}

/// An expression, compiled when it is first asked: most are never.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self { text, compiled: OnceLock::new() }
    }
}

impl Pattern {
    /// The compiled expression. A test compiles every vendored one; one that does not compile matches nothing.
    fn regex(&self) -> Option<&Regex> {
        let compile = || RegexBuilder::new(&self.text).case_insensitive(true).build().ok();
        self.compiled.get_or_init(compile).as_ref()
    }
}

impl Clause {
    /// Lower-cases the clause's words, once, so that [`Clause::matches`] need not.
    pub(super) fn lower(&mut self) {
        match self {
            Self::Eq(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) => {
                text.make_ascii_lowercase();
            }
            Self::Any(parts) | Self::All(parts) => parts.iter_mut().for_each(Clause::lower),
            Self::Not(part) => part.lower(),
            Self::Regex(_) => {}
        }
    }

    /// Whether `name`, in lower case, is one that this clause means.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Eq(text) => name == text,
            Self::Prefix(text) => name.starts_with(text.as_str()),
            Self::Suffix(text) => name.ends_with(text.as_str()),
            Self::Contains(text) => name.contains(text.as_str()),
            Self::Any(parts) => parts.iter().any(|part| part.matches(name)),
            Self::All(parts) => parts.iter().all(|part| part.matches(name)),
            Self::Not(part) => !part.matches(name),
            Self::Regex(pattern) => pattern.regex().is_some_and(|regex| regex.is_match(name)),
        }
    }

    /// The expressions in this clause that do not compile.
    #[cfg(test)]
    pub(super) fn broken(&self) -> Vec<&str> {
        match self {
            Self::Any(parts) | Self::All(parts) => parts.iter().flat_map(Clause::broken).collect(),
            Self::Not(part) => part.broken(),
            Self::Regex(pattern) if pattern.regex().is_none() => vec![&pattern.text],
            _ => Vec::new(),
        }
    }
}
