//! Asking before spending: reservations in budgets.
//!
//! In Postgres the function `reserve` decides (`migrations/postgres/0017_budgets.sql`), in SQLite `sqlite` does,
//! in one transaction that waits for all other writers first. Both look at what is spent and what is reserved at one
//! instant, so that however many ask at once, a hard budget never holds more than its limit.

mod sqlite;

use super::{BudgetState, PostgresStore, Store};
use crate::clock::Clock;
use crate::domain::{Amount, CallId, Period, Reserve, RunId, Timestamp, Usd};
use crate::error::Result;
use serde::Deserialize;
use sqlx::types::Json;
use std::fmt;

/// Why a reservation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It does not fit into a hard budget.
    OverBudget,
    /// Its price is unknown, and [`Reserve::refuse_unpriced`] was said.
    Unpriced,
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// It holds its amount, until it expires.
    Open,
    /// It was given back.
    Released,
    /// Its call is recorded.
    Settled,
}

/// A budget that a reservation counts in, when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AskedBudget {
    /// The budget's name.
    #[serde(rename = "budget")]
    pub name: String,
    /// Whether it refuses what does not fit.
    pub is_hard: bool,
    /// Whether the amount fits; of what was granted, whether what is spent and reserved with it does.
    pub fits: bool,
    /// The most that may be spent.
    #[serde(rename = "limit_usd")]
    pub limit: Usd,
    /// What the period's priced calls cost.
    #[serde(rename = "spent_usd")]
    pub spent: Usd,
    /// What reservations hold: with this one if it was granted, else without.
    #[serde(rename = "reserved_usd")]
    pub reserved: Usd,
    /// The period's calls.
    pub llm_calls: u64,
    /// Those of them without a known price; they are in no sum.
    pub unpriced_calls: u64,
    /// Reservations whose price is not known; they are in no sum.
    pub unpriced_reservations: u64,
    /// In what time the limit counts.
    pub period: Period,
    /// Whose midnight begins a period.
    pub time_zone: String,
    /// When this one began.
    pub since: Timestamp,
    /// When it ends, and the next begins.
    pub until: Timestamp,
}

impl AskedBudget {
    fn of(state: BudgetState, amount: Usd) -> Self {
        Self {
            fits: state.fits(amount),
            is_hard: state.budget.is_hard,
            limit: state.budget.limit,
            spent: state.spent,
            reserved: state.reserved,
            llm_calls: state.llm_calls,
            unpriced_calls: state.unpriced_calls,
            unpriced_reservations: state.unpriced_reservations,
            period: state.budget.period,
            time_zone: state.budget.zone.name().to_owned(),
            since: state.window.since,
            until: state.window.until,
            name: state.budget.name,
        }
    }
}

/// `budget nightly: 49.98 USD spent and 0.5 reserved of 50 until 2026-11-21T00:00:00Z`
impl fmt::Display for AskedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, spent, reserved, limit, until, .. } = self;
        write!(f, "budget `{name}`: {spent} USD spent and {reserved} reserved of {limit} until {until}")?;
        if self.unpriced_calls > 0 {
            write!(f, ", {} of {} calls have no price", self.unpriced_calls, self.llm_calls)?;
        }
        Ok(())
    }
}

/// The ledger's answer to [`Reserve`]. Its JSON form is what the Postgres function answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reserved {
    /// Whether the call may be made.
    pub granted: bool,
    /// Why not.
    pub reason: Option<Refusal>,
    /// The first of the hard budgets, by name, into which it does not fit.
    pub refused_by: Option<String>,
    /// What is held; absent when it was refused.
    pub state: Option<ReservationState>,
    /// The run.
    pub run_id: RunId,
    /// The call.
    pub call_id: CallId,
    /// How much; unknown when the price of the tokens is.
    #[serde(rename = "amount_usd")]
    pub amount: Option<Usd>,
    /// Until when it is held; absent when it was refused.
    pub expires_at: Option<Timestamp>,
    /// The budgets that the call counts in, by name.
    pub budgets: Vec<AskedBudget>,
}

impl Reserved {
    /// Why it was refused, in words: which budget, its limit, what is spent and reserved, and when the period ends.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let amount = self.amount.unwrap_or_default();
        match self.reason? {
            Refusal::OverBudget => {
                let budget =
                    self.budgets.iter().find(|budget| Some(&budget.name) == self.refused_by.as_ref());
                budget.map(|budget| format!("{amount} USD do not fit into {budget}"))
            }
            Refusal::Unpriced => Some("the price of the tokens is unknown".to_owned()),
        }
    }

    /// What is to be said although it was granted: soft budgets that are exceeded, an amount that is not known.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        if !self.granted {
            return Vec::new();
        }
        let over = self.budgets.iter().filter(|budget| !budget.fits).map(|budget| format!("over {budget}"));
        let unpriced = self.amount.is_none().then(|| {
            "the price of the tokens is unknown: nothing is held, and budgets do not count the call"
                .to_owned()
        });
        over.chain(unpriced).collect()
    }
}

impl Store {
    /// Asks whether a call may be made, by the budgets that it counts in, and if so holds its amount: until the call is
    /// recorded under these ids, [`Store::release`] gives it back, or it expires. What a call costs that comes later counts
    /// all the same.
    ///
    /// However many ask at once, what is spent and held of a hard budget together never exceeds its limit. The same
    /// call again changes nothing and is answered alike; one that was released or has expired is asked for anew.
    ///
    /// # Errors
    /// `Input` for what the ledger does not take, `NotFound` for an unknown run when no pipeline is given, `Conflict` when
    /// the call has a reservation of another amount; of the ledger when that is out of reach. A refusal is no error.
    pub async fn reserve(&self, ask: &Reserve) -> Result<Reserved> {
        ask.check()?;
        if matches!(ask.amount, Amount::Tokens { .. }) {
            self.resolve_names(std::iter::once((ask.provider.as_str(), ask.model.as_str()))).await?;
        }
        match self {
            Store::Postgres(s) => s.reserve(ask).await,
            Store::Sqlite(s) => s.reserve(ask).await,
        }
    }

    /// Gives a reservation back whose call will not be made. Answers whether there was one to give back.
    ///
    /// # Errors
    /// Of the ledger.
    pub async fn release(&self, run_id: RunId, call_id: CallId) -> Result<bool> {
        match self {
            Store::Postgres(s) => {
                let Json(Released { released }) = sqlx::query_scalar("select release($1, $2)")
                    .bind(run_id)
                    .bind(call_id)
                    .fetch_one(&s.pool)
                    .await?;
                Ok(released)
            }
            Store::Sqlite(s) => {
                let mut tx = s.begin().await?;
                let done = sqlx::query(
                    "update budget_reservation
                     set state = 'released'
                     where run_id = $1 and call_id = $2
                       and exists (select 1 from open_reservation where run_id = $1 and call_id = $2)",
                )
                .bind(run_id)
                .bind(call_id)
                .execute(&mut *tx)
                .await?;
                tx.commit().await?;
                Ok(done.rows_affected() > 0)
            }
        }
    }
}

#[derive(Deserialize)]
struct Released {
    released: bool,
}

impl PostgresStore {
    async fn reserve(&self, ask: &Reserve) -> Result<Reserved> {
        let (usd, input, output) = match ask.amount {
            Amount::Usd(amount) => (Some(amount.to_string()), None, None),
            Amount::Tokens { input, output } => {
                let count = |count: u64| Some(i32::try_from(count).unwrap_or(i32::MAX));
                (None, count(input), count(output))
            }
        };
        // The server's own clock, unless time stands still here.
        let at = match self.clock {
            Clock::System => None,
            Clock::Fixed(time) => Some(time),
        };
        let seconds = i32::try_from(ask.expires_in.as_secs()).unwrap_or(i32::MAX);
        let Json(reserved) = sqlx::query_scalar(
            "select reserve(
               run_id => $1, call_id => $2, amount_usd => $3::text::numeric, input_tokens => $4, output_tokens => $5,
               pipeline => $6, labels => $7, agent => $8, provider => $9, model => $10, service_tier => $11,
               expires_in_seconds => $12, refuse_unpriced => $13, reserved_at => $14)",
        )
        .bind(ask.run_id)
        .bind(ask.call_id)
        .bind(usd)
        .bind(input)
        .bind(output)
        .bind(&ask.pipeline)
        .bind(Json(&ask.labels))
        .bind(&ask.agent)
        .bind(&ask.provider)
        .bind(&ask.model)
        .bind(&ask.service_tier)
        .bind(seconds)
        .bind(ask.refuse_unpriced)
        .bind(at)
        .fetch_one(&self.pool)
        .await?;
        Ok(reserved)
    }
}
