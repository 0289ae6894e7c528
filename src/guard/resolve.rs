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
    hits.sort_by(|a, b| {
        let rank = |hit: &Hit| {
            (hit.rule.tier, hit.rule.generic, std::cmp::Reverse(hit.range.len()), hit.range.start)
        };
        rank(a).cmp(&rank(b)).then_with(|| a.rule.id.cmp(&b.rule.id))
    });
    // Kept ranges by their start: no two overlap, so the neighbours decide.
    let mut kept = std::collections::BTreeMap::<usize, (usize, &'static Rule)>::new();
    for hit in hits {
        let before = kept.range(..hit.range.end).next_back();
        if before.is_none_or(|(_, (end, _))| *end <= hit.range.start) {
            kept.insert(hit.range.start, (hit.range.end, hit.rule));
        }
    }
    kept.into_iter()
        .map(|(start, (end, rule))| Finding {
            detector: rule.id.as_str(),
            group: rule.group,
            tier: rule.tier,
            range: start..end,
        })
        .collect()
}

/// The word in a finding's token.
pub(super) fn label_of(detector: &str) -> &'static str {
    rules::find(detector).map_or("REDACTED", rules::Rule::token_label)
}
