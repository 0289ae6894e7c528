//! `asmm export`: the ledger as lines, its calls and its spend as tables.

mod focus;
mod out;
mod rows;

use super::context::{Ctx, Exit, counted, say};
use crate::domain::{Event, FinishRun, StartRun, StartStep, Timestamp};
use crate::error::{Error, Result};
use crate::intake::native::write_event;
use crate::pricing::{Origin, PriceEntry};
use crate::store::{PromptVersion, Run, Step, Store};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Copy the ledger out
#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    Jsonl(JsonlArgs),
    Csv(rows::CsvArgs),
    Parquet(rows::ParquetArgs),
    Focus(focus::FocusArgs),
}

/// The ledger as native JSONL, which `asmm import jsonl` reads
///
/// Your own prices and aliases and the prompts come first, then each run with its steps, calls, what was sent in
/// them, and its finish; the guard's decisions come last. Importing the file
/// into another ledger gives the same totals; importing it twice changes nothing.
#[derive(Debug, Args)]
pub(crate) struct JsonlArgs {
    /// Write to this file instead of stdout; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave out inputs and texts of prompts: the copy says that they were purged
    #[arg(long)]
    without_inputs: bool,
}

/// How many rows are read at once.
const PAGE: u32 = 1000;
/// How many prompts are: each may be megabytes long.
const PROMPT_PAGE: u32 = 50;

pub(crate) async fn run(ctx: &Ctx, command: ExportCommand) -> Result<Exit> {
    match command {
        ExportCommand::Jsonl(args) => jsonl(ctx, args).await,
        ExportCommand::Csv(args) => rows::csv(ctx, args).await,
        ExportCommand::Parquet(args) => rows::parquet(ctx, args).await,
        ExportCommand::Focus(args) => focus::run(ctx, args).await,
    }
}

async fn jsonl(ctx: &Ctx, args: JsonlArgs) -> Result<Exit> {
    let store = ctx.store().await?;
    // A back-up of every night goes over that of the night before.
    let force = true;
    out::write(args.output.as_deref(), force, async |mut out| {
        write_ledger(&store, !args.without_inputs, &mut out).await
    })
    .await?;
    let archived = store.archived_calls().await?;
    if archived > 0 {
        say(&format!(
            "warning: {} in archives and not in this copy: import those files too",
            counted(archived, "call is", "calls are")
        ));
    }
    Ok(Exit::Fine)
}

async fn write_ledger(store: &Store, with_inputs: bool, out: &mut impl Write) -> Result<()> {
    write_prices(store, out).await?;
    write_prompts(store, out).await?;
    let mut after = None;
    loop {
        let runs = store.runs_page(after, PAGE).await?;
        let Some(last) = runs.last() else { break };
        after = Some((last.started_at, last.run_id));
        for run in &runs {
            write_run(store, run, with_inputs, out).await?;
        }
    }
    let mut after = 0;
    loop {
        let decisions = store.guard_events_page(after, PAGE).await?;
        let Some(last) = decisions.last() else { return Ok(()) };
        after = last.guard_event_id;
        for decision in decisions {
            write_event(&Event::Guard(decision.event), out)?;
        }
    }
}

/// The prices and aliases that are not the program's own: without them another ledger would price otherwise.
async fn write_prices(store: &Store, out: &mut impl Write) -> Result<()> {
    for origin in [Origin::Imported, Origin::User] {
        let mut prices = store.prices(None, None, Some(origin)).await?;
        prices.sort_by_key(|p| p.revision);
        for price in &prices {
            write_line(&price_line(price), out)?;
        }
    }
    for alias in store.aliases().await?.into_iter().filter(|a| a.origin == "user") {
        let line = json!({
            "type": "alias",
            "provider": alias.provider,
            "model": alias.model,
            "target_provider": alias.target_provider,
            "target_model": alias.target_model,
        });
        write_line(&line, out)?;
    }
    Ok(())
}

/// The registry: versions in the order they were pushed, then the moves of labels.
async fn write_prompts(store: &Store, out: &mut impl Write) -> Result<()> {
    let mut after = 0;
    loop {
        let versions = store.prompt_versions_page(after, PROMPT_PAGE).await?;
        let Some(last) = versions.last() else { break };
        after = last.entry.prompt_version_id;
        for PromptVersion { entry, content, source } in &versions {
            let line = json!({
                "type": "prompt_version",
                "prompt": entry.name,
                "version": entry.version,
                "digest": entry.digest,
                "description": entry.description,
                "created_at": entry.created_at,
                "created_by": entry.created_by,
                "git_commit": entry.git_commit,
                "content": content,
                "source": source,
            });
            write_line(&line, out)?;
        }
    }
    for moved in store.label_moves(None, Timestamp::FAR).await? {
        let line = json!({
            "type": "prompt_label",
            "prompt": moved.name,
            "label": moved.label,
            "version": moved.version,
            "moved_at": moved.moved_at,
            "moved_by": moved.moved_by,
        });
        write_line(&line, out)?;
    }
    Ok(())
}

/// What was sent in a run's calls.
async fn write_sent(store: &Store, run: &Run, with_inputs: bool, out: &mut impl Write) -> Result<()> {
    let mut after = None;
    loop {
        let page = store.sent_prompts(run.run_id, after, PROMPT_PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.call_id);
        for mut sent in page {
            let prompt = &mut sent.prompt;
            if !with_inputs && prompt.has_texts() {
                *prompt = std::mem::take(prompt).without_texts();
                prompt.purged_at = Some(store.now());
            }
            write_event(&Event::Prompt(sent), out)?;
        }
    }
}

fn price_line(price: &PriceEntry) -> serde_json::Value {
    json!({
        "type": "price",
        "origin": price.origin.code(),
        "provider": price.provider,
        "model": price.model,
        "service_tier": price.service_tier,
        "over_input_tokens": price.over_input_tokens,
        "effective_from": price.effective_from,
        "daily_utc": price.daily_utc.map(|(from, until)| [from, until]),
        "rates_pico": {
            "input": price.rates.input,
            "cache_read": price.rates.cache_read,
            "cache_write": price.rates.cache_write,
            "cache_write_long": price.rates.cache_write_long,
            "output": price.rates.output,
            "reasoning": price.rates.reasoning,
            "embedding": price.rates.embedding,
            "web_search": price.rates.web_search,
            "request": price.rates.request,
        },
        "revision": price.revision,
        "source": price.source,
    })
}

fn write_line(line: &serde_json::Value, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{line}").map_err(|e| Error::io("the export cannot be written", e))
}

async fn write_run(store: &Store, run: &Run, with_inputs: bool, out: &mut impl Write) -> Result<()> {
    write_event(&Event::Run(run_line(run)), out)?;
    for step in store.steps(run.run_id).await? {
        write_event(&Event::Step(step_line(step.step)), out)?;
    }
    let mut after = None;
    loop {
        let calls = store.calls(run.run_id, after, PAGE).await?;
        let Some(last) = calls.last() else { break };
        after = Some((last.call.called_at, last.call.call_id));
        let is_last = calls.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        for call in calls {
            write_event(&Event::Call(call.call), out)?;
        }
        if is_last {
            break;
        }
    }
    write_sent(store, run, with_inputs, out).await?;
    if let Some(finish) = finish_line(run) {
        write_event(&Event::Finish(finish), out)?;
    }
    Ok(())
}

/// The start of a run.
pub(crate) fn run_line(run: &Run) -> StartRun {
    StartRun {
        run_id: run.run_id,
        pipeline: run.pipeline.clone(),
        started_at: run.started_at,
        labels: run.labels.clone(),
        parent_run_id: run.parent_run_id,
        replay_of: run.replay_of,
    }
}

/// How a run ended, if it has.
pub(crate) fn finish_line(run: &Run) -> Option<FinishRun> {
    let finish = FinishRun { run_id: run.run_id, status: run.status, completed_at: run.completed_at };
    Some(finish).filter(|finish| finish.status.is_final())
}

/// A step, and how it ended, if it has.
pub(crate) fn step_line(step: Step) -> StartStep {
    StartStep {
        run_id: step.run_id,
        step_id: step.step_id,
        step: step.step,
        agent: step.agent,
        prompt_version: step.prompt_version,
        attempt: step.attempt,
        started_at: Some(step.started_at),
        status: Some(step.status).filter(|s| s.is_final()),
        completed_at: step.completed_at,
    }
}
