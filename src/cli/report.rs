//! `asmm report`: one page to hand around, with charts and tables.

mod figures;

use super::args::{FilterArgs, WindowArgs};
use super::columns::{cost_cell, share_cell, spend_columns};
use super::context::{Ctx, Exit, say};
use super::target::{self, Target};
use crate::domain::{Timestamp, Usd, Window};
use crate::error::Result;
use crate::report::{Cell, Column, Document, Kind, Page, Scope, Table, shown_usd};
use crate::store::{Filter, Run, RunOrder, RunTotals, SpendBy, SpendKey, Store, Totals};
use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use figures::figures;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A page to hand around: charts and tables of the spend in one HTML file
///
/// The file is whole in itself: no script, nothing from the network, light and dark, and it prints.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Write the page to this file, or to stdout (-); it appears when it is complete
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    /// Replace the file if it is there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// What the columns of the first chart consist of
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Stack::Agent)]
    stack: Stack,
    /// How many runs to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The page's title
    #[arg(long, value_name = "TEXT", default_value = "LLM spend")]
    title: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stack {
    /// What each agent spent
    Agent,
    /// What was spent on each model
    Model,
    /// What each pipeline spent
    Pipeline,
}

/// Days shown when no range is given.
const DEFAULT_DAYS: u32 = 30;

/// What the page shows.
struct Found {
    window: Window,
    /// By day and what columns consist of.
    stacked: BTreeMap<SpendKey, Totals>,
    agents: Vec<Row>,
    models: Vec<Row>,
    pipelines: Vec<Row>,
    total: Totals,
    previous: Totals,
    runs: Vec<Run>,
    all_runs: RunTotals,
    now: Timestamp,
}

/// One row of a table of spend, and what its share is of.
struct Row {
    key: SpendKey,
    totals: Totals,
    whole: Usd,
}

pub(crate) async fn run(ctx: &Ctx, args: ReportArgs) -> Result<Exit> {
    let to_stdout = args.html.as_os_str() == "-";
    if !to_stdout {
        // Wrong use is told before the ledger is asked.
        Target::at(&args.html, args.force)?;
    }
    let (window, zone) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let store = ctx.store().await?;
    let found = find(ctx, &store, &window, &args).await?;
    let scope = ctx.scope(&store, Some(window), zone, Some(&found.total)).await?;
    let page = page(&found, scope, &args);
    if to_stdout {
        Ctx::print_page(&page)?;
        return Ok(Exit::Fine);
    }
    target::write(&args.html, args.force, async |out| page.write(out)).await?;
    say(&format!("written to {}", args.html.display()));
    Ok(Exit::Fine)
}

async fn find(ctx: &Ctx, store: &Store, window: &Window, args: &ReportArgs) -> Result<Found> {
    let filter = args.filter.filter();
    let nothing = SpendBy::default();
    let stack = match args.stack {
        Stack::Agent => SpendBy { agent: true, ..nothing },
        Stack::Model => SpendBy { model: true, ..nothing },
        Stack::Pipeline => SpendBy { pipeline: true, ..nothing },
    };
    let whole = |spend: BTreeMap<SpendKey, Totals>| spend.into_values().fold(Totals::default(), plus);
    let total = whole(store.spend(window, nothing, &filter).await?);
    Ok(Found {
        window: *window,
        stacked: store.spend(window, SpendBy { day: true, ..stack }, &filter).await?,
        agents: rows(store, window, SpendBy { agent: true, ..nothing }, &filter, total.cost).await?,
        models: rows(store, window, SpendBy { model: true, ..nothing }, &filter, total.cost).await?,
        pipelines: rows(store, window, SpendBy { pipeline: true, ..nothing }, &filter, total.cost).await?,
        total,
        previous: whole(store.spend(&window.previous()?, nothing, &filter).await?),
        runs: store.runs(window, &filter, None, RunOrder::Cost, args.limit).await?,
        all_runs: store.run_totals(window, &filter, None).await?,
        now: ctx.clock.now(),
    })
}

fn plus(mut sum: Totals, totals: Totals) -> Totals {
    sum += totals;
    sum
}

/// The most expensive first.
async fn rows(store: &Store, window: &Window, by: SpendBy, filter: &Filter, whole: Usd) -> Result<Vec<Row>> {
    let spend = store.spend(window, by, filter).await?;
    let mut rows: Vec<Row> = spend.into_iter().map(|(key, totals)| Row { key, totals, whole }).collect();
    rows.sort_by(|a, b| (Reverse(a.totals.cost), &a.key).cmp(&(Reverse(b.totals.cost), &b.key)));
    Ok(rows)
}

fn page(found: &Found, scope: Scope, args: &ReportArgs) -> Page {
    let total = Row { key: SpendKey::default(), totals: found.total, whole: found.total.cost };
    let mut days: BTreeMap<Option<NaiveDate>, Totals> = BTreeMap::new();
    for (key, totals) in &found.stacked {
        *days.entry(key.day).or_default() += *totals;
    }
    let daily: Vec<Row> = days
        .into_iter()
        .map(|(day, totals)| Row { key: SpendKey { day, ..SpendKey::default() }, totals, whole: total.whole })
        .collect();
    let document = facts(found, Document::new("asmm.report/1", scope))
        .section("daily", "By day", spend_table(&daily, &total))
        .section("agent", "By agent", spend_table(&found.agents, &total))
        .section("model", "By model", spend_table(&found.models, &total))
        .section("pipeline", "By pipeline", spend_table(&found.pipelines, &total))
        .section("runs", "Most expensive runs", run_table(found));
    let mut page = Page { title: args.title.clone(), figures: figures(found, args.stack), document };
    let shown = u64::try_from(found.runs.len()).unwrap_or(u64::MAX);
    if shown < found.all_runs.runs {
        page.document.notes.push(format!(
            "Of {} runs that started in the range the {shown} most expensive are shown; the total is that of all.",
            found.all_runs.runs
        ));
    }
    let version = env!("CARGO_PKG_VERSION");
    page.document.notes.push(format!("Written by asmm {version} at {}.", found.now));
    page
}

/// The large numbers at the top.
fn facts(found: &Found, document: Document) -> Document {
    let Totals { llm_calls: calls, unpriced_calls: unpriced, .. } = found.total;
    let priced = calls.saturating_sub(unpriced);
    let change = match found.previous.cost {
        // Nothing to compare with, or nothing known of it.
        Usd::ZERO => Cell::Missing,
        before => {
            let change = found.total.cost - before;
            let arrow = match change.cmp(&Usd::ZERO) {
                Ordering::Greater => "▲ ",
                Ordering::Less => "▼ ",
                Ordering::Equal => "",
            };
            Cell::text(format!("{arrow}{}", shown_usd(change, before, true)))
        }
    };
    document
        .field("total_cost", "spent", cost_cell(&found.total))
        .field("total_change", "change from before", change)
        .field("total_calls", "calls", Cell::Count(calls))
        .field("total_priced", "calls priced", Cell::share_of_count(priced, calls))
        .field("total_input", "input tokens", Cell::Tokens(found.total.llm_tokens_input()))
        .field("total_output", "output tokens", Cell::Tokens(found.total.llm_tokens_output()))
}

fn name(value: Option<&String>) -> Cell {
    match value.map(String::as_str) {
        None => Cell::Blank,
        Some("") => Cell::Missing,
        Some(name) => Cell::text(name),
    }
}

fn spend_table(rows: &[Row], total: &Row) -> Table {
    let has = |part: fn(&SpendKey) -> bool| rows.iter().any(|row| part(&row.key));
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(rows)
        .totals(total)
        .column_if(has(|key| key.day.is_some()), Column::new(Kind::Day, "day", "day"), |r: &Row| r.key.day)
        .column_if(has(|key| key.pipeline.is_some()), text("pipeline", "pipeline"), |r: &Row| {
            name(r.key.pipeline.as_ref())
        })
        .column_if(has(|key| key.agent.is_some()), text("agent", "agent"), |r: &Row| {
            name(r.key.agent.as_ref())
        })
        .column_if(has(|key| key.model.is_some()), text("model", "model"), |r: &Row| {
            name(r.key.model.as_ref())
        })
        .column_if(has(|key| key.provider.is_some()), text("provider", "provider"), |r: &Row| {
            name(r.key.provider.as_ref())
        });
    spend_columns(table, &total.totals, |r: &Row| &r.totals)
        .column(Column::new(Kind::Share, "share", "share"), |r: &Row| share_cell(&r.totals, r.whole))
        .done()
}

/// A run, or the sum of all of them.
struct RunRow<'a> {
    run: Option<&'a Run>,
    totals: Totals,
    whole: Usd,
}

fn run_table(found: &Found) -> Table {
    let whole = found.all_runs.totals.cost;
    let rows: Vec<RunRow> =
        found.runs.iter().map(|run| RunRow { run: Some(run), totals: run.totals, whole }).collect();
    let total = RunRow { run: None, totals: found.all_runs.totals, whole };
    let cell = |row: &RunRow, cell: fn(&Run) -> Cell| row.run.map_or(Cell::Blank, cell);
    let table = Table::of(&rows)
        .totals(&total)
        .column(Column::new(Kind::Id, "run_id", "run"), |r: &RunRow| cell(r, |run| Cell::id(run.run_id)))
        .column(Column::new(Kind::Text, "pipeline", "pipeline"), |r: &RunRow| {
            cell(r, |run| Cell::text(&run.pipeline))
        })
        .column(Column::new(Kind::Text, "status", "status"), |r: &RunRow| {
            cell(r, |run| Cell::text(run.status.code()))
        })
        .column(Column::new(Kind::Time, "started_at", "started"), |r: &RunRow| {
            cell(r, |run| Cell::Time(run.started_at))
        });
    spend_columns(table, &total.totals, |r: &RunRow| &r.totals)
        .column(Column::new(Kind::Share, "share", "share"), |r: &RunRow| share_cell(&r.totals, r.whole))
        .done()
}
