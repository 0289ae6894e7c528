//! Which spans report one call.

mod beside;

use super::merge::{add, is_alike, richer};
use super::{Report, Span, SpanId};
use crate::domain::{Outcome, Timestamp, TokenUsage};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// How far up ancestors are looked for.
const MAX_DEPTH: usize = 256;

/// A place among the spans.
pub(super) type Place = usize;

pub(super) struct Spans<'s> {
    pub(super) all: Vec<&'s Span>,
    parents: Vec<Option<Place>>,
    /// Of each span that reports a call, the nearest one around it that does.
    around: HashMap<Place, Place>,
}

impl<'s> Spans<'s> {
    pub(super) fn new(given: impl IntoIterator<Item = &'s Span>) -> Self {
        let mut spans: Vec<&Span> = given.into_iter().collect();
        // The order in which everything is decided: by time, then by id.
        spans.sort_by_key(|span| (span.started_at, span.trace_id, span.span_id));
        let mut places: HashMap<(Uuid, SpanId), Place> = HashMap::with_capacity(spans.len());
        for (place, span) in spans.iter().enumerate() {
            places.entry((span.trace_id, span.span_id)).or_insert(place);
        }
        let parent = |(place, span): (Place, &&Span)| {
            let parent = places.get(&(span.trace_id, span.parent_id?)).copied();
            parent.filter(|parent| *parent != place)
        };
        let parents = spans.iter().enumerate().map(parent).collect();
        let mut spans = Self { all: spans, parents, around: HashMap::new() };
        let reporting = (0..spans.all.len()).filter(|place| spans.report(*place).is_some());
        let around = reporting
            .filter_map(|place| {
                let around = spans.ancestors(place).skip(1).find(|around| spans.report(*around).is_some())?;
                Some((place, around))
            })
            .collect();
        spans.around = around;
        spans
    }

    pub(super) fn report(&self, place: Place) -> Option<&'s Report> {
        self.all[place].report.as_ref()
    }

    /// A span and those around it, the nearest first.
    pub(super) fn ancestors(&self, place: Place) -> impl Iterator<Item = Place> + '_ {
        std::iter::successors(Some(place), |place| self.parents[*place]).take(MAX_DEPTH)
    }

    fn is_inside(&self, inner: Place, outer: Place) -> bool {
        self.all[inner].trace_id == self.all[outer].trace_id
            && self.ancestors(inner).any(|place| place == outer)
    }

    /// The spans of each call, in order.
    pub(super) fn groups(&self) -> Vec<Vec<Place>> {
        let mut groups: Vec<Vec<Place>> = Vec::new();
        let mut group_of: HashMap<Place, usize> = HashMap::new();
        // Of each response the calls that are not over yet, and when the last report of each of them ends.
        let mut by_response: HashMap<&str, Vec<(usize, Timestamp)>> = HashMap::new();
        for place in 0..self.all.len() {
            let Some(response_id) = self.report(place).and_then(|report| report.response_id.as_deref())
            else {
                continue;
            };
            let (started_at, ended_at) = (self.all[place].started_at, self.all[place].ended_at);
            let open = by_response.entry(response_id).or_default();
            // Spans come in the order in which they started.
            open.retain(|(_, end)| *end >= started_at);
            let same = open.iter_mut().find(|(group, _)| self.is_same_response(place, &groups[*group]));
            let group = if let Some((group, end)) = same {
                *end = ended_at.max(*end);
                *group
            } else {
                groups.push(Vec::new());
                open.push((groups.len() - 1, ended_at));
                groups.len() - 1
            };
            groups[group].push(place);
            group_of.insert(place, group);
        }

        self.place_nameless(&mut groups, &mut group_of);
        // And those inside of one that does name a response.
        self.join_outer(&mut groups, &mut group_of);
        self.join_beside(&mut groups);
        for group in &mut groups {
            group.sort_unstable();
        }
        groups.retain(|group| !group.is_empty());
        groups.sort_unstable();
        groups
    }

    /// Those that name no response: from the innermost outwards, so that what is inside is known.
    fn place_nameless(&self, groups: &mut Vec<Vec<Place>>, group_of: &mut HashMap<Place, usize>) {
        let mut nameless: Vec<(usize, Place)> = (0..self.all.len())
            .filter(|place| self.report(*place).is_some() && !group_of.contains_key(place))
            .map(|place| (self.ancestors(place).count(), place))
            .collect();
        nameless.sort_unstable_by_key(|(depth, place)| (std::cmp::Reverse(*depth), *place));
        let mut inside: HashMap<Place, Vec<Place>> = HashMap::new();
        for (inner, outer) in &self.around {
            inside.entry(*outer).or_default().push(*inner);
        }
        for (_, place) in nameless {
            let mut inner: Vec<usize> = Vec::new();
            let mut queue = inside.get(&place).cloned().unwrap_or_default();
            // Spans that are broken may be inside of each other.
            let mut seen = HashSet::new();
            while let Some(next) = queue.pop() {
                if !seen.insert(next) {
                    continue;
                }
                match group_of.get(&next) {
                    Some(group) => inner.push(*group),
                    // It repeats what is inside of it, which is then inside of this one.
                    None => queue.extend(inside.get(&next).into_iter().flatten()),
                }
            }
            inner.sort_unstable();
            inner.dedup();
            inner.retain(|group| groups[*group].iter().any(|member| self.contains(place, *member)));
            match self.place_among(place, &inner, groups) {
                Among::Joins(group) => {
                    groups[group].push(place);
                    group_of.insert(place, group);
                }
                Among::Repeats => {}
                Among::IsItsOwn => {
                    groups.push(vec![place]);
                    group_of.insert(place, groups.len() - 1);
                }
            }
        }
    }

    /// Calls without a response's id join the one that they are inside of, if that one says the same.
    fn join_outer(&self, groups: &mut [Vec<Place>], group_of: &mut HashMap<Place, usize>) {
        for from in 0..groups.len() {
            let [first, ..] = groups[from][..] else { continue };
            let is_nameless = groups[from]
                .iter()
                .all(|p| self.report(*p).is_some_and(|report| report.response_id.is_none()));
            if !is_nameless {
                continue;
            }
            let outer = groups[from].iter().find_map(|place| self.around.get(place)).copied();
            let Some((outer, into)) = outer.and_then(|outer| Some((outer, *group_of.get(&outer)?))) else {
                continue;
            };
            let names_response = self.report(outer).is_some_and(|report| report.response_id.is_some());
            if into != from
                && names_response
                && self.contains(outer, first)
                && self.agree(outer, &groups[from])
            {
                let members = std::mem::take(&mut groups[from]);
                for member in &members {
                    group_of.insert(*member, into);
                }
                groups[into].extend(members);
            }
        }
    }

    fn is_same_response(&self, place: Place, group: &[Place]) -> bool {
        let mut is_same = false;
        for member in group {
            let related = self.is_inside(place, *member) || self.is_inside(*member, place);
            let (one, other) = (self.all[place], self.all[*member]);
            if one.scope == other.scope && !related {
                return false;
            }
            let providers = (self.provider(place), self.provider(*member));
            let same_provider =
                providers.0.is_empty() || providers.1.is_empty() || providers.0 == providers.1;
            is_same |= one.overlaps(other) && (related || same_provider);
        }
        is_same
    }

    fn provider(&self, place: Place) -> &'s str {
        self.report(place).map_or("", |report| report.provider.as_str())
    }

    /// Whether a span goes on for as long as one inside it; clocks of one process are one clock.
    fn contains(&self, outer: Place, inner: Place) -> bool {
        let (outer, inner) = (self.all[outer], self.all[inner]);
        outer.started_at <= inner.started_at && inner.started_at <= outer.ended_at
    }

    /// What a span that names no response is to the calls inside of it.
    fn place_among(&self, place: Place, inner: &[usize], groups: &[Vec<Place>]) -> Among {
        let report = self.report(place);
        let is_outer = report.is_some_and(|report| report.is_outer);
        let usage = report.and_then(|report| report.usage);
        if inner.is_empty() {
            return Among::IsItsOwn;
        }
        if let [only] = inner
            && !is_outer
            && self.agree(place, &groups[*only])
        {
            return Among::Joins(*only);
        }
        let Some(usage) = usage.filter(|_| !is_outer) else { return Among::Repeats };
        let mut sum = TokenUsage::default();
        for group in inner {
            add(&mut sum, self.usage(&groups[*group]).unwrap_or_default());
        }
        // Part of what is inside may still be on its way: it is not counted twice meanwhile.
        let covers = usage.whole_input() >= sum.whole_input()
            && usage.whole_output() >= sum.whole_output()
            && usage.embedding >= sum.embedding;
        // The last of several attempts, or of several turns, is repeated by some.
        let is_one =
            inner.iter().any(|group| self.usage(&groups[*group]).is_some_and(|of| is_alike(&of, &usage)));
        if covers || is_one { Among::Repeats } else { Among::IsItsOwn }
    }

    /// Whether a span can be another report of a call: the same outcome, and the same usage where both know it.
    fn agree(&self, place: Place, group: &[Place]) -> bool {
        if self.all[place].outcome() != self.outcome(group) {
            return false;
        }
        let mine = self.report(place).and_then(|report| report.usage);
        match (mine, self.usage(group)) {
            (Some(mine), Some(theirs)) => is_alike(&mine, &theirs),
            _ => true,
        }
    }

    pub(super) fn outcome(&self, group: &[Place]) -> Outcome {
        let all_failed = group.iter().all(|place| self.all[*place].is_error);
        if all_failed { Outcome::Error } else { Outcome::Ok }
    }

    /// What is known of a call's usage: of each side the largest, and of those the finest.
    pub(super) fn usage(&self, group: &[Place]) -> Option<TokenUsage> {
        group.iter().filter_map(|place| self.report(*place)?.usage).reduce(richer)
    }
}

/// What a span that names no response is to the calls inside of it.
enum Among {
    /// Another report of that call.
    Joins(usize),
    /// It says together what those say one by one.
    Repeats,
    /// A call of its own.
    IsItsOwn,
}
