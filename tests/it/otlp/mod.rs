//! Spans from OTLP into the ledger.

mod clients;
mod held;
mod orders;
mod receiver;
mod serve;
mod texts;

use crate::support::TestDb;
use asmm::clock::Clock;
use asmm::domain::{Call, CallId, RunId, Span, Timestamp};
use asmm::intake::otlp::{self, Encoding, Signal, Texts};
use asmm::store::{Location, Store};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

/// After the recorded bodies.
pub fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

pub async fn open(db: &TestDb) -> Store {
    let location = Location::new(&db.url, &db.schema);
    let store = Store::connect(&location, Clock::Fixed(now())).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// The recorded bodies, by name: protobuf, not compressed.
pub fn bodies() -> BTreeMap<String, Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/otlp");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let bodies = files.filter(|path| path.extension().is_some_and(|ext| ext == "bin")).map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut body = std::fs::read(&path).unwrap();
        if name.starts_with("genai-gzip") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
            body = plain;
        }
        (name, body)
    });
    let bodies: BTreeMap<_, _> = bodies.collect();
    assert_eq!(bodies.len(), 55);
    bodies
}

pub fn spans(body: &[u8]) -> Vec<Span> {
    otlp::read(body, (Signal::Traces, Encoding::Protobuf), Texts::Drop, now()).unwrap().spans
}

/// All calls of the journal, as far as spans tell of them.
pub async fn journal(store: &Store) -> BTreeMap<(RunId, CallId), Call> {
    let mut calls = BTreeMap::new();
    let mut after = None;
    loop {
        let runs = store.runs_page(after, 1000).await.unwrap();
        let Some(last) = runs.last() else { return calls };
        after = Some((last.started_at, last.run_id));
        for run in &runs {
            let of_run = store.calls(run.run_id, None, 10_000).await.unwrap();
            assert_eq!(of_run.len() as u64, run.totals.llm_calls, "run {}", run.run_id);
            calls.extend(of_run.into_iter().map(|call| ((call.call.run_id, call.call.call_id), call.call)));
        }
    }
}
