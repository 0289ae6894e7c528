//! `asmm spend explain`: the parts of a change, on both databases, and that they add up.

use super::{Both, Native, json};
use crate::support::Sandbox;
use serde_json::{Value, json};

const PARTS: [&str; 6] =
    ["volume_usd", "models_usd", "prompts_usd", "tokens_usd", "prices_usd", "unexplained_usd"];

/// An exact amount in picodollars; unknown is nothing.
fn pico(value: &Value) -> i128 {
    let Some(text) = value.as_str() else { return 0 };
    text.parse::<asmm::domain::Usd>().unwrap().pico()
}

/// The parts of every row and of the totals add up, and the rows to the totals.
#[track_caller]
fn check_sums(report: &Value) {
    let rows = report["rows"].as_array().unwrap();
    for row in rows {
        let parts: i128 = PARTS.iter().map(|part| pico(&row[*part])).sum();
        if row["change_usd"].is_null() {
            assert_eq!(row["volume_usd"], Value::Null, "{row}");
        } else {
            assert_eq!(parts, pico(&row["change_usd"]), "{row}");
            assert_eq!(parts, pico(&row["estimated_cost_usd"]) - pico(&row["previous_cost_usd"]), "{row}");
        }
    }
    let totals = &report["totals"];
    assert_eq!(PARTS.iter().map(|part| pico(&totals[*part])).sum::<i128>(), pico(&totals["change_usd"]));
    for key in PARTS.iter().chain(&["previous_cost_usd", "estimated_cost_usd"]) {
        assert_eq!(rows.iter().map(|row| pico(&row[*key])).sum::<i128>(), pico(&totals[*key]), "{key}");
    }
}

const PROMPT: &str = "schema: asmm.prompt/v1
name: enrichment/researcher
description: Collects
engine: subst/1
variables:
  company: {type: string, sensitivity: public, max_bytes: 200}
messages:
  - {role: user, content: 'Say what {{company}} does.'}
";

const PRICES: &str = r#"schema: asmm.prices/v1
prices:
  - {provider: acme, model: coder, usd_per_million: {input: "1", output: "4"}, source: contract}
  - provider: acme
    model: coder
    effective_from: 2026-03-09
    usd_per_million: {input: "2", output: "4"}
    source: contract
"#;

fn step(run: u32, step: u32, version: u32, at: &str) -> String {
    let (run, step) = (super::id(run), super::id(step));
    format!(
        r#"{{"type":"step","run_id":"{run}","step_id":"{step}","step":"research","agent":"researcher","prompt_version":"enrichment/researcher@{version}","started_at":"{at}"}}"#
    )
}

fn call(run: u32, call: u32, of_step: u32, model: &str, at: &str, usage: (u32, u32)) -> String {
    let (run, call, step) = (super::id(run), super::id(call), super::id(of_step));
    let (provider, name) = model.split_once('/').unwrap();
    format!(
        r#"{{"type":"call","run_id":"{run}","call_id":"{call}","step_id":"{step}","provider":"{provider}","model":"{name}","called_at":"{at}","usage":{{"input":{},"output":{}}}}}"#,
        usage.0, usage.1
    )
}

/// Two weeks: the researcher gets a new prompt, a dearer price and a second model, and more to do; the writer goes, the
/// editor comes, and a local model has no price.
fn two_weeks(both: &Both) {
    for sandbox in both.each() {
        sandbox.file("prices.yaml", PRICES);
        sandbox.run(&["prices", "push", "prices.yaml"]).success();
        sandbox.file("prompts/researcher.yaml", PROMPT);
        sandbox.run(&["prompts", "push", "prompts"]).success();
        sandbox.file("prompts/researcher.yaml", &PROMPT.replace("Say what", "Say at length what"));
        sandbox.run(&["prompts", "push", "prompts"]).success();
    }
    let mut native = Native::default()
        .run(1, "enrichment", "2026-03-03T10:00:00Z")
        .line(&step(1, 100, 1, "2026-03-03T10:00:00Z"))
        .call(1, 190, "writer", "2026-03-03T10:00:30Z", 100_000);
    for n in 0..10 {
        native = native.line(&call(1, 110 + n, 100, "acme/coder", "2026-03-03T10:00:01Z", (100_000, 10_000)));
    }
    native = native
        .finish(1, "succeeded", "2026-03-03T11:00:00Z")
        .run(2, "enrichment", "2026-03-10T10:00:00Z")
        .line(&step(2, 200, 1, "2026-03-10T10:00:00Z"))
        .line(&step(2, 201, 2, "2026-03-10T10:00:00Z"))
        .call(2, 290, "editor", "2026-03-10T10:00:30Z", 40_000)
        .call_of(2, 291, "editor", ("local", "llama-x"), "2026-03-10T10:00:31Z", r#"{"input":5}"#)
        .call_of(2, 292, "", ("local", "llama-x"), "2026-03-10T10:00:32Z", r#"{"input":5}"#);
    for n in 0..8 {
        native = native.line(&call(2, 210 + n, 200, "acme/coder", "2026-03-10T10:00:01Z", (100_000, 10_000)));
    }
    for n in 0..8 {
        native = native.line(&call(2, 230 + n, 201, "acme/coder", "2026-03-10T10:00:01Z", (150_000, 10_000)));
    }
    for n in 0..4 {
        native =
            native.line(&call(2, 250 + n, 201, "openai/gpt-4o", "2026-03-10T10:00:01Z", (150_000, 10_000)));
    }
    let lines = native.finish(2, "succeeded", "2026-03-10T11:00:00Z").0;
    both.run_with_input(&["import", "jsonl"], &lines).success();
}

#[test]
fn a_change_is_told_apart_and_put_into_words() {
    let both = Both::new();
    two_weeks(&both);
    let args = ["spend", "explain", "--days", "7"];
    insta::assert_snapshot!(both.snapshot(&args), @r"
    exit: 0
    --- stdout ---
    agent       calls  unpriced  before     after    change  volume  models  prompts  tokens  prices
    ────────────────────────────────────────────────────────────────────────────────────────────────
    researcher     20         0   $1.40     $6.54  ▲ +$5.14  +$1.40  +$0.84   +$0.90   $0.00  +$2.00
    writer          0         0   $0.25     $0.00  ▼ -$0.25  -$0.25   $0.00    $0.00   $0.00   $0.00
    editor          2         1   $0.00     $0.10  ▲ +$0.10  +$0.10   $0.00    $0.00   $0.00   $0.00
    –               1         1   $0.00  unpriced         –       –       –        –       –       –
    ────────────────────────────────────────────────────────────────────────────────────────────────
    total          23         2   $1.65     $6.64  ▲ +$4.99  +$1.25  +$0.84   +$0.90   $0.00  +$2.00
    hidden at 100 columns: calls before
    researcher: +$5.14: +$2.00 dearer prices (coder), +$1.40 more calls (10 → 20), +$0.90 prompt
    versions (enrichment/researcher@1 → @2), +$0.84 dearer models (coder → gpt-4o)
    writer (gone): -$0.25 fewer calls (1 → 0)
    editor (new): +$0.10 more calls (0 → 1)
    calls without a name: not known, for no call had a price now
    2026-03-09 – 2026-03-15 (7 days) · against 2026-03-02 – 2026-03-08 (7 days) · UTC (the system's) ·
    catalogue 2026-11-20 · 91.3 % of 23 calls priced
    2 calls (8.7 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    insta::assert_snapshot!(both.snapshot(&[&args[..], &["--format", "markdown"]].concat()), @r"
    exit: 0
    --- stdout ---
    ### Why the spend changed

    | agent      | calls before |  calls | unpriced |    before |     after |       change |     volume |     models |    prompts |    tokens |     prices |
    | ---------- | -----------: | -----: | -------: | --------: | --------: | -----------: | ---------: | ---------: | ---------: | --------: | ---------: |
    | researcher |           10 |     20 |        0 |     $1.40 |     $6.54 |     ▲ +$5.14 |     +$1.40 |     +$0.84 |     +$0.90 |     $0.00 |     +$2.00 |
    | writer     |            1 |      0 |        0 |     $0.25 |     $0.00 |     ▼ -$0.25 |     -$0.25 |      $0.00 |      $0.00 |     $0.00 |      $0.00 |
    | editor     |            0 |      2 |        1 |     $0.00 |     $0.10 |     ▲ +$0.10 |     +$0.10 |      $0.00 |      $0.00 |     $0.00 |      $0.00 |
    | –          |            0 |      1 |        1 |     $0.00 |  unpriced |            – |          – |          – |          – |         – |          – |
    | **total**  |       **11** | **23** |    **2** | **$1.65** | **$6.64** | **▲ +$4.99** | **+$1.25** | **+$0.84** | **+$0.90** | **$0.00** | **+$2.00** |

    - researcher: +$5.14: +$2.00 dearer prices (coder), +$1.40 more calls (10 → 20), +$0.90 prompt versions (enrichment/researcher@1 → @2), +$0.84 dearer models (coder → gpt-4o)
    - writer (gone): -$0.25 fewer calls (1 → 0)
    - editor (new): +$0.10 more calls (0 → 1)
    - calls without a name: not known, for no call had a price now

    > 2026-03-09 – 2026-03-15 (7 days) · against 2026-03-02 – 2026-03-08 (7 days) · UTC (the system's) · catalogue 2026-11-20 · 91.3 % of 23 calls priced
    >
    > **Warning:** 2 calls (8.7 %) are unpriced and not in these sums: see `asmm prices missing`
    --- stderr ---
    ");
    let report = both.json(&args);
    check_sums(&report);
    assert_eq!(report["schema"], "asmm.spend_explain/1");
    assert_eq!(report["against"]["since"], "2026-03-02T00:00:00Z");
    assert_eq!(report["coverage"]["unpriced"], 2);
    let researcher = &report["rows"][0];
    assert_eq!(
        PARTS.map(|part| researcher[part].clone()),
        // 10 more calls at 0.14; 4 of 20 on gpt-4o (0.35 instead of 0.14); 12 under version 2 with 50k more tokens, at
        // 1 and 2.50 USD a million; 16 at 1 USD a million more.
        [json!("1.4"), json!("0.84"), json!("0.9"), json!("0"), json!("2"), json!("0")]
    );
    let nameless = report["rows"].as_array().unwrap().iter().find(|row| row["agent"].is_null()).unwrap();
    assert_eq!((&nameless["estimated_cost_usd"], &nameless["change_usd"]), (&Value::Null, &Value::Null));
    assert_eq!(both.run(&[&args[..], &["--strict"]].concat()).code, 4);
    assert_eq!(both.run(&[&args[..], &["--strict", "--agent", "researcher"]].concat()).code, 0);
    for by in ["pipeline", "model"] {
        let other = both.json(&[&args[..], &["--by", by]].concat());
        check_sums(&other);
        assert_eq!(other["totals"]["change_usd"], report["totals"]["change_usd"]);
    }
    let backwards = [
        "spend",
        "explain",
        "--since",
        "2026-03-02",
        "--until",
        "2026-03-08",
        "--against",
        "2026-03-09..2026-03-15",
    ];
    let backwards = both.json(&backwards);
    check_sums(&backwards);
    assert_eq!(pico(&backwards["totals"]["change_usd"]), -pico(&report["totals"]["change_usd"]));
}

/// Numbers in words are written as those in tables are.
#[test]
fn large_numbers_in_words_have_separators() {
    let both = Both::new();
    let mut native = Native::default().run(1, "p", "2026-03-03T10:00:00Z");
    for n in 0..1_001 {
        let (agent, model) =
            if n == 0 { ("writer", ("openai", "gpt-4o")) } else { ("local", ("local", "llama-x")) };
        native = native.call_of(1, n, agent, model, "2026-03-03T10:00:01Z", r#"{"input":1000}"#);
    }
    native = native.finish(1, "succeeded", "2026-03-03T11:00:00Z").run(2, "p", "2026-03-10T10:00:00Z");
    for n in 2_000..3_100 {
        native =
            native.call_of(2, n, "writer", ("openai", "gpt-4o"), "2026-03-10T10:00:01Z", r#"{"input":2500}"#);
    }
    let lines = native.finish(2, "succeeded", "2026-03-10T11:00:00Z").0;
    both.run_with_input(&["import", "jsonl"], &lines).success();
    let text =
        both.run(&["spend", "explain", "--days", "7", "--against", "2026-01-01..2026-03-08"]).success();
    let text = text.replace('\n', " ");
    for words in [
        "more calls (1 → 1,100)",
        "more tokens per call (1,000 → 2,500)",
        "the ranges are not of one length: 7 days against 67 days",
        "1,000 calls of the range before had no price either",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn ranges_are_checked() {
    let sandbox = super::sqlite();
    let said = |against: &str| {
        let output = sandbox.run(&["spend", "explain", "--days", "7", "--against", against]);
        format!("{}: {}", output.code, output.stderr)
    };
    insta::assert_snapshot!(said("last week"), @r"
    2: error: --against `last week` is no range
    hint: write `previous`, or two days or times: 2026-11-01..2026-11-07
    ");
    insta::assert_snapshot!(said("2026-03-01..soon"), @r"
    2: error: --against `soon` is neither a day nor a time
    hint: write a day such as 2026-11-01, or a time with an offset such as 2026-11-01T12:00:00Z
    ");
    insta::assert_snapshot!(said("2026-03-08..2026-03-01"), @r"
    2: error: the range is empty: it starts at 2026-03-08T00:00:00Z and ends at 2026-03-02T00:00:00Z
    hint: --since must come before --until; dates are inclusive
    ");
}

/// What is archived is still in the sums; what it was is not known, and it says so.
#[test]
fn archived_calls_are_named_and_not_guessed() {
    let both = Both::new();
    two_weeks(&both);
    let args = ["spend", "explain", "--days", "7"];
    let before = both.json(&args);
    for sandbox in both.each() {
        sandbox.run(&["runs", "archive", "--before", "2026-03-05", "--output", "old.jsonl.gz"]).success();
    }
    let after = both.json(&args);
    check_sums(&after);
    assert_eq!(after["totals"]["change_usd"], before["totals"]["change_usd"]);
    assert_eq!(after["totals"]["previous_cost_usd"], before["totals"]["previous_cost_usd"]);
    assert_eq!(after["totals"]["previous_archived_calls"], 11);
    assert_eq!(pico(&after["totals"]["unexplained_usd"]), -pico(&before["totals"]["previous_cost_usd"]));
    let text = both.run(&args).success();
    assert!(text.contains("11 calls are archived"), "{text}");
}

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(u64::try_from(of.len()).unwrap())).unwrap()]
    }
}

/// Random ledgers, a day each, through both databases: every pair of neighbours adds up, to what the other reports say.
#[test]
fn random_ledgers_add_up_on_both_databases() {
    const DAYS: u64 = 28;
    const MODELS: [&str; 6] = [
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
        "anthropic/claude-sonnet-4-5-20250929",
        "anthropic/claude-haiku-4-5-20251001",
        "openai/text-embedding-3-small",
        "local/llama-x",
    ];
    let both = Both::new();
    let mut random = Random(0x5EED_1234_ABCD);
    let mut native = Native::default();
    let mut next = 1_000_u32;
    for day in 0..DAYS {
        let run = u32::try_from(day).unwrap() + 1;
        let date = format!("2026-02-{:02}", day + 1);
        native = native.run(run, random.one(&["a", "b"]), &format!("{date}T01:00:00Z"));
        for _ in 0..random.below(30) {
            let (provider, model) = random.one(&MODELS).split_once('/').unwrap();
            let usage = match model {
                "text-embedding-3-small" => format!(r#"{{"embedding":{}}}"#, random.below(100_000)),
                _ if random.below(20) == 0 => "null".to_owned(),
                _ => format!(
                    r#"{{"input":{},"cache_read":{},"output":{},"reasoning":{}}}"#,
                    random.below(300_000),
                    random.below(2) * random.below(90_000),
                    random.below(20_000),
                    random.below(2) * random.below(900)
                ),
            };
            let agent = random.one(&["researcher", "writer", "editor", ""]);
            let at = format!("{date}T{:02}:{:02}:00Z", random.below(24), random.below(60));
            native = native.call_of(run, next, agent, (provider, model), &at, &usage);
            next += 1;
        }
    }
    both.run_with_input(&["import", "jsonl"], &native.0).success();
    for day in 2..=DAYS {
        let (date, other) = (format!("2026-02-{day:02}"), format!("2026-02-{:02}", random.below(DAYS) + 1));
        let against = format!("{other}..{other}");
        let by = random.one(&["agent", "model", "pipeline"]);
        let report = both.json(&[
            "spend",
            "explain",
            "--since",
            &date,
            "--until",
            &date,
            "--against",
            &against,
            "--by",
            by,
        ]);
        check_sums(&report);
        let spent = |day: &str| {
            let report =
                json(both.sqlite.run(&["spend", by, "--since", day, "--until", day, "--format", "json"]));
            pico(&report["totals"]["estimated_cost_usd"])
        };
        assert_eq!(pico(&report["totals"]["change_usd"]), spent(&date) - spent(&other), "{date} {other}");
    }
}

/// Every mark of the tables has a form in ASCII.
#[test]
fn ascii_alone_is_enough() {
    let both = Both::new();
    two_weeks(&both);
    let is_ascii = |sandbox: &Sandbox, args: &[&str]| {
        let text = sandbox.run(args).success();
        assert!(text.is_ascii(), "{args:?}\n{text}");
        text
    };
    insta::assert_snapshot!(is_ascii(&both.sqlite, &["spend", "explain", "--days", "7", "--ascii"]), @r"
    agent       calls  unpriced  before     after    change  volume  models  prompts  tokens  prices
    ------------------------------------------------------------------------------------------------
    researcher     20         0   $1.40     $6.54  ^ +$5.14  +$1.40  +$0.84   +$0.90   $0.00  +$2.00
    writer          0         0   $0.25     $0.00  v -$0.25  -$0.25   $0.00    $0.00   $0.00   $0.00
    editor          2         1   $0.00     $0.10  ^ +$0.10  +$0.10   $0.00    $0.00   $0.00   $0.00
    -               1         1   $0.00  unpriced         -       -       -        -       -       -
    ------------------------------------------------------------------------------------------------
    total          23         2   $1.65     $6.64  ^ +$4.99  +$1.25  +$0.84   +$0.90   $0.00  +$2.00
    hidden at 100 columns: calls before
    researcher: +$5.14: +$2.00 dearer prices (coder), +$1.40 more calls (10 -> 20), +$0.90 prompt
    versions (enrichment/researcher@1 -> @2), +$0.84 dearer models (coder -> gpt-4o)
    writer (gone): -$0.25 fewer calls (1 -> 0)
    editor (new): +$0.10 more calls (0 -> 1)
    calls without a name: not known, for no call had a price now
    2026-03-09 to 2026-03-15 (7 days) | against 2026-03-02 to 2026-03-08 (7 days) | UTC (the system's) |
    catalogue 2026-11-20 | 91.3 % of 23 calls priced
    2 calls (8.7 %) are unpriced and not in these sums: see `asmm prices missing`
    ");
    for args in [
        &["spend", "agent", "--days", "14", "--compare", "previous", "--ascii"][..],
        &["spend", "daily", "--days", "14", "--ascii"],
        &["spend", "model", "--days", "14", "--ascii"],
        &["runs", "top", "--days", "14", "--ascii"],
        &["runs", "explain", "last", "--ascii"],
    ] {
        is_ascii(&both.sqlite, args);
    }
    let quiet = Sandbox::new().with_env("ASMM_ASCII", "1");
    quiet.run_with_input(&["import", "jsonl"], &super::spend::sample()).success();
    is_ascii(&quiet, &["spend", "agent", "--days", "14"]);
    let plain = Sandbox::new().with_env("LC_ALL", "C");
    plain.run_with_input(&["import", "jsonl"], &super::spend::sample()).success();
    is_ascii(&plain, &["spend", "agent", "--days", "14"]);
    let file = Sandbox::new();
    file.file("asmm.yaml", "ascii: true\n");
    file.run_with_input(&["import", "jsonl"], &super::spend::sample()).success();
    is_ascii(&file, &["spend", "agent", "--days", "14"]);
}
