//! The session logs of Claude Code: `projects/<project>/<session>.jsonl` and
//! `<session>/subagents/*.jsonl`.
//!
//! One response is several lines there: one per content block, earlier ones with a partial count of
//! output, and all of them again in the file of a resumed session. A call is `(message.id, requestId)`,
//! and what it used is decided when everything has been read, so that the order of files and lines does
//! not matter: a line of the main conversation beats one of a sidechain, then the larger total of tokens
//! wins. A sidechain that repeats a message under another request id is a replay, which was not billed.
//! The earliest time of a call's lines is when it was made.
//!
//! Only per-response state is held: by the sizes of its parts some 200 bytes each, and about twice that
//! while they are put in order at the end; a million responses are 200 to 400 MB.

mod files;
mod line;
mod responses;
mod sessions;
#[cfg(test)]
mod tests;

use crate::domain::{Event, Timestamp};
use crate::error::Result;
use crate::intake::Complaints;
use crate::intake::files::read_all;
use files::LogFile;
use responses::Responses;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What was read of Claude Code's logs, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Files read.
    pub files: u64,
    /// Lines in them.
    pub lines: u64,
    /// Bytes of them, as stored.
    pub bytes: u64,
    /// Sessions that have a call.
    pub sessions: u64,
    /// Calls given to the sink.
    pub calls: u64,
    /// Lines that told of a call again.
    pub duplicates: u64,
    /// Lines of sidechains that repeat a message of another request.
    pub replays: u64,
    /// Lines that the program wrote in the model's name, such as its own error messages.
    pub synthetic: u64,
    /// Calls that are still being written, left for the next import.
    pub held_back: u64,
    /// Lines and files that could not be read, and why.
    pub complaints: Complaints,
}

/// Reads the logs under `paths` and gives their runs, calls and finishes to `sink`, run by run.
///
/// A path is a `projects` folder, its parent, a project's folder, or a single file; `.jsonl.gz` is read
/// too. `now` decides what is still being written: a call whose last line is younger than 5 minutes is
/// held back, and a session is finished when its last call is more than 24 hours ago. `progress` is told
/// the bytes of each part read, from several threads.
///
/// # Errors
/// When a path is not there, or `sink` fails.
pub fn read(
    paths: &[PathBuf],
    now: Timestamp,
    progress: &(dyn Fn(u64) + Sync),
    sink: impl FnMut(Event) -> Result<()>,
) -> Result<LogSummary> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    read_with(&files::find(paths)?, now, threads, progress, sink)
}

/// The size of all logs under `paths`, in bytes: the whole of what `progress` will be told.
pub fn total_bytes(paths: &[PathBuf]) -> Result<u64> {
    Ok(files::find(paths)?.iter().map(|file| file.bytes).sum())
}

fn read_with(
    files: &[LogFile],
    now: Timestamp,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
    sink: impl FnMut(Event) -> Result<()>,
) -> Result<LogSummary> {
    let parts = read_all(
        files,
        threads,
        || (Responses::default(), Vec::new()),
        |index, file, (all, complaints)| {
            let mut of_file = Complaints::default();
            files::read(file, now, all, &mut of_file, progress);
            if !of_file.is_empty() {
                complaints.push((index, of_file));
            }
        },
    );
    // Merging is commutative, and complaints are put in order.
    let mut all = Responses::default();
    let mut complaints = Vec::new();
    for (responses, of_files) in parts {
        all.merge(responses);
        complaints.extend(of_files);
    }
    complaints.sort_by_key(|(index, _)| *index);
    let mut summary = LogSummary { files: files.len() as u64, ..LogSummary::default() };
    for (_, of_file) in complaints {
        summary.complaints.append(of_file);
    }
    sessions::give(all, now, &mut summary, sink)?;
    Ok(summary)
}
