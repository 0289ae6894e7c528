//! A run: one execution of a pipeline.

use super::context::Context;
use super::{Recorder, context};
use crate::domain::{Event, FinishRun, RunId, StartRun, Status};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use uuid::Uuid;

/// A run to be started, from [`Recorder::run`]. Dropped without [`RunBuilder::start`] it is nothing.
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// use asmm::domain::{RunId, Status};
///
/// # let text = "0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60";
/// // An id of the scheduler's: a job that is tried again is the same run.
/// let run_id: RunId = text.parse()?;
/// let run = recorder.run("enrichment").id(run_id).label("team", "data").parent(None).start();
/// run.finish(Status::Succeeded);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is recorded before `start`"]
pub struct RunBuilder {
    recorder: Recorder,
    run: StartRun,
}

impl RunBuilder {
    pub(super) fn new(recorder: Recorder, pipeline: String) -> Self {
        let started_at = recorder.now();
        let run = StartRun {
            run_id: RunId(Uuid::now_v7()),
            pipeline,
            started_at,
            labels: BTreeMap::new(),
            parent_run_id: recorder.context().map(|context| context.run_id()),
            replay_of: None,
        };
        Self { recorder, run }
    }

    /// A word to find it by. A label said twice is what it was said last; a secret in one
    /// is masked.
    pub fn label(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.run.labels.insert(name.into(), text.into());
        self
    }

    /// Its id; else a new one is made, a UUID of version 7. The same id is the same run.
    pub fn id(mut self, run_id: RunId) -> Self {
        self.run.run_id = run_id;
        self
    }

    /// The run that started this one; else it is the run of the current context, if there is one.
    pub fn parent(mut self, run_id: Option<RunId>) -> Self {
        self.run.parent_run_id = run_id;
        self
    }

    /// Starts it: it is recorded, and the time it started at is when [`Recorder::run`] was called. Never waits.
    #[must_use = "a run that is dropped is abandoned"]
    pub fn start(mut self) -> Run {
        let id = self.run.run_id;
        // A shell exports ASMM_RUN_ID and then starts that run.
        self.run.parent_run_id = self.run.parent_run_id.filter(|parent| *parent != id);
        let (pipeline, labels) = (self.run.pipeline.clone(), self.run.labels.clone());
        self.recorder.push(Event::Run(self.run));
        Run { context: Context::of_run(self.recorder, id, pipeline, labels), is_finished: false }
    }
}

/// A run. Dropped without [`Run::finish`], by an error or a panic, it is recorded as abandoned.
///
/// It is a [`Context`]: steps and calls are recorded through it, before it is finished or after.
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// use asmm::domain::{Status, TokenUsage};
///
/// let run = recorder.run("enrichment").start();
/// let usage = TokenUsage { input: 1000, output: 10, ..TokenUsage::default() };
/// run.call("openai", "gpt-4o").usage(usage).record();
/// run.finish(Status::Succeeded);
/// # Ok(())
/// # }
/// ```
pub struct Run {
    context: Context,
    is_finished: bool,
}

impl Run {
    /// Finishes it now: its cost is computed and stored. A status that is no end, such as `running`, is warned of and recorded
    /// as abandoned.
    pub fn finish(mut self, status: Status) {
        self.end(status);
    }

    fn end(&mut self, status: Status) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        let status = context::final_status(&self.context, "run", status);
        let completed_at = Some(self.context.recorder().now());
        let run_id = self.context.run_id();
        self.context.recorder().push(Event::Finish(FinishRun { run_id, status, completed_at }));
    }
}

impl Deref for Run {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end(Status::Abandoned);
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Run").field(&self.context.run_id()).finish()
    }
}
