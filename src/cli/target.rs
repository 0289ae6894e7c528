//! Where a command's file goes: it appears there whole, by a rename. A pipe or a device is written to, since a rename
//! would replace it.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What is written at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A file, which is new or takes the place of another.
    File,
    /// What is there: a pipe, or a device that takes bytes one after the other, such as `/dev/null`.
    Stream,
}

impl Target {
    /// What is written at `path`. A file that is there is replaced only by `force`.
    ///
    /// # Errors
    /// When something is there that is neither replaced nor written to.
    pub(super) fn at(path: &Path, force: bool) -> Result<Self> {
        match path.metadata().map(|there| there.file_type()) {
            Ok(there) if there.is_fifo() || there.is_char_device() => return Ok(Self::Stream),
            Ok(there) if !there.is_file() => return Err(no_file(path)),
            _ => {}
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(Error::usage(format!("`{}` is there already", path.display()))
                .hint("name another file, or replace it with --force"));
        }
        Ok(Self::File)
    }
}

fn no_file(path: &Path) -> Error {
    Error::usage(format!("`{}` is there, and is no file", path.display()))
        .hint("name a file; what goes to stdout can go on to a device or a pipe")
}

/// Lets `write` write what is to be at `path`. A file appears there when it is whole and on disk; when that fails, what was
/// there before is there still, and nothing beside it.
///
/// # Errors
/// As [`Target::at`] and `write` fail, and when it cannot be written.
pub(super) async fn write<T>(
    path: &Path,
    force: bool,
    write: impl AsyncFnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let failed = |e| Error::io(format!("`{}` cannot be written", path.display()), e);
    if Target::at(path, force)? == Target::Stream {
        let mut out = BufWriter::new(OpenOptions::new().write(true).open(path).map_err(failed)?);
        let written = write(&mut out).await?;
        out.flush().map_err(failed)?;
        return Ok(written);
    }
    let (part, file) = Part::beside(path).map_err(failed)?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out).await?;
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)?;
    // Somebody may have made something there meanwhile.
    if Target::at(path, force)? == Target::Stream {
        return Err(no_file(path));
    }
    std::fs::rename(&part.0, path).map_err(failed)?;
    Ok(written)
}

/// A file beside another that is not whole yet. When it is done with it is gone: under its new name, or removed.
struct Part(PathBuf);

impl Part {
    /// In the same folder, so that a rename is enough; of a name of its own, so that two at once do not write into each other.
    fn beside(path: &Path) -> io::Result<(Self, File)> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", Uuid::now_v7().simple()));
        let part = PathBuf::from(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&part)?;
        Ok((Self(part), file))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // That it stays is no worse than what went wrong, which is said.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    async fn put(path: &Path, force: bool, text: &str) -> Result<()> {
        write(path, force, async |out| {
            out.write_all(text.as_bytes()).map_err(|e| Error::io("the text cannot be written", e))
        })
        .await
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn only_files_are_replaced_and_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("there.csv");
        put(&file, false, "first").await.unwrap();
        let error = put(&file, false, "second").await.unwrap_err().to_string();
        assert!(error.ends_with("is there already"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first");
        put(&file, true, "third").await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "third");
        let error = put(folder.path(), true, "").await.unwrap_err().to_string();
        assert!(error.ends_with("is there, and is no file"), "{error}");
        assert_eq!(names(folder.path()), ["there.csv"]);
    }

    #[tokio::test]
    async fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.csv"), folder.path().join("new.csv"));
        put(&old, false, "precious").await.unwrap();
        for path in [&old, &new] {
            let outcome: Result<()> = write(path, true, async |out| {
                out.write_all(&vec![b'x'; 100_000]).unwrap();
                Err(Error::input("the ledger went away"))
            })
            .await;
            assert_eq!(outcome.unwrap_err().to_string(), "the ledger went away");
        }
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "precious");
        assert_eq!(names(folder.path()), ["old.csv"]);
    }

    #[tokio::test]
    async fn what_somebody_else_made_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("there.csv");
        let outcome = write(&file, false, async |_| {
            std::fs::write(&file, "theirs").unwrap();
            Ok(())
        })
        .await;
        assert!(outcome.unwrap_err().to_string().ends_with("is there already"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs");
        assert_eq!(names(folder.path()), ["there.csv"]);
    }

    #[tokio::test]
    async fn devices_and_pipes_are_written_to_and_stay() {
        let null = Path::new("/dev/null");
        put(null, false, "nothing").await.unwrap();
        assert!(null.symlink_metadata().unwrap().file_type().is_char_device());
        let full = put(Path::new("/dev/full"), true, "too much").await.unwrap_err().to_string();
        assert!(full.contains("`/dev/full` cannot be written"), "{full}");

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).unwrap()
        });
        put(&pipe, false, "through").await.unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["pipe"]);
    }

    /// A link to a file is replaced and not followed; one to a device leads there.
    #[tokio::test]
    async fn links_to_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, null) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("null"));
        std::fs::write(&file, "mine").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        assert!(put(&link, false, "").await.unwrap_err().to_string().ends_with("is there already"));
        put(&link, true, "new").await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(&link).unwrap(), "new");
        assert!(!link.is_symlink());
        put(&null, true, "nothing").await.unwrap();
        assert!(null.is_symlink());
    }
}
