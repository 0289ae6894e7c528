//! The part of the spool that one recorder writes and delivers itself.

use super::drain::{damaged, read_event};
use super::record::{self, Piece, Pieces};
use super::segment::Segment;
use super::{Aside, Spool, to_json};
use crate::domain::{Event, Timestamp};
use crate::error::{Error, Result};
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::fs::File;

/// How much is read at once; more when one event is longer.
const WINDOW_BYTES: u64 = 1 << 20;

/// A place in the spool of one recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The segment, counted from the first one that this recorder began.
    segment: u64,
    offset: u64,
}

/// Events that were read and are to be delivered.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The events.
    pub events: Vec<Event>,
    /// When each was put into the spool.
    pub times: Vec<Timestamp>,
    /// What is no event.
    pub damaged: Vec<Aside>,
    /// Where they end.
    pub end: Position,
}

/// The segments of one recorder, oldest first.
#[derive(Debug)]
pub(crate) struct OwnSpool {
    spool: Spool,
    segments: VecDeque<Segment>,
    /// How many segments were delivered and removed.
    removed: u64,
    /// How far the first segment is delivered.
    delivered: u64,
    /// Segments that hold what is not synced yet, each with its number.
    dirty: Vec<(u64, File)>,
    /// Events that are not delivered yet.
    pending: u64,
}

impl OwnSpool {
    pub fn new(spool: Spool) -> Self {
        Self { spool, segments: VecDeque::new(), removed: 0, delivered: 0, dirty: Vec::new(), pending: 0 }
    }

    /// Events that are not delivered yet.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Appends events: those that this answers the number of, counted from the first; the others if there is an error.
    /// They are safe after [`OwnSpool::take_dirty`] was synced.
    pub fn append<E: Borrow<Event>>(&mut self, events: &[E], at: Timestamp) -> (usize, Result<()>) {
        let mut done = 0;
        while done < events.len() {
            match self.append_some(&events[done..], at) {
                Ok(count) => done += count,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// As many as fit into the segment that is written, and one at least.
    fn append_some<E: Borrow<Event>>(&mut self, events: &[E], at: Timestamp) -> Result<usize> {
        if self.segments.back().is_none_or(|segment| segment.length() >= self.spool.segment_bytes()) {
            let segment = self.spool.begin()?;
            self.segments.push_back(segment);
        }
        let Some(segment) = self.segments.back() else { return Ok(0) };
        let room = usize::try_from(self.spool.segment_bytes() - segment.length()).unwrap_or(usize::MAX);
        let (mut bytes, mut count) = (Vec::new(), 0);
        for event in events {
            record::encode(at, &to_json(event.borrow())?, &mut bytes);
            count += 1;
            if bytes.len() >= room {
                break;
            }
        }
        let path = segment.path().to_owned();
        let failed = |e| Error::io(format!("`{}` cannot be written", path.display()), e);
        let number = self.removed + self.segments.len() as u64;
        let Some(segment) = self.segments.back_mut() else { return Ok(0) };
        if self.dirty.last().is_none_or(|(last, _)| *last != number) {
            self.dirty.push((number, segment.handle().map_err(failed)?));
        }
        segment.append(&bytes).map_err(failed)?;
        self.pending += count as u64;
        Ok(count)
    }

    /// What must be synced to make safe what was appended.
    pub fn take_dirty(&mut self) -> Vec<File> {
        std::mem::take(&mut self.dirty).into_iter().map(|(_, file)| file).collect()
    }

    /// Where the next event will be put.
    pub fn end(&self) -> Position {
        let last = (self.segments.len() as u64).saturating_sub(1);
        let offset = self.segments.back().map_or(0, Segment::length);
        Position { segment: self.removed + last, offset }
    }

    /// How far everything is delivered.
    pub fn start(&self) -> Position {
        Position { segment: self.removed, offset: self.delivered }
    }

    /// At most `max` events from `from` on; none at the end.
    pub fn read(&self, from: Position, max: usize, now: Timestamp) -> Result<Option<Chunk>> {
        // What lies before the start is delivered, and its segment may be gone.
        let (mut at, mut window) = (from.max(self.start()), WINDOW_BYTES);
        loop {
            let number = usize::try_from(at.segment.saturating_sub(self.removed)).unwrap_or(usize::MAX);
            let Some(segment) = self.segments.get(number) else { return Ok(None) };
            if at.offset >= segment.length() {
                at = Position { segment: at.segment + 1, offset: 0 };
                continue;
            }
            let failed = |e| Error::io(format!("`{}` cannot be read", segment.path().display()), e);
            let bytes = segment.read(at.offset, window).map_err(failed)?;
            let is_rest = bytes.len() as u64 >= segment.length() - at.offset || (bytes.len() as u64) < window;
            let mut chunk = Chunk { events: Vec::new(), times: Vec::new(), damaged: Vec::new(), end: at };
            let mut pieces = Pieces::new(&bytes);
            while chunk.events.len() < max {
                match pieces.next() {
                    None => break,
                    Some(Piece::Event { at, json }) => match read_event(json, at, now) {
                        Ok(event) => {
                            chunk.events.push(event);
                            chunk.times.push(at);
                        }
                        Err(aside) => chunk.damaged.push(*aside),
                    },
                    Some(Piece::Cut(_)) if !is_rest => break,
                    Some(Piece::Damaged(range) | Piece::Cut(range)) => {
                        let place = at.offset + range.start as u64;
                        chunk.damaged.push(damaged(segment.path(), &bytes[range], place, now));
                    }
                }
                chunk.end.offset = at.offset + pieces.position() as u64;
            }
            if is_rest && chunk.end.offset == at.offset + bytes.len() as u64 {
                // Also when somebody has cut the file.
                chunk.end.offset = segment.length();
            }
            if chunk.end > at {
                return Ok(Some(chunk));
            }
            window *= 8;
        }
    }

    /// Everything up to `end` is delivered, `count` events: segments that are done with are removed.
    ///
    /// # Errors
    /// When one cannot be removed: it will be delivered again, which changes nothing.
    pub fn delivered(&mut self, end: Position, count: u64) -> Result<()> {
        self.pending = self.pending.saturating_sub(count);
        if end <= self.start() {
            return Ok(());
        }
        let mut outcome = Ok(());
        let failed =
            |path: &std::path::Path, e| Error::io(format!("`{}` cannot be removed", path.display()), e);
        self.delivered = end.offset;
        while let [first, _, ..] = self.segments.make_contiguous() {
            let is_done = self.removed < end.segment || self.delivered >= first.length();
            if !is_done {
                break;
            }
            if self.removed == end.segment {
                self.delivered = 0;
            }
            let Some(segment) = self.segments.pop_front() else { break };
            self.removed += 1;
            let path = segment.path().to_owned();
            outcome = outcome.and(segment.remove().map_err(|e| failed(&path, e)));
        }
        if let [only] = self.segments.make_contiguous()
            && self.delivered >= only.length()
        {
            self.pending = 0;
            self.delivered = 0;
            let is_full = only.length() >= self.spool.segment_bytes();
            outcome =
                outcome.and(if is_full { Ok(()) } else { only.clear() }.map_err(|e| failed(only.path(), e)));
            if is_full || outcome.is_err() {
                // A new one is begun when something is to be kept again.
                self.dirty.clear();
                if let Some(segment) = self.segments.pop_front() {
                    self.removed += 1;
                    let path = segment.path().to_owned();
                    outcome = outcome.and(segment.remove().map_err(|e| failed(&path, e)));
                }
            }
        }
        outcome
    }

    /// Ends it: what is delivered is removed, what is not is left for the next process.
    pub fn close(mut self) -> Result<()> {
        match self.segments.pop_front() {
            Some(segment) if self.pending == 0 && self.segments.is_empty() => {
                let path = segment.path().to_owned();
                segment.remove().map_err(|e| Error::io(format!("`{}` cannot be removed", path.display()), e))
            }
            _ => Ok(()),
        }
    }
}
