//! Who writes: what waits, in one transaction. Two of them take turns, so that one prepares its spans while the other one's are
//! written.

use super::super::context::{Ctx, say};
use super::metrics::Metrics;
use super::queue::{Batch, Job, Queue};
use crate::domain::{Span, Timestamp};
use crate::error::{Error, Result};
use crate::recorder::spool::{Spool, no_answer};
use crate::store::{MAX_BATCH, PreparedSpans, Store, TakenSpans};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// How many requests may wait; each holds its share of the memory that all may have.
const WAITING: usize = 4096;
/// How long the ledger may take for a transaction before it counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failure the ledger is left alone for so long, and twice as long after the next one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Spans for the ledger; those that it does not take as a whole are taken one by one.
type Prepared = std::result::Result<PreparedSpans, Vec<Span>>;

/// Writes to one ledger.
pub(super) struct Writer<'c> {
    ctx: &'c Ctx,
    spool: Spool,
    metrics: Arc<Metrics>,
    store: RefCell<Option<Store>>,
    jobs: Mutex<mpsc::Receiver<Job>>,
    queue: Queue,
    /// Whose turn it is to write.
    turn: Mutex<()>,
    /// While the ledger is out of reach: when to try it again, and how long the pause is.
    pause: Cell<Option<(Instant, Duration)>>,
}

impl<'c> Writer<'c> {
    pub fn new(ctx: &'c Ctx) -> Result<(Self, mpsc::Sender<Job>)> {
        let (sender, receiver) = mpsc::channel(WAITING);
        let (spool, metrics) = (ctx.spool()?, Arc::<Metrics>::default());
        let writer = Self {
            ctx,
            queue: Queue::new(spool.clone(), Arc::clone(&metrics)),
            spool,
            metrics,
            store: RefCell::new(None),
            jobs: Mutex::new(receiver),
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

    /// Writes until nobody sends any more and everything is in the ledger or on disk.
    pub async fn run(&self) {
        tokio::join!(self.gather(), self.work(), self.work());
        self.queue.remove_spare(0);
    }

    /// Takes in what comes, as far as there is room; what comes beyond waits.
    async fn gather(&self) {
        let mut jobs = self.jobs.lock().await;
        let mut next: Option<Job> = None;
        loop {
            let first = match next.take() {
                Some(job) => job,
                None => match jobs.recv().await {
                    Some(job) => job,
                    None => break,
                },
            };
            let mut room = self.queue.make_room(&first).await;
            let mut some = vec![first];
            while let Ok(job) = jobs.try_recv() {
                if !room.take(&job) {
                    next = Some(job);
                    break;
                }
                some.push(job);
            }
            self.queue.put(some, self.ctx.clock.now()).await;
        }
        self.queue.close();
    }

    async fn work(&self) {
        while let Some(batch) = self.queue.next().await {
            self.write(batch).await;
        }
    }

    async fn write(&self, batch: Batch) {
        let Batch { spans, waiting, files, .. } = batch;
        let outcome = match self.put(spans).await {
            Ok(None) => Ok(true),
            Ok(Some(spans)) => {
                self.metrics.spooled(files.spans());
                let places = waiting.iter().map(|(places, _)| places.clone()).collect();
                self.keep(spans, places).await.map(|()| false)
            }
            Err(error) => Err(error),
        };
        // Done before it is answered: whoever sends the next one then meets an idle ledger.
        self.queue.done(files, matches!(outcome, Ok(true)));
        for (_, answer) in waiting {
            // Whoever asked may have gone away.
            let _ = answer.send(match &outcome {
                Ok(_) => Ok(()),
                Err(error) => Err(Error::database(error.to_string())),
            });
        }
    }

    /// Into the ledger: answers the spans when that is out of reach.
    async fn put(&self, spans: Vec<Span>) -> Result<Option<Vec<Span>>> {
        if self.is_paused() {
            return Ok(Some(spans));
        }
        let prepared = prepare(spans, self.ctx.clock.now()).await?;
        let _turn = self.turn.lock().await;
        // The one before may have met a ledger that is out of reach.
        if self.is_paused() {
            return Ok(Some(into_spans(prepared)));
        }
        let (spans, outcome) = self.record(prepared).await;
        if let Err(error) = outcome {
            self.failed(&error);
            return Ok(Some(spans));
        }
        if self.pause.take().is_some() {
            say("asmm serve: the ledger is back");
        }
        Ok(None)
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
        let time = started.elapsed();
        // One that failed may have been too large for a slow ledger.
        self.queue.pace(spans.len(), if outcome.is_ok() { time } else { PATIENCE });
        let outcome = outcome.map(|(taken, refused)| {
            self.metrics.taken(&taken, time);
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

    /// On disk, those of the spans that are not there yet.
    async fn keep(&self, spans: Vec<Span>, places: Vec<Range<usize>>) -> Result<()> {
        let (spool, now) = (self.spool.clone(), self.ctx.clock.now());
        let count: usize = places.iter().map(ExactSizeIterator::len).sum();
        if count == 0 {
            return Ok(());
        }
        let keeping = tokio::task::spawn_blocking(move || {
            spool.keep_spans(places.into_iter().flat_map(|places| &spans[places]), now)
        });
        keeping.await.map_err(|_| Error::database("the spool's writer stopped"))??;
        self.metrics.spooled(count as u64);
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
