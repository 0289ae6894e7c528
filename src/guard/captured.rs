//! What was sent already, looked at afterwards: texts from pipelines that render elsewhere, and what was answered.

use super::decisions::{Decisions, Place};
use super::gate::{Guard, When};
use super::policy::Ruling;
use super::redact::{Outcome, Tokens, sanitise};
use super::{Finding, Group, Tier};
use crate::domain::{CallPrompt, Decision, Sanitisation};
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::Content;
use chrono::NaiveDate;
use serde_json::{Map, Value};

/// What a look at something that was sent gave.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What is known of it now.
    pub sanitisation: Sanitisation,
    /// What was found. A [`Decision::Redact`] is about what `redacted` no longer has.
    pub decisions: Decisions,
    /// Inputs, messages and output without what the policy forbids, if there is anything of that sort.
    pub redacted: Option<CallPrompt>,
}

impl Guard {
    /// Looks at what was sent and answered in a call. `content` is what its version says, if it names one that is known; without
    /// it inputs cannot be seen in their places, and stay unscanned if nothing is found.
    ///
    /// What the guard had looked at before it was sent is not judged again, but for secrets: those are never stored.
    ///
    /// # Errors
    /// A text that the guard cannot look at.
    pub fn examine(
        &self,
        prompt: &CallPrompt,
        content: Option<&Content>,
        sent_on: NaiveDate,
    ) -> Result<Examined> {
        let mut decisions = Decisions::default();
        // Tokens of its own, so that the same call is redacted the same, whenever it is told again.
        let mut tokens = self.tokens();
        let mut redacted = prompt.clone();
        let only_secrets = prompt.sanitisation != Sanitisation::Unscanned;
        let texts = [(Place::Messages, &mut redacted.messages), (Place::Output, &mut redacted.output)];
        for (place, messages) in texts {
            let mut walk = Walk { guard: self, tokens: &mut tokens, decisions: &mut decisions, only_secrets };
            for message in messages.iter_mut().flatten() {
                walk.value(&place, "", message)?;
            }
        }
        let is_whole = match (content, &mut redacted.inputs) {
            (Some(content), inputs) if redacted.messages.is_none() && !only_secrets => {
                let map = inputs.get_or_insert_with(Map::new);
                self.pass(content, map, &mut decisions, &mut tokens, (sent_on, When::After))?;
                if map.is_empty() {
                    *inputs = None;
                }
                true
            }
            (_, Some(inputs)) => {
                let mut walk =
                    Walk { guard: self, tokens: &mut tokens, decisions: &mut decisions, only_secrets };
                for (name, value) in inputs.iter_mut() {
                    walk.input(name, value)?;
                }
                false
            }
            (_, None) => redacted.messages.is_some() || redacted.output.is_some(),
        };
        decisions.restate(Decision::Block, Decision::Redact, "a secret was found after it had been sent");
        let has_changed = redacted.inputs != prompt.inputs && prompt.inputs.is_some()
            || redacted.messages != prompt.messages
            || redacted.output != prompt.output;
        let in_template = decisions.all().iter().any(|one| {
            one.place == Place::Template && one.group == Group::Secret && one.tier != Tier::Suspicion
        });
        let sanitisation = match prompt.sanitisation {
            _ if has_changed || in_template => Sanitisation::Exposed,
            Sanitisation::Unscanned if is_whole => decisions.sanitisation(),
            known => known,
        };
        Ok(Examined { sanitisation, decisions, redacted: has_changed.then_some(redacted) })
    }
}

/// A walk over JSON that was captured, redacting as it goes.
struct Walk<'a> {
    guard: &'a Guard,
    tokens: &'a mut Tokens,
    decisions: &'a mut Decisions,
    only_secrets: bool,
}

fn rule(guard: &Guard, only_secrets: bool, finding: &Finding) -> Ruling {
    if only_secrets && finding.group != Group::Secret {
        return Ruling::new(Decision::Report, "it was decided before it was sent");
    }
    guard.policy.ruling(finding)
}

/// The most values that are found in what was sent in a call: what holds more is a list of them, which takes its time.
const MAX_FOUND: usize = 2000;

/// Keys of messages that name no value.
const PLAIN_KEYS: [&str; 6] = ["", "content", "text", "role", "type", "arguments"];

impl Walk<'_> {
    fn input(&mut self, name: &str, value: &mut Value) -> Result<()> {
        self.leaf(&Place::Input(name.to_owned()), name, value)
    }

    /// Any value; `key` is what names it.
    fn value(&mut self, place: &Place, key: &str, value: &mut Value) -> Result<()> {
        match value {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.value(place, key, item)),
            Value::Object(map) => {
                for (key, mut value) in std::mem::take(map) {
                    self.value(place, &key, &mut value)?;
                    let key = self.text(place, "", &key)?;
                    map.insert(key, value);
                }
                Ok(())
            }
            leaf => self.leaf(place, key, leaf),
        }
    }

    fn leaf(&mut self, place: &Place, key: &str, value: &mut Value) -> Result<()> {
        match value {
            Value::String(text) => {
                *text = self.text(place, key, text)?;
            }
            Value::Number(number) => {
                let shown = number.to_string();
                let clean = self.text(place, key, &shown)?;
                if clean != shown {
                    *value = Value::String(clean);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The text without what the policy forbids. A key beside it may name what it is: `password`.
    fn text(&mut self, place: &Place, key: &str, text: &str) -> Result<String> {
        let (guard, only_secrets) = (self.guard, self.only_secrets);
        let rule = |finding: &Finding| rule(guard, only_secrets, finding);
        let (mut clean, mut outcomes) = sanitise(&guard.scanner, text, self.tokens, rule)?;
        if !PLAIN_KEYS.contains(&key) {
            clean = self.named(key, clean, &mut outcomes)?;
        }
        if self.only_secrets {
            outcomes.retain(|outcome| outcome.finding.group == Group::Secret);
        }
        self.decisions.note(place, text, outcomes, (false, true));
        if self.decisions.all().len() > MAX_FOUND {
            return Err(Error::new(
                ErrorKind::Guard,
                format!("the text holds more than {MAX_FOUND} different values that the guard finds"),
            )
            .hint("record its digest alone"));
        }
        Ok(clean)
    }

    /// Looks again with the key before the text, and takes only what lies in the text.
    fn named(&mut self, key: &str, text: String, outcomes: &mut Vec<Outcome>) -> Result<String> {
        let head = format!("{key}: ");
        let whole = format!("{head}{text}");
        if self.guard.scanner.scan(&whole)?.iter().all(|finding| finding.range.start < head.len()) {
            return Ok(text);
        }
        let rule = |finding: &Finding| {
            if finding.range.start < head.len() {
                return Ruling::new(Decision::Report, "it is the key");
            }
            rule(self.guard, self.only_secrets, finding)
        };
        let mut fresh = self.tokens.clone();
        let (clean, found) = sanitise(&self.guard.scanner, &whole, &mut fresh, rule)?;
        let Some(clean) = clean.strip_prefix(&head) else { return Ok(text) };
        if clean == text {
            return Ok(text);
        }
        *self.tokens = fresh;
        outcomes.extend(found.into_iter().filter(|o| o.ruling.decision.hides()).map(|mut outcome| {
            outcome.is_in_original = false;
            outcome
        }));
        Ok(clean.to_owned())
    }
}
