//! Providers' exports of usage and costs, and the ledger against them.

use super::{Both, Native, repository};

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

#[test]
fn the_ledger_stands_beside_the_invoice() {
    let both = both();
    insta::assert_snapshot!(import(&both, "openai-usage", &openai(), &[]), @"");
    insta::assert_snapshot!(import(&both, "anthropic-usage", &anthropic(), &[]), @"");
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-11-20"]), @"");
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-11-20", "--by", "model", "--provider", "OpenAI"]), @"");
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-11-20", "--by", "day", "--format", "markdown"]), @"");
    insta::assert_snapshot!(both.run(&["spend", "reconcile", "--since", "2026-11-20", "--format", "csv"]).success(), @"");
    insta::assert_snapshot!(both.run(&["spend", "reconcile", "--days", "4", "--provider", "anthropic", "--format", "json"]).success(), @"");
    assert!(both.is_well());
}

#[test]
fn a_difference_can_be_an_exit_code() {
    let both = everything();
    let mut shown = String::new();
    for args in [
        ["--provider", "openai", "--fail-over", "0.05"],
        ["--provider", "openai", "--fail-over", "0.01"],
        ["--provider", "anthropic", "--fail-over", "25%"],
        ["--provider", "anthropic", "--fail-over", "0.5%"],
        ["--provider", "acme", "--fail-over", "100%"],
        ["--provider", "acme", "--fail-over", "many"],
    ] {
        let output = both.run(&[&["spend", "reconcile", "--days", "4"], &args[..]].concat());
        let said: Vec<&str> = output
            .stderr
            .lines()
            .take_while(|line| !line.starts_with("For more"))
            .filter(|line| !line.is_empty())
            .collect();
        shown += &format!("{} ({})\n", said.join("\n"), output.code);
    }
    insta::assert_snapshot!(shown, @"");
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
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-11-20", "--until", "2026-11-20", "--provider", "openai"]), @r"
    exit: 0
    --- stdout ---
    day         model                   billed  recorded  difference  tokens billed  recorded  covered
    ──────────────────────────────────────────────────────────────────────────────────────────────────
    2026-11-20  gpt-4.1-mini                 –   $0.0000           –            550         0      0 %
    2026-11-20  gpt-4o                       –   $0.0065           –           3.2K      2.7K   82.8 %
    2026-11-20  text-embedding-3-small       –   $0.0050           –         250.0K    250.0K    100 %
    2026-11-20  (not by model)           $1.25   $0.0000           –              –         0        –
    ──────────────────────────────────────────────────────────────────────────────────────────────────
    total                                $1.25   $0.0115      +$1.24         253.8K    252.7K   99.6 %
    hidden at 100 columns: provider, requests, calls
    2026-11-20 (1 day) · UTC (the days of invoices) · catalogue 2026-11-20 · 100 % of 3 calls priced
    the costs of openai are not by model for 2026-11-20
    --- stderr ---
    ");
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
    insta::assert_snapshot!(both.snapshot(&["spend", "reconcile", "--since", "2026-11-20", "--until", "2026-11-20", "--provider", "openai"]), @r"
    exit: 0
    --- stdout ---
    day         model                   billed  recorded  difference  tokens billed  recorded  covered
    ──────────────────────────────────────────────────────────────────────────────────────────────────
    2026-11-20  gpt-4o                       –   $0.0065           –           1.6K      2.7K  165.6 %
    2026-11-20  text-embedding-3-small       –   $0.0050           –              0    250.0K        –
    ──────────────────────────────────────────────────────────────────────────────────────────────────
    total                                    –   $0.0115           –           1.6K    252.7K  165.6 %
    hidden at 100 columns: provider, requests, calls
    2026-11-20 (1 day) · UTC (the days of invoices) · catalogue 2026-11-20 · 100 % of 3 calls priced
    no costs of openai for 2026-11-20: not in the difference
    the completions of openai are of a part of the day for 2026-11-20
    --- stderr ---
    ");
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
    skipped: bad.json:1: the object is cut off
    skipped: bad.json:2: this is neither a page with `data` nor a bucket with `results` (save what the provider's interface answers, page by page)
    skipped: bad.json:2: what is there is not a JSON object
    skipped: bad.json:3: the object is cut off
    skipped: bad.json:4: this is neither a page with `data` nor a bucket with `results` (save what the provider's interface answers, page by page)
    skipped: bad.json:4: what is there is not a JSON object
    skipped: bad.json:5: the object is cut off
    0 buckets recorded, 0 superseded, 0 were there already, 7 skipped; 2 pages
    ");
    insta::assert_snapshot!(both.snapshot(&["import", "anthropic-usage", "bad.json"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: bad.json:1: the object is cut off
    skipped: bad.json:2: this is neither a page with `data` nor a bucket with `results` (save what the provider's interface answers, page by page)
    skipped: bad.json:2: what is there is not a JSON object
    skipped: bad.json:3: the object is cut off
    skipped: bad.json:4: this is neither a page with `data` nor a bucket with `results` (save what the provider's interface answers, page by page)
    skipped: bad.json:4: what is there is not a JSON object
    skipped: bad.json:5: the object is cut off
    0 buckets recorded, 0 superseded, 0 were there already, 7 skipped; 2 pages
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
