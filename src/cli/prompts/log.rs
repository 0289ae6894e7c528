//! `asmm prompts log`: the versions of a prompt.

use super::{ZoneArgs, digest_columns, name_alone, pointing, unknown_prompt};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit};
use crate::domain::Timestamp;
use crate::error::Result;
use crate::report::{Cell, Column, Kind, Report, Shown, Table};
use crate::store::UsedVersion;
use clap::Args;

/// The versions of a prompt, newest first, and how much each was used
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The prompt
    name: String,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: LogArgs) -> Result<Exit> {
    let (_, scope) = args.zone.resolve(ctx)?;
    let name = name_alone(&args.name)?;
    let store = ctx.store().await?;
    let versions: Vec<UsedVersion> = store.prompt_log(&name).await?;
    if versions.is_empty() {
        return Err(unknown_prompt(&name));
    }
    let labels = pointing(store.label_moves(Some(&name), Timestamp::FAR).await?);
    let labels_of = |version: u32| -> Vec<String> {
        labels.values().filter(|m| m.version == version).map(|m| m.label.clone()).collect()
    };
    let text = |key, title| Column::new(Kind::Text, key, title);
    let count = |key, title| Column::new(Kind::Count, key, title);
    let table = Table::of(&versions)
        .column(count("version", "version"), |v: &UsedVersion| Cell::Count(v.entry.version.into()))
        .column(text("labels", "labels"), |v| labels_of(v.entry.version))
        .column(Column::new(Kind::Time, "created_at", "pushed"), |v| v.entry.created_at)
        .column(text("created_by", "by").keep(3), |v| v.entry.created_by.clone())
        .column(text("git_commit", "commit").shown(Shown::ProgramsOnly), |v| v.entry.git_commit.clone())
        .column(text("git_commit", "commit").keep(4).shown(Shown::TableOnly), |v| {
            v.entry.git_commit.as_deref().map(short_commit)
        })
        .column(count("runs", "runs"), |v| Cell::Count(v.runs))
        .column(count("calls", "calls"), |v| Cell::Count(v.calls));
    let table = digest_columns(table, 5, |v: &UsedVersion| v.entry.digest).done();
    let report = Report { scope, title: Some(name), ..Report::new("asmm.prompt_log/1", table) };
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}

/// As much of a commit as names it, and whether the files were as it has them.
pub(super) fn short_commit(commit: &str) -> String {
    let (hash, dirty) = match commit.strip_suffix("-dirty") {
        Some(hash) => (hash, "-dirty"),
        None => (commit, ""),
    };
    format!("{}{dirty}", hash.chars().take(10).collect::<String>())
}
