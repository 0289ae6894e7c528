//! The laws on ledgers that are mistreated: changed by hand, written by processes that are killed, on servers that
//! stop. `differential` and `crowd` hold them after random histories and races.

mod archived;
mod evidence;
mod killed;
mod server;
mod settled;
mod tampered;

use crate::writing::{call, now};
use asmm::clock::Clock;
use asmm::domain::Call;
use asmm::store::{Location, Store};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::BTreeMap;
use std::str::FromStr;
use uuid::Uuid;

/// The runs that a writer's batches go to.
const RUNS: u128 = 3;

/// A writer's batch: 1 to 120 calls over all runs, which they start. The same number is the same batch.
fn batch(number: u64) -> Vec<Call> {
    let size = 1 + (u128::from(number) * 37) % 120;
    (0..size)
        .map(|n| Call {
            pipeline: Some("enrichment".into()),
            agent: format!("agent-{}", n % 2),
            model: ["gpt-4o", "gpt-4o-mini", "nobody-knows-it"][usize::try_from(n % 3).unwrap()].into(),
            ..call(1 + n % RUNS, u128::from(number) * 1_000 + n)
        })
        .collect()
}

/// How many calls of each batch are in the ledger, at one instant: on Postgres a writer's last statement may go on after
/// the writer is gone.
async fn stored(location: &Location) -> BTreeMap<u64, usize> {
    const CALLS: &str = "select call_id from llm_call";
    let ids: Vec<Uuid> = if location.url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(&location.url).unwrap();
        sqlx::query_scalar(CALLS).fetch_all(&mut options.connect().await.unwrap()).await.unwrap()
    } else {
        let options = PgConnectOptions::from_str(&location.url).unwrap();
        let options = options.options([("search_path", &location.schema)]);
        sqlx::query_scalar(CALLS).fetch_all(&mut options.connect().await.unwrap()).await.unwrap()
    };
    let mut batches = BTreeMap::new();
    for id in ids {
        *batches.entry(u64::try_from(id.as_u128() / 1_000).unwrap()).or_default() += 1;
    }
    batches
}

/// Every batch is there in full or not at all, those that were answered are there, and the laws hold.
async fn check(location: &Location, answered: &[u64]) {
    let stored = stored(location).await;
    for (number, calls) in &stored {
        assert_eq!(*calls, batch(*number).len(), "batch {number} is in the ledger in part");
    }
    for number in answered {
        assert!(stored.contains_key(number), "batch {number} was answered and is not in the ledger");
    }
    let store = Store::open(location, Clock::Fixed(now())).await.unwrap();
    assert_eq!(store.broken_laws().await.unwrap(), []);
    store.close().await;
}
