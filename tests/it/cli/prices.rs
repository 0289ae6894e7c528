//! `asmm prices`: your own prices, aliases, what is missing, and pricing again.

use super::{Both, Native, id};
use crate::support::{Sandbox, psql};
use serde_json::json;

pub fn push(both: &Both, yaml: &str) -> String {
    for sandbox in both.each() {
        sandbox.file("prices.yaml", yaml);
    }
    both.snapshot(&["prices", "push", "prices.yaml"])
}

pub fn file(entries: &str) -> String {
    format!("schema: asmm.prices/v1\nprices:\n{entries}")
}

fn cost(both: &Both, run: u32) -> serde_json::Value {
    both.json(&["runs", "show", &id(run)])["estimated_cost_usd"].clone()
}

fn record(both: &Both, lines: &Native) {
    both.run_with_input(&["import", "jsonl", "--strict"], &lines.0).success();
}

fn price_events(both: &Both) -> String {
    let schema = both.postgres.env("ASMM_SCHEMA").unwrap();
    psql(
        "select count(*), coalesce(string_agg(distinct reason, '|' order by reason), '') from price_event",
        schema,
    )
    .success()
}

#[test]
fn a_local_model_gets_a_price_for_what_was_recorded_before() {
    let both = Both::new();
    record(
        &both,
        &Native::default()
            .run(1, "p", "2026-03-10T10:00:00Z")
            .call_of(
                1,
                10,
                "a",
                ("vllm", "our-llama"),
                "2026-03-10T10:00:00Z",
                r#"{"input":1000000,"output":2}"#,
            )
            .call_of(
                1,
                11,
                "a",
                ("vllm", "our-llama"),
                "2026-03-10T10:00:01Z",
                r#"{"input":1,"web_searches":1}"#,
            )
            .call_of(1, 12, "a", ("vllm", "our-llama"), "2026-03-10T10:00:02Z", "null"),
    );
    insta::assert_snapshot!(both.snapshot(&["prices", "missing"]), @r"
    exit: 0
    --- stdout ---
    provider  model      tier      calls  without usage  input  output  embedding  last
    ───────────────────────────────────────────────────────────────────────────────────────────────
    vllm      our-llama  standard      3              1   1.0M       2          0  2026-03-10 10:00
    hidden at 100 columns: first
    2026-02-14 – 2026-03-15 (30 days) · UTC (the system's) · catalogue 2026-11-20
    `asmm prices push` adds a price, `asmm prices alias` names one there is; calls without usage stay
    unpriced
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["runs", "explain", &id(1)]), @r"
    exit: 0
    --- stdout ---
    run               00000000-0000-7000-8000-000000000001
    pipeline          p
    status            running
    started           2026-03-10 10:00:00
    completed         –
    costed            –
    calls             3
    unpriced          3
    input tokens      1,000,001
    output tokens     2
    embedding tokens  0
    cost (USD)        unpriced

    calls
    call           model      kind  count  × rate  per  = amount  price entry  note
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    …00000000000a  our-llama  –         –       –  –    unpriced  –            the catalogue has no suc…
    …00000000000b  our-llama  –         –       –  –    unpriced  –            the catalogue has no suc…
    …00000000000c  our-llama  –         –       –  –    unpriced  –            no usage was reported
    hidden at 100 columns: called, tier, state, since, source

    UTC (the system's) · catalogue 2026-11-20 · 0 % of 3 calls priced
    3 calls (100 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(
        push(&both, &file("  - {provider: vllm, model: our-llama, usd_per_million: {input: 0.1, output: 0.25}}")),
        @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    1 price written, 0 were there already
    1 call that had no price is priced now: 0.1000005 USD
    "
    );
    assert_eq!(cost(&both, 1), "0.1000005");
    insta::assert_snapshot!(both.snapshot(&["runs", "explain", &id(1)]), @r"
    exit: 0
    --- stdout ---
    run               00000000-0000-7000-8000-000000000001
    pipeline          p
    status            running
    started           2026-03-10 10:00:00
    completed         –
    costed            –
    calls             3
    unpriced          2
    input tokens      1,000,001
    output tokens     2
    embedding tokens  0
    cost (USD)        $0.1000

    calls
    call           kind        count  × rate  per          = amount  note
    ───────────────────────────────────────────────────────────────────────────────────────────────────
    …00000000000a  input   1,000,000   $0.10  1M tokens  $0.1000000  –
    …00000000000a  output          2   $0.25  1M tokens  $0.0000005  –
    …00000000000b  –               –       –  –            unpriced  vllm/our-llama lacks a rate for a…
    …00000000000c  –               –       –  –            unpriced  no usage was reported
    hidden at 100 columns: called, model, tier, state, price entry, since, source

    UTC (the system's) · catalogue 2026-11-20 · 33.3 % of 3 calls priced
    2 calls (66.7 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "missing", "--format", "csv"]).replace('\r', ""), @r"
    exit: 0
    --- stdout ---
    provider,model,service_tier,llm_calls,without_usage,llm_tokens_input,llm_tokens_output,embedding_tokens,first_called_at,last_called_at
    vllm,our-llama,standard,2,1,1,0,0,2026-03-10T10:00:01Z,2026-03-10T10:00:02Z
    --- stderr ---
    ");
    assert!(price_events(&both).starts_with("1|"), "{}", price_events(&both));
    // Pushing the same again writes nothing.
    insta::assert_snapshot!(
        push(&both, &file("  - {provider: vllm, model: our-llama, usd_per_million: {input: 0.1, output: 0.25}}")),
        @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    0 prices written, 1 was there already
    "
    );
    insta::assert_snapshot!(both.snapshot(&["prices", "list", "our-llama", "--format", "json"]), @r#"
    exit: 0
    --- stdout ---
    {"schema":"asmm.prices/1","window":null,"time_zone":null,"catalogue":"2026-11-20","coverage":null,"totals":null,"rows":[{"provider":"vllm","model":"our-llama","service_tier":"standard","over_input_tokens":null,"effective_from":null,"daily_utc":null,"input_usd_per_million":"0.1","cache_read_usd_per_million":null,"cache_write_usd_per_million":null,"cache_write_long_usd_per_million":null,"output_usd_per_million":"0.25","reasoning_usd_per_million":null,"embedding_usd_per_million":"0.1","web_search_usd_per_thousand":null,"request_usd_per_thousand":null,"origin":"user","source":"user","price_id":6207}]}
    --- stderr ---
    "#);
}

#[test]
fn a_contract_counts_from_its_date_and_history_stands_still() {
    let both = Both::new();
    record(
        &both,
        &Native::default()
            .run(1, "p", "2026-03-01T10:00:00Z")
            .call(1, 10, "a", "2026-03-09T23:59:59.999999Z", 1_000_000)
            .call(1, 11, "a", "2026-03-10T00:00:00Z", 1_000_000),
    );
    let contract = "  - {provider: openai, model: gpt-4o, effective_from: 2026-03-10, usd_per_million: {input: 2, output: 8}, source: contract}";
    push(&both, &file(contract));
    assert_eq!(cost(&both, 1), "5", "what is priced stays");
    record(
        &both,
        &Native::default()
            .run(2, "p", "2026-03-01T10:00:00Z")
            .call(2, 10, "a", "2026-03-09T23:59:59.999999Z", 1_000_000)
            .call(2, 11, "a", "2026-03-10T00:00:00Z", 1_000_000),
    );
    assert_eq!(cost(&both, 2), "4.5", "2.50 before the date, 2.00 from it on");
    let before = both.json(&["spend", "daily", "--by", "model"]);
    let events = price_events(&both);
    insta::assert_snapshot!(both.snapshot(&["prices", "reprice", "--dry-run"]), @r"
    exit: 0
    --- stdout ---
    run                                   calls  before  after    change
    ────────────────────────────────────────────────────────────────────
    00000000-0000-7000-8000-000000000001      1   $2.50  $2.00  -$0.5000
    ────────────────────────────────────────────────────────────────────
    total                                     1   $2.50  $2.00  -$0.5000
    2026-02-14 – 2026-03-15 (30 days) · UTC (the system's) · catalogue 2026-11-20
    nothing was changed: this was a dry run
    --- stderr ---
    ");
    assert_eq!(both.json(&["spend", "daily", "--by", "model"]), before);
    assert_eq!(price_events(&both), events);
    insta::assert_snapshot!(both.sqlite.snapshot(&["prices", "reprice"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: the following required arguments were not provided:
      --reason <TEXT>

    Usage: asmm prices reprice --reason <TEXT>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(both.snapshot(&["prices", "reprice", "--reason", ""]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: a value is required for '--reason <TEXT>' but none was supplied

    For more information, try '--help'.
    ");
    let wrong = both.json(&["prices", "reprice", "--reason", "r", "--model", "gpt-4o-mini"]);
    assert_eq!(wrong["rows"], json!([]));
    insta::assert_snapshot!(both.snapshot(&["prices", "reprice", "--reason", "contract 17", "--format", "json"]), @r#"
    exit: 0
    --- stdout ---
    {"schema":"asmm.prices_reprice/1","window":{"since":"2026-02-14T00:00:00Z","until":"2026-03-16T00:00:00Z","days":30},"time_zone":"UTC","catalogue":"2026-11-20","coverage":null,"totals":{"llm_calls":1,"cost_before_usd":"2.5","cost_after_usd":"2","change_usd":"-0.5"},"rows":[{"run_id":"00000000-0000-7000-8000-000000000001","llm_calls":1,"cost_before_usd":"2.5","cost_after_usd":"2","change_usd":"-0.5"}]}
    --- stderr ---
    "#);
    assert_eq!(cost(&both, 1), "4.5");
    assert_eq!(both.json(&["spend", "daily"])["totals"]["estimated_cost_usd"], "9");
    assert!(price_events(&both).contains("contract 17"), "{}", price_events(&both));
    insta::assert_snapshot!(both.snapshot(&["prices", "reprice", "--reason", "again"]), @r"
    exit: 0
    --- stdout ---
    no calls whose price changed in 2026-02-14 – 2026-03-15 (30 days)
    next: what is recorded is what today's prices say
    2026-02-14 – 2026-03-15 (30 days) · UTC (the system's) · catalogue 2026-11-20
    --- stderr ---
    ");
    // A correction of the contract is a new revision; the old one is still listed with --all.
    push(&both, &file(&contract.replace("input: 2,", "input: 1,")));
    assert_eq!(
        both.json(&["prices", "list", "gpt-4o", "--origin", "user"])["rows"].as_array().unwrap().len(),
        1
    );
    let all = both.json(&["prices", "list", "gpt-4o", "--origin", "user", "--all"]);
    assert_eq!(all["rows"].as_array().unwrap().len(), 2);
    assert_eq!(cost(&both, 2), "4.5");
}

#[test]
fn aliases_say_what_a_name_means() {
    let both = Both::new();
    record(
        &both,
        &Native::default().run(1, "p", "2026-03-10T10:00:00Z").call_of(
            1,
            10,
            "a",
            ("gateway", "team/fast"),
            "2026-03-10T10:00:00Z",
            r#"{"input":1000000}"#,
        ),
    );
    let alias = |args: &[&str]| both.snapshot(&[&["prices", "alias"], args].concat());
    insta::assert_snapshot!(alias(&["team/fast", "openai/no-such"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: there are no prices for `openai/no-such`
    hint: `asmm prices list` shows what there is; `asmm prices push` adds your own
    ");
    insta::assert_snapshot!(alias(&["team/fast", "gpt-4o"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `gpt-4o` is not PROVIDER/MODEL
    hint: `asmm prices list` shows providers and models, such as openai/gpt-4o
    ");
    insta::assert_snapshot!(alias(&["team/fast"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: the alias has no target
    hint: asmm prices alias NAME PROVIDER/MODEL, or asmm prices alias NAME --remove
    ");
    insta::assert_snapshot!(alias(&["team/fast", "openai/gpt-4o"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    `team/fast` is priced as openai/gpt-4o
    1 call that had no price is priced now: 2.5 USD
    ");
    assert_eq!(cost(&both, 1), "2.5");
    insta::assert_snapshot!(alias(&[]), @r"
    exit: 0
    --- stdout ---
    reported by  as model   priced as  model   says
    ────────────────────────────────────────────────────
    –            team/fast  openai     gpt-4o  user
    gateway      team/fast  –          –       catalogue
    catalogue 2026-11-20
    --- stderr ---
    ");
    insta::assert_snapshot!(alias(&["team/fast", "--remove"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    `team/fast` has no alias of yours any more
    ");
    assert_eq!(cost(&both, 1), "2.5", "what is priced stays");
    record(
        &both,
        &Native::default().call_of(
            1,
            11,
            "a",
            ("gateway", "team/fast"),
            "2026-03-10T10:00:00Z",
            r#"{"input":1}"#,
        ),
    );
    assert_eq!(both.json(&["runs", "show", &id(1)])["unpriced_calls"], 1);
}

#[test]
fn a_catalogue_is_there_from_the_start() {
    let sandbox = Sandbox::new();
    let list = super::json(sandbox.run(&[
        "prices",
        "list",
        "--provider",
        "openai",
        "gpt-4o-mini",
        "--format",
        "json",
    ]));
    assert_eq!(list["schema"], "asmm.prices/1");
    let row = list["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["model"] == "gpt-4o-mini" && r["service_tier"] == "standard");
    assert_eq!(row.unwrap()["input_usd_per_million"], "0.15");
}
