//! What is sent to the ledger, while it is on its way.

use super::{Flusher, Item};
use crate::domain::Timestamp;
use crate::error::Result;
use crate::recorder::door::Door;
use crate::recorder::settings::Settings;
use crate::recorder::spool::{self, Aside, Chunk, Drained, How, Position, Undelivered};
use crate::store::Store;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// A probe of a ledger that failed before is small.
const PROBE: usize = 100;

/// What is on its way.
pub(super) struct Flight {
    pub task: JoinHandle<Outcome>,
    pub source: Source,
    pub since: Instant,
}

/// Where it comes from, and so what becomes of it when it fails.
pub(super) enum Source {
    /// Nothing but a connection is asked for.
    Nothing,
    /// Events that are in memory only, unless `end` says up to where they were written to disk meanwhile,
    /// and how many events that are.
    Memory {
        items: Arc<Vec<Item>>,
        /// The number of the last one.
        last: u64,
        end: Option<(Position, u64)>,
    },
    /// Events that lie in this recorder's spool, up to `end`, and what is damaged there.
    Spool { times: Vec<Timestamp>, damaged: Vec<Aside>, end: Position },
    /// What other processes left behind.
    Left,
}

/// What came back.
pub(super) struct Outcome {
    /// The connection, if it can be used again.
    pub store: Option<Store>,
    pub result: Result<Answer>,
}

/// What the ledger said.
pub(super) enum Answer {
    Connected,
    Delivered(Vec<Undelivered>),
    /// None: another process was at it.
    Drained(Option<Drained>),
}

/// What a flight needs.
struct Crew {
    store: Option<Store>,
    settings: Settings,
    door: Arc<Mutex<Door>>,
}

impl Flusher {
    /// Sends what is next, if there is anything.
    pub(super) fn launch(&mut self, now: Instant) {
        let is_probe = !self.breaker.is_closed();
        if self.store.is_some() && !self.has_looked && !is_probe {
            // What others left behind is older than what is ours.
            return self.launch_left(now);
        }
        if self.own.as_ref().is_some_and(|own| own.pending() > 0) {
            return self.launch_from_spool(now, is_probe);
        }
        if !self.held.is_empty() {
            return self.launch_from_memory(now, is_probe);
        }
        if self.store.is_none() {
            let task = self.crew().fly(|_, _, _| async { Ok(Answer::Connected) }.boxed());
            self.flight = Some(Flight { task, source: Source::Nothing, since: now });
        } else if self.next_look <= now {
            self.launch_left(now);
        }
    }

    fn launch_from_memory(&mut self, now: Instant, is_probe: bool) {
        let size = if is_probe { PROBE } else { self.shared.settings.batch_events }.min(self.held.len());
        let rest = self.held.split_off(size);
        let items = std::mem::replace(&mut self.held, rest);
        let last = self.taken - self.held.len() as u64;
        let items = Arc::new(items);
        let sent = Arc::clone(&items);
        let task = self.crew().fly(move |store, door, how| {
            async move { spool::deliver(&store, &door, &sent, how).await.map(Answer::Delivered) }.boxed()
        });
        self.flight = Some(Flight { task, source: Source::Memory { items, last, end: None }, since: now });
    }

    fn launch_from_spool(&mut self, now: Instant, is_probe: bool) {
        let size = if is_probe { PROBE } else { self.shared.settings.batch_events };
        let Some(own) = &mut self.own else { return };
        let at = self.shared.settings.clock.now();
        let chunk = match self
            .ahead
            .take()
            .map_or_else(|| own.read(own.start(), size, at), |chunk| Ok(Some(chunk)))
        {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                let count = own.pending();
                // Somebody has removed or cut the file.
                let _ = own.delivered(own.end(), count);
                self.disk_warning.say(&format!("{count} events are gone from the spool"));
                crate::recorder::metrics::add(
                    &self.shared.counters.dropped,
                    usize::try_from(count).unwrap_or_default(),
                );
                return;
            }
            Err(error) => {
                self.breaker.failed(now, crate::recorder::breaker::chance());
                self.disk_warning.say(&error.to_string());
                return;
            }
        };
        self.ahead = if is_probe { None } else { own.read(chunk.end, size, at).ok().flatten() };
        let Chunk { events, times, damaged, end } = chunk;
        let task = self.crew().fly(move |store, door, how| {
            async move { spool::deliver(&store, &door, &events, how).await.map(Answer::Delivered) }.boxed()
        });
        self.flight = Some(Flight { task, source: Source::Spool { times, damaged, end }, since: now });
    }

    fn launch_left(&mut self, now: Instant) {
        self.has_looked = true;
        self.next_look = now + super::LOOK_AGAIN;
        let Some(spool) = self.spool.clone() else { return };
        let at = self.shared.settings.clock.now();
        let task = self.crew().fly(move |store, door, how| {
            let drained = async move {
                spool::drain_left(&spool, &store, &door, how.patience, at).await.map(Answer::Drained)
            };
            drained.boxed()
        });
        self.flight = Some(Flight { task, source: Source::Left, since: now });
    }

    fn crew(&self) -> Crew {
        Crew {
            store: self.store.clone(),
            settings: self.shared.settings.clone(),
            door: Arc::clone(&self.door),
        }
    }
}

impl Crew {
    /// Connects if need be, and does `what`.
    fn fly(
        self,
        what: impl FnOnce(Store, Arc<Mutex<Door>>, How) -> BoxFuture<'static, Result<Answer>> + Send + 'static,
    ) -> JoinHandle<Outcome> {
        tokio::spawn(async move {
            let store = match self.store {
                Some(store) => store,
                None => match connect(&self.settings).await {
                    Ok(store) => store,
                    Err(error) => return Outcome { store: None, result: Err(error) },
                },
            };
            let is_postgres = matches!(store, Store::Postgres(_));
            let lanes = if is_postgres { self.settings.connections } else { 1 };
            let how = How { lanes, patience: self.settings.patience, are_ours: true };
            let result = what(store.clone(), self.door, how).await;
            Outcome { store: Some(store), result }
        })
    }
}

async fn connect(settings: &Settings) -> Result<Store> {
    let opening = Store::open(&settings.location, settings.clock);
    let opened = tokio::time::timeout(settings.patience, opening).await;
    opened.unwrap_or_else(|_| Err(spool::no_answer(settings.patience)))
}
