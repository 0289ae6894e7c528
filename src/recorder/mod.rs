//! The fail-open client for pipelines: whatever happens to the database, the pipeline runs on, and no call is lost or
//! counted twice.
//!
//! ```no_run
//! use asmm::domain::{Status, TokenUsage};
//! use asmm::recorder::Recorder;
//! use serde_json::json;
//! use std::time::Duration;
//!
//! # async fn pipeline() -> asmm::Result<()> {
//! let recorder = Recorder::from_env();
//! let run = recorder.run("enrichment").label("team", "data").start();
//! let step = run.step("summarise").agent("writer").start();
//! let prompt = step.prompt("enrichment/company-summary@production")?.render(json!({"company": "Acme"}))?;
//!
//! let response = send(prompt.messages()).await;
//! step.call("openai", "gpt-4o").reported(TokenUsage::from_openai(&response["usage"])).prompt(&prompt).record();
//!
//! step.finish(Status::Succeeded);
//! run.finish(Status::Succeeded);
//! recorder.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! # async fn send(_: &[asmm::prompt::RenderedMessage]) -> serde_json::Value { json!({}) }
//! ```
//!
//! # What is guaranteed
//!
//! Nothing that records can fail, and nothing waits for the network or the disk: events go into a bounded queue, and a
//! thread of the recorder's own delivers them, on a runtime of its own. Only [`Context::prompt`] and [`Prompt::render`] may
//! wait, at the first use of a version or of a run that was started elsewhere, and for two seconds at most: without its
//! words there is nothing to send. [`ReserveBuilder::ask`] waits half a second at most for the budgets' answer.
//!
//! | what happens | [`Level::Buffered`] (default) | [`Level::Durable`] |
//! |---|---|---|
//! | the ledger is slow, hangs, or is gone | goes to disk after a second at most, is delivered when it is back | is on disk already |
//! | the pipeline ends or panics | nothing is lost: dropping the last handle waits, two seconds at most | the same |
//! | the pipeline is killed | up to a second of events can be lost | nothing is lost that a [`Receipt`] was awaited for |
//! | the machine loses power | the same | the same |
//! | disk and memory are both full | new events are dropped, counted and warned of | the same |
//!
//! What was delivered twice counts once: every event has an id, made here, once.
//!
//! # Across tasks, processes and machines
//!
//! A [`Context`] says which run and step the work belongs to. It is cheap to clone, and travels: within a process by
//! [`Context::scope`] and [`spawn`], to other processes by [`Context::env`], over HTTP by [`Context::inject`] and
//! [`Recorder::extract`].

mod breaker;
mod call;
mod context;
mod door;
mod flusher;
mod headers;
mod metrics;
mod prompts;
mod queue;
mod receipt;
mod reserve;
mod run;
mod settings;
mod shared;
pub(crate) mod spool;
mod step;
mod tokens;
#[cfg(feature = "tower")]
mod tower;
mod warn;

pub use call::CallBuilder;
pub use context::{Context, in_current, spawn};
pub(crate) use door::{Door, LazyGuard};
pub use headers::Carrier;
pub use metrics::Metrics;
pub(crate) use metrics::Report;
pub use prompts::{Prompt, RenderedPrompt};
pub(crate) use queue::size_of_texts;
pub use receipt::Receipt;
pub use reserve::{Reservation, ReserveBuilder};
pub use run::{Run, RunBuilder};
pub(crate) use settings::RecorderFile;
pub use settings::{Fail, Level, Settings};
pub use step::{Step, StepBuilder};
#[cfg(feature = "tower")]
pub use tower::{RecorderLayer, RecorderService, ResponseFuture};

use crate::domain::{Event, RunId, StepId};
use crate::error::Result;
use flusher::Flusher;
use prompts::PromptCache;
use reserve::Asking;
use shared::Shared;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tokens::TokenBook;
use warn::Warning;

/// How long the last handle that is dropped waits for what it recorded to be safe.
const AT_DROP: Duration = Duration::from_secs(1);

/// Records what a pipeline does. Cheap to clone: all clones are one recorder, with one thread and one queue.
///
/// Recording takes about a microsecond, never waits and never fails. Dropping the last clone, run, step or context shuts
/// the recorder down and blocks its thread while it delivers, for a second or so and two at most; an async pipeline had
/// better call [`Recorder::shutdown`], which waits without blocking. A process that is forked must make a new one.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    prompts: Arc<PromptCache>,
    asking: Asking,
    tokens: TokenBook,
    warning: Mutex<Warning>,
    /// Closes when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// What [`Recorder::flush`] and [`Recorder::shutdown`] answer.
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// let flushed = recorder.shutdown(std::time::Duration::from_secs(5)).await;
/// if !flushed.is_safe || flushed.dropped > 0 {
///     eprintln!("{} events are lost", flushed.dropped);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// Whether everything that was recorded before is in the ledger or on disk.
    pub is_safe: bool,
    /// Events that wait on disk for the ledger.
    pub in_spool: u64,
    /// Events that are lost since the recorder started.
    pub dropped: u64,
}

impl Recorder {
    /// Starts a recorder for the ledger that the environment and `asmm.yaml` name: see [`Settings::from_env`]. Never fails
    /// and never waits for the network; `asmm.yaml` is read here.
    ///
    /// When those cannot be read it warns, and records into the ledger that `ASMM_DATABASE_URL` names, or else the one
    /// of this user.
    ///
    /// ```no_run
    /// use asmm::recorder::Recorder;
    ///
    /// // ASMM_DATABASE_URL=postgres://… ASMM_RECORDER_LEVEL=durable
    /// let recorder = Recorder::from_env();
    /// ```
    #[must_use]
    pub fn from_env() -> Self {
        let settings = Settings::from_env().unwrap_or_else(|error| {
            tracing::warn!(target: "asmm::recorder", "{error}; the settings are not used");
            let url = std::env::var("ASMM_DATABASE_URL").ok().filter(|url| !url.is_empty());
            let url = url.or_else(|| crate::settings::default_database().ok());
            Settings::new(url.unwrap_or_else(|| "sqlite:asmm-ledger.db".to_owned()), "asmm")
        });
        Self::connect(settings)
    }

    /// Starts a recorder. Never fails and never waits for the network: the connection is made in the background. What is
    /// wrong with the ledger shows in warnings, in [`Recorder::metrics`] and in `asmm doctor`.
    ///
    /// A SQLite file is made and migrated if need be; a Postgres ledger is prepared with `asmm migrate`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use asmm::recorder::{Level, Recorder, Settings};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
    /// let mut settings = Settings::new(url, "asmm");
    /// settings.level = Level::Durable;
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// let recorder = Recorder::connect(settings);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connect(settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(settings));
        let (requests, receiver) = tokio::sync::mpsc::channel(256);
        let asking = Asking::new(requests.clone());
        let prompts = Arc::new(PromptCache::new(&shared.settings, requests));
        let (end, ended) = mpsc::channel();
        let guard = EndGuard { shared: Arc::clone(&shared), _end: end };
        let spawned = std::thread::Builder::new().name("asmm-recorder".to_owned()).spawn(move || {
            let shared = Arc::clone(&guard.shared);
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    runtime.block_on(async { Flusher::new(shared, receiver).run().await });
                    runtime.shutdown_background();
                }
                Err(error) => tracing::warn!(target: "asmm::recorder", "the recorder cannot start: {error}"),
            }
            drop(guard);
        });
        if let Err(error) = spawned {
            tracing::warn!(target: "asmm::recorder", "the recorder cannot start: {error}");
        }
        let inner = Inner {
            shared,
            prompts,
            asking,
            tokens: TokenBook::default(),
            warning: Mutex::default(),
            ended: Mutex::new(ended),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A run of `pipeline`, to be started. It starts now, by the recorder's clock, and its parent is the run of
    /// [`Recorder::context`], if there is one.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::domain::Status;
    ///
    /// let run = recorder.run("enrichment").label("team", "data").start();
    /// run.finish(Status::Succeeded);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, pipeline: impl Into<String>) -> RunBuilder {
        RunBuilder::new(self.clone(), pipeline.into())
    }

    /// A run that somebody else has started, or will have, and perhaps a step of it. Nothing is recorded by this, and nobody
    /// is asked whether there is such a run: what names one that is never started waits in the spool.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::domain::{RunId, TokenUsage};
    ///
    /// # let text = "0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60";
    /// let run_id: RunId = text.parse()?;
    /// let context = recorder.attach(run_id, None);
    /// let usage = TokenUsage { input: 1000, output: 10, ..TokenUsage::default() };
    /// context.call("openai", "gpt-4o").usage(usage).record();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn attach(&self, run_id: RunId, step_id: Option<StepId>) -> Context {
        Context::attached(self.clone(), run_id, step_id)
    }

    /// Where this work belongs: the task's own context ([`Context::scope`]), else the one that the parent process has
    /// handed on in `ASMM_RUN_ID` and `ASMM_STEP_ID` ([`Context::env`], `asmm runs exec`). Ids there that cannot be read are
    /// warned of.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// // A worker that others start: on their run if they have one, else on one of its own.
    /// let mut own = None;
    /// let context = match recorder.context() {
    ///     Some(context) => context,
    ///     None => own.insert(recorder.run("worker").start()).clone(),
    /// };
    /// # let _ = context.run_id();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn context(&self) -> Option<Context> {
        Context::current().or_else(|| Context::from_env(self))
    }

    /// Where the work belongs that a request asks for, if its headers say so: `baggage`, else a `traceparent` whose trace id
    /// is a run of the last 30 days. It does not ask the ledger.
    ///
    /// Whoever sends the request chooses the run: take it from your own services only, and not from the open internet. With
    /// the feature `tower` there is a layer that does this for every request.
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use std::collections::HashMap;
    ///
    /// let run = recorder.run("enrichment").start();
    /// let mut headers = HashMap::new();
    /// run.inject(&mut headers);
    ///
    /// // In the other service, which has a recorder of its own.
    /// let context = recorder.extract(&headers).expect("they name a run");
    /// assert_eq!(context.run_id(), run.run_id());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn extract(&self, carrier: &impl Carrier) -> Option<Context> {
        headers::extract(carrier, self.now()).map(|(run_id, step_id)| self.attach(run_id, step_id))
    }

    /// Fetches prompt versions beforehand, so that [`Context::prompt`] has them at hand and does not wait. Takes as long as
    /// the ledger does, and [`Settings::prompt_patience`] a version at most; it does not block the thread.
    ///
    /// # Errors
    /// Of the first that cannot be had: `NotFound` when there is no such version; of the ledger when that does not answer in
    /// time and no process of this machine has fetched the version before.
    /// ```no_run
    /// # async fn example(recorder: asmm::recorder::Recorder) -> asmm::Result<()> {
    /// recorder.load_prompts(["enrichment/company-summary@production", "enrichment/industry@3"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn load_prompts<R: AsRef<str>>(&self, references: impl IntoIterator<Item = R>) -> Result<()> {
        for reference in references {
            self.inner.prompts.load(reference.as_ref()).await?;
        }
        Ok(())
    }

    /// What the recorder has done so far. Asks nobody, and takes about a microsecond.
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// recorder.run("enrichment").start();
    /// recorder.flush(std::time::Duration::from_secs(5)).await;
    /// let metrics = recorder.metrics();
    /// // A run that is started, and one that is dropped.
    /// assert_eq!((metrics.accepted, metrics.dropped), (2, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.inner.shared.metrics()
    }

    /// Waits until everything that was recorded before is safe: in the ledger, or on disk. `within` bounds the wait; the
    /// recorder works on. For moments that matter, such as before an answer is given; at the end use [`Recorder::shutdown`].
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// let run = recorder.run("enrichment").start();
    /// let flushed = recorder.flush(std::time::Duration::from_secs(5)).await;
    /// assert!(flushed.is_safe);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn flush(&self, within: Duration) -> Flushed {
        let mut progress = self.inner.shared.progress();
        let last = self.inner.shared.queue.hurry();
        let reached = progress.wait_for(|progress| progress.safe >= last || progress.ended);
        let _ = tokio::time::timeout(within, reached).await;
        self.flushed(last)
    }

    /// Delivers what was recorded, puts on disk what cannot be delivered `within` that time, and ends. Answers as soon as that
    /// is done, and a second after `within` at the latest. It ends for all clones: what they record later is dropped and
    /// counted.
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
    /// # settings.spool_home = Some(folder.path().join("spool"));
    /// # let recorder = asmm::recorder::Recorder::connect(settings);
    /// use asmm::domain::Status;
    ///
    /// recorder.run("enrichment").start().finish(Status::Succeeded);
    /// let flushed = recorder.shutdown(std::time::Duration::from_secs(5)).await;
    /// assert!(flushed.is_safe && flushed.dropped == 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn shutdown(self, within: Duration) -> Flushed {
        let mut progress = self.inner.shared.progress();
        let last = self.inner.shared.queue.accepted();
        self.inner.shared.close(Instant::now() + within);
        let _ = tokio::time::timeout(within + AT_DROP, progress.wait_for(|progress| progress.ended)).await;
        self.flushed(last)
    }

    fn flushed(&self, last: u64) -> Flushed {
        let metrics = self.metrics();
        Flushed {
            is_safe: self.inner.shared.safe() >= last,
            in_spool: metrics.in_spool,
            dropped: metrics.dropped,
        }
    }

    fn push(&self, event: Event) -> Option<u64> {
        let shared = &self.inner.shared;
        shared.queue.push(event, false, &shared.counters)
    }

    fn now(&self) -> crate::domain::Timestamp {
        self.inner.shared.settings.clock.now()
    }

    /// A warning about what the pipeline recorded.
    fn warn(&self, text: &str) {
        self.inner.warning.lock().unwrap_or_else(PoisonError::into_inner).say(text);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

/// Tells those who wait that the thread has ended, however it did.
struct EndGuard {
    shared: Arc<Shared>,
    _end: mpsc::Sender<()>,
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.shared.set_ended();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close(Instant::now() + AT_DROP);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The sender is dropped with the thread: there is nothing to receive but that.
        let _ = ended.recv_timeout(AT_DROP * 2);
    }
}
