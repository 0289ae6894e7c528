//! The laws, checked on a live ledger by recomputing.

use super::spend::number;
use super::{Store, on_pool};
use crate::domain::{RunId, Timestamp};
use crate::error::Result;
use sqlx::FromRow;
use std::fmt;

/// Something that a law says cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLaw {
    /// The law, in words.
    pub law: &'static str,
    /// The run it is about, if it is about one.
    pub run_id: Option<RunId>,
    /// What it is about: a pipeline, a model, a rollup row.
    pub thing: String,
    /// What the ledger holds.
    pub found: String,
    /// What it should hold.
    pub expected: String,
}

impl fmt::Display for BrokenLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.law)?;
        if let Some(run_id) = self.run_id {
            write!(f, "run `{run_id}`, ")?;
        }
        write!(f, "{}: found {}, expected {}", self.thing, self.found, self.expected)
    }
}

#[derive(FromRow)]
struct Finding {
    run_id: Option<RunId>,
    thing: String,
    found: String,
    expected: String,
}

/// Which part of the ledger a law's statement can be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The newest runs.
    Runs,
    /// The newest buckets of the rollup.
    Buckets,
    /// None: it reads sums, which are few, not calls.
    Whole,
}

/// A run's counters are in step with its calls.
pub const LAW_OF_COUNTERS: &str = "a run's counters are the sums of its calls";
/// The rollup is.
pub const LAW_OF_ROLLUP: &str = "the rollup is the sum of all calls";
/// A call is where it belongs.
pub const LAW_OF_PLACE: &str = "a call belongs to a run, and to a step of it";
/// A run that has ended has what an ended run has.
pub const LAW_OF_ENDS: &str = "a finished run has an end and a final cost";

/// The laws that a statement can recompute: a law, the statement that finds what breaks it, and which part of the
/// ledger it can be asked for.
const STATEMENTS: [(&str, &str, Part); 10] = [
    (LAW_OF_COUNTERS, include_str!("../../queries/law_run_counters.sql"), Part::Runs),
    (LAW_OF_ROLLUP, include_str!("../../queries/law_rollup.sql"), Part::Buckets),
    ("settled sums are the sums of the rollup", include_str!("../../queries/law_settled.sql"), Part::Whole),
    (
        "archived sums are the sums of what was archived",
        include_str!("../../queries/law_archived.sql"),
        Part::Whole,
    ),
    (LAW_OF_PLACE, include_str!("../../queries/law_call_place.sql"), Part::Runs),
    (
        "a call is priced by a price in force when it was made",
        include_str!("../../queries/law_call_price.sql"),
        Part::Runs,
    ),
    (
        "a call costs its tokens by the rates of its price",
        include_str!("../../queries/law_call_cost.sql"),
        Part::Runs,
    ),
    (
        "each price event starts where the last one ended",
        include_str!("../../queries/law_price_chain.sql"),
        Part::Runs,
    ),
    (
        "a price changes only with an event that says so",
        include_str!("../../queries/law_price_event.sql"),
        Part::Runs,
    ),
    (LAW_OF_ENDS, include_str!("../../queries/law_run_end.sql"), Part::Runs),
];

/// How much of a ledger is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LawScope {
    /// Only the newest so many runs; all, if not said.
    pub runs: Option<u32>,
    /// Of the rollup, only the buckets from this one on; all, if not said.
    pub bucket: Option<i64>,
}

/// The laws that [`Store::broken_laws`] recomputes, in words.
pub const LAWS: [&str; 10] = {
    let mut laws = [""; 10];
    let mut place = 0;
    while place < laws.len() {
        laws[place] = STATEMENTS[place].0;
        place += 1;
    }
    laws
};

impl Store {
    /// Recomputes the laws from the journal; answers what breaks them, at most 100 findings a law. It reads
    /// every call.
    pub async fn broken_laws(&self) -> Result<Vec<BrokenLaw>> {
        self.broken_laws_in(LawScope::default()).await
    }

    /// As [`Store::broken_laws`], of a part of the ledger.
    pub async fn broken_laws_in(&self, scope: LawScope) -> Result<Vec<BrokenLaw>> {
        let mut broken = Vec::new();
        for (law, statement, part) in STATEMENTS {
            let runs = scope.runs.map(i64::from);
            let findings: Vec<Finding> = on_pool!(self, |pool| {
                let query = sqlx::query_as(statement);
                let query = match part {
                    Part::Runs => query.bind(runs),
                    Part::Buckets => {
                        query.bind(scope.bucket.map(number)).bind(scope.bucket.map(Timestamp::from_bucket))
                    }
                    Part::Whole => query,
                };
                query.fetch_all(pool).await?
            });
            broken.extend(findings.into_iter().map(|f| BrokenLaw {
                law,
                run_id: f.run_id,
                thing: f.thing,
                found: f.found,
                expected: f.expected,
            }));
        }
        Ok(broken)
    }
}
