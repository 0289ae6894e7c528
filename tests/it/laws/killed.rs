//! Writers of batches that are killed outright, again and again, on one ledger.

use super::{batch, check, stored};
use crate::support::on_both_databases;
use crate::writing::{now, open, run_id};
use asmm::clock::Clock;
use asmm::domain::{FinishRun, Status};
use asmm::store::{Location, PriceScope, Store};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set in the process that writes: the ledger's URL, its schema and the first batch's number.
const WORKER: &str = "ASMM_TEST_BATCH_WRITER";
const ROUNDS: u64 = 10;

/// The process of the next test: writes batches until it is killed, and says which were answered.
#[test]
fn writes_batches() {
    let Ok(told) = std::env::var(WORKER) else { return };
    let told: Vec<&str> = told.split(' ').collect();
    crate::support::block_on(async {
        let store = Store::open(&Location::new(told[0], told[1]), Clock::Fixed(now())).await.unwrap();
        for number in told[2].parse::<u64>().unwrap().. {
            let mut calls = batch(number);
            // As a client does that has not heard an answer: some of the last batch once more.
            calls.extend(batch(number.max(2) - 1).into_iter().take(5));
            store.record_calls(&calls).await.unwrap();
            // One write, so that a line is there whole or not at all.
            std::io::stdout().write_all(format!("answered {number}\n").as_bytes()).unwrap();
            if number % 7 == 0 {
                let scope = PriceScope { everything: true, ..PriceScope::default() };
                store.reprice(&scope, "test", false).await.unwrap();
            }
            if number % 100 == 3 {
                let end =
                    FinishRun { run_id: run_id(2), status: Status::Succeeded, completed_at: Some(now()) };
                store.finish_run(&end).await.unwrap();
            }
        }
    });
}

on_both_databases! {
    /// The moment of the kill is some answers and up to a few milliseconds away: nothing depends on which it is.
    async fn answered_batches_survive_kill_9(db: TestDb) {
        open(&db).await.close().await;
        let location = Location::new(&db.url, &db.schema);
        let mut answered: Vec<u64> = Vec::new();
        for round in 0..ROUNDS {
            // The batch that was under way comes again, as a client that goes on would send it.
            let first = answered.last().map_or(1, |last| last + 1);
            let mut writer = Command::new(std::env::current_exe().unwrap())
                .args(["laws::killed::writes_batches", "--exact", "--nocapture", "--test-threads=1"])
                .env(WORKER, format!("{} {} {first}", db.url, db.schema))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
            let number = |line: String| line.split_once("answered ").map(|(_, n)| n.parse::<u64>().unwrap());
            let wanted = 1 + usize::try_from(round * 5 % 9).unwrap();
            answered.extend(lines.by_ref().filter_map(number).take(wanted));
            std::thread::sleep(Duration::from_micros(700 * (round * 7 % 10)));
            writer.kill().unwrap();
            // What was printed before the kill and not read yet was answered too.
            answered.extend(lines.filter_map(number));
            assert_eq!(writer.wait().unwrap().signal(), Some(9), "the writer ended by itself");
            check(&location, &answered).await;
        }
        assert!(answered.len() >= usize::try_from(ROUNDS).unwrap());
        assert!(answered.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{answered:?}");
        let under_way = stored(&location).await.len() - answered.len();
        assert!(under_way <= 1, "only the last batch can be there without an answer");
    }
}
