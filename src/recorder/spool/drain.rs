//! From the spool into the ledger: what others left behind, in the order in which they left it.

use super::record::{Piece, Pieces};
use super::segment::{self, Segment};
use super::{Aside, Spool, to_json};
use crate::domain::{Event, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::mask_secrets;
use crate::recorder::Door;
use crate::store::{Applied, Store};
use std::borrow::{Borrow, Cow};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Mutex;

/// How many events are delivered at once.
const CHUNK: usize = 1000;
/// How long an event waits for the run, the step or the prompt that it names, in microseconds: a day. They may be on
/// their way from another machine.
const WAITS_AT_MOST_MICROS: i64 = 86_400_000_000;

/// Why an event is not in the ledger.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It names something that is not there yet.
    Waits(Error),
    /// The ledger does not take it.
    Refused(Error),
}

impl Fate {
    /// Why, in words. They may repeat a part of a text: a secret in it is not written down.
    fn reason(&self) -> String {
        let (Self::Waits(error) | Self::Refused(error)) = self;
        mask_secrets(&error.to_string())
    }
}

/// An event that is not in the ledger.
#[derive(Debug)]
pub(crate) struct Undelivered {
    /// Its place among those that were given; none for what the guard decided on the way.
    pub place: Option<usize>,
    /// The event, as it would have been recorded.
    pub event: Event,
    /// Why.
    pub fate: Fate,
}

/// What became of what was left behind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Events that are in the ledger now.
    pub delivered: u64,
    /// Events that wait for what they name.
    pub waiting: u64,
    /// What the last of them waits for.
    pub last_wait: Option<String>,
    /// Events that were refused, and damaged ones: set aside.
    pub set_aside: u64,
    /// Why the last one was set aside.
    pub last_reason: Option<String>,
    /// What of the spool could not be read or written; it stays as it is.
    pub trouble: Option<String>,
}

/// Why a segment is not delivered.
enum Trouble {
    /// The ledger does not take it: it takes no other one either.
    Ledger(Error),
    /// This one cannot be read or written.
    Disk(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Disk(error)
    }
}

/// How events are put into the ledger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Over how many connections at once; the events of a run stay in order.
    pub lanes: usize,
    /// How long an answer may take.
    pub patience: Duration,
    /// Whether this process has passed them through the guard itself. Else each text is looked at.
    pub are_ours: bool,
}

/// Puts events into the ledger. Answers those that are not in it.
///
/// # Errors
/// When the ledger cannot be reached, fails, or does not answer in time: then any part of them may be in it, and doing
/// it again is safe.
pub(crate) async fn deliver<E: Borrow<Event> + Sync>(
    store: &Store,
    door: &Mutex<Door>,
    events: &[E],
    how: How,
) -> Result<Vec<Undelivered>> {
    let answer = tokio::time::timeout(how.patience, deliver_now(store, door, events, how)).await;
    answer.unwrap_or_else(|_| Err(no_answer(how.patience)))
}

pub(crate) fn no_answer(patience: Duration) -> Error {
    Error::ledger(format!("the ledger did not answer within {} s", patience.as_secs_f32()))
        .hint("is the database overloaded, or another process holding it?")
}

async fn deliver_now<E: Borrow<Event> + Sync>(
    store: &Store,
    door: &Mutex<Door>,
    events: &[E],
    how: How,
) -> Result<Vec<Undelivered>> {
    let mut undelivered = Vec::new();
    // Each with its place among those given.
    let mut ready: Vec<(Option<usize>, Cow<'_, Event>)> = Vec::with_capacity(events.len());
    for (place, event) in events.iter().map(Borrow::borrow).enumerate() {
        if how.are_ours && !Door::is_for(event) {
            ready.push((Some(place), Cow::Borrowed(event)));
            continue;
        }
        match door.lock().await.admit(Some(store), event.clone()).await {
            Ok(admitted) => {
                // The first is the event; what follows it is what the guard decided about it.
                let places = std::iter::once(Some(place)).chain(std::iter::repeat(None));
                ready.extend(places.zip(admitted.into_iter().map(Cow::Owned)));
            }
            Err(error) if error.is_of_the_ledger() => return Err(error),
            Err(error) => undelivered.push(Undelivered {
                place: Some(place),
                event: event.clone(),
                fate: Fate::Refused(error),
            }),
        }
    }
    let applied = {
        let events: Vec<&Event> = ready.iter().map(|(_, event)| event.as_ref()).collect();
        store.apply_over(&events, how.lanes).await?
    };
    undelivered.extend(not_applied(ready, applied));
    Ok(undelivered)
}

/// Those that are not in the ledger.
fn not_applied(events: Vec<(Option<usize>, Cow<'_, Event>)>, applied: Applied) -> Vec<Undelivered> {
    let mut fates: HashMap<usize, Fate> = HashMap::new();
    for (number, error) in applied.refused {
        let waits = error.kind() == ErrorKind::NotFound;
        fates.insert(number, if waits { Fate::Waits(error) } else { Fate::Refused(error) });
    }
    for key in applied.calls.conflict {
        let is_it = |event: &Event| match event {
            Event::Call(call) => (call.run_id, call.call_id) == key,
            Event::Prompt(sent) => (sent.run_id, sent.call_id) == key,
            _ => false,
        };
        if let Some(number) = events.iter().rposition(|(_, event)| is_it(event)) {
            fates.insert(number, Fate::Refused(conflict(&key.1)));
        }
    }
    if fates.is_empty() {
        return Vec::new();
    }
    let undelivered = events.into_iter().enumerate().filter_map(|(number, (place, event))| {
        let fate = fates.remove(&number)?;
        Some(Undelivered { place, event: event.into_owned(), fate })
    });
    undelivered.collect()
}

pub(crate) fn conflict(call_id: &impl std::fmt::Display) -> Error {
    Error::conflict(format!("call `{call_id}` is already recorded with other contents"))
        .hint("what is recorded stays; use a new call id for a new call")
}

/// Delivers what processes that have ended left in the spool. None if another process is doing it. A segment that cannot
/// be read is passed over.
///
/// # Errors
/// When the ledger cannot be reached, or the spool's folder cannot be read. What was delivered until then is delivered.
pub(crate) async fn drain_left(
    spool: &Spool,
    store: &Store,
    door: &Mutex<Door>,
    patience: Duration,
    now: Timestamp,
) -> Result<Option<Drained>> {
    let Some(_lock) = spool.lock_drain()? else { return Ok(None) };
    let mut drained = Drained::default();
    for (_, path) in segment::list(spool.folder())? {
        match drain_segment(spool, &path, (store, door, patience), now, &mut drained).await {
            Ok(()) => {}
            Err(Trouble::Ledger(error)) => return Err(error),
            Err(Trouble::Disk(error)) => drained.trouble = Some(error.to_string()),
        }
    }
    Ok(Some(drained))
}

async fn drain_segment(
    spool: &Spool,
    path: &Path,
    (store, door, patience): (&Store, &Mutex<Door>, Duration),
    now: Timestamp,
    drained: &mut Drained,
) -> Result<(), Trouble> {
    let Some(segment) = Segment::adopt(path)? else { return Ok(()) };
    let failed = |e| Error::io(format!("`{}` cannot be read", path.display()), e);
    if segment.is_too_long() {
        std::fs::rename(path, path.with_extension("too-long")).map_err(failed)?;
        let reason = format!("`{}` is longer than any that asmm writes, and was renamed", path.display());
        return Ok(aside(spool, vec![Aside::damaged(reason, b"", now)], drained)?);
    }
    let bytes = segment.read(0, u64::MAX).map_err(failed)?;
    let (mut set_aside, mut waiting): (Vec<Aside>, Vec<(Timestamp, Vec<u8>)>) = Default::default();
    let mut chunk: Vec<(Timestamp, Event)> = Vec::new();
    let mut pieces = Pieces::new(&bytes);
    let mut total = 0_u64;
    loop {
        let piece = pieces.next();
        let is_end = piece.is_none();
        match piece {
            Some(Piece::Event { at, json }) => {
                total += 1;
                match read_event(json, at, now) {
                    Ok(event) => chunk.push((at, event)),
                    Err(unreadable) => set_aside.push(*unreadable),
                }
            }
            Some(Piece::Damaged(range) | Piece::Cut(range)) if !range.is_empty() => {
                set_aside.push(damaged(path, &bytes[range.clone()], range.start as u64, now));
            }
            _ => {}
        }
        if chunk.len() == CHUNK || (is_end && !chunk.is_empty()) {
            let times: Vec<Timestamp> = chunk.iter().map(|(at, _)| *at).collect();
            let events: Vec<Event> = chunk.drain(..).map(|(_, event)| event).collect();
            let count = events.len() as u64;
            let how = How { lanes: 1, patience, are_ours: false };
            let undelivered = deliver(store, door, &events, how).await.map_err(Trouble::Ledger)?;
            drained.delivered += count;
            for one in undelivered {
                drained.delivered -= u64::from(one.place.is_some());
                let at = one.place.and_then(|place| times.get(place).copied()).unwrap_or(now);
                let wait = matches!(&one.fate, Fate::Waits(_)).then(|| one.fate.reason());
                match sort(&one, at, now)? {
                    Sorted::Waits(json) => {
                        waiting.push((at, json));
                        drained.last_wait = wait;
                    }
                    Sorted::Aside(aside) => set_aside.push(aside),
                }
            }
        }
        if is_end {
            break;
        }
    }
    drained.waiting += waiting.len() as u64;
    let is_as_it_was = waiting.len() as u64 == total && set_aside.is_empty() && total > 0;
    // First aside, then gone: a crash in between sets it aside twice.
    aside(spool, set_aside, drained)?;
    let written = match () {
        () if is_as_it_was => Ok(()),
        () if waiting.is_empty() => segment.remove(),
        () => segment.replace(&waiting),
    };
    Ok(written.map_err(|e| Error::io(format!("`{}` cannot be written", path.display()), e))?)
}

/// What becomes of an event that is not in the ledger.
pub(crate) enum Sorted {
    /// It waits, as this JSON.
    Waits(Vec<u8>),
    Aside(Aside),
}

/// An event that has waited long enough is set aside.
pub(crate) fn sort(one: &Undelivered, at: Timestamp, now: Timestamp) -> Result<Sorted> {
    let json = to_json(&one.event)?;
    let waits = matches!(one.fate, Fate::Waits(_)) && now.micros() - at.micros() <= WAITS_AT_MOST_MICROS;
    if waits {
        return Ok(Sorted::Waits(json));
    }
    Ok(Sorted::Aside(Aside::event(one.fate.reason(), json, at, now)))
}

/// An event of the spool; one that this program cannot read is set aside.
pub(super) fn read_event(json: &[u8], at: Timestamp, now: Timestamp) -> Result<Event, Box<Aside>> {
    serde_json::from_slice(json).map_err(|e| {
        let reason = format!("the event cannot be read: {}", crate::error::without_value(&e.to_string()));
        Box::new(Aside::event(reason, json.to_vec(), at, now))
    })
}

/// Bytes that are no event.
pub(super) fn damaged(path: &Path, bytes: &[u8], place: u64, now: Timestamp) -> Aside {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let reason = format!("{} damaged bytes at byte {place} of `{name}`", bytes.len());
    Aside::damaged(reason, bytes, now)
}

fn aside(spool: &Spool, set_aside: Vec<Aside>, drained: &mut Drained) -> Result<()> {
    spool.set_aside(&set_aside)?;
    drained.set_aside += set_aside.len() as u64;
    if let Some(last) = set_aside.into_iter().next_back() {
        drained.last_reason = Some(last.reason);
    }
    Ok(())
}
