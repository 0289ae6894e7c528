//! The rules: read from `rules.yaml` once, and never changed after.

use super::validators::Validator;
use super::{Group, Tier};
use crate::domain::Digest;
use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::sync::{LazyLock, OnceLock};

/// The file that the rules are read from.
pub(super) const RULES: &str = include_str!("rules.yaml");

/// What a rule's finding would mean for whoever leaked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Little by itself.
    Low,
    /// Some harm.
    Medium,
    /// Access, or a person's number.
    High,
    /// Access to everything behind it.
    Critical,
}

impl Severity {
    /// The name in files and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A rule as the documentation lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleInfo {
    /// The rule's id, as findings name it.
    pub id: &'static str,
    /// What sort of thing it finds.
    pub group: Group,
    /// How sure it is.
    pub tier: Tier,
    /// What a leak would mean.
    pub severity: Severity,
    /// What it finds, in words.
    pub description: &'static str,
    /// The word in the token that replaces a value: `EMAIL` in `[EMAIL_1]`.
    pub label: &'static str,
    /// Where the format comes from.
    pub source: &'static str,
    /// Whether the rule runs only when an option asks for it.
    pub opt_in: bool,
    /// The words at which the scanner stops for it; empty for what it finds by its digits.
    pub keywords: &'static [String],
}

/// How a rule finds its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// The expression matches at the anchor.
    #[default]
    Anchor,
    /// The expression matches at the start of the word that the anchor is in.
    Word,
    /// The anchor names a value, which is assigned to it or said of it nearby.
    Assigned,
    /// The anchor is read by code, which the validator names.
    Native,
    /// At a run of digits, by code.
    Digits,
    /// At the start of a word that has a digit in it.
    Number,
}

/// Which option a rule waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OptIn {
    NationalIds,
    Soft,
    Suspicion,
}

/// What must stand beside a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Edge {
    /// Nothing that could belong to the same word, on both sides.
    #[default]
    Word,
    /// On the left side only.
    Left,
    /// Whatever it is.
    None,
}

fn default_back() -> usize {
    96
}

fn default_window() -> usize {
    512
}

/// A rule as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub id: String,
    pub group: Group,
    pub tier: Tier,
    pub severity: Severity,
    #[serde(default)]
    pub label: Option<String>,
    pub description: String,
    pub source: String,
    #[serde(default)]
    pub how: How,
    #[serde(default)]
    pub opt_in: Option<OptIn>,
    /// Loses to another rule of its tier.
    #[serde(default)]
    pub generic: bool,
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Words of which one must stand before the value.
    #[serde(default)]
    pub context: Vec<String>,
    #[serde(default)]
    pub regex: Option<String>,
    #[serde(default)]
    pub edge: Edge,
    /// How many bytes before the anchor the word may begin.
    #[serde(default = "default_back")]
    pub back: usize,
    /// How many bytes from the match's start the expression may see.
    #[serde(default = "default_window")]
    pub window: usize,
    #[serde(default)]
    pub validator: Validator,
    #[cfg_attr(not(test), expect(dead_code, reason = "examples are tests"))]
    #[serde(default)]
    pub matches: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "examples are tests"))]
    #[serde(default)]
    pub not: Vec<String>,
    #[serde(skip)]
    compiled: OnceLock<Option<Regex>>,
}

impl Rule {
    /// The rule's expression, bound to the start of what it is given. Compiled when it is first needed.
    pub fn expression(&self) -> Option<&Regex> {
        let compile = || {
            let source = format!("^(?:{})", self.regex.as_ref()?);
            RegexBuilder::new(&source).unicode(false).build().ok()
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    /// The word in a token that replaces a value.
    pub fn token_label(&self) -> &str {
        self.label.as_deref().unwrap_or(match self.group {
            Group::Secret => "SECRET",
            Group::Pii | Group::PiiSoft => "PII",
            Group::PiiId => "NATIONAL_ID",
        })
    }
}

static TABLE: LazyLock<Vec<Rule>> =
    LazyLock::new(|| serde_yaml::from_str(RULES).expect("the rules are compiled in, and tested"));

/// All rules, in the file's order.
pub(super) fn table() -> &'static [Rule] {
    &TABLE
}

/// The rule with this id.
pub(super) fn find(id: &str) -> Option<&'static Rule> {
    table().iter().find(|rule| rule.id == id)
}

/// Every rule, in the file's order.
pub fn rules() -> impl Iterator<Item = RuleInfo> {
    table().iter().map(info)
}

/// The rule with this id.
#[must_use]
pub fn rule_info(id: &str) -> Option<RuleInfo> {
    find(id).map(info)
}

fn info(rule: &'static Rule) -> RuleInfo {
    RuleInfo {
        id: &rule.id,
        group: rule.group,
        tier: rule.tier,
        severity: rule.severity,
        description: &rule.description,
        label: rule.token_label(),
        source: &rule.source,
        opt_in: rule.opt_in.is_some(),
        keywords: &rule.keywords,
    }
}

/// The hash of the rule set: with it and the program's version, a decision can be explained later.
#[must_use]
pub fn rules_sha256() -> Digest {
    static DIGEST: LazyLock<Digest> = LazyLock::new(|| Digest::of(RULES));
    *DIGEST
}
