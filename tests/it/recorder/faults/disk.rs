//! The disk is full, or what lies on it is damaged.

use super::{away, check, come_back, file, program, segments, spool, stored};
use crate::recorder::child::{Pipeline, pipeline_command};
use crate::support::{TestDb, block_on};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use uuid::Uuid;

const DURABLE: (&str, &str) = ("ASMM_RECORDER_LEVEL", "durable");
/// So many events may wait in memory.
const QUEUE: (&str, &str) = ("ASMM_TEST_QUEUE", "500");

/// Goes on until far more was recorded than there is room for, and looks at what became of it.
fn fill(db: &TestDb, mut pipeline: Pipeline) {
    pipeline.go_on(8_000);
    let metrics = pipeline.stop();
    let (recorded, safe) = (pipeline.recorded(), pipeline.safe());
    assert!(metrics.dropped > 1_000 && !safe.is_empty(), "{metrics:?}, {} safe", safe.len());
    // Each is safe or lost, and nobody was told that a lost one is safe.
    assert!(safe.len() as u64 <= metrics.spooled, "{metrics:?}, {} safe", safe.len());
    come_back(db);
    program(db, &["spool", "drain"]);
    let stored = block_on(stored(db));
    assert_eq!(safe.difference(&stored).count(), 0, "of {} calls that were acknowledged", safe.len());
    assert_eq!(stored.difference(&recorded).count(), 0);
    assert!(stored.len() as u64 + metrics.dropped >= recorded.len() as u64, "{} {metrics:?}", stored.len());
}

#[test]
fn a_disk_that_takes_no_more() {
    // A file can be 1 MiB long and no longer; to write beyond fails, as on a full disk.
    let db = away();
    let pipeline = pipeline_command(&db, "pipeline", &[DURABLE, QUEUE]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"]);
    limited.arg(pipeline.get_program()).args(pipeline.get_args());
    limited.current_dir(pipeline.get_current_dir().unwrap()).env_clear();
    limited.envs(pipeline.get_envs().filter_map(|(name, value)| Some((name, value?))));
    fill(&db, Pipeline::spawn(limited, db.dir.path().join("pipeline")));
}

#[test]
fn a_spool_that_may_hold_no_more() {
    let db = away();
    let limit = ("ASMM_SPOOL_MAX_BYTES", "500000");
    fill(&db, Pipeline::start(&db, "pipeline", &[DURABLE, QUEUE, limit]));
    assert!(!spool(&db).join("aside.jsonl").exists());
}

/// About 200 events that wait; the calls among them, in order.
fn some_that_wait(db: &TestDb) -> Vec<Uuid> {
    let mut pipeline = Pipeline::start(db, "pipeline", &[DURABLE]);
    pipeline.be_safe(200);
    pipeline.kill();
    let text = std::fs::read_to_string(&segments(db)[0]).unwrap();
    text.lines().filter_map(call_of).collect()
}

/// The call that a line is about, if it is a whole one.
fn call_of(line: &str) -> Option<Uuid> {
    let event: serde_json::Value = serde_json::from_str(line.splitn(4, ' ').nth(3)?).ok()?;
    event["call_id"].as_str()?.parse().ok()
}

#[test]
fn a_spool_that_is_damaged_anywhere() {
    let db = away();
    let all = some_that_wait(&db);
    come_back(&db);
    let segment = segments(&db).remove(0);
    let whole = std::fs::read(&segment).unwrap();
    // Places all over the file, of the first lines (a run, its step) as well as in heads, events and line ends.
    let places = (0..32).map(|n| (n * 7919 + n * n * 131) % whole.len());
    for (number, place) in places.enumerate() {
        let mut bytes = whole.clone();
        let is_cut = number % 4 == 3;
        if is_cut {
            bytes.truncate(place.max(1));
        } else {
            bytes[place] ^= [0x01, 0x20, 0x80][number % 3];
        }
        std::fs::write(&segment, &bytes).unwrap();
        let drained = program(&db, &["spool", "drain"]);
        assert!([0, 1].contains(&drained.code), "byte {place}: {}", drained.snapshot());
        let aside = std::fs::read_to_string(spool(&db).join("aside.jsonl")).unwrap_or_default();
        let stored = block_on(stored(&db));
        let lost: Vec<&Uuid> = all.iter().filter(|id| !stored.contains(*id)).collect();
        let line = String::from_utf8_lossy(&whole[..place]).matches('\n').count();
        let touched = String::from_utf8_lossy(&whole).lines().nth(line).and_then(call_of);
        if is_cut {
            let kept = String::from_utf8_lossy(&bytes).lines().filter_map(call_of).collect::<BTreeSet<_>>();
            assert!(kept.is_subset(&stored), "cut at byte {place}");
        } else if touched.is_some() {
            // At most the one whose line was touched, and it is said.
            assert!(lost.iter().all(|id| Some(**id) == touched), "byte {place}: {lost:?}");
            assert!(lost.is_empty() || aside.contains("damaged"), "byte {place}: {aside}");
        } else {
            // A run or a step is gone: what belongs to it waits, or is there.
            let waits: usize = segments(&db).iter().map(|path| count_calls(path)).sum();
            assert_eq!(stored.len() + waits, all.len(), "byte {place}");
        }
        forget(&db);
    }
    std::fs::write(&segment, &whole).unwrap();
    program(&db, &["spool", "drain"]).success();
    let all: BTreeSet<Uuid> = all.into_iter().collect();
    check(&db, &all, &all);
}

fn count_calls(segment: &Path) -> usize {
    std::fs::read_to_string(segment).unwrap().lines().filter_map(call_of).count()
}

/// Puts an empty ledger and an empty spool in place of what there is.
fn forget(db: &TestDb) {
    let path = file(db);
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", path.display());
        assert!(std::fs::remove_file(&file).is_ok() || !Path::new(&file).exists(), "{file}");
    }
    for path in segments(db) {
        std::fs::remove_file(path).unwrap();
    }
    let aside = spool(db).join("aside.jsonl");
    assert!(std::fs::remove_file(&aside).is_ok() || !aside.exists());
}
