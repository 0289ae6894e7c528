//! Asking before spending: reservations in budgets.
//!
//! In Postgres the function `reserve` decides (`migrations/postgres/0017_budgets.sql`), in SQLite [`SqliteStore::reserve`]
//! does, in one transaction that waits for all other writers first. Both look at what is spent and what is reserved at one
//! instant, so that however many ask at once, a hard budget never holds more than its limit.

use super::archive::archived_ids;
use super::budgets::{BudgetEntry, BudgetRow, budget_use};
use super::sqlite::find_run;
use super::sqlite::price::price_of;
use super::{BudgetState, PostgresStore, SqliteStore, Store};
use crate::clock::Clock;
use crate::domain::{
    Amount, Asker, Budget, Call, CallId, Outcome, Period, Reserve, RunId, Timestamp, TokenUsage, Usd,
};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::json;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use std::collections::BTreeMap;
use std::fmt;

/// How long a reservation that is over is kept, so that asking again is answered alike.
const KEPT_MICROS: i64 = 86_400_000_000;
/// The most that are forgotten at once.
const FORGET_AT_ONCE: i64 = 100;

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

/// What SQLite holds under a call's ids.
#[derive(FromRow)]
struct Kept {
    amount_pico: Option<Usd>,
    expires_at: Timestamp,
    state: String,
}

/// What a reservation is made for, as the ledger knows it.
struct Facts {
    pipeline: String,
    labels: BTreeMap<String, String>,
    amount: Option<Usd>,
}

impl Facts {
    fn asker<'a>(&'a self, ask: &'a Reserve) -> Asker<'a> {
        let Reserve { agent, provider, model, .. } = ask;
        Asker { pipeline: &self.pipeline, agent, provider, model, labels: &self.labels }
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

impl SqliteStore {
    async fn reserve(&self, ask: &Reserve) -> Result<Reserved> {
        let mut tx = self.begin().await?;
        let now = self.clock.now();
        let facts = self.facts(&mut tx, ask, now).await?;
        let budgets = concerned(&mut tx, ask, &facts).await?;
        if let Some(kept) = kept(&mut tx, ask, &facts, now).await? {
            let budgets = asked(&mut tx, budgets, Usd::ZERO, now).await?;
            tx.commit().await?;
            return Ok(answer(ask, kept.0, Some(kept.1), kept.2, None, budgets));
        }
        tidy(&mut tx, now).await?;
        let mut figures = asked(&mut tx, budgets, facts.amount.unwrap_or_default(), now).await?;
        let is_over = figures.iter().any(|budget| budget.is_hard && !budget.fits);
        let reason = match facts.amount {
            _ if is_over => Some(Refusal::OverBudget),
            None if ask.refuse_unpriced => Some(Refusal::Unpriced),
            _ => None,
        };
        if reason.is_some() {
            tx.commit().await?;
            return Ok(answer(ask, facts.amount, None, None, reason, figures));
        }
        let seconds = i64::try_from(ask.expires_in.as_secs()).unwrap_or(i64::MAX);
        let expires_at = now.plus_micros(seconds.saturating_mul(1_000_000));
        hold(&mut tx, ask, &facts, now, expires_at).await?;
        // With what is held now.
        for budget in &mut figures {
            budget.reserved += facts.amount.unwrap_or_default();
            budget.unpriced_reservations += u64::from(facts.amount.is_none());
        }
        tx.commit().await?;
        Ok(answer(ask, facts.amount, Some(ReservationState::Open), Some(expires_at), None, figures))
    }

    /// What the ledger knows of the call's run, or else what was said, and the amount.
    async fn facts(&self, db: &mut SqliteConnection, ask: &Reserve, now: Timestamp) -> Result<Facts> {
        let (pipeline, labels) = match find_run(db, ask.run_id).await? {
            Some(run) => (run.pipeline, run.labels),
            None => match &ask.pipeline {
                Some(pipeline) => (pipeline.clone(), ask.labels.clone()),
                None => {
                    return Err(Error::not_found(format!(
                        "run `{}` is unknown, and no `pipeline` is given",
                        ask.run_id
                    ))
                    .hint("start it first: start_run, or `asmm runs start --run-id`; or say its pipeline"));
                }
            },
        };
        let amount = match ask.amount {
            Amount::Usd(amount) => Some(amount),
            Amount::Tokens { input, output } => {
                let usage = TokenUsage { input, output, ..TokenUsage::default() };
                price_of(db, &self.prices, &call_of(ask, usage, now)).await?
            }
        };
        Ok(Facts { pipeline, labels, amount })
    }
}

/// The call that is asked for, as it would be recorded if it used `usage`.
fn call_of(ask: &Reserve, usage: TokenUsage, now: Timestamp) -> Call {
    Call {
        run_id: ask.run_id,
        call_id: ask.call_id,
        step_id: None,
        agent: ask.agent.clone(),
        provider: ask.provider.clone(),
        model: ask.model.clone(),
        operation: "chat".to_owned(),
        service_tier: ask.service_tier.clone(),
        called_at: now,
        usage: Some(usage),
        latency_ms: None,
        outcome: Outcome::Ok,
        response_id: None,
        pipeline: None,
        prompt: None,
    }
}

/// The budgets that the call counts in, by name.
async fn concerned(db: &mut SqliteConnection, ask: &Reserve, facts: &Facts) -> Result<Vec<Budget>> {
    let rows: Vec<BudgetRow> =
        sqlx::query_as(include_str!("../../queries/budget_list.sql")).fetch_all(db).await?;
    let mut budgets = Vec::new();
    for row in rows {
        let budget = BudgetEntry::try_from(row)?.budget;
        if budget.scope.covers(&facts.asker(ask)) {
            budgets.push(budget);
        }
    }
    Ok(budgets)
}

async fn asked(
    db: &mut SqliteConnection,
    budgets: Vec<Budget>,
    amount: Usd,
    now: Timestamp,
) -> Result<Vec<AskedBudget>> {
    let mut asked = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let window = budget.window(now)?;
        let used = budget_use!(&mut *db, budget, &window, now);
        asked.push(AskedBudget::of(used.of(budget, window), amount));
    }
    Ok(asked)
}

/// The amount, the state and the end of a reservation that is there already, or is not needed any more.
async fn kept(
    db: &mut SqliteConnection,
    ask: &Reserve,
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<(Option<Usd>, ReservationState, Option<Timestamp>)>> {
    let kept: Option<Kept> = sqlx::query_as(
        "select amount_pico, expires_at, state from budget_reservation where run_id = $1 and call_id = $2",
    )
    .bind(ask.run_id)
    .bind(ask.call_id)
    .fetch_optional(&mut *db)
    .await?;
    if is_recorded(db, ask).await? {
        sqlx::query(
            "update budget_reservation set state = 'settled' where run_id = $1 and call_id = $2 and state = 'open'",
        )
        .bind(ask.run_id)
        .bind(ask.call_id)
        .execute(db)
        .await?;
        let (amount, expires_at) =
            kept.map_or((facts.amount, None), |kept| (kept.amount_pico, Some(kept.expires_at)));
        return Ok(Some((amount, ReservationState::Settled, expires_at)));
    }
    let Some(kept) = kept.filter(|kept| kept.state == "open" && kept.expires_at > now) else {
        return Ok(None);
    };
    if matches!(ask.amount, Amount::Usd(_)) && kept.amount_pico != facts.amount {
        let held = kept.amount_pico.map_or_else(|| "unknown".to_owned(), |amount| amount.to_string());
        return Err(Error::conflict(format!(
            "call `{}` has a reservation of another amount: {held} USD",
            ask.call_id
        ))
        .hint("release it first, or give the call another id"));
    }
    Ok(Some((kept.amount_pico, ReservationState::Open, Some(kept.expires_at))))
}

/// Whether the call is in the journal, in an archive, or was withdrawn.
async fn is_recorded(db: &mut SqliteConnection, ask: &Reserve) -> Result<bool> {
    let is_there: bool = sqlx::query_scalar(
        "select exists (select 1 from llm_call where run_id = $1 and call_id = $2)
             or exists (select 1 from withdrawn_call where run_id = $1 and call_id = $2)",
    )
    .bind(ask.run_id)
    .bind(ask.call_id)
    .fetch_one(&mut *db)
    .await?;
    if is_there {
        return Ok(true);
    }
    Ok(archived_ids(db, ask.run_id).await?.contains(&ask.call_id))
}

/// Notes which reservations are settled, so that each is looked up once, and forgets what is long over.
async fn tidy(db: &mut SqliteConnection, now: Timestamp) -> Result<()> {
    sqlx::query(
        "update budget_reservation
         set state = 'settled'
         where state = 'open' and expires_at > $1
           and exists (
             select 1
             from llm_call c
             where c.run_id = budget_reservation.run_id and c.call_id = budget_reservation.call_id)",
    )
    .bind(now)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "delete from budget_reservation
         where (run_id, call_id) in (
           select run_id, call_id from budget_reservation where expires_at < $1 order by expires_at limit $2)",
    )
    .bind(now.plus_micros(-KEPT_MICROS))
    .bind(FORGET_AT_ONCE)
    .execute(db)
    .await?;
    Ok(())
}

async fn hold(
    db: &mut SqliteConnection,
    ask: &Reserve,
    facts: &Facts,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into budget_reservation (
           run_id, call_id, pipeline, agent, provider, model, labels, amount_pico, reserved_at, expires_at, state)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open')
         on conflict (run_id, call_id) do update
         set pipeline = excluded.pipeline, agent = excluded.agent, provider = excluded.provider,
             model = excluded.model, labels = excluded.labels, amount_pico = excluded.amount_pico,
             reserved_at = excluded.reserved_at, expires_at = excluded.expires_at, state = 'open'",
    )
    .bind(ask.run_id)
    .bind(ask.call_id)
    .bind(&facts.pipeline)
    .bind(&ask.agent)
    .bind(&ask.provider)
    .bind(&ask.model)
    .bind(json!(facts.labels).to_string())
    .bind(facts.amount.map(Usd::to_column).transpose()?)
    .bind(now)
    .bind(expires_at)
    .execute(db)
    .await?;
    Ok(())
}

fn answer(
    ask: &Reserve,
    amount: Option<Usd>,
    state: Option<ReservationState>,
    expires_at: Option<Timestamp>,
    reason: Option<Refusal>,
    budgets: Vec<AskedBudget>,
) -> Reserved {
    let refused_by = budgets.iter().find(|budget| budget.is_hard && !budget.fits);
    Reserved {
        granted: reason.is_none(),
        reason,
        refused_by: refused_by.filter(|_| reason.is_some()).map(|budget| budget.name.clone()),
        state,
        run_id: ask.run_id,
        call_id: ask.call_id,
        amount,
        expires_at,
        budgets,
    }
}
