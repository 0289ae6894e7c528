//! A call: one request to a model.

use super::context::Context;
use super::prompts::RenderedPrompt;
use super::receipt::Receipt;
use super::reserve::Reservation;
use crate::domain::{Call, CallId, CallPrompt, Event, Outcome, Timestamp, TokenUsage};
use crate::error::Result;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A call to be recorded, from [`Context::call`]. Dropped without [`CallBuilder::record`] it is nothing.
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// use asmm::domain::TokenUsage;
/// use serde_json::json;
/// use std::time::{Duration, Instant};
///
/// let run = recorder.run("enrichment").start();
/// let started = Instant::now();
/// let response = json!({"id": "resp-1", "usage": {"prompt_tokens": 1000, "completion_tokens": 10}});
/// run.call("openai", "gpt-4o")
///     .reported(TokenUsage::from_openai(&response["usage"]))
///     .response_id(response["id"].as_str().unwrap_or_default())
///     .latency(started.elapsed())
///     .record();
///
/// // One that failed: it counts, and what it used is unknown.
/// run.call("openai", "gpt-4o").latency(Duration::from_secs(30)).failed().record();
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is recorded before `record`"]
pub struct CallBuilder<'c> {
    context: &'c Context,
    call: Call,
    prompt: Option<&'c RenderedPrompt>,
}

impl<'c> CallBuilder<'c> {
    pub(super) fn new(context: &'c Context, provider: String, model: String) -> Self {
        let call = Call {
            run_id: context.run_id(),
            call_id: CallId(Uuid::now_v7()),
            step_id: context.step_id(),
            agent: context.agent().to_owned(),
            provider,
            model,
            operation: "chat".to_owned(),
            service_tier: "standard".to_owned(),
            called_at: context.recorder().now(),
            usage: None,
            latency_ms: None,
            outcome: Outcome::Ok,
            response_id: None,
            pipeline: None,
            prompt: None,
        };
        Self { context, call, prompt: None }
    }

    /// What it used, in tokens. A call of which nobody says is recorded with unknown usage, which is not zero.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::domain::TokenUsage;
    ///
    /// # let run = recorder.run("enrichment").start();
    /// let usage = TokenUsage { input: 1000, cache_read: 200, output: 10, ..TokenUsage::default() };
    /// run.call("openai", "gpt-4o").usage(usage).record();
    /// # Ok(())
    /// # }
    /// ```
    pub fn usage(mut self, usage: TokenUsage) -> Self {
        self.call.usage = Some(usage);
        self
    }

    /// What it used, as the model's API answers it. Usage that cannot be read is warned of and recorded as unknown, which is
    /// not zero.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::domain::TokenUsage;
    ///
    /// # let run = recorder.run("enrichment").start();
    /// # let response = serde_json::json!({"usage": {"input_tokens": 1000, "output_tokens": 10}});
    /// run.call("anthropic", "claude-sonnet-4").reported(TokenUsage::from_anthropic(&response["usage"])).record();
    /// # Ok(())
    /// # }
    /// ```
    pub fn reported(mut self, usage: Result<TokenUsage>) -> Self {
        match usage {
            Ok(usage) => self.call.usage = Some(usage),
            Err(error) => {
                let (call, model) = (self.call.call_id, &self.call.model);
                let text = format!("call `{call}` of model `{model}` is recorded without usage: {error}");
                self.context.recorder().warn(&text);
            }
        }
        self
    }

    /// What was sent. It is recorded with the version, the sanitised inputs, the digest and what the guard decided; it takes
    /// the place of [`CallBuilder::messages`].
    /// ```no_run
    /// # fn example(recorder: &asmm::recorder::Recorder) -> asmm::Result<()> {
    /// use serde_json::json;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let prompt = run.prompt("enrichment/company-summary@production")?.render(json!({"company": "Acme"}))?;
    /// run.call("openai", "gpt-4o").prompt(&prompt).record();
    /// # Ok(())
    /// # }
    /// ```
    pub fn prompt(mut self, prompt: &'c RenderedPrompt) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// What was sent, when it was not rendered here: the exact messages. The guard looks at them in the background before
    /// they are stored anywhere, and redacts the copy; the digest stays that of what was sent. It cannot unsend them: to
    /// refuse a secret in time, render with [`Context::prompt`].
    /// ```no_run
    /// # fn example(recorder: &asmm::recorder::Recorder) -> asmm::Result<()> {
    /// use serde_json::json;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let messages = vec![json!({"role": "user", "content": "Summarise Acme in a sentence."})];
    /// run.call("openai", "gpt-4o").messages(messages).record();
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages(mut self, messages: Vec<serde_json::Value>) -> Self {
        self.call.prompt = Some(Box::new(CallPrompt { messages: Some(messages), ..CallPrompt::default() }));
        self
    }

    /// The agent; else the step's.
    pub fn agent(mut self, name: impl Into<String>) -> Self {
        self.call.agent = name.into();
        self
    }

    /// What was asked for: `chat` unless this says otherwise, `embeddings`, …
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.call.operation = operation.into();
        self
    }

    /// The service tier: `standard` unless this says otherwise, `batch`, `flex`, `priority`, …
    pub fn service_tier(mut self, tier: impl Into<String>) -> Self {
        self.call.service_tier = tier.into();
        self
    }

    /// When it was made; else when [`Context::call`] was called.
    pub fn called_at(mut self, time: Timestamp) -> Self {
        self.call.called_at = time;
        self
    }

    /// How long it took, recorded in whole milliseconds.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.call.latency_ms = u64::try_from(latency.as_millis()).ok();
        self
    }

    /// The request failed. It counts as a call; what it used is unknown, unless the API has said.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// # let run = recorder.run("enrichment").start();
    /// run.call("openai", "gpt-4o").failed().record();
    /// # Ok(())
    /// # }
    /// ```
    pub fn failed(mut self) -> Self {
        self.call.outcome = Outcome::Error;
        self
    }

    /// The provider's id of the response.
    pub fn response_id(mut self, id: impl Into<String>) -> Self {
        self.call.response_id = Some(id.into()).filter(|id| !id.is_empty());
        self
    }

    /// Its id; else a new one is made, a UUID of version 7. The same id in the same run is the same call, and counts once, whoever
    /// records it.
    pub fn id(mut self, call_id: CallId) -> Self {
        self.call.call_id = call_id;
        self
    }

    /// The call that was asked for with [`Context::reserve`]: recorded under its id, what it cost takes the place of what
    /// was reserved.
    pub fn reservation(self, reservation: &Reservation) -> Self {
        self.id(reservation.call_id())
    }

    /// Records it: about a microsecond, and it never fails and never waits. The receipt can be awaited, or dropped, which
    /// changes nothing.
    #[expect(clippy::must_use_candidate, reason = "the receipt is for those who want to be sure")]
    pub fn record(mut self) -> Receipt {
        let recorder = self.context.recorder();
        let call_id = self.call.call_id;
        self.context.begin_step(None);
        let mut decided = Vec::new();
        if let Some(prompt) = self.prompt {
            self.call.prompt = Some(Box::new(prompt.sent().clone()));
            decided = prompt.decided(self.call.run_id, call_id);
        }
        let number = recorder.push(Event::Call(self.call));
        for event in decided {
            recorder.push(Event::Guard(event));
        }
        Receipt { call_id, number, shared: Arc::clone(&recorder.inner.shared) }
    }
}
