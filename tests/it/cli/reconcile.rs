//! Providers' exports of usage and costs, and the ledger against them.

use super::{Both, Native, repository};
use serde_json::Value;

const DAY: [&str; 8] =
    ["spend", "reconcile", "--since", "2026-11-20", "--until", "2026-11-20", "--provider", "openai"];

fn data(name: &str) -> String {
    repository(&format!("tests/data/imports/provider-usage/{name}"))
}

/// Ledgers on 2026-11-23 with calls of the days before.
fn both() -> Both {
    let Both { sqlite, postgres } = Both::new();
    let at = "2026-11-23T12:00:00Z";
    let both = Both { sqlite: sqlite.with_now(at), postgres: postgres.with_now(at) };
    let lines = Native::default()
        .run(1, "shop", "2026-11-20T08:00:00Z")
        .call_of(1, 1, "a", ("openai", "gpt-4o-2024-08-06"), "2026-11-20T09:00:00Z", r#"{"input":1000,"cache_read":1000,"output":100}"#)
        // The alias is the same model; so is the same model at Azure, on another invoice.
        .call_of(1, 2, "a", ("openai", "gpt-4o"), "2026-11-20T23:59:59Z", r#"{"input":500,"output":50}"#)
        .call_of(1, 3, "a", ("azure", "gpt-4o"), "2026-11-20T10:00:00Z", r#"{"input":700}"#)
        .call_of(1, 4, "a", ("openai", "text-embedding-3-small"), "2026-11-20T10:00:00Z", r#"{"embedding":250000}"#)
        .call_of(1, 5, "b", ("openai", "gpt-4o-mini"), "2026-11-21T10:00:00Z", r#"{"input":1000,"output":10}"#)
        .call_of(1, 6, "b", ("anthropic", "claude-sonnet-4-5"), "2026-11-21T10:00:00Z", r#"{"input":10000,"cache_read":50000,"cache_write":2000,"cache_write_long":1000,"output":800,"web_searches":2}"#)
        .call_of(1, 7, "b", ("openai", "gpt-4o"), "2026-11-22T10:00:00Z", r#"{"input":400}"#)
        .call_of(1, 8, "b", ("acme", "our-coder"), "2026-11-22T10:00:00Z", r#"{"input":400}"#);
    both.run_with_input(&["import", "jsonl"], &lines.0).success();
    both
}

fn openai() -> [String; 3] {
    ["openai_completions.json", "openai_embeddings.json", "openai_costs.json"].map(data)
}

fn anthropic() -> [String; 2] {
    ["anthropic_messages.json", "anthropic_costs.json"].map(data)
}

fn import(both: &Both, format: &str, files: &[String], flags: &[&str]) -> String {
    let mut args = vec!["import", format];
    args.extend(files.iter().map(String::as_str));
    args.extend(flags);
    both.run(&args).snapshot().replace(env!("CARGO_MANIFEST_DIR"), "[repository]")
}

fn everything() -> Both {
    let both = both();
    import(&both, "openai-usage", &openai(), &["--strict"]);
    import(&both, "anthropic-usage", &anthropic(), &["--strict"]);
    both
}

/// The rows of a report, and its totals: the exact values.
fn rows(report: &Value) -> String {
    let word = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let named = |row: &Value| {
        let name = ["model", "line_item"].iter().map(|key| &row[key]).find(|name| !name.is_null());
        name.map_or("(not by model)".to_owned(), word)
    };
    let line = |row: &Value, name: String| {
        let keys = [
            "billed_cost_usd",
            "recorded_cost_usd",
            "difference_usd",
            "billed_tokens",
            "recorded_tokens",
            "coverage",
            "billed_requests",
            "recorded_calls",
        ];
        let values = keys.iter().map(|key| word(&row[key]));
        let head = [word(&row["day"]), word(&row["provider"]), name];
        head.into_iter().chain(values).collect::<Vec<_>>().join(" | ")
    };
    let rows = report["rows"].as_array().expect("a report has rows").iter();
    let mut lines: Vec<String> = rows.map(|row| line(row, named(row))).collect();
    lines.push(line(&report["totals"], "total".to_owned()));
    lines.join("\n")
}

#[test]
fn the_ledger_stands_beside_the_invoice() {
    let both = both();
    insta::assert_snapshot!(import(&both, "openai-usage", &openai(), &[]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    6 buckets recorded, 0 superseded, 0 were there already; 3 pages
    ");
    insta::assert_snapshot!(import(&both, "anthropic-usage", &anthropic(), &[]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    4 buckets recorded, 0 superseded, 0 were there already; 2 pages
    ");
    let since = ["spend", "reconcile", "--since", "2026-11-20"];
    let report = |more: &[&str]| rows(&both.json(&[&since[..], more].concat()));
    insta::assert_snapshot!(report(&[]), @r"
    2026-11-20 | azure | gpt-4o | - | 0.00175 | - | - | 700 | - | - | 1
    2026-11-20 | openai | gpt-4.1-mini | 0.00014 | 0 | 0.00014 | 550 | 0 | 0.000000 | 1 | 0
    2026-11-20 | openai | gpt-4o | 0.00825 | 0.0065 | 0.00175 | 3200 | 2650 | 0.828125 | 3 | 2
    2026-11-20 | openai | text-embedding-3-small | 0.005 | 0.005 | 0 | 250000 | 250000 | 1.000000 | 1 | 1
    2026-11-20 | openai | web search tool calls | 0.03 | 0 | - | - | 0 | - | - | 0
    2026-11-21 | anthropic | claude-sonnet-4-5 | 0.0705 | 0.0905 | -0.02 | 63800 | 63800 | 1.000000 | - | 1
    2026-11-21 | anthropic | Web Search Usage | 0.02 | 0 | - | - | 0 | - | - | 0
    2026-11-21 | openai | gpt-4o-mini | 0 | 0.000156 | -0.000156 | 0 | 1010 | - | - | 1
    2026-11-22 | acme | our-coder | - | - | - | - | 400 | - | - | 1
    2026-11-22 | openai | gpt-4o | - | 0.001 | - | - | 400 | - | - | 1
    - | - | total | 0.13389 | 0.104906 | 0.031734 | 317550 | 318960 | 0.999717 | 5 | 8
    ");
    insta::assert_snapshot!(report(&["--by", "model", "--provider", "OpenAI"]), @r"
    - | openai | gpt-4.1-mini | 0.00014 | 0 | 0.00014 | 550 | 0 | 0.000000 | 1 | 0
    - | openai | gpt-4o | 0.00825 | 0.0075 | 0.00175 | 3200 | 3050 | 0.828125 | 3 | 3
    - | openai | gpt-4o-mini | 0 | 0.000156 | -0.000156 | 0 | 1010 | - | - | 1
    - | openai | text-embedding-3-small | 0.005 | 0.005 | 0 | 250000 | 250000 | 1.000000 | 1 | 1
    - | openai | web search tool calls | 0.03 | 0 | - | - | 0 | - | - | 0
    - | - | total | 0.04339 | 0.012656 | 0.031734 | 253750 | 254060 | 0.999645 | 5 | 5
    ");
    insta::assert_snapshot!(report(&["--by", "day"]), @r"
    2026-11-20 | azure | (not by model) | - | 0.00175 | - | - | 700 | - | - | 1
    2026-11-20 | openai | (not by model) | 0.04339 | 0.0115 | 0.03189 | 253750 | 252650 | 0.995665 | 5 | 3
    2026-11-21 | anthropic | (not by model) | 0.0905 | 0.0905 | 0 | 63800 | 63800 | 1.000000 | - | 1
    2026-11-21 | openai | (not by model) | 0 | 0.000156 | -0.000156 | 0 | 1010 | - | - | 1
    2026-11-22 | acme | (not by model) | - | - | - | - | 400 | - | - | 1
    2026-11-22 | openai | (not by model) | - | 0.001 | - | - | 400 | - | - | 1
    - | - | total | 0.13389 | 0.104906 | 0.031734 | 317550 | 318960 | 0.999717 | 5 | 8
    ");
    let markdown = both.run(&[&since[..], &["--format", "markdown"]].concat()).success();
    for note in [
        "no costs of acme for 2026-11-22: not in the difference",
        "no costs of azure for 2026-11-20: not in the difference",
        "no costs of openai for 2026-11-22: not in the difference",
        "UTC (the days of invoices)",
    ] {
        assert!(markdown.contains(note), "{note}: {markdown}");
    }
    assert!(both.is_well());
}

#[test]
fn a_difference_can_be_an_exit_code() {
    let both = everything();
    for (provider, most, code, said) in [
        ("openai", "0.05", 0, ""),
        (
            "openai",
            "0.01",
            3,
            "over: 0.04339 USD were billed and 0.011656 USD recorded, --fail-over is 0.01 USD\n",
        ),
        ("anthropic", "0%", 0, ""),
        ("openai", "74%", 0, ""),
        ("openai", "73%", 3, "over: 0.04339 USD were billed and 0.011656 USD recorded, --fail-over is 73%\n"),
        ("acme", "100%", 3, "unknown: no costs were imported for this range; --fail-over is 100%\n"),
    ] {
        let args = ["spend", "reconcile", "--days", "4", "--provider", provider, "--fail-over", most];
        let output = both.run(&args);
        assert_eq!((output.code, output.stderr.as_str()), (code, said), "{provider} {most}");
    }
    let output = both.run(&["spend", "reconcile", "--fail-over", "many"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("`many` is neither dollars nor a percentage"), "{}", output.stderr);
}

#[test]
fn an_import_again_changes_nothing_and_a_later_one_counts() {
    let both = everything();
    let before = both.run(&["spend", "reconcile", "--days", "4", "--format", "json"]).success();
    insta::assert_snapshot!(import(&both, "openai-usage", &openai(), &["--strict"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    0 buckets recorded, 0 superseded, 6 were there already; 3 pages
    ");
    assert_eq!(both.run(&["spend", "reconcile", "--days", "4", "--format", "json"]).success(), before);

    // The day comes again with other costs, in one sum; hours of it are refused.
    let day = |value: &str| {
        format!(
            r#"{{"object":"bucket","start_time":1795132800,"end_time":1795219200,"results":[{{"object":"organization.costs.result","amount":{{"value":{value},"currency":"usd"}},"line_item":null}}]}}"#
        )
    };
    let output = both.run_with_input(&["import", "openai-usage"], &day("1.25"));
    insta::assert_snapshot!(output.stderr, @"0 buckets recorded, 1 superseded, 0 were there already; 1 page");
    let hour = day("9").replace("1795219200", "1795136400");
    let output = both.run_with_input(&["import", "openai-usage", "--strict"], &hour);
    insta::assert_snapshot!(output.snapshot(), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    skipped: stdin:1: bucket: the bucket from 2026-11-20T00:00:00Z to 2026-11-20T01:00:00Z is a part of what is known from 2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z (export whole days, or buckets of the same width as before)
    0 buckets recorded, 0 superseded, 0 were there already, 1 skipped; 1 page
    ");
    insta::assert_snapshot!(rows(&both.json(&DAY)), @r"
    2026-11-20 | openai | gpt-4.1-mini | - | 0 | - | 550 | 0 | 0.000000 | 1 | 0
    2026-11-20 | openai | gpt-4o | - | 0.0065 | - | 3200 | 2650 | 0.828125 | 3 | 2
    2026-11-20 | openai | text-embedding-3-small | - | 0.005 | - | 250000 | 250000 | 1.000000 | 1 | 1
    2026-11-20 | openai | (not by model) | 1.25 | 0 | - | - | 0 | - | - | 0
    - | - | total | 1.25 | 0.0115 | 1.2385 | 253750 | 252650 | 0.995665 | 5 | 3
    ");
    assert!(both.run(&DAY).stdout.contains("the costs of openai are not by model for 2026-11-20\n"));
    // What it said first, again: it is the newest now.
    insta::assert_snapshot!(import(&both, "openai-usage", &openai(), &[]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    0 buckets recorded, 1 superseded, 5 were there already; 3 pages
    ");
    assert_eq!(both.run(&["spend", "reconcile", "--days", "4", "--format", "json"]).success(), before);
}

#[test]
fn hours_and_tokens_alone_and_what_contradicts_itself() {
    let both = both();
    let hour = |start: u32, tokens: u32| {
        format!(
            r#"{{"object":"bucket","start_time":{start},"end_time":{},"results":[{{"object":"organization.usage.completions.result","input_tokens":{tokens},"output_tokens":0,"num_model_requests":1,"model":"gpt-4o"}}]}}"#,
            start + 3600
        )
    };
    let (first, second) = (1_795_132_800, 1_795_136_400);
    let said = both.run_with_input(
        &["import", "openai-usage"],
        &format!("[{},\n{}]\n", hour(first, 700), hour(second, 900)),
    );
    insta::assert_snapshot!(said.stderr, @"2 buckets recorded, 0 superseded, 0 were there already; 2 pages");
    // Tokens alone: what was billed is not known.
    insta::assert_snapshot!(rows(&both.json(&DAY)), @r"
    2026-11-20 | openai | gpt-4o | - | 0.0065 | - | 1600 | 2650 | 1.656250 | 2 | 2
    2026-11-20 | openai | text-embedding-3-small | - | 0.005 | - | - | 250000 | - | - | 1
    - | - | total | - | 0.0115 | - | 1600 | 252650 | 1.656250 | 2 | 3
    ");
    let said = both.run(&DAY).stdout;
    assert!(said.contains("no costs of openai for 2026-11-20: not in the difference\n"), "{said}");
    assert!(said.contains("the completions of openai are of a part of the day for 2026-11-20\n"), "{said}");
    let twice = format!("{}\n{}\n{}\n", hour(first, 700), hour(first, 700), hour(first, 701));
    let said = both.run_with_input(&["import", "openai-usage"], &twice);
    insta::assert_snapshot!(said.stderr, @r"
    skipped: stdin:3: bucket: the bucket of completions from 2026-11-20T00:00:00Z is in stdin:1: bucket too, with other results (import one export at a time; a later one takes the place of an earlier)
    0 buckets recorded, 0 superseded, 1 was there already, 1 skipped; 3 pages
    ");
    // The day takes the place of its hours.
    insta::assert_snapshot!(import(&both, "openai-usage", &openai()[..1], &[]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    1 bucket recorded, 1 superseded, 0 were there already; 1 page
    ");
    let more = r#"{"object":"page","data":[{"object":"bucket","start_time":1795219200,"end_time":1795305600,"results":[]}],"has_more":true}"#;
    let said = both.run_with_input(&["import", "openai-usage"], more);
    insta::assert_snapshot!(said.stderr, @"0 buckets recorded, 0 superseded, 0 were there already, 1 empty bucket is of no known report; 1 page");
    let unfinished = format!(r#"{{"object":"page","data":[{}],"has_more":true}}"#, hour(1_795_219_200, 5));
    let said = both.run_with_input(&["import", "openai-usage"], &unfinished);
    insta::assert_snapshot!(said.stderr, @r"
    skipped: stdin:1: data[0]: the bucket from 2026-11-21T00:00:00Z to 2026-11-21T01:00:00Z is a part of what is known from 2026-11-21T00:00:00Z to 2026-11-22T00:00:00Z (export whole days, or buckets of the same width as before)
    warning: of completions the last page is missing: `has_more` is true on all of them
    0 buckets recorded, 0 superseded, 0 were there already, 1 skipped; 1 page
    ");
}

#[test]
fn what_is_no_export_is_said() {
    let both = both();
    let bad = r#"{"object":"page","data":[{"object":"bucket","start_time":1795132800,"end_time":1795219200,"results":[
  {"object":"organization.usage.completions.result","input_tokens":-1,"output_tokens":0,"num_model_requests":1}]},
  {"object":"bucket","start_time":1795219200,"end_time":1795305600,"results":[
  {"object":"organization.costs.result","amount":{"value":1e40,"currency":"usd"}}]}]}
{"object":"page","data":[
"#;
    both.write("bad.json", bad);
    insta::assert_snapshot!(both.snapshot(&["import", "openai-usage", "bad.json", "--strict"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    skipped: bad.json:1: `data[0].results[0].input_tokens` is `-1`, not a count
    skipped: bad.json:1: `data[1].results[0].amount.value`: `1e40` is not an amount: it is too large
    skipped: bad.json:5: the object is cut off
    0 buckets recorded, 0 superseded, 0 were there already, 3 skipped; 1 page
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "anthropic-usage", "bad.json"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: bad.json:1: `data[0].starting_at` is missing
    skipped: bad.json:1: `data[1].starting_at` is missing
    skipped: bad.json:5: the object is cut off
    0 buckets recorded, 0 superseded, 0 were there already, 3 skipped; 1 page
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "anthropic-usage", "nowhere.json"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `nowhere.json` cannot be read: No such file or directory (os error 2)
    hint: name a file, or `-` for stdin
    ");
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-11-20T10:00:00Z"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: the range cuts a UTC day, and invoices are of whole ones
    hint: name days: --since 2026-11-01 --until 2026-11-30
    ");
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-01-01", "--until", "2026-01-02"]), @r"
    exit: 0
    --- stdout ---
    no calls or invoices in 2026-01-01 – 2026-01-02 (2 days)
    next: import what the provider says: `asmm import openai-usage --help`
    2026-01-01 – 2026-01-02 (2 days) · UTC (the days of invoices) · catalogue 2026-11-20
    --- stderr ---
    ");
}
