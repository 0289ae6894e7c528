//! Prompts and answers in spans: dropped, unless they are to be kept, and then guarded before they are stored anywhere.

use super::orders::{as_case, orders, splits};
use super::receiver::{JSON, Receiver};
use super::serve::sandboxes;
use super::{bodies, now, open};
use crate::guard::planted::{email, github_token};
use crate::support::{Sandbox, on_both_databases, psql};
use asmm::domain::{CallId, CallPrompt, Digest, RunId, Sanitisation, Span, SpanId, Timestamp, resolve};
use asmm::intake::otlp::{self, Encoding, Signal, Texts};
use asmm::store::{Purged, Store};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::Path;

/// What is recorded of what was sent and answered.
async fn recorded(store: &Store) -> BTreeMap<(RunId, CallId), CallPrompt> {
    let mut all = BTreeMap::new();
    for run in store.runs_page(None, 10_000).await.unwrap() {
        let sent = store.sent_prompts(run.run_id, None, 10_000).await.unwrap();
        all.extend(sent.into_iter().map(|sent| ((sent.run_id, sent.call_id), sent.prompt)));
    }
    all
}

on_both_databases! {
    /// Whatever the order in which spans come, the texts are those of the calls in the end.
    async fn texts_follow_their_calls(db: TestDb) {
        let store = open(&db).await;
        let (mut all, mut case, mut withdrawn) = (Vec::new(), 0, 0);
        for name in ["vercel6__tools", "vercel5__anthropic_stream", "traceloop-beside__responses", "openinference-both__responses"] {
            let body = &bodies()[&format!("{name}.traces.1")];
            let spans = otlp::read(body, (Signal::Traces, Encoding::Protobuf), Texts::Keep, now()).unwrap().spans;
            for order in orders(spans.len()) {
                for sizes in splits(spans.len()) {
                    case += 1;
                    let spans = as_case(&spans, case);
                    let sent: Vec<Span> = order.iter().map(|place| spans[*place].clone()).collect();
                    let mut rest = &sent[..];
                    for size in sizes {
                        let (part, after) = rest.split_at(size);
                        withdrawn += store.take_spans(part).await.unwrap().withdrawn;
                        rest = after;
                    }
                    all.extend(spans);
                }
            }
        }
        assert!(withdrawn > 50, "{withdrawn}");
        let expected: BTreeMap<_, _> = resolve(&all)
            .calls
            .into_iter()
            .filter_map(|(key, call)| Some((key, *call.prompt?)))
            .collect();
        assert!(expected.len() > 50);
        assert_eq!(recorded(&store).await, expected);
        assert_eq!(store.broken_laws().await.unwrap(), []);
        // Those of withdrawn calls are no longer needed by any, and go as well.
        store.purge_inputs(Timestamp::FAR).await.unwrap();
        for prompt in recorded(&store).await.values() {
            assert!(!prompt.has_texts() && prompt.purged_at.is_some(), "{prompt:?}");
        }
        let left = "select count(*) from prompt_text";
        let left: i64 = if db.url.starts_with("postgres") {
            psql(left, &db.schema).success().trim().parse().unwrap()
        } else {
            let mut connection = SqliteConnection::connect(&db.url).await.unwrap();
            sqlx::query_scalar(left).fetch_one(&mut connection).await.unwrap()
        };
        assert_eq!(left, 0);
        assert_eq!(store.purge_inputs(Timestamp::FAR).await.unwrap(), Purged::default());
    }

    /// A report whose text did not count may make it count later: the nearest to the provider is not known before its parents are.
    async fn a_text_that_lost_may_win_later(db: TestDb) {
        let store = open(&db).await;
        let (other, sibling) = (reporting(3, None, "a"), reporting(2, Some(9), "b"));
        let parents = [reporting(9, Some(8), ""), reporting(8, None, "")];
        store.take_spans(&[other.clone(), sibling.clone()]).await.unwrap();
        let first = only(&recorded(&store).await);
        store.take_spans(&parents).await.unwrap();
        let all = [vec![other, sibling], parents.to_vec()].concat();
        let expected = resolve(&all).calls.into_values().next().unwrap().prompt.unwrap();
        let found = only(&recorded(&store).await);
        assert_ne!(first.messages, found.messages);
        assert_eq!(found, *expected);
    }

    /// What retention dropped stays dropped, and says when, also when its call is recorded anew.
    async fn what_was_purged_stays_purged(db: TestDb) {
        let store = open(&db).await;
        let child = reporting(2, Some(1), "a");
        store.take_spans(std::slice::from_ref(&child)).await.unwrap();
        store.purge_inputs(Timestamp::FAR).await.unwrap();
        let purged = only(&recorded(&store).await);
        assert!(purged.purged_at.is_some());
        let parent = Span { agent: Some("late".to_owned()), ..reporting(1, None, "") };
        assert_eq!(store.take_spans(&[parent]).await.unwrap().withdrawn, 1);
        assert_eq!(only(&recorded(&store).await), purged);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}

/// A span of one trace and one response that tells a text; or, without one, a span around it.
fn reporting(id: u8, parent: Option<u8>, text: &str) -> Span {
    let body = bodies()["genai__chat.traces.1"].clone();
    let mut span =
        otlp::read(&body, (Signal::Traces, Encoding::Protobuf), Texts::Drop, now()).unwrap().spans.remove(0);
    let id_of = |id: u8| SpanId([0, 0, 0, 0, 0, 0, 0, id]);
    (span.span_id, span.parent_id, span.scope) = (id_of(id), parent.map(id_of), format!("scope {id}"));
    let Some(report) = &mut span.report else { panic!("{span:?}") };
    let messages = vec![json!({"role": "user", "content": text})];
    let prompt = CallPrompt {
        text_sha256: Some(Digest::of(json!(messages).to_string())),
        messages: Some(messages),
        sanitisation: Sanitisation::Clean,
        ..CallPrompt::default()
    };
    report.prompt = Some(Box::new(prompt));
    if text.is_empty() {
        span.report = None;
    }
    span
}

fn only(prompts: &BTreeMap<(RunId, CallId), CallPrompt>) -> CallPrompt {
    assert_eq!(prompts.len(), 1, "{prompts:?}");
    prompts.values().next().unwrap().clone()
}

/// A body with one call, in which a token, an address and a name are said.
fn body(texts: &[String], answer: &str) -> Vec<u8> {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let messages: Vec<Value> = texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
    let span = json!({
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "name": "chat gpt-4o",
        "startTimeUnixNano": "1795370000000000000", "endTimeUnixNano": "1795370001000000000",
        "attributes": [
            text("gen_ai.operation.name", "chat"), text("gen_ai.provider.name", "openai"),
            text("gen_ai.response.model", "gpt-4o"), text("gen_ai.response.id", "r1"),
            text("gen_ai.usage.input_tokens", "12"), text("gen_ai.usage.output_tokens", "3"),
            text("gen_ai.input.messages", &json!(messages).to_string()),
            text("gen_ai.output.messages", &json!([{"role": "assistant", "content": answer}]).to_string()),
        ],
    });
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string().into_bytes()
}

const RUN: &str = "0af76519-16cd-43dd-8448-eb211c80319c";

fn replayed(sandbox: &Sandbox) -> Value {
    let shown = sandbox.run(&["replay", RUN, "--format", "json"]);
    serde_json::from_str::<Value>(&shown.stdout).unwrap()["calls"][0].clone()
}

/// Every file under a folder that holds one of these texts.
fn holding(folder: &Path, texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, texts));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let holds = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if texts.iter().any(holds) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn texts_are_dropped_unless_they_are_to_be_kept() {
    let plain = body(&["What is a kestrel?".to_owned()], "A small falcon.");
    for sandbox in sandboxes() {
        let receiver = Receiver::start(&sandbox, &[]);
        assert_eq!(receiver.post("/v1/traces", &[JSON], &plain).0, 200);
        let call = replayed(&sandbox);
        assert_eq!((call["verdict"].as_str(), &call["output"]), (Some("not_recorded"), &Value::Null));
        assert_eq!(receiver.end().1, Some(0));
    }
    for sandbox in sandboxes() {
        let sandbox = sandbox.with_env("ASMM_KEEP_TEXTS", "1");
        let receiver = Receiver::start(&sandbox, &[]);
        assert_eq!(receiver.post("/v1/traces", &[JSON], &plain).0, 200);
        assert_eq!(receiver.end().1, Some(0));
        let file = sandbox.file("spans.jsonl", std::str::from_utf8(&plain).unwrap());
        // The same spans once more change nothing.
        let said = sandbox.run(&["import", "otlp", file.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let call = replayed(&sandbox);
        assert_eq!(call["verdict"], "verified");
        assert_eq!(call["sanitisation"], "clean");
        assert_eq!(call["messages"], json!([{"role": "user", "content": "What is a kestrel?"}]));
        assert_eq!(call["output"], json!([{"role": "assistant", "content": "A small falcon."}]));
        // A copy of the ledger has them as well.
        let copy = Sandbox::new().with_now("2026-11-30T12:00:00Z");
        let export = sandbox.run(&["export", "jsonl"]);
        assert_eq!(export.code, 0, "{}", export.stderr);
        let said = copy.run_with_input(&["import", "jsonl", "-"], &export.stdout);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert_eq!(replayed(&copy), call);
        assert_eq!(copy.run(&["export", "jsonl"]).stdout, export.stdout);
    }
}

#[test]
fn what_is_kept_has_passed_the_guard() {
    let secrets = [github_token(1), email(2), github_token(3)];
    let said = [format!("My token is {}, write to {}", secrets[0], secrets[1])];
    let body = body(&said, &format!("I will use {}", secrets[2]));
    for sandbox in sandboxes() {
        // First on disk, as the ledger is away; then in the ledger.
        let away = Receiver::start(&sandbox, &["--keep-texts", "--database", "postgres://127.0.0.1:9/away"]);
        assert_eq!(away.post("/v1/traces", &[JSON], &body).0, 200);
        assert_eq!(away.end().1, Some(0));
        assert_eq!(holding(sandbox.path(), &secrets), [""; 0]);
        let receiver = Receiver::start(&sandbox, &["--keep-texts"]);
        assert_eq!(receiver.post("/v1/traces", &[JSON], &body).0, 200);
        let (told, code) = receiver.end();
        assert_eq!(code, Some(0));
        let call = replayed(&sandbox);
        assert_eq!(
            (call["verdict"].as_str(), call["sanitisation"].as_str()),
            (Some("redacted"), Some("exposed"))
        );
        assert_eq!(call["messages"][0]["content"], "My token is [SECRET_1], write to [EMAIL_1]");
        assert_eq!(call["output"][0]["content"], "I will use [SECRET_2]");
        // Each decision is there, with its run and call.
        let events = sandbox.run(&["guard", "events", "--run", RUN, "--days", "30", "--format", "json"]);
        let events: Value = serde_json::from_str(&events.stdout).unwrap();
        let events = events["rows"].as_array().unwrap();
        let of_call: Vec<_> = events.iter().filter(|event| event["call_id"] == call["call_id"]).collect();
        let detectors: Vec<_> = of_call.iter().filter_map(|event| event["detector"].as_str()).collect();
        assert_eq!((events.len(), detectors.len()), (3, 3), "{events:#?}");
        let coverage = sandbox.run(&["guard", "coverage", "--days", "30", "--format", "csv"]);
        let all = [events_text(&sandbox), told, coverage.stdout].concat();
        assert!(secrets.iter().all(|secret| !all.contains(secret)), "{all}");
        // And in no file: ledger, write-ahead log, spool.
        assert_eq!(holding(sandbox.path(), &secrets), [""; 0]);
    }
}

fn events_text(sandbox: &Sandbox) -> String {
    let export = sandbox.run(&["export", "jsonl"]);
    assert_eq!(export.code, 0, "{}", export.stderr);
    export.stdout
}

/// A span that says that somebody looked at it is looked at all the same; and of a call either text may be redacted alone.
#[test]
fn nobody_elses_word_is_taken_for_the_guard() {
    let token = github_token(5);
    for sandbox in sandboxes() {
        let span = json!({
            "type": "span", "trace_id": RUN, "span_id": "00f067aa0ba902b7",
            "started_at": "2026-11-20T10:00:00Z", "ended_at": "2026-11-20T10:00:01Z", "name": "chat",
            "report": {
                "provider": "openai", "model": "gpt-4o", "operation": "chat",
                "prompt": {
                    "messages": [{"role": "user", "content": "hello"}],
                    "output": [{"role": "assistant", "content": format!("It is {token}")}],
                    "sanitisation": "clean",
                },
            },
        });
        let file = sandbox.file("spans.jsonl", &span.to_string());
        let said = sandbox.run(&["import", "jsonl", file.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        std::fs::remove_file(file).unwrap();
        let call = replayed(&sandbox);
        assert_eq!(
            (&call["verdict"], &call["output_verdict"]),
            (&json!("verified"), &json!("redacted")),
            "{call}"
        );
        assert_eq!(call["messages"][0]["content"], "hello");
        assert_eq!(call["output"][0]["content"], "It is [SECRET_1]");
        assert_eq!(holding(sandbox.path(), std::slice::from_ref(&token)), [""; 0]);
    }
}

/// Texts that come without their digests are as good as others.
#[test]
fn a_native_span_needs_no_digests() {
    for sandbox in sandboxes() {
        let span = json!({
            "type": "span", "trace_id": RUN, "span_id": "00f067aa0ba902b7",
            "started_at": "2026-11-20T10:00:00Z", "ended_at": "2026-11-20T10:00:01Z",
            "report": {"model": "gpt-4o", "prompt": {
                "messages": [{"role": "user", "content": "hello"}], "output": [{"role": "assistant", "content": "hi"}]}},
        });
        let said = sandbox.run_with_input(&["import", "jsonl", "-"], &span.to_string());
        assert_eq!(said.code, 0, "{}", said.stderr);
        let call = replayed(&sandbox);
        assert_eq!(
            (&call["verdict"], &call["output_verdict"]),
            (&json!("verified"), &json!("verified")),
            "{call}"
        );
        assert_eq!(call["sanitisation"], "clean");
    }
}
