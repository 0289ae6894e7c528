//! Whatever the rows are: tables fit, and programs read back what was written.

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
        table = match kind % 9 {
            0 => table.column(column(Kind::Text), |item| item.words.clone()),
            1 => table.column(column(Kind::Id), |item| Cell::id(&item.words)),
            2 => table.column(column(Kind::Tokens), |item| Cell::Tokens(item.count)),
            3 => table.column(column(Kind::Duration), |item| Cell::Millis(item.count)),
            4 => table.column(column(Kind::UsdExact), |item| Usd::from_pico(item.pico.into())),
            5 => table.column(Column::bar(""), |item| Cell::Count(item.count)),
            6 => table.column(column(Kind::Usd).trend(), |item| Usd::from_pico(item.pico.into())),
            7 => table.column(Column::spark("when"), |item| {
                Cell::Series(vec![Some(Usd::from_pico(item.pico.into())); usize::from(keep) * 9])
            }),
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
