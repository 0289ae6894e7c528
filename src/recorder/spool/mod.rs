//! What could not be recorded waits on disk: one folder a ledger, in it segments of events.
//!
//! `$XDG_STATE_HOME/asmm/spool/<ledger>/`:
//!
//! | file | what it is |
//! |---|---|
//! | `000000000042.spool` | a segment: events in the order in which they were recorded ([`record`]) |
//! | `aside.jsonl` | what the ledger refused or what was damaged, a JSON object a line, each with its reason |
//! | `drain.lock` | held by the one process that delivers what others left behind |
//! | `ledger` | which ledger it is, without its password |
//! | `recorders/*.json` | the counters of the recorders that work here, or did |
//!
//! An event is safe once it is synced. It is delivered before it is removed, so that a crash in between delivers it
//! twice, which changes nothing: ids make every event count once.

mod aside;
mod drain;
mod held;
mod own;
mod record;
mod segment;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use aside::Aside;
pub(crate) use drain::{Drained, How, Sorted, Undelivered, conflict, deliver, drain_left, no_answer, sort};
pub(crate) use held::Held;
pub(crate) use own::{Chunk, OwnSpool, Position};
pub(crate) use status::{SpoolStatus, all_spools};

use crate::domain::{Event, Span, Timestamp};
use crate::error::{Error, Result};
use crate::recorder::metrics::Report;
use crate::settings;
use crate::store::Location;
use segment::Segment;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The most that waits for one ledger, unless settings say otherwise: 1 GiB.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// The spool of one ledger.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
    ledger: String,
    max_bytes: u64,
}

impl Spool {
    /// The spool of a ledger, in the user's state folder unless `home` names another. Nothing is made yet.
    pub fn of(location: &Location, home: Option<&Path>, max_bytes: u64) -> Result<Self> {
        let home = home.map_or_else(spool_home, |home| Ok(home.to_owned()))?;
        let ledger = location.name();
        // Not of the URL: another password is the same ledger.
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, ledger.as_bytes());
        Ok(Self { folder: home.join(id.simple().to_string()), ledger, max_bytes })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder, made if need be.
    pub fn make(&self) -> Result<()> {
        let failed = |e| Error::io(format!("the spool `{}` cannot be made", self.folder.display()), e);
        let named = self.folder.join("ledger");
        if named.exists() {
            return Ok(());
        }
        // Texts lie here: they are their owner's only.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(failed)?;
        std::fs::write(named, format!("{}\n", self.ledger)).map_err(failed)
    }

    /// Begins a segment, unless the spool is full.
    fn begin(&self) -> Result<Segment> {
        self.make()?;
        self.check_room()?;
        Segment::create(&self.folder)
    }

    fn check_room(&self) -> Result<()> {
        let (bytes, limit) = (self.bytes()?, self.max_bytes);
        if bytes < limit {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(Error::database(format!(
            "the spool `{folder}` is full: it holds {bytes} bytes, and may hold {limit}"
        ))
        .hint("bring the ledger back and run `asmm spool drain`, or raise ASMM_SPOOL_MAX_BYTES"))
    }

    /// How much lies in it.
    fn bytes(&self) -> Result<u64> {
        let segments = segment::list(&self.folder)?;
        let sizes = segments.iter().filter_map(|(_, path)| Some(path.metadata().ok()?.len()));
        let aside = self.folder.join(aside::FILE).metadata().map_or(0, |m| m.len());
        Ok(sizes.sum::<u64>() + aside)
    }

    /// Keeps events until the ledger is back: safe on disk when this returns.
    ///
    /// They go behind everything that was left here by others, so that the order stays.
    ///
    /// # Errors
    /// When the spool is full or cannot be written.
    pub fn keep(&self, events: &[Event], at: Timestamp) -> Result<()> {
        self.keep_json(&with_times(events, at)?)
    }

    /// [`Spool::keep`] of spans.
    pub fn keep_spans<'s>(&self, spans: impl IntoIterator<Item = &'s Span>, at: Timestamp) -> Result<()> {
        let spans = spans.into_iter().map(|span| {
            let mut json = Vec::new();
            held::write(span, &mut json)?;
            Ok((at, json))
        });
        self.keep_json(&spans.collect::<Result<Vec<_>>>()?)
    }

    /// Keeps events, each as JSON, that were recorded at the time given.
    pub fn keep_json(&self, events: &[(Timestamp, Vec<u8>)]) -> Result<()> {
        self.check_room()?;
        self.put(events)
    }

    /// Keeps events that lie elsewhere on this disk and are removed there: a full spool takes them as well.
    pub fn take_over(&self, events: &[Event], at: Timestamp) -> Result<()> {
        self.put(&with_times(events, at)?)
    }

    fn put(&self, events: &[(Timestamp, Vec<u8>)]) -> Result<()> {
        self.make()?;
        let newest = segment::list(&self.folder)?.pop();
        // One that cannot be read, as when another user wrote it, must not keep these from the disk.
        let newest = newest.and_then(|(_, path)| Segment::adopt(&path).ok().flatten());
        let mut segment = newest.filter(|segment| {
            !segment.is_full() && segment.is_reserved().is_ok_and(|is_reserved| !is_reserved)
        });
        let mut events = events.iter().peekable();
        while events.peek().is_some() {
            let mut current = match segment.take() {
                Some(segment) => segment,
                None => Segment::create(&self.folder)?,
            };
            let mut bytes = Vec::new();
            // A segment that is much longer could not be read again.
            while current.length() + (bytes.len() as u64) < segment::SEGMENT_BYTES
                && let Some((at, json)) = events.next()
            {
                record::encode(*at, json, &mut bytes);
            }
            let written =
                current.end_line().and_then(|()| current.append(&bytes)).and_then(|()| current.sync());
            written.map_err(|e| Error::io(format!("`{}` cannot be written", current.path().display()), e))?;
        }
        Ok(())
    }

    /// Whether anything waits here.
    pub fn is_empty(&self) -> Result<bool> {
        let segments = segment::list(&self.folder)?;
        Ok(segments.iter().all(|(_, path)| segment::is_empty(path).unwrap_or(false)))
    }

    /// A segment that is longer is closed. The limit is looked at when one is begun: the smaller it is, the more often.
    fn segment_bytes(&self) -> u64 {
        (self.max_bytes / 8).clamp(1 << 16, segment::SEGMENT_BYTES)
    }

    /// Where recorders leave their counters.
    pub fn recorders(&self) -> PathBuf {
        self.folder.join("recorders")
    }

    /// Leaves the counters of a recorder, and tidies away those of long ago.
    pub fn write_report(&self, path: &Path, report: &Report) -> std::io::Result<()> {
        self.make().map_err(std::io::Error::other)?;
        if !path.exists() {
            std::fs::create_dir_all(self.recorders())?;
            forget_old_reports(&self.recorders())?;
        }
        let beside = path.with_extension("new");
        std::fs::write(&beside, serde_json::to_vec_pretty(report)?)?;
        std::fs::rename(&beside, path)
    }

    /// The counters that recorders have left, newest first.
    pub fn reports(&self) -> Vec<Report> {
        let Ok(entries) = std::fs::read_dir(self.recorders()) else { return Vec::new() };
        let texts = entries.flatten().filter_map(|entry| std::fs::read(entry.path()).ok());
        let mut reports: Vec<Report> = texts.filter_map(|text| serde_json::from_slice(&text).ok()).collect();
        reports.sort_by_key(|report| std::cmp::Reverse(report.updated_at));
        reports
    }

    /// The right to deliver what others left behind: one process at a time has it, so that the order stays.
    ///
    /// None if another process has it, or nobody ever spooled anything.
    pub fn lock_drain(&self) -> Result<Option<File>> {
        if !self.folder.is_dir() {
            return Ok(None);
        }
        let path = self.folder.join("drain.lock");
        let failed = |e| Error::io(format!("`{}` cannot be locked", path.display()), e);
        let options = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Keeps the counters of the newest recorders only.
fn forget_old_reports(folder: &Path) -> std::io::Result<()> {
    const KEPT: usize = 100;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    // Names begin with the time.
    paths.sort();
    let old = paths.len().saturating_sub(KEPT);
    paths.into_iter().take(old).try_for_each(std::fs::remove_file)
}

/// Where the spools of all ledgers are.
pub(crate) fn spool_home() -> Result<PathBuf> {
    Ok(settings::state_home()?.join("asmm").join("spool"))
}

fn with_times(events: &[Event], at: Timestamp) -> Result<Vec<(Timestamp, Vec<u8>)>> {
    events.iter().map(|event| Ok((at, to_json(event)?))).collect()
}

/// An event as the native format writes it, without the line end.
fn to_json(event: &Event) -> Result<Vec<u8>> {
    serde_json::to_vec(event).map_err(|e| Error::input(format!("an event cannot be written as JSON: {e}")))
}
