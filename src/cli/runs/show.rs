//! `asmm runs show`: one run in detail.

use crate::cli::args::OutputArgs;
use crate::cli::columns::{cost_cell, provider_column, share_cell, spend_columns};
use crate::cli::context::{Ctx, Exit, counted};
use crate::error::Result;
use crate::report::{Cell, Column, Document, Kind, Scope, Table};
use crate::store::{Archived, ModelSpend, Run, StepSpend};
use clap::Args;

/// One run: its totals, steps, and what it spent on which model
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run: its id, at least 4 characters of its beginning or ending, or `last`
    run: String,
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(ctx: &Ctx, args: ShowArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let store = ctx.store().await?;
    let run = store.run_named(&args.run).await?;
    let steps = store.steps(run.run_id).await?;
    let spend = store.run_spend(run.run_id).await?;
    let scope = ctx.scope(&store, None, zone, Some(&run.totals)).await?;
    let mut document = head("asmm.run/1", scope, &run);
    let archives = store.archives_of(run.run_id).await?;
    if !steps.is_empty() {
        document = document.section("steps", "steps", step_table(&steps, &run, archives.is_empty()));
    }
    document = document.section("spend", "spend by agent and model", spend_table(&spend, &run));
    if !archives.is_empty() && !steps.is_empty() {
        document.notes.push("what each step spent is not known here: its calls are archived".to_owned());
    }
    document.notes.extend(whereabouts(&archives));
    ctx.print_document(&document, args.output.format.into())?;
    Ok(Exit::Fine)
}

/// The run itself, as the head of a document.
pub(super) fn head(schema: &'static str, scope: Scope, run: &Run) -> Document {
    let totals = &run.totals;
    let mut document = Document::new(schema, scope)
        .field("run_id", "run", Cell::id(run.run_id))
        .field("pipeline", "pipeline", run.pipeline.clone())
        .field("status", "status", run.status.code())
        .field("started_at", "started", run.started_at)
        .field("completed_at", "completed", run.completed_at)
        .field("costed_at", "costed", run.costed_at);
    if !run.labels.is_empty() {
        let pairs = run.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        document = document.field("labels", "labels", Cell::Pairs(pairs));
    }
    if let Some(parent) = run.parent_run_id {
        document = document.field("parent_run_id", "started by run", Cell::id(parent));
    }
    if let Some(original) = run.replay_of {
        document = document.field("replay_of", "replay of run", Cell::id(original));
    }
    document
        .field("llm_calls", "calls", Cell::Count(totals.llm_calls))
        .field("unpriced_calls", "unpriced", Cell::Count(totals.unpriced_calls))
        .field("llm_tokens_input", "input tokens", Cell::Tokens(totals.llm_tokens_input()))
        .field("llm_tokens_output", "output tokens", Cell::Tokens(totals.llm_tokens_output()))
        .field("embedding_tokens", "embedding tokens", Cell::Tokens(totals.embedding_tokens))
        .field("estimated_cost_usd", "cost (USD)", cost_cell(totals))
}

/// Where the calls of a run are that are not in the journal.
pub(in crate::cli) fn whereabouts(archives: &[Archived]) -> Vec<String> {
    let say = |archive: &Archived| {
        format!(
            "{} in `{}` since {}; `asmm import jsonl` of it brings them back",
            counted(archive.calls, "call is archived", "calls are archived"),
            archive.file,
            archive.archived_at.to_utc().format("%Y-%m-%d")
        )
    };
    archives.iter().map(say).collect()
}

/// The steps; what they spent only if all their calls are there to be summed up.
fn step_table(steps: &[StepSpend], run: &Run, is_whole: bool) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(steps)
        .column(Column::new(Kind::Id, "step_id", "id").keep(10), |s: &StepSpend| Cell::id(s.step.step_id))
        .column(text("step", "step"), |s| s.step.step.clone())
        .column(text("agent", "agent").keep(2), |s| named(&s.step.agent))
        .column(Column::new(Kind::Count, "attempt", "attempt").keep(9), |s| {
            Cell::Count(u64::from(s.step.attempt))
        })
        .column(text("status", "status").keep(1), |s| s.step.status.code())
        .column(text("prompt_version", "prompt").keep(2), |s| s.step.prompt_version.clone())
        .column(Column::new(Kind::Time, "started_at", "started").keep(8), |s| s.step.started_at)
        .column(Column::new(Kind::Time, "completed_at", "completed").keep(9), |s| s.step.completed_at);
    if is_whole { spend_columns(table, &run.totals, |s: &StepSpend| &s.totals).done() } else { table.done() }
}

fn spend_table(spend: &[ModelSpend], run: &Run) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let whole = run.totals.cost;
    let table = Table::of(spend)
        .column(text("agent", "agent"), |s: &ModelSpend| named(&s.agent))
        .column(provider_column(), |s| named(&s.provider))
        .column(text("model", "model"), |s| s.model.clone());
    spend_columns(table, &run.totals, |s: &ModelSpend| &s.totals)
        .column(Column::new(Kind::Share, "share", "share").keep(5), move |s: &ModelSpend| {
            share_cell(&s.totals, whole)
        })
        .column(Column::bar(""), |s: &ModelSpend| s.totals.cost)
        .done()
}

/// A name that may be absent.
pub(super) fn named(name: &str) -> Cell {
    if name.is_empty() { Cell::Missing } else { Cell::text(name) }
}
