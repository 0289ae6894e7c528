//! Any CSV, with a mapping.

use super::{Ctx, Exit, Imported, conclude, in_one_line, lines_of, progress_bar, pump, shown, size_of};
use crate::domain::Event;
use crate::error::{Error, Result};
use crate::intake::csv::{self as table, CsvMapping, Field, Included, RunPer, TimeFormat};
use crate::intake::native::Line;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Any CSV with a row a call; you say which column is what
///
/// asmm import csv calls.csv --map called_at=Time,model=Model,input=PromptTokens,output=CompletionTokens --set provider=openai
///
/// A column can be: called_at, model, provider, pipeline, agent, run, call_id, response_id, operation, service_tier, latency_ms, outcome,
/// and the kinds of usage input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches.
/// Without a call_id or response_id a call is known again by what its row says, whatever the file is called.
#[derive(Debug, Args)]
pub(crate) struct CsvArgs {
    /// The files, plain or gzip; `-` is stdin
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Which column is what: input=PromptTokens
    #[arg(long, value_name = "WHAT=COLUMN,…", value_delimiter = ',', value_parser = pair, allow_hyphen_values = true)]
    map: Vec<(Field, String)>,
    /// What no column says, or one leaves empty: pipeline=batch
    #[arg(long, value_name = "WHAT=VALUE", value_parser = pair, allow_hyphen_values = true)]
    set: Vec<(Field, String)>,
    /// A YAML file with all of this (columns, constants, time, tz, includes, run_per, delimiter); flags come before it
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// How times are written [default: rfc3339]
    #[arg(long, value_enum, value_name = "FORMAT")]
    time: Option<TimeArg>,
    /// The zone of times without an offset, and of the days that are runs: an IANA name
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// What is counted inside of input and output
    #[arg(long, value_enum, value_name = "WHAT,…", value_delimiter = ',')]
    includes: Vec<IncludedArg>,
    /// What a run is, when no column is mapped to it [default: day]
    #[arg(long, value_enum, value_name = "WHAT")]
    run_per: Option<RunPerArg>,
    /// What stands between fields: a character, or tab [default: ,]
    #[arg(long, value_name = "CHARACTER", allow_hyphen_values = true)]
    delimiter: Option<String>,
    /// Exit with 1 when a row was skipped or refused
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TimeArg {
    /// With an offset, or in the zone of --tz; a `T` or a space between date and time
    Rfc3339,
    /// Seconds since 1970, decimals or not
    EpochSeconds,
    /// Milliseconds since 1970
    EpochMillis,
    /// Microseconds since 1970
    EpochMicros,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IncludedArg {
    /// input is with what was read from and written to the cache, as OpenAI counts
    Cache,
    /// output is with reasoning, as OpenAI counts
    Reasoning,
    /// Each kind is apart, as Anthropic counts
    Nothing,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RunPerArg {
    /// The calls of a day
    Day,
    /// The calls of a file, by its name
    File,
}

/// `WHAT=VALUE`.
fn pair(text: &str) -> Result<(Field, String), String> {
    let (what, value) = text.split_once('=').ok_or("it is not of the form WHAT=VALUE")?;
    let field = what.trim().parse().map_err(|error: Error| in_one_line(&error))?;
    if value.is_empty() {
        return Err(format!("`{field}` is given nothing"));
    }
    Ok((field, value.to_owned()))
}

impl CsvArgs {
    /// The file's mapping, with what flags say in the place of what it says.
    fn mapping(&self) -> Result<CsvMapping> {
        let mut mapping = self.mapping.as_deref().map_or_else(|| Ok(CsvMapping::default()), read_mapping)?;
        for (field, column) in &self.map {
            mapping.columns.insert(*field, column.clone());
        }
        for (field, value) in &self.set {
            mapping.constants.insert(*field, value.clone());
        }
        if let Some(time) = self.time {
            mapping.time = match time {
                TimeArg::Rfc3339 => TimeFormat::Rfc3339,
                TimeArg::EpochSeconds => TimeFormat::EpochSeconds,
                TimeArg::EpochMillis => TimeFormat::EpochMillis,
                TimeArg::EpochMicros => TimeFormat::EpochMicros,
            };
        }
        if !self.includes.is_empty() {
            let included = |what: &IncludedArg| match what {
                IncludedArg::Cache => Included::Cache,
                IncludedArg::Reasoning => Included::Reasoning,
                IncludedArg::Nothing => Included::Nothing,
            };
            mapping.includes = self.includes.iter().map(included).collect();
        }
        if let Some(run_per) = self.run_per {
            mapping.run_per = match run_per {
                RunPerArg::Day => RunPer::Day,
                RunPerArg::File => RunPer::File,
            };
        }
        mapping.tz = self.tz.clone().or(mapping.tz);
        mapping.delimiter = self.delimiter.clone().or(mapping.delimiter);
        mapping.check()?;
        Ok(mapping)
    }
}

fn read_mapping(path: &Path) -> Result<CsvMapping> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(format!("`{name}` cannot be read"), error).hint("name a YAML file"))?;
    CsvMapping::from_yaml(&name, &text)
}

pub(super) async fn csv(ctx: &Ctx, args: CsvArgs) -> Result<Exit> {
    let mapping = args.mapping()?;
    let bar = progress_bar(size_of(&args.paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    let mut rows = 0;
    for path in &args.paths {
        let file = shown(path);
        let (name, path, bar, mapping) = (file.clone(), path.clone(), bar.clone(), mapping.clone());
        let summary = pump((ctx, &store), &file, &mut imported, move |sink| {
            let mut lines = lines_of(&path, &bar)?;
            let give = |line, call| sink.give(line, Line::Event(Event::Call(call)));
            table::read(&name, &mut lines, &mapping, now, give)
        })
        .await?;
        imported.complaints.append(summary.complaints);
        rows += summary.rows;
    }
    bar.finish_and_clear();
    store.settle().await?;
    Ok(conclude(&imported, args.strict, &format!("; {rows} rows")))
}
