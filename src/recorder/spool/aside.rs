//! What cannot be recorded, with its reason: it holds up nothing, and is not thrown away.

use super::{Spool, segment};
use crate::domain::{Digest, Event, Timestamp};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

pub(super) const FILE: &str = "aside.jsonl";

/// One thing that was set aside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Aside {
    /// Why.
    pub reason: String,
    /// When.
    pub set_aside_at: Timestamp,
    /// When it was recorded, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<Timestamp>,
    /// The event, as the native format writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<RawValue>>,
    /// Or bytes that are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<Damaged>,
}

/// Bytes that are no event.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Damaged {
    /// The bytes as text; what is not UTF-8 in them is replaced.
    text: String,
    /// How many they were.
    bytes: usize,
    /// Their SHA-256.
    sha256: Digest,
}

impl Aside {
    /// An event that cannot be recorded.
    pub fn event(reason: String, json: Vec<u8>, recorded_at: Timestamp, now: Timestamp) -> Self {
        let raw = String::from_utf8(json).map_err(std::string::FromUtf8Error::into_bytes);
        let raw = raw.and_then(|text| RawValue::from_string(text.clone()).map_err(|_| text.into_bytes()));
        match raw {
            Ok(event) => Self {
                reason,
                set_aside_at: now,
                recorded_at: Some(recorded_at),
                event: Some(event),
                damaged: None,
            },
            Err(bytes) => Self { recorded_at: Some(recorded_at), ..Self::damaged(reason, &bytes, now) },
        }
    }

    /// Bytes that are no event.
    pub fn damaged(reason: String, bytes: &[u8], now: Timestamp) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let damaged = Damaged { text, bytes: bytes.len(), sha256: Digest::of(bytes) };
        Self { reason, set_aside_at: now, recorded_at: None, event: None, damaged: Some(damaged) }
    }

    /// The event, if it is one that this program knows.
    pub fn to_event(&self) -> Option<Event> {
        serde_json::from_str(self.event.as_ref()?.get()).ok()
    }
}

impl Spool {
    /// Sets things aside: safe on disk when this returns.
    pub fn set_aside(&self, all: &[Aside]) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        self.make()?;
        let path = self.folder().join(FILE);
        let failed = |e| Error::io(format!("`{}` cannot be written", path.display()), e);
        let lines = lines(all).map_err(failed)?;
        let mut file = self.aside_file().map_err(failed)?;
        file.write_all(&lines).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// What is set aside, handed out one by one. A line that cannot be read is counted.
    pub fn read_aside(&self, mut each: impl FnMut(Aside)) -> Result<u64> {
        let path = self.folder().join(FILE);
        let failed = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let mut unreadable = 0;
        for line in BufReader::new(file).split(b'\n') {
            match serde_json::from_slice(&line.map_err(failed)?) {
                Ok(aside) => each(aside),
                Err(_) => unreadable += 1,
            }
        }
        Ok(unreadable)
    }

    /// Moves the events that were set aside back into the spool, to be tried again; what is damaged stays.
    /// Answers how many.
    pub fn try_aside_again(&self, now: Timestamp) -> Result<usize> {
        let path = self.folder().join(FILE);
        if !path.exists() {
            return Ok(0);
        }
        let failed = |e| Error::io(format!("`{}` cannot be written", path.display()), e);
        let lock = self.aside_file().map_err(failed)?;
        let (mut events, mut rest) = (Vec::new(), Vec::new());
        let unreadable = self.read_aside(|aside| match aside.to_event() {
            Some(event) => events.push(event),
            None => rest.push(aside),
        })?;
        if unreadable > 0 {
            return Err(Error::input(format!(
                "`{}` holds lines that cannot be read: {unreadable}",
                path.display()
            ))
            .hint("look at them, and take them out or put them right"));
        }
        if events.is_empty() {
            return Ok(0);
        }
        // First there, then gone here: a crash in between tries them twice, which changes nothing.
        self.take_over(&events, now)?;
        let lines = lines(&rest).map_err(failed)?;
        let beside = path.with_extension("jsonl.new");
        std::fs::write(&beside, lines)
            .and_then(|()| File::open(&beside)?.sync_all())
            .and_then(|()| std::fs::rename(&beside, &path))
            .and_then(|()| segment::sync_folder(self.folder()))
            .map_err(failed)?;
        drop(lock);
        Ok(events.len())
    }

    /// The file, locked against others that set something aside.
    fn aside_file(&self) -> std::io::Result<File> {
        let path = self.folder().join(FILE);
        loop {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            file.lock()?;
            let (ours, current) = (file.metadata()?, std::fs::metadata(&path));
            // Whoever had the lock before may have put another file in its place.
            if current.is_ok_and(|current| (current.dev(), current.ino()) == (ours.dev(), ours.ino())) {
                return Ok(file);
            }
        }
    }
}

fn lines(all: &[Aside]) -> std::io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for one in all {
        serde_json::to_writer(&mut lines, one)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::spool::{MAX_BYTES, segment::Segment};
    use crate::store::Location;

    const EVENT: &str =
        r#"{"type":"finish","run_id":"00000000-0000-7000-8000-000000000001","status":"failed"}"#;

    fn at() -> Timestamp {
        Timestamp::from_micros(1_774_008_000_000_000)
    }

    fn event() -> Aside {
        Aside::event("because".to_owned(), EVENT.into(), at(), at())
    }

    #[test]
    fn what_is_set_aside_is_read_and_goes_back() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::of(&Location::new("sqlite:x.db", "asmm"), Some(home.path()), 10).unwrap();
        let all = [event(), Aside::damaged("because".to_owned(), b"\xff{", at()), event()];
        spool.set_aside(&all).unwrap();
        let mut read = Vec::new();
        assert_eq!(spool.read_aside(|one| read.push(one)).unwrap(), 0);
        assert_eq!(format!("{read:?}"), format!("{all:?}"));
        // More than the spool may hold: it is only moved.
        assert!(spool.check_room().is_err());
        assert_eq!(spool.try_aside_again(Timestamp::from_micros(0)).unwrap(), 2);
        assert_eq!((spool.status().unwrap().events, spool.status().unwrap().set_aside), (2, 1));
        assert_eq!(spool.try_aside_again(Timestamp::from_micros(0)).unwrap(), 0);
    }

    #[test]
    fn many_go_into_several_segments() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::of(&Location::new("sqlite:x.db", "asmm"), Some(home.path()), MAX_BYTES).unwrap();
        let long = (Timestamp::from_micros(0), vec![b' '; 5 << 20]);
        spool.keep_json(&vec![long; 5]).unwrap();
        let segments = segment::list(spool.folder()).unwrap();
        assert_eq!(segments.len(), 3);
        for (_, path) in segments {
            assert!(!Segment::adopt(&path).unwrap().unwrap().is_too_long());
        }
        assert_eq!(spool.status().unwrap().events, 5);
    }
}
