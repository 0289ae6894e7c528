//! What was wrong with the lines of an import.

use crate::error::Error;
use std::fmt;

/// An error with its next step, as a complaint has room for it.
pub(crate) fn in_one_line(error: &Error) -> String {
    error.next_step().map_or_else(|| error.to_string(), |hint| format!("{error} ({hint})"))
}

/// How many lines were bad, and what the first of them had wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints {
    total: u64,
    first: Vec<String>,
}

impl Complaints {
    /// How many messages are kept: enough to see what is going on, few enough to read.
    pub const KEPT: usize = 20;

    /// Notes that `line` of `file` has `what` wrong with it.
    pub fn add(&mut self, file: &str, line: u64, what: impl fmt::Display) {
        self.note(|| format!("{file}:{line}: {what}"));
    }

    /// Notes that `file` as a whole has `what` wrong with it.
    pub fn add_file(&mut self, file: &str, what: impl fmt::Display) {
        self.note(|| format!("{file}: {what}"));
    }

    /// Appends the complaints of a later part of the same import.
    pub fn append(&mut self, later: Complaints) {
        self.total += later.total;
        let room = Self::KEPT.saturating_sub(self.first.len());
        self.first.extend(later.first.into_iter().take(room));
    }

    /// How many there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The first [`Complaints::KEPT`] of them, each `file:line: what is wrong`.
    #[must_use]
    pub fn first(&self) -> &[String] {
        &self.first
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn note(&mut self, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(message());
        }
    }
}
