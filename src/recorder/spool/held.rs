//! Segments of a process that has in memory as well what is in them, and brings it into the ledger itself.
//!
//! They are written in room that is reserved, again and again: a sync is several times as fast when a file does not get longer. What
//! counts ends with [`record::END`].

use super::segment::{SEGMENT_BYTES, Segment};
use super::{Spool, record};
use crate::domain::{Span, Timestamp};
use crate::error::{Error, Result};
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// The most that is held in one segment: whoever delivers it reads it as a whole.
const MAX_HELD_BYTES: u64 = 4 * SEGMENT_BYTES;
/// How much room is reserved at once.
const ROOM_BYTES: u64 = 1 << 20;

/// Spans on disk. While it is held nobody else delivers them; whoever drops it leaves them to the next who delivers what waits.
#[derive(Debug)]
pub(crate) struct Held {
    spool: Spool,
    /// Its lock keeps others away.
    segment: Segment,
    /// To write anywhere in it.
    file: File,
    /// Where what counts ends.
    end: u64,
    /// How long the file is. Its last byte is zero always.
    reserved: u64,
    /// Once it could not be written it is not written any more: what a later sync says does not hold for what came before.
    is_broken: bool,
}

impl Spool {
    /// Begins a segment to hold spans in, unless the spool is full.
    ///
    /// # Errors
    /// When the spool is full or cannot be written.
    pub fn begin_to_hold(&self) -> Result<Held> {
        let segment = self.begin()?;
        let file = OpenOptions::new().write(true).open(segment.path());
        let file =
            file.map_err(|e| Error::io(format!("`{}` cannot be written", segment.path().display()), e))?;
        Ok(Held { spool: self.clone(), segment, file, end: 0, reserved: 0, is_broken: false })
    }
}

impl Held {
    /// Whether more can be put into it.
    pub fn has_room(&self) -> bool {
        !self.is_broken && self.end < MAX_HELD_BYTES / 2
    }

    /// Keeps spans behind those that it holds: safe on disk when this returns. Those that are too long for it are not kept.
    ///
    /// # Errors
    /// When the spool is full or cannot be written.
    pub fn keep<'s>(&mut self, spans: impl IntoIterator<Item = &'s Span>, at: Timestamp) -> Result<bool> {
        let (mut lines, mut json) = (Vec::new(), Vec::new());
        for span in spans {
            json.clear();
            write(span, &mut json)?;
            record::encode(at, &json, &mut lines);
            if self.end + lines.len() as u64 > MAX_HELD_BYTES {
                return Ok(false);
            }
        }
        let length = lines.len() as u64;
        lines.extend_from_slice(record::END);
        if self.room_for(&lines) > self.reserved {
            self.spool.check_room()?;
        }
        let written = self.write(&lines);
        self.is_broken |= written.is_err();
        written.map_err(|e| self.failed("written", e))?;
        self.end += length;
        Ok(true)
    }

    /// How long the file has to be for them. So that its last byte is zero, that is more than is needed.
    fn room_for(&self, lines: &[u8]) -> u64 {
        self.end + lines.len() as u64 + 1
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let needed = self.room_for(lines);
        if needed > self.reserved {
            let more = (needed - self.reserved).next_multiple_of(ROOM_BYTES);
            let mut room = vec![0; usize::try_from(more).unwrap_or_default()];
            if self.reserved == 0 {
                room[..record::END.len()].copy_from_slice(record::END);
            }
            self.file.write_all_at(&room, self.reserved)?;
            self.reserved += more;
        }
        self.file.write_all_at(lines, self.end)?;
        self.file.sync_data()
    }

    /// What it holds is in the ledger: it is empty, for others. None if it is of no use any more.
    ///
    /// # Errors
    /// When it cannot be emptied or removed: then it is left, and delivered again, which changes nothing.
    pub fn done(mut self) -> Result<Option<Self>> {
        if self.is_broken {
            return self.remove().map(|()| None);
        }
        self.file.write_all_at(record::END, 0).map_err(|e| self.failed("emptied", e))?;
        self.end = 0;
        Ok(Some(self))
    }

    /// Removes it.
    ///
    /// # Errors
    /// As [`Held::done`].
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(self.segment.path()).map_err(|e| self.failed("removed", e))
    }

    fn failed(&self, what: &str, error: io::Error) -> Error {
        Error::io(format!("`{}` cannot be {what}", self.segment.path().display()), error)
    }
}

/// A span as the event that it is, [`crate::domain::Event::Span`], without taking it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'s> {
    Span(&'s Span),
}

/// A span as the native format writes it, without the line end.
pub(super) fn write(span: &Span, into: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(into, &Line::Span(span))
        .map_err(|e| Error::input(format!("a span cannot be written as JSON: {e}")))
}

#[cfg(test)]
mod tests {
    use super::super::{MAX_BYTES, segment, to_json};
    use super::*;
    use crate::domain::{Event, SpanId};
    use crate::store::Location;
    use uuid::Uuid;

    fn at() -> Timestamp {
        Timestamp::from_micros(1_795_370_000_000_000)
    }

    fn span(id: u64, name: &str) -> Span {
        Span {
            trace_id: Uuid::from_u128(7),
            span_id: SpanId(id.to_be_bytes()),
            parent_id: None,
            started_at: at(),
            ended_at: at(),
            name: name.to_owned(),
            scope: String::new(),
            is_error: false,
            pipeline: None,
            agent: Some("planner".to_owned()),
            conversation: None,
            run_id: None,
            step_id: None,
            prompt_version: None,
            report: None,
        }
    }

    #[test]
    fn a_span_is_written_as_the_event_that_it_is() {
        let span = span(1, "chat");
        let mut line = Vec::new();
        write(&span, &mut line).unwrap();
        assert_eq!(line, to_json(&Event::Span(Box::new(span))).unwrap());
    }

    #[test]
    fn what_is_held_is_nobody_elses_until_it_is_let_go() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::of(&Location::new("sqlite:x.db", "asmm"), Some(home.path()), MAX_BYTES).unwrap();
        let mut held = spool.begin_to_hold().unwrap();
        assert!(held.keep(&[span(1, "a"), span(2, "b")], at()).unwrap());
        assert!(held.keep(&[span(3, "c")], at()).unwrap());
        let status = spool.status().unwrap();
        assert_eq!((status.events, status.owned), (3, 1));
        let (_, path) = segment::list(spool.folder()).unwrap().remove(0);
        assert!(Segment::adopt(&path).unwrap().is_none());
        // In the ledger: it is used again.
        let mut held = held.done().unwrap().unwrap();
        assert!(spool.is_empty().unwrap());
        assert!(held.keep(&[span(4, "d")], at()).unwrap());
        // Not in the ledger: it is left, and what is kept later lies where it is found.
        drop(held);
        spool.keep_spans(&[span(5, "e"), span(6, "f")], at()).unwrap();
        let status = spool.status().unwrap();
        assert_eq!((status.events, status.segments, status.owned), (3, 2, 0));
        assert!(!spool.is_empty().unwrap());
    }

    #[test]
    fn what_is_too_long_to_be_read_again_is_not_kept() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::of(&Location::new("sqlite:x.db", "asmm"), Some(home.path()), MAX_BYTES).unwrap();
        let mut held = spool.begin_to_hold().unwrap();
        let long = span(1, &"x".repeat(1 << 20));
        assert!(!held.keep(std::iter::repeat_n(&long, 40), at()).unwrap());
        assert!(spool.is_empty().unwrap());
        assert!(held.keep(std::iter::repeat_n(&long, 20), at()).unwrap());
        assert!(!held.has_room());
        held.remove().unwrap();
        assert!(segment::list(spool.folder()).unwrap().is_empty());
    }
}
