//! What waits for the ledger.
//!
//! A request that meets an idle ledger waits for it. While a transaction is under way, what comes is written to the spool, answered,
//! and held in memory as well, until the next transaction takes all of it: the more comes, the larger transactions get, and what clients
//! split or send twice meets before it is in the ledger. The files stay this process's own until the ledger has what is in them. Whoever
//! delivers the spool next finds them only if it does not get there.

#[cfg(test)]
mod tests;

use super::super::context::say;
use super::metrics::Metrics;
use crate::domain::{Span, Timestamp};
use crate::error::{Error, Result};
use crate::recorder::spool::{Held, Spool};
use crate::store::MAX_BATCH;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// How many spans go into one transaction, unless one request brings more. It follows how long transactions take: others want to
/// write as well.
const FIRST_LIMIT: usize = 4096;
const LEAST_LIMIT: usize = 256;
const LONG: Duration = Duration::from_millis(600);
const SHORT: Duration = Duration::from_millis(300);
/// While this many come at a time, those that nobody waits for are held so long, that more of them go in together.
const MANY: usize = 256;
const LINGER: Duration = Duration::from_millis(100);
/// How much of the memory that all requests may have may be held for one transaction, in KiB.
const MAX_KIB: usize = 16 << 10;
/// How many files are kept to be used again: of the transaction under way, of the one that is prepared, and of what comes.
const SPARE: usize = 3;

/// A request's spans, their share of the memory that all may have, and who waits for them.
pub(super) struct Job {
    pub spans: Vec<Span>,
    pub share: OwnedSemaphorePermit,
    pub answer: oneshot::Sender<Result<()>>,
}

/// Who waits, and for which of the spans.
pub(super) type Waiting = Vec<(Range<usize>, oneshot::Sender<Result<()>>)>;

/// What goes into the ledger in one transaction.
#[derive(Default)]
pub(super) struct Batch {
    pub spans: Vec<Span>,
    /// Those of the spans that are not in the files.
    pub waiting: Waiting,
    pub files: Files,
    /// Since when there is something in it.
    since: Option<Instant>,
    /// Whether what comes next does not go into it.
    is_full: bool,
}

/// Spans of a batch on disk, and the memory that all of it takes.
#[derive(Default)]
pub(super) struct Files {
    held: Vec<Held>,
    /// How many spans are in them.
    spans: u64,
    share: Option<OwnedSemaphorePermit>,
}

/// How much more fits into a batch.
pub(super) struct Room {
    spans: usize,
    kib: usize,
}

impl Room {
    /// Takes the room for a job, if there is so much.
    pub fn take(&mut self, job: &Job) -> bool {
        let left = (self.spans.checked_sub(job.spans.len()), self.kib.checked_sub(job.share.num_permits()));
        let (Some(spans), Some(kib)) = left else { return false };
        *self = Self { spans, kib };
        true
    }
}

impl Files {
    /// How many spans are in them.
    pub fn spans(&self) -> u64 {
        self.spans
    }
}

impl Batch {
    fn room(&self, limit: usize) -> Room {
        let kib = self.files.share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        Room { spans: limit.saturating_sub(self.spans.len()), kib: MAX_KIB.saturating_sub(kib) }
    }

    /// Until when it may be held: nobody waits for it.
    fn lingers_until(&self) -> Option<Instant> {
        self.since.filter(|_| self.waiting.is_empty()).map(|since| since + LINGER)
    }

    fn add(&mut self, job: Job, is_safe: bool) {
        self.since.get_or_insert_with(Instant::now);
        let start = self.spans.len();
        self.spans.extend(job.spans);
        match &mut self.files.share {
            Some(share) => share.merge(job.share),
            None => self.files.share = Some(job.share),
        }
        if is_safe {
            self.files.spans += (self.spans.len() - start) as u64;
            // Whoever asked may have gone away.
            let _ = job.answer.send(Ok(()));
        } else {
            self.waiting.push((start..self.spans.len(), job.answer));
        }
    }
}

/// What waits for the ledger. All that is asked of it is asked by one thread.
pub(super) struct Queue {
    spool: Spool,
    metrics: Arc<Metrics>,
    /// What the next transaction takes.
    next: Mutex<Batch>,
    /// Files that are empty.
    spare: RefCell<Vec<Held>>,
    /// How many batches were taken, and are not done.
    under_way: Cell<usize>,
    limit: Cell<usize>,
    is_closed: Cell<bool>,
    /// Whether many came last.
    is_busy: Cell<bool>,
    /// Whether the spool could not be written last.
    is_broken: Cell<bool>,
    changed: Notify,
}

impl Queue {
    pub fn new(spool: Spool, metrics: Arc<Metrics>) -> Self {
        Self {
            spool,
            metrics,
            next: Mutex::default(),
            spare: RefCell::default(),
            under_way: Cell::new(0),
            limit: Cell::new(FIRST_LIMIT),
            is_closed: Cell::new(false),
            is_busy: Cell::new(false),
            is_broken: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Waits until there is room for a job, and answers how much there is beside it. One that no batch has room for gets one of its own.
    pub async fn make_room(&self, job: &Job) -> Room {
        loop {
            let changed = self.changed.notified();
            let mut next = self.next.lock().await;
            let mut room = next.room(self.limit.get());
            if room.take(job) {
                return room;
            }
            if next.spans.is_empty() {
                return Room { spans: 0, kib: 0 };
            }
            if !next.is_full {
                next.is_full = true;
                self.changed.notify_waiters();
                continue;
            }
            drop(next);
            changed.await;
        }
    }

    /// Takes jobs in, for which there is room: to wait, or, while a transaction is under way or others are held, on disk, and answered.
    pub async fn put(&self, jobs: Vec<Job>, now: Timestamp) {
        let mut next = self.next.lock().await;
        let is_held = self.under_way.get() > 0 || self.is_busy.get() && next.lingers_until().is_some();
        let (jobs, is_safe) = if is_held { self.hold(&mut next, jobs, now).await } else { (jobs, false) };
        if is_safe {
            self.metrics.held(jobs.iter().map(|job| job.spans.len() as u64).sum());
        }
        for job in jobs {
            next.add(job, is_safe);
        }
        next.is_full |= next.spans.len() >= self.limit.get();
        drop(next);
        self.changed.notify_waiters();
    }

    /// Writes jobs to the spool. When that cannot be, they wait for the ledger.
    async fn hold(&self, next: &mut Batch, jobs: Vec<Job>, now: Timestamp) -> (Vec<Job>, bool) {
        let used = next.files.held.pop_if(|file| file.has_room());
        let file = used.or_else(|| self.spare.borrow_mut().pop());
        let spool = self.spool.clone();
        let holding = tokio::task::spawn_blocking(move || {
            let (file, kept) = match file.map_or_else(|| spool.begin_to_hold(), Ok) {
                Ok(mut file) => {
                    let kept = file.keep(jobs.iter().flat_map(|job| &job.spans), now);
                    (Some(file), kept)
                }
                Err(error) => (None, Err(error)),
            };
            (jobs, file, kept)
        });
        let Ok((jobs, file, kept)) = holding.await else {
            // They are not answered, and come again.
            return (Vec::new(), false);
        };
        next.files.held.extend(file);
        let is_safe = *kept.as_ref().unwrap_or(&false);
        if let Err(error) = &kept
            && !self.is_broken.get()
        {
            say(&format!("warning: {error}"));
            say("asmm serve: requests wait for the ledger meanwhile");
        }
        self.is_broken.set(kept.is_err());
        (jobs, is_safe)
    }

    /// What the next transaction takes: as soon as none is under way, a little later while much comes that nobody waits for, and before
    /// that once no more fits. None when nothing is left and nothing comes any more. [`Queue::done`] must follow.
    pub async fn next(&self) -> Option<Batch> {
        loop {
            let changed = self.changed.notified();
            let mut next = self.next.lock().await;
            let is_closed = self.is_closed.get();
            if next.spans.is_empty() {
                drop(next);
                if is_closed {
                    return None;
                }
                changed.await;
                continue;
            }
            let lingers_until =
                next.lingers_until().filter(|until| self.is_busy.get() && *until > Instant::now());
            let is_time = self.under_way.get() == 0 && lingers_until.is_none();
            if is_time || next.is_full || is_closed {
                let batch = std::mem::take(&mut *next);
                drop(next);
                self.is_busy.set(batch.spans.len() >= MANY);
                self.under_way.set(self.under_way.get() + 1);
                self.changed.notify_waiters();
                return Some(batch);
            }
            drop(next);
            match lingers_until {
                // Woken early or not: it is looked at again.
                Some(until) => drop(tokio::time::timeout_at(until, changed).await),
                None => changed.await,
            }
        }
    }

    /// A transaction took so long: the next ones are to be neither long nor small.
    pub fn pace(&self, spans: usize, time: Duration) {
        let limit = self.limit.get();
        if time > LONG {
            self.limit.set((limit / 2).max(LEAST_LIMIT));
        } else if time < SHORT && spans > limit / 2 {
            self.limit.set((limit * 2).min(MAX_BATCH));
        }
    }

    /// A batch is in the ledger; or its files are left to whoever delivers the spool.
    pub fn done(&self, files: Files, is_in_ledger: bool) {
        self.metrics.not_held(files.spans);
        for file in files.held.into_iter().filter(|_| is_in_ledger) {
            match file.done() {
                Ok(file) => self.spare.borrow_mut().extend(file),
                Err(error) => left_behind(&error),
            }
        }
        self.remove_spare(SPARE);
        self.under_way.set(self.under_way.get() - 1);
        self.changed.notify_waiters();
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.changed.notify_waiters();
    }

    /// Removes empty files, but for so many.
    pub fn remove_spare(&self, but: usize) {
        while self.spare.borrow().len() > but
            && let Some(file) = self.spare.borrow_mut().pop()
        {
            if let Err(error) = file.remove() {
                left_behind(&error);
            }
        }
    }
}

fn left_behind(error: &Error) {
    tracing::warn!("{error}; what is in it is delivered again, which changes nothing");
}
