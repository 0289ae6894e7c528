//! A file of the spool. Whoever holds its lock owns it: writes it, delivers it, removes it.
//!
//! A segment whose lock is free belongs to nobody any more: its process has ended, and the next one that comes by
//! delivers it. Names are numbers, so that segments can be delivered in the order in which they were begun, whatever
//! the clock says.

use super::record::{self, Pieces};
use crate::domain::Timestamp;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A segment that is longer is closed, and another one begun.
pub(crate) const SEGMENT_BYTES: u64 = 8 << 20;
/// No segment is longer: one event more than [`SEGMENT_BYTES`], which is at most 20 MiB long, or what is [held](super::held).
const MAX_READ_BYTES: u64 = 64 << 20;
const EXTENSION: &str = "spool";

/// A segment that this process owns.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    file: File,
    length: u64,
}

/// The segments in a folder, in the order in which they were begun. A folder that is not there has none.
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let failed = |e| Error::io(format!("the spool `{}` cannot be read", folder.display()), e);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).filter(|_| is_segment);
        if let Some(number) = number {
            segments.push((number, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Makes what was done in a folder last: the names of new files, and that old ones are gone.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Segment {
    /// Begins a segment behind all others.
    ///
    /// It gets its name only after it is locked: nobody can take it for one that was left behind.
    pub fn create(folder: &Path) -> Result<Self> {
        let failed = |e| Error::io(format!("the spool `{}` cannot be written", folder.display()), e);
        let unnamed = folder.join(format!("new-{}", uuid::Uuid::now_v7().simple()));
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&unnamed)
            .map_err(failed)?;
        let named = file.lock().and_then(|()| name(folder, &unnamed));
        let removed = std::fs::remove_file(&unnamed);
        let path = named.map_err(failed)?;
        removed.and_then(|()| sync_folder(folder)).map_err(failed)?;
        Ok(Self { path, file, length: 0 })
    }

    /// Takes a segment that nobody owns; none if somebody does, or it is gone by now.
    pub fn adopt(path: &Path) -> Result<Option<Self>> {
        let failed = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
        let file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if is_locked(&file).map_err(failed)? => return Ok(None),
                // Somebody only looks whether it is owned, and is gone in a moment.
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let found = file.metadata().map_err(failed)?;
        // Its owner may have removed or replaced it while we came.
        let is_current =
            std::fs::metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (found.dev(), found.ino()));
        Ok(is_current.then(|| Self { path: path.to_owned(), length: found.len(), file }))
    }

    /// Whether somebody owns the segment. Whoever asks keeps nobody from owning it: see [`Segment::adopt`].
    pub fn is_owned(path: &Path) -> Result<bool> {
        let failed = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
        match File::open(path) {
            Ok(file) => is_locked(&file).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether the next event belongs into another one.
    pub fn is_full(&self) -> bool {
        self.length >= SEGMENT_BYTES
    }

    /// Whether it is one of those that are written in reserved room: what is appended would lie behind its end.
    pub fn is_reserved(&self) -> io::Result<bool> {
        let mut last = [0];
        if self.length > 0 {
            self.file.read_exact_at(&mut last, self.length - 1)?;
        }
        Ok(self.length > 0 && last == [0])
    }

    /// Appends bytes, all or none. They are safe after a sync.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = (&self.file).write_all(bytes);
        if written.is_err() {
            // What was written of it must not stand in the way of what comes next.
            self.file.set_len(self.length)?;
        }
        written?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// A handle to sync with, on another thread.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Makes what was appended last.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A process that died while it wrote has left the beginning of a line, which must not spoil the next one.
    pub fn end_line(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if self.length > 0 {
            self.file.read_exact_at(&mut last, self.length - 1)?;
        }
        if last == [b'\n'] { Ok(()) } else { self.append(b"\n") }
    }

    /// At most `max` bytes from `start` on.
    pub fn read(&self, start: u64, max: u64) -> io::Result<Vec<u8>> {
        let length = self.length.saturating_sub(start).min(max).min(MAX_READ_BYTES);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], start + done as u64) {
                // Somebody has cut the file: what is left of it counts.
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// Whether it is longer than any that asmm writes.
    pub fn is_too_long(&self) -> bool {
        self.length > MAX_READ_BYTES
    }

    /// Empties it, when everything in it is delivered.
    pub fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.length = 0;
        Ok(())
    }

    /// Puts other events in its place: those that still wait. All or nothing, and nobody's afterwards.
    pub fn replace(self, events: &[(Timestamp, Vec<u8>)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (at, json) in events {
            record::encode(*at, json, &mut bytes);
        }
        let beside = self.path.with_extension(format!("new-{}", uuid::Uuid::now_v7().simple()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&beside, &self.path));
        if written.is_err() {
            // What is there stays; only the attempt is tidied away.
            let _ = std::fs::remove_file(&beside);
        }
        written?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }

    /// Removes it, when everything in it is delivered.
    pub fn remove(self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether an owner has locked it. Owners lock it for themselves alone; who looks shares it for a moment.
fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether there is nothing in the file: no bytes, or none that count.
pub(crate) fn is_empty(path: &Path) -> io::Result<bool> {
    if path.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut first = Vec::new();
    File::open(path)?.take(record::END.len() as u64).read_to_end(&mut first)?;
    Ok(first == record::END)
}

/// How many events there are, and when the oldest was put there.
pub(crate) fn census(bytes: &[u8]) -> (u64, Option<Timestamp>) {
    let times = Pieces::new(bytes).filter_map(|piece| match piece {
        record::Piece::Event { at, .. } => Some(at),
        _ => None,
    });
    times
        .fold((0, None), |(count, oldest), at| (count + 1, Some(oldest.map_or(at, |o: Timestamp| o.min(at)))))
}

/// Links the file to the next free number.
fn name(folder: &Path, unnamed: &Path) -> io::Result<PathBuf> {
    let mut number = list(folder).map_err(io::Error::other)?.last().map_or(1, |(last, _)| last + 1);
    loop {
        let path = folder.join(format!("{number:012}.{EXTENSION}"));
        match std::fs::hard_link(unnamed, &path) {
            Ok(()) => return Ok(path),
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn who_looks_owns_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let segment = Segment::create(folder.path()).unwrap();
        let path = segment.path().to_owned();
        assert!(Segment::is_owned(&path).unwrap());
        assert!(Segment::adopt(&path).unwrap().is_none());
        drop(segment);
        assert!(!Segment::is_owned(&path).unwrap());
        // Somebody looks: who wants to own it waits for that, and gets it.
        let looking = File::open(&path).unwrap();
        looking.lock_shared().unwrap();
        let adopting = thread::spawn({
            let path = path.clone();
            move || Segment::adopt(&path).unwrap().is_some()
        });
        assert!(!Segment::is_owned(&path).unwrap());
        drop(looking);
        assert!(adopting.join().unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!Segment::is_owned(&path).unwrap());
        assert!(Segment::adopt(&path).unwrap().is_none());
    }
}
