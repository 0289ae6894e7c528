//! `asmm prompts`: the registry of prompts.

mod check;
mod diff;
mod files;
mod git;
mod guarded;
mod inputs;
mod label;
mod list;
mod log;
mod purge;
mod push;
mod render;
mod show;
pub(in crate::cli) mod text;

use super::context::{Ctx, Exit, is_closed_pipe, say};
use crate::cli::args::moment;
use crate::domain::{Digest, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::prompt::{Content, Reference, VersionRef};
use crate::report::{Column, Kind, Scope, Shown, TableOf};
use crate::store::{LabelMove, PromptVersion, SchemaState, Store};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Prompts: versions that never change, labels that move, and what was sent
#[derive(Debug, Subcommand)]
pub(crate) enum PromptsCommand {
    Push(push::PushArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    Label(label::LabelArgs),
    Render(render::RenderArgs),
    Check(check::CheckArgs),
    PurgeInputs(purge::PurgeArgs),
}

pub(crate) async fn run(ctx: &Ctx, command: PromptsCommand) -> Result<Exit> {
    match command {
        PromptsCommand::Push(args) => push::run(ctx, args).await,
        PromptsCommand::List(args) => list::run(ctx, args).await,
        PromptsCommand::Show(args) => show::run(ctx, args).await,
        PromptsCommand::Log(args) => log::run(ctx, args).await,
        PromptsCommand::Diff(args) => diff::run(ctx, args).await,
        PromptsCommand::Label(args) => label::run(ctx, args).await,
        PromptsCommand::Render(args) => render::run(ctx, args).await,
        PromptsCommand::Check(args) => check::run(ctx, args).await,
        PromptsCommand::PurgeInputs(args) => purge::run(ctx, args).await,
    }
}

/// What is stored is not what was pushed: the exit code of a replay that does not match.
const TAMPERED: Exit = Exit::Mismatch;

/// The zone of the times shown.
#[derive(Debug, Args)]
struct ZoneArgs {
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
}

/// When.
#[derive(Debug, Args)]
struct AtArgs {
    /// As it was then: 2026-11-01T12:00:00Z, or 2026-11-01 for the midnight that day begins with
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    zone: ZoneArgs,
}

impl AtArgs {
    /// The time that is meant, and the zone. Without `--at` it is after everything: the clock of whoever pushed
    /// last may be ahead of ours, and what they pushed is the latest all the same.
    fn resolve(&self, ctx: &Ctx) -> Result<(Timestamp, Tz, Scope)> {
        let (zone, scope) = self.zone.resolve(ctx)?;
        let at = self.at.as_deref().map_or(Ok(Timestamp::FAR), |text| moment("--at", text, zone))?;
        Ok((at, zone, scope))
    }
}

impl ZoneArgs {
    fn resolve(&self, ctx: &Ctx) -> Result<(Tz, Scope)> {
        let (zone, source) = ctx.zone(self.tz.as_deref())?;
        Ok((zone, Scope { zone: Some(zone), zone_source: Some(source.to_owned()), ..Scope::default() }))
    }
}

/// A prompt that is named without a version.
fn name_alone(text: &str) -> Result<String> {
    let reference: Reference = text.parse()?;
    match reference.version {
        VersionRef::Latest => Ok(reference.name),
        version => Err(Error::usage(format!("`{text}` names a version, where a prompt is meant"))
            .hint(format!("leave out `@{version}`"))),
    }
}

fn unknown_prompt(name: &str) -> Error {
    Error::not_found(format!("prompt `{name}` is unknown")).hint("see `asmm prompts list`")
}

/// What a version says. None, after saying so, if somebody has changed it since it was pushed.
fn intact(version: &PromptVersion) -> Result<Option<Content>> {
    match version.parsed() {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            complain(&error);
            Ok(None)
        }
        outcome => outcome.map(Some),
    }
}

/// Says an error that does not end the command yet.
fn complain(error: &Error) {
    say(&format!("error: {error}"));
    if let Some(hint) = error.next_step() {
        say(&format!("hint: {hint}"));
    }
}

/// The ledger as it is, to look at and not to change: none if there is nothing in it yet.
async fn look(ctx: &Ctx) -> Result<Option<Store>> {
    let store = Store::connect_to_look(&ctx.location, ctx.clock).await?;
    match store.schema_state().await? {
        SchemaState::Current => Ok(Some(store)),
        // It is made by the first command that writes.
        SchemaState::Empty if matches!(store, Store::Sqlite(_)) => Ok(None),
        state => Err(state.into_error(&store)),
    }
}

/// Where the labels point after `moves`, by prompt and label.
fn pointing(moves: Vec<LabelMove>) -> BTreeMap<(String, String), LabelMove> {
    moves.into_iter().map(|m| ((m.name.clone(), m.label.clone()), m)).collect()
}

/// A digest: whole for programs, and for people as much of it as a reference needs.
fn digest_columns<T>(
    table: TableOf<'_, T>,
    keep: u8,
    digest: impl Fn(&T) -> Digest + Copy,
) -> TableOf<'_, T> {
    let column = Column::new(Kind::Text, "digest", "digest");
    table
        .column(column.shown(Shown::ProgramsOnly), move |row| digest(row).to_string())
        .column(column.keep(keep).shown(Shown::TableOnly), move |row| digest(row).short())
}

/// Writes to stdout as it is. A reader that has gone away is no failure.
fn print_text(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written.map_err(|e| Error::io("stdout cannot be written", e)) {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}
