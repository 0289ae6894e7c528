//! `asmm spend`: dimensions, filters, formats, limits, and the JSON contract.

use super::{Both, Native, json};
use crate::support::Sandbox;
use serde_json::{Value, json};

/// Three runs of one week and one of the week before; two calls have no price.
pub fn sample() -> String {
    Native::default()
        .run(4, "enrichment", "2026-03-03T10:00:00Z")
        .call(4, 40, "researcher", "2026-03-03T10:00:01Z", 100_000)
        .finish(4, "succeeded", "2026-03-03T10:01:00Z")
        .run(1, "enrichment", "2026-03-10T10:00:00Z")
        .call(1, 10, "researcher", "2026-03-10T10:00:01Z", 1_000_000)
        .call(1, 11, "writer", "2026-03-10T10:20:00Z", 200_000)
        .call_of(
            1,
            12,
            "writer",
            ("anthropic", "claude-sonnet-4-5-20250929"),
            "2026-03-10T23:59:59.999999Z",
            r#"{"input":3,"cache_read":1000,"cache_write":10,"output":10000}"#,
        )
        .finish(1, "succeeded", "2026-03-11T00:00:01Z")
        .run(2, "enrichment", "2026-03-11T09:00:00Z")
        .call(2, 20, "researcher", "2026-03-11T09:00:00Z", 400_000)
        .finish(2, "failed", "2026-03-11T09:10:00Z")
        .run(3, "digest", "2026-03-12T08:00:00Z")
        .call_of(3, 30, "", ("local", "llama-x"), "2026-03-12T08:00:00Z", r#"{"input":5000,"reasoning":7}"#)
        .call_of(3, 31, "", ("openai", "gpt-4o"), "2026-03-12T08:00:01Z", "null")
        .0
}

pub fn both() -> Both {
    let both = Both::new();
    both.run_with_input(&["import", "jsonl"], &sample()).success();
    both
}

const WEEK: [&str; 2] = ["--days", "7"];

fn spend<'a>(what: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["spend", what], &WEEK[..], more].concat()
}

/// `(key, calls, cost)` of each row.
fn rows(report: &Value, keys: &[&str]) -> Vec<(String, u64, String)> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let row = |row: &Value| {
        let key = keys.iter().map(|key| text(&row[*key])).collect::<Vec<_>>().join(" ");
        (key, row["llm_calls"].as_u64().unwrap(), text(&row["estimated_cost_usd"]))
    };
    report["rows"].as_array().unwrap().iter().map(row).collect()
}

fn row(key: &str, calls: u64, cost: &str) -> (String, u64, String) {
    (key.to_owned(), calls, cost.to_owned())
}

/// What a command shows on a terminal of so many columns.
fn at_width(both: &Both, args: &[&str], columns: &str) -> String {
    let with = |sandbox: &Sandbox| {
        let output = sandbox.command(args).env("COLUMNS", columns).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (sqlite, postgres) = (with(&both.sqlite), with(&both.postgres));
    assert_eq!(sqlite, postgres);
    let limit: usize = columns.parse().unwrap();
    assert!(sqlite.lines().all(|line| line.chars().count() <= limit), "{columns}\n{sqlite}");
    sqlite
}

#[test]
fn tables_fit_the_terminal() {
    let both = both();
    let args = spend("daily", &["--by", "agent,model,pipeline", "--compare", "previous"]);
    let wide = |columns| at_width(&both, &args, columns);
    for columns in ["30", "60", "100", "400"] {
        wide(columns);
    }
    insta::assert_snapshot!(wide("80"), @r"
    day         pipeline    agent       model                cost   before    change
    ────────────────────────────────────────────────────────────────────────────────
    2026-03-10  enrichment  researcher  gpt-4o              $2.50  $0.2500  ▲ +$2.25
    2026-03-10  enrichment  writer      claude-sonnet-…     $0.15  $0.0000  ▲ +$0.15
    2026-03-10  enrichment  writer      gpt-4o              $0.50  $0.0000  ▲ +$0.50
    2026-03-11  enrichment  researcher  gpt-4o              $1.00  $0.0000  ▲ +$1.00
    2026-03-12  digest      –           llama-x          unpriced  $0.0000         –
    2026-03-12  digest      –           gpt-4o           unpriced  $0.0000         –
    ────────────────────────────────────────────────────────────────────────────────
    total                                                   $4.15  $0.2500  ▲ +$3.90
    hidden at 80 columns: provider, calls, unpriced, input, of it cached, output, of
    it reasoning, in %, share
    2026-03-09 – 2026-03-15 (7 days) · against 2026-03-02 – 2026-03-08 (7 days) ·
    UTC (the system's) · catalogue 2026-11-20 · 66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    ");
    insta::assert_snapshot!(wide("160"), @r"
    day         pipeline    agent       model                       calls  unpriced   input  of it cached  output      cost   before    change        in %   share
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    2026-03-10  enrichment  researcher  gpt-4o                          1         0    1.0M             0       0     $2.50  $0.2500  ▲ +$2.25    +900.0 %  60.2 %
    2026-03-10  enrichment  writer      claude-sonnet-4-5-20250929      1         0    1.0K          1.0K   10.0K     $0.15  $0.0000  ▲ +$0.15           –   3.6 %
    2026-03-10  enrichment  writer      gpt-4o                          1         0  200.0K             0       0     $0.50  $0.0000  ▲ +$0.50           –  12.0 %
    2026-03-11  enrichment  researcher  gpt-4o                          1         0  400.0K             0       0     $1.00  $0.0000  ▲ +$1.00           –  24.1 %
    2026-03-12  digest      –           llama-x                         1         1    5.0K             0       7  unpriced  $0.0000         –           –       –
    2026-03-12  digest      –           gpt-4o                          1         1       0             0       0  unpriced  $0.0000         –           –       –
    ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                                               6         2    1.6M          1.0K   10.0K     $4.15  $0.2500  ▲ +$3.90  +1,560.1 %   100 %
    hidden at 160 columns: provider, of it reasoning
    2026-03-09 – 2026-03-15 (7 days) · against 2026-03-02 – 2026-03-08 (7 days) · UTC (the system's) · catalogue 2026-11-20 · 66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    ");
}

/// Models of the same name are told apart by the provider: a bar does not take its room.
#[test]
fn a_provider_stays_longer_than_a_bar() {
    let both = both();
    let wide = |columns| at_width(&both, &spend("model", &[]), columns);
    insta::assert_snapshot!(wide("80"), @r"
    model                 calls  unpriced  input  output      cost   share
    ────────────────────────────────────────────────────────────────────────────────
    gpt-4o                    4         1   1.6M       0     $4.00  96.4 %  ████████
    claude-sonnet-4-5-2…      1         0   1.0K   10.0K     $0.15   3.6 %  ▎
    llama-x                   1         1   5.0K       7  unpriced       –
    ────────────────────────────────────────────────────────────────────────────────
    total                     6         2   1.6M   10.0K     $4.15   100 %
    hidden at 80 columns: provider, of it cached, of it reasoning
    2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 ·
    66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    ");
    insta::assert_snapshot!(wide("100"), @r"
    provider   model                      calls  unpriced  input  of it cached  output      cost   share
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    openai     gpt-4o                         4         1   1.6M             0       0     $4.00  96.4 %
    anthropic  claude-sonnet-4-5-202509…      1         0   1.0K          1.0K   10.0K     $0.15   3.6 %
    local      llama-x                        1         1   5.0K             0       7  unpriced       –
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                     6         2   1.6M          1.0K   10.0K     $4.15   100 %
    hidden at 100 columns: of it reasoning
    2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 ·
    66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    ");
    insta::assert_snapshot!(wide("160"), @r"
    provider   model                       calls  unpriced      input  of it cached  output  of it reasoning      cost   share  when
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    openai     gpt-4o                          4         1  1,600,000             0       0                0     $4.00  96.4 %  ▁█▃?▁▁▁  ████████████████████
    anthropic  claude-sonnet-4-5-20250929      1         0      1,013         1,000  10,000                0     $0.15   3.6 %  ▁█▁▁▁▁▁  ▊
    local      llama-x                         1         1      5,000             0       7                7  unpriced       –  ▁▁▁?▁▁▁
    ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                      6         2  1,606,013         1,000  10,007                7     $4.15   100 %
    2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 · 66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    ");
}

#[test]
fn every_format_says_the_same() {
    let both = both();
    insta::assert_snapshot!(both.snapshot(&spend("agent", &[])), @r"
    exit: 0
    --- stdout ---
    agent       calls  unpriced   input  of it cached  output      cost   share  when
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    researcher      2         0    1.4M             0       0     $3.50  84.3 %  ▁█▄▁▁▁▁  ██████████████
    writer          2         0  201.0K          1.0K   10.0K     $0.65  15.7 %  ▁█▁▁▁▁▁  ██▋
    –               2         2    5.0K             0       7  unpriced       –  ▁▁▁?▁▁▁
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    total           6         2    1.6M          1.0K   10.0K     $4.15   100 %
    hidden at 100 columns: of it reasoning
    2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 ·
    66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&spend("model", &["--format", "csv"])).replace('\r', ""), @r"
    exit: 0
    --- stdout ---
    provider,model,llm_calls,unpriced_calls,llm_tokens_input,cache_read_tokens,llm_tokens_output,reasoning_tokens,embedding_tokens,input_tokens,cache_write_tokens,cache_write_long_tokens,output_tokens,web_searches,estimated_cost_usd,share
    openai,gpt-4o,4,1,1600000,0,0,0,0,1600000,0,0,0,0,4,0.963775
    anthropic,claude-sonnet-4-5-20250929,1,0,1013,1000,10000,0,0,3,10,0,10000,0,0.1503465,0.036225
    local,llama-x,1,1,5000,0,7,7,0,5000,0,0,0,0,,
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&spend("pipeline", &["--format", "markdown"])), @r"
    exit: 0
    --- stdout ---
    ### Spend by pipeline

    | pipeline   | calls | unpriced |         input | of it cached |     output | of it reasoning |      cost |     share | when    |
    | ---------- | ----: | -------: | ------------: | -----------: | ---------: | --------------: | --------: | --------: | ------- |
    | enrichment |     4 |        0 |     1,601,013 |        1,000 |     10,000 |               0 |     $4.15 |     100 % | ▁█▃▁▁▁▁ |
    | digest     |     2 |        2 |         5,000 |            0 |          7 |               7 |  unpriced |         – | ▁▁▁?▁▁▁ |
    | **total**  | **6** |    **2** | **1,606,013** |    **1,000** | **10,007** |           **7** | **$4.15** | **100 %** |         |

    > 2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 · 66.7 % of 6 calls priced
    >
    > **Warning:** 2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&spend("pipeline", &["--format", "json", "--by", "day"])), @r#"
    exit: 0
    --- stdout ---
    {"schema":"asmm.spend_pipeline/1","window":{"since":"2026-03-09T00:00:00Z","until":"2026-03-16T00:00:00Z","days":7},"time_zone":"UTC","catalogue":"2026-11-20","coverage":{"calls":6,"priced":4,"unpriced":2,"share":"0.666667"},"totals":{"llm_calls":6,"unpriced_calls":2,"llm_tokens_input":1606013,"cache_read_tokens":1000,"llm_tokens_output":10007,"reasoning_tokens":7,"embedding_tokens":0,"input_tokens":1605003,"cache_write_tokens":10,"cache_write_long_tokens":0,"output_tokens":10000,"web_searches":0,"estimated_cost_usd":"4.1503465","share":"1.000000"},"rows":[{"day":"2026-03-10","pipeline":"enrichment","llm_calls":3,"unpriced_calls":0,"llm_tokens_input":1201013,"cache_read_tokens":1000,"llm_tokens_output":10000,"reasoning_tokens":0,"embedding_tokens":0,"input_tokens":1200003,"cache_write_tokens":10,"cache_write_long_tokens":0,"output_tokens":10000,"web_searches":0,"estimated_cost_usd":"3.1503465","share":"0.759056"},{"day":"2026-03-11","pipeline":"enrichment","llm_calls":1,"unpriced_calls":0,"llm_tokens_input":400000,"cache_read_tokens":0,"llm_tokens_output":0,"reasoning_tokens":0,"embedding_tokens":0,"input_tokens":400000,"cache_write_tokens":0,"cache_write_long_tokens":0,"output_tokens":0,"web_searches":0,"estimated_cost_usd":"1","share":"0.240944"},{"day":"2026-03-12","pipeline":"digest","llm_calls":2,"unpriced_calls":2,"llm_tokens_input":5000,"cache_read_tokens":0,"llm_tokens_output":7,"reasoning_tokens":7,"embedding_tokens":0,"input_tokens":5000,"cache_write_tokens":0,"cache_write_long_tokens":0,"output_tokens":0,"web_searches":0,"estimated_cost_usd":null,"share":null}]}
    --- stderr ---
    "#);
    let colored = both.run(&spend("daily", &["--color", "always"])).success();
    assert!(colored.contains('\u{1b}'), "{colored:?}");
    let plain = both.run(&spend("daily", &[])).success();
    assert!(!plain.contains('\u{1b}'));
    assert_eq!(both.run(&spend("daily", &["--color", "never"])).success(), plain);
}

#[test]
fn json_is_the_contract() {
    let both = both();
    for what in ["daily", "agent", "model", "pipeline"] {
        let report = both.json(&spend(what, &["--by", "day,agent,model,pipeline"]));
        assert_eq!(report["schema"], format!("asmm.spend_{what}/1"));
        assert_eq!(report["window"]["since"], "2026-03-09T00:00:00Z");
        assert_eq!(report["window"]["until"], "2026-03-16T00:00:00Z");
        assert_eq!(report["window"]["days"], 7);
        assert_eq!(report["time_zone"], "UTC");
        assert!(report["catalogue"].is_string());
        assert_eq!(report["coverage"], json!({"calls": 6, "priced": 4, "unpriced": 2, "share": "0.666667"}));
        assert_eq!(report["totals"]["estimated_cost_usd"], "4.1503465");
        let rows = report["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 6);
        let keys = [
            "day",
            "pipeline",
            "agent",
            "provider",
            "model",
            "llm_calls",
            "unpriced_calls",
            "llm_tokens_input",
            "llm_tokens_output",
            "embedding_tokens",
            "input_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "cache_write_long_tokens",
            "output_tokens",
            "reasoning_tokens",
            "web_searches",
            "estimated_cost_usd",
            "share",
        ];
        for row in rows {
            let row = row.as_object().unwrap();
            let unknown: Vec<_> = row.keys().filter(|key| !keys.contains(&key.as_str())).collect();
            assert!(unknown.is_empty(), "{unknown:?}");
            assert!(keys.iter().all(|key| row.contains_key(*key)), "{row:?}");
            let unpriced = row["unpriced_calls"].as_u64().unwrap() > 0;
            assert_eq!(row["estimated_cost_usd"].is_null(), unpriced, "{row:?}");
        }
        let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
        for key in &keys[5..17] {
            assert_eq!(report["totals"][key], sum(key), "{key}");
        }
    }
}

#[test]
fn filters_narrow_and_dimensions_split() {
    let both = both();
    let by = |what: &str, more: &[&str], keys: &[&str]| rows(&both.json(&spend(what, more)), keys);
    assert_eq!(
        by("daily", &[], &["day"]),
        [row("2026-03-10", 3, "3.1503465"), row("2026-03-11", 1, "1"), row("2026-03-12", 2, "null")]
    );
    assert_eq!(
        by("agent", &["--pipeline", "enrichment", "--by", "model"], &["agent", "model"]),
        [
            row("researcher gpt-4o", 2, "3.5"),
            row("writer gpt-4o", 1, "0.5"),
            row("writer claude-sonnet-4-5-20250929", 1, "0.1503465"),
        ]
    );
    assert_eq!(by("agent", &["--agent", "writer"], &["agent"]), [row("writer", 2, "0.6503465")]);
    assert_eq!(
        by("pipeline", &["--provider", "anthropic"], &["pipeline"]),
        [row("enrichment", 1, "0.1503465")]
    );
    assert_eq!(
        by("model", &["--model", "llama-x"], &["provider", "model"]),
        [row("local llama-x", 1, "null")]
    );
    assert_eq!(by("model", &["--status", "failed"], &["model"]), [row("gpt-4o", 1, "1")]);
    assert_eq!(by("model", &["--status", "running"], &["model"]).len(), 2);
    assert_eq!(by("model", &["--status", "cancelled"], &["model"]), []);
    assert_eq!(by("model", &["--pipeline", "ENRICHMENT"], &["model"]), [], "names are exact");
    assert_eq!(by("model", &["--pipeline", "en%"], &["model"]), [], "and no patterns");
    let order = |order: &str| {
        by("model", &["--order", order], &["model"]).into_iter().map(|row| row.0).collect::<Vec<_>>()
    };
    assert_eq!(order("cost"), ["gpt-4o", "claude-sonnet-4-5-20250929", "llama-x"]);
    assert_eq!(order("calls"), ["gpt-4o", "claude-sonnet-4-5-20250929", "llama-x"]);
    assert_eq!(order("tokens"), ["gpt-4o", "claude-sonnet-4-5-20250929", "llama-x"]);
    assert_eq!(order("name"), ["claude-sonnet-4-5-20250929", "llama-x", "gpt-4o"], "by provider, then model");

    let limited = both.json(&spend("daily", &["--limit", "1"]));
    assert_eq!(rows(&limited, &["day"]).len(), 1);
    assert_eq!(limited["totals"]["estimated_cost_usd"], "4.1503465", "the total stays that of all");
}

#[test]
fn the_journal_agrees_with_the_rollup_and_with_sums_by_hand() {
    let both = both();
    let total = |more: &[&str]| {
        let report = both.json(&[&["spend", "daily"], more].concat());
        (report["totals"]["llm_calls"].as_u64().unwrap(), report["totals"]["estimated_cost_usd"].clone())
    };
    // Ends that cut a bucket are answered by the journal; both ends are exact to the microsecond.
    let window = |since, until| total(&["--since", since, "--until", until]);
    assert_eq!(window("2026-03-10T10:00:01Z", "2026-03-10T10:20:00Z"), (1, json!("2.5")));
    assert_eq!(window("2026-03-10T10:00:01Z", "2026-03-10T10:20:00.000001Z"), (2, json!("3")));
    assert_eq!(window("2026-03-10T10:00:01.000001Z", "2026-03-10T23:59:59.999999Z"), (1, json!("0.5")));
    assert_eq!(window("2026-03-10T12:00:00+02:00", "2026-03-11T02:00:00+02:00"), (3, json!("3.1503465")));
    // The same through the rollup and, by a filter that changes nothing, through the journal.
    let whole =
        ["--since", "2026-03-01", "--until", "2026-03-11", "--pipeline", "enrichment", "--model", "gpt-4o"];
    let failed = total(&[&whole[..], &["--status", "failed"]].concat());
    let succeeded = total(&[&whole[..], &["--status", "succeeded"]].concat());
    assert_eq!((failed, succeeded), ((1, json!("1")), (3, json!("3.25"))));
    assert_eq!(total(&whole), (4, json!("4.25")));
    for what in ["daily", "agent", "model", "pipeline"] {
        let range = ["--since", "2026-03-10", "--until", "2026-03-10", "--by", "day,agent,model,pipeline"];
        let rollup = both.json(&[&["spend", what], &range[..]].concat());
        let journal = both.json(&[&["spend", what, "--status", "succeeded"], &range[..]].concat());
        assert_eq!(rollup, journal, "all runs of that day succeeded");
    }
}

#[test]
fn comparing_puts_the_same_weekday_side_by_side() {
    let both = both();
    insta::assert_snapshot!(both.snapshot(&spend("daily", &["--compare", "previous"])), @r"
    exit: 0
    --- stdout ---
    day         calls  unpriced   input  output      cost   before    change        in %   share
    ────────────────────────────────────────────────────────────────────────────────────────────
    2026-03-10      3         0    1.2M   10.0K     $3.15  $0.2500  ▲ +$2.90  +1,160.1 %  75.9 %
    2026-03-11      1         0  400.0K       0     $1.00  $0.0000  ▲ +$1.00           –  24.1 %
    2026-03-12      2         2    5.0K       7  unpriced  $0.0000         –           –       –
    ────────────────────────────────────────────────────────────────────────────────────────────
    total           6         2    1.6M   10.0K     $4.15  $0.2500  ▲ +$3.90  +1,560.1 %   100 %
    hidden at 100 columns: of it cached, of it reasoning
    2026-03-09 – 2026-03-15 (7 days) · against 2026-03-02 – 2026-03-08 (7 days) · UTC (the system's) ·
    catalogue 2026-11-20 · 66.7 % of 6 calls priced
    2 calls (33.3 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    // A range from noon to noon: what was 24 h before stands beside it, not a day off.
    let range = ["--since", "2026-03-10T12:00:00Z", "--until", "2026-03-11T12:00:00Z"];
    let report = both.json(&[&["spend", "daily", "--compare", "previous"], &range[..]].concat());
    let before: Vec<_> =
        report["rows"].as_array().unwrap().iter().map(|r| (&r["day"], &r["previous_cost_usd"])).collect();
    assert_eq!(before, [(&json!("2026-03-10"), &json!("0")), (&json!("2026-03-11"), &json!("3"))]);
}

#[test]
fn limits_decide_the_exit_code() {
    let both = both();
    insta::assert_snapshot!(both.run(&spend("model", &["--fail-over", "4.15"])).stderr, @r"over: 4.1503465 USD were spent, --fail-over is 4.15 USD");
    let code = |more: &[&str]| both.run(&spend("daily", more)).code;
    assert_eq!(code(&["--fail-over", "4.15"]), 3);
    assert_eq!(code(&["--fail-over", "4.1503465"]), 0, "more than, not as much as");
    assert_eq!(code(&["--fail-over", "4.1503464"]), 3);
    assert_eq!(code(&["--strict"]), 4);
    assert_eq!(code(&["--strict", "--pipeline", "enrichment"]), 0);
    assert_eq!(code(&["--strict", "--fail-over", "1"]), 3, "what is over weighs more");
    insta::assert_snapshot!(both.run(&spend("daily", &["--strict"])).stderr, @r"unpriced: 2 of 6 calls have no price; `asmm prices missing` names them");
}

#[test]
fn an_empty_ledger_says_the_next_step() {
    let both = Both::new();
    insta::assert_snapshot!(both.snapshot(&["spend", "daily"]), @r"
    exit: 0
    --- stdout ---
    no calls in 2026-02-14 – 2026-03-15 (30 days)
    next: widen the range with `--days`, or load usage with `asmm import`
    2026-02-14 – 2026-03-15 (30 days) · UTC (the system's) · catalogue 2026-11-20
    --- stderr ---
    ");
    let report = both.json(&["spend", "daily"]);
    assert_eq!(report["rows"], json!([]));
    assert_eq!(report["coverage"]["calls"], 0);
    insta::assert_snapshot!(both.snapshot(&["spend", "model", "--format", "csv"]).replace('\r', ""), @r"
    exit: 0
    --- stdout ---
    provider,model,llm_calls,unpriced_calls,llm_tokens_input,cache_read_tokens,llm_tokens_output,reasoning_tokens,embedding_tokens,input_tokens,cache_write_tokens,cache_write_long_tokens,output_tokens,web_searches,estimated_cost_usd,share
    --- stderr ---
    ");
    assert_eq!(both.run(&["spend", "daily", "--strict", "--fail-over", "0"]).code, 0);
    assert_eq!(json(both.run(&["runs", "top", "--format", "json"]))["rows"], json!([]));
}
