//! The server is stopped, freezes, or loses its connections while a pipeline records.

use super::{LEVELS, check, migrate};
use crate::recorder::child::Pipeline;
use crate::recorder::proxy::Proxy;
use crate::support::{Server, TestDb};
use std::time::{Duration, Instant};

/// A ledger on a server of the test's own.
fn on(server: &Server) -> TestDb {
    server.start();
    let db = TestDb { url: server.url(), schema: "asmm".to_owned(), dir: tempfile::tempdir().unwrap() };
    migrate(&db);
    db
}

#[test]
fn a_server_that_is_stopped_at_once_and_started_again() {
    for level in LEVELS {
        let server = Server::new();
        let db = on(&server);
        let mut pipeline = Pipeline::start(&db, "pipeline", &[("ASMM_RECORDER_LEVEL", level)]);
        for _ in 0..2 {
            pipeline.go_on(700);
            server.crash();
            // It goes on as if nothing had happened.
            pipeline.go_on(1_500);
            if level == "durable" {
                pipeline.be_safe(500);
            }
            server.start();
        }
        pipeline.go_on(1_000);
        let metrics = pipeline.stop();
        assert_eq!(metrics.dropped, 0, "{level}: {metrics:?}");
        // What is left, if the server came too late for the shutdown.
        super::program(&db, &["spool", "drain"]);
        check(&db, &pipeline.recorded(), &pipeline.recorded());
    }
}

/// Longer than the recorder waits for an answer, and for an attempt after that. It goes on all the while.
const HANGS: Duration = Duration::from_secs(30);

#[test]
fn a_server_that_hangs() {
    let hang = |level: &str| {
        let server = Server::new();
        let db = on(&server);
        let variables = [("ASMM_RECORDER_LEVEL", level), ("ASMM_TEST_PACE_MS", "50")];
        let mut pipeline = Pipeline::start(&db, "pipeline", &variables);
        pipeline.go_on(500);
        server.signal("STOP");
        let stopped = Instant::now();
        while stopped.elapsed() < HANGS {
            pipeline.go_on(100);
        }
        if level == "durable" {
            pipeline.be_safe(1_000);
        }
        server.signal("CONT");
        pipeline.go_on(500);
        let metrics = pipeline.stop();
        assert!(metrics.failures > 1 && metrics.spooled > 0 && metrics.dropped == 0, "{level}: {metrics:?}");
        super::program(&db, &["spool", "drain"]);
        check(&db, &pipeline.recorded(), &pipeline.recorded());
    };
    std::thread::scope(|scope| {
        for level in LEVELS {
            scope.spawn(move || hang(level));
        }
    });
}

/// The test server, and the address in its URL.
fn through_proxy() -> (TestDb, Proxy) {
    let mut db = TestDb::postgres();
    migrate(&db);
    let address = db.url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let proxy = Proxy::new(&address);
    db.url = proxy.url(&db.url, &address);
    (db, proxy)
}

#[test]
fn connections_that_break_in_the_middle_of_a_batch() {
    for level in LEVELS {
        let (db, proxy) = through_proxy();
        let mut pipeline = Pipeline::start(&db, "pipeline", &[("ASMM_RECORDER_LEVEL", level)]);
        for round in 1..=4 {
            proxy.break_off_a_batch();
            while proxy.broken_off() < round {
                pipeline.go_on(1);
            }
        }
        let metrics = pipeline.stop();
        assert!(metrics.failures > 0 && metrics.dropped == 0, "{level}: {metrics:?}");
        super::program(&db, &["spool", "drain"]);
        check(&db, &pipeline.recorded(), &pipeline.recorded());
    }
}

#[test]
fn a_commit_whose_answer_is_lost() {
    for level in LEVELS {
        let (db, proxy) = through_proxy();
        let mut pipeline = Pipeline::start(&db, "pipeline", &[("ASMM_RECORDER_LEVEL", level)]);
        for round in 1..=4 {
            proxy.swallow_a_commit();
            while proxy.swallowed() < round {
                pipeline.go_on(1);
            }
        }
        let metrics = pipeline.stop();
        assert!(metrics.failures > 0 && metrics.dropped == 0, "{level}: {metrics:?}");
        super::program(&db, &["spool", "drain"]);
        check(&db, &pipeline.recorded(), &pipeline.recorded());
    }
}
