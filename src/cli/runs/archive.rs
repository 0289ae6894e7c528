//! `asmm runs archive`: the calls of old runs move to a file.

use crate::cli::args::{OutputArgs, moment};
use crate::cli::context::{Ctx, Exit, bar, counted};
use crate::cli::export::{finish_line, run_line, step_line};
use crate::domain::{Event, Timestamp};
use crate::error::{Error, Result};
use crate::intake::lines::Lines;
use crate::intake::native::write_event;
use crate::report::{Cell, Document, Scope};
use crate::store::{ARCHIVED_CALLS, Archivable, Run, Store};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use indicatif::ProgressBar;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Move the calls of old runs to a compressed file
///
/// Runs, steps, prompts and every sum stay, so that reports say what they said; `runs show` names the file. Calls
/// without a price stay too: theirs may still come. `asmm import jsonl FILE` brings the calls back as they were, and
/// into another ledger as calls like others. The file is complete and on disk before the first call leaves.
#[derive(Debug, Args)]
pub(crate) struct ArchiveArgs {
    /// Of runs that had finished before this: 2026-11-01T12:00:00Z, or 2026-11-01 for the midnight that day begins with
    #[arg(long, value_name = "DATE")]
    before: String,
    /// The file, JSON lines compressed with gzip; it must not exist [default: asmm-archive-DATE.jsonl.gz]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Change nothing: say how much would go
    #[arg(long)]
    dry_run: bool,
    /// Give the freed space back to the file system; SQLite only, and nobody can record meanwhile
    #[arg(long)]
    compact: bool,
    /// The time zone whose midnight is meant [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    format: OutputArgs,
}

/// How many runs are read at once.
const PAGE: u32 = 500;

/// What went where.
struct Outcome {
    before: Timestamp,
    found: Archivable,
    dry_run: bool,
    file: Option<PathBuf>,
    bytes: u64,
    moved: u64,
}

pub(super) async fn run(ctx: &Ctx, args: ArchiveArgs) -> Result<Exit> {
    let (zone, source) = ctx.zone(args.tz.as_deref())?;
    let before = moment("--before", &args.before, zone)?;
    if before > ctx.clock.now() {
        return Err(Error::usage(format!("--before `{}` is in the future", args.before))
            .hint("name the day up to which runs are old enough to go"));
    }
    let store = ctx.store().await?;
    if args.compact && !store.can_compact() {
        return Err(Error::usage("--compact is for ledgers in SQLite")
            .hint("Postgres uses freed space again by itself; `vacuum full llm_call` gives it back"));
    }
    let found = store.archivable(before).await?;
    let mut outcome = Outcome { before, found, dry_run: args.dry_run, file: None, bytes: 0, moved: 0 };
    if !args.dry_run && found.calls > 0 {
        let day = before.to_utc().with_timezone(&zone).format("%Y-%m-%d");
        let path = match args.output {
            Some(path) => path,
            None => free_name(&format!("asmm-archive-{day}")),
        };
        let path = std::path::absolute(&path)
            .map_err(|e| Error::io(format!("`{}` cannot be found", path.display()), e))?;
        let bar = bar(found.calls * 2, "{wide_bar} {percent}% {eta}");
        let (written, bytes) = write(&store, before, &path, &bar).await?;
        outcome.moved = move_out(&store, before, &path, &bar).await?;
        bar.finish_and_clear();
        outcome.found.calls = written;
        outcome.bytes = bytes;
        outcome.file = Some(path);
    }
    if args.compact && !args.dry_run {
        store.compact().await?;
    }
    let scope = Scope { zone: Some(zone), zone_source: Some(source.to_owned()), ..Scope::default() };
    ctx.print_document(&document(&outcome, scope), args.format.format.into())?;
    Ok(if outcome.file.is_some() && outcome.moved < outcome.found.calls { Exit::Flawed } else { Exit::Fine })
}

/// A name that no file has yet.
fn free_name(stem: &str) -> PathBuf {
    let names = (1_u64..).map(|n| match n {
        1 => PathBuf::from(format!("{stem}.jsonl.gz")),
        _ => PathBuf::from(format!("{stem}-{n}.jsonl.gz")),
    });
    names.into_iter().find(|name| !name.exists()).unwrap_or_default()
}

/// Writes beside the file and renames, so that a file of that name is always whole. Answers how many calls, and bytes.
async fn write(store: &Store, before: Timestamp, path: &Path, bar: &ProgressBar) -> Result<(u64, u64)> {
    let taken = || {
        Err(Error::conflict(format!("`{}` is there already", path.display()))
            .hint("an archive is never overwritten: name another file"))
    };
    if path.exists() {
        return taken();
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |e| {
        Error::io(format!("`{}` cannot be written", part.display()), e)
            .hint("is the folder there, and is there room in it? nothing has left the journal")
    };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&part).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::conflict(format!("another archive is being written to `{}`", part.display()))
                .hint("wait for it, or name another file: --output"));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    if path.exists() {
        // Another archive of this name was complete a moment ago, and its part is gone with it.
        return taken();
    }
    file.set_len(0).map_err(failed)?;
    let mut out = GzEncoder::new(BufWriter::new(file), Compression::default());
    let written = write_runs(store, before, &mut out, bar).await;
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            // What is half is of no use to anybody; that it cannot be removed changes nothing about the error.
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
    };
    let file = out.finish().map_err(failed)?.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let failed = |e| Error::io(format!("`{}` cannot be written", path.display()), e);
    std::fs::rename(&part, path).map_err(failed)?;
    if let Some(folder) = path.parent() {
        // The name is as safe as the contents before anything leaves the journal.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok((written, bytes))
}

async fn write_runs(
    store: &Store,
    before: Timestamp,
    out: &mut impl Write,
    bar: &ProgressBar,
) -> Result<u64> {
    let mut written = 0;
    let mut after = None;
    loop {
        let runs = store.archivable_runs(before, after, PAGE).await?;
        let Some(last) = runs.last() else { return Ok(written) };
        after = Some((last.started_at, last.run_id));
        for run in &runs {
            written += write_run(store, run, out, bar).await?;
        }
    }
}

async fn write_run(store: &Store, run: &Run, out: &mut impl Write, bar: &ProgressBar) -> Result<u64> {
    write_event(&Event::Run(run_line(run)), out)?;
    for step in store.steps(run.run_id).await? {
        write_event(&Event::Step(step_line(step.step)), out)?;
    }
    let mut written = 0;
    let mut after = None;
    while let Some(line) = store.next_archive_line(run.run_id, after).await? {
        after = Some(line.last);
        written += line.calls;
        bar.inc(line.calls);
        writeln!(out, "{}", line.text).map_err(|e| Error::io("the archive cannot be written", e))?;
    }
    if let Some(finish) = finish_line(run) {
        write_event(&Event::Finish(finish), out)?;
    }
    Ok(written)
}

/// Moves what the file holds, read back from it, out of the journal. Answers how many calls.
async fn move_out(store: &Store, before: Timestamp, path: &Path, bar: &ProgressBar) -> Result<u64> {
    let unreadable = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
    let mut lines = Lines::new(File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    let archive_id = store.start_archive(&path.to_string_lossy(), before).await?;
    let start = format!("{{\"type\":\"{ARCHIVED_CALLS}\"");
    let mut moved = 0;
    while let Some(line) = lines.next_line().map_err(unreadable)? {
        let text = line.text.map_err(|bad| {
            Error::input(format!("`{}`, line {}: {bad}", path.display(), line.number)).hint(
                "it was written a moment ago: is the disk sound? what the line holds is in the journal still",
            )
        })?;
        if text.starts_with(&start) {
            let calls = store.archive_line(archive_id, text).await?;
            moved += calls;
            bar.inc(calls);
        }
    }
    Ok(moved)
}

fn document(outcome: &Outcome, scope: Scope) -> Document {
    let Outcome { before, found, dry_run, file, bytes, moved } = outcome;
    let mut document =
        Document::new("asmm.runs_archive/1", scope).field("before", "finished before", *before);
    if let Some(file) = file {
        document = document.field("file", "file", file.display().to_string()).field(
            "bytes",
            "bytes",
            Cell::Count(*bytes),
        );
    }
    let (runs, calls) = if *dry_run {
        ("runs that would be archived", "calls that would leave the journal")
    } else {
        ("runs archived", "calls that left the journal")
    };
    document = document
        .field("runs", runs, Cell::Count(found.runs))
        .field("calls", calls, Cell::Count(if *dry_run { found.calls } else { *moved }))
        .field("unpriced_calls", "calls without a price", Cell::Count(found.unpriced))
        .field("dry_run", "dry run", *dry_run);
    if *dry_run {
        document.notes.push("nothing was changed: this was a dry run".to_owned());
    } else if found.calls == 0 {
        document.notes.push("there is nothing to archive, and no file was written".to_owned());
    } else {
        document
            .notes
            .push("`asmm import jsonl FILE` brings the calls back; reports say what they said".to_owned());
    }
    if found.unpriced > 0 {
        document.notes.push("calls without a price stay in the journal: theirs may still come".to_owned());
    }
    if file.is_some() && *moved < found.calls {
        let left = counted(found.calls - moved, "call of the file is", "calls of the file are");
        document.notes.push(format!(
            "{left} in the journal still: their price changed meanwhile, or another archive took them; run it again"
        ));
    }
    document
}
