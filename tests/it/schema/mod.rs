//! The schema itself: what is in it, how it comes into a database, and who may do what with it.

mod parity;
mod reference;
mod refusals;
mod roles;
mod shape;
mod states;
mod together;

use crate::support::TestDb;
use asmm::clock::Clock;
use asmm::domain::{
    Amount, Budget, BudgetScope, Call, CallId, CallPrompt, Decision, Digest, FinishRun, GuardEvent, Outcome,
    Period, ProviderBucket, ProviderLine, ProviderReport, Reserve, RunId, Sanitisation, SentPrompt, StartRun,
    StartStep, Status, StepId, Timestamp, TokenUsage, Usd,
};
use asmm::error::Error;
use asmm::store::{Location, NewVersion, Store};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, SqliteConnection};
use std::str::FromStr;
use uuid::Uuid;

fn location(db: &TestDb) -> Location {
    Location::new(&db.url, &db.schema)
}

async fn connect(db: &TestDb) -> Store {
    Store::connect(&location(db), Clock::System).await.unwrap()
}

async fn migrated(db: &TestDb) -> Store {
    let store = connect(db).await;
    store.migrate().await.unwrap();
    store
}

/// An error as a user reads it, with what differs from run to run replaced.
fn said(error: &Error, hidden: &[(&str, &str)]) -> String {
    let hint = error.next_step().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let text = format!("{error}{hint}\n{:?}, exit code {}", error.kind(), error.exit_code());
    hidden.iter().fold(text, |text, (hide, shown)| text.replace(hide, shown))
}

async fn postgres(db: &TestDb) -> PgConnection {
    let options = PgConnectOptions::from_str(&db.url).unwrap();
    options.options([("search_path", &db.schema)]).connect().await.unwrap()
}

async fn sqlite(db: &TestDb) -> SqliteConnection {
    let options = SqliteConnectOptions::from_str(&db.url).unwrap();
    options.create_if_missing(true).connect().await.unwrap()
}

fn is_postgres(db: &TestDb) -> bool {
    db.url.starts_with("postgres")
}

/// Does something to the database behind the program's back.
async fn execute(db: &TestDb, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    if is_postgres(db) {
        sqlx::raw_sql(sql).execute(&mut postgres(db).await).await.unwrap();
    } else {
        sqlx::raw_sql(sql).execute(&mut sqlite(db).await).await.unwrap();
    }
}

/// The one number that a query answers.
async fn count(db: &TestDb, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    if is_postgres(db) {
        sqlx::query_scalar(sql).fetch_one(&mut postgres(db).await).await.unwrap()
    } else {
        sqlx::query_scalar(sql).fetch_one(&mut sqlite(db).await).await.unwrap()
    }
}

fn run_id(n: u128) -> RunId {
    RunId(Uuid::from_u128(n))
}

fn an_hour_ago() -> Timestamp {
    Clock::System.now().plus_micros(-3_600_000_000)
}

fn start(n: u128) -> StartRun {
    StartRun {
        run_id: run_id(n),
        pipeline: "enrichment".into(),
        started_at: an_hour_ago(),
        labels: [("team".to_owned(), "data".to_owned())].into(),
        parent_run_id: None,
        replay_of: None,
    }
}

fn call(run: u128, n: u128) -> Call {
    Call {
        run_id: run_id(run),
        call_id: CallId(Uuid::from_u128(n)),
        step_id: None,
        agent: "researcher".into(),
        provider: "openai".into(),
        model: "gpt-4o".into(),
        operation: "chat".into(),
        service_tier: "standard".into(),
        called_at: an_hour_ago(),
        usage: Some(TokenUsage { input: 1000, output: 10, ..TokenUsage::default() }),
        latency_ms: Some(120),
        outcome: Outcome::Ok,
        response_id: Some("resp-1".into()),
        pipeline: None,
        prompt: None,
    }
}

/// A version of `greeting`, pushed long ago from a commit.
async fn push_greeting(db: &TestDb) {
    let clock = Clock::Fixed(an_hour_ago().plus_micros(-3_600_000_000));
    let store = Store::connect(&location(db), clock).await.unwrap();
    let yaml =
        "schema: asmm.prompt/v1\nname: greeting\nengine: subst/1\nmessages: [{role: user, content: Hello}]\n";
    let file = asmm::prompt::parse_file("greeting.yaml", yaml.as_bytes()).unwrap();
    let version = NewVersion {
        digest: file.content.digest().unwrap(),
        content: file.content.canonical().unwrap(),
        name: file.name,
        description: file.description,
        source: file.source,
    };
    store.push_prompts(&[version], Some("production"), Some("0123456789abcdef")).await.unwrap();
}

/// A ledger in which no column of a view is null throughout: a run, and its replay with a step, a call and what was
/// sent in it.
async fn filled(db: &TestDb) -> Store {
    let store = migrated(db).await;
    store.start_run(&start(1)).await.unwrap();
    let replay = StartRun {
        started_at: an_hour_ago().plus_micros(60_000_000),
        parent_run_id: Some(run_id(1)),
        replay_of: Some(run_id(1)),
        ..start(2)
    };
    store.start_run(&replay).await.unwrap();
    push_greeting(db).await;
    let step_id = StepId(Uuid::from_u128(7));
    let step = StartStep {
        run_id: run_id(2),
        step_id,
        step: "research".into(),
        agent: String::new(),
        prompt_version: Some("greeting".into()),
        attempt: 1,
        started_at: Some(an_hour_ago()),
        status: None,
        completed_at: None,
    };
    store.start_step(&step).await.unwrap();
    store.record_calls(&[call(1, 1), Call { step_id: Some(step_id), ..call(2, 2) }]).await.unwrap();
    let prompt = CallPrompt { version: Some("greeting@1".into()), ..CallPrompt::default() };
    let purged = CallPrompt { purged_at: Some(an_hour_ago()), ..prompt.clone() };
    let redacted_at = Some(an_hour_ago());
    let redacted = CallPrompt { redacted_at, sanitisation: Sanitisation::Exposed, ..prompt.clone() };
    for (n, step_id, prompt) in [(2, Some(step_id), prompt), (3, None, purged), (4, None, redacted)] {
        let call_id = CallId(Uuid::from_u128(n));
        let sent = SentPrompt { run_id: run_id(2), call_id, step_id, sent_at: an_hour_ago(), prompt };
        store.record_prompts(&[sent]).await.unwrap();
    }
    let event = GuardEvent {
        event_id: Uuid::from_u128(1),
        run_id: Some(run_id(2)),
        call_id: Some(CallId(Uuid::from_u128(2))),
        prompt: Some("greeting@1".into()),
        variable: Some("who".into()),
        detector: "email".into(),
        findings: 1,
        decision: Decision::Redact,
        reason: "personal data is redacted by default".into(),
        fingerprint: Some(Digest::of("a value")),
        token: Some("EMAIL_1".into()),
        rules_sha256: Digest::of("rules"),
        policy_sha256: Digest::of("policy"),
        decided_at: an_hour_ago(),
    };
    store.record_guard_events(&[event]).await.unwrap();
    store.record_provider_buckets(&[("costs.json".to_owned(), bucket())]).await.unwrap();
    let scope = BudgetScope {
        pipeline: Some("enrichment".into()),
        agent: Some("researcher".into()),
        provider: Some("openai".into()),
        model: Some("gpt-4o".into()),
        label: Some(("team".into(), "data".into())),
    };
    let (period, zone, limit) = (Period::Day, chrono_tz::Tz::UTC, Usd::from_pico(1_000_000_000_000));
    store
        .set_budget(&Budget { name: "nightly".into(), limit, period, zone, scope, is_hard: true })
        .await
        .unwrap();
    let amount = Amount::Usd(Usd::from_pico(1));
    store.reserve(&Reserve::of(run_id(1), CallId(Uuid::from_u128(99)), amount)).await.unwrap();
    for n in [1, 2] {
        let finish = FinishRun { run_id: run_id(n), status: Status::Succeeded, completed_at: None };
        store.finish_run(&finish).await.unwrap();
    }
    store
}

/// A bucket of an export in which everything is said.
fn bucket() -> ProviderBucket {
    let starts_at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let line = ProviderLine {
        model: Some("gpt-4o".into()),
        service_tier: Some("standard".into()),
        project: Some("proj_1".into()),
        line_item: Some("gpt-4o, input".into()),
        requests: Some(1),
        input_tokens: Some(2),
        cache_read_tokens: Some(3),
        cache_write_tokens: Some(4),
        cache_write_long_tokens: Some(5),
        llm_tokens_output: Some(6),
        embedding_tokens: Some(7),
        web_searches: Some(8),
        billed: Some(Usd::from_pico(9)),
    };
    ProviderBucket {
        provider: "openai".into(),
        report: ProviderReport::Costs,
        starts_at,
        ends_at: starts_at.plus_micros(86_400_000_000),
        lines: vec![line],
    }
}
