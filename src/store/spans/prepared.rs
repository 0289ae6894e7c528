//! What can be found out of spans before the ledger is asked: most of the work, done while somebody else writes.
//!
//! Spans whose traces share no response do not concern each other. They are resolved group by group as if nothing else were known
//! of them, which is so for most; only groups that the ledger knows something of are resolved again, together with that.

use super::kept::{Kept, Known, Packer, ResponseKey};
use super::{Change, texts_of};
use crate::domain::{Resolved, Span, SpanId, Timestamp, resolve};
use crate::error::Result;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Spans that are ready to be taken in.
pub struct PreparedSpans {
    spans: Vec<Span>,
    groups: Vec<Group>,
    /// The names that their calls are recorded by.
    pub(super) names: HashSet<(String, String)>,
    /// Under which other reports of their responses are found.
    pub(super) keys: Vec<ResponseKey>,
}

/// Traces that report the same responses, or one alone.
#[derive(Default)]
struct Group {
    /// Their spans, each once.
    places: Vec<usize>,
    traces: Vec<Uuid>,
    responses: Vec<i64>,
    resolved: Resolved,
    kept: Kept,
}

impl PreparedSpans {
    /// Checks and resolves spans; `now` is the reader's clock.
    ///
    /// # Errors
    /// `Input` for a span that the ledger does not take, with the spans as they were given.
    pub fn of(spans: Vec<Span>, now: Timestamp) -> std::result::Result<Self, (Vec<Span>, crate::Error)> {
        for (place, span) in spans.iter().enumerate() {
            if let Err(error) = span.check(now) {
                return Err((spans, error.at(format_args!("span {} of the batch", place + 1))));
            }
        }
        let (mut groups, keys) = grouped(&spans);
        let mut names: HashSet<(&str, &str)> = spans.iter().filter_map(name_in).collect();
        let packed = Packer::new().and_then(|mut packer| {
            groups.iter_mut().try_for_each(|group| group.resolve(&spans, &mut packer))
        });
        if let Err(error) = packed {
            return Err((spans, error));
        }
        for group in &groups {
            // A call may take its provider from one span and its model from another.
            names.extend(
                group.resolved.calls.values().map(|call| (call.provider.as_str(), call.model.as_str())),
            );
        }
        let names = names.into_iter().map(|(p, m)| (p.to_owned(), m.to_owned())).collect();
        Ok(Self { spans, groups, names, keys })
    }

    /// The spans, as they were given.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Gives the spans back.
    #[must_use]
    pub fn into_spans(self) -> Vec<Span> {
        self.spans
    }

    pub(super) fn traces(&self) -> impl Iterator<Item = Uuid> {
        self.groups.iter().flat_map(|group| group.traces.iter().copied())
    }

    /// What they change in a ledger that knows this of them. It is asked once: what was prepared goes into the answer, unless there
    /// are names in it that nobody has asked for, which are then the answer.
    pub(super) fn change(
        &mut self,
        known: &Known,
    ) -> Result<std::result::Result<Change, Vec<(String, String)>>> {
        let (touched, alone): (Vec<&mut Group>, Vec<&mut Group>) =
            self.groups.iter_mut().partition(|group| group.is_touched_by(known));
        let again: Vec<&Span> =
            touched.iter().flat_map(|group| &group.places).map(|place| &self.spans[*place]).collect();
        let mut change = if again.is_empty() { Change::default() } else { Change::of(&again, known)? };
        let mut unknown: Vec<(String, String)> = Vec::new();
        for call in &change.recorded {
            let name = (call.provider.clone(), call.model.clone());
            if !self.names.contains(&name) {
                unknown.push(name);
            }
        }
        if !unknown.is_empty() {
            self.names.extend(unknown.iter().cloned());
            return Ok(Err(unknown));
        }
        for group in alone {
            change.texts.extend(texts_of(group.places.iter().map(|place| &self.spans[*place]))?);
            change.add(
                group.places.len(),
                std::mem::take(&mut group.resolved),
                std::mem::take(&mut group.kept),
            );
        }
        change.kept.sort();
        Ok(Ok(change))
    }
}

impl Group {
    fn resolve(&mut self, spans: &[Span], packer: &mut Packer) -> Result<()> {
        let own = || self.places.iter().map(|place| &spans[*place]);
        self.resolved = resolve(own());
        self.kept = Kept::of(own(), &HashMap::new(), packer)?;
        Ok(())
    }

    fn is_touched_by(&self, known: &Known) -> bool {
        self.traces.iter().any(|trace_id| known.parts.contains_key(trace_id))
            || self.responses.iter().any(|hash| known.responses.contains(hash))
    }
}

/// Spans by traces that share responses, and what else is reported of those.
fn grouped(spans: &[Span]) -> (Vec<Group>, Vec<ResponseKey>) {
    let mut traces: HashMap<Uuid, usize> = HashMap::new();
    let mut responses: HashMap<i64, usize> = HashMap::new();
    let mut seen: HashSet<(Uuid, SpanId)> = HashSet::with_capacity(spans.len());
    let mut keys: Vec<ResponseKey> = Vec::with_capacity(spans.len());
    // Of each trace the one that it goes with, itself for the first of them.
    let mut with: Vec<usize> = Vec::new();
    let first = |with: &[usize], mut slot: usize| {
        while with[slot] != slot {
            slot = with[slot];
        }
        slot
    };
    let mut fresh: Vec<(usize, usize, Option<i64>)> = Vec::with_capacity(spans.len());
    for (place, span) in spans.iter().enumerate() {
        if !seen.insert((span.trace_id, span.span_id)) {
            continue;
        }
        let next = with.len();
        let slot = *traces.entry(span.trace_id).or_insert(next);
        if slot == next {
            with.push(slot);
        }
        let hash = span.response_hash();
        if let Some(hash) = hash {
            keys.extend(span.hours_nearby().map(|hour| (hour, hash)));
            let other = first(&with, *responses.entry(hash).or_insert(slot));
            let own = first(&with, slot);
            let (low, high) = (own.min(other), own.max(other));
            with[high] = low;
        }
        fresh.push((place, slot, hash));
    }
    keys.sort_unstable();
    keys.dedup();
    let mut groups: Vec<Group> = Vec::new();
    groups.resize_with(with.len(), Group::default);
    for (trace_id, slot) in traces {
        groups[first(&with, slot)].traces.push(trace_id);
    }
    for (place, slot, hash) in fresh {
        let group = &mut groups[first(&with, slot)];
        group.places.push(place);
        group.responses.extend(hash);
    }
    groups.retain(|group| !group.places.is_empty());
    (groups, keys)
}

/// The name that a span alone would be recorded by.
fn name_in(span: &Span) -> Option<(&str, &str)> {
    let report = span.report.as_ref()?;
    let model = [&report.model, &report.asked_model].into_iter().find(|name| !name.is_empty());
    Some((&report.provider, model.map_or("unknown", String::as_str)))
}
