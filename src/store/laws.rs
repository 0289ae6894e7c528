//! The laws, checked on a live ledger by recomputing.

use super::{Store, on_pool};
use crate::domain::RunId;
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

/// The laws that a statement can recompute: a law, and the statement that finds what breaks it.
const STATEMENTS: [(&str, &str); 10] = [
    ("a run's counters are the sums of its calls", include_str!("../../queries/law_run_counters.sql")),
    ("the rollup is the sum of all calls", include_str!("../../queries/law_rollup.sql")),
    ("settled sums are the sums of the rollup", include_str!("../../queries/law_settled.sql")),
    ("archived sums are the sums of what was archived", include_str!("../../queries/law_archived.sql")),
    ("a call belongs to a run, and to a step of it", include_str!("../../queries/law_call_place.sql")),
    (
        "a call is priced by a price in force when it was made",
        include_str!("../../queries/law_call_price.sql"),
    ),
    ("a call costs its tokens by the rates of its price", include_str!("../../queries/law_call_cost.sql")),
    ("each price event starts where the last one ended", include_str!("../../queries/law_price_chain.sql")),
    ("a price changes only with an event that says so", include_str!("../../queries/law_price_event.sql")),
    ("a finished run has an end and a final cost", include_str!("../../queries/law_run_end.sql")),
];

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
        let mut broken = Vec::new();
        for (law, statement) in STATEMENTS {
            let findings: Vec<Finding> =
                on_pool!(self, |pool| sqlx::query_as(statement).fetch_all(pool).await?);
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
