//! The commit that pushed files come from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A repository that takes longer to answer is not waited for: a push is more than its commit.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many files are named to git at once: a command line has its limits.
const CHUNK: usize = 200;

/// The commit that is checked out where `files` lie, with `-dirty` if they are not as it has them. None where there is no git, no
/// repository, no commit yet, or more than one repository.
pub(super) async fn commit_of(files: &[&Path]) -> Option<String> {
    let whole: Vec<PathBuf> = files.iter().map(|file| file.canonicalize().ok()).collect::<Option<_>>()?;
    let folder = whole.first()?.parent()?;
    let top = PathBuf::from(one_line(git(folder, ["rev-parse", "--show-toplevel"]).await?)?);
    if !whole.iter().all(|file| file.starts_with(&top)) {
        return None;
    }
    let commit = one_line(git(&top, ["rev-parse", "--verify", "HEAD"]).await?)?;
    if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for chunk in whole.chunks(CHUNK) {
        // Ignored files are in no commit either.
        let asked = ["status", "--porcelain", "--untracked-files=all", "--ignored", "--"].map(OsStr::new);
        let changed = git(&top, asked.into_iter().chain(chunk.iter().map(|file| file.as_os_str()))).await?;
        if !changed.is_empty() {
            return Some(format!("{commit}-dirty"));
        }
    }
    Some(commit)
}

/// What git says, if it says it happily.
async fn git(folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Option<Vec<u8>> {
    let output = Command::new("git")
        .arg("--literal-pathspecs")
        .arg("-C")
        .arg(folder)
        .args(args)
        // Looking must not lock the index of somebody who works there.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.ok()?.ok()?;
    output.status.success().then_some(output.stdout)
}

fn one_line(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}
