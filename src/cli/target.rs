//! Where a command's file goes: it is put there whole, by a rename, which would replace a device or a pipe as well.

use crate::error::{Error, Result};
use std::path::Path;

/// Whether a file may be put at `path`: only a file is replaced, and only by `force`.
///
/// # Errors
/// When something is there that is not replaced.
pub(super) fn check_free(path: &Path, force: bool) -> Result<()> {
    check_no_other(path)?;
    if !force && path.symlink_metadata().is_ok() {
        return Err(Error::usage(format!("`{}` is there already", path.display()))
            .hint("name another file, or replace it with --force"));
    }
    Ok(())
}

/// Whether there is nothing but a file at `path`, if anything.
///
/// # Errors
/// When there is: a folder, a device, a pipe.
pub(super) fn check_no_other(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(there) if !there.is_file() => {
            Err(Error::usage(format!("`{}` is there, and is no file", path.display()))
                .hint("name a file; what goes to stdout can go on to a device or a pipe"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("there.csv");
        assert!(check_free(&file, false).is_ok());
        std::fs::write(&file, "").unwrap();
        assert!(check_free(&file, false).is_err());
        assert!(check_free(&file, true).is_ok());
        for other in [folder.path(), Path::new("/dev/null")] {
            let error = check_free(other, true).unwrap_err().to_string();
            assert!(error.ends_with("is there, and is no file"), "{error}");
        }
    }
}
