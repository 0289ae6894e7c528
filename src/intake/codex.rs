//! The session logs of Codex: `sessions/YYYY/MM/DD/rollout-*.jsonl`.
//!
//! Newer versions write a `token_usage_record` for each response, with its id. Older ones write a `token_count` after
//! it, with the last response's usage and the session's total: one whose total has not moved tells of a response
//! again. A `token_count` after a record tells of the same response.
//!
//! A fork starts with a copy of its parent's history, dated to the fork. Records name the thread that they belong to,
//! and count there. Of the older kind, those at the start that say what the parent's say are the parent's; when the
//! parent's file is not at hand, those of the fork's first seconds.
//!
//! Input is told with the cached part, output with reasoning. A session's folder is its pipeline, a session a run.

mod line;
mod rollout;
#[cfg(test)]
mod tests;
mod threads;

use crate::domain::{Event, Timestamp};
use crate::error::Result;
use crate::intake::Complaints;
use crate::intake::files::{self, Found, read_all};
use rollout::Rollout;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The format's part in derived ids.
const FORMAT: &str = "codex";

/// What was read of Codex's logs, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolloutSummary {
    /// Files read.
    pub files: u64,
    /// Lines in them.
    pub lines: u64,
    /// Sessions that have a call.
    pub sessions: u64,
    /// Calls given to the sink.
    pub calls: u64,
    /// Lines that told of a call again.
    pub duplicates: u64,
    /// Calls in a fork's copy of its parent's history.
    pub inherited: u64,
    /// Lines and files that could not be read, and why.
    pub complaints: Complaints,
}

/// Reads the logs under `paths` and gives their runs, calls and finishes to `sink`, run by run.
///
/// A path is Codex's folder, a folder in it, or a single file; `.jsonl.gz` is read too. A session is finished when its
/// last line is more than 24 hours before `now`. `progress` is told the bytes of each part read, from several threads.
///
/// # Errors
/// When a path is not there, or `sink` fails.
pub fn read(
    paths: &[PathBuf],
    now: Timestamp,
    progress: &(dyn Fn(u64) + Sync),
    sink: impl FnMut(Event) -> Result<()>,
) -> Result<RolloutSummary> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    read_with(&find(paths)?, now, threads, progress, sink)
}

/// The size of all logs under `paths`, in bytes: the whole of what `progress` will be told.
///
/// # Errors
/// When a path is not there.
pub fn total_bytes(paths: &[PathBuf]) -> Result<u64> {
    Ok(find(paths)?.iter().map(|file| file.bytes).sum())
}

fn find(paths: &[PathBuf]) -> Result<Vec<Found>> {
    let is_rollout = |name: &str| name.starts_with("rollout-") && files::stem(name).is_some();
    files::find(paths, is_rollout, "give Codex's folder, `sessions` in it, or a rollout's .jsonl file")
}

fn read_with(
    files: &[Found],
    now: Timestamp,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
    sink: impl FnMut(Event) -> Result<()>,
) -> Result<RolloutSummary> {
    let parts = read_all(files, threads, Vec::new, |index, file, rollouts: &mut Vec<(usize, Rollout)>| {
        rollouts.push((index, Rollout::read(file, now, progress)));
    });
    let mut rollouts: Vec<(usize, Rollout)> = parts.into_iter().flatten().collect();
    rollouts.sort_by_key(|(index, _)| *index);
    let mut summary = RolloutSummary { files: files.len() as u64, ..RolloutSummary::default() };
    let rollouts = rollouts.into_iter().map(|(_, rollout)| rollout).collect();
    threads::give(rollouts, now, &mut summary, sink)?;
    Ok(summary)
}
