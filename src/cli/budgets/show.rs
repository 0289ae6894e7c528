//! `asmm budgets show`: one budget, and what was done to it.

use super::kind;
use super::list::{lines, standing, time_left};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit};
use crate::domain::Timestamp;
use crate::error::Result;
use crate::report::{Cell, Column, Document, Kind, Scope, Shown, Table};
use crate::store::{BudgetEntry, BudgetState};
use clap::Args;

/// One budget: how much of it is used, and every change of it
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// What it is called
    name: String,
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: ShowArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let store = ctx.store().await?;
    let scope = ctx.scope(&store, None, zone, None).await?;
    let line = lines(ctx, &store).await?.into_iter().find(|line| line.state.budget.name == args.name);
    let history = match store.budget_history(&args.name).await {
        // One that only asmm.yaml has.
        Err(_) if line.is_some() => Vec::new(),
        history => history?,
    };
    let mut document = match &line {
        Some(line) => head(scope, &line.state, ctx.clock.now()),
        None => Document::new("asmm.budget/1", scope)
            .field("budget", "budget", args.name.clone())
            .field("standing", "is", "removed"),
    };
    if !history.is_empty() {
        document = document.section("history", "what was done, the newest first", history_table(&history));
    }
    ctx.print_document(&document, args.output.format.into())?;
    Ok(Exit::Fine)
}

fn head(scope: Scope, state: &BudgetState, now: Timestamp) -> Document {
    let budget = &state.budget;
    Document::new("asmm.budget/1", scope)
        .field("budget", "budget", budget.name.clone())
        .field("standing", "is", standing(state))
        .field("counts", "counts", budget.scope.to_string())
        .field("kind", "kind", kind(budget))
        .field("period", "per", budget.period.code())
        .field("time_zone", "time zone", budget.zone.name())
        .field("since", "since", state.window.since)
        .field("until", "until", state.window.until)
        .field("time_left", "time left", time_left(now, state.window.until))
        .field("limit_usd", "limit (USD)", budget.limit)
        .field("spent_usd", "spent (USD)", state.spent)
        .field("reserved_usd", "reserved (USD)", state.reserved)
        .field("left_usd", "left (USD)", state.left())
        .field("llm_calls", "calls", Cell::Count(state.llm_calls))
        .field("unpriced_calls", "unpriced", Cell::Count(state.unpriced_calls))
        .field("reservations", "reservations", Cell::Count(state.reservations))
        .field("unpriced_reservations", "of them unpriced", Cell::Count(state.unpriced_reservations))
}

fn history_table(history: &[BudgetEntry]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    Table::of(history)
        .column(Column::new(Kind::Time, "set_at", "when"), |e: &BudgetEntry| e.set_at)
        .column(text("set_by", "by"), |e| e.set_by.clone())
        .column(text("act", "did"), |e| if e.is_removed { "remove" } else { "set" })
        .column(Column::new(Kind::Usd, "limit_usd", "limit"), |e| e.budget.limit)
        .column(text("period", "per"), |e| e.budget.period.code())
        .column(text("time_zone", "zone").keep(2), |e| e.budget.zone.name())
        .column(text("counts", "counts").keep(1), |e| e.budget.scope.to_string())
        .column(text("kind", "kind"), |e| kind(&e.budget))
        .column(Column::new(Kind::Text, "is_hard", "hard").shown(Shown::ProgramsOnly), |e| {
            Cell::Bool(e.budget.is_hard)
        })
        .done()
}
