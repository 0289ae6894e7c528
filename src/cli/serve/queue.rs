//! What waits for the ledger.
//!
//! A request that meets an idle ledger waits for it. While a transaction is under way, what comes is written to the spool, answered,
//! and held in memory as well, until the next transaction takes all of it: the more comes, the larger transactions get, and what clients
//! split or send twice meets before it is in the ledger. The files stay this process's own until the ledger has what is in them. Whoever
//! delivers the spool next finds them only if it does not get there.

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

/// How many spans go into one transaction, unless one request brings more. It follows how long transactions take: others want to
/// write as well.
const FIRST_LIMIT: usize = 4096;
const LEAST_LIMIT: usize = 256;
const LONG: Duration = Duration::from_millis(600);
const SHORT: Duration = Duration::from_millis(300);
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
    /// Whether what comes next does not go into it.
    is_full: bool,
}

/// Spans of a batch on disk, and the memory that all of it takes.
#[derive(Default)]
pub(super) struct Files {
    files: Vec<Held>,
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

    fn add(&mut self, job: Job, is_safe: bool) {
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

    /// Takes jobs in, for which there is room: to wait, or, while a transaction is under way, on disk, and answered.
    pub async fn put(&self, jobs: Vec<Job>, now: Timestamp) {
        let mut next = self.next.lock().await;
        let (jobs, is_safe) = match self.under_way.get() {
            0 => (jobs, false),
            _ => self.hold(&mut next, jobs, now).await,
        };
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
        let used = next.files.files.pop_if(|file| file.has_room());
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
        next.files.files.extend(file);
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

    /// What the next transaction takes: as soon as none is under way, and before that once no more fits. None when nothing is left
    /// and nothing comes any more. [`Queue::done`] must follow.
    pub async fn next(&self) -> Option<Batch> {
        loop {
            let changed = self.changed.notified();
            let mut next = self.next.lock().await;
            let is_time = self.under_way.get() == 0 || next.is_full || self.is_closed.get();
            if is_time && !next.spans.is_empty() {
                let batch = std::mem::take(&mut *next);
                self.under_way.set(self.under_way.get() + 1);
                drop(next);
                self.changed.notify_waiters();
                return Some(batch);
            }
            if self.is_closed.get() && next.spans.is_empty() {
                return None;
            }
            drop(next);
            changed.await;
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
        for file in files.files.into_iter().filter(|_| is_in_ledger) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SpanId;
    use crate::store::Location;
    use futures_util::FutureExt;
    use tokio::sync::Semaphore;
    use uuid::Uuid;

    fn now() -> Timestamp {
        Timestamp::from_micros(1_795_370_000_000_000)
    }

    /// A request of so many spans that takes so much of the memory, and its answer.
    fn job(memory: &Arc<Semaphore>, spans: usize, kib: u32) -> (Job, oneshot::Receiver<Result<()>>) {
        let span = |id: usize| Span {
            trace_id: Uuid::from_u128(1),
            span_id: SpanId((id as u64).to_be_bytes()),
            parent_id: None,
            started_at: now(),
            ended_at: now(),
            name: String::new(),
            scope: String::new(),
            is_error: false,
            pipeline: None,
            agent: None,
            conversation: None,
            run_id: None,
            step_id: None,
            prompt_version: None,
            report: None,
        };
        let share = Arc::clone(memory).try_acquire_many_owned(kib).unwrap();
        let (answer, answered) = oneshot::channel();
        (Job { spans: (0..spans).map(span).collect(), share, answer }, answered)
    }

    fn spool(home: &std::path::Path, max_bytes: u64) -> Spool {
        Spool::of(&Location::new("sqlite:x.db", "asmm"), Some(home), max_bytes).unwrap()
    }

    async fn put(queue: &Queue, job: Job) {
        queue.make_room(&job).await;
        queue.put(vec![job], now()).await;
    }

    #[tokio::test]
    async fn what_is_held_is_bounded_and_keeps_its_share_of_the_memory() {
        let home = tempfile::tempdir().unwrap();
        let (memory, metrics) = (Arc::new(Semaphore::new(10_000)), Arc::<Metrics>::default());
        let queue = Queue::new(spool(home.path(), 1 << 30), Arc::clone(&metrics));
        // The first one meets an idle ledger, and waits for it.
        let (first, mut answer) = job(&memory, 100, 100);
        put(&queue, first).await;
        let under_way = queue.next().await.unwrap();
        assert_eq!((under_way.spans.len(), under_way.waiting.len(), under_way.files.spans()), (100, 1, 0));
        assert!(answer.try_recv().is_err());
        // What comes then is answered, and held, as far as there is room.
        for _ in 0..4 {
            let (more, answer) = job(&memory, 1000, 1000);
            put(&queue, more).await;
            assert!(matches!(answer.await, Ok(Ok(()))));
        }
        assert_eq!(memory.available_permits(), 10_000 - 4100);
        assert!(queue.next().now_or_never().is_none());
        let (beyond, mut answer) = job(&memory, 1000, 1000);
        assert!(queue.make_room(&beyond).now_or_never().is_none());
        // Now that no more fits it is prepared, and the next one is gathered.
        let prepared = queue.next().await.unwrap();
        assert_eq!((prepared.spans.len(), prepared.waiting.len(), prepared.files.spans()), (4000, 0, 4000));
        put(&queue, beyond).await;
        assert!(matches!(answer.try_recv(), Ok(Ok(()))));
        assert!(metrics.text().contains("asmm_serve_spans_waiting 5000\n"), "{}", metrics.text());
        assert_eq!(queue.spool.status().unwrap().events, 5000);
        // In the ledger: the memory is free, and the disk.
        queue.done(under_way.files, true);
        queue.done(prepared.files, true);
        assert_eq!(memory.available_permits(), 9000);
        assert_eq!(queue.spool.status().unwrap().events, 1000);
        // Not in the ledger: it is left to whoever delivers the spool.
        let last = queue.next().await.unwrap();
        queue.done(last.files, false);
        let status = queue.spool.status().unwrap();
        assert_eq!((status.events, status.owned, memory.available_permits()), (1000, 0, 10_000));
        queue.close();
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn a_spool_that_takes_nothing_lets_requests_wait_for_the_ledger() {
        let home = tempfile::tempdir().unwrap();
        let memory = Arc::new(Semaphore::new(10_000));
        let queue = Queue::new(spool(home.path(), 0), Arc::default());
        let (first, _) = job(&memory, 1, 1);
        put(&queue, first).await;
        let first = queue.next().await.unwrap();
        let (second, mut answer) = job(&memory, 2, 1);
        put(&queue, second).await;
        assert!(answer.try_recv().is_err());
        queue.done(first.files, true);
        let second = queue.next().await.unwrap();
        assert_eq!((second.spans.len(), second.waiting.len(), second.files.spans()), (2, 1, 0));
    }

    #[tokio::test]
    async fn a_request_that_is_too_large_for_all_gets_a_transaction_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let memory = Arc::new(Semaphore::new(100_000));
        let queue = Queue::new(spool(home.path(), 1 << 30), Arc::default());
        let (large, _) = job(&memory, 2 * MAX_BATCH, 50_000);
        assert!(!queue.make_room(&large).await.take(&job(&memory, 1, 1).0));
        put(&queue, large).await;
        assert_eq!(queue.next().await.unwrap().spans.len(), 2 * MAX_BATCH);
    }

    #[test]
    fn transactions_get_neither_long_nor_small() {
        let home = tempfile::tempdir().unwrap();
        let queue = Queue::new(spool(home.path(), 0), Arc::default());
        for _ in 0..10 {
            queue.pace(queue.limit.get(), SHORT / 2);
        }
        assert_eq!(queue.limit.get(), MAX_BATCH);
        queue.pace(10, SHORT / 2);
        for _ in 0..10 {
            queue.pace(queue.limit.get(), LONG * 2);
        }
        assert_eq!(queue.limit.get(), LEAST_LIMIT);
    }
}
