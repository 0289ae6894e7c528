//! What came back from the ledger, and what becomes of the events then.

use super::flight::{Answer, Flight, Outcome, Source};
use super::{Flusher, LOOK_AGAIN_SOON};
use crate::domain::Timestamp;
use crate::error::{Error, Result};
use crate::recorder::breaker::chance;
use crate::recorder::metrics::add;
use crate::recorder::spool::{Aside, Drained, Sorted, Undelivered, sort};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Flusher {
    pub(super) fn land(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        let Some(flight) = self.flight.take() else { return };
        let (store, result) = match outcome {
            Ok(Outcome { store, result }) => (store, result),
            Err(error) => (None, Err(Error::ledger(format!("delivering stopped: {error}")))),
        };
        match result {
            Ok(answer) => {
                if !self.breaker.is_closed() {
                    tracing::info!(target: "asmm::recorder", "the ledger is back");
                    self.next_look = Instant::now();
                }
                self.store = store;
                self.breaker.succeeded();
                self.shared.counters.is_connected.store(true, Ordering::Relaxed);
                self.note_answer(flight, answer);
            }
            Err(error) => self.note_failure(flight, &error),
        }
        if let Some(own) = &self.own {
            self.shared.counters.in_spool.store(own.pending(), Ordering::Relaxed);
        }
    }

    /// What was in flight is where it was before; the ledger is tried again later, on a new connection.
    fn note_failure(&mut self, flight: Flight, error: &Error) {
        if let Some(store) = self.store.take() {
            // A server that hangs must not hold up anything here.
            tokio::spawn(async move { tokio::time::timeout(Duration::from_secs(1), store.close()).await });
        }
        self.ahead = None;
        self.breaker.failed(Instant::now(), chance());
        self.shared.counters.is_connected.store(false, Ordering::Relaxed);
        add(&self.shared.counters.failures, 1);
        self.shared.counters.note_error(&error.to_string());
        self.ledger_warning.say(&format!("{error}; what is recorded waits"));
        if let Source::Memory { items, end: None, .. } = flight.source {
            // The task has ended, and nobody else holds them: nothing is copied.
            let mut items = Arc::unwrap_or_clone(items);
            items.append(&mut self.held);
            self.held = items;
        }
    }

    fn note_answer(&mut self, flight: Flight, answer: Answer) {
        match (flight.source, answer) {
            (Source::Memory { items, last, end }, Answer::Delivered(undelivered)) => {
                add(&self.shared.counters.delivered, items.len());
                let now = self.shared.settings.clock.now();
                self.keep_undelivered(undelivered, &[], now);
                if let (Some((end, count)), Some(own)) = (end, &mut self.own) {
                    let outcome = own.delivered(end, count);
                    outcome.unwrap_or_else(|error| self.disk_warning.say(&error.to_string()));
                }
                self.shared.set_safe(last);
                self.written = self.written.max(last);
                // The queue has no need of a new one then, which would grow while the pipeline waits.
                if let Some(mut items) = Arc::into_inner(items).filter(|_| self.spare.capacity() == 0) {
                    items.clear();
                    self.spare = items;
                }
            }
            (Source::Spool { times, damaged, end }, Answer::Delivered(undelivered)) => {
                // Not before: what is delivered again would be set aside again.
                self.set_aside(&damaged);
                add(&self.shared.counters.delivered, times.len());
                let now = self.shared.settings.clock.now();
                self.keep_undelivered(undelivered, &times, now);
                if let Some(own) = &mut self.own {
                    let outcome = own.delivered(end, times.len() as u64);
                    outcome.unwrap_or_else(|error| self.disk_warning.say(&error.to_string()));
                    if own.pending() == 0 {
                        self.ahead = None;
                    }
                }
            }
            (_, Answer::Drained(drained)) => self.note_drained(drained),
            _ => {}
        }
    }

    fn note_drained(&mut self, drained: Option<Drained>) {
        let Some(drained) = drained else {
            self.next_look = Instant::now() + LOOK_AGAIN_SOON;
            return;
        };
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        add(&self.shared.counters.adopted, count(drained.delivered));
        add(&self.shared.counters.set_aside, count(drained.set_aside));
        self.shared.counters.waiting.store(drained.waiting, Ordering::Relaxed);
        if drained.waiting > 0 {
            self.next_look = Instant::now() + LOOK_AGAIN_SOON;
        }
        if let Some(trouble) = drained.trouble {
            self.disk_warning.say(&trouble);
        }
        if let Some(reason) = drained.last_reason {
            self.refused_warning
                .say(&format!("{} events of the spool were set aside: {reason}", drained.set_aside));
        }
    }

    /// Events that name what is not there yet are left in the spool for later; refused ones are set aside.
    fn keep_undelivered(&mut self, undelivered: Vec<Undelivered>, times: &[Timestamp], now: Timestamp) {
        if undelivered.is_empty() {
            return;
        }
        let (mut waiting, mut set_aside): (Vec<(Timestamp, Vec<u8>)>, Vec<Aside>) = Default::default();
        for one in undelivered {
            // What the guard decided on the way was not counted as delivered.
            if one.place.is_some() {
                self.shared.counters.delivered.fetch_sub(1, Ordering::Relaxed);
            }
            let at = one.place.and_then(|place| times.get(place).copied()).unwrap_or(now);
            match sort(&one, at, now) {
                Ok(Sorted::Waits(json)) => waiting.push((at, json)),
                Ok(Sorted::Aside(aside)) => set_aside.push(aside),
                Err(error) => {
                    add(&self.shared.counters.dropped, 1);
                    self.refused_warning.say(&error.to_string());
                }
            }
        }
        self.set_aside(&set_aside);
        if waiting.is_empty() {
            return;
        }
        self.next_look = self.next_look.min(Instant::now() + LOOK_AGAIN_SOON);
        let kept = match &self.spool {
            Some(spool) => spool.keep_json(&waiting),
            None => Err(Error::database("there is no spool")),
        };
        match kept {
            Ok(()) => add(&self.shared.counters.waiting, waiting.len()),
            Err(error) => {
                add(&self.shared.counters.dropped, waiting.len());
                self.disk_warning.say(&error.to_string());
            }
        }
    }

    pub(super) fn set_aside(&mut self, set_aside: &[Aside]) {
        let Some(last) = set_aside.last() else { return };
        let text = format!("{} events were set aside: {}", set_aside.len(), last.reason);
        self.refused_warning.say(&text);
        let kept = match &self.spool {
            Some(spool) => spool.set_aside(set_aside),
            None => Err(Error::database("there is no spool")),
        };
        match kept {
            Ok(()) => add(&self.shared.counters.set_aside, set_aside.len()),
            Err(error) => {
                add(&self.shared.counters.dropped, set_aside.len());
                self.disk_warning.say(&error.to_string());
            }
        }
    }
}
