//! What the renderers write, at the widths people have.

use super::*;
use crate::domain::{Timestamp, Usd};
use chrono::NaiveDate;
use insta::assert_snapshot;

mod drawn;
mod random;

#[derive(Clone)]
struct Spend {
    agent: &'static str,
    run: &'static str,
    calls: u64,
    input: u64,
    cost: Option<&'static str>,
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn spend(agent: &'static str, calls: u64, input: u64, cost: Option<&'static str>) -> Spend {
    Spend { agent, run: "0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60", calls, input, cost }
}

fn sample() -> Vec<Spend> {
    vec![
        spend("company-summary", 12_034, 48_203_117, Some("1234.5678901")),
        spend("日本語の要約エージェント", 300, 1_200_450, Some("56.7")),
        spend("🚀 launch 👩‍🚀 crew", 10, 999, Some("0.0004")),
        spend("evil\u{1b}[31m|name\n", 1, 0, None),
    ]
}

fn report_of(rows: &[Spend]) -> Report {
    let total = spend("", 12_345, 49_404_566, Some("1291.2682901"));
    let whole = usd("1291.2682901");
    let cost = |row: &Spend| row.cost.map(usd);
    let table = Table::of(rows)
        .totals(&total)
        .column(Column::new(Kind::Text, "agent", "agent"), |row| row.agent)
        .column(Column::new(Kind::Id, "run_id", "last run").keep(3), |row| Cell::id(row.run))
        .column(Column::new(Kind::Count, "llm_calls", "calls").keep(2), |row| Cell::Count(row.calls))
        .column(Column::new(Kind::Tokens, "llm_tokens_input", "input").keep(1), |row| Cell::Tokens(row.input))
        .column(Column::new(Kind::Usd, "estimated_cost_usd", "cost"), |row| Cell::cost(cost(row)))
        .column(Column::new(Kind::Share, "share", "share").keep(4), |row| {
            cost(row).map_or(Cell::Missing, |part| Cell::share_of_usd(part, whole))
        })
        .column(Column::bar(""), |row| Cell::cost(cost(row)));
    let zone = "Europe/Berlin".parse().unwrap();
    Report {
        scope: Scope {
            window: Some(Window::dates(day("2026-11-16"), day("2026-11-22"), zone).unwrap()),
            against: None,
            zone: None,
            zone_source: Some("from ASMM_TZ".to_owned()),
            catalogue: Some("2026-11-20".to_owned()),
            coverage: Some(Coverage { priced: 12_344, calls: 12_345 }),
        },
        ..Report::new("asmm.spend_agent/1", table)
    }
}

fn shown(report: &Report, style: Style) -> String {
    let text = report.to_text(Format::Table, style).unwrap();
    for line in text.lines().filter(|_| !style.color) {
        assert!(text::width(line) <= style.width, "{} columns: {line}", text::width(line));
    }
    text
}

#[test]
fn wide() {
    assert_snapshot!(shown(&report_of(&sample()), Style::plain(160)), @r##"
    agent                     last run                               calls       input       cost   share
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    company-summary           0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60  12,034  48,203,117  $1,234.57  95.6 %  ████████████████████
    日本語の要約エージェント  0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60     300   1,200,450     $56.70   4.4 %  ▉
    🚀 launch 👩‍🚀 crew         0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60      10         999     <$0.01  <0.1 %  ▏
    evil\u{1b}[31m|name\n     0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60       1           0   unpriced       –
    ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                                           12,345  49,404,566  $1,291.27   100 %
    2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) · catalogue 2026-11-20 · >99.9 % of 12,345 calls priced
    1 call (<0.1 %) is unpriced and not in these sums: see `asmm prices missing`
    "##);
}

#[test]
fn of_80_columns() {
    assert_snapshot!(shown(&report_of(&sample()), Style::plain(80)), @r##"
    agent                  last run        calls  input       cost   share
    ────────────────────────────────────────────────────────────────────────────────
    company-summary        …1b2c3d4e5f60  12,034  48.2M  $1,234.57  95.6 %  ████████
    日本語の要約エージェ…  …1b2c3d4e5f60     300   1.2M     $56.70   4.4 %  ▍
    🚀 launch 👩‍🚀 crew      …1b2c3d4e5f60      10    999     <$0.01  <0.1 %  ▏
    evil\u{1b}[31m|name\n  …1b2c3d4e5f60       1      0   unpriced       –
    ────────────────────────────────────────────────────────────────────────────────
    total                                 12,345  49.4M  $1,291.27   100 %
    2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) ·
    catalogue 2026-11-20 · >99.9 % of 12,345 calls priced
    1 call (<0.1 %) is unpriced and not in these sums: see `asmm prices missing`
    "##);
}

#[test]
fn of_40_columns() {
    assert_snapshot!(shown(&report_of(&sample()), Style::plain(40)), @r##"
    agent                  input       cost
    ───────────────────────────────────────
    company-summary        48.2M  $1,234.57
    日本語の要約エージェ…   1.2M     $56.70
    🚀 launch 👩‍🚀 crew        999     <$0.01
    evil\u{1b}[31m|name\n      0   unpriced
    ───────────────────────────────────────
    total                  49.4M  $1,291.27
    hidden at 40 columns: last run, calls,
    share
    2026-11-16 – 2026-11-22 (7 days) ·
    Europe/Berlin (from ASMM_TZ) ·
    catalogue 2026-11-20 ·
    >99.9 % of 12,345 calls priced
    1 call (<0.1 %) is unpriced and not in
    these sums: see `asmm prices missing`
    "##);
}

#[test]
fn of_80_columns_in_ascii() {
    assert_snapshot!(shown(&report_of(&sample()), Style { width: 80, color: false, unicode: false }), @r##"
    agent                  last run        calls  input       cost   share
    --------------------------------------------------------------------------------
    company-summary        ...2c3d4e5f60  12,034  48.2M  $1,234.57  95.6 %  ########
    日本語の要約エージ...  ...2c3d4e5f60     300   1.2M     $56.70   4.4 %  #
    🚀 launch 👩‍🚀 crew      ...2c3d4e5f60      10    999     <$0.01  <0.1 %  #
    evil\u{1b}[31m|name\n  ...2c3d4e5f60       1      0   unpriced       -
    --------------------------------------------------------------------------------
    total                                 12,345  49.4M  $1,291.27   100 %
    2026-11-16 to 2026-11-22 (7 days) | Europe/Berlin (from ASMM_TZ) |
    catalogue 2026-11-20 | >99.9 % of 12,345 calls priced
    1 call (<0.1 %) is unpriced and not in these sums: see `asmm prices missing`
    "##);
}

#[test]
fn of_80_columns_in_colour() {
    let style = Style { width: 80, color: true, unicode: true };
    assert_snapshot!(shown(&report_of(&sample()[..1]), style).replace('\u{1b}', "ESC"), @r##"
    ESC[1magent            last run              calls  input       cost   shareESC[0m
    ESC[2m────────────────────────────────────────────────────────────────────────────────ESC[0m
    company-summary  …-9f00-1b2c3d4e5f60  12,034  48.2M  $1,234.57  95.6 %  ESC[36m████████ESC[0m
    ESC[2m────────────────────────────────────────────────────────────────────────────────ESC[0m
    ESC[1mtotal                                 12,345  49.4M  $1,291.27   100 %ESC[0m
    ESC[2m2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) ·ESC[0m
    ESC[2mcatalogue 2026-11-20 · >99.9 % of 12,345 calls pricedESC[0m
    ESC[33m1 call (<0.1 %) is unpriced and not in these sums: see `asmm prices missing`ESC[0m
    "##);
}

#[test]
fn nothing_says_what_to_do_next() {
    let mut report = report_of(&[]);
    report.scope.coverage = Some(Coverage { priced: 0, calls: 0 });
    assert_snapshot!(shown(&report, Style::plain(80)), @r##"
    no calls in 2026-11-16 – 2026-11-22 (7 days)
    next: widen the range with `--days`, or load usage with `asmm import`
    2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) ·
    catalogue 2026-11-20
    "##);
    assert_snapshot!(report.to_text(Format::Markdown, Style::plain(80)).unwrap(), @r##"
    no calls in 2026-11-16 – 2026-11-22 (7 days)

    next: widen the range with `--days`, or load usage with `asmm import`

    > 2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) · catalogue 2026-11-20
    "##);
    assert_snapshot!(report.to_text(Format::Csv, Style::plain(80)).unwrap(), @r##"
    agent,run_id,llm_calls,llm_tokens_input,estimated_cost_usd,share
    "##);
    let json: serde_json::Value =
        serde_json::from_str(&report.to_text(Format::Json, Style::plain(80)).unwrap()).unwrap();
    assert_eq!(json["rows"], serde_json::json!([]));
    assert_eq!(json["coverage"]["share"], serde_json::Value::Null);
}

#[test]
fn huge_numbers_do_not_break_lines() {
    let huge = [spend("a", u64::MAX, u64::MAX, Some("123456789012345678901234.123456789012"))];
    assert_snapshot!(shown(&report_of(&huge), Style::plain(160)), @r##"
    agent  last run                                                   calls  input                                 cost                              share
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    a      0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60  18,446,744,073,709,551,615  18.4E  $123,456,789,012,345,678,901,234.12  9,560,893,732,118,883,956,321.2 %  ████████
    ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                                            12,345  49.4M                            $1,291.27                              100 %
    2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) · catalogue 2026-11-20 · >99.9 % of 12,345 calls priced
    1 call (<0.1 %) is unpriced and not in these sums: see `asmm prices missing`
    "##);
    assert_snapshot!(shown(&report_of(&huge), Style::plain(40)), @r##"
    agent
    ─────
    a
    ─────
    total
    hidden at 40 columns: last run, calls,
    input, cost, share
    2026-11-16 – 2026-11-22 (7 days) ·
    Europe/Berlin (from ASMM_TZ) ·
    catalogue 2026-11-20 ·
    >99.9 % of 12,345 calls priced
    1 call (<0.1 %) is unpriced and not in
    these sums: see `asmm prices missing`
    "##);
}

#[test]
fn json_is_exact() {
    assert_snapshot!(report_of(&sample()[2..]).to_text(Format::Json, Style::plain(1)).unwrap(), @r##"
    {"schema":"asmm.spend_agent/1","window":{"since":"2026-11-15T23:00:00Z","until":"2026-11-22T23:00:00Z","days":7},"time_zone":"Europe/Berlin","catalogue":"2026-11-20","coverage":{"calls":12345,"priced":12344,"unpriced":1,"share":"0.999919"},"totals":{"llm_calls":12345,"llm_tokens_input":49404566,"estimated_cost_usd":"1291.2682901","share":"1.000000"},"rows":[{"agent":"🚀 launch 👩‍🚀 crew","run_id":"0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60","llm_calls":10,"llm_tokens_input":999,"estimated_cost_usd":"0.0004","share":"0.000001"},{"agent":"evil\u001b[31m|name\n","run_id":"0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60","llm_calls":1,"llm_tokens_input":0,"estimated_cost_usd":null,"share":null}]}
    "##);
}

#[test]
fn csv_is_exact_and_runs_no_formula() {
    let rows = [spend("=1+1", 1, 2, Some("-0.5")), spend("a, \"b\"\n", 1, 2, None)];
    assert_snapshot!(report_of(&rows).to_text(Format::Csv, Style::plain(1)).unwrap(), @r##"
    agent,run_id,llm_calls,llm_tokens_input,estimated_cost_usd,share
    '=1+1,0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60,1,2,-0.5,-0.000387
    "a, ""b""
    ",0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60,1,2,,
    "##);
}

#[test]
fn markdown_is_in_full_and_escaped() {
    assert_snapshot!(report_of(&sample()).to_text(Format::Markdown, Style::plain(1)).unwrap(), @r##"
    | agent                     | last run                             |      calls |          input |          cost |     share |
    | ------------------------- | ------------------------------------ | ---------: | -------------: | ------------: | --------: |
    | company-summary           | 0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60 |     12,034 |     48,203,117 |     $1,234.57 |    95.6 % |
    | 日本語の要約エージェント  | 0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60 |        300 |      1,200,450 |        $56.70 |     4.4 % |
    | 🚀 launch 👩‍🚀 crew         | 0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60 |         10 |            999 |     &lt;$0.01 | &lt;0.1 % |
    | evil\\u{1b}\[31m\|name\\n | 0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60 |          1 |              0 |      unpriced |         – |
    | **total**                 |                                      | **12,345** | **49,404,566** | **$1,291.27** | **100 %** |

    > 2026-11-16 – 2026-11-22 (7 days) · Europe/Berlin (from ASMM_TZ) · catalogue 2026-11-20 · >99.9 % of 12,345 calls priced
    >
    > **Warning:** 1 call (<0.1 %) is unpriced and not in these sums: see `asmm prices missing`
    "##);
}

fn run_document() -> Document {
    let time: Timestamp = "2026-11-20T12:00:05.25Z".parse().unwrap();
    let scope = Scope { zone: Some(Tz::Europe__Berlin), ..Scope::default() };
    let labels = vec![("team".to_owned(), "growth".to_owned()), ("customer".to_owned(), "x".to_owned())];
    let rows = [("chat", 1_290_u64, usd("0.0245375")), ("embeddings", 80, usd("0.00002"))];
    let calls = Table::of(&rows)
        .column(Column::new(Kind::Text, "operation", "operation"), |row| row.0)
        .column(Column::new(Kind::Duration, "latency_ms", "took").keep(1), |row| Cell::Millis(row.1))
        .column(Column::new(Kind::UsdExact, "cost_usd", "cost"), |row| row.2);
    let steps: [(); 0] = [];
    Document::new("asmm.run/1", scope)
        .field("run_id", "run", Cell::id("0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60"))
        .field("started_at", "started", time)
        .field("completed_at", "completed", None::<Timestamp>)
        .field("estimated_cost_usd", "cost", usd("0.0245575"))
        .field("labels", "labels", Cell::Pairs(labels))
        .section("calls", "Calls", calls)
        .section("steps", "Steps", Table::of(&steps))
}

#[test]
fn a_document_is_fields_and_tables() {
    let document = run_document();
    assert_snapshot!(document.to_text(Format::Table, Style::plain(80)).unwrap(), @r##"
    run        0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60
    started    2026-11-20 13:00:05
    completed  –
    cost       $0.0246
    labels     team=growth, customer=x

    Calls
    operation    took        cost
    ─────────────────────────────
    chat        1.2 s  $0.0245375
    embeddings  80 ms  $0.0000200

    Steps
    none

    Europe/Berlin
    "##);
    assert_snapshot!(document.to_text(Format::Table, Style::plain(32)).unwrap(), @r##"
    run        0197a6b2-5c1e-7d3a-9f
               00-1b2c3d4e5f60
    started    2026-11-20 13:00:05
    completed  –
    cost       $0.0246
    labels     team=growth,
               customer=x

    Calls
    operation    took        cost
    ─────────────────────────────
    chat        1.2 s  $0.0245375
    embeddings  80 ms  $0.0000200

    Steps
    none

    Europe/Berlin
    "##);
    assert_snapshot!(document.to_text(Format::Markdown, Style::plain(80)).unwrap(), @r##"
    - **run**: 0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60
    - **started**: 2026-11-20 13:00:05
    - **completed**: –
    - **cost**: $0.0246
    - **labels**: team=growth, customer=x

    ### Calls

    | operation  |  took |       cost |
    | ---------- | ----: | ---------: |
    | chat       | 1.2 s | $0.0245375 |
    | embeddings | 80 ms | $0.0000200 |

    ### Steps

    none

    > Europe/Berlin
    "##);
    assert_snapshot!(document.to_text(Format::Json, Style::plain(80)).unwrap(), @r##"
    {"schema":"asmm.run/1","window":null,"time_zone":"Europe/Berlin","catalogue":null,"coverage":null,"run_id":"0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60","started_at":"2026-11-20T12:00:05.250Z","completed_at":null,"estimated_cost_usd":"0.0245575","labels":{"team":"growth","customer":"x"},"calls":[{"operation":"chat","latency_ms":1290,"cost_usd":"0.0245375"},{"operation":"embeddings","latency_ms":80,"cost_usd":"0.00002"}],"steps":[]}
    "##);
    assert_snapshot!(document.to_text(Format::Csv, Style::plain(80)).unwrap(), @r##"
    operation,latency_ms,cost_usd
    chat,1290,0.0245375
    embeddings,80,0.00002
    "##);
}

#[test]
fn times_and_differences() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let rows = [
        (at("2026-11-20T12:00:05.25Z"), Some(day("2026-11-20")), usd("0.5"), -3_i64),
        (at("2026-11-21T23:30:00Z"), None, usd("-0.00001"), 1_200),
    ];
    let table = Table::of(&rows)
        .column(Column::new(Kind::Time, "started_at", "started"), |row| row.0)
        .column(Column::new(Kind::Day, "day", "day"), |row| row.1)
        .column(Column::new(Kind::Usd, "change_usd", "change").signed(), |row| row.2)
        .column(Column::new(Kind::Count, "calls_change", "calls"), |row| Cell::Change(row.3));
    let window = Window::between(at("2026-11-20T11:00:00Z"), at("2026-11-21T23:45:00Z"), Tz::Asia__Kolkata);
    let scope = Scope { window: Some(window.unwrap()), ..Scope::default() };
    let report = Report { scope, title: Some("Runs".to_owned()), ..Report::new("asmm.test/1", table) };
    assert_snapshot!(shown(&report, Style::plain(80)), @r##"
    Runs

    started              day            change   calls
    ──────────────────────────────────────────────────
    2026-11-20 17:30:05  2026-11-20   +$0.5000      -3
    2026-11-22 05:00:00  –           -<$0.0001  +1,200
    2026-11-20 16:30 – 2026-11-22 05:15 · Asia/Kolkata
    "##);
    assert_snapshot!(shown(&report, Style::plain(44)), @r##"
    Runs

    started           day            change
    ───────────────────────────────────────
    2026-11-20 17:30  2026-11-20   +$0.5000
    2026-11-22 05:00  –           -<$0.0001
    hidden at 44 columns: calls
    2026-11-20 16:30 – 2026-11-22 05:15 ·
    Asia/Kolkata
    "##);
}
