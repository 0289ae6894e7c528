//! Who writes: what came while the last transaction was under way goes into the next one. Two of them take turns, so that one
//! prepares its spans while the other one's are written.

use super::super::context::{Ctx, say};
use super::metrics::Metrics;
use crate::domain::{Event, Span, Timestamp};
use crate::error::{Error, Result};
use crate::recorder::spool::{Spool, no_answer};
use crate::store::{MAX_BATCH, PreparedSpans, Store, TakenSpans};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
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

/// Requests that wait.
struct Incoming {
    jobs: mpsc::Receiver<Job>,
    /// One that did not fit into the last batch.
    next: Option<Job>,
}

/// Spans for the ledger; those that it does not take as a whole are taken one by one.
type Prepared = std::result::Result<PreparedSpans, Vec<Span>>;

/// Writes to one ledger.
pub(super) struct Writer<'c> {
    ctx: &'c Ctx,
    spool: Spool,
    metrics: Arc<Metrics>,
    store: RefCell<Option<Store>>,
    incoming: Mutex<Incoming>,
    /// Whose turn it is to write.
    turn: Mutex<()>,
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
            incoming: Mutex::new(Incoming { jobs: receiver, next: None }),
            turn: Mutex::default(),
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
        let store = Store::open(&self.ctx.location.clone().for_bulk(), self.ctx.clock).await?;
        *self.store.borrow_mut() = Some(store.clone());
        Ok(store)
    }

    /// Whether the ledger is out of reach, and left alone for now.
    pub fn is_paused(&self) -> bool {
        self.pause.get().is_some_and(|(until, _)| Instant::now() < until)
    }

    /// Writes until nobody sends any more.
    pub async fn run(&self) {
        tokio::join!(self.work(), self.work());
    }

    async fn work(&self) {
        while let Some(batch) = self.next_batch().await {
            self.write(batch).await;
        }
    }

    /// What waits, at least one request; none when nobody sends any more.
    async fn next_batch(&self) -> Option<Vec<Job>> {
        let mut incoming = self.incoming.lock().await;
        let first = match incoming.next.take() {
            Some(job) => job,
            None => incoming.jobs.recv().await?,
        };
        let mut batch = vec![first];
        let mut size = batch[0].spans.len();
        while size < BATCH
            && let Ok(job) = incoming.jobs.try_recv()
        {
            if size + job.spans.len() > MAX_BATCH {
                incoming.next = Some(job);
                break;
            }
            size += job.spans.len();
            batch.push(job);
        }
        Some(batch)
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
        if self.is_paused() {
            return self.keep(spans).await;
        }
        let prepared = prepare(spans, self.ctx.clock.now()).await?;
        let turn = self.turn.lock().await;
        // The one before may have met a ledger that is out of reach.
        if self.is_paused() {
            drop(turn);
            return self.keep(into_spans(prepared)).await;
        }
        let (spans, outcome) = self.record(prepared).await;
        match outcome {
            Ok(()) => {
                if self.pause.take().is_some() {
                    say("asmm serve: the ledger is back");
                }
                Ok(())
            }
            Err(error) => {
                self.failed(&error);
                drop(turn);
                self.keep(spans).await
            }
        }
    }

    async fn record(&self, mut prepared: Prepared) -> (Vec<Span>, Result<()>) {
        let started = Instant::now();
        let recording = async {
            let store = self.ledger().await?;
            take_in(&store, &mut prepared).await
        };
        let outcome = tokio::time::timeout(PATIENCE, recording).await;
        let outcome = outcome.unwrap_or_else(|_| Err(no_answer(PATIENCE)));
        let spans = into_spans(prepared);
        let outcome = outcome.map(|(taken, refused)| {
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
        });
        (spans, outcome)
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

/// Finds out what can be without the ledger, beside everything else.
async fn prepare(spans: Vec<Span>, now: Timestamp) -> Result<Prepared> {
    if spans.len() > MAX_BATCH {
        return Ok(Err(spans));
    }
    let preparing = tokio::task::spawn_blocking(move || {
        // Which of them is refused, and why, is found out when they are taken one by one.
        PreparedSpans::of(spans, now).map_err(|(spans, _)| spans)
    });
    preparing.await.map_err(|_| Error::database("the spans cannot be prepared"))
}

fn into_spans(prepared: Prepared) -> Vec<Span> {
    match prepared {
        Ok(prepared) => prepared.into_spans(),
        Err(spans) => spans,
    }
}

async fn take_in(store: &Store, prepared: &mut Prepared) -> Result<(TakenSpans, Vec<(usize, Error)>)> {
    let spans = match prepared {
        Ok(prepared) => match store.take_prepared_spans(prepared).await {
            Ok(taken) => return Ok((taken, Vec::new())),
            Err(error) if error.is_of_the_ledger() => return Err(error),
            Err(_) => prepared.spans(),
        },
        Err(spans) => spans,
    };
    store.take_each_span(spans).await
}
