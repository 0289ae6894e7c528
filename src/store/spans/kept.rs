//! How spans are kept: a part of each trace that came, compressed, and where to find the other reports of a response.

use super::{Key, PreparedSpans};
use crate::domain::Span;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// What is known of traces: their spans, and how many parts each of them has.
#[derive(Default)]
pub(super) struct Known {
    pub(super) spans: Vec<Span>,
    pub(super) seen: HashSet<Key>,
    pub(super) parts: HashMap<Uuid, i32>,
    /// The hashes of the responses that they report.
    pub(super) responses: HashSet<i64>,
    /// Responses that were looked for.
    looked_for: HashSet<ResponseKey>,
}

/// A part of a trace as it is kept.
pub(super) type Part = (Uuid, i32, Vec<u8>);

/// Where a response may be reported: an hour, and the hash of its id.
pub(super) type ResponseKey = (i64, i64);

impl Known {
    /// What to look for first: the traces, and what these responses are found by.
    pub(super) fn look_for(&mut self, prepared: &PreparedSpans) -> (Vec<Uuid>, Vec<ResponseKey>) {
        self.looked_for.extend(&prepared.keys);
        (prepared.traces().collect(), prepared.keys.clone())
    }

    /// Takes in what was found, and answers what that leads to.
    pub(super) fn found(&mut self, parts: Vec<Part>) -> Result<Vec<ResponseKey>> {
        let mut keys = Vec::new();
        for (trace_id, part, packed) in parts {
            let last = self.parts.entry(trace_id).or_default();
            if part > *last {
                *last = part;
            }
            for span in unpack(&packed)? {
                if !self.seen.insert((span.trace_id, span.span_id)) {
                    continue;
                }
                if let Some(hash) = span.response_hash() {
                    self.responses.insert(hash);
                    keys.extend(span.hours_nearby().map(|hour| (hour, hash)));
                }
                self.spans.push(span);
            }
        }
        keys.retain(|key| self.looked_for.insert(*key));
        keys.sort_unstable();
        Ok(keys)
    }
}

/// Fresh spans as they are kept: a part of each trace, and the responses that they report.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) parts: Vec<Part>,
    pub(super) responses: Vec<(i64, i64, Uuid)>,
}

impl Kept {
    /// As the next parts of their traces, of which `parts` are there.
    pub(super) fn of<'s>(
        fresh: impl IntoIterator<Item = &'s Span>,
        parts: &HashMap<Uuid, i32>,
        packer: &mut Packer,
    ) -> Result<Self> {
        let mut kept = Self::default();
        let mut by_trace: BTreeMap<Uuid, Vec<&Span>> = BTreeMap::new();
        for span in fresh {
            by_trace.entry(span.trace_id).or_default().push(span);
            if let Some(hash) = span.response_hash() {
                kept.responses.push((span.hour(), hash, span.trace_id));
            }
        }
        for (trace_id, spans) in by_trace {
            let part = parts.get(&trace_id).copied().unwrap_or(0).saturating_add(1);
            kept.parts.push((trace_id, part, packer.pack(&spans)?));
        }
        Ok(kept)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.responses.extend(other.responses);
    }

    /// In the order of the tables that it goes into.
    pub(super) fn sort(&mut self) {
        self.parts.sort_unstable_by_key(|(trace_id, part, _)| (*trace_id, *part));
        self.responses.sort_unstable();
        self.responses.dedup();
    }
}

/// Packs spans.
pub(super) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub(super) fn new() -> Result<Self> {
        zstd::bulk::Compressor::new(1).map(Self).map_err(|e| unpackable(&e))
    }

    fn pack(&mut self, spans: &[&Span]) -> Result<Vec<u8>> {
        // Texts lie where retention finds them.
        let spans: Vec<_> = spans.iter().map(|span| span.without_texts()).collect();
        let json = serde_json::to_vec(&spans).map_err(|e| unpackable(&e))?;
        self.0.compress(&json).map_err(|e| unpackable(&e))
    }
}

/// The most that a part may unpack to, in bytes.
pub(super) const MAX_PART_BYTES: usize = 64 << 20;

pub(super) fn unpackable(error: &dyn std::fmt::Display) -> Error {
    Error::input(format!("a span cannot be kept: {error}"))
}

pub(super) fn unpack(packed: &[u8]) -> Result<Vec<Span>> {
    let unreadable =
        |e: &dyn std::fmt::Display| Error::database(format!("spans that are kept cannot be read: {e}"));
    let json = zstd::bulk::decompress(packed, MAX_PART_BYTES).map_err(|e| unreadable(&e))?;
    serde_json::from_slice(&json).map_err(|e| unreadable(&e))
}
