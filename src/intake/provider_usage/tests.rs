use super::*;
use std::fmt::Write as _;

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn buckets(export: ExportOf, text: &str) -> (Vec<ProviderBucket>, ExportSummary) {
    let mut found = Vec::new();
    let mut lines = Lines::new(text.as_bytes()).unwrap();
    let summary = read(export, "f", &mut lines, now(), |_, bucket| {
        found.push(bucket);
        Ok(())
    });
    (found, summary.unwrap())
}

/// What is said of a page of `OpenAI` with these results in one bucket of the day.
fn said(results: &str) -> Vec<String> {
    let text = format!(
        r#"{{"object":"page","data":[{{"object":"bucket","start_time":1763596800,"end_time":1763683200,"results":[{results}]}}],"has_more":false}}"#
    );
    let (found, summary) = buckets(ExportOf::OpenAi, &text);
    assert_eq!(found.len() + summary.complaints.first().len(), 1);
    summary.complaints.first().to_vec()
}

#[test]
fn what_openai_counts_inside_is_taken_apart() {
    let result = r#"{"object":"organization.usage.completions.result","input_tokens":1000,"input_cached_tokens":800,"input_cache_write_tokens":50,
        "output_tokens":500,"num_model_requests":5,"project_id":"proj_1","model":"gpt-4o-2024-08-06","batch":true}"#;
    let text = format!(
        r#"{{"object":"bucket","start_time":1763596800,"end_time":1763683200,"results":[{result}]}}"#
    );
    let (found, _) = buckets(ExportOf::OpenAi, &text);
    assert_eq!(
        found[0].lines[0],
        ProviderLine {
            model: Some("gpt-4o-2024-08-06".to_owned()),
            service_tier: Some("batch".to_owned()),
            project: Some("proj_1".to_owned()),
            requests: Some(5),
            input_tokens: Some(150),
            cache_read_tokens: Some(800),
            cache_write_tokens: Some(50),
            llm_tokens_output: Some(500),
            ..ProviderLine::default()
        }
    );
    assert_eq!(
        (found[0].report, found[0].starts_at.to_string()),
        (ProviderReport::Completions, "2025-11-20T00:00:00Z".to_owned())
    );
}

#[test]
fn anthropic_bills_in_cents() {
    let text = r#"{"data":[{"starting_at":"2025-08-01T00:00:00Z","ending_at":"2025-08-02T00:00:00Z","results":[
        {"currency":"USD","amount":"123.78912","workspace_id":"wrkspc_1","description":"Claude Sonnet 4 Usage - Input Tokens","cost_type":"tokens",
         "context_window":"0-200k","model":"claude-sonnet-4-20250514","service_tier":"standard","token_type":"uncached_input_tokens"}]},
        {"starting_at":"2025-08-02T00:00:00Z","ending_at":"2025-08-03T00:00:00Z","results":[]}],"has_more":true,"next_page":"page_x"}"#;
    let (found, summary) = buckets(ExportOf::Anthropic, text);
    assert_eq!(found[0].lines[0].billed.unwrap().to_string(), "1.2378912");
    // The empty day is of the same report.
    assert_eq!((found[1].report, found[1].lines.len()), (ProviderReport::Costs, 0));
    assert_eq!((summary.unfinished.len(), summary.finished.len(), summary.unnamed), (1, 0, 0));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let usage = |fields: &str| format!(r#"{{"object":"organization.usage.completions.result",{fields}}}"#);
    let costs = |fields: &str| format!(r#"{{"object":"organization.costs.result",{fields}}}"#);
    let long = "9".repeat(60);
    let mut shown = String::new();
    for results in [
        usage(r#""input_tokens":-5,"output_tokens":1,"num_model_requests":1"#),
        usage(r#""input_tokens":"many","output_tokens":1,"num_model_requests":1"#),
        usage(r#""input_tokens":1.5,"output_tokens":1,"num_model_requests":1"#),
        usage(r#""output_tokens":1,"num_model_requests":1"#),
        usage(&format!(r#""input_tokens":{long},"output_tokens":1,"num_model_requests":1"#)),
        usage(r#""input_tokens":9000000000000000,"output_tokens":1,"num_model_requests":1"#),
        usage(r#""input_tokens":5,"input_cached_tokens":6,"output_tokens":1,"num_model_requests":1"#),
        usage(r#""input_tokens":5,"output_tokens":1,"num_model_requests":1,"model":7"#),
        costs(r#""amount":{"value":0.06,"currency":"eur"}"#),
        costs(r#""amount":{"value":1e30,"currency":"usd"}"#),
        costs(r#""amount":{"value":"six","currency":"usd"}"#),
        costs(r#""amount":{"currency":"usd"}"#),
        costs(r#""amount":6"#),
        costs(r#""line_item":"x""#),
        r#"{"object":"organization.usage.images.result"}"#.to_owned(),
        r#"{"input_tokens":1}"#.to_owned(),
        "7".to_owned(),
    ] {
        let _ = writeln!(shown, "{}", said(&results).join("\n"));
    }
    insta::assert_snapshot!(shown, @r#"
    f:1: `data[0].results[0].input_tokens` is `-5`, not a count
    f:1: `data[0].results[0].input_tokens` is `"many"`, not a count
    f:1: `data[0].results[0].input_tokens` is `1.5`, not a count
    f:1: `data[0].results[0].input_tokens` is missing
    f:1: `data[0].results[0].input_tokens` is `9999999999999999999999999999999999999999…`, not a count
    f:1: `data[0]`: result 1: `input_tokens` is 9000000000000000; the limit is 1000000000000000
    f:1: `data[0].results[0].input_tokens`: `cache_read + cache_write` 6 is larger than the `input` 5 that includes it (does this source count the cache outside of its input? then fill the kinds one by one)
    f:1: `data[0].results[0].model` is `7`, not a string
    f:1: `data[0].results[0].amount.currency` is `eur`, not USD
    f:1: `data[0].results[0].amount.value`: `1e30` is not an amount: it is too large
    f:1: `data[0].results[0].amount.value`: `six` is not an amount: it is not a decimal number
    f:1: `data[0].results[0].amount.value` is missing
    f:1: `data[0].results[0].amount`: it is not an object: invalid type: integer `6`, expected a map
    f:1: `data[0].results[0].amount` is missing
    f:1: `data[0].results[0]` is of `organization.usage.images.result`, which is not read (completions, embeddings and costs are)
    f:1: `data[0].results[0].object` is missing
    f:1: `data[0].results[0]`: it is not an object: invalid type: integer `7`, expected a map
    "#);
}

#[test]
fn what_is_no_export_is_said() {
    for (text, words) in [
        ("{\"data\":[{\"start_time\":1763596800,", "the object is cut off"),
        ("{\"error\":{\"message\":\"no\"}}", "neither a page"),
        ("{\"data\":7}", "`data` is `7`, not a list"),
        ("{\"data\":[{\"start_time\":5,\"end_time\":6,\"results\":[]},7]}", "`data[1]`: it is not an object"),
        (
            "{\"start_time\":1763596800,\"end_time\":1763769600,\"results\":[{\"object\":\"organization.costs.result\",\"amount\":{\"value\":1,\"currency\":\"usd\"}}]}",
            "more than one UTC day",
        ),
        ("{\"start_time\":99999999999999,\"end_time\":6,\"results\":[]}", "not a time in seconds"),
    ] {
        let (_, summary) = buckets(ExportOf::OpenAi, text);
        let first = summary.complaints.first().join("\n");
        assert!(first.contains(words), "{text}: {first}");
    }
}
