//! The one thread that delivers: from memory into the ledger while that answers, else by way of the disk.
//!
//! Events leave in the order in which they came in. As long as something of this recorder lies in the spool, what comes
//! in goes behind it. At most one batch is in flight, over several connections; the thread never waits for it, for
//! a sync or for a connection, so that the queue is emptied whatever they do.

mod flight;
mod landing;
mod report;
#[cfg(test)]
mod tests;

use super::breaker::Breaker;
use super::door::Door;
use super::metrics::add;
use super::prompts::Request;
use super::queue::Item;
use super::settings::Level;
use super::shared::Shared;
use super::spool::{Chunk, OwnSpool, Spool};
use super::warn::Warning;
use crate::error::Result;
use crate::store::Store;
use flight::{Flight, Source};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// A batch that is in flight for longer, and what waits behind it, goes to disk meanwhile.
const SPOOL_AFTER: Duration = Duration::from_secs(1);
/// How long after a failure of the disk it is tried again.
const DISK_AGAIN: Duration = Duration::from_secs(1);
/// How often somebody looks for what others left behind; the shorter one while something waits for what it names.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(5);
/// Before the deadline of a shutdown, what is not delivered goes to disk.
const LAST_MOMENT: Duration = Duration::from_millis(200);

/// What the thread knows.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    /// Requests for prompts that wait for a connection.
    asked: Vec<Request>,
    door: Arc<Mutex<Door>>,
    /// For what goes to disk: the other one may be waiting for the ledger.
    disk_door: Door,
    spool: Option<Spool>,
    own: Option<OwnSpool>,
    store: Option<Store>,
    breaker: Breaker,
    /// Taken out of the queue, neither in flight nor on disk.
    held: Vec<Item>,
    /// The number of the last event that was taken out.
    taken: u64,
    /// An empty vector with room, for the queue.
    spare: Vec<Item>,
    flight: Option<Flight>,
    /// Read from the spool ahead of its turn.
    ahead: Option<Chunk>,
    /// A sync that is under way, and the number of the last event it makes safe.
    sync: Option<(JoinHandle<std::io::Result<()>>, u64)>,
    /// The last event that is written to disk, and to be synced.
    written: u64,
    /// A sync has failed: what was written may be on disk or not, whatever later syncs say.
    is_doubtful: bool,
    /// When the oldest event in the queue was seen.
    since: Option<Instant>,
    disk_failed: Option<Instant>,
    next_look: Instant,
    has_looked: bool,
    report: report::Reporter,
    ledger_warning: Warning,
    disk_warning: Warning,
    refused_warning: Warning,
    dropped_warning: Warning,
    dropped_seen: u64,
}

impl Flusher {
    pub fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Request>) -> Self {
        let settings = &shared.settings;
        let mut disk_warning = Warning::default();
        let spool = Spool::of(&settings.location, settings.spool_home.as_deref(), settings.spool_max_bytes);
        let spool = spool.map_err(|error| disk_warning.say(&format!("there is no spool: {error}"))).ok();
        let now = Instant::now();
        Self {
            requests,
            asked: Vec::new(),
            door: Arc::new(Mutex::new(Door::new(shared.guard.clone(), settings.clock))),
            disk_door: Door::new(shared.guard.clone(), settings.clock),
            own: spool.clone().map(OwnSpool::new),
            report: report::Reporter::new(spool.as_ref(), settings),
            spool,
            store: None,
            breaker: Breaker::default(),
            held: Vec::new(),
            taken: 0,
            spare: Vec::with_capacity(settings.queue_events.min(1 << 16)),
            flight: None,
            ahead: None,
            sync: None,
            written: 0,
            is_doubtful: false,
            since: None,
            disk_failed: None,
            next_look: now,
            has_looked: false,
            ledger_warning: Warning::default(),
            disk_warning,
            refused_warning: Warning::default(),
            dropped_warning: Warning::default(),
            dropped_seen: 0,
            shared,
        }
    }

    /// Works until the recorder is shut down.
    pub async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.step(now);
            if self.is_done(now) {
                break;
            }
            let until = self.next_moment(now);
            tokio::select! {
                () = self.shared.queue.bell.notified() => {}
                outcome = landed(&mut self.flight) => self.land(outcome),
                outcome = synced(&mut self.sync) => self.note_sync(outcome),
                Some(fetch) = self.requests.recv() => self.asked.push(fetch),
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
        self.end();
    }

    /// Does whatever can be done now.
    fn step(&mut self, now: Instant) {
        self.note_dropped();
        self.answer_requests();
        let level = self.shared.queue.level();
        self.since = (level.events > 0).then(|| self.since.unwrap_or(now));
        let settings = &self.shared.settings;
        let is_durable = settings.level == Level::Durable;
        let is_due = level.events > 0
            && (level.is_urgent
                || level.is_closed
                || level.events >= settings.batch_events
                || is_durable && self.sync.is_none()
                || self.since.is_some_and(|since| since + settings.batch_age <= now));
        if self.must_spool(now, level.is_high, is_durable) {
            // What was taken before comes before what is taken now.
            self.write_to_disk(now);
            if self.held.is_empty() && (is_due || level.is_high) && !self.has_disk_failed(now) {
                self.take();
                self.write_to_disk(now);
            }
        } else if self.flight.is_none() && self.held.is_empty() && is_due {
            self.take();
        }
        if self.flight.is_none() && self.breaker.may_try(now) {
            self.launch(now);
        }
        self.start_sync();
        self.report.write(&self.shared, true, now);
    }

    /// Whether what comes in goes to disk first.
    fn must_spool(&self, now: Instant, is_high: bool, is_durable: bool) -> bool {
        let Some(own) = &self.own else { return false };
        if self.has_disk_failed(now) {
            return false;
        }
        let is_behind = is_high && (self.flight.is_some() || !self.held.is_empty());
        let is_slow = self.flight.as_ref().is_some_and(|flight| flight.since + SPOOL_AFTER <= now);
        let is_over = self.shared.deadline().is_some_and(|deadline| deadline <= now + LAST_MOMENT);
        is_durable || own.pending() > 0 || !self.breaker.is_closed() || is_behind || is_slow || is_over
    }

    fn take(&mut self) {
        let taken = self.shared.queue.take(std::mem::take(&mut self.spare));
        self.held = taken.items;
        self.taken = taken.last;
        self.since = None;
    }

    /// Writes what is held to disk, behind what is in flight.
    fn write_to_disk(&mut self, now: Instant) {
        let Some(own) = &mut self.own else { return };
        let at = self.shared.settings.clock.now();
        let mut failure = None;
        if let Some(Flight { source: Source::Memory { items, last, end: end @ None }, .. }) = &mut self.flight
            && own.pending() == 0
        {
            let (events, decided) = self.disk_door.admit_to_disk(items);
            let (done, outcome) = own.append(&events, at);
            if let Err(error) = outcome {
                // In flight still, and held again if that fails.
                let _ = own.delivered(own.end(), done as u64);
                failure = Some(error);
            } else {
                let (more, outcome) = own.append(&decided, at);
                failure = outcome.err();
                *end = Some((own.end(), (done + more) as u64));
                self.written = *last;
                add(&self.shared.counters.spooled, done);
            }
        }
        if failure.is_none() && !self.held.is_empty() {
            let (events, decided) = self.disk_door.admit_to_disk(&self.held);
            let (done, outcome) = own.append(&events, at);
            drop(events);
            failure = outcome.and_then(|()| own.append(&decided, at).1).err();
            add(&self.shared.counters.spooled, done);
            self.held.drain(..done);
            self.written = self.written.max(self.taken - self.held.len() as u64);
            if self.held.is_empty() {
                self.spare = std::mem::take(&mut self.held);
            }
        }
        if let Some(error) = failure {
            self.disk_failed = Some(now);
            self.disk_warning.say(&format!("the spool takes nothing: {error}"));
        }
        self.shared.counters.in_spool.store(own.pending(), Ordering::Relaxed);
    }

    /// Syncs what was written, on another thread.
    fn start_sync(&mut self) {
        let Some(own) = self.own.as_mut().filter(|_| self.sync.is_none()) else { return };
        let files = own.take_dirty();
        if !files.is_empty() {
            let task =
                tokio::task::spawn_blocking(move || files.iter().try_for_each(std::fs::File::sync_data));
            self.sync = Some((task, self.written));
        } else if self.written > self.shared.safe() && own.pending() == 0 {
            // What was written is delivered by now.
            self.shared.set_safe(self.written);
            self.is_doubtful = false;
        }
    }

    fn note_sync(&mut self, outcome: Result<std::io::Result<()>, tokio::task::JoinError>) {
        let Some((_, last)) = self.sync.take() else { return };
        match outcome {
            Ok(Ok(())) if self.is_doubtful => {}
            Ok(Ok(())) => self.shared.set_safe(last),
            Ok(Err(error)) => self.note_failed_sync(&error.to_string()),
            Err(error) => self.note_failed_sync(&error.to_string()),
        }
    }

    /// What was written counts as safe only when it is delivered, as it can still be read: a sync that follows
    /// a failed one succeeds even if the system has given up those pages.
    fn note_failed_sync(&mut self, error: &str) {
        self.is_doubtful = true;
        self.disk_failed = Some(Instant::now());
        self.disk_warning.say(&format!("the spool cannot be synced: {error}"));
    }

    /// Asks the ledger for prompts, or says that it is out of reach.
    fn answer_requests(&mut self) {
        if let Some(store) = &self.store {
            for fetch in self.asked.drain(..) {
                tokio::spawn(fetch.run(store.clone()));
            }
        } else if !self.breaker.is_closed() {
            let why = self.shared.metrics().last_error.unwrap_or_default();
            self.asked.drain(..).for_each(|fetch| fetch.refuse(&why));
        }
    }

    fn note_dropped(&mut self) {
        let dropped = self.shared.counters.dropped.load(Ordering::Relaxed);
        if dropped > self.dropped_seen {
            let count = dropped - self.dropped_seen;
            self.dropped_warning.say(&format!(
                "{count} events are lost: memory is full, and neither ledger nor disk takes them"
            ));
            self.dropped_seen = dropped;
        }
    }

    /// When there is something to do even if nothing happens.
    fn next_moment(&self, now: Instant) -> Instant {
        let mut next = self.report.next();
        let mut sooner = |moment: Instant| next = next.min(moment.max(now));
        if let Some(since) = self.since.filter(|_| self.waits_for_age(now)) {
            sooner(since + self.shared.settings.batch_age);
        }
        if let Some(flight) = &self.flight {
            if flight.since + SPOOL_AFTER > now {
                sooner(flight.since + SPOOL_AFTER);
            }
        } else if let Some(attempt) = self.breaker.next_attempt() {
            sooner(attempt);
        } else {
            sooner(self.next_look);
        }
        if let Some(failed) = self.disk_failed.filter(|failed| *failed + DISK_AGAIN > now) {
            sooner(failed + DISK_AGAIN);
        }
        if let Some(deadline) = self.shared.deadline() {
            let last = deadline.checked_sub(LAST_MOMENT).unwrap_or(now);
            sooner(if last > now { last } else { deadline.max(now + Duration::from_millis(10)) });
        }
        next
    }

    /// Whether events that are old enough can go somewhere. Else something else must happen first, and wakes us.
    fn waits_for_age(&self, now: Instant) -> bool {
        let is_durable = self.shared.settings.level == Level::Durable;
        let is_by_disk = is_durable || !self.breaker.is_closed() || self.in_spool() > 0;
        let disk_works =
            self.own.is_some() && !self.has_disk_failed(now) && !(is_durable && self.sync.is_some());
        self.held.is_empty() && (self.flight.is_none() || is_by_disk && disk_works)
    }

    fn has_disk_failed(&self, now: Instant) -> bool {
        self.disk_failed.is_some_and(|failed| now < failed + DISK_AGAIN)
    }

    fn in_spool(&self) -> u64 {
        self.own.as_ref().map_or(0, OwnSpool::pending)
    }

    /// Whether the recorder is shut down, and everything is where it belongs.
    fn is_done(&self, now: Instant) -> bool {
        let Some(deadline) = self.shared.deadline() else { return false };
        let is_taken = self.shared.queue.level().events == 0 && self.held.is_empty();
        let in_flight = matches!(&self.flight, Some(Flight { source: Source::Memory { .. }, .. }));
        let is_safe = is_taken && self.sync.is_none() && self.shared.safe() >= self.taken;
        let is_hopeless = !self.breaker.is_closed() || deadline <= now + LAST_MOMENT;
        let is_delivered = is_taken && self.in_spool() == 0 && !in_flight && self.sync.is_none();
        is_delivered || (is_safe && is_hopeless) || now >= deadline + LAST_MOMENT
    }

    fn end(mut self) {
        if let Some(flight) = self.flight.take() {
            flight.task.abort();
        }
        let unsafe_ones = self.shared.queue.accepted().saturating_sub(self.shared.safe());
        if unsafe_ones > 0 {
            add(&self.shared.counters.dropped, usize::try_from(unsafe_ones).unwrap_or(usize::MAX));
            self.note_dropped();
        }
        if let Some(own) = self.own.take() {
            let left = own.pending();
            if let Err(error) = own.close() {
                self.disk_warning.say(&error.to_string());
            }
            if left > 0 {
                tracing::info!(target: "asmm::recorder", "{left} events wait in the spool for the ledger");
            }
        }
        self.report.write(&self.shared, false, Instant::now());
        self.shared.set_ended();
    }
}

/// The outcome of the flight, if there is one; else never.
async fn landed(flight: &mut Option<Flight>) -> Result<flight::Outcome, tokio::task::JoinError> {
    match flight {
        Some(flight) => (&mut flight.task).await,
        None => std::future::pending().await,
    }
}

async fn synced(
    sync: &mut Option<(JoinHandle<std::io::Result<()>>, u64)>,
) -> Result<std::io::Result<()>, tokio::task::JoinError> {
    match sync {
        Some((task, _)) => task.await,
        None => std::future::pending().await,
    }
}
