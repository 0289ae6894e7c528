//! `asmm prompts check`: whether files are good, and in the registry.

use super::files::{self, FoundPrompt};
use super::guarded;
use super::{digest_columns, look};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit, counted, say};
use crate::domain::Timestamp;
use crate::error::{Error, Result};
use crate::report::{Cell, Column, Kind, Report, Table};
use crate::settings;
use crate::store::{Store, VersionEntry};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Check prompt files, and that the registry has them: for CI
///
/// Without a ledger the files alone are checked. With one (--database, ASMM_DATABASE_URL, asmm.yaml, or the
/// user's own if it is there) the exit code is 1 also when a file is not the latest version of its prompt. A secret in a
/// file refuses it, with exit code 6.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Files, and folders that are searched for *.yaml and *.yml [default: prompts]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Check the files alone, whatever ledger there is
    #[arg(long)]
    offline: bool,
    /// Refuse prompts that let personal data pass as it is (`allow_raw`)
    #[arg(long)]
    no_allow_raw: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A file, and what the registry has of it.
struct Row {
    found: FoundPrompt,
    state: &'static str,
    latest: Option<VersionEntry>,
}

pub(super) async fn run(ctx: &Ctx, args: CheckArgs) -> Result<Exit> {
    let paths = files::or_default(args.paths);
    let found = files::read_all(&paths)?;
    guarded::look(ctx, &found, args.no_allow_raw)?.refuse()?;
    let store = if args.offline { None } else { registry(ctx).await? };
    let rows = compare(found, store.as_ref()).await?;
    ctx.print(&Report::new("asmm.prompts_check/1", table(&rows)), args.output.format.into())?;
    if store.is_none() {
        let files = counted(rows.len(), "file is", "files are");
        let why = if args.offline { "offline" } else { "there is no ledger" };
        say(&format!("{files} good; not compared with the registry: {why}"));
        return Ok(Exit::Fine);
    }
    for row in &rows {
        let (name, file) = (&row.found.prompt.name, row.found.shown());
        match (&row.latest, row.state) {
            (None, _) => say(&format!("error: prompt `{name}` in `{file}` is not pushed")),
            (Some(latest), "differs") => {
                say(&format!("error: prompt `{name}` in `{file}` differs from `{latest}`"));
            }
            _ => {}
        }
    }
    if rows.iter().all(|row| row.state == "pushed") {
        return Ok(Exit::Fine);
    }
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    say(&format!("hint: `asmm prompts push {}`; with --dry-run it shows the differences", paths.join(" ")));
    Ok(Exit::Flawed)
}

/// The registry to compare with. The user's own ledger counts only if it is there; one that was named must be.
async fn registry(ctx: &Ctx) -> Result<Option<Store>> {
    let is_default = settings::default_database().is_ok_and(|url| url == ctx.location.url);
    match look(ctx).await? {
        None if !is_default => Err(Error::ledger("the ledger to compare with is not there, or empty")
            .hint("run `asmm migrate`, correct --database, or check the files alone with --offline")),
        store => Ok(store),
    }
}

async fn compare(found: Vec<FoundPrompt>, store: Option<&Store>) -> Result<Vec<Row>> {
    let mut latest = BTreeMap::new();
    if let Some(store) = store {
        let entries = store.prompts(Timestamp::FAR).await?;
        latest.extend(entries.into_iter().map(|entry| (entry.name.clone(), entry)));
    }
    let rows = found.into_iter().map(|found| {
        let latest = latest.remove(&found.prompt.name);
        let state = match &latest {
            _ if store.is_none() => "good",
            None => "not_pushed",
            Some(latest) if latest.digest == found.digest => "pushed",
            Some(_) => "differs",
        };
        Row { found, state, latest }
    });
    Ok(rows.collect())
}

fn table(rows: &[Row]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(rows)
        .column(text("prompt", "prompt"), |row: &Row| row.found.prompt.name.clone())
        .column(text("state", "state"), |row| row.state)
        .column(Column::new(Kind::Count, "latest_version", "latest").keep(3), |row| {
            row.latest.as_ref().map_or(Cell::Missing, |latest| Cell::Count(latest.version.into()))
        });
    digest_columns(table, 2, |row: &Row| row.found.digest)
        .column(text("file", "file").keep(1), |row| row.found.shown())
        .done()
}
