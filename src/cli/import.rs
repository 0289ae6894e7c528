//! `asmm import`: usage from elsewhere.

use super::context::{Ctx, Exit, say};
use crate::domain::{Event, RunId, Timestamp};
use crate::error::{Error, Result};
use crate::intake::Complaints;
use crate::intake::claude_code;
use crate::intake::lines::Lines;
use crate::intake::native::{self, Line};
use crate::intake::traces::{self, TraceOptions};
use crate::store::{Recorded, Store};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

mod prices;

/// Bring in usage from elsewhere
///
/// Importing the same input again changes nothing. A line that is wrong is counted, named and skipped.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Native JSONL, as `asmm export jsonl` writes it
    Jsonl(JsonlArgs),
    /// Production traces: the Azure LLM inference traces, the Mooncake traces
    Traces(TracesArgs),
    /// The session logs of Claude Code
    ClaudeCode(ClaudeCodeArgs),
}

/// Native JSONL, as `asmm export jsonl` writes it
#[derive(Debug, Args)]
pub(crate) struct JsonlArgs {
    /// The files, plain or gzip; `-` is stdin
    #[arg(default_value = "-", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 when a line was skipped or refused
    #[arg(long)]
    strict: bool,
}

/// Production traces: the Azure LLM inference traces, the Mooncake traces
///
/// The traces have sizes and times, but neither names nor runs: you say which pipeline and model they
/// stand for, and each stretch of --run-every seconds becomes a run.
#[derive(Debug, Args)]
pub(crate) struct TracesArgs {
    /// The files, plain or gzip
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The pipeline [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// The provider
    #[arg(long, value_name = "NAME", default_value = "openai")]
    provider: String,
    /// The model
    #[arg(long, value_name = "NAME", default_value = "gpt-4o")]
    model: String,
    /// The agent
    #[arg(long, value_name = "NAME", default_value = "main")]
    agent: String,
    /// Move the first row to this time, and the others with it; Mooncake's times are relative and need it
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// The length of a run in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TraceOptions::RUN_EVERY)]
    run_every: u32,
    /// Exit with 1 when a line was skipped or refused
    #[arg(long)]
    strict: bool,
}

/// The session logs of Claude Code
///
/// A project's folder becomes a pipeline, a session a run, and a subagent an agent of its own. A response that
/// is still being written (younger than 5 minutes) is left for the next import.
#[derive(Debug, Args)]
pub(crate) struct ClaudeCodeArgs {
    /// A projects folder, its parent, a project's folder, or single files [default: ~/.claude]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 when a line was skipped or refused
    #[arg(long)]
    strict: bool,
}

pub(crate) async fn run(ctx: &Ctx, command: ImportCommand) -> Result<Exit> {
    match command {
        ImportCommand::Jsonl(args) => jsonl(ctx, args).await,
        ImportCommand::Traces(args) => import_traces(ctx, args).await,
        ImportCommand::ClaudeCode(args) => import_claude_code(ctx, args).await,
    }
}

/// How many events go to the ledger at once.
const CHUNK: usize = 4000;

/// Collects events and brings them to the ledger in chunks.
///
/// The readers are plain iterators without a runtime, so that a chunk is applied by blocking on it from
/// within their callback.
pub(crate) struct Importer<'a> {
    store: &'a Store,
    chunk: Vec<Event>,
    places: Vec<u64>,
    runs: BTreeSet<RunId>,
    calls: Recorded,
    complaints: Complaints,
}

impl<'a> Importer<'a> {
    pub fn new(store: &'a Store) -> Self {
        Self {
            store,
            chunk: Vec::with_capacity(CHUNK),
            places: Vec::with_capacity(CHUNK),
            runs: BTreeSet::new(),
            calls: Recorded::default(),
            complaints: Complaints::default(),
        }
    }

    /// Whether a chunk is full.
    fn is_full(&self) -> bool {
        self.chunk.len() >= CHUNK
    }

    /// Takes an event that stands in `line` of its file.
    pub fn push(&mut self, line: u64, event: Event) {
        if let Event::Call(call) = &event {
            self.runs.insert(call.run_id);
        }
        self.places.push(line);
        self.chunk.push(event);
    }

    /// Brings what was collected to the ledger.
    pub async fn flush(&mut self, file: &str) -> Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let applied = self.store.apply(&self.chunk).await?;
        for (run_id, call_id) in &applied.calls.conflict {
            let what = format!("call `{call_id}` of run `{run_id}` is recorded with other contents; it stays as it was");
            self.complaints.add_file(file, what);
        }
        self.calls += applied.calls;
        for (place, error) in applied.refused {
            let line = self.places.get(place).copied().unwrap_or_default();
            if line == 0 {
                self.complaints.add_file(file, error);
            } else {
                self.complaints.add(file, line, error);
            }
        }
        self.chunk.clear();
        self.places.clear();
        Ok(())
    }
}
