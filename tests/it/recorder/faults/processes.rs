//! Pipelines are killed, share a spool, and run under a clock that steps back.

use super::{away, check, come_back, migrate, program, segments, stored};
use crate::recorder::child::Pipeline;
use crate::support::{TestDb, block_on, on_both_databases};
use std::collections::BTreeSet;
use uuid::Uuid;

const DURABLE: (&str, &str) = ("ASMM_RECORDER_LEVEL", "durable");

/// What was recorded and what was safe, of all pipelines of a test.
#[derive(Default)]
struct Seen {
    recorded: BTreeSet<Uuid>,
    safe: BTreeSet<Uuid>,
}

impl Seen {
    fn add(&mut self, pipeline: &Pipeline) {
        self.recorded.extend(pipeline.recorded());
        self.safe.extend(pipeline.safe());
    }
}

on_both_databases! {
    /// The moment of the kill is some calls and up to a few milliseconds away: nothing depends on which it is.
    async fn what_was_acknowledged_survives_kill_9(db: TestDb) {
        let mut seen = Seen::default();
        migrate_on_a_thread(&db);
        for round in 0..5 {
            let mut pipeline = Pipeline::start(&db, &format!("pipeline-{round}"), &[DURABLE]);
            pipeline.be_safe(50 + 61 * round);
            pipeline.kill();
            seen.add(&pipeline);
        }
        // The next processes have delivered most of it; this one the rest.
        program(&db, &["spool", "drain"]).success();
        std::thread::scope(|scope| scope.spawn(|| check(&db, &seen.safe, &seen.recorded)).join().unwrap());
    }
}

/// The test's body runs on a runtime already.
fn migrate_on_a_thread(db: &TestDb) {
    std::thread::scope(|scope| scope.spawn(|| migrate(db)).join().unwrap());
}

#[test]
fn what_was_acknowledged_survives_kill_9_while_the_ledger_is_away() {
    let db = away();
    let mut seen = Seen::default();
    for round in 0..4 {
        let mut pipeline = Pipeline::start(&db, &format!("pipeline-{round}"), &[DURABLE]);
        pipeline.be_safe(100 + 61 * round);
        pipeline.kill();
        seen.add(&pipeline);
    }
    come_back(&db);
    program(&db, &["spool", "drain"]).success();
    check(&db, &seen.safe, &seen.recorded);
}

#[test]
fn many_pipelines_and_shells_share_a_spool() {
    for pipelines in [2, 8] {
        let db = away();
        let mut seen = Seen::default();
        let start = |number: usize| {
            let level = if number.is_multiple_of(2) { "durable" } else { "buffered" };
            Pipeline::start(&db, &format!("pipeline-{number}"), &[("ASMM_RECORDER_LEVEL", level)])
        };
        let mut running: Vec<Pipeline> = (0..pipelines).map(start).collect();
        for pipeline in &mut running {
            pipeline.go_on(300);
        }
        // A shell works in between, and one of the others is killed.
        let run = program(&db, &["runs", "start", "--pipeline", "shell"]).success().trim().to_owned();
        let call = |model: &str| {
            let id = program(&db, &["runs", "call", "--run-id", &run, "--model", model, "--input", "1"]);
            id.success().trim().parse::<Uuid>().unwrap()
        };
        let mut shell: BTreeSet<Uuid> = (0..3).map(|_| call("gpt-4o")).collect();
        let mut killed = running.remove(0);
        killed.be_safe(50);
        killed.kill();
        seen.add(&killed);
        come_back(&db);
        for pipeline in &mut running {
            pipeline.go_on(500);
        }
        shell.extend((0..2).map(|_| call("gpt-4o")));
        // All at once: those that are left would go on while one is waited for.
        running.iter().for_each(Pipeline::tell_to_stop);
        for mut pipeline in running {
            let metrics = pipeline.stop();
            assert_eq!(metrics.dropped, 0, "{metrics:?}");
            seen.recorded.extend(pipeline.recorded());
            seen.safe.extend(pipeline.recorded());
        }
        program(&db, &["runs", "finish", "--run-id", &run]).success();
        program(&db, &["spool", "drain"]).success();
        seen.recorded.extend(&shell);
        seen.safe.extend(&shell);
        check(&db, &seen.safe, &seen.recorded);
    }
}

#[test]
fn a_clock_that_steps_back() {
    let db = away();
    let mut recorded = BTreeSet::new();
    let early = ("ASMM_NOW", "2026-03-15T11:00:00Z");
    for (number, now) in [("ASMM_NOW", "2026-03-15T12:00:00Z"), early].into_iter().enumerate() {
        let mut pipeline = Pipeline::start(&db, &format!("pipeline-{number}"), &[DURABLE, now]);
        pipeline.be_safe(100);
        pipeline.stop();
        recorded.extend(pipeline.recorded());
    }
    // In the order in which they were begun, whatever the clock said.
    let text = |path| std::fs::read_to_string(path).unwrap();
    let segments = segments(&db);
    let has = |text: String, time: &str| text.contains(&format!("\"called_at\":\"{time}"));
    assert!(has(text(&segments[0]), "2026-03-15T12:00") && has(text(&segments[1]), "2026-03-15T11:00"));
    come_back(&db);
    let mut third = Pipeline::start(&db, "pipeline-2", &[DURABLE, early]);
    third.be_safe(10);
    third.stop();
    recorded.extend(third.recorded());
    program(&db, &["spool", "drain"]).success();
    check(&db, &recorded, &recorded);
    assert_eq!(block_on(stored(&db)), recorded);
}
