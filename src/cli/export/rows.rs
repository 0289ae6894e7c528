//! `asmm export csv|parquet`: calls, or spend by day, as a table for other programs.

use super::out;
use crate::cli::args::{FilterArgs, WindowArgs};
use crate::cli::columns::known_cost;
use crate::cli::context::{Ctx, Exit, counted, say};
use crate::domain::{Timestamp, TokenKind, TokenUsage, Window};
use crate::error::Result;
use crate::report::{Cell, Sheet, SheetColumn, SheetFormat, SheetKind};
use crate::store::{Filter, RecordedCall, SpendBy, SpendKey, Store, Totals};
use chrono::{Days, NaiveDate};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Calls, or spend by day, as comma-separated values
///
/// Lines end as RFC 4180 has it, the head holds the ledger's column names, and dollars are exact. What is not known, such
/// as the cost of a call without a price, is an empty field. Words that a spreadsheet would take for a formula get an
/// apostrophe in front; `asmm export parquet` and `asmm export jsonl` keep them as they are.
#[derive(Debug, Args)]
pub(crate) struct CsvArgs {
    #[command(flatten)]
    rows: RowsArgs,
    /// Write to this file instead of stdout; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file, if it is there
    #[arg(long, requires = "output")]
    force: bool,
}

/// Calls, or spend by day, as an Apache Parquet file
///
/// Dollars are DECIMAL(38, 12), which is exact; times are microseconds in UTC; what is not known, such as the cost of a
/// call without a price, is null. Compressed by zstd.
#[derive(Debug, Args)]
pub(crate) struct ParquetArgs {
    #[command(flatten)]
    rows: RowsArgs,
    /// Write to this file; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite the file, if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
struct RowsArgs {
    /// What to write
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = What::Calls)]
    what: What,
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A row a call, in the order they were made
    Calls,
    /// A row for each local day, pipeline, agent, provider and model
    Spend,
}

/// Days written when no range is given.
const DEFAULT_DAYS: u32 = 30;

pub(super) async fn csv(ctx: &Ctx, args: CsvArgs) -> Result<Exit> {
    run(ctx, &args.rows, SheetFormat::Csv, args.output.as_deref(), args.force).await
}

pub(super) async fn parquet(ctx: &Ctx, args: ParquetArgs) -> Result<Exit> {
    run(ctx, &args.rows, SheetFormat::Parquet, Some(&args.output), args.force).await
}

async fn run(
    ctx: &Ctx,
    args: &RowsArgs,
    format: SheetFormat,
    path: Option<&Path>,
    force: bool,
) -> Result<Exit> {
    let (window, _) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let store = ctx.store().await?;
    let filter = args.filter.filter();
    out::write(path, force, async |out| match args.what {
        What::Calls => write_calls(&store, &window, &filter, format, out).await,
        What::Spend => write_spend(&store, &window, &filter, format, out).await,
    })
    .await?;
    if args.what == What::Calls {
        warn_of_archives(&store, &window).await?;
    }
    Ok(Exit::Fine)
}

/// Says how many calls of a range are in archives instead of the ledger.
async fn warn_of_archives(store: &Store, window: &Window) -> Result<()> {
    let archived = store.archived_calls_in(window).await?;
    if archived > 0 {
        say(&format!(
            "warning: {} in archives and not in this copy: import those files first",
            counted(archived, "call of the range is", "calls of the range are")
        ));
    }
    Ok(())
}

/// The token kinds, by the ledger's column names.
fn usage_columns(is_nullable: bool) -> impl Iterator<Item = SheetColumn> {
    [
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_long_tokens",
        "output_tokens",
        "reasoning_tokens",
        "embedding_tokens",
        "web_searches",
    ]
    .into_iter()
    .map(move |name| SheetColumn { is_nullable, ..SheetColumn::new(SheetKind::Count, name) })
}

/// The columns of `v_call`.
fn call_columns() -> Vec<SheetColumn> {
    let text = |name| SheetColumn::new(SheetKind::Text, name);
    let mut columns = vec![
        text("run_id"),
        text("call_id"),
        text("step_id").or_unknown(),
        text("pipeline"),
        text("agent"),
        text("provider"),
        text("model"),
        text("operation"),
        text("service_tier"),
        SheetColumn::new(SheetKind::Time, "called_at"),
    ];
    columns.extend(usage_columns(true));
    columns.extend([
        SheetColumn::new(SheetKind::Count, "latency_ms").or_unknown(),
        text("outcome"),
        text("response_id").or_unknown(),
        text("pricing_state"),
        SheetColumn::new(SheetKind::Usd, "estimated_cost_usd").or_unknown(),
    ]);
    columns
}

fn call_cells(pipeline: String, RecordedCall { call, pricing_state, cost, .. }: RecordedCall) -> Vec<Cell> {
    let mut cells = vec![
        Cell::id(call.run_id),
        Cell::id(call.call_id),
        call.step_id.map_or(Cell::Missing, Cell::id),
        Cell::Text(pipeline),
        Cell::Text(call.agent),
        Cell::Text(call.provider),
        Cell::Text(call.model),
        Cell::Text(call.operation),
        Cell::Text(call.service_tier),
        Cell::Time(call.called_at),
    ];
    cells.extend(usage_cells(call.usage.as_ref()));
    cells.extend([
        call.latency_ms.map_or(Cell::Missing, Cell::Count),
        Cell::text(call.outcome.code()),
        call.response_id.into(),
        Cell::text(pricing_state.code()),
        Cell::cost(cost),
    ]);
    cells
}

fn usage_cells(usage: Option<&TokenUsage>) -> [Cell; 8] {
    TokenKind::ALL.map(|kind| usage.map_or(Cell::Missing, |usage| Cell::Tokens(usage.of(kind))))
}

async fn write_calls(
    store: &Store,
    window: &Window,
    filter: &Filter,
    format: SheetFormat,
    out: &mut dyn Write,
) -> Result<()> {
    let mut sheet = Sheet::new(out, format, call_columns())?;
    let mut calls = store.export_calls(window.since, window.until, filter);
    while let Some((pipeline, call)) = calls.next().await? {
        sheet.row(&call_cells(pipeline, call))?;
    }
    sheet.finish()
}

fn spend_columns() -> Vec<SheetColumn> {
    let text = |name| SheetColumn::new(SheetKind::Text, name);
    let count = |name| SheetColumn::new(SheetKind::Count, name);
    let mut columns = vec![
        SheetColumn::new(SheetKind::Day, "day"),
        text("pipeline"),
        text("agent"),
        text("provider"),
        text("model"),
        count("llm_calls"),
        count("unpriced_calls"),
        count("llm_tokens_input"),
        count("llm_tokens_output"),
    ];
    columns.extend(usage_columns(false));
    columns.push(SheetColumn::new(SheetKind::Usd, "estimated_cost_usd").or_unknown());
    columns
}

fn spend_cells(day: NaiveDate, key: SpendKey, totals: &Totals) -> Vec<Cell> {
    let name = |name: Option<String>| Cell::Text(name.unwrap_or_default());
    let counts = [
        totals.llm_calls,
        totals.unpriced_calls,
        totals.llm_tokens_input(),
        totals.llm_tokens_output(),
        totals.input_tokens,
        totals.cache_read_tokens,
        totals.cache_write_tokens,
        totals.cache_write_long_tokens,
        totals.output_tokens,
        totals.reasoning_tokens,
        totals.embedding_tokens,
        totals.web_searches,
    ];
    let mut cells =
        vec![Cell::Day(day), name(key.pipeline), name(key.agent), name(key.provider), name(key.model)];
    cells.extend(counts.map(Cell::Count));
    cells.push(Cell::cost(known_cost(totals)));
    cells
}

/// A day at a time, so that only one is held.
async fn write_spend(
    store: &Store,
    window: &Window,
    filter: &Filter,
    format: SheetFormat,
    out: &mut dyn Write,
) -> Result<()> {
    let by = SpendBy { day: false, pipeline: true, agent: true, model: true };
    let mut sheet = Sheet::new(out, format, spend_columns())?;
    for (day, part) in days_of(window, store.now())? {
        for (key, totals) in store.spend(&part, by, filter).await? {
            sheet.row(&spend_cells(day, key, &totals))?;
        }
    }
    sheet.finish()
}

/// A day, in microseconds.
const DAY_MICROS: i64 = 86_400_000_000;

/// The local days of a window, each with its part of it; only those of which a ledger may hold something.
pub(super) fn days_of(window: &Window, now: Timestamp) -> Result<Vec<(NaiveDate, Window)>> {
    let since = window.since.max(Timestamp::EARLIEST);
    // A call may be a day ahead, by the clock of another machine.
    let until = window.until.min(now.plus_micros(2 * DAY_MICROS));
    if since >= until {
        return Ok(Vec::new());
    }
    let (mut day, last) = Window::between(since, until, window.zone)?.days();
    let mut days = Vec::new();
    while day <= last {
        let whole = Window::dates(day, day, window.zone)?;
        let (since, until) = (whole.since.max(since), whole.until.min(until));
        if since < until {
            days.push((day, Window::between(since, until, window.zone)?));
        }
        let Some(next) = day.checked_add_days(Days::new(1)) else { break };
        day = next;
    }
    Ok(days)
}
