//! What is done about a finding: what was found decides, then the variable it came in by.

use super::{Finding, Group, Tier, rules};
use crate::domain::Digest;
use crate::error::{Error, Result};
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// What is done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is only reported: the value stays.
    Report,
    /// The value stays, because a variable allows this kind; recorded each time.
    AllowRaw,
    /// A token takes the value's place.
    Redact,
    /// The text may not be sent.
    Block,
}

impl Decision {
    /// Whether the value may not be seen.
    #[must_use]
    pub fn hides(self) -> bool {
        matches!(self, Self::Redact | Self::Block)
    }

    /// The name in files and in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::AllowRaw => "allow_raw",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// What a policy may ask for a kind: everything but letting it pass as an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Block,
    Redact,
    Report,
}

impl From<Action> for Decision {
    fn from(action: Action) -> Self {
        match action {
            Action::Block => Self::Block,
            Action::Redact => Self::Redact,
            Action::Report => Self::Report,
        }
    }
}

/// What is done when a secret comes in by a variable. Nothing turns it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSecret {
    /// The render is refused.
    #[default]
    Block,
    /// A token takes the secret's place.
    Redact,
}

/// What a variable is expected to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// Nothing personal: what is found all the same is treated by the project's policy.
    #[default]
    Public,
    /// Something personal: redacted without a warning.
    Personal,
    /// Nothing that may ever be rendered.
    Secret,
}

/// The project's policy: the section `guard:` of `asmm.yaml`. What it does not say is the default.
///
/// A kind is a rule's id or its token's label in lower case: `email`, `phone`, `ip`, `national_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// What a proven or contextual secret does where no variable says otherwise. A template's secret always blocks.
    pub on_secret: OnSecret,
    /// Whether national identification numbers are looked for.
    pub national_ids: bool,
    /// Whether what has no structure to check is looked for: birth dates, hardware addresses.
    pub soft: bool,
    /// Kinds of personal data that are not redacted but block or are only reported.
    #[serde(deserialize_with = "known_kinds")]
    kinds: BTreeMap<String, Action>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { on_secret: OnSecret::Block, national_ids: false, soft: false, kinds: BTreeMap::new() }
    }
}

/// A kind that the rules know and that is no secret.
fn check_kind(kind: &str) -> Result<()> {
    if kind.contains(['*', '?', '[']) {
        return Err(Error::input(format!("the guard's kind `{kind}` is a wildcard"))
            .hint("name each kind: a wildcard would let in kinds that come later"));
    }
    let mut named = rules::rules().filter(|rule| is_named(rule.id, rule.label, kind)).peekable();
    if named.peek().is_none() {
        return Err(Error::input(format!("the guard knows no kind `{kind}`"))
            .hint("write a detector's id, such as `email`, `phone` or `card`"));
    }
    if named.any(|rule| rule.group == Group::Secret) {
        return Err(Error::input(format!("the kind `{kind}` is a secret's"))
            .hint("a secret never passes; `on_secret: redact` softens a refusal to a redaction"));
    }
    Ok(())
}

fn is_named(id: &str, label: &str, kind: &str) -> bool {
    id == kind || label.eq_ignore_ascii_case(kind)
}

fn known_kinds<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Action>, D::Error> {
    let kinds = BTreeMap::<String, Action>::deserialize(from)?;
    kinds.keys().try_for_each(|kind| check_kind(kind)).map_err(|error| with_hint(&error))?;
    Ok(kinds)
}

fn with_hint<E: serde::de::Error>(error: &Error) -> E {
    E::custom(format!("{error}; {}", error.next_step().unwrap_or_default()))
}

impl Policy {
    /// What this policy says of a finding, before any variable is asked.
    #[must_use]
    pub fn decide(&self, finding: &Finding) -> Decision {
        if finding.tier == Tier::Suspicion {
            return Decision::Report;
        }
        if finding.group == Group::Secret {
            return match self.on_secret {
                OnSecret::Block => Decision::Block,
                OnSecret::Redact => Decision::Redact,
            };
        }
        let label = super::resolve::label_of(finding.detector);
        let by_id = self.kinds.get(finding.detector);
        let by_label =
            || self.kinds.iter().find(|(kind, _)| label.eq_ignore_ascii_case(kind)).map(|(_, action)| action);
        match (by_id.or_else(by_label), finding.group) {
            (Some(action), _) => (*action).into(),
            (None, Group::PiiSoft) => Decision::Report,
            (None, _) => Decision::Redact,
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
    pub fn options(&self) -> super::Options {
        super::Options { national_ids: self.national_ids, soft: self.soft, suspicion: false }
    }
}

/// What a variable's declaration in a prompt file says to the guard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "RawVariablePolicy", into = "RawVariablePolicy")]
pub struct VariablePolicy {
    sensitivity: Sensitivity,
    allow_raw: Vec<String>,
    raw_reason: Option<String>,
    expires: Option<NaiveDate>,
    on_secret: Option<OnSecret>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawVariablePolicy {
    sensitivity: Sensitivity,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_raw: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<NaiveDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_secret: Option<OnSecret>,
}

impl From<VariablePolicy> for RawVariablePolicy {
    fn from(policy: VariablePolicy) -> Self {
        let VariablePolicy { sensitivity, allow_raw, raw_reason, expires, on_secret } = policy;
        Self { sensitivity, allow_raw, raw_reason, expires, on_secret }
    }
}

impl TryFrom<RawVariablePolicy> for VariablePolicy {
    type Error = String;

    fn try_from(raw: RawVariablePolicy) -> std::result::Result<Self, String> {
        let RawVariablePolicy { sensitivity, allow_raw, raw_reason, expires, on_secret } = raw;
        let policy = Self { sensitivity, allow_raw: Vec::new(), raw_reason: None, expires: None, on_secret };
        let shown = |error: Error| format!("{error}; {}", error.next_step().unwrap_or_default());
        policy.allowing_raw(allow_raw, raw_reason, expires).map_err(shown)
    }
}

impl VariablePolicy {
    /// A variable of this sensitivity, without exceptions.
    #[must_use]
    pub fn new(sensitivity: Sensitivity) -> Self {
        Self { sensitivity, ..Self::default() }
    }

    /// What a secret in this variable does.
    #[must_use]
    pub fn on_secret(self, on_secret: OnSecret) -> Self {
        Self { on_secret: Some(on_secret), ..self }
    }

    /// Lets `kinds` of personal data pass, for a reason, until the end of the day `expires`.
    ///
    /// # Errors
    ///
    /// A wildcard, an unknown kind, a secret's kind, and kinds without a reason or a reason without kinds.
    pub fn allowing_raw(
        self,
        kinds: Vec<String>,
        reason: Option<String>,
        expires: Option<NaiveDate>,
    ) -> Result<Self> {
        kinds.iter().try_for_each(|kind| check_kind(kind))?;
        let reason = reason.filter(|reason| !reason.trim().is_empty());
        match (kinds.is_empty(), &reason, expires) {
            (false, None, _) => {
                return Err(Error::input("`allow_raw` has no `raw_reason`")
                    .hint("say why the model needs the value itself"));
            }
            (true, Some(_), _) => {
                return Err(Error::input("`raw_reason` has no `allow_raw`")
                    .hint("name the kinds, or drop the reason"));
            }
            (true, _, Some(_)) => {
                return Err(
                    Error::input("`expires` has no `allow_raw`").hint("name the kinds, or drop the date")
                );
            }
            _ => {}
        }
        Ok(Self { allow_raw: kinds, raw_reason: reason, expires, ..self })
    }

    /// What the variable is expected to hold.
    #[must_use]
    pub fn sensitivity(&self) -> Sensitivity {
        self.sensitivity
    }

    /// Why some kinds pass, if any do.
    #[must_use]
    pub fn raw_reason(&self) -> Option<&str> {
        self.raw_reason.as_deref()
    }

    /// The last day on which they pass, if there is one.
    #[must_use]
    pub fn expires(&self) -> Option<NaiveDate> {
        self.expires
    }

    /// Whether a finding may pass as it is on the day `today`.
    #[must_use]
    pub fn allows_raw(&self, finding: &Finding, today: NaiveDate) -> bool {
        let label = super::resolve::label_of(finding.detector);
        finding.group != Group::Secret
            && self.expires.is_none_or(|last| today <= last)
            && self.allow_raw.iter().any(|kind| is_named(finding.detector, label, kind))
    }
}

/// What is done about each finding in the value of a variable, on the day `today`: the policy first, then
/// the variable's exceptions.
///
/// # Errors
///
/// A variable of `sensitivity: secret` is never rendered, whatever was found.
pub fn decide(
    findings: &[Finding],
    policy: &Policy,
    variable: &VariablePolicy,
    today: NaiveDate,
) -> Result<Vec<Decision>> {
    if variable.sensitivity == Sensitivity::Secret {
        return Err(Error::input("a variable of sensitivity `secret` may not be rendered")
            .hint("give the secret to the tool that needs it, not to the model"));
    }
    Ok(findings.iter().map(|finding| decide_one(finding, policy, variable, today)).collect())
}

/// What is done about one finding.
fn decide_one(finding: &Finding, policy: &Policy, variable: &VariablePolicy, today: NaiveDate) -> Decision {
    let decided = policy.decide(finding);
    match (decided, finding.group, variable.on_secret) {
        (Decision::Block | Decision::Redact, Group::Secret, Some(OnSecret::Redact)) => Decision::Redact,
        (Decision::Block | Decision::Redact, Group::Secret, Some(OnSecret::Block)) => Decision::Block,
        (_, Group::Secret, _) => decided,
        // Where something personal is expected, what the policy refuses elsewhere is taken out.
        _ if decided.hides() && variable.allows_raw(finding, today) => Decision::AllowRaw,
        _ => decided,
    }
}
