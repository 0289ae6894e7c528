//! What gateways and collectors have written to files.

use super::{Ctx, Exit, Imported, conclude, in_one_line, lines_of, open, progress_bar, pump, shown, size_of};
use crate::domain::Event;
use crate::error::{Error, Result};
use crate::intake::native::Line;
use crate::intake::otlp::{self, FileSummary, Texts};
use crate::intake::{Complaints, litellm as logs};
use clap::Args;
use std::path::PathBuf;

/// What LiteLLM logs: its spend log, or what its callbacks get
///
/// Rows of the table LiteLLM_SpendLogs and StandardLoggingPayloads, as a JSON array or an object a line. A session becomes
/// a run, a team a pipeline, the tag `agent:NAME` the agent. What LiteLLM answered from its own cache is no call.
#[derive(Debug, Args)]
pub(crate) struct LiteLlmArgs {
    /// The files, plain or gzip; `-` is stdin
    #[arg(default_value = "-", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The pipeline [default: the team's or the key's alias, else litellm]
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    /// Exit with 1 when a record was skipped or refused
    #[arg(long)]
    strict: bool,
}

/// Spans and log events of OpenTelemetry, from files
///
/// What the Collector's file exporter writes (an object a line), or single bodies of OTLP/HTTP, protobuf or JSON. What reports a
/// call to a model is recorded as `asmm serve` does. Prompts and answers are dropped, unless --keep-texts is given: then they pass the
/// guard before they are stored.
#[derive(Debug, Args)]
pub(crate) struct OtlpArgs {
    /// The files, plain or gzip; `-` is stdin
    #[arg(default_value = "-", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also keep prompts and answers that spans tell, after the guard has redacted them
    #[arg(long, env = "ASMM_KEEP_TEXTS", value_parser = clap::builder::FalseyValueParser::new())]
    keep_texts: bool,
    /// Exit with 1 when a span was skipped or refused
    #[arg(long)]
    strict: bool,
}

pub(super) async fn litellm(ctx: &Ctx, args: LiteLlmArgs) -> Result<Exit> {
    let bar = progress_bar(size_of(&args.paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    let (mut records, mut cached) = (0, 0);
    for path in &args.paths {
        let file = shown(path);
        let (name, path, bar, pipeline) = (file.clone(), path.clone(), bar.clone(), args.pipeline.clone());
        let summary = pump((ctx, &store), &file, &mut imported, move |sink| {
            let mut lines = lines_of(&path, &bar)?;
            let give = |line, call| sink.give(line, Line::Event(Event::Call(call)));
            logs::read(&name, &mut lines, pipeline.as_deref(), now, give)
        })
        .await?;
        imported.complaints.append(summary.complaints);
        records += summary.records;
        cached += summary.cached;
    }
    bar.finish_and_clear();
    store.settle().await?;
    let more = format!("; {records} records, {cached} answered from LiteLLM's cache");
    Ok(conclude(&imported, args.strict, &more))
}

pub(super) async fn otlp(ctx: &Ctx, args: OtlpArgs) -> Result<Exit> {
    let bar = progress_bar(size_of(&args.paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    let texts = if args.keep_texts { Texts::Keep } else { Texts::Drop };
    let mut spans = 0;
    for path in &args.paths {
        let file = shown(path);
        let (name, path, bar) = (file.clone(), path.clone(), bar.clone());
        let summary = pump((ctx, &store), &file, &mut imported, move |sink| {
            let mut stream = bar.wrap_read(open(&path)?);
            let mut complaints = Complaints::default();
            let outcome = otlp::read_file(&name, &mut stream, (texts, now), &mut complaints, |line, span| {
                sink.give(line, Line::Event(Event::Span(Box::new(span))))
            });
            let summary =
                outcome.map_err(|error| Error::input(format!("{name}: {}", in_one_line(&error))))?;
            Ok(FileSummary { complaints, ..summary })
        })
        .await?;
        imported.complaints.append(summary.complaints);
        spans += summary.spans;
    }
    bar.finish_and_clear();
    store.settle().await?;
    Ok(conclude(&imported, args.strict, &format!("; {spans} spans")))
}
