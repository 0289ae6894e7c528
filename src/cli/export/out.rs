//! Where an export goes.

use crate::cli::context::is_closed_pipe;
use crate::cli::target::check_free;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Lets `write` write to the file at `path`, which appears when it is complete, or without a path to stdout.
///
/// Answers what `write` did; nothing when the reader of stdout went away, which is no failure.
///
/// # Errors
/// When the file is there and `force` is not given, when it cannot be written, or as `write` fails.
pub(super) async fn write<T>(
    path: Option<&Path>,
    force: bool,
    write: impl AsyncFnOnce(&mut dyn Write) -> Result<T>,
) -> Result<Option<T>> {
    let Some(path) = path else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        return match write(&mut out).await {
            Err(error) if is_closed_pipe(&error) => Ok(None),
            outcome => outcome.map(Some),
        };
    };
    check_free(path, force)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let failed = |e| Error::io(format!("`{}` cannot be written", part.display()), e);
    let file = File::create(&part).map_err(failed)?;
    let mut out = BufWriter::new(file);
    let written = async {
        let written = write(&mut out).await?;
        let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        std::fs::rename(&part, path)
            .map_err(|e| Error::io(format!("`{}` cannot be written", path.display()), e))?;
        Ok::<T, Error>(written)
    }
    .await;
    if written.is_err() {
        // Half a file is of no use to anybody; that it stays says the error already.
        let _ = std::fs::remove_file(&part);
    }
    written.map(Some)
}
