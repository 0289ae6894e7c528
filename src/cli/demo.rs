//! `asmm demo`: what asmm shows, on real traces, in a ledger of its own.

mod pipeline;

use super::context::{Ctx, Exit, print_line, say};
use super::{Cli, dispatch};
use crate::domain::{Call, Event, FinishRun, RunId, StartRun, Timestamp, Window};
use crate::error::{Error, Result};
use crate::intake::lines::Lines;
use crate::intake::traces::{self, TraceOptions};
use crate::settings;
use crate::store::{Location, Store};
use clap::{Args, Parser};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// See what asmm shows, on a slice of real production traces
///
/// Loads the traces into a ledger of its own (never yours), moved to this week, pushes the example prompts, runs the
/// example pipeline on three companies with a stand-in for a model, and prints the reports and a verified replay.
/// Running it again makes that ledger anew.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// A bundled trace, and what it stands for: the traces have sizes and times, but no names.
struct Part {
    file: &'static str,
    bytes: &'static [u8],
    pipeline: &'static str,
    agent: &'static str,
    provider: &'static str,
    model: &'static str,
    run_every: u32,
}

const PARTS: [Part; 3] = [
    Part {
        file: "azure-code",
        bytes: include_bytes!("../../examples/traces/azure-code/trace.csv.gz"),
        pipeline: "code-review",
        agent: "reviewer",
        provider: "openai",
        model: "gpt-4o",
        run_every: 30,
    },
    Part {
        file: "azure-conversation",
        bytes: include_bytes!("../../examples/traces/azure-conversation/trace.csv.gz"),
        pipeline: "support-chat",
        agent: "support",
        provider: "anthropic",
        model: "claude-haiku-4-5-20251001",
        run_every: 60,
    },
    Part {
        file: "mooncake",
        bytes: include_bytes!("../../examples/traces/mooncake/trace.jsonl.gz"),
        pipeline: "enrichment",
        agent: "researcher",
        provider: "anthropic",
        model: "claude-sonnet-4-5-20250929",
        run_every: 20,
    },
];

/// Every so many runs of the chat pipeline go to a model that no catalogue knows.
const HOME_MADE_EVERY: usize = 9;
const HOME_MADE: (&str, &str) = ("in-house", "support-tuned-8b");

const DAYS: u32 = 7;
const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 24 * HOUR_MICROS;

/// What is shown: the very commands a user would type.
const COMMANDS: [&[&str]; 7] = [
    &["spend", "daily", "--days", "7"],
    &["spend", "agent", "--days", "7"],
    &["spend", "model", "--days", "7"],
    &["runs", "top", "--days", "7", "--limit", "5"],
    &["runs", "show", "last"],
    &["replay", "last", "--verify"],
    &["guard", "events", "--run", "last"],
];

pub(crate) async fn run(ctx: &Ctx, _args: DemoArgs) -> Result<Exit> {
    let folder = settings::data_home()?.join("asmm");
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::io(format!("the folder `{}` cannot be made", folder.display()), e))?;
    let path = folder.join("demo.db");
    // Made beside its place and moved there when whole, so that two demos at once do not meet.
    let fresh = folder.join(format!("demo.{}.db", std::process::id()));
    let outcome = show(ctx, &fresh, &path).await;
    for leftover in ["", "-wal", "-shm", ".lock"] {
        let mut name = fresh.clone().into_os_string();
        name.push(leftover);
        // Gone already, when all went well.
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
    outcome
}

async fn show(ctx: &Ctx, fresh: &Path, path: &Path) -> Result<Exit> {
    let location = Location::new(format!("sqlite:{}", fresh.display()), ctx.location.schema.clone());
    let ctx = ctx.at(location);
    let store = ctx.store().await?;
    let week = Window::last_days(DAYS, store.now(), ctx.zone(None)?.0)?;
    let start = first_row(store.now(), week.since);
    let mut calls = 0;
    for part in &PARTS {
        calls += load(&store, part, start).await?;
    }
    let made = pipeline::run(&store).await?;
    store.close().await;
    say(&format!(
        "{calls} calls of three production traces (Azure, Mooncake), moved to the last {DAYS} days;\n\
         {made} calls of the example pipeline, with the prompts of prompts/ and a stand-in for a model\n"
    ));
    for command in COMMANDS {
        print_line(&format!("# asmm {}", command.join(" ")))?;
        let words = std::iter::once("asmm").chain(command.iter().copied());
        let parsed = Cli::try_parse_from(words).map_err(|e| Error::usage(e.to_string()))?;
        let exit = dispatch(&ctx, parsed.command).await?;
        if exit != Exit::Fine {
            return Ok(exit);
        }
        print_line("")?;
    }
    std::fs::rename(fresh, path)
        .map_err(|e| Error::io(format!("`{}` cannot be written", path.display()), e))?;
    say(&format!("The ledger is in {}. Look further:", path.display()));
    say(&format!("  export ASMM_DATABASE_URL=sqlite:{}", path.display()));
    say("  asmm runs explain last --limit 3      the arithmetic of a cost");
    say("  asmm replay last --step summarise     what was sent, word for word");
    say("  asmm prices missing                   models without a price");
    say("  asmm spend daily --by pipeline        any two dimensions");
    Ok(Exit::Fine)
}

async fn load(store: &Store, part: &Part, start: Timestamp) -> Result<u64> {
    let now = store.now();
    let options = TraceOptions {
        pipeline: part.pipeline.to_owned(),
        provider: part.provider.to_owned(),
        model: part.model.to_owned(),
        agent: part.agent.to_owned(),
        start: Some(start),
        run_every: part.run_every,
    };
    let mut lines = Lines::new(part.bytes)
        .map_err(|e| Error::io(format!("the bundled trace `{}` is damaged", part.file), e))?;
    let mut events = Vec::new();
    let summary = traces::read(part.file, &mut lines, &options, now, |event| {
        events.push(event);
        Ok(())
    })?;
    if let Some(complaint) = summary.complaints.first().first() {
        return Err(Error::input(format!("the bundled trace is damaged: {complaint}")));
    }
    spread(&mut events, part.pipeline == "support-chat");
    let applied = store.apply(&events).await?;
    match applied.refused.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(applied.calls.recorded),
    }
}

/// The traces start a week ago, at an hour that leaves the last day's part before now, and on the first of the
/// days that are shown.
fn first_row(now: Timestamp, first_day: Timestamp) -> Timestamp {
    let days = i64::from(DAYS) - 1;
    now.plus_micros(-days * DAY_MICROS - 2 * HOUR_MICROS).max(first_day)
}

/// The traces cover an hour at most; their runs are dealt out over the days, in order. A run moves as a whole,
/// so that everything in it keeps its distance.
fn spread(events: &mut [Event], with_home_made: bool) {
    let mut places: HashMap<RunId, usize> = HashMap::new();
    for event in events.iter() {
        if let Event::Run(run) = event {
            places.insert(run.run_id, places.len());
        }
    }
    let (runs, days) = (places.len().max(1), usize::try_from(DAYS).unwrap_or(1));
    for event in events {
        let (Event::Run(StartRun { run_id, .. })
        | Event::Call(Call { run_id, .. })
        | Event::Finish(FinishRun { run_id, .. })) = &*event
        else {
            continue;
        };
        let place = places.get(run_id).copied().unwrap_or_default();
        let day = i64::try_from(place * days / runs).unwrap_or_default();
        let moved = |time: Timestamp| time.plus_micros(day * DAY_MICROS);
        match event {
            Event::Run(run) => run.started_at = moved(run.started_at),
            Event::Finish(finish) => finish.completed_at = finish.completed_at.map(moved),
            Event::Call(call) => {
                call.called_at = moved(call.called_at);
                if with_home_made && place % HOME_MADE_EVERY == 4 {
                    HOME_MADE.0.clone_into(&mut call.provider);
                    HOME_MADE.1.clone_into(&mut call.model);
                }
            }
            Event::Step(_) | Event::Prompt(_) | Event::FinishStep(_) | Event::Guard(_) | Event::Span(_) => {}
        }
    }
}
