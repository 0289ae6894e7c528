//! `asmm prices reprice`: today's prices for calls of before.

use crate::cli::args::{OutputArgs, WindowArgs};
use crate::cli::context::{Ctx, Exit, counted};
use crate::error::Result;
use crate::report::{Cell, Column, Empty, Kind, Report, Table};
use crate::store::{PriceScope, Repriced};
use clap::Args;

/// Price calls again by the prices of today
///
/// New prices never change what calls cost by themselves. This command does, and notes each change with the
/// reason in the ledger (price_event). Calls whose price would be the same are left alone.
#[derive(Debug, Args)]
pub(crate) struct RepriceArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only this provider, as reported
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only this model, as reported
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: RepriceArgs) -> Result<Exit> {
    let (window, zone) = args.window.resolve(ctx, 30)?;
    let store = ctx.store().await?;
    let scope = PriceScope {
        everything: true,
        since: Some(window.since),
        until: Some(window.until),
        provider: args.provider,
        model: args.model,
    };
    let changed = store.reprice(&scope, args.reason.as_deref().unwrap_or_default(), args.dry_run).await?;
    let mut sum = Repriced::default();
    for (_, repriced) in &changed {
        sum += *repriced;
    }
    let lines: Vec<(Option<_>, Repriced)> = changed.into_iter().map(|(run, r)| (Some(run), r)).collect();
    let total = (None, sum);
    let table = Table::of(&lines)
        .totals(&total)
        .column(Column::new(Kind::Id, "run_id", "run"), |(run, _)| run.map_or(Cell::Blank, Cell::id))
        .column(Column::new(Kind::Count, "llm_calls", "calls"), |(_, r): &(Option<_>, Repriced)| {
            Cell::Count(r.calls)
        })
        .column(Column::new(Kind::Usd, "cost_before_usd", "before"), |(_, r)| r.before)
        .column(Column::new(Kind::Usd, "cost_after_usd", "after"), |(_, r)| r.after)
        .column(Column::new(Kind::Usd, "change_usd", "change").signed(), |(_, r)| r.after - r.before)
        .done();
    let report_scope = ctx.scope(&store, Some(window), zone, None).await?;
    let empty = Empty {
        what: "calls whose price changed".to_owned(),
        next_step: "what is recorded is what today's prices say".to_owned(),
    };
    let mut report = Report { scope: report_scope, empty, ..Report::new("asmm.prices_reprice/1", table) };
    if args.dry_run && sum.calls > 0 {
        report.notes.push("nothing was changed: this was a dry run".to_owned());
    }
    let archived = store.archived_calls_in(&window).await?;
    if archived > 0 {
        let calls = counted(archived, "archived call keeps its price", "archived calls keep their prices");
        report.notes.push(format!("{calls}: `asmm import jsonl` of their file brings them back"));
    }
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}
