//! How spans are kept: a part of each trace that came, compressed, and where to find the other reports of a response.

use super::Key;
use crate::domain::Span;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// What is known of traces: their spans, and how many parts each of them has.
#[derive(Default)]
pub(super) struct Known {
    pub(super) spans: Vec<Span>,
    pub(super) seen: HashSet<Key>,
    pub(super) parts: HashMap<Uuid, i32>,
    /// Responses that were looked for, by hour and hash.
    pub(super) looked_for: HashSet<(i64, i64)>,
}

/// A part of a trace as it is kept.
pub(super) type Part = (Uuid, i32, Vec<u8>);

impl Known {
    /// What to look for first: the traces, and what these responses are found by.
    pub(super) fn look_for(&mut self, spans: &[Span]) -> (Vec<Uuid>, Vec<(i64, i64)>) {
        let traces: BTreeSet<Uuid> = spans.iter().map(|span| span.trace_id).collect();
        (traces.into_iter().collect(), self.new_keys(spans))
    }

    pub(super) fn new_keys(&mut self, spans: &[Span]) -> Vec<(i64, i64)> {
        let mut keys: Vec<_> = spans
            .iter()
            .flat_map(Span::response_keys_nearby)
            .filter(|key| self.looked_for.insert(*key))
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Takes in what was found, and answers what that leads to.
    pub(super) fn found(&mut self, parts: Vec<Part>) -> Result<Vec<(i64, i64)>> {
        let from = self.spans.len();
        for (trace_id, part, packed) in parts {
            let last = self.parts.entry(trace_id).or_default();
            if part > *last {
                *last = part;
            }
            for span in unpack(&packed)? {
                if self.seen.insert((span.trace_id, span.span_id)) {
                    self.spans.push(span);
                }
            }
        }
        let found = self.spans.split_off(from);
        let keys = self.new_keys(&found);
        self.spans.extend(found);
        Ok(keys)
    }
}

/// Fresh spans as they are kept: a part of each trace, and the responses that they report.
pub(super) struct Kept {
    pub(super) parts: Vec<Part>,
    pub(super) responses: Vec<(i64, i64, Uuid)>,
}

impl Kept {
    pub(super) fn of(fresh: &[&Span], known: &Known) -> Result<Self> {
        let mut by_trace: BTreeMap<Uuid, Vec<&Span>> = BTreeMap::new();
        for span in fresh {
            by_trace.entry(span.trace_id).or_default().push(span);
        }
        let mut packer = zstd::bulk::Compressor::new(1).map_err(|e| unpackable(&e))?;
        let parts = by_trace.into_iter().map(|(trace_id, spans)| {
            let part = known.parts.get(&trace_id).copied().unwrap_or(0).saturating_add(1);
            let json = serde_json::to_vec(&spans).map_err(|e| unpackable(&e))?;
            Ok((trace_id, part, packer.compress(&json).map_err(|e| unpackable(&e))?))
        });
        let parts = parts.collect::<Result<_>>()?;
        let responses = fresh.iter().filter_map(|span| {
            let (hour, key) = span.response_key()?;
            Some((hour, key, span.trace_id))
        });
        let responses: BTreeSet<_> = responses.collect();
        Ok(Self { parts, responses: responses.into_iter().collect() })
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
