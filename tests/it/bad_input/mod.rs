//! What the ledger does not take: the error names the thing and says what to do, and the ledger is as it was.

mod append_only;
mod broken;
mod costs;
mod sql;
mod values;

use crate::support::TestDb;
use crate::writing::now;
use asmm::domain::{FinishRun, FinishStep, RunId, StartStep, Status, StepId, Timestamp, Window};
use asmm::error::Error;
use asmm::store::{Filter, SpendBy, Store};
use std::fmt::Debug;
use uuid::Uuid;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Everything that reports are made of, in one text.
async fn dump(store: &Store) -> String {
    let runs = store.runs_page(None, 1_000).await.unwrap();
    let mut parts = Vec::new();
    for run in &runs {
        let steps = store.steps(run.run_id).await.unwrap();
        let calls = store.calls(run.run_id, None, 20_000).await.unwrap();
        parts.push(format!("{steps:?} {calls:?}"));
    }
    let window = Window::last_days(4_000, now().plus_micros(3 * DAY), chrono_tz::UTC).unwrap();
    let by = SpendBy { day: true, pipeline: true, agent: true, model: true };
    let spend = store.spend(&window, by, &Filter::default()).await.unwrap();
    format!("{runs:?} {parts:?} {spend:?}")
}

/// An error as a user reads it.
fn said(error: &Error) -> String {
    let hint = error.next_step().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    let said = format!("{:?}: {error}{hint}", error.kind());
    // Postgres writes times as it shows them.
    said.replace("2026-11-20 ", "2026-11-20T").replace(":00+00", ":00Z")
}

/// Collects what was refused, each with the ledger looked at before and after.
struct Refusals<'a> {
    store: &'a Store,
    before: String,
    /// What was said, and about which.
    said: Vec<(String, String)>,
}

impl<'a> Refusals<'a> {
    async fn of(store: &'a Store) -> Self {
        Self { store, before: dump(store).await, said: Vec::new() }
    }

    /// `outcome` must be a refusal that left the ledger alone.
    async fn add<T: Debug>(&mut self, what: &str, outcome: Result<T, Error>) {
        let Err(error) = outcome else { panic!("{what}: was taken: {outcome:?}") };
        self.note(what, said(&error)).await;
    }

    /// `what` was refused with these words.
    async fn note(&mut self, what: &str, said: String) {
        assert_eq!(dump(self.store).await, self.before, "{what}: the ledger changed");
        match self.said.last_mut() {
            Some((last, about)) if *last == said => about.extend([", ", what]),
            _ => self.said.push((said, what.to_owned())),
        }
    }

    async fn end(self) -> String {
        assert_eq!(self.store.broken_laws().await.unwrap(), []);
        self.said
            .into_iter()
            .flat_map(|(said, about)| [about, "\n  ".to_owned(), said, "\n".to_owned()])
            .collect()
    }
}

fn step_id(n: u128) -> StepId {
    StepId(Uuid::from_u128(n))
}

fn step(run: u128, n: u128) -> StartStep {
    StartStep {
        run_id: RunId(Uuid::from_u128(run)),
        step_id: step_id(n),
        step: "research".into(),
        agent: "researcher".into(),
        prompt_version: None,
        attempt: 1,
        started_at: Some(now()),
        status: None,
        completed_at: None,
    }
}

fn finish(run: u128, status: Status, completed_at: Option<Timestamp>) -> FinishRun {
    FinishRun { run_id: RunId(Uuid::from_u128(run)), status, completed_at }
}

fn finish_step(run: u128, n: u128, status: Status, completed_at: Option<Timestamp>) -> FinishStep {
    FinishStep { run_id: RunId(Uuid::from_u128(run)), step_id: step_id(n), status, completed_at }
}

/// A ledger with something in it: run 1 is open and has a step and a call, run 2 is finished.
async fn filled(db: &TestDb) -> Store {
    use crate::writing::{call, open, start};
    let store = open(db).await;
    for n in [1, 2] {
        store.start_run(&start(n)).await.unwrap();
        store.start_step(&step(n, 7)).await.unwrap();
        store.record_calls(&[call(n, 1)]).await.unwrap();
    }
    let end = Some(now().plus_micros(MINUTE));
    store.finish_step(&finish_step(2, 7, Status::Failed, end)).await.unwrap();
    store.finish_run(&finish(2, Status::Failed, end)).await.unwrap();
    store
}
