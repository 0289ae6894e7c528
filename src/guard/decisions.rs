//! What was decided about a text, gathered: the evidence that is logged and recorded.

use super::redact::Outcome;
use super::{Group, Tier, rules_sha256};
use crate::domain::{CallId, Decision, Digest, GuardEvent, RunId, Sanitisation, Timestamp};
use crate::error::{Error, ErrorKind};
use std::collections::HashMap;
use std::fmt;
use uuid::Uuid;

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the value of this variable.
    Input(String),
    /// In a template's own words.
    Template,
    /// In messages that were rendered elsewhere.
    Messages,
    /// In what was answered.
    Output,
}

impl Place {
    /// The variable, if it is one.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Input(name) => Some(name),
            Self::Template | Self::Messages | Self::Output => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(name) => write!(f, "input `{name}`"),
            Self::Template => f.write_str("the template"),
            Self::Messages => f.write_str("the messages"),
            Self::Output => f.write_str("the answer"),
        }
    }
}

/// A decision about one value, however often it was found in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Where it was found.
    pub place: Place,
    /// The detector that found it.
    pub detector: &'static str,
    /// What sort of thing it is.
    pub group: Group,
    /// How sure the detector is.
    pub tier: Tier,
    /// How often it was found there.
    pub findings: u32,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub reason: String,
    /// The value's fingerprint.
    pub fingerprint: Digest,
    /// What took its place, or would have, without brackets.
    pub token: Option<String>,
    /// Line and column of the first one in the text of its place, from 1; none if it showed only after another was
    /// redacted.
    pub line_column: Option<(usize, usize)>,
    /// Whether the place is one where it was expected, so that redacting it is no news.
    pub is_expected: bool,
}

/// What was decided about a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    all: Vec<Decided>,
    /// Where each of them is, by what makes it one.
    places: HashMap<Key, usize>,
}

type Key = (Place, &'static str, Digest, Decision);

/// What an event says beside the decision.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The run.
    pub run_id: Option<RunId>,
    /// The call.
    pub call_id: Option<CallId>,
    /// The prompt: `name@7`, or its name.
    pub prompt: Option<String>,
}

impl Decisions {
    /// Every decision, in the order in which things were found.
    #[must_use]
    pub fn all(&self) -> &[Decided] {
        &self.all
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The state of a text for which this was decided before it was sent.
    #[must_use]
    pub fn sanitisation(&self) -> Sanitisation {
        let is_any = |wanted: &[Decision]| self.all.iter().any(|one| wanted.contains(&one.decision));
        match () {
            () if is_any(&[Decision::AllowRaw, Decision::Report]) => Sanitisation::RawAllowed,
            () if is_any(&[Decision::Redact, Decision::Block]) => Sanitisation::Redacted,
            () => Sanitisation::Clean,
        }
    }

    /// Notes what was found in the value of a variable or in messages; `text` is what was scanned. Where it is not
    /// `counted`, what was decided before about the same value is not news.
    pub(super) fn note(
        &mut self,
        place: &Place,
        text: &str,
        outcomes: Vec<Outcome>,
        (is_expected, counted): (bool, bool),
    ) {
        for outcome in outcomes {
            let (detector, decision) = (outcome.finding.detector, outcome.ruling.decision);
            let key = (place.clone(), detector, outcome.fingerprint, decision);
            if let Some(known) = self.places.get(&key).and_then(|known| self.all.get_mut(*known)) {
                known.findings = known.findings.saturating_add(u32::from(counted));
                continue;
            }
            self.places.insert(key, self.all.len());
            let line_column = outcome.is_in_original.then(|| outcome.finding.line_column(text));
            self.all.push(Decided {
                place: place.clone(),
                detector: outcome.finding.detector,
                group: outcome.finding.group,
                tier: outcome.finding.tier,
                findings: 1,
                decision: outcome.ruling.decision,
                reason: outcome.ruling.reason,
                fingerprint: outcome.fingerprint,
                token: outcome.token,
                line_column,
                is_expected,
            });
        }
    }

    /// Notes what was found in whole messages, unless the same was decided about the same value before.
    pub(super) fn note_new(&mut self, place: &Place, text: &str, outcome: Outcome) {
        self.note(place, text, vec![outcome], (false, false));
    }

    /// Changes every decision that `from` names: what was sent already can be neither blocked nor unsent.
    pub(super) fn restate(&mut self, from: Decision, to: Decision, reason: &str) {
        for one in self.all.iter_mut().filter(|one| one.decision == from) {
            one.decision = to;
            reason.clone_into(&mut one.reason);
            if !to.hides() {
                one.token = None;
            }
        }
        let key = |one: &Decided| (one.place.clone(), one.detector, one.fingerprint, one.decision);
        // Of two that are the same now the first counts.
        self.places = self.all.iter().enumerate().rev().map(|(place, one)| (key(one), place)).collect();
    }

    /// What was to be redacted is left as it is, and reported.
    pub fn restate_as_reported(&mut self) {
        self.restate(Decision::Redact, Decision::Report, "found after it had been sent");
    }

    /// Logs each decision: what was refused as an error, what was found where nobody expected it and what is sent
    /// raw as a warning. `is_sent` is for what was sent before: then there is nothing to warn of in time.
    pub fn log(&self, about: &About, is_sent: bool) {
        for one in &self.all {
            one.log(about, is_sent);
        }
    }

    /// The error that refuses the text, if something in it blocks.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        let mut blocking = self.all.iter().filter(|one| one.decision == Decision::Block);
        let first = blocking.next()?;
        let at = first.line_column.map(|(line, column)| format!(" at line {line}, column {column}"));
        let more = match blocking.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let what = if first.group == Group::Secret { "a secret" } else { "personal data" };
        let (place, detector, at) = (&first.place, first.detector, at.unwrap_or_default());
        let error = Error::new(
            ErrorKind::Guard,
            format!("{place} holds {what} (`{detector}`{at}{more}): {}", first.reason),
        );
        Some(error.hint(match (&first.place, first.group) {
            (Place::Template, _) => "write a placeholder such as <password> there, or take it out",
            (_, Group::Secret) => {
                "take it out; a secret belongs to the program that uses it, not to the model. If it is out of its \
                 safe place, replace it: see RUNBOOK.md, \"After a leak\""
            }
            _ => "take it out, make the variable a string so that it can be redacted, or let the kind pass with `allow_raw`",
        }))
    }

    /// The events to log and to record.
    #[must_use]
    pub fn events(&self, about: &About, policy_sha256: Digest, decided_at: Timestamp) -> Vec<GuardEvent> {
        self.all.iter().map(|one| one.event(about, policy_sha256, decided_at)).collect()
    }
}

impl Decided {
    /// What took the value's place. What is refused is never sent: nothing does.
    fn shown_token(&self) -> Option<&str> {
        self.token.as_deref().filter(|_| self.decision == Decision::Redact)
    }

    fn log(&self, about: &About, is_sent: bool) {
        // One macro call a level: the level of an event is part of its place in the program.
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    target: "asmm::guard",
                    decision = self.decision.code(),
                    detector = self.detector,
                    group = self.group.as_str(),
                    place = %self.place,
                    findings = self.findings,
                    token = self.shown_token(),
                    prompt = about.prompt.as_deref(),
                    run_id = about.run_id.map(tracing::field::display),
                    call_id = about.call_id.map(tracing::field::display),
                    fingerprint = %self.fingerprint,
                    reason = %self.reason,
                    "guard"
                )
            };
        }
        match self.decision {
            Decision::Block => event!(error),
            _ if is_sent => event!(info),
            Decision::AllowRaw => event!(warn),
            Decision::Redact if !self.is_expected => event!(warn),
            Decision::Redact | Decision::Report => event!(info),
        }
    }

    fn event(&self, about: &About, policy_sha256: Digest, decided_at: Timestamp) -> GuardEvent {
        // The same decision about the same call is the same event, however often it is told.
        let when = if about.call_id.is_some() { String::new() } else { decided_at.micros().to_string() };
        let name = format!(
            "{:?} {:?} {:?} {when} {:?} {} {} {}",
            about.run_id.map(|id| id.0),
            about.call_id.map(|id| id.0),
            about.prompt,
            self.place,
            self.detector,
            self.fingerprint,
            self.decision,
        );
        GuardEvent {
            event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            run_id: about.run_id,
            call_id: about.call_id,
            prompt: about.prompt.clone(),
            variable: self.place.variable().map(str::to_owned),
            detector: self.detector.to_owned(),
            findings: self.findings,
            decision: self.decision,
            reason: self.reason.clone(),
            fingerprint: Some(self.fingerprint),
            token: self.shown_token().map(str::to_owned),
            rules_sha256: rules_sha256(),
            policy_sha256,
            decided_at,
        }
    }
}
