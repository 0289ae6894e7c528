//! The queue, without a ledger.

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

#[tokio::test]
async fn while_much_comes_that_nobody_waits_for_more_of_it_goes_in_together() {
    let home = tempfile::tempdir().unwrap();
    let memory = Arc::new(Semaphore::new(10_000));
    let queue = Queue::new(spool(home.path(), 1 << 30), Arc::default());
    let (first, _) = job(&memory, MANY, 1);
    put(&queue, first).await;
    let first = queue.next().await.unwrap();
    let (second, _) = job(&memory, 1, 1);
    put(&queue, second).await;
    queue.done(first.files, true);
    // None is under way, and what comes is held all the same.
    assert!(queue.next().now_or_never().is_none());
    let (third, answer) = job(&memory, 2, 1);
    put(&queue, third).await;
    assert!(matches!(answer.await, Ok(Ok(()))));
    let both = queue.next().await.unwrap();
    assert_eq!((both.spans.len(), both.files.spans()), (3, 3));
    queue.done(both.files, true);
    // Those were few: what meets an idle ledger waits for it again, and is written at once.
    let (last, mut answer) = job(&memory, 1, 1);
    put(&queue, last).await;
    assert!(answer.try_recv().is_err());
    assert!(queue.next().now_or_never().is_some());
}
