//! The gate that every prompt passes: inputs are sanitised, the whole text is looked at, and only then it may be
//! sent.
//!
//! A value is always replaced in the input that brought it, never in the rendered text: the text can then be
//! rendered again from the version and the stored inputs, byte for byte.

use super::decisions::{Decisions, Place};
use super::fingerprint::Fingerprinter;
use super::policy::{Policy, Ruling, check_allowed};
use super::redact::{Outcome, ROUNDS, Tokens, WHOLE_WORDS, never_clean, sanitise, word_around};
use super::{Finding, Group, Scanner};
use crate::domain::{Decision, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::{Content, Kind, Message, Part, Rendered, Sensitivity};
use chrono::NaiveDate;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

/// The guard as a project has set it up.
pub struct Guard {
    pub(super) scanner: Scanner,
    pub(super) policy: Policy,
    policy_sha256: Digest,
    fingerprints: Fingerprinter,
    refuses_raw: bool,
}

/// Messages that may be sent, and the inputs they are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The messages.
    pub rendered: Rendered,
    /// The inputs after sanitising: with them the version renders the same messages again.
    pub inputs: Inputs,
    /// What was decided.
    pub decisions: Decisions,
}

/// Sanitised inputs. Their `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Inputs(pub Map<String, Value>);

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why nothing may be sent, and what was decided on the way.
#[derive(Debug)]
pub struct Refusal {
    /// What to tell the user. It holds no value.
    pub error: Error,
    /// What was decided; empty when the inputs do not fit the version.
    pub decisions: Decisions,
}

impl From<Error> for Box<Refusal> {
    fn from(error: Error) -> Self {
        Box::new(Refusal { error, decisions: Decisions::default() })
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Whether the text is still to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// It is: what cannot be redacted refuses it.
    Before,
    /// It was sent: nothing can refuse it, and what is stored of it is redacted.
    After,
}

impl Guard {
    /// A guard with this policy, which makes fingerprints with this key.
    #[must_use]
    pub fn new(policy: Policy, fingerprints: Fingerprinter) -> Self {
        let scanner = Scanner::new(&policy.options());
        let policy_sha256 = policy.policy_sha256();
        Self { scanner, policy, policy_sha256, fingerprints, refuses_raw: false }
    }

    /// The same, refusing every prompt that lets personal data pass: for CI.
    #[must_use]
    pub fn refusing_raw(mut self, refuses: bool) -> Self {
        self.refuses_raw = refuses;
        self
    }

    /// The digest of the policy in force.
    #[must_use]
    pub fn policy_sha256(&self) -> Digest {
        self.policy_sha256
    }

    /// Tokens for a run; those that the run has given already are to be recalled.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.fingerprints.clone())
    }

    /// Renders a version with inputs, sanitised: what comes back may be sent.
    ///
    /// `today` decides whether an exception has expired.
    ///
    /// # Errors
    /// Inputs that do not fit the version, and what the policy refuses. A text that the guard cannot look at is
    /// refused as well.
    pub fn render(
        &self,
        content: &Content,
        inputs: &Map<String, Value>,
        tokens: &mut Tokens,
        today: NaiveDate,
    ) -> Result<Guarded, Box<Refusal>> {
        self.check_raw(content)?;
        content.render(inputs)?;
        let mut inputs = inputs.clone();
        let mut decisions = Decisions::default();
        let outcome = self.pass(content, &mut inputs, &mut decisions, tokens, (today, When::Before));
        match outcome.map(|()| decisions.refusal()) {
            Err(error) | Ok(Some(error)) => return Err(Box::new(Refusal { error, decisions })),
            Ok(None) => {}
        }
        let rendered = content.render(&inputs).map_err(|error| {
            let error = error.hint("it fitted before redaction: raise the variable's `max_bytes`");
            Box::new(Refusal { error, decisions: decisions.clone() })
        })?;
        Ok(Guarded { rendered, inputs: Inputs(inputs), decisions })
    }

    /// Refuses exceptions where that was asked for, and those that name no kind of the guard's.
    ///
    /// # Errors
    /// Of kind `Guard` for an exception, `Input` for a kind that is unknown.
    pub fn check_raw(&self, content: &Content) -> Result<()> {
        for (name, variable) in &content.variables {
            let Some(allow) = &variable.allow_raw else { continue };
            let at = |error: Error| error.at(format_args!("variable `{name}`"));
            check_allowed(allow).map_err(at)?;
            if self.refuses_raw {
                return Err(at(Error::new(
                    ErrorKind::Guard,
                    format!(
                        "`allow_raw` lets {} pass, and --no-allow-raw refuses that",
                        allow.kinds.join(", ")
                    ),
                )
                .hint("take the exception out, or run without --no-allow-raw")));
            }
        }
        Ok(())
    }

    /// Sanitises `inputs` until neither they nor the messages they make show anything that the policy forbids.
    pub(super) fn pass(
        &self,
        content: &Content,
        inputs: &mut Map<String, Value>,
        decisions: &mut Decisions,
        tokens: &mut Tokens,
        (today, when): (NaiveDate, When),
    ) -> Result<()> {
        for round in 0..ROUNDS {
            for (name, variable) in &content.variables {
                let given = inputs.get(name).or(variable.default.as_ref());
                let (Kind::String, Some(Value::String(text))) = (variable.kind, given) else { continue };
                let rule = |finding: &Finding| self.policy.ruling_in(variable, finding, today);
                let (clean, outcomes) = sanitise(&self.scanner, text, tokens, rule)?;
                let is_expected = variable.sensitivity == Sensitivity::Personal;
                decisions.note(&Place::Input(name.clone()), text, outcomes, (is_expected, round == 0));
                if clean != *text {
                    inputs.insert(name.clone(), clean.into());
                }
            }
            let texts = texts(content, inputs)?;
            let mut cuts = Cuts { by_variable: BTreeMap::new(), whole_words: round >= WHOLE_WORDS };
            for message in &content.messages {
                let text = Woven::of(message, &texts);
                self.look(content, &text, &mut cuts, decisions, tokens, (today, when))?;
            }
            if cuts.by_variable.is_empty() {
                return Ok(());
            }
            // An input that was cut is looked at once more by itself.
            for (name, value) in cuts.apply(&texts) {
                inputs.insert(name, value.into());
            }
        }
        Err(never_clean())
    }

    /// Looks at one whole message: a value can join over the edge of an input, and words of the template can name
    /// what an input holds.
    fn look(
        &self,
        content: &Content,
        woven: &Woven<'_>,
        cuts: &mut Cuts,
        decisions: &mut Decisions,
        tokens: &mut Tokens,
        (today, when): (NaiveDate, When),
    ) -> Result<()> {
        for finding in self.scanner.scan(&woven.text)? {
            let value = finding.value(&woven.text);
            let fingerprint = tokens.fingerprint(finding.detector, value);
            let mut is_of_input = false;
            for span in woven.spans.iter().filter(|span| overlap(&span.range, &finding.range)) {
                let Some(variable) = content.variables.get(span.name) else { continue };
                // The texts of an enum are the author's.
                if matches!(variable.kind, Kind::Boolean | Kind::Enum) {
                    continue;
                }
                is_of_input = true;
                let mut ruling = self.policy.ruling_in(variable, &finding, today);
                let mut token = None;
                if ruling.decision.hides() {
                    if when == When::Before && variable.kind != Kind::String {
                        ruling = Ruling::new(Decision::Block, "a token cannot take the place of a number");
                    } else {
                        let word = tokens.token(finding.detector, value);
                        cuts.add(woven, span, &finding.range, &word);
                        token = Some(word);
                    }
                }
                let outcome =
                    Outcome { finding: finding.clone(), ruling, fingerprint, token, is_in_original: false };
                decisions.note_new(&Place::Input(span.name.to_owned()), &woven.text, outcome);
            }
            if !is_of_input {
                let ruling = match (self.policy.ruling_in_template(&finding), when) {
                    (Ruling { decision: Decision::Block, .. }, When::After) => Ruling::new(
                        Decision::Report,
                        "it is in the template, and a version never changes: replace the secret where it is used",
                    ),
                    (ruling, _) => ruling,
                };
                let outcome = Outcome { finding, ruling, fingerprint, token: None, is_in_original: false };
                decisions.note_new(&Place::Template, &woven.text, outcome);
            }
        }
        Ok(())
    }
}

/// What the variables are rendered as. What was redacted after it was sent may no longer fit its variable: a token
/// is no number.
fn texts<'c>(content: &'c Content, inputs: &Map<String, Value>) -> Result<BTreeMap<&'c str, String>> {
    let mut texts = BTreeMap::new();
    for (name, variable) in &content.variables {
        let text = match inputs.get(name).or(variable.default.as_ref()) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => crate::domain::canonical_json(value)?,
            _ => String::new(),
        };
        texts.insert(name.as_str(), text);
    }
    Ok(texts)
}

/// A rendered message, and which parts of it are inputs.
struct Woven<'a> {
    text: String,
    spans: Vec<Span<'a>>,
}

struct Span<'a> {
    name: &'a str,
    range: Range<usize>,
}

impl<'a> Woven<'a> {
    fn of(message: &'a Message, texts: &BTreeMap<&str, String>) -> Self {
        let mut woven = Self { text: String::new(), spans: Vec::new() };
        for part in message.content.parts() {
            match part {
                Part::Literal(text) => woven.text.push_str(text),
                Part::Variable(name) => {
                    let start = woven.text.len();
                    woven.text.push_str(texts.get(name.as_str()).map_or("", String::as_str));
                    woven.spans.push(Span { name, range: start..woven.text.len() });
                }
            }
        }
        woven
    }
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// What is to be cut out of inputs, with what takes its place: by variable, ranges of its text.
struct Cuts {
    by_variable: BTreeMap<String, BTreeSet<(usize, usize, String)>>,
    whole_words: bool,
}

impl Cuts {
    /// The part of `range` that lies in the span.
    fn add(&mut self, woven: &Woven<'_>, span: &Span<'_>, range: &Range<usize>, token: &str) {
        let mut part = range.start.max(span.range.start) - span.range.start
            ..range.end.min(span.range.end) - span.range.start;
        if self.whole_words {
            part = word_around(woven.text.get(span.range.clone()).unwrap_or_default(), &part);
        }
        let Range { start, end } = part;
        self.by_variable.entry(span.name.to_owned()).or_default().insert((start, end, token.to_owned()));
    }

    fn apply(self, texts: &BTreeMap<&str, String>) -> Vec<(String, String)> {
        let cut = |(name, cuts): (String, BTreeSet<(usize, usize, String)>)| {
            let text = texts.get(name.as_str()).map_or("", String::as_str);
            let (mut left, mut done) = (String::new(), 0);
            for (start, end, token) in cuts {
                if start < done {
                    // Cut by the one before, which may be shorter: the next round looks again.
                    continue;
                }
                left.push_str(text.get(done..start).unwrap_or_default());
                left.push('[');
                left.push_str(&token);
                left.push(']');
                done = end;
            }
            left.push_str(text.get(done..).unwrap_or_default());
            (name, left)
        };
        self.by_variable.into_iter().map(cut).collect()
    }
}

impl Guard {
    /// What is found in a template, before it becomes a version: the file as it was written, and its texts as YAML
    /// gives them. A secret refuses it.
    ///
    /// # Errors
    /// A text that the guard cannot look at.
    pub fn look_at_template(&self, source: &str, content: &Content) -> Result<Decisions> {
        let mut decisions = Decisions::default();
        let tokens = self.tokens();
        let defaults = content.variables.values().filter_map(|v| v.default.as_ref().and_then(Value::as_str));
        let values = content.variables.values().flat_map(|v| v.values.iter().map(String::as_str));
        let params = content.model.iter().flat_map(|model| {
            let mut texts = Vec::new();
            model.params.iter().for_each(|(key, value)| leaves(key, value, &mut texts));
            texts
        });
        let messages = content.messages.iter().map(|message| message.content.source());
        let texts = std::iter::once(source).chain(messages).chain(defaults).chain(values);
        let texts = texts.map(str::to_owned).chain(params);
        for (place, text) in texts.enumerate() {
            for finding in self.scanner.scan(&text)? {
                let fingerprint = tokens.fingerprint(finding.detector, finding.value(&text));
                let ruling = self.policy.ruling_in_template(&finding);
                let outcome =
                    Outcome { finding, ruling, fingerprint, token: None, is_in_original: place == 0 };
                decisions.note_new(&Place::Template, &text, outcome);
            }
        }
        Ok(decisions)
    }

    /// What is in a text, with what the policy says of each.
    ///
    /// # Errors
    /// A text over [`super::MAX_TEXT_BYTES`].
    pub fn scan(&self, text: &str) -> Result<Vec<(Finding, Decision)>> {
        let findings = self.scanner.scan(text)?;
        Ok(findings.into_iter().map(|f| (self.policy.decide(&f), f)).map(|(d, f)| (f, d)).collect())
    }
}

/// Every text in a value, with the key that names it.
fn leaves(key: &str, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leaves(key, item, into)),
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(key, value, into)),
        Value::String(text) => into.push(format!("{key}: {text}")),
        other => into.push(format!("{key}: {other}")),
    }
}

impl Group {
    /// What the group is, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Secret => "a secret",
            Self::Pii | Self::PiiId | Self::PiiSoft => "personal data",
        }
    }
}
