//! Finding the logs, and reading one.

use super::line::{self, Read as LineRead};
use super::responses::Responses;
use crate::domain::{MAX_NAME_CHARS, Timestamp};
use crate::error::Result;
use crate::intake::Complaints;
use crate::intake::files::{self, Found};
use crate::intake::lines::Lines;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Lines between two words of progress.
const PROGRESS_LINES: u64 = 256;

/// A log, and what its place says about it.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    path: PathBuf,
    /// The name of the project's folder.
    project: String,
    /// The file's name without its ending: the session, or `agent-…`.
    stem: String,
    /// Its size.
    pub(super) bytes: u64,
}

/// The logs under `paths`, each once, sorted by path.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<LogFile>> {
    let hint = "give the folder `projects`, one project in it, or a session's .jsonl file";
    Ok(files::find(paths, |name| files::stem(name).is_some(), hint)?.into_iter().map(log_file).collect())
}

fn log_file(found: Found) -> LogFile {
    let path = found.whole.as_path();
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let folders: Vec<&Path> = path.ancestors().skip(1).collect();
    // `<project>/<session>/subagents/…/x.jsonl`, or else `<project>/x.jsonl`.
    let subagents = folders.iter().position(|folder| folder.ends_with("subagents"));
    let project = folders.get(subagents.map_or(0, |at| at + 2)).and_then(|folder| name(folder));
    let file_name = name(path).unwrap_or_default();
    LogFile {
        // A folder's name may be longer than the ledger takes.
        project: project
            .map_or_else(|| "claude-code".to_owned(), |name| name.chars().take(MAX_NAME_CHARS).collect()),
        stem: files::stem(&file_name).unwrap_or(&file_name).to_owned(),
        bytes: found.bytes,
        path: found.shown,
    }
}

/// Reads one log into `all`. A file that fails is a complaint like a line that does: the others count.
pub(super) fn read(
    file: &LogFile,
    now: Timestamp,
    all: &mut Responses,
    complaints: &mut Complaints,
    progress: &(dyn Fn(u64) + Sync),
) {
    let shown = file.path.display().to_string();
    let opened = File::open(&file.path).and_then(Lines::new);
    let mut lines = match opened {
        Ok(lines) => lines,
        Err(error) => return complaints.add_file(&shown, error),
    };
    let told = lines.progress();
    let mut told_bytes = 0;
    loop {
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                complaints.add_file(&shown, error);
                break;
            }
        };
        all.lines += 1;
        if line.number % PROGRESS_LINES == 0 {
            progress(told.bytes() - told_bytes);
            told_bytes = told.bytes();
        }
        let read = line
            .text
            .map_err(|bad| bad.to_string())
            .and_then(|text| line::read(text, &file.stem, now).map_err(|error| error.to_string()));
        match read {
            Ok(LineRead::Usage(usage)) => all.add(&usage, &file.project),
            Ok(LineRead::Synthetic) => all.synthetic += 1,
            Ok(LineRead::Nothing) => {}
            Err(bad) => complaints.add(&shown, line.number, bad),
        }
    }
    progress(told.bytes() - told_bytes);
    all.bytes += told.bytes();
}
