//! What should be so, and what is not.

use super::criteria::Facts;
use crate::cli::context::counted;
use crate::error::Result;
use crate::store::{
    EvidenceScope, Health, HealthCheck, LAW_OF_COUNTERS, LAW_OF_ENDS, LAW_OF_ROLLUP, LAWS, Store,
};
use std::collections::BTreeMap;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    Failed,
    Warning,
    NoData,
    NotChecked,
}

impl Verdict {
    /// The word, for people and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Failed => "FAILED",
            Self::Warning => "warning",
            Self::NoData => "no data",
            Self::NotChecked => "not checked",
        }
    }
}

/// One check.
pub(super) struct Check {
    pub section: &'static str,
    pub what: &'static str,
    pub looked_at: Option<u64>,
    pub wrong: u64,
    pub verdict: Verdict,
    /// Whether a failure means that what was sent cannot be trusted.
    pub is_of_prompts: bool,
}

/// How many findings are named.
const NAMED: usize = 20;

/// Checks, and what they found, in the order they were made.
#[derive(Default)]
pub(super) struct Checks {
    pub all: Vec<Check>,
    pub named: Vec<(&'static str, String)>,
    pub more: u64,
}

impl Checks {
    /// Adds a check that fails when something is wrong.
    pub fn add(&mut self, section: &'static str, what: &'static str, looked_at: Option<u64>, wrong: u64) {
        let verdict = if wrong == 0 { Verdict::Holds } else { Verdict::Failed };
        self.all.push(Check {
            section,
            what,
            looked_at,
            wrong,
            verdict,
            is_of_prompts: section == "prompts",
        });
    }

    /// Adds a check that only warns; where nothing was looked at, there is no data.
    pub fn advise(&mut self, section: &'static str, what: &'static str, looked_at: u64, wrong: u64) {
        let verdict = match (looked_at, wrong) {
            (0, _) => Verdict::NoData,
            (_, 0) => Verdict::Holds,
            _ => Verdict::Warning,
        };
        let looked_at = Some(looked_at);
        self.all.push(Check { section, what, looked_at, wrong, verdict, is_of_prompts: false });
    }

    /// Adds a check that could not be made.
    pub fn not_checked(&mut self, section: &'static str, what: &'static str, why: &str) {
        let verdict = Verdict::NotChecked;
        self.all.push(Check { section, what, looked_at: None, wrong: 0, verdict, is_of_prompts: false });
        self.found(section, format!("not checked: {why}"));
    }

    /// Names what was found.
    pub fn found(&mut self, section: &'static str, finding: String) {
        if self.named.len() < NAMED {
            self.named.push((section, finding));
        } else {
            self.more += 1;
        }
    }

    /// How many things are wrong with a check that was made.
    pub fn has_failed(&self) -> bool {
        self.all.iter().any(|check| check.verdict == Verdict::Failed)
    }
}

/// The broken laws, by name.
pub(super) type Broken = BTreeMap<&'static str, u64>;

pub(super) async fn laws(store: &Store, scope: &EvidenceScope, checks: &mut Checks) -> Result<Broken> {
    let mut broken = Broken::new();
    for found in store.broken_laws_in(scope.laws()).await? {
        *broken.entry(found.law).or_default() += 1;
        checks.found("laws", found.to_string());
    }
    for law in LAWS {
        let looked_at = match law {
            _ if law == LAW_OF_ROLLUP => scope.bucket.map_or(scope.all_calls, |(_, calls)| calls),
            _ if law == LAW_OF_COUNTERS || law == LAW_OF_ENDS => scope.runs,
            _ => scope.calls,
        };
        checks.add("laws", law, Some(looked_at), broken.get(law).copied().unwrap_or_default());
    }
    Ok(broken)
}

/// Takes over what the store says of the database; answers whether the triggers are there that refuse changes.
pub(super) fn health(health: &Health, checks: &mut Checks) -> bool {
    let mut refusals = false;
    for check in &health.checks {
        let HealthCheck { section, check: what, looked_at, ref wrong, is_only_advice, ref not_checked } =
            *check;
        if let Some(why) = not_checked {
            checks.not_checked(section, what, why);
            continue;
        }
        let count = u64::try_from(wrong.len()).unwrap_or(u64::MAX);
        if is_only_advice {
            checks.advise(section, what, looked_at.unwrap_or_default(), count);
        } else {
            checks.add(section, what, looked_at, count);
        }
        for finding in wrong {
            checks.found(section, finding.clone());
        }
        refusals |= what == "triggers refuse what must not change" && wrong.is_empty();
    }
    refusals
}

/// How much is known of what is recorded. What is not known is no failure of the ledger.
pub(super) fn coverage(facts: &Facts, checks: &mut Checks) {
    let (runs, steps, sent) = (&facts.runs, &facts.steps, &facts.sent);
    checks.advise("coverage", "calls have a price", runs.calls, runs.unpriced);
    if runs.unpriced > 0 {
        let calls = counted(runs.calls, "call has", "calls have");
        checks.found("coverage", format!("{} of {calls} no price: `asmm prices missing`", runs.unpriced));
    }
    // Who uses no prompt of the registry anywhere has nothing to say here.
    let without = if steps.versioned == 0 { 0 } else { steps.calling - steps.versioned };
    let calling = if steps.versioned == 0 { 0 } else { steps.calling };
    checks.advise("coverage", "steps with calls name their prompt version", calling, without);
    if without > 0 {
        checks.found("coverage", format!("{without} of {calling} steps with calls name no prompt version"));
    }
    let unseen = sent.exposed + sent.unscanned;
    checks.advise("coverage", "what was sent was looked at before", sent.recorded(), unseen);
    if unseen > 0 {
        let texts = counted(sent.recorded(), "recorded text was", "recorded texts were");
        checks.found("coverage", format!("{unseen} of {texts} not looked at before: `asmm guard sweep`"));
    }
}
