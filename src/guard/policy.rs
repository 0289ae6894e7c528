//! What is done about a finding: what was found decides, then the variable it came in by.

use super::{Finding, Group, Options, Tier, resolve, rules};
use crate::domain::{Decision, Digest};
use crate::error::{Error, Result};
use crate::prompt::{AllowRaw, OnSecret, Variable};
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// The project's policy: the section `guard:` of `asmm.yaml`. What it does not say is the default.
///
/// A kind is a rule's id or its token's label in lower case: `email`, `phone`, `ip`, `national_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What a proven or contextual secret does where no variable says otherwise. A template's secret always blocks.
    on_secret: SecretAction,
    /// Whether national identification numbers are looked for.
    national_ids: bool,
    /// Whether what has no structure to check is looked for: birth dates, hardware addresses.
    soft: bool,
    /// Kinds of personal data that are not redacted but block or are only reported.
    #[serde(deserialize_with = "known_kinds")]
    kinds: BTreeMap<String, Action>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { on_secret: SecretAction::Block, national_ids: true, soft: false, kinds: BTreeMap::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecretAction {
    Block,
    Redact,
}

/// What a policy may ask for a kind: everything but letting it pass as an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Block,
    Redact,
    Report,
}

/// What is done about a finding, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ruling {
    pub decision: Decision,
    pub reason: String,
}

impl Ruling {
    pub fn new(decision: Decision, reason: impl Into<String>) -> Self {
        Self { decision, reason: reason.into() }
    }
}

impl Policy {
    /// What this policy says of a finding, before any variable is asked.
    #[must_use]
    pub fn decide(&self, finding: &Finding) -> Decision {
        self.ruling(finding).decision
    }

    /// What this policy says of a finding, and why.
    pub(super) fn ruling(&self, finding: &Finding) -> Ruling {
        if finding.tier == Tier::Suspicion {
            return Ruling::new(Decision::Report, "a suspicion is only reported");
        }
        if finding.group == Group::Secret {
            return match self.on_secret {
                SecretAction::Block => Ruling::new(Decision::Block, "a secret may not go into a prompt"),
                SecretAction::Redact => Ruling::new(Decision::Redact, "the policy redacts secrets"),
            };
        }
        let label = resolve::label_of(finding.detector);
        let by_id = self.kinds.get(finding.detector);
        let by_label =
            || self.kinds.iter().find(|(kind, _)| label.eq_ignore_ascii_case(kind)).map(|(_, action)| action);
        match (by_id.or_else(by_label), finding.group) {
            (Some(Action::Block), _) => Ruling::new(Decision::Block, "the policy blocks this kind"),
            (Some(Action::Redact), _) => Ruling::new(Decision::Redact, "the policy redacts this kind"),
            (Some(Action::Report), _) => Ruling::new(Decision::Report, "the policy only reports this kind"),
            (None, Group::PiiSoft) => {
                Ruling::new(Decision::Report, "data without a structure is only reported")
            }
            (None, _) => Ruling::new(Decision::Redact, "personal data is redacted by default"),
        }
    }

    /// What is done about a finding in the value of a variable on the day `today`: the policy first, then the
    /// variable's own words.
    pub(super) fn ruling_in(&self, variable: &Variable, finding: &Finding, today: NaiveDate) -> Ruling {
        let ruling = self.ruling(finding);
        if !ruling.decision.hides() {
            return ruling;
        }
        if finding.group == Group::Secret {
            return match variable.on_secret {
                Some(OnSecret::Redact) => Ruling::new(Decision::Redact, "the variable's `on_secret: redact`"),
                Some(OnSecret::Block) => Ruling::new(Decision::Block, "the variable's `on_secret: block`"),
                None => ruling,
            };
        }
        match variable.allow_raw.as_ref().filter(|allow| names(allow, finding)) {
            Some(AllowRaw { expires: Some(last), .. }) if *last < today => {
                Ruling::new(ruling.decision, format!("`allow_raw` expired on {last}; {}", ruling.reason))
            }
            Some(allow) => Ruling::new(Decision::AllowRaw, format!("`allow_raw`: {}", allow.reason)),
            None => ruling,
        }
    }

    /// What is done about a finding in a template's own words. They are the author's, reviewed and versioned:
    /// personal data in them is no accident, and a secret never is right.
    pub(super) fn ruling_in_template(&self, finding: &Finding) -> Ruling {
        let ruling = self.ruling(finding);
        match (ruling.decision.hides(), finding.group) {
            (false, _) => ruling,
            (true, Group::Secret) => Ruling::new(Decision::Block, "a secret may not be in a template"),
            (true, _) => Ruling::new(Decision::AllowRaw, "it is in the template's own text"),
        }
    }

    /// The digest of the policy as it is in force, defaults included.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "plain values always serialise")]
    pub fn policy_sha256(&self) -> Digest {
        Digest::of(serde_json::to_vec(self).expect("plain values serialise"))
    }

    /// The scanner's options that this policy asks for.
    #[must_use]
    pub fn options(&self) -> Options {
        Options { national_ids: self.national_ids, soft: self.soft, suspicion: false }
    }
}

/// Checks the kinds that a variable lets pass: that the rules know them, and that none is a secret's.
pub fn check_allowed(allow: &AllowRaw) -> Result<()> {
    allow.kinds.iter().try_for_each(|kind| check_kind(kind))
}

fn names(allow: &AllowRaw, finding: &Finding) -> bool {
    let label = resolve::label_of(finding.detector);
    allow.kinds.iter().any(|kind| is_named(finding.detector, label, kind))
}

fn is_named(id: &str, label: &str, kind: &str) -> bool {
    id == kind || label.eq_ignore_ascii_case(kind)
}

/// A kind that the rules know and that is no secret.
fn check_kind(kind: &str) -> Result<()> {
    let shown: String = kind.chars().take(60).flat_map(char::escape_debug).collect();
    if kind.contains(['*', '?', '[']) {
        return Err(Error::input(format!("the guard's kind `{shown}` is a wildcard"))
            .hint("name each kind: a wildcard would let in kinds that come later"));
    }
    let mut named = rules::rules().filter(|rule| is_named(rule.id, rule.label, kind)).peekable();
    if named.peek().is_none() {
        return Err(Error::input(format!("the guard knows no kind `{shown}`"))
            .hint("write a detector's id, such as `email` or `phone`; `asmm guard rules` lists them"));
    }
    if named.any(|rule| rule.group == Group::Secret) {
        return Err(Error::input(format!("the kind `{shown}` is a secret's"))
            .hint("a secret never passes; `on_secret: redact` softens a refusal to a redaction"));
    }
    Ok(())
}

fn known_kinds<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Action>, D::Error> {
    let kinds = BTreeMap::<String, Action>::deserialize(from)?;
    for kind in kinds.keys() {
        check_kind(kind).map_err(|error| {
            serde::de::Error::custom(format!("{error}; {}", error.next_step().unwrap_or_default()))
        })?;
    }
    Ok(kinds)
}
