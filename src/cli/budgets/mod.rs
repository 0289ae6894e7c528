//! `asmm budgets`: what may be spent, and asking before spending.

mod list;
mod reserve;
mod set;
mod show;

use super::context::{Ctx, Exit};
use crate::domain::Budget;
use crate::error::Result;
use clap::Subcommand;

/// Budgets: what may be spent in a day, a week or a month, and asking before spending
#[derive(Debug, Subcommand)]
pub(crate) enum BudgetsCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Set(set::SetArgs),
    Remove(set::RemoveArgs),
    Sync(set::SyncArgs),
    Reserve(Box<reserve::ReserveArgs>),
    Release(reserve::ReleaseArgs),
}

pub(crate) async fn run(ctx: &Ctx, command: BudgetsCommand) -> Result<Exit> {
    match command {
        BudgetsCommand::List(args) => list::run(ctx, args).await,
        BudgetsCommand::Show(args) => show::run(ctx, args).await,
        BudgetsCommand::Set(args) => set::set(ctx, args).await,
        BudgetsCommand::Remove(args) => set::remove(ctx, &args).await,
        BudgetsCommand::Sync(args) => set::sync(ctx, &args).await,
        BudgetsCommand::Reserve(args) => reserve::reserve(ctx, *args).await,
        BudgetsCommand::Release(args) => reserve::release(ctx, &args).await,
    }
}

/// `hard`, or `soft`.
fn kind(budget: &Budget) -> &'static str {
    if budget.is_hard { "hard" } else { "soft" }
}

/// What a budget is, in words: `50 USD a day (Europe/Oslo), pipeline enrichment, hard`.
fn in_words(budget: &Budget) -> String {
    let Budget { limit, period, zone, scope, .. } = budget;
    format!("{limit} USD a {period} ({}), {scope}, {}", zone.name(), kind(budget))
}
