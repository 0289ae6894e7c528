//! The one who writes: what came while the last transaction was under way goes into the next one.

use super::super::context::{Ctx, say};
use super::metrics::Metrics;
use crate::domain::{Event, Span};
use crate::error::{Error, Result};
use crate::recorder::spool::{Spool, no_answer};
use crate::store::{MAX_BATCH, Store};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How many spans go into one transaction, unless one request brings more.
const BATCH: usize = 4096;
/// How many requests may wait; each holds its share of the memory that all may have.
const WAITING: usize = 4096;
/// How long the ledger may take for a transaction before it counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure the ledger is left alone for so long, and twice as long after the next one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A request's spans, and who waits for them.
pub(super) struct Job {
    pub spans: Vec<Span>,
    pub answer: oneshot::Sender<Result<()>>,
}

/// Writes to one ledger.
pub(super) struct Writer<'c> {
    ctx: &'c Ctx,
    spool: Spool,
    metrics: Arc<Metrics>,
    store: RefCell<Option<Store>>,
    jobs: RefCell<Option<mpsc::Receiver<Job>>>,
    /// While the ledger is out of reach: when to try it again, and how long the pause is.
    pause: Cell<Option<(Instant, Duration)>>,
}

impl<'c> Writer<'c> {
    pub fn new(ctx: &'c Ctx) -> Result<(Self, mpsc::Sender<Job>)> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let writer = Self {
            ctx,
            spool: ctx.spool()?,
            metrics: Arc::default(),
            store: RefCell::new(None),
            jobs: RefCell::new(Some(receiver)),
            pause: Cell::new(None),
        };
        Ok((writer, sender))
    }

    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The ledger, opened if it is not yet.
    pub async fn ledger(&self) -> Result<Store> {
        if let Some(store) = self.store.borrow().clone() {
            return Ok(store);
        }
        let store = self.ctx.store_as_is().await?;
        *self.store.borrow_mut() = Some(store.clone());
        Ok(store)
    }

    /// Whether the ledger is out of reach, and left alone for now.
    pub fn is_paused(&self) -> bool {
        self.pause.get().is_some_and(|(until, _)| Instant::now() < until)
    }

    /// Writes until nobody sends any more.
    pub async fn run(&self) {
        let Some(mut jobs) = self.jobs.borrow_mut().take() else { return };
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(job) => job,
                None => match jobs.recv().await {
                    Some(job) => job,
                    None => return,
                },
            };
            let mut batch = vec![first];
            let mut size = batch[0].spans.len();
            while size < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                if size + job.spans.len() > MAX_BATCH {
                    next = Some(job);
                    break;
                }
                size += job.spans.len();
                batch.push(job);
            }
            self.write(batch).await;
        }
    }

    async fn write(&self, jobs: Vec<Job>) {
        let mut spans = Vec::new();
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            spans.extend(job.spans);
            answers.push(job.answer);
        }
        let outcome = self.put(spans).await;
        for answer in answers {
            // Whoever asked may have gone away.
            let _ = answer.send(match &outcome {
                Ok(()) => Ok(()),
                Err(error) => Err(Error::database(error.to_string())),
            });
        }
    }

    /// Into the ledger, or on disk.
    async fn put(&self, spans: Vec<Span>) -> Result<()> {
        if !self.is_paused() {
            match self.record(&spans).await {
                Ok(()) => {
                    if self.pause.take().is_some() {
                        say("asmm serve: the ledger is back");
                    }
                    return Ok(());
                }
                Err(error) => self.failed(&error),
            }
        }
        self.keep(spans).await
    }

    async fn record(&self, spans: &[Span]) -> Result<()> {
        let started = Instant::now();
        let recording = async {
            let store = self.ledger().await?;
            store.take_each_span(spans).await
        };
        let outcome = tokio::time::timeout(PATIENCE, recording).await;
        let (taken, refused) = outcome.unwrap_or_else(|_| Err(no_answer(PATIENCE)))?;
        self.metrics.taken(&taken, started.elapsed());
        for (place, error) in refused {
            self.metrics.read(1, 0);
            let span = &spans[place];
            tracing::warn!(
                "span `{}` of trace `{}` is refused: {error}",
                span.span_id,
                span.trace_id.simple()
            );
        }
        Ok(())
    }

    fn failed(&self, error: &Error) {
        self.metrics.ledger_failed();
        let pause = self.pause.get().map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        if self.pause.get().is_none() {
            say(&format!("warning: {error}"));
            say(&format!("asmm serve: what comes is kept in the spool `{}`", self.spool.folder().display()));
        }
        self.pause.set(Some((Instant::now() + pause, pause)));
    }

    async fn keep(&self, spans: Vec<Span>) -> Result<()> {
        let (spool, now, count) = (self.spool.clone(), self.ctx.clock.now(), spans.len() as u64);
        let keeping = tokio::task::spawn_blocking(move || {
            let events: Vec<Event> = spans.into_iter().map(|span| Event::Span(Box::new(span))).collect();
            spool.keep(&events, now)
        });
        keeping.await.map_err(|_| Error::database("the spool's writer stopped"))??;
        self.metrics.spooled(count);
        Ok(())
    }
}
