//! What the handles and the flusher share.

use super::door::LazyGuard;
use super::metrics::{Counters, Metrics};
use super::queue::Queue;
use super::settings::Settings;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// What the handles and the flusher share.
pub(super) struct Shared {
    pub settings: Settings,
    pub queue: Queue,
    pub counters: Counters,
    pub guard: LazyGuard,
    progress: watch::Sender<Progress>,
    /// By when a shutdown must be over, once there is one.
    deadline: Mutex<Option<Instant>>,
}

/// How far the flusher is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Up to this number every event is on disk or in the ledger.
    pub safe: u64,
    /// The flusher has ended.
    pub ended: bool,
}

impl Shared {
    pub fn new(settings: Settings) -> Self {
        Self {
            queue: Queue::new(settings.queue_events, settings.queue_bytes, settings.batch_events),
            counters: Counters::default(),
            guard: LazyGuard::new(settings.guard.clone()),
            progress: watch::Sender::new(Progress::default()),
            deadline: Mutex::new(None),
            settings,
        }
    }

    pub fn metrics(&self) -> Metrics {
        let accepted = self.queue.accepted();
        self.counters.read(accepted, accepted.saturating_sub(self.safe()))
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub fn safe(&self) -> u64 {
        self.progress.borrow().safe
    }

    pub fn set_safe(&self, number: u64) {
        self.progress.send_if_modified(|progress| {
            let is_further = number > progress.safe;
            progress.safe = progress.safe.max(number);
            is_further
        });
    }

    pub fn set_ended(&self) {
        self.queue.close();
        self.progress.send_modify(|progress| progress.ended = true);
    }

    pub fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the shutdown; an earlier deadline stays.
    pub fn close(&self, deadline: Instant) {
        let mut slot = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(slot.map_or(deadline, |earlier| earlier.min(deadline)));
        drop(slot);
        self.queue.close();
    }
}
