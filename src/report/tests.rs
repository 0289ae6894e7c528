//! What the renderers write, at the widths people have.

use super::*;
use crate::domain::{Timestamp, Usd};
use chrono::NaiveDate;
use insta::assert_snapshot;

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
    assert_snapshot!(shown(&report_of(&sample()), Style::plain(160)), @"");
}

#[test]
fn of_80_columns() {
    assert_snapshot!(shown(&report_of(&sample()), Style::plain(80)), @"");
}

#[test]
fn of_40_columns() {
    assert_snapshot!(shown(&report_of(&sample()), Style::plain(40)), @"");
}

#[test]
fn of_80_columns_in_ascii() {
    assert_snapshot!(shown(&report_of(&sample()), Style { width: 80, color: false, unicode: false }), @"");
}

#[test]
fn of_80_columns_in_colour() {
    let style = Style { width: 80, color: true, unicode: true };
    assert_snapshot!(shown(&report_of(&sample()[..1]), style).replace('\u{1b}', "ESC"), @"");
}

#[test]
fn nothing_says_what_to_do_next() {
    let mut report = report_of(&[]);
    report.scope.coverage = Some(Coverage { priced: 0, calls: 0 });
    assert_snapshot!(shown(&report, Style::plain(80)), @"");
    assert_snapshot!(report.to_text(Format::Markdown, Style::plain(80)).unwrap(), @"");
    assert_snapshot!(report.to_text(Format::Csv, Style::plain(80)).unwrap(), @"");
    let json: serde_json::Value =
        serde_json::from_str(&report.to_text(Format::Json, Style::plain(80)).unwrap()).unwrap();
    assert_eq!(json["rows"], serde_json::json!([]));
    assert_eq!(json["coverage"]["share"], serde_json::Value::Null);
}

#[test]
fn huge_numbers_do_not_break_lines() {
    let huge = [spend("a", u64::MAX, u64::MAX, Some("123456789012345678901234.123456789012"))];
    assert_snapshot!(shown(&report_of(&huge), Style::plain(160)), @"");
    assert_snapshot!(shown(&report_of(&huge), Style::plain(40)), @"");
}

#[test]
fn json_is_exact() {
    assert_snapshot!(report_of(&sample()[2..]).to_text(Format::Json, Style::plain(1)).unwrap(), @"");
}

#[test]
fn csv_is_exact_and_runs_no_formula() {
    let rows = [spend("=1+1", 1, 2, Some("-0.5")), spend("a, \"b\"\n", 1, 2, None)];
    assert_snapshot!(report_of(&rows).to_text(Format::Csv, Style::plain(1)).unwrap(), @"");
}

#[test]
fn markdown_is_in_full_and_escaped() {
    assert_snapshot!(report_of(&sample()).to_text(Format::Markdown, Style::plain(1)).unwrap(), @"");
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
    assert_snapshot!(document.to_text(Format::Table, Style::plain(80)).unwrap(), @"");
    assert_snapshot!(document.to_text(Format::Table, Style::plain(32)).unwrap(), @"");
    assert_snapshot!(document.to_text(Format::Markdown, Style::plain(80)).unwrap(), @"");
    assert_snapshot!(document.to_text(Format::Json, Style::plain(80)).unwrap(), @"");
    assert_snapshot!(document.to_text(Format::Csv, Style::plain(80)).unwrap(), @"");
}

mod random {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    struct Item {
        words: String,
        count: u64,
        pico: i64,
    }

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let words = prop_oneof!["\\PC{0,40}", "[a-z0-9-]{0,40}", "(?s).{0,30}", "[日本👩‍🚀é🇩🇪]{0,30}"];
        let item = (words, any::<u64>(), any::<i64>());
        proptest::collection::vec(item.prop_map(|(words, count, pico)| Item { words, count, pico }), 0..12)
    }

    const KEYS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

    /// A table of random columns; the last three are always words, a count and dollars.
    fn table(items: &[Item], kinds: &[(u8, u8)], totals: bool) -> Table {
        let total = Item { words: String::new(), count: u64::MAX, pico: i64::MAX };
        let mut table = Table::of(items);
        if totals {
            table = table.totals(&total);
        }
        for (&(kind, keep), key) in kinds.iter().zip(KEYS) {
            let column = |kind| Column::new(kind, key, "a head of words").keep(keep);
            table = match kind % 7 {
                0 => table.column(column(Kind::Text), |item| item.words.clone()),
                1 => table.column(column(Kind::Id), |item| Cell::id(&item.words)),
                2 => table.column(column(Kind::Tokens), |item| Cell::Tokens(item.count)),
                3 => table.column(column(Kind::Duration), |item| Cell::Millis(item.count)),
                4 => table.column(column(Kind::UsdExact), |item| Usd::from_pico(item.pico.into())),
                5 => table.column(Column::bar(""), |item| Cell::Count(item.count)),
                _ => table.column(column(Kind::Share), |item| Cell::share_of_count(item.count, u64::MAX)),
            };
        }
        table
            .column(Column::new(Kind::Text, "words", "words"), |item| item.words.clone())
            .column(Column::new(Kind::Count, "count", "count").keep(1), |item| Cell::Count(item.count))
            .column(Column::new(Kind::Usd, "usd", "cost"), |item| Usd::from_pico(item.pico.into()))
            .done()
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            items in items(),
            kinds in proptest::collection::vec((any::<u8>(), 0_u8..4), 0..9),
            columns in 30_usize..200,
            (totals, unicode) in any::<(bool, bool)>(),
        ) {
            let table = table(&items, &kinds, totals);
            let style = Style { width: columns, color: false, unicode };
            let report = Report { scope: report_of(&[]).scope, ..Report::new("asmm.test/1", table) };
            let text = report.to_text(Format::Table, style).unwrap();
            for line in text.lines() {
                prop_assert!(text::width(line) <= columns, "{} of {columns}: {line:?}", text::width(line));
            }
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
            let lines = if items.is_empty() { 2 } else { items.len() + 2 + if totals { 2 } else { 0 } };
            prop_assert!(text.lines().count() >= lines);
        }

        #[test]
        fn programs_read_back_what_was_written(items in items()) {
            let report = Report::new("asmm.test/1", table(&items, &[], true));
            let style = Style::plain(30);
            let sum: Usd = items.iter().map(|item| Usd::from_pico(item.pico.into())).sum();

            let json: serde_json::Value =
                serde_json::from_str(&report.to_text(Format::Json, style).unwrap()).unwrap();
            let rows = json["rows"].as_array().unwrap();
            prop_assert_eq!(rows.iter().map(|row| usd(row["usd"].as_str().unwrap())).sum::<Usd>(), sum);
            for (row, item) in rows.iter().zip(&items) {
                prop_assert_eq!(row["words"].as_str().unwrap(), &item.words);
                prop_assert_eq!(row["count"].as_u64().unwrap(), item.count);
            }

            let text = report.to_text(Format::Csv, style).unwrap();
            let mut reader = ::csv::Reader::from_reader(text.as_bytes());
            let records: Vec<::csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
            prop_assert_eq!(records.len(), items.len());
            prop_assert_eq!(records.iter().map(|record| usd(&record[2])).sum::<Usd>(), sum);
            for (record, item) in records.iter().zip(&items) {
                let words = record[0].strip_prefix('\'').filter(|_| !item.words.starts_with('\''));
                prop_assert_eq!(words.unwrap_or(&record[0]), &item.words);
            }
        }
    }
}
