//! What was recorded without the guard, looked at afterwards.

use super::planted::{email, github_token, password};
use crate::support::{TestDb, block_on, on_both_databases};
use crate::writing::{now, open, run_id, start};
use asmm::domain::Sanitisation::{Clean, Exposed};
use asmm::domain::{CallId, CallPrompt, Digest, Sanitisation, SentPrompt, canonical_json};
use asmm::store::{NewVersion, Store, Verdict};
use serde_json::{Map, Value, json};
use std::process::Command;
use uuid::Uuid;

fn sweep(db: &TestDb, more: &[&str]) -> (i32, Value, String) {
    let mut command: Command = crate::support::asmm(db.dir.path());
    std::fs::create_dir_all(db.dir.path().join("home")).unwrap();
    command
        .env("ASMM_DATABASE_URL", &db.url)
        .env("ASMM_SCHEMA", &db.schema)
        .env("ASMM_NOW", "2026-11-21T12:00:00Z");
    let output = command
        .args(["guard", "sweep", "--format", "json", "--log-level", "info"])
        .args(more)
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    (output.status.code().unwrap(), report, out + &err)
}

fn call_id(n: u128) -> CallId {
    CallId(Uuid::from_u128(n))
}

/// Recorded past the guard, as a pipeline does that uses SQL.
async fn record(store: &Store, n: u128, prompt: CallPrompt) {
    let sent = SentPrompt { run_id: run_id(1), call_id: call_id(n), step_id: None, sent_at: now(), prompt };
    store.record_prompts(&[sent]).await.unwrap();
}

fn captured(text: &str) -> CallPrompt {
    CallPrompt { messages: Some(vec![json!({"role": "user", "content": text})]), ..CallPrompt::default() }
}

fn rendered(who: &str) -> CallPrompt {
    let inputs = Map::from_iter([("who".to_owned(), Value::from(who))]);
    CallPrompt { version: Some("greet@1".into()), inputs: Some(inputs), ..CallPrompt::default() }
}

async fn push(store: &Store, name: &str, words: &str) {
    let yaml = json!({
        "schema": "asmm.prompt/v1", "name": name, "engine": "subst/1", "variables": {"who": {"type": "string"}},
        "messages": [{"role": "user", "content": format!("{words} {{{{who}}}}")}],
    });
    let file = asmm::prompt::parse_file("x.yaml", yaml.to_string().as_bytes()).unwrap();
    let version = NewVersion {
        digest: file.content.digest().unwrap(),
        content: file.content.canonical().unwrap(),
        name: file.name,
        description: file.description,
        source: file.source,
    };
    store.push_prompts(&[version], None, None).await.unwrap();
}

async fn states(store: &Store) -> Vec<(Sanitisation, Verdict)> {
    let mut replay = store.replay(run_id(1));
    let mut calls = Vec::new();
    while let Some(call) = replay.next().await.unwrap() {
        calls.push(call);
    }
    calls.sort_by_key(|call| call.call_id);
    calls.into_iter().map(|call| (call.sanitisation.unwrap(), call.verdict)).collect()
}

/// Clean and dirty, captured and rendered.
async fn dirty(db: &TestDb) -> Store {
    let store = open(db).await;
    store.start_run(&start(1)).await.unwrap();
    push(&store, "greet", "password:").await;
    record(&store, 1, captured("nothing to see")).await;
    record(&store, 2, captured(&format!("use {}", github_token(1)))).await;
    record(&store, 3, rendered(&format!("Ada <{}>", email(1)))).await;
    // Only the template's word says what it is.
    record(&store, 4, rendered(&password(1))).await;
    record(&store, 5, rendered("<password>")).await;
    // The text of call 2 once more, and a digest alone.
    record(&store, 6, captured(&format!("use {}", github_token(1)))).await;
    record(&store, 7, CallPrompt { text_sha256: Some(Digest::of("x")), ..CallPrompt::default() }).await;
    store
}

on_both_databases! {
    async fn what_nobody_looked_at_is_marked_then_redacted(db: TestDb) {
        let store = dirty(&db).await;
        let before = states(&store).await;
        assert!(before.iter().take(6).all(|s| *s == (Sanitisation::Unscanned, Verdict::Verified)), "{before:?}");
        let (code, report, said) = sweep(&db, &["--dry-run"]);
        assert_eq!((code, &report["looked_at"], &report["exposed"]), (6, &json!(6), &json!(4)), "{report}");
        assert_eq!(states(&store).await, before, "a dry run changes nothing");

        let (code, report, more) = sweep(&db, &[]);
        assert_eq!((code, &report["clean"], &report["exposed"], &report["redacted"]), (6, &json!(2), &json!(4), &json!(0)));
        let of = |states: &[(Sanitisation, Verdict)]| states.iter().map(|s| s.0).collect::<Vec<_>>();
        let marked = states(&store).await;
        assert_eq!(of(&marked), [Clean, Exposed, Exposed, Exposed, Clean, Exposed, Sanitisation::Unscanned]);
        assert!(marked.iter().take(6).all(|s| s.1 == Verdict::Verified), "marking leaves the text: {marked:?}");
        assert_eq!(sweep(&db, &[]).1["looked_at"], 0, "once");

        let (code, report, last) = sweep(&db, &["--redact"]);
        assert_eq!((code, &report["looked_at"], &report["redacted"]), (6, &json!(4), &json!(4)), "{report}");
        let redacted = states(&store).await;
        for place in [1, 2, 3, 5] {
            assert!(matches!(redacted[place], (Exposed, Verdict::Redacted { .. })), "{redacted:?}");
        }
        let sent = store.sent_prompts(run_id(1), None, 100).await.unwrap();
        let text = canonical_json(&json!([{"role": "user", "content": format!("use {}", github_token(1))}])).unwrap();
        assert_eq!(sent[1].prompt.text_sha256, Some(Digest::of(text)), "the digest of what was sent stays");
        assert_eq!(sent[1].prompt.messages.as_ref().unwrap()[0]["content"], "use [SECRET_1]");
        assert_eq!(sent[2].prompt.inputs.as_ref().unwrap()["who"], "Ada <[EMAIL_1]>");
        assert_eq!(sent[3].prompt.inputs.as_ref().unwrap()["who"], "[PASSWORD_1]");
        assert_eq!(sweep(&db, &["--redact"]).1["looked_at"], 0);
        for value in [github_token(1), email(1), password(1)] {
            assert!(![&said, &more, &last].iter().any(|text| text.contains(&value)));
        }
        // Told again as it was, it is what is recorded.
        let again = SentPrompt { run_id: run_id(1), call_id: call_id(3), step_id: None, sent_at: now(), prompt: rendered(&format!("Ada <{}>", email(1))) };
        assert_eq!(store.record_prompts(&[again]).await.unwrap().duplicate, 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn two_sweeps_at_once_agree(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        let sent: Vec<SentPrompt> = (0..600)
            .map(|n| SentPrompt { run_id: run_id(1), call_id: call_id(n), step_id: None, sent_at: now(),
                                  prompt: captured(&format!("{n}: {}", email(u32::try_from(n).unwrap()))) })
            .collect();
        store.record_prompts(&sent).await.unwrap();
        std::thread::scope(|scope| {
            let sweeps: Vec<_> = (0..2).map(|_| scope.spawn(|| sweep(&db, &["--redact"]))).collect();
            for done in sweeps {
                let (code, report, _) = done.join().unwrap();
                assert!(code == 6 || report["looked_at"] == 0, "{report}");
            }
        });
        let states = states(&store).await;
        assert!(states.iter().all(|s| matches!(s, (Sanitisation::Exposed, Verdict::Redacted { .. }))));
        let events = store.guard_events_page(0, 10_000).await.unwrap();
        assert_eq!(events.len(), 600, "one decision each");
    }

    async fn purged_texts_are_left_alone(db: TestDb) {
        let store = dirty(&db).await;
        store.purge_inputs(now().plus_micros(1)).await.unwrap();
        assert_eq!(sweep(&db, &["--redact"]).1["looked_at"], 0);
    }
}

/// A secret in a version that was pushed before there was a guard stays: it is reported, and cannot be redacted.
#[test]
fn a_secret_in_a_template_is_reported() {
    let db = TestDb::sqlite();
    block_on(async {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        push(&store, "greet", &format!("use {} for", github_token(9))).await;
        record(&store, 1, rendered("Ada")).await;
        assert_eq!(sweep(&db, &["--redact"]).1["exposed"], 1);
        assert_eq!(states(&store).await, [(Sanitisation::Exposed, Verdict::Verified)]);
        let events = store.guard_events_page(0, 10).await.unwrap();
        assert!(events[0].event.reason.contains("a version never changes"), "{events:?}");
    });
}

/// The door for pipelines in other languages: what comes in by it is counted as unscanned.
#[test]
fn sql_comes_in_unscanned() {
    let db = TestDb::postgres();
    block_on(async { open(&db).await.start_run(&start(1)).await }).unwrap();
    let call = json!([{"run_id": run_id(1), "call_id": call_id(1), "model": "gpt-4o", "called_at": now(),
                       "prompt": {"messages": [{"role": "user", "content": email(1)}]}}]);
    crate::support::psql(&format!("select record_calls('{call}')"), &db.schema).success();
    block_on(async {
        let window = asmm::domain::Window::last_days(3, now().plus_micros(1), chrono_tz::UTC).unwrap();
        let store = open(&db).await; // a connection lives no longer than the runtime that made it
        assert_eq!(store.guard_coverage(&window, None).await.unwrap()[0].unscanned, 1);
    });
    assert_eq!(sweep(&db, &["--redact"]).1["redacted"], 1);
    let dump = crate::support::psql("select body from prompt_text", &db.schema).success();
    assert_eq!(dump.trim(), r#"[{"content":"[EMAIL_1]","role":"user"}]"#);
}
