use super::*;
use crate::domain::{Outcome, TokenKind, TokenUsage};

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn mapping(columns: &[(Field, &str)]) -> CsvMapping {
    let columns = columns.iter().map(|(field, column)| (*field, (*column).to_owned())).collect();
    CsvMapping { columns, ..CsvMapping::default() }
}

fn plain() -> CsvMapping {
    mapping(&[(Field::Model, "m"), (Field::CalledAt, "t"), (Field::Usage(TokenKind::Input), "in")])
}

fn calls(text: &str, mapping: &CsvMapping) -> (Vec<(u64, Call)>, CsvSummary) {
    let mut calls = Vec::new();
    let mut lines = Lines::new(text.as_bytes()).unwrap();
    let summary = read("f", &mut lines, mapping, now(), |line, call| {
        calls.push((line, call));
        Ok(())
    });
    (calls, summary.unwrap())
}

#[test]
fn rows_are_of_several_lines_and_keep_their_places() {
    let text = "\u{feff}m,t,in,note\r\n\r\na,2026-11-20T10:00:00Z,1,\"x\n\ny, \"\"z\"\"\"\n\nb,2026-11-20T10:00:00Z,2,\nc,2026-11-20T10:00:00Z,3\n";
    let (calls, summary) = calls(text, &plain());
    let found: Vec<_> =
        calls.iter().map(|(line, call)| (*line, call.model.as_str(), call.usage.unwrap().input)).collect();
    assert_eq!(found, [(3, "a", 1), (7, "b", 2)]);
    assert_eq!(summary.rows, 3);
    assert_eq!(summary.complaints.first(), ["f:8: the row has 3 columns instead of 4"]);
}

#[test]
fn a_quote_that_is_not_closed_costs_a_bounded_part() {
    let row = "a,2026-11-20T10:00:00Z,1\n";
    let filler = format!("b,2026-11-20T10:00:00Z,{}\n", "9".repeat(1000));
    let many = rows::MAX_ROW_BYTES / filler.len() + 2;
    let text = format!("m,t,in\n\"{row}{}{row}{row}", filler.repeat(many));
    let (found, summary) = calls(&text, &plain());
    assert!((2..=4).contains(&found.len()), "{}", found.len());
    assert!(
        summary.complaints.first()[0]
            .starts_with("f:2: the row is longer than 1048576 bytes: is a quote not closed?")
    );
    let wide = format!("m,t,in\n{}\n{row}", ",".repeat(rows::MAX_COLUMNS + 1));
    let (found, summary) = calls(&wide, &plain());
    assert_eq!(
        (found.len(), summary.complaints.first()),
        (1, &["f:2: the row has more than 4096 columns".to_owned()][..])
    );
    // Larger rows than the first buffers hold are whole.
    let long = format!("m,t,in,note\na,2026-11-20T10:00:00Z,1,{}\n", "n".repeat(500_000));
    assert_eq!(calls(&long, &plain()).0.len(), 1);
}

#[test]
fn what_is_inside_of_a_count_is_taken_out_once() {
    let kinds = [
        (Field::Usage(TokenKind::Input), "in"),
        (Field::Usage(TokenKind::CacheRead), "read"),
        (Field::Usage(TokenKind::CacheWrite), "write"),
        (Field::Usage(TokenKind::CacheWriteLong), "long"),
        (Field::Usage(TokenKind::Output), "out"),
        (Field::Usage(TokenKind::Reasoning), "think"),
        (Field::Model, "m"),
        (Field::CalledAt, "t"),
    ];
    let text = "m,t,in,read,write,long,out,think\na,2026-11-20T10:00:00Z,100,20,5,3,50,10\n";
    let usage = |includes: &[Included]| {
        let mapping = CsvMapping { includes: includes.to_vec(), ..mapping(&kinds) };
        calls(text, &mapping).0[0].1.usage.unwrap()
    };
    let apart = TokenUsage {
        input: 100,
        cache_read: 20,
        cache_write: 5,
        cache_write_long: 3,
        output: 50,
        reasoning: 10,
        ..TokenUsage::default()
    };
    assert_eq!(usage(&[Included::Nothing]), apart);
    assert_eq!(usage(&[Included::Cache]), TokenUsage { input: 72, ..apart });
    assert_eq!(usage(&[Included::Reasoning]), TokenUsage { output: 40, ..apart });
    assert_eq!(usage(&[Included::Cache, Included::Reasoning]), TokenUsage { input: 72, output: 40, ..apart });
}

#[test]
fn times_are_read_in_every_format_that_is_named() {
    let berlin = Some("Europe/Berlin".to_owned());
    for (format, tz, text, expected) in [
        (TimeFormat::Rfc3339, None, "2026-11-20T10:00:00.123456+01:00", "2026-11-20T09:00:00.123456Z"),
        (TimeFormat::Rfc3339, None, "2026-11-20 10:00:00+00", "2026-11-20T10:00:00Z"),
        (TimeFormat::Rfc3339, None, "2026-11-20 10:00:00 UTC", "2026-11-20T10:00:00Z"),
        (TimeFormat::Rfc3339, berlin.clone(), "2026-11-20 10:00:00.5", "2026-11-20T09:00:00.500Z"),
        (TimeFormat::Rfc3339, berlin.clone(), "2026-07-20T10:00", "2026-07-20T08:00:00Z"),
        // The hour that comes twice: the first.
        (TimeFormat::Rfc3339, berlin, "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
        (TimeFormat::EpochSeconds, None, "1795168800", "2026-11-20T10:00:00Z"),
        (TimeFormat::EpochSeconds, None, "1795168800.1234567", "2026-11-20T10:00:00.123456Z"),
        (TimeFormat::EpochMillis, None, "1795168800123.5", "2026-11-20T10:00:00.123500Z"),
        (TimeFormat::EpochMicros, None, "1795168800123456", "2026-11-20T10:00:00.123456Z"),
    ] {
        let mapping = CsvMapping { time: format, tz, ..plain() };
        let (found, summary) = calls(&format!("m,t,in\na,{text},1\n"), &mapping);
        assert_eq!(summary.complaints.first(), [""; 0], "{text}");
        assert_eq!(found[0].1.called_at.to_string(), expected, "{text}");
    }
    for (format, text) in [
        (TimeFormat::EpochSeconds, "-5"),
        (TimeFormat::EpochSeconds, "1e9"),
        (TimeFormat::EpochMicros, "99999999999999999999"),
        (TimeFormat::Rfc3339, "2026-11-20"),
    ] {
        let mapping = CsvMapping { time: format, ..plain() };
        assert_eq!(calls(&format!("m,t,in\na,{text},1\n"), &mapping).1.complaints.total(), 1, "{text}");
    }
}

#[test]
fn what_no_column_says_is_the_constant() {
    let mapping = CsvMapping {
        constants: [(Field::Agent, "main".to_owned()), (Field::Outcome, "failed".to_owned())].into(),
        ..mapping(&[(Field::Model, "m"), (Field::CalledAt, "t"), (Field::Agent, "who")])
    };
    let (calls, _) = calls("m,t,who\na,2026-11-20T10:00:00Z,\na,2026-11-20T10:00:00Z,x\n", &mapping);
    let found: Vec<_> =
        calls.iter().map(|(_, call)| (call.agent.as_str(), call.outcome, call.usage)).collect();
    assert_eq!(found, [("main", Outcome::Error, None), ("x", Outcome::Error, None)]);
}
