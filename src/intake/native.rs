//! The native format: one JSON object a line, as `asmm export jsonl` writes it.

mod read;
#[cfg(test)]
mod tests;

use crate::domain::{Event, Timestamp};
use crate::error::{Error, Result};
use crate::intake::Complaints;
use crate::intake::lines::Lines;
use std::io::{Read, Write};

pub use read::parse_line;

/// What a line of the native format holds.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all lines are events")]
pub enum Line {
    /// Something that was recorded, checked.
    Event(Event),
    /// A line of a type that is not an event (`price`, `alias`, or one of a later version): whoever reads
    /// the file decides what to do with it.
    Other {
        /// The line's `type`.
        kind: String,
        /// The whole line.
        json: String,
    },
}

/// Writes `event` as exactly one line.
pub fn write_event(event: &Event, out: &mut impl Write) -> Result<()> {
    serde_json::to_writer(&mut *out, event)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .map_err(|error| Error::io("cannot write an event", error))
}

/// Reads the native format from `lines`, in order, giving each line with its number to `sink`.
///
/// A line that is not right goes to `complaints` under the name `file`; blank lines are passed over.
/// `now` is the reader's clock.
///
/// # Errors
/// When the stream fails, or `sink` does.
pub fn read<R: Read>(
    file: &str,
    lines: &mut Lines<R>,
    now: Timestamp,
    complaints: &mut Complaints,
    mut sink: impl FnMut(u64, Line) -> Result<()>,
) -> Result<()> {
    loop {
        let line = lines.next_line().map_err(|error| {
            Error::io(format!("cannot read `{file}`"), error)
                .hint("is it whole? importing it again is safe: what is there already stays once")
        })?;
        let Some(line) = line else { return Ok(()) };
        match line.text {
            Err(bad) => complaints.add(file, line.number, bad),
            Ok(text) if text.trim().is_empty() => {}
            Ok(text) => match parse_line(text, now) {
                Ok(parsed) => sink(line.number, parsed)?,
                Err(error) => complaints.add(file, line.number, error),
            },
        }
    }
}
