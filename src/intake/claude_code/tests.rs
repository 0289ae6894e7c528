use super::*;
use crate::domain::{Call, RunId};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn import(paths: &[PathBuf], threads: usize) -> (Vec<Event>, LogSummary) {
    let mut events = Vec::new();
    let files = files::find(paths).unwrap();
    let summary = read_with(&files, now(), threads, &|_| (), |event| {
        events.push(event);
        Ok(())
    });
    (events, summary.unwrap())
}

fn calls(events: &[Event]) -> Vec<&Call> {
    events.iter().filter_map(|e| if let Event::Call(call) = e { Some(call) } else { None }).collect()
}

/// An assistant's line; `set` changes keys of the line, of its message or of its usage.
fn line(message: &str, request: &str, output: u64, set: &Value) -> String {
    let mut line = json!({
        "type": "assistant", "timestamp": "2026-11-01T10:00:00.000Z", "sessionId": "s1",
        "isSidechain": false, "requestId": request,
        "message": {"id": message, "model": "claude-x", "content": [{"text": "\"usage\""}], "usage": {
            "input_tokens": 3, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 11,
            "output_tokens": output, "service_tier": null
        }}
    });
    for (key, value) in set.as_object().into_iter().flatten() {
        let known = |map: &Value| map.get(key).is_some();
        if known(&line["message"]["usage"]) || key.contains("_t") || key == "cache_creation" {
            line["message"]["usage"][key] = value.clone();
        } else if known(&line["message"]) {
            line["message"][key] = value.clone();
        } else {
            line[key] = value.clone();
        }
    }
    line.to_string()
}

/// A `projects` folder with the project `p` and these files in it.
fn tree(files: &[(&str, &[String])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, lines) in files {
        let path = folder.path().join("projects/p").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines.join("\n")).unwrap();
    }
    folder
}

fn import_tree(files: &[(&str, &[String])]) -> (Vec<Event>, LogSummary) {
    let folder = tree(files);
    import(&[folder.path().to_owned()], 2)
}

#[test]
fn the_last_of_a_responses_lines_counts_and_the_first_time() {
    let early = json!({"timestamp": "2026-11-01T23:59:59Z"});
    let late = json!({"timestamp": "2026-11-02T00:00:01Z"});
    let (events, summary) = import_tree(&[
        ("a.jsonl", &[line("m", "r", 1, &early), line("m", "r", 90, &late)]),
        ("b.jsonl", &[line("m", "r", 1, &early)]),
    ]);
    let Event::Run(run) = &events[0] else { panic!() };
    assert_eq!((run.pipeline.as_str(), run.run_id), ("p", RunId::derived(&["claude-code", "s1"])));
    let call = calls(&events)[0];
    assert_eq!(call.called_at.to_string(), "2026-11-01T23:59:59Z");
    assert_eq!(call.usage.unwrap().output, 90);
    assert_eq!((call.agent.as_str(), call.service_tier.as_str()), ("main", "standard"));
    assert_eq!((summary.calls, summary.duplicates, summary.sessions, summary.files), (1, 2, 1, 2));
    assert!(matches!(events.last(), Some(Event::Finish(_))));
}

#[test]
fn the_main_conversation_beats_a_sidechain_with_more_tokens() {
    let side = json!({"isSidechain": true, "agentId": "x"});
    let (events, summary) =
        import_tree(&[("a.jsonl", &[line("m", "r", 500, &side), line("m", "r", 5, &json!({}))])]);
    assert_eq!(calls(&events)[0].usage.unwrap().output, 5);
    assert_eq!((summary.calls, summary.duplicates, summary.replays), (1, 1, 0));
}

#[test]
fn a_replay_is_not_counted_even_if_read_first_and_a_subagent_is() {
    let side = json!({"isSidechain": true});
    let (events, summary) = import_tree(&[
        ("a/subagents/agent-q7.jsonl", &[line("m", "r9", 900, &side), line("own", "r2", 8, &side)]),
        ("z.jsonl", &[line("m", "r", 5, &json!({}))]),
    ]);
    let mut agents: Vec<_> =
        calls(&events).iter().map(|c| (c.agent.clone(), c.usage.unwrap().output)).collect();
    agents.sort();
    assert_eq!(agents, [("main".to_owned(), 5), ("q7".to_owned(), 8)]);
    assert_eq!((summary.calls, summary.replays), (2, 1));
    assert!(events.iter().all(|e| !matches!(e, Event::Run(run) if run.pipeline != "p")));
}

#[test]
fn a_line_without_request_id_is_known_by_its_message() {
    let none = json!({"requestId": null});
    let (events, summary) = import_tree(&[(
        "a.jsonl",
        &[
            line("m", "", 2, &none),
            line("m", "r", 5, &json!({})),
            line("n", "", 3, &none),
            line("n", "", 4, &none),
        ],
    )]);
    assert_eq!(calls(&events).iter().map(|c| c.usage.unwrap().output).sum::<u64>(), 9);
    assert_eq!((summary.calls, summary.duplicates), (2, 2));
}

#[test]
fn cache_writes_are_split_and_searches_counted() {
    let split = json!({"cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 7},
        "server_tool_use": {"web_search_requests": 2}, "service_tier": "priority"});
    let (events, _) =
        import_tree(&[("a.jsonl", &[line("m", "r", 1, &split), line("n", "r", 1, &json!({}))])]);
    let mut written: Vec<_> = calls(&events)
        .iter()
        .map(|c| (c.usage.unwrap(), c.service_tier.clone()))
        .map(|(u, tier)| (u.cache_write, u.cache_write_long, u.web_searches, tier))
        .collect();
    written.sort();
    assert_eq!(written, [(4, 7, 2, "priority".to_owned()), (11, 0, 0, "standard".to_owned())]);
}

#[test]
fn bad_lines_are_named_and_others_do_not_matter() {
    let whole = line("m", "r", 1, &json!({}));
    let (_, summary) = import_tree(&[(
        "a.jsonl",
        &[
            whole[..60].to_owned(),
            r#"{"type":"user","message":"assistant","x":{"usage":"assistant"}}"#.to_owned(),
            line("m", "r", 1, &json!({"output_tokens": -4})),
            line("m", "r", 1, &json!({"output_tokens": 5_000_000_000_u64})),
            line("m", "r", 1, &json!({"timestamp": "yesterday"})),
            line("m", "r", 1, &json!({"model": "<synthetic>"})),
            String::new(),
            whole,
        ],
    )]);
    assert_eq!((summary.lines, summary.calls, summary.synthetic), (8, 1, 1));
    assert_eq!(summary.complaints.total(), 4);
    let said = summary.complaints.first();
    assert!(said[0].contains("projects/p/a.jsonl:1: the line is cut off"), "{said:?}");
    assert!(said[1].contains("a.jsonl:3: column"), "{said:?}");
    assert!(said[3].contains("`yesterday` is not a time"), "{said:?}");
}

#[test]
fn what_is_still_being_written_waits() {
    let recent = json!({"timestamp": "2026-11-20T11:57:00Z"});
    let today = json!({"timestamp": "2026-11-20T03:00:00Z"});
    let (events, summary) =
        import_tree(&[("a.jsonl", &[line("m", "r", 1, &recent), line("n", "r", 1, &today)])]);
    assert_eq!((summary.calls, summary.held_back), (1, 1));
    assert!(!events.iter().any(|e| matches!(e, Event::Finish(_))));
}

#[test]
fn a_packed_file_and_one_given_twice_and_one_that_is_missing() {
    let folder = tree(&[]);
    let path = folder.path().join("s1.jsonl.gz");
    let mut packed =
        flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), flate2::Compression::fast());
    packed.write_all(line("m", "r", 1, &json!({})).as_bytes()).unwrap();
    packed.finish().unwrap();
    let (_, summary) = import(&[path.clone(), path.clone(), folder.path().to_owned()], 1);
    assert_eq!((summary.files, summary.calls, summary.duplicates), (1, 1, 0));
    assert!(files::find(&[folder.path().join("none")]).is_err());
}

proptest! {
    /// The events do not depend on which file holds what, nor on the number of threads.
    #[test]
    fn the_order_of_files_does_not_matter(
        picks in prop::collection::vec((0..3_u8, 0..3_u8, 1..4_u64, any::<bool>(), 0..4_usize), 1..24),
        shift in 1..4_usize, threads in 1..4_usize,
    ) {
        let spread = |shift: usize| {
            let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (message, request, output, side, file) in &picks {
                let request = ["", "r1", "r2"][usize::from(*request)];
                let text = line(&format!("m{message}"), request, *output,
                    &json!({"isSidechain": side, "agentId": format!("a{output}")}));
                files.entry(format!("{}.jsonl", (file + shift) % 4)).or_default().push(text);
            }
            files
        };
        let run = |files: BTreeMap<String, Vec<String>>, threads| {
            let list: Vec<_> = files.iter().map(|(name, lines)| (name.as_str(), lines.as_slice())).collect();
            let folder = tree(&list);
            let (events, summary) = import(&[folder.path().to_owned()], threads);
            (events, LogSummary { files: 0, bytes: 0, ..summary })
        };
        prop_assert_eq!(run(spread(0), 1), run(spread(shift), threads));
    }
}

/// Compares an import of `folder` with the truth beside it.
fn check_truth(folder: &Path) {
    let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let (events, summary) = import(&[folder.to_owned()], 2);
    let mut found: BTreeMap<String, BTreeMap<&str, u64>> = BTreeMap::new();
    for call in calls(&events) {
        let usage = call.usage.unwrap();
        let key = format!("{}|{}", &call.called_at.to_string()[..10], call.model);
        for (name, count) in [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cw5", usage.cache_write),
            ("cw1", usage.cache_write_long),
            ("searches", usage.web_searches),
            ("responses", 1),
        ] {
            *found.entry(key.clone()).or_default().entry(name).or_default() += count;
        }
    }
    let expected = truth["by_day_model"].as_object().unwrap();
    assert_eq!(found.len(), expected.len());
    for (key, counts) in &found {
        for (name, count) in counts {
            assert_eq!(expected[key].get(name).and_then(Value::as_u64).unwrap_or(0), *count, "{key} {name}");
        }
    }
    let stat = |name: &str| truth["stats"].get(name).and_then(Value::as_u64).unwrap_or(0);
    assert_eq!(summary.calls, truth["unique_responses"].as_u64().unwrap());
    assert_eq!((summary.files, summary.lines), (stat("files"), stat("lines")));
    assert_eq!(summary.replays, stat("sidechain_replays"));
    assert!(summary.complaints.total() >= stat("malformed"));
}

#[test]
fn the_vendored_tree_adds_up_to_its_truth() {
    check_truth(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/imports/claude-code"));
}
