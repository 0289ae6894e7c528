use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn options(start: Option<&str>) -> TraceOptions {
    TraceOptions {
        pipeline: "trace".to_owned(),
        provider: "azure".to_owned(),
        model: "gpt-4".to_owned(),
        agent: "chat".to_owned(),
        start: start.map(time),
        run_every: TraceOptions::RUN_EVERY,
    }
}

fn events(bytes: &[u8], options: &TraceOptions) -> Result<(Vec<Event>, TraceSummary)> {
    let mut events = Vec::new();
    let mut lines = Lines::new(bytes).unwrap();
    let summary = read("t.csv", &mut lines, options, time("2026-11-20T12:00:00Z"), |event| {
        events.push(event);
        Ok(())
    })?;
    Ok((events, summary))
}

fn calls(events: &[Event]) -> Vec<&Call> {
    events.iter().filter_map(|e| if let Event::Call(call) = e { Some(call) } else { None }).collect()
}

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
    2023-11-16 18:17:03.9799609,4808,10\r\n\
    2023-11-16 18:23:00.0000000,7,1\r\n\
    2023-11-16 18:17:03.0000000,5,2\r\n\
    2023-11-16,5,2\r\n\
    2023-11-16 18:17:04.0000000,five,2\r\n\
    2023-11-16 18:17:04.0000000,5,2,\r\n\
    2023-11-16 18:20:00.0000000,5,2";

#[test]
fn azure_rows_become_runs_of_five_minutes() {
    let (events, summary) = events(AZURE.as_bytes(), &options(None)).unwrap();
    assert_eq!((summary.lines, summary.calls, summary.runs), (8, 4, 3));
    assert_eq!(
        summary.complaints.first(),
        [
            "t.csv:5: `TIMESTAMP` is `2023-11-16`, not a time like `2023-11-16 18:17:03.9799600`",
            "t.csv:6: `ContextTokens` is `five`, not a count",
            "t.csv:7: the row has 4 columns instead of 3",
        ]
    );
    let Event::Run(run) = &events[0] else { panic!() };
    assert_eq!(run.started_at.to_string(), "2023-11-16T18:17:03.979960Z");
    let calls = calls(&events);
    assert_eq!(calls[0].called_at, run.started_at);
    assert_eq!(calls[0].usage.unwrap().input, 4808);
    assert_eq!(calls[3].run_id, run.run_id);
    assert_ne!(calls[2].run_id, run.run_id);
    let last = events.iter().find_map(|e| match e {
        Event::Finish(finish) if finish.run_id == run.run_id => finish.completed_at,
        _ => None,
    });
    assert_eq!(last, Some(time("2023-11-16T18:20:00Z")));
}

#[test]
fn the_same_rows_give_the_same_events_and_moved_rows_others() {
    let once = events(AZURE.as_bytes(), &options(None)).unwrap();
    assert_eq!(once, events(AZURE.as_bytes(), &options(None)).unwrap());
    let (moved, _) = events(AZURE.as_bytes(), &options(Some("2026-11-01T00:00:00Z"))).unwrap();
    assert_eq!(calls(&moved)[0].called_at, time("2026-11-01T00:00:00Z"));
    assert_eq!(calls(&moved)[2].called_at, time("2026-10-31T23:59:59.020040Z"));
    assert_ne!(calls(&moved)[0].run_id, calls(&once.0)[0].run_id);
}

#[test]
fn a_mooncake_block_seen_before_is_a_cache_read() {
    let text = r#"{"timestamp": 0, "input_length": 1500, "output_length": 5, "hash_ids": [0, 1, 2]}
{"timestamp": 7, "input_length": 2000, "output_length": 6, "hash_ids": [0, 1, 3, 2]}
{"timestamp": 8, "input_length": "x", "output_length": 6, "hash_ids": [0]}
{"timestamp": 9, "input_length": 1030, "output_length": 6, "hash_ids": [0, 1, 3]}"#;
    let (events, summary) = events(text.as_bytes(), &options(Some("2026-11-01T00:00:00Z"))).unwrap();
    let used: Vec<_> =
        calls(&events).iter().map(|c| c.usage.unwrap()).map(|u| (u.input, u.cache_read)).collect();
    assert_eq!(used, [(1500, 0), (976, 1024), (0, 1030)]);
    assert_eq!(calls(&events)[1].called_at, time("2026-11-01T00:00:00.007Z"));
    assert!(summary.complaints.first()[0].starts_with("t.csv:3: column "));
}

#[test]
fn what_cannot_be_read_at_all_is_an_error() {
    let mooncake = br#"{"timestamp":0,"input_length":1,"output_length":5,"hash_ids":[]}"#;
    assert!(events(mooncake, &options(None)).unwrap_err().to_string().contains("since its beginning"));
    assert!(
        events(b"a,b\n", &options(None)).unwrap_err().to_string().starts_with("t.csv:1: this is neither")
    );
    assert!(events(b"", &options(None)).is_err());
}

#[test]
fn the_shipped_slices_are_clean() {
    let start = Some("2026-11-01T00:00:00Z");
    for (bytes, rows, input, cached) in [
        (&include_bytes!("../../../examples/traces/azure-code/trace.csv.gz")[..], 1500, 3_113_432, 0),
        (include_bytes!("../../../examples/traces/azure-conversation/trace.csv.gz"), 3000, 3_450_308, 0),
        (include_bytes!("../../../examples/traces/mooncake/trace.jsonl.gz"), 1000, 13_732_944, 2_962_776),
    ] {
        let (events, summary) = events(bytes, &options(start)).unwrap();
        assert!(summary.complaints.is_empty());
        assert_eq!(summary.calls, rows);
        let calls = calls(&events);
        assert_eq!(calls.iter().map(|c| c.usage.unwrap().whole_input()).sum::<u64>(), input);
        assert_eq!(calls.iter().map(|c| c.usage.unwrap().cache_read).sum::<u64>(), cached);
    }
}
