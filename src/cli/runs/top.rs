//! `asmm runs top` and `asmm runs list`.

use crate::cli::args::{FilterArgs, OutputArgs, SchemasArgs, WindowArgs};
use crate::cli::columns::{share_cell, spend_columns};
use crate::cli::context::{Ctx, Exit, say};
use crate::domain::{Timestamp, Usd};
use crate::error::Result;
use crate::prompt::{Reference, VersionRef};
use crate::report::{Cell, Column, Empty, Kind, Report, Shown, Table};
use crate::store::{Run, RunOrder, RunTotals, Totals, UsedBy};
use clap::{Args, ValueEnum};
use std::cmp::Reverse;

/// The most expensive runs that started in a range
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    schemas: SchemasArgs,
    /// Only runs with a step or call that used this prompt: any version (name) or one (name@7, name@label)
    #[arg(long, value_name = "PROMPT", conflicts_with = "all_schemas")]
    prompt: Option<Reference>,
    /// How many runs to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// What makes a run the first
    #[arg(long, value_enum, value_name = "BY", default_value_t = Order::Cost)]
    order: Order,
    /// Exit with 4 when there are calls without a price
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// The newest runs
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    schemas: SchemasArgs,
    /// Only runs with a step or call that used this prompt: any version (name) or one (name@7, name@label)
    #[arg(long, value_name = "PROMPT", conflicts_with = "all_schemas")]
    prompt: Option<Reference>,
    /// How many runs to show
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// What makes a run the first
    #[arg(long, value_enum, value_name = "BY", default_value_t = Order::Started)]
    order: Order,
    /// Exit with 4 when there are calls without a price
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    /// The most expensive
    Cost,
    /// The newest
    Started,
    /// The most calls
    Calls,
    /// The most tokens
    Tokens,
}

impl From<Order> for RunOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Cost => Self::Cost,
            Order::Started => Self::Started,
            Order::Calls => Self::Calls,
            Order::Tokens => Self::Tokens,
        }
    }
}

/// Days looked at when no range is given.
const DEFAULT_DAYS: u32 = 7;

/// One row; the total's run is `None`.
struct Line {
    /// Of which ledger, when several are asked.
    schema: Option<String>,
    run: Option<Run>,
    totals: Totals,
    whole: Usd,
    now: Timestamp,
}

pub(crate) async fn top(ctx: &Ctx, args: TopArgs) -> Result<Exit> {
    let list = ListArgs {
        window: args.window,
        filter: args.filter,
        schemas: args.schemas,
        prompt: args.prompt,
        limit: args.limit,
        order: args.order,
        strict: args.strict,
        output: args.output,
    };
    list_runs(ctx, &list, "the most expensive").await
}

pub(crate) async fn list(ctx: &Ctx, args: ListArgs) -> Result<Exit> {
    list_runs(ctx, &args, "the newest").await
}

async fn list_runs(ctx: &Ctx, args: &ListArgs, which: &str) -> Result<Exit> {
    let (window, zone) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let filter = args.filter.filter();
    let ledgers = ctx.ledgers(args.schemas.all_schemas).await?;
    let now = ctx.clock.now();
    let answers = ledgers
        .ask(async |store| {
            let prompt = match &args.prompt {
                Some(reference) => {
                    let version = store.prompt_version(reference, now).await?.entry;
                    let any = reference.version == VersionRef::Latest;
                    Some(UsedBy { name: version.name, version: (!any).then_some(version.version) })
                }
                None => None,
            };
            let all = store.run_totals(&window, &filter, prompt.as_ref()).await?;
            let runs = store.runs(&window, &filter, prompt.as_ref(), args.order.into(), args.limit).await?;
            Ok((all, runs))
        })
        .await?;
    let mut all = RunTotals::default();
    for (_, (of_one, _)) in &answers {
        all.runs += of_one.runs;
        all.totals += of_one.totals;
    }
    let whole = all.totals.cost;
    let mut lines: Vec<Line> = Vec::new();
    for (schema, (_, runs)) in answers {
        lines.extend(runs.into_iter().map(|run| {
            let schema = schema.map(str::to_owned);
            Line { schema, totals: run.totals, run: Some(run), whole, now }
        }));
    }
    if args.schemas.all_schemas {
        sort(&mut lines, args.order);
        lines.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    }
    let total = Line { schema: None, run: None, totals: all.totals, whole, now };

    let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    let notes = if shown < all.runs {
        vec![format!("{which} {shown} of {} runs; the total is that of all", all.runs)]
    } else {
        Vec::new()
    };
    let scope = ledgers.scope(ctx, window, zone, &all.totals).await?;
    let empty = Empty {
        what: "runs".to_owned(),
        next_step: "widen the range with `--days`, or record some: `asmm runs exec`, `asmm import`"
            .to_owned(),
    };
    let report = Report { scope, empty, notes, ..Report::new("asmm.runs/1", table(&lines, &total, args)) };
    ctx.print(&report, args.output.format.into())?;
    if args.strict && all.totals.unpriced_calls > 0 {
        say(&format!(
            "unpriced: {} of {} calls have no price; `asmm prices missing` names them",
            all.totals.unpriced_calls, all.totals.llm_calls
        ));
        return Ok(Exit::Unpriced);
    }
    Ok(ledgers.exit())
}

/// As each ledger has sorted its own.
fn sort(lines: &mut [Line], order: Order) {
    let tokens = |t: &Totals| t.llm_tokens_input() + t.llm_tokens_output() + t.embedding_tokens;
    lines.sort_by_key(|line| {
        let first = match order {
            Order::Cost => (line.totals.cost, 0),
            Order::Started => (Usd::ZERO, 0),
            Order::Calls => (Usd::ZERO, line.totals.llm_calls),
            Order::Tokens => (Usd::ZERO, tokens(&line.totals)),
        };
        let run = line.run.as_ref().map(|run| (Reverse(run.started_at), run.run_id));
        (Reverse(first), run)
    });
}

fn table(lines: &[Line], total: &Line, args: &ListArgs) -> Table {
    let programs = |kind, key| Column::new(kind, key, key).shown(Shown::ProgramsOnly);
    let table = Table::of(lines)
        .totals(total)
        .column_if(args.schemas.all_schemas, Column::new(Kind::Text, "schema", "schema"), |l: &Line| {
            l.schema.as_deref().map_or(Cell::Blank, Cell::text)
        })
        .column(Column::new(Kind::Id, "run_id", "run"), |l: &Line| {
            l.run.as_ref().map_or(Cell::Blank, |r| Cell::id(r.run_id))
        })
        .column(Column::new(Kind::Text, "pipeline", "pipeline"), |l: &Line| {
            l.run.as_ref().map_or(Cell::Blank, |r| Cell::text(&r.pipeline))
        })
        .column(Column::new(Kind::Text, "status", "status").keep(1), |l: &Line| {
            l.run.as_ref().map_or(Cell::Blank, |r| Cell::text(r.status.code()))
        })
        .column(Column::new(Kind::Time, "started_at", "started").keep(3), |l: &Line| {
            l.run.as_ref().map_or(Cell::Blank, |r| Cell::Time(r.started_at))
        })
        .column(Column::new(Kind::Duration, "duration_ms", "took").keep(8), duration)
        .column(programs(Kind::Time, "completed_at"), |l: &Line| {
            l.run.as_ref().map_or(Cell::Blank, |r| r.completed_at.into())
        })
        .column(programs(Kind::Text, "labels"), |l: &Line| {
            let pairs = |r: &Run| r.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            l.run.as_ref().map_or(Cell::Blank, |r| Cell::Pairs(pairs(r)))
        });
    spend_columns(table, &total.totals, |l: &Line| &l.totals)
        .column(Column::new(Kind::Share, "share", "share").keep(5), |l: &Line| share_cell(&l.totals, l.whole))
        .column(Column::bar(""), |l: &Line| l.totals.cost)
        .done()
}

/// From start to end, or to now.
fn duration(line: &Line) -> Cell {
    let Some(run) = &line.run else { return Cell::Blank };
    let end = run.completed_at.unwrap_or(line.now);
    let micros = end.micros().saturating_sub(run.started_at.micros());
    u64::try_from(micros / 1000).map_or(Cell::Missing, Cell::Millis)
}
