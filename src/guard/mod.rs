//! What may go into a prompt: detectors, policy, redaction. Pure: text in, findings and text out.
//!
//! # How a text is read
//!
//! 1. A prefilter runs over the text once, whatever the case, and stops at every anchor of every rule: a fixed
//!    prefix (`ghp_`), a framing (`://`), a word (`password`).
//! 2. At an anchor a small regular expression, or a walk of at most a few hundred bytes, decides where the
//!    value lies. Numbers and addresses have no words to anchor at: a second pass stops at runs of digits.
//! 3. A validator looks at the value: a checksum where the format has one, else its structure, its variety
//!    of characters, and whether it is a placeholder or a documented example.
//! 4. The same again over a normalised view, if the text has characters that could hide something
//!    (zero-width ones, full-width letters, `%40`), and over what base64 words decode to.
//! 5. Overlapping findings are resolved: proven before contextual before suspicion, then the specific rule,
//!    the longer span, the earlier one, and the id.
//!
//! Every step looks at a bounded window, so the time is linear in the text's length. Rules are data:
//! `rules.yaml`, whose examples are tests.
//!
//! No value that was found is kept in a [`Finding`], an error or a `Debug` output.

mod allow;
mod armour;
mod assigned;
mod captured;
mod decisions;
mod decode;
mod email;
mod engine;
mod fingerprint;
mod gate;
mod ip;
mod numbers;
mod phone;
mod policy;
mod redact;
mod resolve;
mod rules;
mod uri;
mod validators;
mod value;
mod view;

#[cfg(test)]
mod expand;
#[cfg(test)]
mod tests;

pub use captured::Examined;
pub use decisions::{About, Decided, Decisions, Place};
pub use engine::{MAX_TEXT_BYTES, Options, Scanner};
pub use fingerprint::Fingerprinter;
pub use gate::{Guard, Guarded, Inputs, Refusal};
pub use policy::{Policy, check_allowed};
pub use redact::{Tokens, mask, mask_secrets, redact};
pub use rules::{RuleInfo, Severity, rule_info, rules, rules_sha256};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// What sort of thing a finding is; the first thing a policy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Gives access: a key, a token, a password.
    Secret,
    /// Reaches or names a person by a structured value: email, phone, card, IBAN, address on the network.
    Pii,
    /// A number that a state gave to a person.
    PiiId,
    /// Personal, but without a structure that could be checked.
    PiiSoft,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A fixed prefix, a framing or a checksum says so.
    Proven,
    /// A key word beside a value says so.
    Contextual,
    /// Only the value's variety of characters says so. Reported, never blocked.
    Suspicion,
}

impl Group {
    /// The name in files and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Pii => "pii",
            Self::PiiId => "pii_id",
            Self::PiiSoft => "pii_soft",
        }
    }
}

impl Tier {
    /// The name in files and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Contextual => "contextual",
            Self::Suspicion => "suspicion",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that a rule found, and where. Never what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// The id of the rule.
    pub detector: &'static str,
    /// What sort of thing it is.
    pub group: Group,
    /// How sure the rule is.
    pub tier: Tier,
    /// Bytes of the text, end exclusive; both ends are character boundaries.
    pub range: Range<usize>,
}

impl Finding {
    /// The finding's value within the `text` that was scanned; empty for another text.
    #[must_use]
    pub fn value<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.range.clone()).unwrap_or_default()
    }

    /// Line and column of the finding's first character in `text`, both counted from 1; columns in
    /// characters.
    #[must_use]
    pub fn line_column(&self, text: &str) -> (usize, usize) {
        line_column(text, self.range.start)
    }
}

/// Line and column, both counted from 1, of the byte `offset` of `text`; columns in characters.
#[must_use]
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
