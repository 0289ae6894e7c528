//! What differs between two versions, or between two rendered texts, line by line, as people read them.
//!
//! White space at the end of a line is made visible, since `|` and `|-` differ by a byte: `·` a space, `⇥` a tab,
//! `␍` a carriage return. Where one text ends with a newline and the other does not, that one says so.

use super::content::{Content, Variable};
use super::render::RenderedMessage;
use crate::domain::canonical_json;
use serde_json::Value;
use similar::{Algorithm, ChangeTag, DiffOp, capture_diff_slices, group_diff_ops};
use std::fmt;
use std::fmt::Write;

/// How many equal lines are shown around a change.
const CONTEXT: usize = 3;
/// Beyond so many lines, only equal beginnings and ends are looked for: the exact way would take too long.
const MAX_EXACT_LINES: usize = 20_000;
const NO_NEWLINE: &str = "⏎ no newline at end";

/// One line of a diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    /// Whose line it is.
    pub change: Change,
    /// The line, without a newline and without control characters.
    pub text: String,
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Both have it.
    Same,
    /// Only the old one has it.
    Removed,
    /// Only the new one has it.
    Added,
    /// Stands for lines that both have and that are not shown; the text says how many.
    Omitted,
}

impl fmt::Display for DiffLine {
    /// The line as a unified diff writes it: after a space, `-` or `+`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.change {
            Change::Same | Change::Omitted => ' ',
            Change::Removed => '-',
            Change::Added => '+',
        };
        write!(f, "{sign}{}", self.text)
    }
}

/// What differs between two contents: model, params, variables and messages. Empty if nothing does.
#[must_use]
pub fn diff(old: &Content, new: &Content) -> Vec<DiffLine> {
    fn messages(content: &Content) -> Vec<(&str, &str)> {
        content.messages.iter().map(|m| (m.role.code(), m.content.source())).collect()
    }
    let (old_messages, new_messages) = (messages(old), messages(new));
    let mut old_lines = head(old);
    let mut new_lines = head(new);
    old_lines.extend(message_lines(&old_messages, &new_messages));
    new_lines.extend(message_lines(&new_messages, &old_messages));
    compare(&old_lines, &new_lines)
}

/// What differs between two rendered texts. Empty if nothing does.
#[must_use]
pub fn text_diff(old: &[RenderedMessage], new: &[RenderedMessage]) -> Vec<DiffLine> {
    fn messages(rendered: &[RenderedMessage]) -> Vec<(&str, &str)> {
        rendered.iter().map(|m| (m.role.code(), m.content.as_str())).collect()
    }
    let (old, new) = (messages(old), messages(new));
    compare(&message_lines(&old, &new), &message_lines(&new, &old))
}

/// The lines before the messages.
fn head(content: &Content) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(model) = &content.model {
        lines.push(format!("model: {}", model.id));
        lines.extend(model.params.iter().map(|(key, value)| format!("  {key}: {}", json(value))));
    }
    if !content.variables.is_empty() {
        lines.push("variables:".to_owned());
    }
    lines
        .extend(content.variables.iter().map(|(name, variable)| format!("  {name}: {}", describe(variable))));
    lines
}

fn describe(variable: &Variable) -> String {
    let mut text = format!("{}, {}", variable.kind, variable.sensitivity);
    if let Some(max_bytes) = variable.max_bytes {
        let _ = write!(text, ", at most {max_bytes} bytes");
    }
    if !variable.values.is_empty() {
        let _ = write!(text, ", values {}", json(&Value::from(variable.values.clone())));
    }
    if let Some(default) = &variable.default {
        let _ = write!(text, ", default {}", json(default));
    }
    if let Some(allow) = &variable.allow_raw {
        let _ = write!(text, ", allows raw {} ({})", allow.kinds.join(", "), allow.reason);
        if let Some(expires) = allow.expires {
            let _ = write!(text, " until {expires}");
        }
    }
    if let Some(on_secret) = variable.on_secret {
        let _ = write!(text, ", on secret {on_secret}");
    }
    text
}

fn json(value: &Value) -> String {
    canonical_json(value).unwrap_or_else(|_| value.to_string())
}

/// The lines of messages, to be compared with `others`.
fn message_lines(messages: &[(&str, &str)], others: &[(&str, &str)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, (role, content)) in messages.iter().enumerate() {
        lines.push(format!("message {} ({role}):", index + 1));
        lines.extend(content.split_terminator('\n').map(|line| format!("  {line}")));
        // Said only where the two differ: most texts have no newline at their end.
        let other_ends = others.get(index).is_some_and(|(_, other)| other.ends_with('\n'));
        if other_ends && !content.ends_with('\n') {
            match lines.last_mut() {
                Some(last) if !content.is_empty() => last.push_str(NO_NEWLINE),
                _ => lines.push(format!("  {NO_NEWLINE}")),
            }
        }
    }
    lines
}

fn compare(old: &[String], new: &[String]) -> Vec<DiffLine> {
    let ops = if old.len() + new.len() <= MAX_EXACT_LINES {
        capture_diff_slices(Algorithm::Myers, old, new)
    } else {
        ends_only(old, new)
    };
    let mut lines = Vec::new();
    let mut shown = 0;
    for group in group_diff_ops(ops, CONTEXT) {
        let Some(first) = group.first() else { continue };
        omit(&mut lines, first.old_range().start - shown);
        for op in &group {
            lines.extend(op.iter_changes(old, new).map(|change| DiffLine {
                change: match change.tag() {
                    ChangeTag::Equal => Change::Same,
                    ChangeTag::Delete => Change::Removed,
                    ChangeTag::Insert => Change::Added,
                },
                text: visible(&change.value()),
            }));
            shown = op.old_range().end;
        }
    }
    if !lines.is_empty() {
        omit(&mut lines, old.len() - shown);
    }
    lines
}

/// Equal lines at the beginning and at the end; all between is replaced.
fn ends_only(old: &[String], new: &[String]) -> Vec<DiffOp> {
    let begin = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[begin..], &new[begin..]);
    let end = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_len, new_len) = (old_rest.len() - end, new_rest.len() - end);
    let mut ops = vec![DiffOp::Equal { old_index: 0, new_index: 0, len: begin }];
    if old_len > 0 {
        ops.push(DiffOp::Delete { old_index: begin, old_len, new_index: begin });
    }
    if new_len > 0 {
        ops.push(DiffOp::Insert { old_index: begin + old_len, new_index: begin, new_len });
    }
    ops.push(DiffOp::Equal { old_index: begin + old_len, new_index: begin + new_len, len: end });
    ops
}

fn omit(lines: &mut Vec<DiffLine>, count: usize) {
    if count > 0 {
        let noun = if count == 1 { "line" } else { "lines" };
        lines.push(DiffLine { change: Change::Omitted, text: format!("… {count} {noun} the same") });
    }
}

/// The line with the white space at its end, and every control character, made visible.
fn visible(line: &str) -> String {
    let (line, mark) = match line.strip_suffix(NO_NEWLINE) {
        Some(line) => (line, NO_NEWLINE),
        None => (line, ""),
    };
    // The lines of a text are indented by us: no white space of theirs.
    let (indent, line) = match line.strip_prefix("  ") {
        Some(line) => ("  ", line),
        None => ("", line),
    };
    let body = line.trim_end();
    let mut text = String::with_capacity(line.len() + 2);
    if !line.is_empty() || !mark.is_empty() {
        text.push_str(indent);
    }
    for c in body.chars() {
        match c {
            c if c.is_control() && c != '\t' => {
                let _ = write!(text, "<U+{:04X}>", u32::from(c));
            }
            c => text.push(c),
        }
    }
    for c in line[body.len()..].chars() {
        match c {
            ' ' => text.push('·'),
            '\t' => text.push('⇥'),
            '\r' => text.push('␍'),
            c => {
                let _ = write!(text, "<U+{:04X}>", u32::from(c));
            }
        }
    }
    text.push_str(mark);
    text
}
