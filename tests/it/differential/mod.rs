//! Random histories give equal ledgers on Postgres, on SQLite and in the in-memory model, and the laws hold.

mod history;
mod model;

use crate::support::{block_on, postgres_url};
use asmm::clock::Clock;
use asmm::domain::{Call, Window};
use asmm::pricing::Origin;
use asmm::store::{Location, Recorded, Repriced, Run, SpendBy, Store};
use asmm::{Error, ErrorKind};
use history::{Op, call, history, now};
use model::Model;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use std::sync::OnceLock;
use uuid::Uuid;

/// Fresh ledgers by copying (each test makes it first, outside of its runtime): migrating and loading the catalogue for each history would take most of the time.
struct Template {
    dir: tempfile::TempDir,
    postgres: String,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let sqlite = format!("sqlite:{}", dir.path().join("template.db").display());
            let store = Store::open(&location(&sqlite), Clock::Fixed(now())).await.unwrap();
            store.close().await;
            let postgres = format!("template_{}", Uuid::now_v7().simple());
            run_sql(&format!("create database {postgres}")).await;
            let store = Store::connect(&location(&database(&postgres)), Clock::Fixed(now())).await.unwrap();
            store.migrate().await.unwrap();
            store.close().await;
            Template { dir, postgres }
        })
    })
}

fn location(url: &str) -> Location {
    Location::new(url, "asmm")
}

/// The test server's URL with another database.
fn database(name: &str) -> String {
    let url = postgres_url();
    let (head, options) = url.split_once('?').map_or((url.as_str(), None), |(h, o)| (h, Some(o)));
    let (server, _) = head.rsplit_once('/').expect("a URL names its database after the last slash");
    options.map_or(format!("{server}/{name}"), |o| format!("{server}/{name}?{o}"))
}

async fn run_sql(sql: &str) {
    let mut connection = PgConnection::connect(&postgres_url()).await.unwrap();
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    connection.close().await.unwrap();
}

/// The same ledger three times.
struct Ledgers {
    sqlite: Store,
    postgres: Store,
    json_door: PgPool,
    model: Model,
    name: String,
}

impl Ledgers {
    async fn new() -> Self {
        let template = template();
        let name = format!("case_{}", Uuid::now_v7().simple());
        let file = template.dir.path().join(format!("{name}.db"));
        std::fs::copy(template.dir.path().join("template.db"), &file).unwrap();
        run_sql(&format!("create database {name} template {}", template.postgres)).await;
        let url = database(&name);
        let sqlite = location(&format!("sqlite:{}", file.display()));
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let options = options.options([("search_path", "asmm,pg_temp")]);
        Self {
            sqlite: Store::open(&sqlite, Clock::Fixed(now())).await.unwrap(),
            postgres: Store::open(&location(&url), Clock::Fixed(now())).await.unwrap(),
            json_door: PgPool::connect_lazy_with(options),
            model: Model::default(),
            name,
        }
    }

    async fn close(self) {
        self.sqlite.close().await;
        self.postgres.close().await;
        self.json_door.close().await;
        run_sql(&format!("drop database {} with (force)", self.name)).await;
    }
}

/// An answer as text, or the kind of the error: what must be equal.
type Answer = Result<String, ErrorKind>;

fn kind(error: &Error) -> ErrorKind {
    error.kind()
}

/// A run without the one column that reads the clock.
fn shown(run: &Run) -> String {
    format!("{:?}", Run { costed_at: None, ..run.clone() })
}

async fn on_store(store: &Store, op: &Op) -> Answer {
    let text = match op {
        Op::StartRun(run) => store.start_run(run).await.map(|r| shown(&r)),
        Op::StartStep(step) => store.start_step(step).await.map(|s| format!("{s:?}")),
        Op::Record(calls, _) => store.record_calls(calls).await.map(|r| format!("{r:?}")),
        Op::FinishStep(finish) => store.finish_step(finish).await.map(|s| format!("{s:?}")),
        Op::FinishRun(finish) => store.finish_run(finish).await.map(|r| shown(&r)),
        Op::Push(sheet) => {
            async {
                store.push_prices(Origin::User, "test", sheet).await?;
                store.price_all_names().await.map(|_| "pushed".to_owned())
            }
            .await
        }
        Op::Alias(provider, model, target) => {
            store.set_alias(provider, model, target.as_ref()).await.map(|_| "set".to_owned())
        }
        Op::Reprice(scope, dry_run) => store.reprice(scope, "test", *dry_run).await.map(|runs| {
            let mut sum = Repriced::default();
            for (_, repriced) in runs {
                sum += repriced;
            }
            format!("{sum:?}")
        }),
    };
    text.map_err(|e| kind(&e))
}

/// The batch as a pipeline without asmm sends it; then the next asmm command resolves names it brought.
async fn through_json(ledgers: &Ledgers, calls: &[Call]) -> Answer {
    let answer: Result<serde_json::Value, sqlx::Error> = sqlx::query_scalar("select record_calls($1)")
        .bind(serde_json::to_value(calls).unwrap())
        .fetch_one(&ledgers.json_door)
        .await;
    ledgers.postgres.price_new_names().await.map_err(|e| kind(&e))?;
    let answer = answer.map_err(|e| kind(&Error::from(e)))?;
    let conflict = answer["conflict"].as_array().unwrap().len();
    Ok(format!("{} {} {conflict}", answer["recorded"], answer["duplicate"]))
}

fn on_model(model: &mut Model, op: &Op) -> Answer {
    match op {
        Op::StartRun(run) => model.start_run(run).map(|()| run_text(model, run.run_id)),
        Op::StartStep(step) => model.start_step(step).map(|()| step_text(model, step.run_id, step.step_id)),
        Op::Record(calls, _) => model.record(calls).map(|r| format!("{r:?}")),
        Op::FinishStep(f) => model.finish_step(f).map(|()| step_text(model, f.run_id, f.step_id)),
        Op::FinishRun(f) => model.finish_run(f).map(|()| run_text(model, f.run_id)),
        Op::Push(sheet) => {
            model.push(sheet);
            Ok("pushed".to_owned())
        }
        Op::Alias(provider, name, target) => {
            model.alias(provider, name, target.as_ref()).map(|()| "set".to_owned())
        }
        Op::Reprice(scope, dry_run) => Ok(format!("{:?}", model.reprice(scope, *dry_run))),
    }
}

fn run_text(model: &Model, run_id: asmm::domain::RunId) -> String {
    let run = &model.runs[&run_id];
    shown(&Run {
        run_id,
        pipeline: run.start.pipeline.clone(),
        status: run.status,
        labels: run.start.labels.clone(),
        started_at: run.start.started_at,
        completed_at: run.completed_at,
        costed_at: None,
        parent_run_id: None,
        replay_of: None,
        totals: model.totals(run_id),
    })
}

fn step_text(model: &Model, run_id: asmm::domain::RunId, step_id: asmm::domain::StepId) -> String {
    let step = &model.steps[&(run_id, step_id)];
    format!(
        "{:?}",
        asmm::store::Step {
            run_id,
            step_id,
            step: step.start.step.clone(),
            agent: step.start.agent.clone(),
            attempt: step.start.attempt,
            status: step.status,
            prompt_version: None,
            started_at: step.start.started_at.unwrap(),
            completed_at: step.completed_at,
        }
    )
}

/// Everything a ledger holds, as text.
async fn dump(store: &Store) -> Vec<String> {
    let mut lines = Vec::new();
    for run in store.runs_page(None, 1000).await.unwrap() {
        lines.push(shown(&run));
        for step in store.steps(run.run_id).await.unwrap() {
            lines.push(format!("{:?}", step.step));
        }
        for call in store.calls(run.run_id, None, 1000).await.unwrap() {
            lines.push(format!("{:?} {:?} {:?}", call.call, call.pricing_state, call.cost));
        }
    }
    lines.sort();
    lines
}

fn model_dump(model: &Model) -> Vec<String> {
    let runs = model.runs.keys().map(|id| run_text(model, *id));
    let steps = model.steps.keys().map(|(run, step)| step_text(model, *run, *step));
    let calls = model.calls.values().map(|c| format!("{:?} {:?} {:?}", c.call, c.state, c.cost));
    let mut lines: Vec<String> = runs.chain(steps).chain(calls).collect();
    lines.sort();
    lines
}

/// The rollup, by everything it tells apart.
async fn spend(store: &Store) -> String {
    let by = SpendBy { day: true, pipeline: true, agent: true, model: true };
    let window = Window::last_days(30, now(), chrono_tz::Asia::Kathmandu).unwrap();
    format!("{:?}", store.spend(&window, by, &asmm::store::Filter::default()).await.unwrap())
}

async fn check(ops: &[Op]) -> Result<(), TestCaseError> {
    let mut ledgers = Ledgers::new().await;
    for op in ops {
        let expected = on_model(&mut ledgers.model, op);
        prop_assert_eq!(&on_store(&ledgers.sqlite, op).await, &expected, "SQLite, {:?}", op);
        match op {
            Op::Record(calls, true) => {
                let answer = through_json(&ledgers, calls).await;
                let expected = expected.map(|text| short(&text));
                prop_assert_eq!(answer, expected, "Postgres by JSON, {:?}", op);
            }
            op => prop_assert_eq!(on_store(&ledgers.postgres, op).await, expected, "Postgres, {:?}", op),
        }
    }
    let expected = model_dump(&ledgers.model);
    prop_assert_eq!(&dump(&ledgers.sqlite).await, &expected, "SQLite");
    prop_assert_eq!(&dump(&ledgers.postgres).await, &expected, "Postgres");
    prop_assert_eq!(spend(&ledgers.sqlite).await, spend(&ledgers.postgres).await);
    prop_assert_eq!(ledgers.sqlite.broken_laws().await.unwrap(), []);
    prop_assert_eq!(ledgers.postgres.broken_laws().await.unwrap(), []);
    ledgers.close().await;
    Ok(())
}

/// `Recorded` as the JSON door's test shows it. What was unpriced at that moment differs by design: SQL
/// leaves unseen names to the next asmm command.
fn short(recorded: &str) -> String {
    let number = |field: &str| {
        let rest = recorded.split(field).nth(1).unwrap_or_default();
        rest.chars().take_while(char::is_ascii_digit).collect::<String>()
    };
    let conflict = recorded.matches("(RunId(").count();
    format!("{} {} {conflict}", number("recorded: "), number("duplicate: "))
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() })
}

#[test]
fn random_histories_give_equal_ledgers() {
    template();
    runner(48).run(&history(), |ops| block_on(check(&ops))).unwrap();
}

/// However calls are split, ordered and repeated, the ledger they make is the same.
#[test]
fn delivery_does_not_matter() {
    template();
    let deliveries = (vec(call(), 1..40), any::<u64>()).prop_map(|(mut calls, seed)| {
        calls.sort_by_key(|c| (c.run_id, c.call_id));
        calls.dedup_by_key(|c| (c.run_id, c.call_id));
        for call in &mut calls {
            call.pipeline = Some("pipeline-0".into());
            call.step_id = None;
            call.called_at = now();
        }
        (calls, seed)
    });
    runner(12)
        .run(&deliveries, |(calls, seed)| {
            block_on(async {
                let ledgers = Ledgers::new().await;
                ledgers.sqlite.record_calls(&calls).await.unwrap();
                let mut total = Recorded::default();
                for part in split(&calls, seed) {
                    total += ledgers.postgres.record_calls(&part).await.unwrap();
                }
                prop_assert_eq!(total.recorded, calls.len() as u64);
                prop_assert!(total.conflict.is_empty());
                prop_assert_eq!(dump(&ledgers.sqlite).await, dump(&ledgers.postgres).await);
                prop_assert_eq!(ledgers.postgres.broken_laws().await.unwrap(), []);
                ledgers.close().await;
                Ok(())
            })
        })
        .unwrap();
}

/// Every call once or more, in another order, in parts.
fn split(calls: &[Call], seed: u64) -> Vec<Vec<Call>> {
    let mut state = seed | 1;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let mut all: Vec<Call> = calls.iter().flat_map(|c| vec![c.clone(); 1 + random(2)]).collect();
    for place in (1..all.len()).rev() {
        all.swap(place, random(place + 1));
    }
    let mut parts = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off((1 + random(5)).min(all.len()));
        parts.push(std::mem::replace(&mut all, rest));
    }
    parts
}
