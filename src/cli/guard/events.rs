//! `asmm guard events`: what was decided, and why.

use crate::cli::args::{OutputArgs, WindowArgs};
use crate::cli::context::{Ctx, Exit};
use crate::domain::{Decision, Digest};
use crate::error::Result;
use crate::report::{Cell, Column, Empty, Kind, Report, Shown, Table};
use crate::store::{GuardFilter, RecordedDecision};
use clap::{Args, ValueEnum};

/// What the guard decided, and why; newest first
///
/// A row is a decision about one value in one place. The value itself is nowhere: its fingerprint, made with a key
/// outside the ledger, tells whether it is the same as another one.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// Only of this run: its id, a beginning or ending of it, or last
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only in runs of this pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    /// Only by this detector
    #[arg(long, value_name = "NAME")]
    detector: Option<String>,
    /// Only this decision
    #[arg(long, value_enum, value_name = "DECISION")]
    decision: Option<DecisionArg>,
    /// Only about the value with this fingerprint, as --format json shows it
    #[arg(long, value_name = "DIGEST")]
    fingerprint: Option<Digest>,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum DecisionArg {
    /// Only reported: the value stayed
    Report,
    /// Allowed to stay, by a variable or in a template's own text
    AllowRaw,
    /// Replaced by a token
    Redact,
    /// The text was refused
    Block,
}

impl From<DecisionArg> for Decision {
    fn from(decision: DecisionArg) -> Self {
        match decision {
            DecisionArg::Report => Self::Report,
            DecisionArg::AllowRaw => Self::AllowRaw,
            DecisionArg::Redact => Self::Redact,
            DecisionArg::Block => Self::Block,
        }
    }
}

/// Days looked at when no range is given.
const DEFAULT_DAYS: u32 = 7;

pub(super) async fn run(ctx: &Ctx, args: EventsArgs) -> Result<Exit> {
    let (window, zone) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let store = ctx.store().await?;
    let run_id = match &args.run {
        Some(name) => Some(store.run_named(name).await?.run_id),
        None => None,
    };
    let filter = GuardFilter {
        run_id,
        detector: args.detector,
        decision: args.decision.map(Decision::from),
        pipeline: args.pipeline,
        fingerprint: args.fingerprint,
    };
    let counts = store.guard_event_counts(&window, &filter).await?;
    let events = store.guard_events(&window, &filter, args.limit).await?;
    let all: u64 = counts.iter().map(|count| count.events).sum();
    let mut notes = Vec::new();
    let shown = u64::try_from(events.len()).unwrap_or(u64::MAX);
    if shown < all {
        notes.push(format!("the newest {shown} of {all} decisions"));
    }
    if all > 0 {
        let parts: Vec<String> =
            counts.iter().map(|count| format!("{} {}", count.events, count.decision)).collect();
        notes.push(format!("decisions: {}", parts.join(", ")));
    }
    let scope = ctx.scope(&store, Some(window), zone, None).await?;
    let empty = Empty {
        what: "decisions".to_owned(),
        next_step: "nothing was found in this range; `asmm guard coverage` tells how much was looked at"
            .to_owned(),
    };
    let report = Report { scope, empty, notes, ..Report::new("asmm.guard_events/1", table(&events)) };
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}

fn table(events: &[RecordedDecision]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let programs = |kind, key| Column::new(kind, key, key).shown(Shown::ProgramsOnly);
    Table::of(events)
        .column(Column::new(Kind::Time, "decided_at", "decided").keep(6), |e: &RecordedDecision| {
            e.event.decided_at
        })
        .column(Column::new(Kind::Id, "run_id", "run").keep(4), |e| {
            e.event.run_id.map_or(Cell::Missing, Cell::id)
        })
        .column(programs(Kind::Id, "call_id"), |e| e.event.call_id.map_or(Cell::Missing, Cell::id))
        .column(programs(Kind::Text, "pipeline"), |e| e.pipeline.clone())
        .column(text("prompt", "prompt").keep(3), |e| e.event.prompt.clone())
        .column(text("variable", "variable"), |e| e.event.variable.clone())
        .column(text("detector", "detector"), |e| e.event.detector.clone())
        .column(Column::new(Kind::Count, "findings", "found").keep(7), |e| {
            Cell::Count(e.event.findings.into())
        })
        .column(text("decision", "decision"), |e| e.event.decision.code())
        .column(text("token", "token").keep(5), |e| e.event.token.clone())
        .column(text("reason", "why").keep(1), |e| e.event.reason.clone())
        .column(programs(Kind::Text, "fingerprint"), |e| e.event.fingerprint.map(|f| f.to_string()))
        .column(programs(Kind::Text, "rules_sha256"), |e| e.event.rules_sha256.to_string())
        .column(programs(Kind::Text, "policy_sha256"), |e| e.event.policy_sha256.to_string())
        .column(programs(Kind::Id, "event_id"), |e| Cell::id(e.event.event_id))
        .done()
}
