//! Where an export goes.

use crate::cli::context::is_closed_pipe;
use crate::cli::target;
use crate::error::{Error, Result};
use std::io::{BufWriter, Write};
use std::path::Path;

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
    if let Some(path) = path {
        return target::write(path, force, write).await.map(Some);
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = async {
        let written = write(&mut out).await?;
        out.flush().map_err(|e| Error::io("the export cannot be written", e))?;
        Ok(written)
    };
    match written.await {
        Err(error) if is_closed_pipe(&error) => Ok(None),
        outcome => outcome.map(Some),
    }
}
