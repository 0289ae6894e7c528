//! `asmm prompts push`: from files to versions, all or none.

use super::files::{self, FoundPrompt};
use super::guarded;
use super::{digest_columns, git, intact, look, pointing, print_text, text};
use crate::cli::args::{FormatArg, OutputArgs};
use crate::cli::context::{Ctx, Exit, counted, say};
use crate::domain::{Digest, Timestamp};
use crate::error::Result;
use crate::prompt::{DiffLine, Reference, VersionRef, check_label, diff};
use crate::report::{Cell, Column, Kind, Report, Shown, Table};
use crate::store::{NewVersion, Store, VersionEntry};
use clap::Args;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bring prompt files into the registry; what changed becomes a new version
///
/// All files are read and checked first; then all that changed are pushed, or none is. A prompt whose content is
/// that of its latest version stays as it is. A secret in a file refuses it (exit code 6). A version keeps the file as it was written, who pushed it and
/// when, and the git commit, if the files are in a repository.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Files, and folders that are searched for *.yaml and *.yml [default: prompts]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also move this label to each of the prompts
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Change nothing: show what would be pushed, and how it differs from the latest version
    #[arg(long)]
    dry_run: bool,
    /// Refuse prompts that let personal data pass as it is (`allow_raw`)
    #[arg(long)]
    no_allow_raw: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// What becomes of one file.
struct Row {
    name: String,
    version: u32,
    state: &'static str,
    label_moved: bool,
    digest: Digest,
    file: String,
    diff: Vec<DiffLine>,
}

pub(super) async fn run(ctx: &Ctx, args: PushArgs) -> Result<Exit> {
    if let Some(label) = &args.label {
        check_label(label)?;
    }
    let found = files::read_all(&files::or_default(args.paths.clone()))?;
    let looked = guarded::look(ctx, &found, args.no_allow_raw)?;
    if args.dry_run {
        looked.refuse()?;
        return dry_run(ctx, &args, &found).await;
    }
    let versions: Vec<NewVersion> = found.iter().map(FoundPrompt::version).collect();
    let paths: Vec<&Path> = found.iter().map(|found| found.path.as_path()).collect();
    let commit = git::commit_of(&paths).await;
    let store = ctx.store().await?;
    store.record_guard_events(&looked.events).await?;
    looked.refuse()?;
    let pushed = store.push_prompts(&versions, args.label.as_deref(), commit.as_deref()).await?;
    let rows: Vec<Row> = pushed
        .into_iter()
        .zip(&found)
        .map(|(pushed, found)| Row {
            name: pushed.version.name,
            version: pushed.version.version,
            state: state(pushed.is_new, pushed.version.version),
            label_moved: pushed.label_moved,
            digest: pushed.version.digest,
            file: found.shown(),
            diff: Vec::new(),
        })
        .collect();
    let report = Report::new("asmm.prompts_push/1", table(&rows, &args));
    ctx.print(&report, args.output.format.into())?;
    let new = rows.iter().filter(|row| row.state != "unchanged").count();
    let versions = counted(new, "new version", "new versions");
    say(&format!("{versions}, {} unchanged", rows.len() - new));
    Ok(Exit::Fine)
}

const fn state(is_new: bool, version: u32) -> &'static str {
    match (is_new, version) {
        (false, _) => "unchanged",
        (true, 1) => "new",
        (true, _) => "changed",
    }
}

async fn dry_run(ctx: &Ctx, args: &PushArgs, found: &[FoundPrompt]) -> Result<Exit> {
    let store = look(ctx).await?;
    let mut latest: BTreeMap<String, VersionEntry> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    if let Some(store) = &store {
        let entries = store.prompts(Timestamp::FAR).await?;
        latest.extend(entries.into_iter().map(|entry| (entry.name.clone(), entry)));
        labels = pointing(store.label_moves(None, Timestamp::FAR).await?);
    }
    let mut rows = Vec::with_capacity(found.len());
    for found in found {
        let known = latest.get(&found.prompt.name);
        let is_new = known.is_none_or(|known| known.digest != found.digest);
        let version = known.map_or(0, |known| known.version) + u32::from(is_new);
        let target = args.label.as_ref().map(|label| labels.get(&(found.prompt.name.clone(), label.clone())));
        let differs = match (&store, known) {
            (Some(store), Some(_)) if is_new => changes(store, found).await?,
            _ => Vec::new(),
        };
        rows.push(Row {
            name: found.prompt.name.clone(),
            version,
            state: state(is_new, version),
            label_moved: target.is_some_and(|now| is_new || now.is_none_or(|now| now.version != version)),
            digest: found.digest,
            file: found.shown(),
            diff: differs,
        });
    }
    let mut report = Report::new("asmm.prompts_push/1", table(&rows, args));
    report.notes.push("nothing was pushed: this was a dry run".to_owned());
    ctx.print(&report, args.output.format.into())?;
    print_diffs(ctx, &rows, args.output.format)?;
    Ok(Exit::Fine)
}

/// How a file differs from the latest version. One that was tampered with is named; nothing compares with it.
async fn changes(store: &Store, found: &FoundPrompt) -> Result<Vec<DiffLine>> {
    let reference = Reference { name: found.prompt.name.clone(), version: VersionRef::Latest };
    let version = store.prompt_version(&reference, Timestamp::FAR).await?;
    Ok(intact(&version)?.map(|old| diff(&old, &found.prompt.content)).unwrap_or_default())
}

fn print_diffs(ctx: &Ctx, rows: &[Row], format: FormatArg) -> Result<()> {
    let color = ctx.style().color;
    for row in rows.iter().filter(|row| !row.diff.is_empty()) {
        let head = format!("{}: version {} to {}", row.name, row.version - 1, row.file);
        match format {
            FormatArg::Table => {
                let head = text::painted(&head, "1", color);
                print_text(&format!("\n{head}\n{}", text::diff(&row.diff, color)))?;
            }
            FormatArg::Markdown => {
                print_text(&format!("\n{head}\n\n```diff\n{}```\n", text::diff(&row.diff, false)))?;
            }
            FormatArg::Json | FormatArg::Csv => {}
        }
    }
    Ok(())
}

fn table(rows: &[Row], args: &PushArgs) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let label_shown = if args.label.is_some() { Shown::Everywhere } else { Shown::ProgramsOnly };
    let table = Table::of(rows)
        .column(text("prompt", "prompt"), |row: &Row| row.name.clone())
        .column(Column::new(Kind::Count, "version", "version"), |row| Cell::Count(row.version.into()))
        .column(text("state", "state"), |row| row.state)
        .column(text("label", "label").shown(label_shown), |_| args.label.clone())
        .column(text("label_moved", "moved").shown(Shown::ProgramsOnly), |row| row.label_moved);
    digest_columns(table, 2, |row: &Row| row.digest)
        .column(text("file", "file").keep(1), |row| row.file.clone())
        .column_if(args.dry_run && args.output.format == FormatArg::Json, text("diff", "diff"), |row| {
            row.diff.iter().map(ToString::to_string).collect::<Vec<_>>()
        })
        .done()
}
