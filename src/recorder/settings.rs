//! How a recorder works.

use super::spool;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::guard::Policy;
use crate::settings;
use crate::store::Location;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// When a call counts as safe, and so what a crash of the pipeline can take with it. In settings `buffered` or `durable`:
/// `ASMM_RECORDER_LEVEL`, or `recorder: {level: durable}` in `asmm.yaml`.
///
/// ```
/// use asmm::recorder::Level;
///
/// assert_eq!("durable".parse::<Level>()?, Level::Durable);
/// assert_eq!(Level::default(), Level::Buffered);
/// # Ok::<(), asmm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Events wait in memory until a batch is sent, a tenth of a second at most while the ledger answers. A pipeline
    /// that is killed loses those; one that ends or panics loses none.
    #[default]
    Buffered,
    /// Every event goes to disk first and is synced there, in groups. What a [`super::Receipt`] was awaited for is
    /// never lost, whatever happens to the pipeline, the ledger or the machine's power.
    Durable,
}

impl Level {
    /// The word in settings.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Durable => "durable",
        }
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        match code {
            "buffered" => Ok(Self::Buffered),
            "durable" => Ok(Self::Durable),
            _ => Err(Error::usage(format!("`{code}` is no level of the recorder"))
                .hint("it is buffered or durable")),
        }
    }
}

/// What it means when the ledger does not answer in time whether a call fits into its budgets, or cannot know as its price
/// is unknown: `ASMM_RESERVE_FAIL`, or `recorder: {reserve_fail: closed}` in `asmm.yaml`.
///
/// ```
/// use asmm::recorder::Fail;
///
/// assert_eq!("closed".parse::<Fail>()?, Fail::Closed);
/// assert_eq!(Fail::default(), Fail::Open);
/// # Ok::<(), asmm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fail {
    /// The call may be made: a warning says so, and it is counted.
    #[default]
    Open,
    /// It may not.
    Closed,
}

impl FromStr for Fail {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        match code {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => {
                let shown: String = code.chars().take(60).collect();
                Err(Error::usage(format!("`{shown}` is no way to fail")).hint("it is open or closed"))
            }
        }
    }
}

/// How a recorder works. [`Settings::new`] has the defaults, [`Settings::from_env`] what the project has set.
///
/// ```
/// use asmm::recorder::{Level, Settings};
/// use std::time::Duration;
///
/// let mut settings = Settings::new("postgres://asmm@db.internal/llm", "asmm");
/// settings.level = Level::Durable;
/// settings.spool_max_bytes = 256 << 20;
/// settings.prompt_patience = Duration::from_millis(500);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The ledger.
    pub location: Location,
    /// When a call counts as safe.
    pub level: Level,
    /// The guard's policy.
    pub guard: Policy,
    /// The folder of spools; none is the user's state folder (`XDG_STATE_HOME`).
    pub spool_home: Option<PathBuf>,
    /// The most that waits on disk for this ledger, in bytes: 1 GiB. What comes after that is dropped and counted.
    pub spool_max_bytes: u64,
    /// The most events that wait in memory: 65,536. The flusher holds at most as many again.
    pub queue_events: usize,
    /// The most bytes that events in memory hold: 64 MiB.
    pub queue_bytes: usize,
    /// The most events that are sent at once: 4,000.
    pub batch_events: usize,
    /// How long an event waits for others to be sent with: 100 ms.
    pub batch_age: Duration,
    /// How long the ledger may take for a batch before it counts as out of reach: 10 s.
    pub patience: Duration,
    /// Over how many connections a batch is sent, for Postgres: 2.
    pub connections: usize,
    /// How long [`super::Context::prompt`] waits for a version that is not at hand: 2 s.
    pub prompt_patience: Duration,
    /// How long a label, such as `name@production`, is taken to mean the same version before it is asked for again in
    /// the background: 30 s. After a ledger did not answer it is not waited for again for as long, but 5 s at most.
    pub prompt_refresh: Duration,
    /// What an unanswered [`super::Context::reserve`] means, unless it says so itself: the call may be made.
    pub reserve_fail: Fail,
    /// How long it waits for the ledger's answer: 500 ms. After one that did not come it does not wait again for 5 s.
    pub reserve_patience: Duration,
    /// The clock.
    pub clock: Clock,
}

impl Settings {
    /// The defaults, for this ledger: `postgres://…` or `sqlite:PATH`, and a Postgres schema.
    #[must_use]
    pub fn new(url: impl Into<String>, schema: impl Into<String>) -> Self {
        let mut location = Location::new(url, schema);
        location.patience = Duration::from_secs(5);
        Self {
            location,
            level: Level::default(),
            guard: Policy::default(),
            spool_home: None,
            spool_max_bytes: spool::MAX_BYTES,
            queue_events: 1 << 16,
            queue_bytes: 64 << 20,
            batch_events: 4_000,
            batch_age: Duration::from_millis(100),
            patience: Duration::from_secs(10),
            connections: 2,
            prompt_patience: Duration::from_secs(2),
            prompt_refresh: Duration::from_secs(30),
            reserve_fail: Fail::Open,
            reserve_patience: Duration::from_millis(500),
            clock: Clock::System,
        }
    }

    /// As the program finds them: `ASMM_DATABASE_URL`, `ASMM_SCHEMA`, `ASMM_RECORDER_LEVEL`, `ASMM_SPOOL_MAX_BYTES`,
    /// `ASMM_RESERVE_FAIL`, `ASMM_RESERVE_PATIENCE_MS`, then `asmm.yaml` from the working directory upward, then the defaults (one SQLite file per user).
    ///
    /// # Errors
    /// When `asmm.yaml` or a variable cannot be read, or there is no home for a ledger.
    ///
    /// ```no_run
    /// use asmm::recorder::{Recorder, Settings};
    ///
    /// // To stop where the settings are wrong; `Recorder::from_env` warns, and records all the same.
    /// let recorder = Recorder::connect(Settings::from_env()?);
    /// # Ok::<(), asmm::Error>(())
    /// ```
    pub fn from_env() -> Result<Self> {
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (file, _) = settings::find(&std::env::current_dir().unwrap_or_default())?;
        let url = match given("ASMM_DATABASE_URL").or(file.database) {
            Some(url) => url,
            None => settings::default_database()?,
        };
        let schema = given("ASMM_SCHEMA").or(file.schema).unwrap_or_else(|| "asmm".to_owned());
        let mut settings = Self::new(url, schema);
        settings.guard = file.guard;
        settings.clock = Clock::from_setting(given("ASMM_NOW").as_deref())?;
        settings.level = match given("ASMM_RECORDER_LEVEL") {
            Some(level) => level.parse().map_err(|e: Error| e.at("ASMM_RECORDER_LEVEL"))?,
            None => file.recorder.level.unwrap_or_default(),
        };
        settings.spool_max_bytes = file.recorder.spool_max_bytes()?;
        settings.reserve_fail = file.recorder.reserve_fail()?;
        settings.reserve_patience = file.recorder.reserve_patience()?.unwrap_or(settings.reserve_patience);
        Ok(settings)
    }
}

/// `recorder:` in `asmm.yaml`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RecorderFile {
    /// When a call counts as safe.
    pub level: Option<Level>,
    /// The most that waits on disk for one ledger, in bytes.
    pub spool_max_bytes: Option<u64>,
    /// What an unanswered reservation means.
    pub reserve_fail: Option<Fail>,
    /// How long a reservation waits for the ledger, in milliseconds.
    pub reserve_patience_ms: Option<u64>,
}

impl RecorderFile {
    /// What an unanswered reservation means: as the environment says, else the file, else open.
    ///
    /// # Errors
    /// When the environment says neither.
    pub fn reserve_fail(&self) -> Result<Fail> {
        match std::env::var("ASMM_RESERVE_FAIL").ok().filter(|value| !value.is_empty()) {
            Some(text) => text.parse().map_err(|e: Error| e.at("ASMM_RESERVE_FAIL")),
            None => Ok(self.reserve_fail.unwrap_or_default()),
        }
    }

    /// How long a reservation waits for the ledger, if the environment or the file says so.
    ///
    /// # Errors
    /// When the environment says no number.
    pub fn reserve_patience(&self) -> Result<Option<Duration>> {
        let milliseconds = match std::env::var("ASMM_RESERVE_PATIENCE_MS")
            .ok()
            .filter(|value| !value.is_empty())
        {
            Some(text) => Some(text.parse().map_err(|_| {
                let shown: String = text.chars().take(60).collect();
                Error::usage(format!("`{shown}` (ASMM_RESERVE_PATIENCE_MS) is not a number of milliseconds"))
                    .hint("write digits only: 500")
            })?),
            None => self.reserve_patience_ms,
        };
        Ok(milliseconds.map(Duration::from_millis))
    }

    /// The most that waits on disk for one ledger, in bytes: as the environment says, else the file, else the default.
    ///
    /// # Errors
    /// When the environment says no number.
    pub fn spool_max_bytes(&self) -> Result<u64> {
        match std::env::var("ASMM_SPOOL_MAX_BYTES").ok().filter(|value| !value.is_empty()) {
            Some(text) => text.parse().map_err(|_| {
                let shown: String = text.chars().take(60).collect();
                Error::usage(format!("`{shown}` (ASMM_SPOOL_MAX_BYTES) is not a number of bytes"))
                    .hint("write digits only: 1073741824 for 1 GiB")
            }),
            None => Ok(self.spool_max_bytes.unwrap_or(spool::MAX_BYTES)),
        }
    }
}
