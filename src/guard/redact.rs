//! Redaction: each value becomes a token such as `[EMAIL_1]`, the same value in the same run the same token.

use super::policy::Decision;
use super::{Finding, Scanner, resolve};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::fmt;

/// How often a redacted text is looked at again before the guard gives up: a token beside what was left can
/// in rare cases show something that the value had hidden.
const ROUNDS: usize = 8;

/// The tokens of one run. It holds the values in memory, so that the same one gets the same token, and
/// never shows them.
#[derive(Default)]
pub struct Tokens {
    numbers: HashMap<(&'static str, String), usize>,
    last: HashMap<&'static str, usize>,
}

impl Tokens {
    /// No token yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many different values have a token.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no value has a token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The token for a value that `detector` found: the next number of its kind, or the one it has.
    pub fn token(&mut self, detector: &str, value: &str) -> String {
        let label = resolve::label_of(detector);
        let last = &mut self.last;
        let number = *self.numbers.entry((label, value.to_owned())).or_insert_with(|| {
            let next = last.entry(label).or_default();
            *next += 1;
            *next
        });
        format!("[{label}_{number}]")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} values, not shown)", self.numbers.len())
    }
}

/// `text` with each finding's value replaced by its token.
///
/// The findings are those that [`Scanner::scan`] returned for this text, or some of them: sorted, without
/// overlaps. One that does not fit the text is left out.
#[must_use]
pub fn redact<'f>(
    text: &str,
    findings: impl IntoIterator<Item = &'f Finding>,
    tokens: &mut Tokens,
) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut done = 0;
    for finding in findings {
        let range = &finding.range;
        if range.start < done || range.is_empty() {
            continue;
        }
        let (Some(before), Some(value)) = (text.get(done..range.start), text.get(range.clone())) else {
            continue;
        };
        redacted.push_str(before);
        redacted.push_str(&tokens.token(finding.detector, value));
        done = range.end;
    }
    redacted.push_str(text.get(done..).unwrap_or_default());
    redacted
}

/// A text that may be sent, and what was found on the way.
#[derive(Clone, PartialEq, Eq)]
pub struct Sanitised {
    /// The text: scanned again after the last redaction, with nothing left to redact.
    pub text: String,
    /// What was found in the text as it came, with what was decided about each.
    pub findings: Vec<(Finding, Decision)>,
    /// What showed only after a redaction, which has no place in the text as it came: detectors, with what
    /// was decided. Redacted as well.
    pub shown_later: Vec<(&'static str, Decision)>,
}

impl Sanitised {
    /// Whether something was found that refuses the text.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        let decisions = self.findings.iter().map(|(_, decision)| decision);
        decisions
            .chain(self.shown_later.iter().map(|(_, decision)| decision))
            .any(|decision| *decision == Decision::Block)
    }
}

impl fmt::Debug for Sanitised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sanitised")
            .field("bytes", &self.text.len())
            .field("findings", &self.findings)
            .field("shown_later", &self.shown_later)
            .finish()
    }
}

/// Scans `text`, asks `decide` about each finding, and redacts until a scan finds nothing more to redact.
///
/// What is to block is redacted as well, so that the text can be shown: whoever sends must ask
/// [`Sanitised::is_blocked`] and refuse.
///
/// # Errors
///
/// A text over [`super::MAX_TEXT_BYTES`], and one that no number of rounds makes clean: neither may be
/// sent.
pub fn sanitise(
    scanner: &Scanner,
    text: &str,
    tokens: &mut Tokens,
    decide: impl Fn(&Finding) -> Decision,
) -> Result<Sanitised> {
    let found = scanner.scan(text)?;
    let findings: Vec<(Finding, Decision)> = found
        .into_iter()
        .map(|finding| (decide(&finding), finding))
        .map(|(decision, finding)| (finding, decision))
        .collect();
    let mut taken: Vec<Finding> = findings
        .iter()
        .filter(|(_, decision)| decision.hides())
        .map(|(finding, _)| finding.clone())
        .collect();
    let mut text = text.to_owned();
    let mut shown_later = Vec::new();
    for _ in 0..ROUNDS {
        if taken.is_empty() {
            return Ok(Sanitised { text, findings, shown_later });
        }
        text = redact(&text, &taken, tokens);
        taken = scanner.scan(&text)?;
        taken.retain(|finding| decide(finding).hides());
        shown_later.extend(taken.iter().map(|finding| (finding.detector, decide(finding))));
    }
    Err(Error::input(format!("the text still shows a value after `{ROUNDS}` rounds of redaction"))
        .hint("this is a defect of the guard: the text was not sent; please report the detectors that `asmm guard scan` names"))
}

/// The end of the redaction's token that begins at `at`: `[`, capitals, `_`, a number, `]`.
pub(super) fn token_at(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?.strip_prefix(b"[")?;
    let label = rest.iter().take(40).take_while(|b| b.is_ascii_uppercase() || **b == b'_').count();
    let digits = rest[label..].iter().take(10).take_while(|b| b.is_ascii_digit()).count();
    let closed = rest.get(label + digits) == Some(&b']');
    (label >= 2 && rest[label - 1] == b'_' && digits >= 1 && closed).then_some(at + label + digits + 2)
}
