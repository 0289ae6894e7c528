//! `asmm guard coverage`: which share of calls the guard has seen.

use crate::cli::args::{OutputArgs, WindowArgs};
use crate::cli::context::{Ctx, Exit, counted};
use crate::error::Result;
use crate::report::{Cell, Column, Empty, Kind, Report, Table};
use crate::store::GuardCoverage;
use clap::Args;

/// Which share of calls was looked at before it was sent
///
/// A call is covered when the guard looked at its text before it was sent: it was clean, redacted, or allowed raw.
/// It is not when something was found only afterwards (exposed), when nobody looked (unscanned: `asmm guard sweep`
/// does), or when what was sent is not recorded.
#[derive(Debug, Args)]
pub(crate) struct CoverageArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only this pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Days looked at when no range is given.
const DEFAULT_DAYS: u32 = 7;

/// One row; the total has no pipeline.
struct Line {
    is_total: bool,
    counts: GuardCoverage,
}

pub(super) async fn run(ctx: &Ctx, args: CoverageArgs) -> Result<Exit> {
    let (window, zone) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let store = ctx.store().await?;
    let rows = store.guard_coverage(&window, args.pipeline.as_deref()).await?;
    let mut total = Line { is_total: true, counts: GuardCoverage::default() };
    for row in &rows {
        total.counts += row;
    }
    let lines: Vec<Line> = rows.into_iter().map(|counts| Line { is_total: false, counts }).collect();
    let scope = ctx.scope(&store, Some(window), zone, None).await?;
    let empty = Empty {
        what: "calls".to_owned(),
        next_step: "widen the range with `--days`, or record some: `asmm help runs`".to_owned(),
    };
    let mut report = Report { scope, empty, ..Report::new("asmm.guard_coverage/1", table(&lines, &total)) };
    if total.counts.unscanned + total.counts.exposed > 0 {
        report
            .notes
            .push("`asmm guard sweep` looks at what nobody looked at; with --redact it redacts".to_owned());
    }
    let archived = store.archived_calls_in(&window).await?;
    if archived > 0 {
        let calls = counted(archived, "archived call is", "archived calls are");
        report.notes.push(format!("{calls} not counted: `asmm runs show` says where a run's calls went"));
    }
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}

fn table(lines: &[Line], total: &Line) -> Table {
    let count = |key, title| Column::new(Kind::Count, key, title);
    Table::of(lines)
        .totals(total)
        .column(Column::new(Kind::Text, "pipeline", "pipeline"), |line: &Line| {
            if line.is_total { Cell::Blank } else { Cell::text(&line.counts.pipeline) }
        })
        .column(count("calls", "calls"), |line| Cell::Count(line.counts.calls))
        .column(Column::new(Kind::Share, "covered_share", "covered"), |line| {
            let counts = &line.counts;
            Cell::share_of_count(counts.clean + counts.redacted + counts.raw_allowed, counts.calls)
        })
        .column(count("clean", "clean").keep(4), |line| Cell::Count(line.counts.clean))
        .column(count("redacted", "redacted"), |line| Cell::Count(line.counts.redacted))
        .column(count("raw_allowed", "raw"), |line| Cell::Count(line.counts.raw_allowed))
        .column(count("exposed", "exposed"), |line| Cell::Count(line.counts.exposed))
        .column(count("unscanned", "unscanned"), |line| Cell::Count(line.counts.unscanned))
        .column(count("not_recorded", "not recorded").keep(3), |line| Cell::Count(line.counts.not_recorded))
        .done()
}
