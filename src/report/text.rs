//! Text as a terminal shows it: its width, how to cut and wrap it, and how to take its teeth out.

use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// How many terminal columns `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// `text` without anything a terminal obeys: control characters, line ends and marks that reorder text
/// are written out as `\u{1b}`, `\n` and so on. Names in a ledger come from anywhere.
pub(crate) fn tame(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_wild) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_wild(c) {
            // Writing to a string cannot fail.
            let _ = write!(tamed, "{}", c.escape_default());
        } else {
            tamed.push(c);
        }
    }
    Cow::Owned(tamed)
}

fn is_wild(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` in at most `room` columns, its end replaced by `mark` if it is longer.
pub(crate) fn cut_end(text: &str, room: usize, mark: &str) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for grapheme in text.graphemes(true) {
        let before = kept.len();
        kept.push_str(grapheme);
        // The width of a text is not the sum of its parts' widths, so the whole is measured.
        if width(&kept) + width(mark) > room {
            kept.truncate(before);
            break;
        }
    }
    kept.truncate(kept.trim_end().len());
    kept.push_str(mark);
    if width(&kept) <= room { kept } else { ".".repeat(room) }
}

/// `text` in at most `room` columns, its start replaced by `mark` if it is longer.
pub(crate) fn cut_start(text: &str, room: usize, mark: &str) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let starts = text.grapheme_indices(true).map(|(start, _)| format!("{mark}{}", &text[start..]));
    let mut shorter = starts.skip(1).chain([mark.to_owned()]);
    shorter.find(|cut| width(cut) <= room).unwrap_or_else(|| ".".repeat(room))
}

/// `parts` with `separator` after each but the last, in lines of at most `room` columns, broken between
/// parts where possible.
pub(super) fn wrap_parts(parts: &[String], separator: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let end = if place + 1 < parts.len() { separator } else { "" };
        let part = format!("{part}{end}");
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(&part) <= room => {
                line.push(' ');
                line.push_str(&part);
            }
            _ => lines.extend(wrap(&part, room)),
        }
    }
    lines
}

/// `text` in lines of at most `room` columns, broken between words where possible.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let room = room.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&joined) <= room {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for grapheme in word.graphemes(true) {
            if width(&format!("{line}{grapheme}")) > room {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(grapheme);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}
