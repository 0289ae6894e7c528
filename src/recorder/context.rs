//! Where work belongs: which run, which step. It travels with the work.

use super::Recorder;
use super::call::CallBuilder;
use super::headers::{self, Carrier};
use super::prompts::Prompt;
use super::reserve::ReserveBuilder;
use super::step::{StepBuilder, StepState};
use super::tokens::RunTokens;
use crate::domain::{Event, RunId, Status, StepId};
use crate::error::Result;
use crate::guard::Guard;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: Context;
}

/// A run, and perhaps a step of it: everything that is recorded through it belongs there. Cheap to clone, and dropping it
/// records nothing.
#[derive(Clone)]
pub struct Context {
    recorder: Recorder,
    run: Arc<RunState>,
    step: Option<Arc<StepState>>,
}

/// What is known of a run.
pub(super) struct RunState {
    run_id: RunId,
    /// Whether it was started elsewhere, where values may have got their tokens already.
    is_attached: bool,
    /// The run's pipeline and labels, if it was started here: budgets ask for them before the ledger knows the run.
    facts: Option<(String, BTreeMap<String, String>)>,
    tokens: OnceLock<RunTokens>,
}

impl Context {
    pub(super) fn of_run(
        recorder: Recorder,
        run_id: RunId,
        pipeline: String,
        labels: BTreeMap<String, String>,
    ) -> Self {
        let facts = Some((pipeline, labels));
        let run = RunState { run_id, is_attached: false, facts, tokens: OnceLock::new() };
        Self { recorder, run: Arc::new(run), step: None }
    }

    pub(super) fn attached(recorder: Recorder, run_id: RunId, step_id: Option<StepId>) -> Self {
        let run = RunState { run_id, is_attached: true, facts: None, tokens: OnceLock::new() };
        Self { recorder, run: Arc::new(run), step: step_id.map(|id| Arc::new(StepState::attached(id))) }
    }

    pub(super) fn in_step(mut self, step: StepState) -> Self {
        self.step = Some(Arc::new(step));
        self
    }

    /// What the parent process has handed on, if it did.
    pub(super) fn from_env(recorder: &Recorder) -> Option<Self> {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let run_id = read("ASMM_RUN_ID")?;
        let parsed = run_id.parse().and_then(|run_id: RunId| {
            Ok((run_id, read("ASMM_STEP_ID").map(|step_id| step_id.parse()).transpose()?))
        });
        match parsed {
            Ok((run_id, step_id)) => Some(recorder.attach(run_id, step_id)),
            Err(error) => {
                recorder.warn(&format!("ASMM_RUN_ID or ASMM_STEP_ID: {error}"));
                None
            }
        }
    }

    /// The context of this task, if it runs in one: see [`Context::scope`].
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.run.run_id
    }

    /// The step, if the work belongs to one.
    #[must_use]
    pub fn step_id(&self) -> Option<StepId> {
        self.step.as_ref().map(|step| step.step_id)
    }

    /// The recorder.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// A step of this run, to be started. It starts now, by the recorder's clock.
    pub fn step(&self, name: impl Into<String>) -> StepBuilder {
        StepBuilder::new(self.clone(), name.into())
    }

    /// A call to a model, to be recorded. Made now, unless it says otherwise.
    pub fn call(&self, provider: impl Into<String>, model: impl Into<String>) -> CallBuilder<'_> {
        CallBuilder::new(self, provider.into(), model.into())
    }

    /// A question whether a call to a model may be made, by the budgets that it counts in: see [`ReserveBuilder`].
    pub fn reserve(&self, provider: impl Into<String>, model: impl Into<String>) -> ReserveBuilder<'_> {
        ReserveBuilder::new(self, provider.into(), model.into())
    }

    /// A prompt version, to be rendered: `name@production`, `name@7`, or `name` for the latest.
    ///
    /// What a label means is asked anew every half a minute ([`Settings::prompt_refresh`](super::Settings::prompt_refresh)),
    /// in the background. When the ledger is out of reach, the version that it last meant on this machine is used, with a
    /// warning.
    ///
    /// # Blocks
    /// The first use of a version waits for the ledger and blocks its thread, two seconds at most
    /// ([`Settings::prompt_patience`](super::Settings::prompt_patience)); later ones do not.
    /// [`Recorder::load_prompts`] fetches beforehand, without blocking.
    ///
    /// # Errors
    /// `NotFound` when there is no such version; of the ledger ([`Error::is_of_the_ledger`](crate::Error::is_of_the_ledger))
    /// when none is at hand and the ledger is out of reach.
    /// ```no_run
    /// # fn example(recorder: &asmm::recorder::Recorder) -> asmm::Result<()> {
    /// use serde_json::json;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let step = run.step("summarise").start();
    /// let prompt = step.prompt("enrichment/company-summary@production")?;
    /// let rendered = prompt.render(json!({"company": "Acme"}))?;
    /// let body = json!({"model": "gpt-4o", "messages": rendered.messages()});
    /// # Ok(())
    /// # }
    /// ```
    pub fn prompt(&self, reference: &str) -> Result<Prompt> {
        let version = self.recorder.inner.prompts.get(reference)?;
        self.begin_step(Some(&version.name));
        Ok(Prompt::new(self.clone(), version))
    }

    /// Runs a future in this context: [`Context::current`] finds it there, and [`spawn`] hands it on. Tasks that the future
    /// starts with `tokio::spawn`, and threads, are not in it.
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::recorder::Context;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let found = run.scope(async { Context::current().map(|context| context.run_id()) }).await;
    /// assert_eq!(found, Some(run.run_id()));
    /// assert!(Context::current().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        self.clone().scoped(future).await
    }

    /// As [`Context::scope`], for those who have to name the future.
    pub(super) fn scoped<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        self.begin_step(None);
        CURRENT.scope(self, future)
    }

    /// Runs a closure in this context, on this thread.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::recorder::Context;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let found = run.enter(|| Context::current().map(|context| context.run_id()));
    /// assert_eq!(found, Some(run.run_id()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        self.begin_step(None);
        CURRENT.sync_scope(self.clone(), work)
    }

    /// The variables that hand it on to another process, `ASMM_RUN_ID` and `ASMM_STEP_ID`: there [`Recorder::context`] and
    /// the program's commands find it.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// let run = recorder.run("enrichment").start();
    /// let output = std::process::Command::new("env").envs(run.env()).output()?;
    /// assert!(String::from_utf8(output.stdout)?.contains(&format!("ASMM_RUN_ID={}", run.run_id())));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.begin_step(None);
        let step = self.step_id().map(|id| ("ASMM_STEP_ID", id.to_string()));
        std::iter::once(("ASMM_RUN_ID", self.run_id().to_string())).chain(step).collect()
    }

    /// Hands it on in the headers of a request: `baggage` (W3C), beside what is there, and `traceparent` if the request has
    /// none. [`Recorder::extract`] finds it there.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use std::collections::HashMap;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let mut headers: HashMap<String, String> = HashMap::new();
    /// run.inject(&mut headers);
    /// assert_eq!(headers["baggage"], format!("asmm-run-id={}", run.run_id()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn inject(&self, carrier: &mut impl Carrier) {
        self.begin_step(None);
        headers::inject(self.run_id(), self.step_id(), carrier);
    }

    /// Records that the step starts, if that is not recorded yet.
    pub(super) fn begin_step(&self, version: Option<&str>) {
        if let Some(step) = &self.step {
            step.begin(version, |start| {
                self.recorder.push(Event::Step(start));
            });
        }
    }

    /// Which tokens took the place of which values in this run. Of one that was started elsewhere the ledger is asked
    /// once.
    pub(super) fn tokens(&self, guard: &Guard) -> RunTokens {
        let inner = &self.recorder.inner;
        let given_elsewhere = || {
            // A ledger that is out of reach is not waited for.
            let asks = self.run.is_attached && self.recorder.metrics().is_connected;
            if asks { inner.prompts.tokens_of(self.run_id()) } else { Vec::new() }
        };
        let tokens = self.run.tokens.get_or_init(|| inner.tokens.of(self.run_id(), guard, given_elsewhere));
        Arc::clone(tokens)
    }

    /// The run's pipeline and labels, if it was started here.
    pub(super) fn facts(&self) -> Option<&(String, BTreeMap<String, String>)> {
        self.run.facts.as_ref()
    }

    pub(super) fn agent(&self) -> &str {
        self.step.as_ref().map_or("", |step| &step.agent)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("run_id", &self.run_id()).field("step_id", &self.step_id()).finish()
    }
}

/// The future, in the context that is current now, wherever it is polled: for whatever starts tasks other than [`spawn`],
/// such as a `JoinSet`. Without a current context it is the future alone.
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// use asmm::recorder::{Context, in_current};
///
/// let run = recorder.run("enrichment").start();
/// let mut tasks = tokio::task::JoinSet::new();
/// run.enter(|| tasks.spawn(in_current(async { Context::current().map(|context| context.run_id()) })));
/// assert_eq!(tasks.join_next().await.expect("there is one")?, Some(run.run_id()));
/// # Ok(())
/// # }
/// ```
pub fn in_current<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let context = Context::current();
    async move {
        match context {
            Some(context) => context.scope(future).await,
            None => future.await,
        }
    }
}

/// [`tokio::spawn`], with the current context.
///
/// # Panics
/// Outside of a tokio runtime, as `tokio::spawn` does.
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// use asmm::recorder::{Context, spawn};
///
/// let run = recorder.run("enrichment").start();
/// let task = run.enter(|| spawn(async { Context::current().map(|context| context.run_id()) }));
/// assert_eq!(task.await?, Some(run.run_id()));
/// # Ok(())
/// # }
/// ```
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(in_current(future))
}

/// A status that ends something. One that does not would be refused by the ledger, and the end lost.
pub(super) fn final_status(context: &Context, what: &str, status: Status) -> Status {
    if status.is_final() {
        return status;
    }
    context.recorder.warn(&format!("a {what} cannot finish as `{status}`: it is recorded as abandoned"));
    Status::Abandoned
}
