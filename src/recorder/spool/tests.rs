//! The spool's files, without a ledger.

use super::record::{Piece, Pieces};
use super::{Aside, OwnSpool, Spool, segment};
use crate::clock::Clock;
use crate::domain::{Event, FinishRun, RunId, StartRun, Status, Timestamp};
use crate::store::Location;
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

fn spool(max_bytes: u64) -> (TempDir, Spool) {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::new("sqlite:ledger.db", "asmm");
    let spool = Spool::of(&location, Some(dir.path()), max_bytes).unwrap();
    (dir, spool)
}

fn now() -> Timestamp {
    Clock::System.now()
}

fn event(number: u128) -> Event {
    Event::Finish(FinishRun {
        run_id: RunId(Uuid::from_u128(number)),
        status: Status::Failed,
        completed_at: None,
    })
}

/// An event that is about `bytes` long.
fn large(number: u128, bytes: usize) -> Event {
    Event::Run(StartRun {
        run_id: RunId(Uuid::from_u128(number)),
        pipeline: "x".repeat(bytes),
        started_at: now(),
        labels: std::collections::BTreeMap::new(),
        parent_run_id: None,
        replay_of: None,
    })
}

fn number(event: &Event) -> u128 {
    match event {
        Event::Finish(finish) => finish.run_id.0.as_u128(),
        Event::Run(run) => run.run_id.0.as_u128(),
        _ => panic!("no event of these tests"),
    }
}

/// What lies in the folder, in order, whoever owns it.
fn on_disk(spool: &Spool) -> Vec<u128> {
    let mut numbers = Vec::new();
    for (_, path) in segment::list(spool.folder()).unwrap() {
        let bytes = std::fs::read(path).unwrap();
        for piece in Pieces::new(&bytes) {
            let Piece::Event { json, .. } = piece else { panic!("{piece:?}") };
            numbers.push(number(&serde_json::from_slice(json).unwrap()));
        }
    }
    numbers
}

#[test]
fn many_segments_are_delivered_in_order_and_removed() {
    let (_dir, spool) = spool(u64::MAX);
    let mut own = OwnSpool::new(spool.clone());
    let events: Vec<Event> = (0..40).map(|n| large(n, 1 << 20)).collect();
    let (done, outcome) = own.append(&events, now());
    outcome.unwrap();
    assert_eq!((done, own.pending()), (40, 40));
    let segments = || segment::list(spool.folder()).unwrap().len();
    assert_eq!(segments(), 5);
    assert_eq!(own.take_dirty().len(), 5);
    assert_eq!(on_disk(&spool), (0..40).collect::<Vec<_>>());
    let mut seen = Vec::new();
    while own.pending() > 0 {
        let chunk = own.read(own.start(), 7, now()).unwrap().unwrap();
        assert!(chunk.damaged.is_empty());
        seen.extend(chunk.events.iter().map(number));
        own.delivered(chunk.end, chunk.events.len() as u64).unwrap();
    }
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
    assert!(segments() <= 1);
    assert_eq!(own.read(own.start(), 7, now()).unwrap().map(|chunk| chunk.events.len()), None);
    own.close().unwrap();
    assert_eq!(segments(), 0);
}

#[test]
fn a_full_spool_takes_nothing_and_keeps_what_it_has() {
    let (_dir, spool) = spool(20 << 20);
    let mut own = OwnSpool::new(spool.clone());
    let events: Vec<Event> = (0..40).map(|n| large(n, 1 << 20)).collect();
    let (done, outcome) = own.append(&events, now());
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("is full"), "{error}");
    assert_eq!(done, 21, "seven segments of three");
    assert_eq!(on_disk(&spool), (0..21).collect::<Vec<_>>());
    // Room is made by delivering.
    while own.pending() > 16 {
        let chunk = own.read(own.start(), 8, now()).unwrap().unwrap();
        own.delivered(chunk.end, chunk.events.len() as u64).unwrap();
    }
    assert_eq!(own.append(&events[21..22], now()).0, 1);
}

#[test]
fn what_shells_keep_goes_behind_what_others_left() {
    let (_dir, spool) = spool(u64::MAX);
    spool.keep(&[event(1)], now()).unwrap();
    spool.keep(&[event(2)], now()).unwrap();
    assert_eq!(segment::list(spool.folder()).unwrap().len(), 1);
    // While a recorder works here, its segments are its own.
    let mut own = OwnSpool::new(spool.clone());
    assert_eq!(own.append(&[event(3)], now()).0, 1);
    spool.keep(&[event(4)], now()).unwrap();
    assert_eq!(on_disk(&spool), [1, 2, 3, 4]);
    own.close().unwrap();
    spool.keep(&[event(5)], now()).unwrap();
    assert_eq!(on_disk(&spool), [1, 2, 3, 4, 5]);
    assert_eq!(segment::list(spool.folder()).unwrap().len(), 3);
    let status = spool.status().unwrap();
    assert_eq!((status.events, status.segments, status.owned), (5, 3, 0));
}

#[test]
fn a_line_that_was_cut_off_does_not_spoil_the_next() {
    let (_dir, spool) = spool(u64::MAX);
    spool.keep(&[event(1), event(2)], now()).unwrap();
    let (_, path) = segment::list(spool.folder()).unwrap().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    spool.keep(&[event(3)], now()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let found: Vec<_> = Pieces::new(&bytes).collect();
    assert!(matches!(found[..], [Piece::Event { .. }, Piece::Damaged(_), Piece::Event { .. }]), "{found:?}");
}

#[test]
fn what_is_set_aside_can_be_tried_again() {
    let (_dir, spool) = spool(u64::MAX);
    let json = serde_json::to_vec(&event(7)).unwrap();
    let damaged = Aside::damaged("why".to_owned(), b"\xff\x00broken", now());
    spool.set_aside(&[damaged, Aside::event("why".to_owned(), json, now(), now())]).unwrap();
    assert_eq!(spool.status().unwrap().set_aside, 2);
    assert_eq!(spool.try_aside_again(now()).unwrap(), 1);
    assert_eq!(on_disk(&spool), [7]);
    let mut left = Vec::new();
    assert_eq!(spool.read_aside(|aside| left.push(aside)).unwrap(), 0);
    assert!(matches!(&left[..], [Aside { damaged: Some(_), event: None, .. }]), "{left:?}");
    assert_eq!(spool.try_aside_again(now()).unwrap(), 0);
}

proptest! {
    // Each case writes some megabytes.
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// However events come and are delivered: each once, in order, and what is on disk is what is not delivered.
    #[test]
    fn a_recorder_loses_nothing(
        steps in prop::collection::vec((any::<bool>(), 1_usize..40, 1_usize..200_000), 1..60)
    ) {
        let (_dir, spool) = spool(u64::MAX);
        let mut own = OwnSpool::new(spool.clone());
        let (mut appended, mut seen) = (0_u128, Vec::new());
        for (is_append, count, bytes) in steps {
            if is_append {
                let events: Vec<Event> = (0..count as u128).map(|n| large(appended + n, bytes)).collect();
                let (done, outcome) = own.append(&events, now());
                outcome.unwrap();
                prop_assert_eq!(done, count);
                appended += count as u128;
            } else if let Some(chunk) = own.read(own.start(), count, now()).unwrap() {
                seen.extend(chunk.events.iter().map(number));
                own.delivered(chunk.end, chunk.events.len() as u64).unwrap();
            }
            prop_assert_eq!(u128::from(own.pending()), appended - seen.len() as u128);
        }
        let left = on_disk(&spool);
        let all: Vec<u128> = (0..appended).collect();
        prop_assert_eq!(&seen[..], &all[..seen.len()]);
        // The first segment may hold events that are delivered already.
        prop_assert!(left.len() >= all.len() - seen.len() && all.ends_with(&left));
    }
}
