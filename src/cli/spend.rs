//! `asmm spend`: what was spent, by day, agent, model and pipeline.

mod check;
mod explain;
mod spark;
mod words;

use super::args::{FilterArgs, OutputArgs, SchemasArgs, WindowArgs};
use super::columns::{cost_cell, known_cost, provider_column, share_cell, spend_columns};
use super::context::{Ctx, Exit, Ledgers, say};
use crate::domain::{Usd, Window};
use crate::error::{Error, Result};
use crate::report::{Cell, Column, Format, Kind, Report, Table};
use crate::store::{SpendBy, SpendKey, Totals};
use chrono::TimeDelta;
use clap::{Args, Subcommand, ValueEnum};
use std::cmp::Reverse;
use std::collections::BTreeMap;

mod reconcile;

/// What was spent: by day, agent, model or pipeline
#[derive(Debug, Subcommand)]
pub(crate) enum SpendCommand {
    /// Spend per local day
    Daily(SpendArgs),
    /// Spend per agent
    Agent(SpendArgs),
    /// Spend per model
    Model(SpendArgs),
    /// Spend per pipeline
    Pipeline(SpendArgs),
    Explain(explain::ExplainArgs),
    Check(check::CheckArgs),
    Reconcile(reconcile::ReconcileArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SpendArgs {
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    schemas: SchemasArgs,
    /// Tell these apart as well: day, agent, model, pipeline
    #[arg(long, value_enum, value_name = "WHAT,…", value_delimiter = ',')]
    by: Vec<Dimension>,
    /// Sort by this [default: name for days, else cost]
    #[arg(long, value_enum, value_name = "BY")]
    order: Option<SpendOrder>,
    /// Show only the first N rows; the total stays that of all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Show beside each cost that of the range of the same length before
    #[arg(long, value_enum, value_name = "RANGE")]
    compare: Option<Compare>,
    /// Exit with 3 when the total is more than this many dollars
    #[arg(long, value_name = "USD")]
    fail_over: Option<Usd>,
    /// Exit with 4 when there are calls without a price
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dimension {
    /// The local day
    Day,
    /// The agent
    Agent,
    /// The model, with its provider
    Model,
    /// The pipeline
    Pipeline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SpendOrder {
    /// The most expensive first
    Cost,
    /// The most calls first
    Calls,
    /// The most tokens first
    Tokens,
    /// By day and name
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compare {
    /// The range of the same length just before
    Previous,
}

impl Dimension {
    const fn title(self) -> &'static str {
        match self {
            Self::Day => "Spend by day",
            Self::Agent => "Spend by agent",
            Self::Model => "Spend by model",
            Self::Pipeline => "Spend by pipeline",
        }
    }
}

/// Days shown when no range is given.
const DEFAULT_DAYS: u32 = 30;

/// One row.
struct Line {
    /// Of which ledger, when several are asked.
    schema: Option<String>,
    key: SpendKey,
    totals: Totals,
    previous: Totals,
    /// What was spent from one stretch of the range to the next, if it is drawn.
    series: Vec<Option<Usd>>,
    /// The report's cost: what shares are of.
    whole: Usd,
}

impl Line {
    /// How much more it cost than before, and what it cost then, where both are known.
    fn change(&self) -> Option<(Usd, Usd)> {
        known_cost(&self.totals).zip(known_cost(&self.previous)).map(|(cost, before)| (cost - before, before))
    }
}

pub(crate) async fn run(ctx: &Ctx, command: SpendCommand) -> Result<Exit> {
    let (schema, first, args) = match command {
        SpendCommand::Explain(args) => return explain::run(ctx, args).await,
        SpendCommand::Daily(args) => ("asmm.spend_daily/1", Dimension::Day, args),
        SpendCommand::Agent(args) => ("asmm.spend_agent/1", Dimension::Agent, args),
        SpendCommand::Model(args) => ("asmm.spend_model/1", Dimension::Model, args),
        SpendCommand::Pipeline(args) => ("asmm.spend_pipeline/1", Dimension::Pipeline, args),
        SpendCommand::Check(args) => return check::run(ctx, args).await,
        SpendCommand::Reconcile(args) => return reconcile::run(ctx, args).await,
    };
    let (window, zone) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let by = dimensions(first, &args.by);
    let ledgers = ctx.ledgers(args.schemas.all_schemas).await?;
    let format: Format = args.output.format.into();
    let (mut lines, total) = lines(&ledgers, &window, by, &args).await?;
    let order =
        args.order.unwrap_or(if first == Dimension::Day { SpendOrder::Name } else { SpendOrder::Cost });
    sort(&mut lines, order);

    let mut scope = ledgers.scope(ctx, window, zone, &total.totals).await?;
    scope.against = args.compare.map(|Compare::Previous| window.previous()).transpose()?;
    let mut notes = Vec::new();
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    if let Some(limit) = limit.filter(|limit| *limit < lines.len()) {
        notes.push(format!("{limit} of {} rows", lines.len()));
        lines.truncate(limit);
    }
    let table = table(&lines, &total, by, &args);
    let title = (format == Format::Markdown).then(|| first.title().to_owned());
    let report = Report { title, scope, notes, ..Report::new(schema, table) };
    ctx.print(&report, format)?;
    Ok(match verdict(&args, &total.totals) {
        Exit::Fine => ledgers.exit(),
        verdict => verdict,
    })
}

fn dimensions(first: Dimension, more: &[Dimension]) -> SpendBy {
    let has = |wanted| first == wanted || more.contains(&wanted);
    SpendBy {
        day: has(Dimension::Day),
        pipeline: has(Dimension::Pipeline),
        agent: has(Dimension::Agent),
        model: has(Dimension::Model),
    }
}

/// The rows, and a row that sums them.
async fn lines(
    ledgers: &Ledgers,
    window: &Window,
    by: SpendBy,
    args: &SpendArgs,
) -> Result<(Vec<Line>, Line)> {
    let filter = args.filter.filter();
    let is_drawn = matches!(Format::from(args.output.format), Format::Table | Format::Markdown);
    let answers = ledgers
        .ask(async |store| {
            let spend = store.spend(window, by, &filter).await?;
            let previous = match args.compare {
                Some(Compare::Previous) => {
                    let before = window.previous()?;
                    let distance = window.days().0 - before.days().0;
                    shift_days(store.spend(&before, by, &filter).await?, distance)?
                }
                None => BTreeMap::new(),
            };
            let series =
                if is_drawn { spark::series(store, window, by, &filter).await? } else { BTreeMap::new() };
            Ok((spend, previous, series))
        })
        .await?;
    let mut total = Line {
        schema: None,
        key: SpendKey::default(),
        totals: Totals::default(),
        previous: Totals::default(),
        series: Vec::new(),
        whole: Usd::ZERO,
    };
    let mut lines: Vec<Line> = Vec::new();
    for (schema, (spend, mut previous, series)) in answers {
        let line = |key, totals: Totals, previous: Totals| Line {
            schema: schema.map(str::to_owned),
            series: series.get(&key).cloned().unwrap_or_default(),
            key,
            totals,
            previous,
            whole: Usd::ZERO,
        };
        lines.extend(spend.into_iter().map(|(key, totals)| {
            let previous = previous.remove(&key).unwrap_or_default();
            line(key, totals, previous)
        }));
        // What was there before and is gone now is a change too.
        lines.extend(previous.into_iter().map(|(key, previous)| line(key, Totals::default(), previous)));
    }
    for line in &lines {
        total.totals += line.totals;
        total.previous += line.previous;
    }
    total.whole = total.totals.cost;
    for line in &mut lines {
        line.whole = total.whole;
    }
    Ok((lines, total))
}

/// Moves days forward, so that the first of one range stands beside the first of the other.
fn shift_days(spend: BTreeMap<SpendKey, Totals>, by: TimeDelta) -> Result<BTreeMap<SpendKey, Totals>> {
    spend
        .into_iter()
        .map(|(mut key, totals)| {
            if let Some(day) = key.day {
                let moved = day.checked_add_signed(by);
                key.day = Some(moved.ok_or_else(|| {
                    Error::usage("the range reaches past the calendar").hint("name an earlier --until")
                })?);
            }
            Ok((key, totals))
        })
        .collect()
}

fn sort(lines: &mut [Line], order: SpendOrder) {
    let tokens = |t: &Totals| t.llm_tokens_input() + t.llm_tokens_output() + t.embedding_tokens;
    match order {
        SpendOrder::Name => lines.sort_by(|a, b| (&a.key, &a.schema).cmp(&(&b.key, &b.schema))),
        SpendOrder::Cost => {
            lines.sort_by(|a, b| (Reverse(a.totals.cost), &a.key).cmp(&(Reverse(b.totals.cost), &b.key)));
        }
        SpendOrder::Calls => lines.sort_by(|a, b| {
            (Reverse(a.totals.llm_calls), &a.key).cmp(&(Reverse(b.totals.llm_calls), &b.key))
        }),
        SpendOrder::Tokens => lines
            .sort_by(|a, b| (Reverse(tokens(&a.totals)), &a.key).cmp(&(Reverse(tokens(&b.totals)), &b.key))),
    }
}

fn table(lines: &[Line], total: &Line, by: SpendBy, args: &SpendArgs) -> Table {
    let compare = args.compare.is_some();
    let name = |value: &Option<String>| match value.as_deref() {
        None => Cell::Blank,
        Some("") => Cell::Missing,
        Some(name) => Cell::text(name),
    };
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(lines)
        .totals(total)
        .column_if(args.schemas.all_schemas, text("schema", "schema"), move |l: &Line| name(&l.schema))
        .column_if(by.day, Column::new(Kind::Day, "day", "day"), |l: &Line| l.key.day)
        .column_if(by.pipeline, text("pipeline", "pipeline"), move |l: &Line| name(&l.key.pipeline))
        .column_if(by.agent, text("agent", "agent"), move |l: &Line| name(&l.key.agent))
        .column_if(by.model, provider_column(), move |l: &Line| name(&l.key.provider))
        .column_if(by.model, text("model", "model"), move |l: &Line| name(&l.key.model));
    spend_columns(table, &total.totals, |l: &Line| &l.totals)
        .column_if(compare, Column::new(Kind::Usd, "previous_cost_usd", "before"), |l: &Line| {
            cost_cell(&l.previous)
        })
        .column_if(compare, Column::new(Kind::Usd, "change_usd", "change").trend(), |l: &Line| {
            l.change().map(|(change, _)| change)
        })
        .column_if(compare, Column::new(Kind::Share, "change_share", "in %").signed().keep(5), |l: &Line| {
            l.change().map(|(change, before)| Cell::share_of_usd(change, before))
        })
        .column(Column::new(Kind::Share, "share", "share").keep(5), |l: &Line| share_cell(&l.totals, l.whole))
        .column_if(
            spark::helps(lines.iter().map(|l| l.series.as_slice())),
            Column::spark("when"),
            |l: &Line| Cell::Series(l.series.clone()),
        )
        .column(Column::bar(""), |l: &Line| l.totals.cost)
        .done()
}

fn verdict(args: &SpendArgs, total: &Totals) -> Exit {
    if let Some(limit) = args.fail_over.filter(|limit| total.cost > *limit) {
        say(&format!("over: {} USD were spent, --fail-over is {limit} USD", total.cost));
        return Exit::Over;
    }
    if args.strict && total.unpriced_calls > 0 {
        say(&format!(
            "unpriced: {} of {} calls have no price; `asmm prices missing` names them",
            total.unpriced_calls, total.llm_calls
        ));
        return Exit::Unpriced;
    }
    Exit::Fine
}
