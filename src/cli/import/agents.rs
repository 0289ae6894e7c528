//! The session logs of coding agents.

use super::{Ctx, Exit, Imported, conclude, progress_bar, pump};
use crate::error::{Error, Result};
use crate::intake::native::Line;
use crate::intake::{claude_code as logs, codex as rollouts};
use clap::Args;
use std::path::PathBuf;

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

/// The session logs of Codex
///
/// A session's folder becomes a pipeline, a session a run, and a subagent a run of its own. What a fork has copied of its
/// parent's history is not counted again.
#[derive(Debug, Args)]
pub(crate) struct CodexArgs {
    /// Codex's folder, `sessions` in it, or single files [default: $CODEX_HOME, or ~/.codex]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 when a line was skipped or refused
    #[arg(long)]
    strict: bool,
}

pub(super) async fn claude_code(ctx: &Ctx, args: ClaudeCodeArgs) -> Result<Exit> {
    let paths = if args.paths.is_empty() { vec![claude_home()?] } else { args.paths };
    let bar = progress_bar(logs::total_bytes(&paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    let followed = bar.clone();
    let summary = pump((ctx, &store), "claude-code", &mut imported, move |sink| {
        logs::read(&paths, now, &|bytes| followed.inc(bytes), |event| sink.give(0, Line::Event(event)))
    })
    .await?;
    bar.finish_and_clear();
    imported.complaints.append(summary.complaints);
    let held = if summary.held_back > 0 {
        format!(", {} still being written", summary.held_back)
    } else {
        String::new()
    };
    let more = format!(
        "; {} files, {} lines: {} told of a call again, {} replays, {} synthetic{held}",
        summary.files, summary.lines, summary.duplicates, summary.replays, summary.synthetic
    );
    store.settle().await?;
    Ok(conclude(&imported, args.strict, &more))
}

/// Where Claude Code keeps its logs.
fn claude_home() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CLAUDE_CONFIG_DIR").filter(|v| !v.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let home = std::env::var_os("HOME").filter(|v| !v.is_empty());
    home.map(|home| PathBuf::from(home).join(".claude")).ok_or_else(|| {
        Error::usage("there is no home folder to look for ~/.claude in").hint("name the folder")
    })
}

pub(super) async fn codex(ctx: &Ctx, args: CodexArgs) -> Result<Exit> {
    let paths = if args.paths.is_empty() { vec![codex_home()?] } else { args.paths };
    let bar = progress_bar(rollouts::total_bytes(&paths)?);
    let store = ctx.store().await?;
    let now = ctx.clock.now();
    let mut imported = Imported::default();
    let followed = bar.clone();
    let summary = pump((ctx, &store), "codex", &mut imported, move |sink| {
        rollouts::read(&paths, now, &|bytes| followed.inc(bytes), |event| sink.give(0, Line::Event(event)))
    })
    .await?;
    bar.finish_and_clear();
    imported.complaints.append(summary.complaints);
    let more = format!(
        "; {} files, {} lines: {} told of a call again, {} of a fork's parent",
        summary.files, summary.lines, summary.duplicates, summary.inherited
    );
    store.settle().await?;
    Ok(conclude(&imported, args.strict, &more))
}

/// Where Codex keeps its sessions.
fn codex_home() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CODEX_HOME").filter(|v| !v.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let home = std::env::var_os("HOME").filter(|v| !v.is_empty());
    home.map(|home| PathBuf::from(home).join(".codex")).ok_or_else(|| {
        Error::usage("there is no home folder to look for ~/.codex in").hint("name the folder")
    })
}
