//! The key of the fingerprints: a file outside every database, made on first use.

use crate::error::{Error, Result};
use crate::guard::Fingerprinter;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the key is, if not in its default place.
pub(crate) const VARIABLE: &str = "ASMM_GUARD_KEY_FILE";
/// A key is 64 hexadecimal digits; a larger file is none.
const MAX_BYTES: u64 = 200;

/// The key's text, made if there is none.
pub(crate) fn load() -> Result<String> {
    let path = path()?;
    match read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(&path).map_err(|e| failed("made", &path, e))?;
            // Another process may have been faster: its key counts.
            read(&path).map_err(|e| failed("read", &path, e))
        }
        outcome => outcome.map_err(|e| failed("read", &path, e)),
    }
}

/// 32 bytes from the operating system.
pub(crate) fn random() -> Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| Error::input(format!("the system gives no random bytes: {e}")))?;
    Ok(key)
}

/// Where the key is, or will be.
pub(crate) fn path() -> Result<PathBuf> {
    match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        // Without a home there is no place for it, which is no wrong usage of the command at hand.
        None => match super::config_home() {
            Ok(folder) => Ok(folder.join("asmm").join("guard.key")),
            Err(_) => Err(Error::io(
                "the guard's key has no place",
                std::io::Error::new(ErrorKind::NotFound, format!("neither HOME nor {VARIABLE} is set")),
            )),
        },
    }
}

fn failed(verb: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("the guard's key `{}` cannot be {verb}", path.display()), error)
        .hint(format!("name another place with {VARIABLE}"))
}

fn read(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        tracing::warn!("the guard's key `{0}` can be read by others: run `chmod 600 {0}`", path.display());
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Written whole beside its place, and then put there unless another is there: two processes at once end with one
/// key.
fn make(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let key = random().map_err(|e| std::io::Error::other(e.to_string()))?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let _ = std::fs::remove_file(&beside);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).and_then(|mut file| {
            file.write_all(crate::domain::Digest(key).hex().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
    let placed = written.and_then(|()| match std::fs::hard_link(&beside, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    });
    let _ = std::fs::remove_file(&beside);
    placed
}

/// The fingerprints of this machine. Without a place for a key they are good for this process only: a text is
/// sanitised all the same.
pub(crate) fn fingerprints() -> Result<Fingerprinter> {
    match load() {
        Ok(key) => Fingerprinter::from_hex(&key),
        Err(error) if error.kind() == crate::error::ErrorKind::Io => {
            tracing::warn!("{error}");
            tracing::warn!("fingerprints of this process cannot be compared with any other's");
            Ok(Fingerprinter::new(random()?))
        }
        Err(error) => Err(error),
    }
}
