//! Where work belongs: which run, which step. It travels with the work.

use super::Recorder;
use super::call::CallBuilder;
use super::headers::{self, Carrier};
use super::prompts::Prompt;
use super::step::{StepBuilder, StepState};
use crate::domain::{Event, RunId, Status, StepId};
use crate::error::Result;
use crate::guard::Tokens;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: Context;
}

/// A run, and perhaps a step of it: everything that is recorded through it belongs there. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    recorder: Recorder,
    run: Arc<RunState>,
    step: Option<Arc<StepState>>,
}

/// What is known of a run.
pub(super) struct RunState {
    run_id: RunId,
    /// Which tokens took the place of which values: the same in the whole run, as far as it runs in this process.
    pub tokens: Mutex<Option<Tokens>>,
}

impl Context {
    pub(super) fn of_run(recorder: Recorder, run_id: RunId) -> Self {
        let run = RunState { run_id, tokens: Mutex::default() };
        Self { recorder, run: Arc::new(run), step: None }
    }

    pub(super) fn attached(recorder: Recorder, run_id: RunId, step_id: Option<StepId>) -> Self {
        let run = RunState { run_id, tokens: Mutex::default() };
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

    /// A step of this run, to be started.
    pub fn step(&self, name: impl Into<String>) -> StepBuilder {
        StepBuilder::new(self.clone(), name.into())
    }

    /// A call to a model, to be recorded. Made now, unless it says otherwise.
    pub fn call(&self, provider: impl Into<String>, model: impl Into<String>) -> CallBuilder<'_> {
        CallBuilder::new(self, provider.into(), model.into())
    }

    /// A prompt version, to be rendered: `name@production`, `name@7`, or `name` for the latest.
    ///
    /// What a label means is asked anew every half a minute, in the background. When the ledger is out of reach, the
    /// version that it last meant here is used.
    ///
    /// # Errors
    /// When there is no such version, or none at hand and the ledger is out of reach. The first use of a version waits
    /// for the ledger, two seconds at most, and blocks its thread for that long:
    /// [`Recorder::load_prompts`] fetches beforehand.
    pub fn prompt(&self, reference: &str) -> Result<Prompt> {
        let version = self.recorder.inner.prompts.get(reference)?;
        self.begin_step(Some(&version.name));
        Ok(Prompt::new(self.clone(), version))
    }

    /// Runs a future in this context: [`Context::current`] finds it there, and [`spawn`] hands it on.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        self.clone().scoped(future).await
    }

    /// As [`Context::scope`], for those who have to name the future.
    pub(super) fn scoped<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        self.begin_step(None);
        CURRENT.scope(self, future)
    }

    /// Runs a closure in this context.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        self.begin_step(None);
        CURRENT.sync_scope(self.clone(), work)
    }

    /// The variables that hand it on to another process: for [`std::process::Command::envs`].
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.begin_step(None);
        let step = self.step_id().map(|id| ("ASMM_STEP_ID", id.to_string()));
        std::iter::once(("ASMM_RUN_ID", self.run_id().to_string())).chain(step).collect()
    }

    /// Hands it on in the headers of a request: `baggage` (W3C), and `traceparent` if the request has none.
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

    pub(super) fn state(&self) -> &RunState {
        &self.run
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

/// The future, in the current context wherever it is polled: for whatever starts tasks other than [`spawn`].
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
