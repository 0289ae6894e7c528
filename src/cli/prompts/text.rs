//! Messages and diffs as people read them.

use crate::prompt::{Change, DiffLine};
use std::fmt::Write;

/// Messages, each under its role.
pub(in crate::cli) fn messages<'a>(
    messages: impl Iterator<Item = (&'a str, &'a str)>,
    color: bool,
) -> String {
    let mut text = String::new();
    for (place, (role, content)) in messages.enumerate() {
        if place > 0 {
            text.push('\n');
        }
        text.push_str(&painted(&format!("--- {role} ---"), "1", color));
        text.push('\n');
        text.push_str(&tame(content));
        if !content.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// The lines of a diff.
pub(in crate::cli) fn diff(lines: &[DiffLine], color: bool) -> String {
    let mut text = String::new();
    for line in lines {
        let code = match line.change {
            Change::Same => "",
            Change::Removed => "31",
            Change::Added => "32",
            Change::Omitted => "2",
        };
        text.push_str(&painted(&line.to_string(), code, color));
        text.push('\n');
    }
    text
}

/// `text` in a colour of the terminal, by its code.
pub(in crate::cli) fn painted(text: &str, code: &str, color: bool) -> String {
    if color && !code.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// What an input may hold must not move the cursor, or turn the order of a line around.
fn tame(text: &str) -> String {
    let mut tame = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => tame.push(c),
            '\r' => tame.push('␍'),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                // A text in memory takes everything.
                let _ = write!(tame, "<U+{:04X}>", u32::from(c));
            }
            c => tame.push(c),
        }
    }
    tame
}
