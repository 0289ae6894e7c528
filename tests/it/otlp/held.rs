//! What is answered from the disk while the ledger is busy.

use super::receiver::{JSON, Receiver, wait_until};
use super::serve::{Clients, check, load, location, sandboxes, spans_of};
use super::{journal, now};
use crate::support::{Sandbox, block_on};
use asmm::clock::Clock;
use asmm::domain::{Span, resolve};
use asmm::store::Store;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// The ledger is read, and whoever writes waits, until this is dropped.
struct Locked {
    release: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Locked {
    fn new(sandbox: &Sandbox) -> Self {
        let location = location(sandbox);
        let (release, released) = mpsc::channel::<()>();
        let (lock, locked) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                if location.url.starts_with("sqlite:") {
                    let mut connection = SqliteConnection::connect(&location.url).await.unwrap();
                    sqlx::raw_sql("begin immediate").execute(&mut connection).await.unwrap();
                    lock.send(()).unwrap();
                    let _ = released.recv();
                    sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
                } else {
                    let mut connection = PgConnection::connect(&location.url).await.unwrap();
                    let sql = format!("begin; lock table {}.otel_part in exclusive mode", location.schema);
                    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
                    lock.send(()).unwrap();
                    let _ = released.recv();
                    sqlx::raw_sql("rollback").execute(&mut connection).await.unwrap();
                }
            });
        });
        locked.recv().unwrap();
        Self { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// How many calls the ledger holds.
fn recorded(sandbox: &Sandbox) -> usize {
    block_on(async {
        let store = Store::open(&location(sandbox), Clock::Fixed(now())).await.unwrap();
        let calls = journal(&store).await.len();
        store.close().await;
        calls
    })
}

/// What one of its counters says.
pub fn metric(receiver: &Receiver, name: &str) -> u64 {
    let (_, metrics) = receiver.get("/metrics");
    let line = metrics.lines().find(|line| line.starts_with(&format!("asmm_serve_{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Sends until so many requests are answered while nothing can be written to the ledger.
fn answered_from_the_disk(receiver: &Receiver, clients: &Clients, count: usize, then: impl FnOnce()) {
    let url = receiver.url("/v1/traces");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| clients.send(&url));
        }
        wait_until("answers from the disk", || clients.answered() >= count);
        clients.is_over.store(true, Relaxed);
        then();
    });
}

fn all_sent(clients: &Clients) -> Vec<Span> {
    let (answered, unanswered) = (clients.answered.lock().unwrap(), clients.unanswered.lock().unwrap());
    answered.iter().chain(unanswered.iter()).flat_map(|number| spans_of(&load(*number, 5))).collect()
}

#[test]
fn what_was_answered_from_the_disk_survives_kill_9() {
    for sandbox in sandboxes() {
        let receiver = Receiver::start(&sandbox, &[]);
        let locked = Locked::new(&sandbox);
        let clients = Clients::new();
        answered_from_the_disk(&receiver, &clients, 40, || {
            assert!(metric(&receiver, "spans_waiting") > 0);
            receiver.signal("KILL");
        });
        drop((receiver, locked));
        assert_eq!(recorded(&sandbox), 0);
        // The next one brings them in at once, whoever sends the others again.
        let receiver = Receiver::start(&sandbox, &[]);
        for number in clients.unanswered.lock().unwrap().iter() {
            assert_eq!(receiver.post("/v1/traces", &[JSON], &load(*number, 5)).0, 200);
        }
        let sent = all_sent(&clients);
        let calls = resolve(&sent).calls.len();
        wait_until("what was left", || recorded(&sandbox) == calls);
        assert_eq!(receiver.end().1, Some(0));
        check(&sandbox, &sent);
    }
}

/// A body for each span of another one, the root last.
fn split(body: &[u8]) -> Vec<Vec<u8>> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let bodies =
        spans.iter().map(|span| json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string());
    bodies.map(String::into_bytes).collect()
}

#[test]
fn what_is_split_or_comes_twice_meets_before_it_is_recorded() {
    for sandbox in sandboxes() {
        let receiver = Receiver::start(&sandbox, &[]);
        let locked = Locked::new(&sandbox);
        let clients = Clients::new();
        answered_from_the_disk(&receiver, &clients, 1, || {
            // One is under way for as long as the ledger is locked: these are held together.
            for body in split(&load(1_000_000, 3)) {
                assert_eq!(receiver.post("/v1/traces", &[JSON], &body).0, 200);
                assert_eq!(receiver.post("/v1/traces", &[JSON], &body).0, 200);
            }
            drop(locked);
        });
        let mut sent = all_sent(&clients);
        sent.extend(spans_of(&load(1_000_000, 3)));
        let calls = resolve(&sent).calls.len();
        wait_until("all of it", || recorded(&sandbox) == calls && metric(&receiver, "spans_waiting") == 0);
        assert!(metric(&receiver, "spans_held_total") >= 18);
        assert_eq!(metric(&receiver, "calls_withdrawn_total"), 0);
        let (said, code) = receiver.end();
        assert_eq!(code, Some(0), "{said}");
        check(&sandbox, &sent);
        // Nothing is left on the disk.
        let status = sandbox.run(&["spool", "status"]);
        assert!(status.stdout.contains("nothing waits"), "{}", status.stdout);
    }
}

/// Whoever is told to end brings into the ledger what it has answered; told twice, it leaves that to the next one.
#[test]
fn what_is_held_is_recorded_before_the_end() {
    for (sandbox, is_told_twice) in sandboxes().into_iter().zip([false, true]) {
        let receiver = Receiver::start(&sandbox, &[]);
        let locked = Locked::new(&sandbox);
        let clients = Clients::new();
        let mut locked = Some(locked);
        answered_from_the_disk(&receiver, &clients, 20, || {
            receiver.signal("TERM");
            if is_told_twice {
                receiver.signal("INT");
            } else {
                drop(locked.take());
            }
        });
        let (said, code) = receiver.wait();
        assert_eq!(code, Some(0), "{said}");
        drop(locked);
        assert_eq!(said.contains("spans left in the spool"), is_told_twice, "{said}");
        if is_told_twice {
            assert_eq!(recorded(&sandbox), 0);
            assert_eq!(sandbox.run(&["spool", "drain"]).code, 0);
        }
        let answered = clients.answered.lock().unwrap().clone();
        let answered: Vec<Span> = answered.iter().flat_map(|number| spans_of(&load(*number, 5))).collect();
        assert!(recorded(&sandbox) >= resolve(&answered).calls.len());
        // What was not answered may be there, and is sent again, as clients do.
        let receiver = Receiver::start(&sandbox, &[]);
        for number in clients.unanswered.lock().unwrap().iter() {
            assert_eq!(receiver.post("/v1/traces", &[JSON], &load(*number, 5)).0, 200);
        }
        assert_eq!(receiver.end().1, Some(0));
        check(&sandbox, &all_sent(&clients));
    }
}
