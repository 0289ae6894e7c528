//! Where in a file something is: the way to it through the document, and its line and column.

use serde_json::Value;
use std::fmt;

/// One step into the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The way from the document's root to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Path(pub Vec<Step>);

impl Path {
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// The value at the end of the way.
    pub fn lookup<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    let shown: String = key.chars().take(80).flat_map(char::escape_debug).collect();
                    write!(f, "{}{shown}", if place == 0 { "" } else { "." })?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Line and column of a byte of `text`, from 1; columns count characters. Lines end as editors end them: with
/// LF, CR LF or CR.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let bytes = before.as_bytes();
    let is_break = |place: usize| match bytes[place] {
        b'\n' => true,
        b'\r' => text.as_bytes().get(place + 1) != Some(&b'\n'),
        _ => false,
    };
    let line = 1 + (0..bytes.len()).filter(|place| is_break(*place)).count();
    let start = (0..bytes.len()).rev().find(|place| is_break(*place)).map_or(0, |place| place + 1);
    (line, before[start..].chars().count() + 1)
}

/// The byte of `text` at which its character number `index` begins.
pub(super) fn byte_of_char(text: &str, index: usize) -> usize {
    text.char_indices().nth(index).map_or(text.len(), |(byte, _)| byte)
}
