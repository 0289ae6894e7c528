//! Reserving in SQLite: one transaction, which waits for all other writers first.

use super::{AskedBudget, Refusal, ReservationState, Reserved};
use crate::domain::{Amount, Asker, Budget, Call, Outcome, Reserve, Timestamp, TokenUsage, Usd};
use crate::error::{Error, Result};
use crate::store::SqliteStore;
use crate::store::archive::archived_ids;
use crate::store::budgets::{BudgetEntry, BudgetRow, budget_use};
use crate::store::sqlite::find_run;
use crate::store::sqlite::price::price_of;
use serde_json::json;
use sqlx::{FromRow, SqliteConnection};
use std::collections::BTreeMap;

/// How long a reservation that is over is kept, so that asking again is answered alike.
const KEPT_MICROS: i64 = 86_400_000_000;
/// The most that are forgotten at once.
const FORGET_AT_ONCE: i64 = 100;

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

impl SqliteStore {
    pub(super) async fn reserve(&self, ask: &Reserve) -> Result<Reserved> {
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
        sqlx::query_as(include_str!("../../../queries/budget_list.sql")).fetch_all(db).await?;
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
