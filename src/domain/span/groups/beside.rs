//! Reports of one call that lie beside each other: two instrumentations told of it, and neither inside of the other. Callbacks of
//! frameworks do so, and SDKs that trace themselves.

use super::{Place, Spans};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How many reports are looked at on each side of one.
const MAX_LOOKED_AT: usize = 32;

/// The reports of a trace with the groups that they are in, in the order in which they started.
type Reports = Vec<(Place, usize)>;

impl Spans<'_> {
    /// Calls without a response's id join one that another instrumentation tells of in the same trace, if one went on within the
    /// other and both say the same.
    pub(super) fn join_beside(&self, groups: &mut [Vec<Place>]) {
        let mut traces: BTreeMap<Uuid, Reports> = BTreeMap::new();
        for (group, members) in groups.iter().enumerate() {
            for member in members {
                traces.entry(self.all[*member].trace_id).or_default().push((*member, group));
            }
        }
        for reports in traces.values_mut() {
            reports.sort_unstable();
            let scope = |(place, _): &(Place, usize)| self.all[*place].scope.as_str();
            // Most traces are of one instrumentation, which tells of a call once.
            if reports.iter().all(|report| scope(report) == scope(&reports[0])) {
                continue;
            }
            for (at, (place, from)) in reports.iter().enumerate() {
                let is_nameless = |place: &Place| self.names_no_response(*place);
                if groups[*from].first() != Some(place) || !groups[*from].iter().all(is_nameless) {
                    continue;
                }
                let before = reports[..at].iter().rev().take(MAX_LOOKED_AT);
                let after = reports[at + 1..].iter().take(MAX_LOOKED_AT);
                let start = |place: Place| self.all[place].started_at.micros();
                let same = before
                    .chain(after)
                    .filter(|(other, into)| into != from && self.is_beside(*place, *other, &groups[*into]))
                    .min_by_key(|(other, _)| (start(*other).abs_diff(start(*place)), *other));
                if let Some((_, into)) = same {
                    let members = std::mem::take(&mut groups[*from]);
                    groups[*into].extend(members);
                }
            }
        }
    }

    fn names_no_response(&self, place: Place) -> bool {
        self.report(place).is_some_and(|report| report.response_id.is_none())
    }

    /// Whether a report tells of the same call as another one, which is in that group.
    fn is_beside(&self, place: Place, other: Place, group: &[Place]) -> bool {
        // One that has joined another one meanwhile is empty.
        let is_told_by_others =
            !group.is_empty() && group.iter().all(|member| self.all[*member].scope != self.all[place].scope);
        is_told_by_others
            && (self.is_within(place, other) || self.is_within(other, place))
            && self.names_alike(place, other)
            && self.agree(place, group)
    }

    /// Whether a span went on within another one, and both in what is around that one.
    fn is_within(&self, inner: Place, outer: Place) -> bool {
        let (of_inner, of_outer) = (self.all[inner], self.all[outer]);
        if of_outer.started_at > of_inner.started_at || of_inner.ended_at > of_outer.ended_at {
            return false;
        }
        let is_around = |parent| self.ancestors(outer).skip(1).any(|around| around == parent);
        of_inner.parent_id.is_some() && of_inner.parent_id == of_outer.parent_id
            || self.parents[inner].is_some_and(is_around)
    }

    /// Whether the models that two reports name have one in common, of one provider.
    fn names_alike(&self, one: Place, other: Place) -> bool {
        let (Some(of_one), Some(of_other)) = (self.report(one), self.report(other)) else { return false };
        let names = [&of_other.model, &of_other.asked_model];
        let is_named = |name: &String| !name.is_empty() && names.contains(&name);
        let is_same_provider = of_one.provider == of_other.provider
            || of_one.provider.is_empty()
            || of_other.provider.is_empty();
        is_same_provider && (is_named(&of_one.model) || is_named(&of_one.asked_model))
    }
}
