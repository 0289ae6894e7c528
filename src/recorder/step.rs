//! A step: one agent's unit of work in a run.

use super::context::{self, Context};
use crate::domain::{Event, FinishStep, StartStep, Status, StepId};
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// A step to be started, from [`Context::step`]. Dropped without [`StepBuilder::start`] it is nothing.
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// use asmm::domain::Status;
///
/// let run = recorder.run("enrichment").start();
/// let step = run.step("summarise").agent("writer").attempt(2).prompt_version("enrichment/summary@7").start();
/// step.finish(Status::Succeeded);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is recorded before `start`"]
pub struct StepBuilder {
    context: Context,
    step: StartStep,
}

impl StepBuilder {
    pub(super) fn new(context: Context, name: String) -> Self {
        let step = StartStep {
            run_id: context.run_id(),
            step_id: StepId(Uuid::now_v7()),
            step: name,
            agent: String::new(),
            prompt_version: None,
            attempt: 1,
            started_at: Some(context.recorder().now()),
            status: None,
            completed_at: None,
        };
        Self { context, step }
    }

    /// The agent that does it.
    pub fn agent(mut self, name: impl Into<String>) -> Self {
        self.step.agent = name.into();
        self
    }

    /// Which attempt it is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.step.attempt = attempt;
        self
    }

    /// The prompt version it uses: `name@7`, or `name@label`, which means what it meant when the step started. Else it
    /// is the first one that is fetched with [`Context::prompt`].
    pub fn prompt_version(mut self, reference: impl Into<String>) -> Self {
        self.step.prompt_version = Some(reference.into());
        self
    }

    /// Its id; else a new one is made, a UUID of version 7. The same id in the same run is the same step.
    pub fn id(mut self, step_id: StepId) -> Self {
        self.step.step_id = step_id;
        self
    }

    /// Starts it; the time it started at is when [`Context::step`] was called. It is recorded with the first thing that
    /// happens in it, so that it can say which prompt version it uses. Never waits.
    #[must_use = "a step that is dropped is abandoned"]
    pub fn start(self) -> Step {
        let state = StepState {
            step_id: self.step.step_id,
            agent: self.step.agent.clone(),
            start: Mutex::new(Some(Box::new(self.step))),
            is_begun: AtomicBool::new(false),
        };
        Step { context: self.context.in_step(state), is_finished: false }
    }
}

/// What is known of a step.
pub(super) struct StepState {
    pub step_id: StepId,
    pub agent: String,
    /// Its start, until it is recorded: with the first thing that happens in it, so that it can say which prompt version
    /// it uses.
    start: Mutex<Option<Box<StartStep>>>,
    /// Whether it is recorded, for those who need not wait for the lock.
    is_begun: AtomicBool,
}

impl StepState {
    /// A step that is recorded elsewhere.
    pub fn attached(step_id: StepId) -> Self {
        Self { step_id, agent: String::new(), start: Mutex::new(None), is_begun: AtomicBool::new(true) }
    }

    /// The start, if it is not recorded yet; `version` is what the step uses if nothing else was said.
    ///
    /// `push` is called under the lock: what comes after the start must not overtake it.
    pub fn begin(&self, version: Option<&str>, push: impl FnOnce(StartStep)) {
        if self.is_begun.load(Ordering::Acquire) {
            return;
        }
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut step) = start.take() {
            if step.prompt_version.is_none() {
                step.prompt_version = version.map(str::to_owned);
            }
            push(*step);
            self.is_begun.store(true, Ordering::Release);
        }
    }
}

/// A step. Dropped without [`Step::finish`], by an error or a panic, it is recorded as abandoned.
///
/// It is a [`Context`]: calls are recorded through it.
pub struct Step {
    context: Context,
    is_finished: bool,
}

impl Step {
    /// Finishes it now. A status that is no end, such as `running`, is warned of and recorded as abandoned.
    pub fn finish(mut self, status: Status) {
        self.end(status);
    }

    fn end(&mut self, status: Status) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        self.context.begin_step(None);
        let status = context::final_status(&self.context, "step", status);
        let Some(step_id) = self.context.step_id() else { return };
        let completed_at = Some(self.context.recorder().now());
        let run_id = self.context.run_id();
        self.context.recorder().push(Event::FinishStep(FinishStep { run_id, step_id, status, completed_at }));
    }
}

impl Deref for Step {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end(Status::Abandoned);
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Step").field(&self.context.step_id()).finish()
    }
}
