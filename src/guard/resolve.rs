//! Which of overlapping findings stays.

use super::rules::Rule;
use super::{Finding, rules};
use std::ops::Range;

/// What a rule found, before overlaps are resolved.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub rule: &'static Rule,
    pub range: Range<usize>,
}

/// The best of overlapping hits, sorted by place: proven before contextual before suspicion, then the
/// specific rule, the longer span, the earlier one, and the id.
pub(super) fn resolve(mut hits: Vec<Hit>) -> Vec<Finding> {
    // Nearly sorted as they come: the time is linear. What overlaps lies in one heap, and heaps are small.
    hits.sort_by_key(|hit| hit.range.start);
    let mut findings = Vec::with_capacity(hits.len());
    let mut from = 0;
    while from < hits.len() {
        let (mut to, mut end) = (from + 1, hits[from].range.end);
        while to < hits.len() && hits[to].range.start < end {
            end = end.max(hits[to].range.end);
            to += 1;
        }
        best_of(&mut hits[from..to], &mut findings);
        from = to;
    }
    findings
}

/// The best of a heap of overlapping hits.
fn best_of(heap: &mut [Hit], findings: &mut Vec<Finding>) {
    if let [hit] = heap {
        findings.push(hit.finding());
        return;
    }
    heap.sort_by(|a, b| {
        let rank = |hit: &Hit| {
            (hit.rule.tier, hit.rule.generic, std::cmp::Reverse(hit.range.len()), hit.range.start)
        };
        rank(a).cmp(&rank(b)).then_with(|| a.rule.id.cmp(&b.rule.id))
    });
    // Kept ranges by their start: no two overlap, so the neighbours decide.
    let mut kept = std::collections::BTreeMap::<usize, &Hit>::new();
    for hit in heap.iter() {
        let before = kept.range(..hit.range.end).next_back();
        if before.is_none_or(|(_, before)| before.range.end <= hit.range.start) {
            kept.insert(hit.range.start, hit);
        }
    }
    findings.extend(kept.into_values().map(Hit::finding));
}

impl Hit {
    fn finding(&self) -> Finding {
        Finding {
            detector: self.rule.id.as_str(),
            group: self.rule.group,
            tier: self.rule.tier,
            range: self.range.clone(),
        }
    }
}

/// The word in a finding's token.
pub(super) fn label_of(detector: &str) -> &'static str {
    rules::find(detector).map_or("REDACTED", rules::Rule::token_label)
}

/// The label of this word, if some rule has it.
pub(super) fn known_label(word: &str) -> Option<&'static str> {
    rules::table().iter().map(rules::Rule::token_label).find(|label| *label == word)
}
