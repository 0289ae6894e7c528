use super::*;
use crate::domain::{Call, RunId, TokenUsage};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn import(folder: &Path, threads: usize) -> (Vec<Event>, RolloutSummary) {
    let mut events = Vec::new();
    let files = find(&[folder.to_owned()]).unwrap();
    let summary = read_with(&files, now(), threads, &|_| (), |event| {
        events.push(event);
        Ok(())
    });
    (events, summary.unwrap())
}

fn calls(events: &[Event]) -> Vec<&Call> {
    events.iter().filter_map(|e| if let Event::Call(call) = e { Some(call) } else { None }).collect()
}

fn line(at: &str, kind: &str, payload: &Value) -> String {
    json!({"timestamp": format!("2026-11-20T{at}Z"), "type": kind, "payload": payload}).to_string()
}

fn meta(at: &str, id: &str, more: &Value) -> String {
    let mut payload = json!({"id": id, "cwd": "/home/me/shop", "model_provider": "openai"});
    for (key, value) in more.as_object().unwrap() {
        payload[key] = value.clone();
    }
    line(at, "session_meta", &payload)
}

fn model(at: &str, name: &str) -> String {
    line(at, "turn_context", &json!({"model": name}))
}

/// A `token_count`: the total so far, and what the last response used.
fn count(at: &str, total: u64, last: Option<u64>) -> String {
    let usage = |tokens: u64| json!({"input_tokens": tokens, "cached_input_tokens": tokens / 2, "output_tokens": 10, "reasoning_output_tokens": 4});
    let info = json!({"total_token_usage": usage(total), "last_token_usage": last.map(usage)});
    line(at, "event_msg", &json!({"type": "token_count", "info": info}))
}

fn write(folder: &Path, name: &str, lines: &[String]) {
    let day = folder.join("sessions/2026/11/20");
    fs::create_dir_all(&day).unwrap();
    fs::write(day.join(format!("rollout-{name}.jsonl")), lines.join("\n")).unwrap();
}

#[test]
fn the_recorded_session_has_two_calls() {
    let dir = tempfile::tempdir().unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/imports/codex_rollout.jsonl");
    fs::copy(sample, dir.path().join("rollout-sample.jsonl")).unwrap();
    let (events, summary) = import(dir.path(), 1);
    let calls = calls(&events);
    let usage =
        TokenUsage { input: 176, cache_read: 1024, output: 64, reasoning: 16, ..TokenUsage::default() };
    assert_eq!(calls.iter().map(|call| call.usage.unwrap()).collect::<Vec<_>>(), [usage, usage]);
    assert!(
        calls
            .iter()
            .all(|call| call.model == "gpt-5.2-codex" && call.provider == "fake" && call.agent == "main")
    );
    assert_eq!(calls[0].response_id.as_deref(), Some("resp_FAKE000002"));
    let run = events.iter().find_map(Event::as_run).unwrap();
    assert_eq!(run.pipeline, "repo");
    // The totals after the records tell of the same responses.
    assert_eq!(
        (summary.calls, summary.duplicates, summary.sessions, summary.complaints.total()),
        (2, 2, 1, 0)
    );
    assert!(events.iter().any(|event| matches!(event, Event::Finish(_))));
}

#[test]
fn older_sessions_are_told_by_totals() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a", &[
        meta("10:00:00", "a", &json!({})),
        model("10:00:01", "gpt-5"),
        count("10:00:02", 100, Some(100)),
        // The total has not moved: the same response again.
        count("10:00:03", 100, Some(100)),
        model("10:00:04", "gpt-5-mini"),
        count("10:00:05", 150, Some(50)),
        // Without what the last one used it is what was added.
        line("10:00:06", "event_msg", &json!({"type": "token_count", "info": {"total_token_usage":
            {"input_tokens": 170, "cached_input_tokens": 75, "output_tokens": 20, "reasoning_output_tokens": 4}}})),
        "{\"timestamp\":\"2026-11-20T10:00:07Z\",\"type\":\"event_msg\",\"payload\":{\"type\":\"token_count\",\"in".to_owned(),
    ]);
    let (events, summary) = import(dir.path(), 2);
    let told: Vec<_> =
        calls(&events).into_iter().map(|call| (call.model.clone(), call.usage.unwrap())).collect();
    let usage = |input, cache_read, output, reasoning| TokenUsage {
        input,
        cache_read,
        output,
        reasoning,
        ..TokenUsage::default()
    };
    assert_eq!(
        told,
        [
            ("gpt-5".to_owned(), usage(50, 50, 6, 4)),
            ("gpt-5-mini".to_owned(), usage(25, 25, 6, 4)),
            ("gpt-5-mini".to_owned(), usage(20, 0, 10, 0)),
        ]
    );
    assert_eq!((summary.duplicates, summary.complaints.total()), (1, 1));
    // Read again, it is the same.
    assert_eq!(import(dir.path(), 1).0, events);
}

#[test]
fn a_fork_does_not_count_its_parent_s_history_again() {
    let dir = tempfile::tempdir().unwrap();
    let parent = [
        meta("10:00:00", "a", &json!({})),
        model("10:00:01", "gpt-5"),
        count("10:00:02", 100, Some(100)),
        count("10:00:05", 150, Some(50)),
    ];
    let fork = [
        meta("11:00:00", "b", &json!({"forked_from_id": "a"})),
        meta("11:00:00", "a", &json!({})),
        model("11:00:00", "gpt-5"),
        count("11:00:00", 100, Some(100)),
        count("11:00:00", 150, Some(50)),
        count("11:02:00", 180, Some(30)),
    ];
    write(dir.path(), "a", &parent);
    write(dir.path(), "b", &fork);
    let (events, summary) = import(dir.path(), 2);
    assert_eq!((calls(&events).len(), summary.inherited), (3, 2));
    // Without the parent's file what is as old as the fork is its history.
    let alone = tempfile::tempdir().unwrap();
    write(alone.path(), "b", &fork);
    let (events, summary) = import(alone.path(), 1);
    assert_eq!((calls(&events).len(), summary.inherited), (1, 2));
}

#[test]
fn a_subagent_is_a_run_of_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let sub = json!({"parent_thread_id": "a", "thread_source": "subagent", "agent_role": "reviewer"});
    write(
        dir.path(),
        "b",
        &[meta("10:00:00", "b", &sub), model("10:00:01", "gpt-5"), count("10:00:02", 100, Some(100))],
    );
    let (events, _) = import(dir.path(), 1);
    let run = events.iter().find_map(Event::as_run).unwrap();
    assert_eq!(run.parent_run_id, Some(RunId::derived(&[FORMAT, "a"])));
    assert_eq!(calls(&events)[0].agent, "reviewer");
}
