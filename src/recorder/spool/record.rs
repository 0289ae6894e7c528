//! One event on disk: a line that can be read by people and proven by a checksum.
//!
//! ```text
//! 5f3a91c2 214 1774008000000000 {"type":"call",…}
//! ```
//!
//! The CRC-32 of the rest of the line, the length of the event in bytes, when it was put here (microseconds since 1970,
//! UTC), the event as the native format writes it. JSON holds no line end, so that a reader finds its way again at
//! the next line, whatever was damaged; and since the length is there, a damaged line end loses nothing.

use crate::domain::Timestamp;
use std::ops::Range;

/// What lies behind this, at the beginning of a line, was there before and counts no more: whoever writes into room that it has
/// reserved, and writes it again and again, ends with it.
pub(super) const END: &[u8] = b"\0end\n";

/// The longest head: checksum, length, time, and a space after each.
const MAX_HEAD: usize = 8 + 1 + 10 + 1 + 20 + 1;

/// Appends an event as a line.
pub(super) fn encode(at: Timestamp, json: &[u8], into: &mut Vec<u8>) {
    let head = format!("{} {} ", json.len(), at.micros());
    let mut crc = crc32fast::Hasher::new();
    crc.update(head.as_bytes());
    crc.update(json);
    into.extend_from_slice(format!("{:08x} ", crc.finalize()).as_bytes());
    into.extend_from_slice(head.as_bytes());
    into.extend_from_slice(json);
    into.push(b'\n');
}

/// What lies at a place of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// An event, proven by its checksum.
    Event {
        /// When it was put here.
        at: Timestamp,
        /// The event.
        json: &'a [u8],
    },
    /// Bytes that are no event, up to the next line.
    Damaged(Range<usize>),
    /// The beginning of an event, up to the end: whoever wrote it did not get further.
    Cut(Range<usize>),
}

/// Reads a segment from a place on.
pub(crate) struct Pieces<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where the next piece begins.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        if rest.starts_with(END) {
            self.at = self.bytes.len();
            return None;
        }
        if let Some((at, json, length)) = event(rest) {
            self.at += length;
            // A damaged line end is no damage to the events on its two sides.
            match rest.get(length) {
                Some(b'\n') => self.at += 1,
                Some(_) if event(&rest[length..]).is_none() => self.at += 1,
                _ => {}
            }
            return Some(Piece::Event { at, json });
        }
        let start = self.at;
        if let Some(end) = memchr::memchr(b'\n', rest) {
            self.at += end + 1;
            Some(Piece::Damaged(start..start + end))
        } else {
            self.at = self.bytes.len();
            Some(Piece::Cut(start..self.at))
        }
    }
}

/// The event that `bytes` begin with, and how long its line is without the line end.
fn event(bytes: &[u8]) -> Option<(Timestamp, &[u8], usize)> {
    let head = bytes.get(..bytes.len().min(MAX_HEAD))?;
    let crc = u32::from_str_radix(std::str::from_utf8(head.get(..8)?).ok()?, 16).ok()?;
    if head.get(8) != Some(&b' ') {
        return None;
    }
    let (length, after_length) = number(head, 9)?;
    let (micros, start) = number(head, after_length)?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let json = bytes.get(start..end)?;
    (crc32fast::hash(bytes.get(9..end)?) == crc).then_some((Timestamp::from_micros(micros), json, end))
}

/// The number at `from`, and the place after the space behind it.
fn number(head: &[u8], from: usize) -> Option<(i64, usize)> {
    let length = memchr::memchr(b' ', head.get(from..)?)?;
    let digits = std::str::from_utf8(head.get(from..from + length)?).ok()?;
    Some((digits.parse().ok()?, from + length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_micros(1_774_008_000_000_000)
    }

    fn three() -> (Vec<u8>, Vec<String>) {
        let events: Vec<String> = (0..3).map(|n| format!("{{\"n\":{n},\"text\":\"é\"}}")).collect();
        let mut bytes = Vec::new();
        for event in &events {
            encode(at(), event.as_bytes(), &mut bytes);
        }
        (bytes, events)
    }

    fn read(bytes: &[u8]) -> (Vec<String>, usize) {
        let mut events = Vec::new();
        let mut other = 0;
        for piece in Pieces::new(bytes) {
            match piece {
                Piece::Event { json, .. } => events.push(String::from_utf8(json.to_vec()).unwrap()),
                Piece::Damaged(_) | Piece::Cut(_) => other += 1,
            }
        }
        (events, other)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, events) = three();
        assert_eq!(read(&bytes), (events, 0));
        assert_eq!(
            Pieces::new(&bytes).next(),
            Some(Piece::Event { at: at(), json: "{\"n\":0,\"text\":\"é\"}".as_bytes() })
        );
        assert_eq!(read(b""), (vec![], 0));
    }

    #[test]
    fn what_lies_behind_the_end_does_not_count() {
        let (mut bytes, events) = three();
        let length = bytes.len();
        bytes.extend_from_slice(END);
        bytes.extend_from_within(length / 3 + 2..length);
        assert_eq!(read(&bytes), (events, 0));
        // Other bytes that are nothing hide nothing.
        let (bytes, events) = three();
        let mut damaged = vec![0; 20];
        damaged.push(b'\n');
        damaged.extend(bytes);
        assert_eq!(read(&damaged), (events, 1));
    }

    #[test]
    fn cut_anywhere_all_whole_events_are_read() {
        let (bytes, events) = three();
        let line = bytes.len() / 3;
        for length in 0..bytes.len() {
            let (found, other) = read(&bytes[..length]);
            // The last line end may be missing.
            let whole = (length + 1) / line;
            assert_eq!(found, events[..whole], "cut after {length}");
            assert_eq!(other, usize::from(length > whole * line), "cut after {length}");
        }
    }

    #[test]
    fn changed_anywhere_at_most_that_event_is_lost_and_it_is_seen() {
        let (bytes, events) = three();
        let line = bytes.len() / 3;
        for place in 0..bytes.len() {
            for change in [0x01, 0x80, bytes[place] ^ b'\n', bytes[place] ^ b' '] {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                let (found, other) = read(&changed);
                let is_line_end = place % line == line - 1;
                let mut expected = events.clone();
                if !is_line_end && change != 0 && changed != bytes {
                    // A checksum in capitals is the same checksum.
                    let same = read(&changed).0.len() == 3;
                    if !same {
                        expected.remove(place / line);
                        assert!(other > 0, "byte {place} ^ {change}");
                    }
                }
                assert_eq!(found, expected, "byte {place} ^ {change}");
            }
        }
    }
}
