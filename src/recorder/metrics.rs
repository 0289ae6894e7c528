//! What a recorder has done, in numbers.

use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The counters of a recorder since it started, from [`super::Recorder::metrics`]. Most are numbers of events: runs, steps,
/// calls, finishes and decisions of the guard.
///
/// `accepted` = `delivered` + `set_aside` + `waiting` + what is on its way; `dropped` are beside them.
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let mut settings = asmm::recorder::Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
/// # let recorder = asmm::recorder::Recorder::connect(settings);
/// let run = recorder.run("enrichment").start();
/// recorder.flush(std::time::Duration::from_secs(5)).await;
/// let metrics = recorder.metrics();
/// assert_eq!(metrics.queued, 0);
/// if metrics.dropped > 0 {
///     eprintln!("{} events are lost: {:?}", metrics.dropped, metrics.last_error);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Events that the pipeline recorded and the recorder took.
    pub accepted: u64,
    /// Events that are in memory now, neither on disk nor in the ledger.
    pub queued: u64,
    /// Events that are in the ledger.
    pub delivered: u64,
    /// Events that went to the spool, some of which are delivered by now.
    pub spooled: u64,
    /// Events of this recorder that are in the spool now.
    pub in_spool: u64,
    /// Events that named a run, step or prompt that the ledger did not know yet, and were left in the spool for later.
    pub waiting: u64,
    /// Events that the ledger refused, or that were damaged on disk: set aside with their reason.
    pub set_aside: u64,
    /// Events that are lost: memory and disk were full, or the pipeline ended before either took them.
    pub dropped: u64,
    /// Events of other processes that this recorder found in the spool and delivered.
    pub adopted: u64,
    /// Attempts to reach the ledger that failed.
    pub failures: u64,
    /// Calls for which the budgets were asked, and which fit.
    #[serde(default)]
    pub granted: u64,
    /// Calls that a budget has refused.
    #[serde(default)]
    pub refused: u64,
    /// Calls for which the ledger did not answer in time, or could not know; what they did then is [`super::Fail`].
    #[serde(default)]
    pub unanswered: u64,
    /// Whether the ledger took what it was last sent.
    pub is_connected: bool,
    /// What last went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What a recorder leaves beside the spool for `asmm doctor`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub process: u32,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
    pub level: String,
    pub is_running: bool,
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// The counters while they change.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub delivered: AtomicU64,
    pub spooled: AtomicU64,
    pub in_spool: AtomicU64,
    pub waiting: AtomicU64,
    pub set_aside: AtomicU64,
    pub dropped: AtomicU64,
    pub adopted: AtomicU64,
    pub failures: AtomicU64,
    pub granted: AtomicU64,
    pub refused: AtomicU64,
    pub unanswered: AtomicU64,
    pub is_connected: std::sync::atomic::AtomicBool,
    last_error: Mutex<Option<String>>,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl Counters {
    pub fn note_error(&self, error: &str) {
        let masked = crate::guard::mask_secrets(error).clone();
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(masked);
    }

    /// The numbers now; `accepted` and `queued` are the queue's.
    pub fn read(&self, accepted: u64, queued: u64) -> Metrics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            accepted,
            queued,
            delivered: of(&self.delivered),
            spooled: of(&self.spooled),
            in_spool: of(&self.in_spool),
            waiting: of(&self.waiting),
            set_aside: of(&self.set_aside),
            dropped: of(&self.dropped),
            adopted: of(&self.adopted),
            failures: of(&self.failures),
            granted: of(&self.granted),
            refused: of(&self.refused),
            unanswered: of(&self.unanswered),
            is_connected: self.is_connected.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
