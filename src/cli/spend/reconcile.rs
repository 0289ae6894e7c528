//! `asmm spend reconcile`: the ledger against what providers billed.

mod sides;
mod tolerance;

use super::super::args::{OutputArgs, WindowArgs};
use super::super::columns::known_cost;
use super::super::context::{Ctx, Exit, say};
use crate::domain::{Usd, Window};
use crate::error::{Error, Result};
use crate::report::{Cell, Column, Empty, Kind, Report, Shown, Table};
use crate::store::{Filter, SpendBy, Totals};
use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use sides::{Line, Pair, Sides};
use std::collections::BTreeSet;
use tolerance::Tolerance;

/// The ledger against providers' usage and costs, by UTC day and model
///
/// Compares what is recorded with what `asmm import openai-usage` and `asmm import anthropic-usage` brought in. Names of models are
/// matched as prices are looked up: two names with one price entry are one model. What was billed but not by model has rows of its own.
/// What was not imported is unknown, not 0, and is in no difference.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// The last N UTC days, today included [default: 30]
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "until"])]
    days: Option<u32>,
    /// From this UTC day on: 2026-11-01
    #[arg(long, value_name = "DAY")]
    since: Option<String>,
    /// Up to this UTC day (included)
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// Only this provider: openai, anthropic
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    provider: Option<String>,
    /// Tell only these apart, beside the provider [default: day,model]
    #[arg(long, value_enum, value_name = "WHAT,…", value_delimiter = ',')]
    by: Vec<By>,
    /// Exit with 3 when billed and recorded costs differ by more than this, or cannot be compared: 12.50 (dollars) or 2% (of what
    /// was billed)
    #[arg(long, value_name = "USD|PERCENT")]
    fail_over: Option<Tolerance>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// The UTC day
    Day,
    /// The model
    Model,
}

/// Days shown when no range is given.
const DEFAULT_DAYS: u32 = 30;

pub(super) async fn run(ctx: &Ctx, args: ReconcileArgs) -> Result<Exit> {
    let window = window(ctx, &args)?;
    let store = ctx.store().await?;
    let by = SpendBy { day: true, model: true, ..SpendBy::default() };
    let recorded = store.spend(&window, by, &Filter::default()).await?;
    let days = (window.since.seconds().div_euclid(86_400), window.until.seconds().div_euclid(86_400));
    let billed = store.provider_days(days).await?;
    let buckets = store.provider_buckets(days).await?;
    let mut names: BTreeSet<(&str, &str)> = recorded
        .keys()
        .map(|key| (key.provider.as_deref().unwrap_or_default(), key.model.as_deref().unwrap_or_default()))
        .collect();
    names.extend(
        billed.iter().filter_map(|day| Some((day.provider.as_str(), sides::billed_name(&day.line)?))),
    );
    let entries = store.price_entries(names.into_iter()).await?;

    let sides = Sides::new(&entries, &recorded, &billed, &buckets, args.provider.as_deref());
    let (by_day, by_model) = (args.has(By::Day), args.has(By::Model));
    let lines = sides.lines(by_day, by_model);
    let total = sides.total();
    let scope =
        ctx.scope(&store, Some(window), (Tz::UTC, "the days of invoices"), Some(&total.recorded)).await?;
    let notes = sides.notes(ctx.clock.now());
    let empty = Empty {
        what: "calls or invoices".to_owned(),
        next_step: "import what the provider says: `asmm import openai-usage --help`".to_owned(),
    };
    let report = Report {
        scope,
        empty,
        notes,
        ..Report::new("asmm.spend_reconcile/1", table(&lines, &total, by_day, by_model))
    };
    ctx.print(&report, args.output.format.into())?;
    Ok(verdict(args.fail_over, total.cost))
}

impl ReconcileArgs {
    fn has(&self, what: By) -> bool {
        self.by.is_empty() || self.by.contains(&what)
    }
}

/// The range, which is of whole UTC days, for those are what providers bill.
fn window(ctx: &Ctx, args: &ReconcileArgs) -> Result<Window> {
    let asked = WindowArgs {
        days: args.days,
        since: args.since.clone(),
        until: args.until.clone(),
        tz: Some("UTC".to_owned()),
    };
    let (window, _) = asked.resolve(ctx, DEFAULT_DAYS)?;
    let (first, last) = window.days();
    if Window::dates(first, last, Tz::UTC)? != window {
        return Err(Error::usage("the range cuts a UTC day, and invoices are of whole ones")
            .hint("name days: --since 2026-11-01 --until 2026-11-30"));
    }
    Ok(window)
}

fn verdict(tolerance: Option<Tolerance>, cost: Option<Pair<Usd>>) -> Exit {
    let Some(tolerance) = tolerance else { return Exit::Fine };
    let Some(Pair { billed, recorded }) = cost else {
        say(&format!("unknown: no costs were imported for this range; --fail-over is {tolerance}"));
        return Exit::Over;
    };
    if tolerance.is_exceeded(billed, recorded) {
        say(&format!(
            "over: {billed} USD were billed and {recorded} USD recorded, --fail-over is {tolerance}"
        ));
        return Exit::Over;
    }
    Exit::Fine
}

/// A number of a day as a day.
fn day(number: i64) -> Option<NaiveDate> {
    NaiveDate::default().checked_add_days(Days::new(u64::try_from(number).ok()?))
}

fn table(lines: &[Line], total: &Line, by_day: bool, by_model: bool) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let tokens = |key, title| Column::new(Kind::Tokens, key, title);
    let name = |name: &Option<String>| name.as_deref().filter(|name| !name.is_empty()).map(str::to_owned);
    let list = |names: &BTreeSet<String>| Cell::List(names.iter().cloned().collect());
    let usd = |key, title| Column::new(Kind::Usd, key, title);
    Table::of(lines)
        .totals(total)
        .column_if(by_day, Column::new(Kind::Day, "day", "day"), |l: &Line| l.day.and_then(day))
        .column(text("provider", "provider").keep(1), move |l| name(&l.provider))
        .column_if(by_model, text("", "model").shown(Shown::TableOnly), |l: &Line| l.label())
        .column_if(by_model, text("model", "model").shown(Shown::ProgramsOnly), move |l: &Line| {
            name(&l.model)
        })
        .column_if(by_model, text("line_item", "item").shown(Shown::ProgramsOnly), |l: &Line| l.item.clone())
        .column(usd("billed_cost_usd", "billed"), |l| l.billed.cost)
        .column(usd("recorded_cost_usd", "recorded"), |l| Cell::cost(known_cost(&l.recorded)))
        .column(usd("difference_usd", "difference").signed(), |l| {
            l.cost.map(|pair| pair.billed - pair.recorded)
        })
        .column(tokens("billed_tokens", "tokens billed").keep(3), |l| count(l.billed.tokens()))
        .column(tokens("recorded_tokens", "recorded").keep(4), |l| Cell::Tokens(all_tokens(&l.recorded)))
        .column(Column::new(Kind::Count, "difference_tokens", "difference").shown(Shown::ProgramsOnly), |l| {
            l.tokens.map_or(Cell::Missing, |pair| change(pair.billed, pair.recorded))
        })
        .column(Column::new(Kind::Share, "coverage", "covered"), |l| {
            l.tokens.map_or(Cell::Missing, |pair| Cell::share_of_count(pair.recorded, pair.billed))
        })
        .column(Column::new(Kind::Count, "billed_requests", "requests").keep(6), |l| {
            l.billed.requests.map_or(Cell::Missing, Cell::Count)
        })
        .column(Column::new(Kind::Count, "recorded_calls", "calls").keep(5), |l| {
            Cell::Count(l.recorded.llm_calls)
        })
        .column(Column::new(Kind::Count, "unpriced_calls", "unpriced").shown(Shown::ProgramsOnly), |l| {
            Cell::Count(l.recorded.unpriced_calls)
        })
        .column(tokens("billed_tokens_input", "").shown(Shown::ProgramsOnly), |l| count(l.billed.input))
        .column(tokens("recorded_tokens_input", "").shown(Shown::ProgramsOnly), |l| {
            Cell::Tokens(l.recorded.llm_tokens_input())
        })
        .column(tokens("billed_tokens_output", "").shown(Shown::ProgramsOnly), |l| count(l.billed.output))
        .column(tokens("recorded_tokens_output", "").shown(Shown::ProgramsOnly), |l| {
            Cell::Tokens(l.recorded.llm_tokens_output())
        })
        .column(tokens("billed_embedding_tokens", "").shown(Shown::ProgramsOnly), |l| {
            count(l.billed.embedding)
        })
        .column(tokens("recorded_embedding_tokens", "").shown(Shown::ProgramsOnly), |l| {
            Cell::Tokens(l.recorded.embedding_tokens)
        })
        .column_if(by_model, text("billed_names", "").shown(Shown::ProgramsOnly), move |l: &Line| {
            list(&l.billed_names)
        })
        .column_if(by_model, text("recorded_names", "").shown(Shown::ProgramsOnly), move |l: &Line| {
            list(&l.recorded_names)
        })
        .done()
}

fn count(tokens: Option<u64>) -> Cell {
    tokens.map_or(Cell::Missing, Cell::Tokens)
}

fn all_tokens(totals: &Totals) -> u64 {
    totals.llm_tokens_input() + totals.llm_tokens_output() + totals.embedding_tokens
}

fn change(billed: u64, recorded: u64) -> Cell {
    let change = i128::from(billed) - i128::from(recorded);
    i64::try_from(change).map_or(Cell::Missing, Cell::Change)
}
