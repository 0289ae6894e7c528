//! A Postgres server of the test's own that is stopped at once, as when the machine loses power, and started again.

use super::{batch, check};
use crate::support::{Server, block_on};
use crate::writing::now;
use asmm::clock::Clock;
use asmm::error::{Error, ErrorKind};
use asmm::store::{Location, Store};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 4;
const ROUNDS: usize = 2;

/// How far the test is.
#[derive(Default)]
struct Progress {
    answered: AtomicUsize,
    /// How often the server was stopped, writers were told while it was away, and it was started again.
    crashes: AtomicUsize,
    told: AtomicUsize,
    restarts: AtomicUsize,
    is_over: AtomicBool,
}

/// Writes every fourth batch until told to stop; answers which were answered. When the server goes away the answer is
/// clear, and so is the next one; when it is back, the same `Store` goes on with the batch that failed.
async fn writer(location: &Location, mut number: u64, progress: &Progress) -> Vec<u64> {
    let store = Store::open(location, Clock::Fixed(now())).await.unwrap();
    let mut answered = Vec::new();
    let mut crashes = 0;
    while !progress.is_over.load(Ordering::Relaxed) {
        match store.record_calls(&batch(number)).await {
            Ok(_) => {
                answered.push(number);
                number += WRITERS;
                progress.answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                assert_clear(&error);
                crashes += 1;
                // The server does not end all sessions at once: only now nobody can answer.
                wait_for(&progress.crashes, crashes).await;
                assert_clear(&store.record_calls(&batch(number)).await.unwrap_err());
                progress.told.fetch_add(1, Ordering::Relaxed);
                wait_for(&progress.restarts, crashes).await;
            }
        }
    }
    store.close().await;
    answered
}

fn assert_clear(error: &Error) {
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Ledger, 7), "{error:?}");
    assert!(error.next_step().is_some(), "{error:?}");
}

async fn wait_for(count: &AtomicUsize, wanted: usize) {
    let started = Instant::now();
    while count.load(Ordering::Relaxed) < wanted {
        assert!(started.elapsed() < Duration::from_secs(30), "{} of {wanted}", count.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
}

/// Stops it while all write, and starts it again.
async fn crashes(server: &Server, progress: &Progress) {
    for round in 1..=ROUNDS {
        let before = progress.answered.load(Ordering::Relaxed);
        wait_for(&progress.answered, before + 5 + 11 * round).await;
        server.crash();
        progress.crashes.fetch_add(1, Ordering::Relaxed);
        let stopped = Instant::now();
        wait_for(&progress.told, round * usize::try_from(WRITERS).unwrap()).await;
        assert!(stopped.elapsed() < Duration::from_secs(10), "told after {:?}", stopped.elapsed());
        server.start();
        check(&server.location(), &[]).await;
        progress.restarts.fetch_add(1, Ordering::Relaxed);
    }
    let before = progress.answered.load(Ordering::Relaxed);
    wait_for(&progress.answered, before + 8).await;
    progress.is_over.store(true, Ordering::Relaxed);
}

#[test]
fn a_server_that_stops_at_once() {
    let server = Server::new();
    server.start();
    let location = server.location();
    block_on(async {
        let store = Store::connect(&location, Clock::Fixed(now())).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
    });
    let progress = Progress::default();
    let answered: Vec<u64> = std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=WRITERS)
            .map(|first| {
                let (location, progress) = (&location, &progress);
                scope.spawn(move || block_on(writer(location, first, progress)))
            })
            .collect();
        block_on(crashes(&server, &progress));
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    block_on(check(&location, &answered));
}
