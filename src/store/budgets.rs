//! Budgets: setting them, and how much of each is used.
//!
//! A budget is never edited: setting it anew or removing it adds a row, and of each name the newest counts.

use super::prices::who;
use super::{Store, alone, on_pool};
use crate::domain::{Budget, BudgetScope, Timestamp, Usd, Window};
use crate::error::{Error, Result};
use chrono_tz::Tz;
use sqlx::FromRow;

/// Nobody else sets budgets or reserves meanwhile: the functions of `migrations/postgres/0017_budgets.sql` share this lock.
const LOCK: &str = "select pg_advisory_xact_lock(7310580, hashtext(current_schema()))";

/// The buckets of a day.
const DAY: i64 = 96;

/// From which part of its limit on a budget is nearly used up, in percent.
pub const NEAR_PERCENT: i128 = 80;

/// A row of `budget`.
#[derive(Debug, Clone, FromRow)]
pub(super) struct BudgetRow {
    name: String,
    limit_pico: Usd,
    period: String,
    time_zone: String,
    pipeline: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    label: Option<String>,
    label_value: Option<String>,
    is_hard: bool,
    #[sqlx(default)]
    is_removed: bool,
    set_at: Timestamp,
    set_by: String,
}

/// What somebody did to a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetEntry {
    /// As it was set; of a removal, as it was then.
    pub budget: Budget,
    /// Whether it was taken back.
    pub is_removed: bool,
    /// When.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
}

impl TryFrom<BudgetRow> for BudgetEntry {
    type Error = Error;

    fn try_from(row: BudgetRow) -> Result<Self> {
        let zone: Tz = row.time_zone.parse().map_err(|_| {
            Error::input(format!("budget `{}`: `{}` is not a time zone", row.name, row.time_zone))
                .hint("set it anew, with an IANA name such as Europe/Oslo")
        })?;
        let scope = BudgetScope {
            pipeline: row.pipeline,
            agent: row.agent,
            provider: row.provider,
            model: row.model,
            label: row.label.zip(row.label_value),
        };
        let budget = Budget {
            name: row.name,
            limit: row.limit_pico,
            period: row.period.parse()?,
            zone,
            scope,
            is_hard: row.is_hard,
        };
        Ok(Self { budget, is_removed: row.is_removed, set_at: row.set_at, set_by: row.set_by })
    }
}

/// How much of a budget is used in the period that is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetState {
    /// The budget.
    pub budget: Budget,
    /// The period, in the budget's zone.
    pub window: Window,
    /// What the priced calls of the period cost.
    pub spent: Usd,
    /// What reservations hold beside that, for calls that are not recorded yet.
    pub reserved: Usd,
    /// Calls recorded in the period.
    pub llm_calls: u64,
    /// Those of them without a known price; they are in no sum.
    pub unpriced_calls: u64,
    /// Reservations that hold something.
    pub reservations: u64,
    /// Those of them whose price is not known; they are in no sum.
    pub unpriced_reservations: u64,
}

impl BudgetState {
    /// What is left to spend or reserve; below 0 when more was spent.
    #[must_use]
    pub fn left(&self) -> Usd {
        self.budget.limit - self.spent - self.reserved
    }

    /// Whether more was spent than the limit. What is only reserved is not spent.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.spent > self.budget.limit
    }

    /// Whether [`NEAR_PERCENT`] of the limit is spent or reserved, and it is not over.
    #[must_use]
    pub fn is_near(&self) -> bool {
        let used = (self.spent + self.reserved).pico();
        !self.is_over() && used > 0 && used * 100 >= self.budget.limit.pico() * NEAR_PERCENT
    }

    /// Whether `amount` more fits.
    #[must_use]
    pub fn fits(&self, amount: Usd) -> bool {
        amount <= self.left()
    }
}

/// What `queries/budget_use.sql` answers.
#[derive(FromRow)]
pub(super) struct UseRow {
    #[sqlx(try_from = "i64")]
    llm_calls: u64,
    #[sqlx(try_from = "i64")]
    unpriced_calls: u64,
    spent_pico: Usd,
    #[sqlx(try_from = "i64")]
    reservations: u64,
    #[sqlx(try_from = "i64")]
    unpriced_reservations: u64,
    reserved_pico: Usd,
}

impl UseRow {
    pub(super) fn of(self, budget: Budget, window: Window) -> BudgetState {
        BudgetState {
            budget,
            window,
            spent: self.spent_pico,
            reserved: self.reserved_pico,
            llm_calls: self.llm_calls,
            unpriced_calls: self.unpriced_calls,
            reservations: self.reservations,
            unpriced_reservations: self.unpriced_reservations,
        }
    }
}

/// The rows of the rollup that a period's sums are in. A quarter of an hour that the period's edge cuts counts whole.
pub(super) struct Buckets {
    pub first: i64,
    pub after: i64,
    /// The whole days (UTC) inside.
    pub first_day: i64,
    pub after_day: i64,
}

impl Buckets {
    pub fn of(window: &Window) -> Self {
        let (first, after) = (window.since.bucket(), window.until.next_bucket_start().bucket());
        let first_day = (first + DAY - 1).div_euclid(DAY);
        Self { first, after, first_day, after_day: after.div_euclid(DAY).max(first_day) }
    }
}

/// What `budget` has used in `window`, asked on one connection or pool of either database.
macro_rules! budget_use {
    ($db:expr, $budget:expr, $window:expr, $now:expr) => {{
        let (scope, buckets) = (&$budget.scope, $crate::store::budgets::Buckets::of($window));
        let query = match &scope.label {
            None => {
                sqlx::query_as(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/budget_use.sql")))
                    .bind($crate::store::spend::number(buckets.first))
                    .bind($crate::store::spend::number(buckets.after))
                    .bind($crate::store::spend::number(buckets.first_day))
                    .bind($crate::store::spend::number(buckets.after_day))
            }
            Some(_) => sqlx::query_as(include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/queries/budget_use_labelled.sql"
            )))
            .bind($crate::store::spend::number(buckets.first))
            .bind($crate::store::spend::number(buckets.after))
            .bind($crate::domain::Timestamp::from_bucket(buckets.first))
            .bind($crate::domain::Timestamp::from_bucket(buckets.after)),
        };
        let query = query
            .bind(&scope.pipeline)
            .bind(&scope.agent)
            .bind(&scope.provider)
            .bind(&scope.model)
            .bind($now);
        let query = match &scope.label {
            None => query,
            Some((label, value)) => query.bind(label).bind(value),
        };
        let used: $crate::store::budgets::UseRow = query.fetch_one($db).await?;
        used
    }};
}
pub(super) use budget_use;

/// The row that stands for a budget in the ledger, appended in an open transaction of either database.
macro_rules! append_budget {
    ($tx:ident, $budget:expr, $is_removed:expr, $now:expr) => {{
        let (budget, scope): (&Budget, &BudgetScope) = ($budget, &$budget.scope);
        sqlx::query(
            "insert into budget (
               name, limit_pico, period, time_zone, pipeline, agent, provider, model, label, label_value, is_hard,
               is_removed, set_at, set_by)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .bind(&budget.name)
        .bind(budget.limit.to_column()?)
        .bind(budget.period.code())
        .bind(budget.zone.name())
        .bind(&scope.pipeline)
        .bind(&scope.agent)
        .bind(&scope.provider)
        .bind(&scope.model)
        .bind(scope.label.as_ref().map(|(label, _)| label))
        .bind(scope.label.as_ref().map(|(_, value)| value))
        .bind(budget.is_hard)
        .bind($is_removed)
        .bind($now)
        .bind(who())
        .execute(&mut **$tx)
        .await?;
    }};
}

/// What was last done to the budget of a name.
macro_rules! newest {
    ($tx:ident, $name:expr) => {{
        let rows: Vec<BudgetRow> = sqlx::query_as(include_str!("../../queries/budget_history.sql"))
            .bind($name)
            .fetch_all(&mut **$tx)
            .await?;
        rows.into_iter().next().map(BudgetEntry::try_from).transpose()?
    }};
}

impl Store {
    /// Sets a budget from now on. Answers what it was before, and whether anything changed: the same budget again
    /// adds nothing.
    ///
    /// # Errors
    /// `Input` for what the ledger does not take; of the database when the role may not set budgets.
    pub async fn set_budget(&self, budget: &Budget) -> Result<(Option<Budget>, bool)> {
        budget.check()?;
        let now = self.now();
        if let Store::Postgres(s) = self {
            // The server reckons periods too, and may know other zones than this program.
            sqlx::query("select since from budget_period($1, $2, $3)")
                .bind(budget.period.code())
                .bind(budget.zone.name())
                .bind(now)
                .execute(&s.pool)
                .await?;
        }
        alone!(self, LOCK, |tx| {
            let before =
                newest!(tx, &budget.name).filter(|entry| !entry.is_removed).map(|entry| entry.budget);
            let changes = before.as_ref() != Some(budget);
            if changes {
                append_budget!(tx, budget, false, now);
            }
            Ok((before, changes))
        })
    }

    /// Takes a budget back; its history stays.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub async fn remove_budget(&self, name: &str) -> Result<Budget> {
        let now = self.now();
        alone!(self, LOCK, |tx| {
            let entry = newest!(tx, name).filter(|entry| !entry.is_removed);
            let budget = entry.ok_or_else(|| unknown_budget(name))?.budget;
            append_budget!(tx, &budget, true, now);
            Ok(budget)
        })
    }

    /// The budgets that count now, by name.
    ///
    /// # Errors
    /// Of the database, and for a zone that this program does not know.
    pub async fn budgets(&self) -> Result<Vec<BudgetEntry>> {
        let rows: Vec<BudgetRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/budget_list.sql")).fetch_all(pool).await?
        });
        rows.into_iter().map(BudgetEntry::try_from).collect()
    }

    /// What was done to a budget, the newest first.
    ///
    /// # Errors
    /// `NotFound` when there never was one of that name.
    pub async fn budget_history(&self, name: &str) -> Result<Vec<BudgetEntry>> {
        let rows: Vec<BudgetRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/budget_history.sql"))
                .bind(name)
                .fetch_all(pool)
                .await?
        });
        if rows.is_empty() {
            return Err(unknown_budget(name));
        }
        rows.into_iter().map(BudgetEntry::try_from).collect()
    }

    /// How much of each of the ledger's budgets is used in the period that `now` is in, by name. What is spent and what
    /// is reserved of one budget are read at one instant.
    ///
    /// # Errors
    /// As [`Store::budgets`].
    pub async fn budget_states(&self, now: Timestamp) -> Result<Vec<BudgetState>> {
        let mut states = Vec::new();
        for entry in self.budgets().await? {
            states.push(self.budget_state(entry.budget, now).await?);
        }
        Ok(states)
    }

    /// How much of a budget is used in the period that `now` is in, whether or not the ledger knows it.
    ///
    /// # Errors
    /// Of the database.
    pub async fn budget_state(&self, budget: Budget, now: Timestamp) -> Result<BudgetState> {
        let window = budget.window(now)?;
        let used = on_pool!(self, |pool| budget_use!(pool, budget, &window, now));
        Ok(used.of(budget, window))
    }
}

fn unknown_budget(name: &str) -> Error {
    let shown: String = name.chars().take(200).collect();
    Error::not_found(format!("budget `{shown}` is unknown")).hint("`asmm budgets list` names those there are")
}
