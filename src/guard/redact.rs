//! Redaction: each value becomes a token such as `[EMAIL_1]`, the same value in the same run the same token.

use super::fingerprint::Fingerprinter;
use super::policy::Ruling;
use super::{Finding, Group, Scanner, resolve};
use crate::domain::Digest;
use crate::error::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// How often a redacted text is looked at again before the guard gives up: a token beside what was left can
/// in rare cases show something that the value had hidden.
pub(super) const ROUNDS: usize = 8;

/// From this round on a finding takes its whole word with it: what is found of a word in parts, each beside the token
/// of the one before, is longer than any value.
pub(super) const WHOLE_WORDS: usize = 3;

/// The range, widened to the word that it is in: up to white space on both sides.
pub(super) fn word_around(text: &str, range: &Range<usize>) -> Range<usize> {
    let before = text.get(..range.start).unwrap_or_default();
    let start = before
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
    let after = text.get(range.end..).unwrap_or_default();
    start..after.find(char::is_whitespace).map_or(text.len(), |at| range.end + at)
}

/// The tokens of one run. It knows values by their fingerprints only.
#[derive(Clone)]
pub struct Tokens {
    fingerprints: Fingerprinter,
    numbers: HashMap<(&'static str, Digest), u32>,
    last: HashMap<&'static str, u32>,
}

impl Tokens {
    /// No token yet.
    #[must_use]
    pub fn new(fingerprints: Fingerprinter) -> Self {
        Self { fingerprints, numbers: HashMap::new(), last: HashMap::new() }
    }

    /// Takes over a token that the run has given already: `EMAIL_2` for the value with this fingerprint. A word
    /// that is no token of this program is passed over.
    pub fn recall(&mut self, token: &str, fingerprint: Digest) {
        let Some((word, number)) = token.rsplit_once('_') else { return };
        let (Some(label), Ok(number)) = (resolve::known_label(word), number.parse()) else { return };
        self.numbers.entry((label, fingerprint)).or_insert(number);
        let last = self.last.entry(label).or_default();
        *last = number.max(*last);
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

    /// The fingerprint of a value that `detector` found.
    #[must_use]
    pub fn fingerprint(&self, detector: &str, value: &str) -> Digest {
        self.fingerprints.fingerprint(resolve::label_of(detector), value)
    }

    /// The token for a value that `detector` found, without its brackets: the next number of its kind, or the one
    /// it has.
    pub fn token(&mut self, detector: &str, value: &str) -> String {
        let label = resolve::label_of(detector);
        let fingerprint = self.fingerprint(detector, value);
        let last = &mut self.last;
        let number = *self.numbers.entry((label, fingerprint)).or_insert_with(|| {
            let next = last.entry(label).or_default();
            *next = next.saturating_add(1);
            *next
        });
        format!("{label}_{number}")
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} values, not shown)", self.numbers.len())
    }
}

/// Whether a token, such as `[EMAIL_1]`, is in `text` at `at`; where it ends.
pub(super) fn token_at(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?.strip_prefix(b"[")?;
    let end = rest.iter().take(48).position(|b| *b == b']')?;
    let word = std::str::from_utf8(&rest[..end]).ok()?;
    let (label, number) = word.rsplit_once('_')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_number && resolve::known_label(label).is_some()).then_some(at + end + 2)
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
        redacted.push('[');
        redacted.push_str(&tokens.token(finding.detector, value));
        redacted.push(']');
        done = range.end;
    }
    redacted.push_str(text.get(done..).unwrap_or_default());
    redacted
}

/// Words of others, to be shown: each value that the default rules find is its token's label, `[EMAIL]`.
#[must_use]
pub fn mask(text: &str) -> String {
    mask_if(text, |_| true)
}

/// The same for secrets alone: an error may name an address that somebody must know.
#[must_use]
pub fn mask_secrets(text: &str) -> String {
    mask_if(text, |finding| finding.group == Group::Secret)
}

fn mask_if(text: &str, hides: impl Fn(&Finding) -> bool) -> String {
    // What cannot be looked at is not shown.
    let Ok(findings) = Scanner::shared().scan(text) else { return String::new() };
    let (mut masked, mut done) = (String::with_capacity(text.len()), 0);
    for finding in findings.into_iter().filter(hides) {
        masked.push_str(text.get(done..finding.range.start).unwrap_or_default());
        masked.push('[');
        masked.push_str(resolve::label_of(finding.detector));
        masked.push(']');
        done = finding.range.end;
    }
    masked.push_str(text.get(done..).unwrap_or_default());
    masked
}

/// Something that was found, what was decided, and what took its place. Never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub finding: Finding,
    pub ruling: Ruling,
    pub fingerprint: Digest,
    pub token: Option<String>,
    /// Whether the finding's place is one in the text as it came, rather than in a later round's.
    pub is_in_original: bool,
}

/// Scans `text`, asks `rule` about each finding, and redacts until a scan finds nothing more to redact: the text
/// then, and what was found on the way.
///
/// What is to block is redacted as well: whoever sends must look at the outcomes and refuse.
///
/// # Errors
/// A text over [`super::MAX_TEXT_BYTES`], and one that no number of rounds makes clean: neither may be sent.
pub(super) fn sanitise(
    scanner: &Scanner,
    text: &str,
    tokens: &mut Tokens,
    rule: impl Fn(&Finding) -> Ruling,
) -> Result<(String, Vec<Outcome>)> {
    let mut text = text.to_owned();
    let mut outcomes = Vec::new();
    for round in 0..ROUNDS {
        let mut taken = Vec::new();
        for finding in scanner.scan(&text)? {
            let ruling = rule(&finding);
            if round > 0 && !ruling.decision.hides() {
                continue;
            }
            let value = finding.value(&text);
            let fingerprint = tokens.fingerprint(finding.detector, value);
            let word = ruling.decision.hides().then(|| tokens.token(finding.detector, value));
            if word.is_some() {
                let mut whole = finding.clone();
                if round >= WHOLE_WORDS {
                    whole.range = word_around(&text, &finding.range);
                }
                taken.push(whole);
            }
            outcomes.push(Outcome { finding, ruling, fingerprint, token: word, is_in_original: round == 0 });
        }
        if taken.is_empty() {
            return Ok((text, outcomes));
        }
        text = redact(&text, &taken, tokens);
    }
    Err(never_clean())
}

/// The error for a text that shows a value however often it is redacted.
pub(super) fn never_clean() -> Error {
    Error::new(
        ErrorKind::Guard,
        format!("the text still shows something to redact after {ROUNDS} rounds: it may not be sent"),
    )
    .hint("this is a defect of the guard; please report the detectors that `asmm guard scan` names")
}
