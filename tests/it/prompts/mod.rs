//! The registry, what was sent, and giving it back: on both databases, with one meaning.

mod python;
mod random;
mod registry;
mod sent;

use crate::support::TestDb;
use crate::writing::{now, run_id};
use asmm::clock::Clock;
use asmm::domain::{CallId, CallPrompt, SentPrompt, Timestamp};
use asmm::store::{Location, NewVersion, ReplayedCall, Store, Verdict};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

/// A version of a prompt that greets somebody with `words`.
fn greeting(name: &str, words: &str) -> NewVersion {
    let yaml = format!(
        "schema: asmm.prompt/v1\nname: {name}\nengine: subst/1\nvariables: {{who: {{type: string}}}}\n\
         messages: [{{role: user, content: '{words} {{{{who}}}}'}}]\n"
    );
    version_of(&yaml)
}

fn version_of(yaml: &str) -> NewVersion {
    let file = asmm::prompt::parse_file("test.yaml", yaml.as_bytes()).unwrap();
    NewVersion {
        digest: file.content.digest().unwrap(),
        content: file.content.canonical().unwrap(),
        name: file.name,
        description: file.description,
        source: file.source,
    }
}

/// The ledger as it is at a time.
async fn at(db: &TestDb, time: Timestamp) -> Store {
    let store = Store::connect(&Location::new(&db.url, &db.schema), Clock::Fixed(time)).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn minutes(n: i64) -> Timestamp {
    now().plus_micros(n * 60_000_000)
}

fn call_id(n: u128) -> CallId {
    CallId(Uuid::from_u128(n))
}

fn who(name: &str) -> Map<String, Value> {
    Map::from_iter([("who".to_owned(), Value::from(name))])
}

/// A greeting sent in call `n` of run 1.
fn sent(n: u128, version: &str, name: &str) -> SentPrompt {
    let prompt =
        CallPrompt { version: Some(version.to_owned()), inputs: Some(who(name)), ..CallPrompt::default() };
    SentPrompt { run_id: run_id(1), call_id: call_id(n), step_id: None, sent_at: now(), prompt }
}

/// A text captured in call `n` of run 1.
fn captured(n: u128, text: &str) -> SentPrompt {
    let messages = Some(vec![serde_json::json!({"role": "user", "content": text})]);
    let prompt = CallPrompt { messages, ..CallPrompt::default() };
    SentPrompt { run_id: run_id(1), call_id: call_id(n), step_id: None, sent_at: now(), prompt }
}

async fn replayed(store: &Store) -> Vec<ReplayedCall> {
    let mut replay = store.replay(run_id(1));
    let mut calls = Vec::new();
    while let Some(call) = replay.next().await.unwrap() {
        calls.push(call);
    }
    calls.sort_by_key(|call| call.call_id);
    calls
}

async fn verdicts(store: &Store) -> Vec<Verdict> {
    replayed(store).await.into_iter().map(|call| call.verdict).collect()
}

/// Does something to the database past its triggers.
async fn tamper(db: &TestDb, sql: &str) {
    if db.url.starts_with("postgres") {
        let mut connection = PgConnection::connect(&db.url).await.unwrap();
        let sql = format!("set search_path = {}; set session_replication_role = replica; {sql}", db.schema);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = SqliteConnection::connect(&db.url).await.unwrap();
        let triggers: Vec<String> =
            sqlx::query_scalar("select 'drop trigger ' || name from sqlite_master where type = 'trigger'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        for drop in triggers {
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
        }
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    }
}
