//! Asking before spending. The ledger is waited for only a moment; what happens without its answer is [`Fail`].

use super::context::Context;
use super::metrics::add;
use super::prompts::Request;
use super::settings::Fail;
use crate::domain::{Amount, CallId, Reserve, Usd};
use crate::error::{Error, Result};
use crate::guard::mask_secrets;
use crate::store::{Refusal, Reserved, Store};
use std::fmt;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// After the ledger did not answer, how long it is not waited for again.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The way to the flusher, which has the connection.
pub(super) struct Asking {
    requests: tokio::sync::mpsc::Sender<Request>,
    /// Until when the ledger is not waited for.
    given_up: Mutex<Option<Instant>>,
}

impl Asking {
    pub fn new(requests: tokio::sync::mpsc::Sender<Request>) -> Self {
        Self { requests, given_up: Mutex::new(None) }
    }

    fn given_up(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question to the flusher.
pub(super) struct AskReserve {
    ask: Reserve,
    answer: Box<dyn FnOnce(Result<Reserved>) + Send>,
}

impl AskReserve {
    /// Asks the ledger.
    pub async fn run(self, store: Store) {
        let answer = store.reserve(&self.ask).await;
        (self.answer)(answer);
    }

    /// Answers that there is no connection.
    pub fn refuse(self, why: &str) {
        (self.answer)(Err(Error::ledger(format!("the ledger cannot be asked: {why}"))));
    }
}

/// A question whether a call may be made, from [`Context::reserve`]. Dropped without [`ReserveBuilder::ask`] it is nothing.
///
/// Its amount is the most that the call may cost: in dollars, or as tokens, which the ledger prices by its catalogue. Without
/// either it asks only whether a budget is exceeded already.
/// ```no_run
/// # async fn send() -> serde_json::Value { serde_json::json!({}) }
/// # async fn example(recorder: &asmm::recorder::Recorder) {
/// use asmm::domain::TokenUsage;
///
/// let run = recorder.run("enrichment").start();
/// let reservation = run.reserve("openai", "gpt-4o").tokens(3_000, 1_000).ask().await;
/// if !reservation.is_granted() {
///     eprintln!("not sent: {}", reservation.reason().unwrap_or_default());
///     return;
/// }
/// let response = send().await;
/// run.call("openai", "gpt-4o")
///     .reservation(&reservation)
///     .reported(TokenUsage::from_openai(&response["usage"]))
///     .record();
/// # }
/// ```
#[must_use = "nobody is asked before `ask`"]
pub struct ReserveBuilder<'c> {
    context: &'c Context,
    ask: Reserve,
    fail: Fail,
}

impl<'c> ReserveBuilder<'c> {
    pub(super) fn new(context: &'c Context, provider: String, model: String) -> Self {
        let amount = Amount::Usd(Usd::ZERO);
        let mut ask = Reserve::of(context.run_id(), CallId(Uuid::now_v7()), amount);
        if let Some((pipeline, labels)) = context.facts() {
            ask.pipeline = Some(pipeline.clone());
            ask.labels = labels.clone();
            for (name, text) in &mut ask.labels {
                // As the run itself is recorded: a word to find a run by is no place for a secret.
                let named = mask_secrets(&format!("{name}: {text}"));
                named.strip_prefix(&format!("{name}: ")).unwrap_or("[SECRET]").clone_into(text);
            }
        }
        context.agent().clone_into(&mut ask.agent);
        (ask.provider, ask.model) = (provider, model);
        Self { context, ask, fail: context.recorder().inner.shared.settings.reserve_fail }
    }

    /// The most that it may cost.
    pub fn usd(mut self, amount: Usd) -> Self {
        self.ask.amount = Amount::Usd(amount);
        self
    }

    /// The prompt's tokens, and the most that may be generated (`max_tokens`).
    pub fn tokens(mut self, input: u64, most_output: u64) -> Self {
        self.ask.amount = Amount::Tokens { input, output: most_output };
        self
    }

    /// The agent; else the step's. Budgets by agent count the call under this name, so record it under the same.
    pub fn agent(mut self, name: impl Into<String>) -> Self {
        self.ask.agent = name.into();
        self
    }

    /// The service tier, by which tokens are priced: `standard` unless this says otherwise.
    pub fn service_tier(mut self, tier: impl Into<String>) -> Self {
        self.ask.service_tier = tier.into();
        self
    }

    /// The call's id; else a new one is made. The same id again holds nothing more.
    pub fn id(mut self, call_id: CallId) -> Self {
        self.ask.call_id = call_id;
        self
    }

    /// How long the amount is held if nothing is recorded, in whole seconds: ten minutes unless this says otherwise, a day at
    /// most.
    pub fn expires_in(mut self, hold: Duration) -> Self {
        self.ask.expires_in = hold;
        self
    }

    /// What it means when the ledger does not answer in time, or the price is unknown; else
    /// [`Settings::reserve_fail`](super::Settings::reserve_fail) says so.
    pub fn fail(mut self, fail: Fail) -> Self {
        self.fail = fail;
        self
    }

    /// Asks, and waits for the answer without blocking the thread,
    /// [`Settings::reserve_patience`](super::Settings::reserve_patience) at most: half a second.
    ///
    /// # Panics
    /// Outside of a tokio runtime; use [`ReserveBuilder::ask_blocking`] there.
    pub async fn ask(self) -> Reservation {
        let patience = self.reserve_patience();
        let (sender, answer) = tokio::sync::oneshot::channel();
        // Whoever asked may have given up.
        let sent = self.send(Box::new(move |reserved| drop(sender.send(reserved))));
        let answer = match sent {
            Err(error) => Err(error),
            Ok(()) => match tokio::time::timeout(patience, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(self.gave_up(patience)),
            },
        };
        self.settle(answer)
    }

    /// As [`ReserveBuilder::ask`], blocking the thread.
    #[must_use = "it says whether the call may be made"]
    pub fn ask_blocking(self) -> Reservation {
        let patience = self.reserve_patience();
        let (sender, answer) = mpsc::sync_channel(1);
        let sent = self.send(Box::new(move |reserved| drop(sender.try_send(reserved))));
        let answer = match sent {
            Err(error) => Err(error),
            Ok(()) => answer.recv_timeout(patience).unwrap_or_else(|_| Err(self.gave_up(patience))),
        };
        self.settle(answer)
    }

    fn reserve_patience(&self) -> Duration {
        self.context.recorder().inner.shared.settings.reserve_patience
    }

    fn send(&self, answer: Box<dyn FnOnce(Result<Reserved>) + Send>) -> Result<()> {
        let asking = &self.context.recorder().inner.asking;
        let mut ask = self.ask.clone();
        ask.refuse_unpriced = self.fail == Fail::Closed;
        ask.check()?;
        if asking.given_up().is_some_and(|until| Instant::now() < until) {
            return Err(Error::ledger("the ledger did not answer a moment ago"));
        }
        let request = Request::Reserve(Box::new(AskReserve { ask, answer }));
        asking.requests.try_send(request).map_err(|_| Error::ledger("too many questions wait for the ledger"))
    }

    /// Nobody waits again soon.
    fn gave_up(&self, patience: Duration) -> Error {
        *self.context.recorder().inner.asking.given_up() = Instant::now().checked_add(GIVE_UP);
        Error::ledger(format!("the ledger did not answer within {} ms", patience.as_millis()))
    }

    /// Counts, warns, and makes of an answer what it means.
    fn settle(self, answer: Result<Reserved>) -> Reservation {
        let recorder = self.context.recorder();
        let counters = &recorder.inner.shared.counters;
        let call_id = self.ask.call_id;
        let unpriced = answer.as_ref().is_ok_and(|reserved| {
            reserved.reason == Some(Refusal::Unpriced) || reserved.granted && reserved.amount.is_none()
        });
        let (is_granted, reason) = match &answer {
            Ok(reserved) => (reserved.granted, reserved.refusal()),
            Err(error) => (self.fail == Fail::Open, Some(error.to_string())),
        };
        let counter = match &answer {
            Err(_) => &counters.unanswered,
            Ok(_) if unpriced => &counters.unanswered,
            Ok(reserved) if reserved.granted => &counters.granted,
            Ok(_) => &counters.refused,
        };
        add(counter, 1);
        let model = &self.ask.model;
        match &answer {
            Err(error) if is_granted => {
                recorder.warn(&format!("call `{call_id}` of model `{model}` has no reservation: {error}"));
            }
            Err(error) => recorder.warn(&format!("call `{call_id}` of model `{model}` is refused: {error}")),
            Ok(reserved) => {
                for warning in reserved.warnings() {
                    recorder.warn(&format!("call `{call_id}` of model `{model}`: {warning}"));
                }
            }
        }
        Reservation { context: self.context.clone(), call_id, is_granted, reason, answer: answer.ok() }
    }
}

/// What came of asking: whether the call may be made, and under which id to record it.
///
/// Recorded with [`CallBuilder::reservation`](super::CallBuilder::reservation), what the call cost takes the place of what was
/// reserved. One that fails is recorded too; one that is never made is given back with [`Reservation::release`], or
/// expires.
pub struct Reservation {
    context: Context,
    call_id: CallId,
    is_granted: bool,
    reason: Option<String>,
    answer: Option<Reserved>,
}

impl Reservation {
    /// Whether the call may be made.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.is_granted
    }

    /// The id to record the call under.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        self.call_id
    }

    /// Why it was refused: which budget, its limit, what is spent and reserved, and when the period ends. Or why nobody could
    /// say, even if it may be made all the same.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What the ledger answered, if it did.
    #[must_use]
    pub fn answer(&self) -> Option<&Reserved> {
        self.answer.as_ref()
    }

    /// Gives it back, as the call will not be made. In the background, and at best: else it expires.
    pub fn release(self) {
        let request = Request::Release(self.context.run_id(), self.call_id);
        // If nobody can be told now, it expires.
        let _ = self.context.recorder().inner.asking.requests.try_send(request);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, is_granted, reason, .. } = self;
        f.debug_struct("Reservation")
            .field("call_id", call_id)
            .field("is_granted", is_granted)
            .field("reason", reason)
            .finish_non_exhaustive()
    }
}
