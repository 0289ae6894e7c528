//! What waits where.

use super::segment::{self, Segment};
use super::{MAX_BYTES, Spool};
use crate::domain::Timestamp;
use crate::error::{Error, Result};
use std::path::Path;

/// What waits for one ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SpoolStatus {
    /// The ledger, without its password.
    pub ledger: String,
    /// Segments.
    pub segments: u64,
    /// Those of them that a running process owns, and delivers itself.
    pub owned: u64,
    /// Events.
    pub events: u64,
    /// Bytes, with what is set aside.
    pub bytes: u64,
    /// When the oldest event was put here.
    pub oldest: Option<Timestamp>,
    /// Events and damaged bytes that were set aside.
    pub set_aside: u64,
}

impl Spool {
    /// What waits here.
    pub fn status(&self) -> Result<SpoolStatus> {
        let mut status =
            SpoolStatus { ledger: self.ledger.clone(), bytes: self.bytes()?, ..SpoolStatus::default() };
        for (_, path) in segment::list(self.folder())? {
            let is_owned = Segment::is_owned(&path)?;
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let (events, oldest) = segment::census(&bytes);
            if events == 0 && is_owned {
                continue;
            }
            status.segments += 1;
            status.owned += u64::from(is_owned);
            status.events += events;
            status.oldest = [status.oldest, oldest].into_iter().flatten().min();
        }
        let mut set_aside = 0;
        let unreadable = self.read_aside(|_| set_aside += 1)?;
        status.set_aside = set_aside + unreadable;
        Ok(status)
    }
}

/// The spools of all ledgers under `home`, by their ledgers' names.
pub(crate) fn all_spools(home: &Path) -> Result<Vec<Spool>> {
    let failed = |e| Error::io(format!("`{}` cannot be read", home.display()), e);
    let entries = match std::fs::read_dir(home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut spools = Vec::new();
    for entry in entries {
        let folder = entry.map_err(failed)?.path();
        if folder.is_dir() {
            // Whoever made the folder may have died before the name was written.
            let ledger = std::fs::read_to_string(folder.join("ledger")).unwrap_or_default();
            let ledger = if ledger.is_empty() { "not known" } else { ledger.trim() }.to_owned();
            spools.push(Spool { folder, ledger, max_bytes: MAX_BYTES });
        }
    }
    spools.sort_by(|one, other| one.ledger.cmp(&other.ledger));
    Ok(spools)
}
