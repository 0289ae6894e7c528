//! Finding the files of a tool that logs into a tree of folders, and reading many of them at once.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file, and what its user calls it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its path without links.
    pub whole: PathBuf,
    /// Its path as the user gave it.
    pub shown: PathBuf,
    /// Its size when it was found.
    pub bytes: u64,
}

/// The files under `paths`, each once, sorted by path. In a folder those that `is_wanted` says so of, by their names; a
/// file that is named is always one. `hint` says what to name instead of a path that is not there.
pub(super) fn find(paths: &[PathBuf], is_wanted: fn(&str) -> bool, hint: &str) -> Result<Vec<Found>> {
    let mut found = BTreeMap::new();
    for path in paths {
        let whole = fs::canonicalize(path)
            .map_err(|error| Error::io(format!("cannot read `{}`", path.display()), error).hint(hint))?;
        if whole.is_dir() {
            walk(&whole, path, is_wanted, &mut found)?;
        } else {
            found.insert(whole, path.clone());
        }
    }
    let with_size = |(whole, shown): (PathBuf, PathBuf)| {
        let bytes = fs::metadata(&whole).map_or(0, |metadata| metadata.len());
        Found { whole, shown, bytes }
    };
    Ok(found.into_iter().map(with_size).collect())
}

/// Adds the files in `folder`, which the user calls `shown`. Links to folders are not followed: they can
/// go round in circles.
fn walk(
    folder: &Path,
    shown: &Path,
    is_wanted: fn(&str) -> bool,
    found: &mut BTreeMap<PathBuf, PathBuf>,
) -> Result<()> {
    let failed = |error| Error::io(format!("cannot read the folder `{}`", shown.display()), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, shown) = (entry.path(), shown.join(entry.file_name()));
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, &shown, is_wanted, found)?;
        } else if path.file_name().and_then(|name| name.to_str()).is_some_and(is_wanted) {
            found.insert(path, shown);
        }
    }
    Ok(())
}

/// The name of a log without `.jsonl` or `.jsonl.gz`; none if it has another ending.
pub(super) fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".jsonl")
}

/// What `read` makes of all files, on `threads` threads: each starts with `start()` and takes the next file that none
/// has taken. Which of them reads which file is chance.
pub(super) fn read_all<F: Sync, T: Send>(
    files: &[F],
    threads: usize,
    start: impl Fn() -> T + Sync,
    read: impl Fn(usize, &F, &mut T) + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut part = start();
        while let Some((index, file)) = take(files, &next) {
            read(index, file, &mut part);
        }
        part
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (1..threads.min(files.len())).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let others = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(mine).chain(others).collect()
    })
}

fn take<'f, F>(files: &'f [F], next: &AtomicUsize) -> Option<(usize, &'f F)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    files.get(index).map(|file| (index, file))
}
