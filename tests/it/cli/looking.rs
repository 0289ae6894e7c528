//! `asmm runs top|list|show|explain`.

use super::{Both, Native, id};
use asmm::domain::Usd;
use serde_json::{Value, json};

#[test]
fn the_most_expensive_and_the_newest() {
    let both = super::spend::both();
    insta::assert_snapshot!(both.snapshot(&["runs", "top", "--limit", "2"]), @r"
    exit: 0
    --- stdout ---
    run                  pipeline    status     started           calls  unpriced   input  output   cost
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    …-8000-000000000001  enrichment  succeeded  2026-03-10 10:00      3         0    1.2M   10.0K  $3.15
    …-8000-000000000002  enrichment  failed     2026-03-11 09:00      1         0  400.0K       0  $1.00
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                                             6         2    1.6M   10.0K  $4.15
    hidden at 100 columns: took, of it cached, of it reasoning, share
    2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 ·
    66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    the most expensive 2 of 3 runs; the total is that of all
    --- stderr ---
    ");
    let ids = |args: &[&str]| {
        let report = both.json(&[&["runs"], args].concat());
        let rows = report["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| row["run_id"].as_str().unwrap()[35..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["top"]), ["1", "2", "3"]);
    assert_eq!(ids(&["list"]), ["3", "2", "1"]);
    assert_eq!(ids(&["list", "--days", "30"]), ["3", "2", "1", "4"]);
    assert_eq!(ids(&["list", "--order", "calls"]), ["1", "3", "2"]);
    assert_eq!(ids(&["list", "--order", "tokens"]), ["1", "2", "3"]);
    assert_eq!(ids(&["list", "--status", "failed"]), ["2"]);
    assert_eq!(ids(&["list", "--pipeline", "digest"]), ["3"]);
    assert_eq!(ids(&["list", "--agent", "writer"]), ["1"]);
    assert_eq!(ids(&["list", "--model", "llama-x"]), ["3"]);
    assert_eq!(ids(&["top", "--limit", "1"]), ["1"]);
    assert_eq!(both.run(&["runs", "top", "--limit", "0"]).code, 2);
    assert_eq!(both.run(&["runs", "top", "--strict"]).code, 4);
    assert_eq!(both.run(&["runs", "top", "--strict", "--pipeline", "enrichment"]).code, 0);
    let report = both.json(&["runs", "top", "--limit", "1"]);
    assert_eq!(report["schema"], "asmm.runs/1");
    assert_eq!(report["totals"]["estimated_cost_usd"], "4.1503465", "of all, not of those shown");
    let unpriced = both.json(&["runs", "top", "--pipeline", "digest"]);
    assert_eq!(unpriced["rows"][0]["estimated_cost_usd"], Value::Null);
    assert_eq!(unpriced["rows"][0]["completed_at"], Value::Null);
}

#[test]
fn a_run_is_found_by_a_part_of_its_id() {
    let both = super::spend::both();
    let found = |name: &str| both.json(&["runs", "show", name])["run_id"].clone();
    assert_eq!(found("last"), id(3).as_str());
    assert_eq!(found(&id(2)), id(2).as_str());
    assert_eq!(found(&id(2).to_uppercase()), id(2).as_str());
    assert_eq!(found("0002"), id(2).as_str());
    assert_eq!(found("…0002"), id(2).as_str(), "as tables show it");
    assert_eq!(found("8000-000000000002"), id(2).as_str());
    insta::assert_snapshot!(both.snapshot(&["runs", "show", "0000"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `0000` fits more than one run: 00000000-0000-7000-8000-000000000003, 00000000-0000-7000-8000-000000000002, 00000000-0000-7000-8000-000000000001, 00000000-0000-7000-8000-000000000004
    hint: give more of the id
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "show", "dead"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: no run's id starts or ends with `dead`
    hint: `asmm runs list` shows the ids
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "show", "002"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `002` names no run
    hint: give a run's id, at least 4 characters of its beginning or ending, or `last`; `asmm runs list` shows them
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "show", "%%%%"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `%%%%` names no run
    hint: give a run's id, at least 4 characters of its beginning or ending, or `last`; `asmm runs list` shows them
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "show", &id(77)]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: run `00000000-0000-7000-8000-00000000004d` is unknown
    hint: `asmm runs list` shows the ids
    ");
    insta::assert_snapshot!(Both::new().snapshot(&["runs", "show", "last"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: there is no run yet
    hint: record one: `asmm runs exec`, `asmm import`
    ");
}

#[test]
fn a_run_in_detail() {
    let both = super::spend::both();
    insta::assert_snapshot!(both.sqlite.snapshot(&["runs", "show", "0001"]), @r"
    exit: 0
    --- stdout ---
    run               00000000-0000-7000-8000-000000000001
    pipeline          enrichment
    status            succeeded
    started           2026-03-10 10:00:00
    completed         2026-03-11 00:00:01
    costed            2026-03-15 12:00:00
    calls             3
    unpriced          0
    input tokens      1,201,013
    output tokens     10,000
    embedding tokens  0
    cost (USD)        $3.15

    spend by agent and model
    agent       provider   model                      calls   input  of it cached  output   cost   share
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    researcher  openai     gpt-4o                         1    1.0M             0       0  $2.50  79.4 %
    writer      openai     gpt-4o                         1  200.0K             0       0  $0.50  15.9 %
    writer      anthropic  claude-sonnet-4-5-202509…      1    1.0K          1.0K   10.0K  $0.15   4.8 %

    UTC (the system's) · catalogue 2026-11-20 · 100 % of 3 calls priced
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "show", "0003", "--tz", "Asia/Kathmandu"]), @r"
    exit: 0
    --- stdout ---
    run               00000000-0000-7000-8000-000000000003
    pipeline          digest
    status            running
    started           2026-03-12 13:45:00
    completed         –
    costed            –
    calls             2
    unpriced          2
    input tokens      5,000
    output tokens     7
    embedding tokens  0
    cost (USD)        unpriced

    spend by agent and model
    agent  provider  model    calls  unpriced  input  output  of it reasoning      cost  share
    ─────────────────────────────────────────────────────────────────────────────────────────────
    –      local     llama-x      1         1  5,000       7                7  unpriced      –
    –      openai    gpt-4o       1         1      0       0                0  unpriced      –

    Asia/Kathmandu (from --tz) · catalogue 2026-11-20 · 0 % of 2 calls priced
    2 calls (100 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "explain", "0001"]), @r"
    exit: 0
    --- stdout ---
    run               00000000-0000-7000-8000-000000000001
    pipeline          enrichment
    status            succeeded
    started           2026-03-10 10:00:00
    completed         2026-03-11 00:00:01
    costed            2026-03-15 12:00:00
    calls             3
    unpriced          0
    input tokens      1,201,013
    output tokens     10,000
    embedding tokens  0
    cost (USD)        $3.15

    calls
    call           kind             count  × rate  per          = amount  price entry               note
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    …00000000000a  input        1,000,000   $2.50  1M tokens  $2.5000000  openai/gpt-4o             –
    …00000000000b  input          200,000   $2.50  1M tokens  $0.5000000  openai/gpt-4o             –
    …00000000000c  input                3   $3.00  1M tokens  $0.0000090  anthropic/claude-sonnet…  –
    …00000000000c  cache_read       1,000   $0.30  1M tokens  $0.0003000  anthropic/claude-sonnet…  –
    …00000000000c  cache_write         10   $3.75  1M tokens  $0.0000375  anthropic/claude-sonnet…  –
    …00000000000c  output          10,000  $15.00  1M tokens  $0.1500000  anthropic/claude-sonnet…  –
    hidden at 100 columns: called, model, tier, state, since, source

    UTC (the system's) · catalogue 2026-11-20 · 100 % of 3 calls priced
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "explain", "0003"]), @r"
    exit: 0
    --- stdout ---
    run               00000000-0000-7000-8000-000000000003
    pipeline          digest
    status            running
    started           2026-03-12 08:00:00
    completed         –
    costed            –
    calls             2
    unpriced          2
    input tokens      5,000
    output tokens     7
    embedding tokens  0
    cost (USD)        unpriced

    calls
    call           model    kind  count  × rate  per  = amount  price entry  note
    ───────────────────────────────────────────────────────────────────────────────────────────────────
    …00000000001e  llama-x  –         –       –  –    unpriced  –            the catalogue has no such…
    …00000000001f  gpt-4o   –         –       –  –    unpriced  –            no usage was reported
    hidden at 100 columns: called, tier, state, since, source

    UTC (the system's) · catalogue 2026-11-20 · 0 % of 2 calls priced
    2 calls (100 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "explain", "0001", "--call", &id(99)]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: run `00000000-0000-7000-8000-000000000001` has no call `00000000-0000-7000-8000-000000000063`
    hint: `asmm runs explain` without --call shows the run's calls
    ");
}

#[test]
fn the_arithmetic_adds_up_to_the_cost() {
    let both = Both::new();
    let all = |n: u64| {
        format!(
            r#"{{"input":{n},"cache_read":{},"cache_write":{},"cache_write_long":{},"output":{},"reasoning":{},"web_searches":2}}"#,
            n / 2,
            n / 3,
            n / 5,
            n / 7,
            n / 11
        )
    };
    let mut lines = Native::default().run(1, "p", "2026-03-10T10:00:00Z");
    let models = [
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("openai", "gpt-4o"),
        ("openai", "o3-mini"),
        ("google", "gemini-2.5-pro"),
        ("openai", "text-embedding-3-small"),
    ];
    for (number, name) in (10_u32..).zip(models) {
        lines = lines.call_of(1, number, "a", name, "2026-03-10T10:00:00Z", &all(u64::from(number) * 12_347));
        lines = lines.call_of(
            1,
            number + 50,
            "a",
            name,
            "2026-03-10T10:00:01Z",
            r#"{"input":999,"embedding":3}"#,
        );
    }
    both.run_with_input(&["import", "jsonl", "--strict"], &lines.0).success();
    let explained = both.json(&["runs", "explain", "last", "--limit", "1000"]);
    let usd = |value: &Value| value.as_str().map_or(Usd::ZERO, |text| text.parse().unwrap());
    let mut sum = Usd::ZERO;
    for line in explained["calls"].as_array().unwrap() {
        let amount = usd(&line["amount_usd"]);
        sum += amount;
        if let Some(count) = line["count"].as_u64() {
            let per: i128 = match line["per"].as_str().unwrap() {
                "1M tokens" => 1_000_000,
                "1k searches" => 1000,
                _ => 1,
            };
            let product = usd(&line["rate_usd"]).pico() * i128::from(count);
            assert_eq!(product, amount.pico() * per, "{line}");
        }
    }
    assert_eq!(json!(sum.to_string()), explained["estimated_cost_usd"]);
    let notes: Vec<_> =
        explained["calls"].as_array().unwrap().iter().filter_map(|l| l["note"].as_str()).collect();
    assert!(notes.iter().any(|note| note.contains("stands in")), "{notes:?}");
    let estimated =
        explained["calls"].as_array().unwrap().iter().filter(|l| l["pricing_state"] == "estimated");
    assert!(estimated.count() > 0);
    let one = both.json(&["runs", "explain", "last", "--call", &id(11)]);
    assert!(one["calls"].as_array().unwrap().iter().all(|line| line["call_id"] == id(11)));
    let cut = both.run(&["runs", "explain", "last", "--limit", "1"]).success();
    assert!(cut.contains("the first 1 of 10 calls; --limit shows more"), "{cut}");
}
