//! The ledger in a database: the only room that names sqlx.
//!
//! [`Store`] is one of two databases with one meaning. Reports are one SQL text each, in `queries/`, run on
//! both; the write paths differ: Postgres has functions (`migrations/postgres/0005_writing.sql`), SQLite
//! has the same operations as transactions in `sqlite/`.

mod apply;
mod archive;
mod batch;
mod budgets;
mod call;
mod codec;
mod connections;
mod evidence;
mod explain;
mod export;
mod failure;
mod guard;
mod health;
mod lanes;
mod laws;
mod live;
mod migrate;
mod names;
mod open;
mod postgres;
mod prices;
mod prompts;
mod provider_usage;
mod purge;
mod record;
mod registry;
mod replay;
mod reserve;
mod run;
mod runs;
mod schemas;
mod sent;
mod settle;
mod spans;
mod spend;
mod spend_change;
mod sqlite;
mod usage;
mod watch;

pub use apply::Applied;
pub use archive::{ARCHIVED_CALLS, Archivable, ArchiveLine, Archived, Restored};
pub use budgets::{BudgetEntry, BudgetState, NEAR_PERCENT};
pub use call::RecordedCall;
pub use evidence::{EvidenceScope, RunEvidence, SentEvidence, StepEvidence};
pub use explain::WhyUnpriced;
pub use export::{ChargeKey, ChargeTotals, ExportedCalls};
pub use guard::{DecisionCount, GuardCoverage, GuardFilter, Mark, RecordedDecision, RecordedDecisions};
pub use health::{Health, HealthCheck, RoleMembers};
pub use laws::{BrokenLaw, LAW_OF_COUNTERS, LAW_OF_ENDS, LAW_OF_PLACE, LAW_OF_ROLLUP, LAWS, LawScope};
pub use live::{Lead, Leader, LiveRun, LiveRuns, Tally};
pub use migrate::{MigrationName, SchemaState};
pub use open::Location;
pub use prices::{Alias, MissingPrice, PriceScope, Pushed, Repriced};
pub use prompts::{LabelMove, NewVersion, PromptVersion, Pushed as PushedVersion, UsedVersion, VersionEntry};
pub use provider_usage::{KnownBucket, ProviderDay, RecordedBuckets};
pub use purge::Purged;
pub use record::MAX_BATCH;
pub use replay::{Replay, ReplayedCall, UsedPrompt, Verdict};
pub use reserve::{AskedBudget, Refusal, ReservationState, Reserved};
pub use run::{Recorded, Run, Step, Totals};
pub use runs::{ModelSpend, RunOrder, RunTotals, StepSpend, UsedBy};
pub use schemas::Ledger;
pub use spans::{PreparedSpans, TakenSpans};
pub use spend::{Filter, SpendBy, SpendKey};
pub use spend_change::ExplainedSpend;
pub use watch::{HourSpend, Matters, SampledRun, SeriesOf, UnscannedCalls, WatchedRun};

use crate::clock::Clock;
use crate::domain::Timestamp;
use connections::Connections;
use sqlx::SqlitePool;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A ledger.
#[derive(Debug, Clone)]
pub enum Store {
    /// In one schema of a Postgres database.
    Postgres(PostgresStore),
    /// In one SQLite file.
    Sqlite(SqliteStore),
}

/// A ledger in Postgres.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pool: Connections,
    schema: String,
    shown: String,
    clock: Clock,
    names: Names,
}

/// A ledger in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    path: PathBuf,
    read_only: bool,
    shown: String,
    clock: Clock,
    names: Names,
    prices: sqlite::price::KeptBook,
}

/// The reported names this process has made sure of, so that it asks the database once for each.
type Names = Arc<Mutex<HashSet<(String, String)>>>;

/// Expands one body for each driver.
macro_rules! on_pool {
    ($store:expr, |$pool:ident| $body:expr) => {
        match $store {
            $crate::store::Store::Postgres(store) => {
                let $pool = &store.pool;
                $body
            }
            $crate::store::Store::Sqlite(store) => {
                let $pool = &store.pool;
                $body
            }
        }
    };
}
pub(crate) use on_pool;

/// Expands one body in a transaction of its own, and commits it; a body that is left on the way changes nothing. In
/// Postgres `$lock` comes first, which takes an advisory lock, so that of those who take the same one is in at a time;
/// SQLite has one writer anyway.
macro_rules! alone {
    ($store:expr, $lock:expr, |$tx:ident| $body:expr) => {
        match $store {
            $crate::store::Store::Postgres(store) => {
                let mut tx = store.pool.begin().await?;
                sqlx::query($lock).execute(&mut *tx).await?;
                let $tx = &mut tx;
                let outcome = $body;
                tx.commit().await?;
                outcome
            }
            $crate::store::Store::Sqlite(store) => {
                let mut tx = store.begin().await?;
                let $tx = &mut tx;
                let outcome = $body;
                tx.commit().await?;
                outcome
            }
        }
    };
}
use alone;

impl Store {
    /// The ledger's name for people, without a password.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self {
            Store::Postgres(s) => &s.shown,
            Store::Sqlite(s) => &s.shown,
        }
    }

    /// The time, by the clock the ledger was opened with.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Store::Postgres(s) => s.clock.now(),
            Store::Sqlite(s) => s.clock.now(),
        }
    }

    /// Closes the connections; dropping does it too, later.
    pub async fn close(&self) {
        on_pool!(self, |pool| pool.close().await);
    }
}
