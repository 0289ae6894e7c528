//! What was sent elsewhere, on its way into the ledger: looked at, redacted, and marked before it is stored
//! anywhere, the spool included.

use crate::clock::Clock;
use crate::domain::{
    CallId, CallPrompt, Digest, Event, GuardEvent, RunId, Sanitisation, SentPrompt, Span, Timestamp,
};
use crate::error::{ErrorKind, Result};
use crate::guard::{About, Decisions, Guard, Policy, mask_secrets};
use crate::prompt::Content;
use crate::settings;
use crate::store::{NewVersion, Store};
use futures_util::FutureExt;
use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// A guard that is set up when the first text comes: a pipeline that sends none pays nothing for it.
#[derive(Clone)]
pub(crate) struct LazyGuard {
    policy: Arc<Policy>,
    made: Arc<OnceLock<Arc<Guard>>>,
}

impl LazyGuard {
    pub fn new(policy: Policy) -> Self {
        Self { policy: Arc::new(policy), made: Arc::default() }
    }

    /// The guard.
    ///
    /// # Errors
    /// When there is no key and none can be made.
    pub fn get(&self) -> Result<&Arc<Guard>> {
        if let Some(guard) = self.made.get() {
            return Ok(guard);
        }
        let guard = Guard::new((*self.policy).clone(), settings::key::fingerprints()?);
        Ok(self.made.get_or_init(|| Arc::new(guard)))
    }
}

impl LazyGuard {
    /// A span as it may be stored: its conversation, what was sent and what was answered without what the policy forbids, and
    /// with what was decided about them.
    pub fn look_at_span(&self, span: &mut Span, now: Timestamp) {
        // A conversation becomes a run's label, and a word to find a run by is no place for a secret.
        if let Some(conversation) = &mut span.conversation {
            *conversation = mask_secrets(conversation);
        }
        if !has_text(span) {
            return;
        }
        let trace_id = span.trace_id;
        let Some(report) = &mut span.report else { return };
        let Some(prompt) = report.prompt.take() else { return };
        // Which call it is shows only when all of its spans are known: decisions get their run and their call then.
        let (run_id, call_id) = (RunId(Uuid::nil()), CallId(Uuid::nil()));
        let sent = SentPrompt { run_id, call_id, step_id: None, sent_at: span.started_at, prompt: *prompt };
        let looked = self.get().and_then(|guard| {
            let (mut prompt, decisions) = looked_at(guard, &sent, None, now)?;
            // Spans that are kept hold no more of texts than these.
            prompt.text_sha256 = prompt.text_sha256.or(sent.prompt.stored_messages()?.map(Digest::of));
            prompt.output_sha256 = prompt.output_sha256.or(sent.prompt.stored_output()?.map(Digest::of));
            // What is redacted may be longer than what it was.
            prompt.check(now)?;
            decisions.log(&About::default(), true);
            let about = About { run_id: Some(run_id), call_id: Some(call_id), prompt: None };
            Ok((prompt, decisions.events(&about, guard.policy_sha256(), moment(&sent, now))))
        });
        let (prompt, decided) = looked.unwrap_or_else(|error| {
            // A text that nobody can look at is not stored; that there was one is.
            tracing::warn!("a call of trace `{}`: only digests are recorded: {error}", trace_id.simple());
            (sent.prompt.without_texts(), Vec::new())
        });
        report.prompt = Some(Box::new(prompt));
        let of_no_call = |event| GuardEvent { run_id: None, call_id: None, ..event };
        report.decided.extend(decided.into_iter().map(of_no_call));
    }
}

/// Whether a span brings a text. Nobody's word that it was looked at is taken: secrets are never stored.
fn has_text(span: &Span) -> bool {
    let prompt = span.report.as_ref().and_then(|report| report.prompt.as_ref());
    prompt.is_some_and(|prompt| prompt.has_texts())
}

/// What was sent and answered as it may be stored, and what was decided about it. Texts that are redacted keep the digests of what
/// they were.
fn looked_at(
    guard: &Guard,
    sent: &SentPrompt,
    content: Option<&Content>,
    now: Timestamp,
) -> Result<(CallPrompt, Decisions)> {
    let examined = guard.examine(&sent.prompt, content, sent.sent_at.to_utc().date_naive())?;
    let mut prompt = sent.prompt.clone();
    if let Some(redacted) = examined.redacted {
        let of = |known: Option<Digest>, text: Option<String>| known.or_else(|| text.map(Digest::of));
        prompt = CallPrompt {
            text_sha256: of(sent.prompt.text_sha256, sent.prompt.stored_messages()?),
            output_sha256: of(sent.prompt.output_sha256, sent.prompt.stored_output()?),
            redacted_at: Some(now),
            ..redacted
        };
    }
    prompt.sanitisation = examined.sanitisation;
    Ok((prompt, examined.decisions))
}

/// The door for texts from outside.
pub(crate) struct Door {
    clock: Clock,
    guard: LazyGuard,
    /// Contents of versions by exact reference; other references mean something else at other times.
    contents: HashMap<String, Option<Content>>,
}

impl Door {
    pub fn new(guard: LazyGuard, clock: Clock) -> Self {
        Self { clock, guard, contents: HashMap::new() }
    }

    /// Whether there is anything to look at: a text that the guard has not seen, or words of a pipeline's own.
    pub fn is_for(event: &Event) -> bool {
        match event {
            Event::Run(run) => !run.labels.is_empty(),
            Event::Span(span) => span.conversation.is_some() || has_text(span),
            Event::Call(call) => {
                call.prompt.as_ref().is_some_and(|sent| sent.sanitisation == Sanitisation::Unscanned)
            }
            Event::Prompt(sent) => sent.prompt.sanitisation == Sanitisation::Unscanned,
            _ => false,
        }
    }

    /// The event as it may be stored, followed by what the guard decided about it. Without a ledger the version is
    /// not known: what its variables allow is then redacted as well.
    ///
    /// # Errors
    /// Of the ledger when that fails; of another kind when the event itself is to be refused: inputs that do not
    /// fit their version.
    pub async fn admit(&mut self, store: Option<&Store>, mut event: Event) -> Result<Vec<Event>> {
        if let Event::Span(span) = &mut event {
            self.guard.look_at_span(span, self.clock.now());
        }
        if let Event::Run(run) = &mut event {
            // A word to find a run by is no place for a secret; that the run started is recorded all the same.
            for (name, text) in &mut run.labels {
                let named = mask_secrets(&format!("{name}: {text}"));
                named.strip_prefix(&format!("{name}: ")).unwrap_or("[SECRET]").clone_into(text);
            }
        }
        let sent = match &event {
            Event::Call(call) => call.sent_prompt(),
            Event::Prompt(sent) => Some(sent.clone()),
            _ => None,
        };
        // A version without inputs is its template, which can be looked at where the version is known.
        let has_text = |prompt: &CallPrompt| {
            let is_template = prompt.version.is_some() && prompt.sanitisation == Sanitisation::Unscanned;
            prompt.has_texts() || is_template && prompt.purged_at.is_none() && store.is_some()
        };
        let Some(sent) = sent.filter(|sent| has_text(&sent.prompt)) else {
            return Ok(vec![event]);
        };
        let (prompt, decisions) = self.look(store, &sent).await?;
        match &mut event {
            Event::Call(call) => call.prompt = Some(Box::new(prompt)),
            Event::Prompt(sent) => sent.prompt = prompt,
            _ => {}
        }
        let mut events = vec![event];
        events.extend(decisions);
        Ok(events)
    }

    /// Events as they may lie on disk, when the ledger cannot be asked: those that bring a text which nobody has looked
    /// at are sanitised. Second, what was decided about them.
    pub fn admit_to_disk<'e, E: Borrow<Event>>(
        &mut self,
        events: &'e [E],
    ) -> (Vec<Cow<'e, Event>>, Vec<Event>) {
        let mut decided = Vec::new();
        let admitted = events.iter().map(Borrow::borrow).map(|event| {
            if !Self::is_for(event) {
                return Cow::Borrowed(event);
            }
            // Without a ledger there is nothing to wait for.
            let admitted = self.admit(None, event.clone()).now_or_never();
            let mut admitted = match admitted {
                Some(Ok(admitted)) => admitted.into_iter(),
                _ => Vec::new().into_iter(),
            };
            let first = admitted.next().unwrap_or_else(|| without_text(event));
            decided.extend(admitted);
            Cow::Owned(first)
        });
        (admitted.collect(), decided)
    }

    /// Refuses a version with a secret in it.
    ///
    /// # Errors
    /// Of kind `Guard` for a secret. What is no content is the store's to refuse.
    pub fn check_version(&mut self, version: &NewVersion) -> Result<()> {
        let Ok(content) = Content::from_canonical(&version.content) else { return Ok(()) };
        let decisions = self.guard.get()?.look_at_template(&version.source, &content)?;
        let name = &version.name;
        decisions.refusal().map_or(Ok(()), |error| Err(error.at(format_args!("prompt `{name}`"))))
    }

    async fn look(&mut self, store: Option<&Store>, sent: &SentPrompt) -> Result<(CallPrompt, Vec<Event>)> {
        let content = match store {
            Some(store) => self.content(store, sent).await?,
            None => None,
        };
        let guard = self.guard.get()?;
        let now = self.clock.now();
        match looked_at(guard, sent, content.as_ref(), now) {
            Ok((mut prompt, decisions)) => {
                if prompt.redacted_at.is_some() && prompt.text_sha256.is_none() {
                    prompt.text_sha256 = digest(store, sent).await?;
                }
                let (run_id, call_id) = (Some(sent.run_id), Some(sent.call_id));
                let about = About { run_id, call_id, prompt: prompt.version.clone() };
                decisions.log(&about, true);
                let events = decisions.events(&about, guard.policy_sha256(), moment(sent, now));
                Ok((prompt, events.into_iter().map(Event::Guard).collect()))
            }
            Err(error) => {
                // A text that nobody can look at is not stored; that it was sent is.
                tracing::warn!("call `{}`: only the digest is recorded: {error}", sent.call_id);
                Ok((digest_alone(store, sent).await?, Vec::new()))
            }
        }
    }

    async fn content(&mut self, store: &Store, sent: &SentPrompt) -> Result<Option<Content>> {
        let Some(reference) = &sent.prompt.version else { return Ok(None) };
        if let Some(known) = self.contents.get(reference) {
            return Ok(known.clone());
        }
        let content = match store.recorded_version(reference, sent.sent_at).await {
            Ok(version) => version.parsed().ok(),
            // Recording it refuses it, and says why.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Input) => None,
            Err(error) => return Err(error),
        };
        let is_exact =
            reference.rsplit_once('@').is_some_and(|(_, part)| part.bytes().all(|b| b.is_ascii_digit()));
        if is_exact {
            self.contents.insert(reference.clone(), content.clone());
        }
        Ok(content)
    }
}

/// The event without the text that could not be looked at.
fn without_text(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event {
        Event::Call(call) => call.prompt = None,
        Event::Prompt(sent) => {
            sent.prompt = std::mem::take(&mut sent.prompt).without_texts();
        }
        Event::Span(span) => **span = span.without_texts().into_owned(),
        Event::Run(run) => run.labels.clear(),
        _ => {}
    }
    event
}

/// When it is said to be decided: the same for the same event, whenever it is told.
fn moment(sent: &SentPrompt, now: Timestamp) -> Timestamp {
    sent.sent_at.min(now)
}

/// The digest of what was sent, if it can be known.
async fn digest(store: Option<&Store>, sent: &SentPrompt) -> Result<Option<Digest>> {
    if let (None, Some(text)) = (sent.prompt.text_sha256, sent.prompt.stored_messages()?) {
        return Ok(Some(Digest::of(text)));
    }
    match store {
        Some(store) => store.digest_of_sent(sent).await,
        None => Ok(sent.prompt.text_sha256),
    }
}

async fn digest_alone(store: Option<&Store>, sent: &SentPrompt) -> Result<CallPrompt> {
    Ok(CallPrompt {
        text_sha256: digest(store, sent).await?,
        output_sha256: sent.prompt.output_sha256,
        version: sent.prompt.version.clone(),
        sanitisation: Sanitisation::Unscanned,
        ..CallPrompt::default()
    })
}
