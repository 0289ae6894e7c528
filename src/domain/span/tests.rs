use super::*;

fn span(id: u64, parent: Option<u64>, start: i64, report: Report) -> Span {
    let at = |seconds: i64| Timestamp::from_micros(1_795_370_000_000_000 + seconds * 1_000_000);
    Span {
        trace_id: Uuid::from_u128(1),
        span_id: SpanId(id.to_be_bytes()),
        parent_id: parent.map(|id| SpanId(id.to_be_bytes())),
        started_at: at(start),
        ended_at: at(start + 1),
        name: String::new(),
        scope: "s".to_owned(),
        is_error: false,
        pipeline: None,
        agent: None,
        conversation: None,
        run_id: None,
        step_id: None,
        prompt_version: None,
        report: Some(report),
    }
}

fn report(response_id: Option<&str>) -> Report {
    let usage = TokenUsage { input: 10, output: 1, ..TokenUsage::default() };
    Report {
        model: "m".to_owned(),
        response_id: response_id.map(str::to_owned),
        usage: Some(usage),
        ..Report::default()
    }
}

/// No exporter sends these, and whoever does must not stop the receiver.
#[test]
fn spans_that_are_inside_of_each_other_come_to_an_end() {
    let ring = |count: u64, response_id: Option<&str>| -> Vec<Span> {
        (0..count).map(|id| span(id + 1, Some((id + 1) % count + 1), 0, report(response_id))).collect()
    };
    for count in [1, 2, 3, 300] {
        for response_id in [None, Some("r")] {
            assert!(!resolve(&ring(count, response_id)).calls.is_empty(), "{count} {response_id:?}");
        }
    }
    // And a chain that is deeper than anybody looks.
    let chain: Vec<Span> = (1..5000).map(|id| span(id, Some(id + 1), 0, report(None))).collect();
    assert!(!resolve(&chain).calls.is_empty());
}

/// A stub that answers with one id for all.
#[test]
fn one_response_id_for_all_is_a_call_each() {
    let spans: Vec<Span> =
        (0..20_000).map(|n| span(n + 1, None, i64::try_from(n).unwrap() * 2, report(Some("r")))).collect();
    let resolved = resolve(&spans);
    assert_eq!(resolved.calls.len(), 20_000);
}
