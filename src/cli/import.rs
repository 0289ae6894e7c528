//! `asmm import`: usage from elsewhere.

use super::context::{Ctx, Exit, bar, counted, say};
use crate::domain::{Event, RunId, Timestamp};
use crate::error::{Error, Result};
use crate::intake::lines::Lines;
use crate::intake::native::{self, Line};
use crate::intake::traces::{self, TraceOptions};
use crate::intake::{Complaints, in_one_line};
use crate::recorder::{Door, size_of_texts};
use crate::store::{ARCHIVED_CALLS, Recorded, Restored, Store};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

mod agents;
mod catalogue;
mod gateways;
mod invoices;
mod table;

use agents::{ClaudeCodeArgs, CodexArgs};
use gateways::{LiteLlmArgs, OtlpArgs};
use invoices::{AnthropicUsageArgs, OpenAiUsageArgs};
use table::CsvArgs;

/// Bring in usage from elsewhere
///
/// Importing the same input again changes nothing. A line that is wrong is counted, named and skipped.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    Jsonl(JsonlArgs),
    Traces(TracesArgs),
    ClaudeCode(ClaudeCodeArgs),
    Codex(CodexArgs),
    #[command(name = "litellm")]
    LiteLlm(LiteLlmArgs),
    Otlp(OtlpArgs),
    Csv(CsvArgs),
    #[command(name = "openai-usage")]
    OpenAiUsage(OpenAiUsageArgs),
    AnthropicUsage(AnthropicUsageArgs),
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
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
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

pub(crate) async fn run(ctx: &Ctx, command: ImportCommand) -> Result<Exit> {
    match command {
        ImportCommand::Jsonl(args) => jsonl(ctx, args).await,
        ImportCommand::Traces(args) => import_traces(ctx, args).await,
        ImportCommand::ClaudeCode(args) => agents::claude_code(ctx, args).await,
        ImportCommand::Codex(args) => agents::codex(ctx, args).await,
        ImportCommand::LiteLlm(args) => gateways::litellm(ctx, args).await,
        ImportCommand::Otlp(args) => gateways::otlp(ctx, args).await,
        ImportCommand::Csv(args) => table::csv(ctx, args).await,
        ImportCommand::OpenAiUsage(args) => invoices::openai(ctx, args).await,
        ImportCommand::AnthropicUsage(args) => invoices::anthropic(ctx, args).await,
    }
}

/// How many events go to the ledger at once.
const CHUNK: usize = 4000;
/// Lines that are no events can be long: so many bytes of them go at once.
const CHUNK_BYTES: usize = 4 << 20;
/// Over so many connections, if the ledger has them.
const CONNECTIONS: usize = 4;
/// How many chunks may wait for the ledger: enough to keep it busy, few enough to bound memory.
const WAITING: usize = 2;

/// What a reader found, by line; line 0 is the file as a whole.
type Chunk = Vec<(u64, Line)>;

/// A reader's end of the way to the ledger.
struct Sink {
    chunk: Chunk,
    /// Of its lines that are no events.
    bytes: usize,
    sender: mpsc::Sender<Chunk>,
}

impl Sink {
    fn give(&mut self, line: u64, found: Line) -> Result<()> {
        self.bytes += match &found {
            Line::Other { json, .. } => json.len(),
            Line::Event(event) => size_of_texts(event),
        };
        self.chunk.push((line, found));
        if self.chunk.len() >= CHUNK || self.bytes >= CHUNK_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<()> {
        self.bytes = 0;
        let chunk = std::mem::take(&mut self.chunk);
        // The other end is gone when the ledger failed: that error is the one to show.
        self.sender.blocking_send(chunk).map_err(|_| Error::database("the import was given up"))
    }
}

/// What became of an import.
#[derive(Default)]
struct Imported {
    runs: BTreeSet<RunId>,
    prices: usize,
    calls: Recorded,
    /// Calls that are back from an archive.
    restored: u64,
    complaints: Complaints,
}

/// Reads with `read` on a thread of its own while the ledger takes in what it finds, chunk by chunk.
async fn pump<T: Send + 'static>(
    (ctx, store): (&Ctx, &Store),
    file: &str,
    imported: &mut Imported,
    read: impl FnOnce(&mut Sink) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, mut receiver) = mpsc::channel::<Chunk>(WAITING);
    let reader = tokio::task::spawn_blocking(move || {
        let mut sink = Sink { chunk: Vec::with_capacity(CHUNK), bytes: 0, sender };
        let outcome = read(&mut sink)?;
        sink.send()?;
        Ok(outcome)
    });
    let mut door = ctx.door();
    while let Some(chunk) = receiver.recv().await {
        apply((store, &mut door), file, chunk, imported).await?;
    }
    reader.await.map_err(|e| Error::database(format!("the reader of `{file}` failed: {e}")))?
}

async fn apply(
    (store, door): (&Store, &mut Door),
    file: &str,
    chunk: Chunk,
    imported: &mut Imported,
) -> Result<()> {
    let mut events = Vec::with_capacity(chunk.len());
    let mut lines = Vec::with_capacity(chunk.len());
    let mut others = Vec::new();
    let mut found_events = Vec::with_capacity(chunk.len());
    for (line, found) in chunk {
        match found {
            Line::Event(event) => found_events.push((line, event)),
            Line::Other { kind, json } if kind == ARCHIVED_CALLS => match store.restore_line(&json).await {
                Ok(Restored::Back(calls)) => imported.restored += calls,
                Ok(Restored::Elsewhere(calls)) => {
                    found_events.extend(calls.into_iter().map(|call| (line, Event::Call(call))));
                }
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) => imported.complaints.add(file, line, in_one_line(&error)),
            },
            Line::Other { kind, json } => others.push((line, kind, json)),
        }
    }
    imported.prices += catalogue::apply((store, door), file, others, &mut imported.complaints).await?;
    // After the prompts' versions, whose variables say what may pass.
    for (line, event) in found_events {
        match door.admit(Some(store), event).await {
            Ok(admitted) => {
                lines.resize(lines.len() + admitted.len(), line);
                events.extend(admitted);
            }
            Err(error) if error.is_of_the_ledger() => return Err(error),
            Err(error) if line == 0 => imported.complaints.add_file(file, in_one_line(&error)),
            Err(error) => imported.complaints.add(file, line, in_one_line(&error)),
        }
    }
    let applied = store.apply_over(&events, CONNECTIONS).await?;
    for (run_id, call_id) in &applied.calls.conflict {
        let what = format!("call `{call_id}` of run `{run_id}` is recorded with other contents, which stay");
        imported.complaints.add_file(file, what);
    }
    imported.calls += applied.calls;
    let refused: BTreeSet<usize> = applied.refused.iter().map(|(place, _)| *place).collect();
    for (place, event) in events.iter().enumerate() {
        let run_id = match event {
            Event::Call(call) => call.run_id,
            Event::Span(span) if span.report.is_some() => span.run_id.unwrap_or(RunId(span.trace_id)),
            _ => continue,
        };
        if !refused.contains(&place) {
            imported.runs.insert(run_id);
        }
    }
    for (place, error) in applied.refused {
        match lines.get(place) {
            Some(0) | None => imported.complaints.add_file(file, in_one_line(&error)),
            Some(line) => imported.complaints.add(file, *line, in_one_line(&error)),
        }
    }
    Ok(())
}

/// What a file is called in complaints.
fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() }
}

/// Says what became of it all, on stderr.
fn conclude(imported: &Imported, strict: bool, more: &str) -> Exit {
    for complaint in imported.complaints.first() {
        say(&format!("skipped: {complaint}"));
    }
    let total = imported.complaints.total();
    let kept = u64::try_from(imported.complaints.first().len()).unwrap_or(u64::MAX);
    if total > kept {
        say(&format!("skipped: {} more", total - kept));
    }
    let calls = &imported.calls;
    let mut parts = vec![
        format!(
            "{} recorded in {}",
            counted(calls.recorded, "call", "calls"),
            counted(imported.runs.len(), "run", "runs")
        ),
        counted(calls.duplicate, "was there already", "were there already"),
    ];
    if !calls.conflict.is_empty() {
        parts.push(format!("{} in conflict", calls.conflict.len()));
    }
    if calls.unpriced > 0 {
        parts.push(format!("{} without a price", calls.unpriced));
    }
    if imported.restored > 0 {
        parts.push(counted(imported.restored, "is back from the archive", "are back from the archive"));
    }
    if imported.prices > 0 {
        parts.push(counted(imported.prices, "price, alias or prompt", "prices, aliases and prompts"));
    }
    if total > 0 {
        parts.push(format!("{total} skipped"));
    }
    say(&format!("{}{more}", parts.join(", ")));
    if strict && total > 0 { Exit::Flawed } else { Exit::Fine }
}

fn progress_bar(bytes: u64) -> ProgressBar {
    bar(bytes, "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("`{}` cannot be read", path.display()), error).hint("name a file, or `-` for stdin")
}

/// Opens a file, or stdin, for reading.
fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    Ok(Box::new(File::open(path).map_err(|e| unreadable(path, e))?))
}

/// A file's size. A file that cannot be opened is said before anything is recorded; a pipe (`<(zcat …)`) must
/// not be opened twice, for the first time would end its writer.
fn size_of_one(path: &Path) -> Result<u64> {
    if path.as_os_str() == "-" {
        return Ok(0);
    }
    let metadata = path.metadata().map_err(|e| unreadable(path, e))?;
    if metadata.is_dir() {
        return Err(Error::usage(format!("`{}` is a folder", path.display())).hint("name the files in it"));
    }
    if metadata.is_file() {
        File::open(path).map_err(|e| unreadable(path, e))?;
    }
    Ok(metadata.len())
}

/// The reader of one file with its bar: lines in, and the bar moves.
fn lines_of(path: &Path, bar: &ProgressBar) -> Result<Lines<Box<dyn Read + Send>>> {
    let file = open(path)?;
    Lines::new(Box::new(bar.wrap_read(file)) as Box<dyn Read + Send>).map_err(|e| unreadable(path, e))
}

fn size_of(paths: &[PathBuf]) -> Result<u64> {
    paths.iter().map(|path| size_of_one(path)).sum()
}

async fn jsonl(ctx: &Ctx, args: JsonlArgs) -> Result<Exit> {
    let bar = progress_bar(size_of(&args.paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    for path in &args.paths {
        let file = shown(path);
        let (name, path, bar) = (file.clone(), path.clone(), bar.clone());
        let complaints = pump((ctx, &store), &file, &mut imported, move |sink| {
            let mut complaints = Complaints::default();
            let mut lines = lines_of(&path, &bar)?;
            native::read(&name, &mut lines, now, &mut complaints, |line, found| sink.give(line, found))?;
            Ok(complaints)
        })
        .await?;
        imported.complaints.append(complaints);
    }
    bar.finish_and_clear();
    if imported.prices > 0 {
        store.price_all_names().await?;
    }
    store.settle().await?;
    Ok(conclude(&imported, args.strict, ""))
}

async fn import_traces(ctx: &Ctx, args: TracesArgs) -> Result<Exit> {
    let start = args.start.as_deref().map(|text| super::args::parse_time("--start", text)).transpose()?;
    let bar = progress_bar(size_of(&args.paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    for path in &args.paths {
        let options = TraceOptions {
            pipeline: args.pipeline.clone().unwrap_or_else(|| stem(path)),
            provider: args.provider.clone(),
            model: args.model.clone(),
            agent: args.agent.clone(),
            start,
            run_every: args.run_every,
        };
        trace((ctx, &store), path, options, now, &bar, &mut imported).await?;
    }
    bar.finish_and_clear();
    store.settle().await?;
    Ok(conclude(&imported, args.strict, ""))
}

async fn trace(
    (ctx, store): (&Ctx, &Store),
    path: &Path,
    options: TraceOptions,
    now: Timestamp,
    bar: &ProgressBar,
    imported: &mut Imported,
) -> Result<()> {
    let file = shown(path);
    let (name, path, bar) = (file.clone(), path.to_owned(), bar.clone());
    let summary = pump((ctx, store), &file, imported, move |sink| {
        let mut lines = lines_of(&path, &bar)?;
        traces::read(&name, &mut lines, &options, now, |event| sink.give(0, Line::Event(event)))
    })
    .await?;
    imported.complaints.append(summary.complaints);
    Ok(())
}

/// A file's name without its endings: `azure.csv.gz` is `azure`.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
