//! `asmm budgets set`, `remove` and `sync`.

use super::in_words;
use crate::cli::context::{Ctx, Exit, counted, say};
use crate::domain::{Budget, BudgetScope, Period, Usd};
use crate::error::{Error, Result};
use crate::settings::budgets::label;
use crate::store::Store;
use clap::{Args, ValueEnum};

/// Set a budget from now on
///
/// A soft budget warns when it is exceeded. A hard one also refuses what asks before it spends, `asmm budgets reserve`, and
/// does not fit. Setting it again changes it; what was before stays in its history.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// What it is called
    name: String,
    /// The most that may be spent, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    limit: Usd,
    /// In what time: of the calendar, a week from Monday
    #[arg(long, value_enum, value_name = "PERIOD")]
    per: PeriodArg,
    /// Whose midnight begins it: an IANA name [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Only calls of this pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    /// Only calls of this agent
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    agent: Option<String>,
    /// Only calls of this provider, as reported
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    provider: Option<String>,
    /// Only calls of this model, as reported
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    model: Option<String>,
    /// Only calls of runs with this label
    #[arg(long, value_name = "NAME=TEXT")]
    label: Option<String>,
    /// Refuse reservations that do not fit
    #[arg(long)]
    hard: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PeriodArg {
    /// From midnight to midnight
    Day,
    /// From Monday to Sunday
    Week,
    /// A month of the calendar
    Month,
}

impl From<PeriodArg> for Period {
    fn from(period: PeriodArg) -> Self {
        match period {
            PeriodArg::Day => Self::Day,
            PeriodArg::Week => Self::Week,
            PeriodArg::Month => Self::Month,
        }
    }
}

/// Take a budget back; its history stays
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// What it is called
    name: String,
}

/// Bring the budgets of asmm.yaml into the ledger, where whoever asks before spending finds them
///
/// Each that the ledger does not have, or has otherwise, is set as the file says. Budgets that the file does not name
/// stay.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// Only say what would be set
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn set(ctx: &Ctx, args: SetArgs) -> Result<Exit> {
    let (zone, _) = ctx.zone(args.tz.as_deref())?;
    let scope = BudgetScope {
        pipeline: args.pipeline,
        agent: args.agent,
        provider: args.provider,
        model: args.model,
        label: args.label.as_deref().map(label).transpose()?,
    };
    let (limit, period, is_hard) = (args.limit, args.per.into(), args.hard);
    let budget = Budget { name: args.name, limit, period, zone, scope, is_hard };
    budget.check()?;
    if let Some(file) = ctx.file_budgets()?.into_iter().find(|file| file.name == budget.name)
        && file != budget
    {
        return Err(Error::input(format!(
            "budget `{}` is another one in asmm.yaml: {}",
            budget.name,
            in_words(&file)
        ))
        .hint("change it there and run `asmm budgets sync`, or take another name"));
    }
    let store = ctx.store().await?;
    apply(&store, &budget).await?;
    Ok(Exit::Fine)
}

/// Sets a budget, and says what changed. Answers whether anything did.
async fn apply(store: &Store, budget: &Budget) -> Result<bool> {
    let (name, words) = (&budget.name, in_words(budget));
    let (before, changed) = store.set_budget(budget).await?;
    match before {
        _ if !changed => say(&format!("budget `{name}` is {words} already: nothing was changed")),
        Some(before) => say(&format!("budget `{name}` is now {words}; it was {}", in_words(&before))),
        None => say(&format!("budget `{name}` is new: {words}")),
    }
    Ok(changed)
}

pub(super) async fn remove(ctx: &Ctx, args: &RemoveArgs) -> Result<Exit> {
    let store = ctx.store().await?;
    let budget = store.remove_budget(&args.name).await?;
    say(&format!("budget `{}` is removed; it was {}", budget.name, in_words(&budget)));
    if ctx.file_budgets()?.iter().any(|file| file.name == budget.name) {
        say("warning: asmm.yaml still has it, and `asmm budgets sync` brings it back");
    }
    Ok(Exit::Fine)
}

pub(super) async fn sync(ctx: &Ctx, args: &SyncArgs) -> Result<Exit> {
    let file = ctx.file_budgets()?;
    if file.is_empty() {
        return Err(Error::input("asmm.yaml names no budgets")
            .hint("put them under `budgets:`, or set one with `asmm budgets set`; see RUNBOOK.md, Budgets"));
    }
    let store = ctx.store().await?;
    if args.dry_run {
        let known = store.budgets().await?;
        for budget in &file {
            let verb = match known.iter().find(|entry| entry.budget.name == budget.name) {
                Some(entry) if entry.budget == *budget => continue,
                Some(_) => "would be changed",
                None => "would be new",
            };
            say(&format!("budget `{}` {verb}: {}", budget.name, in_words(budget)));
        }
        return Ok(Exit::Fine);
    }
    let mut changed = 0_u64;
    for budget in &file {
        changed += u64::from(apply(&store, budget).await?);
    }
    say(&format!("{} of {} set", changed, counted(file.len(), "budget", "budgets")));
    Ok(Exit::Fine)
}
