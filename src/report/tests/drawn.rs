//! Bars, lines of small bars, arrows and colour, at the widths people have; and the page.

use super::*;

struct Row {
    agent: &'static str,
    calls: u64,
    cached: u64,
    cost: Option<&'static str>,
    change: &'static str,
    days: [Option<&'static str>; 7],
}

const NOTHING: Option<&str> = Some("0");

fn rows() -> [Row; 3] {
    [
        Row {
            agent: "researcher",
            calls: 1_003,
            cached: 2_962_776,
            cost: Some("38.44"),
            change: "3.5",
            days: [Some("5"), Some("9.99"), NOTHING, Some("0.0001"), Some("4"), Some("3"), Some("6")],
        },
        Row {
            agent: "writer",
            calls: 30,
            cached: 0,
            cost: Some("9.5"),
            change: "-0.25",
            days: [NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, Some("9.5")],
        },
        Row {
            agent: "local",
            calls: 7,
            cached: 0,
            cost: None,
            change: "0",
            days: [NOTHING, None, None, NOTHING, NOTHING, NOTHING, NOTHING],
        },
    ]
}

fn drawn() -> Report {
    let rows = rows();
    let total = Row {
        agent: "",
        calls: 1_040,
        cached: 2_962_776,
        cost: Some("47.94"),
        change: "3.25",
        days: [None; 7],
    };
    let cost = |row: &Row| Cell::cost(row.cost.map(usd));
    let table = Table::of(&rows)
        .totals(&total)
        .column(Column::new(Kind::Text, "agent", "agent"), |row| row.agent)
        .column(Column::new(Kind::Count, "llm_calls", "calls").keep(2), |row| Cell::Count(row.calls))
        .column(Column::new(Kind::Tokens, "cache_read_tokens", "× of it cached").keep(6), |row| {
            Cell::Tokens(row.cached)
        })
        .column(Column::new(Kind::Usd, "estimated_cost_usd", "cost"), cost)
        .column(Column::new(Kind::Usd, "change_usd", "change").trend(), |row| usd(row.change))
        .column(Column::spark("when"), |row| Cell::Series(row.days.iter().map(|day| day.map(usd)).collect()))
        .column(Column::bar(""), cost);
    let mut report = Report::new("asmm.test/1", table);
    report.sentences = vec!["researcher: +$3.50 more calls (900 → 1,003)".to_owned()];
    report
}

#[test]
fn drawings_go_first_and_come_back() {
    for width in [30, 40, 60, 80, 100, 160, 200] {
        for unicode in [true, false] {
            shown(&drawn(), Style { width, color: false, unicode });
        }
    }
    assert_snapshot!(shown(&drawn(), Style::plain(80)), @r"
    agent       calls  × of it cached      cost    change  when
    ────────────────────────────────────────────────────────────────────────────────
    researcher  1,003            3.0M    $38.44  ▲ +$3.50  ▅█▁▂▄▃▅  ████████████████
    writer         30               0     $9.50  ▼ -$0.25  ▁▁▁▁▁▁█  ████
    local           7               0  unpriced     $0.00  ▁??▁▁▁▁
    ────────────────────────────────────────────────────────────────────────────────
    total       1,040            3.0M    $47.94  ▲ +$3.25
    researcher: +$3.50 more calls (900 → 1,003)
    ");
    assert_snapshot!(shown(&drawn(), Style::plain(60)), @r"
    agent       calls  × of it cached      cost    change
    ─────────────────────────────────────────────────────
    researcher  1,003            3.0M    $38.44  ▲ +$3.50
    writer         30               0     $9.50  ▼ -$0.25
    local           7               0  unpriced     $0.00
    ─────────────────────────────────────────────────────
    total       1,040            3.0M    $47.94  ▲ +$3.25
    researcher: +$3.50 more calls (900 → 1,003)
    ");
    assert_snapshot!(shown(&drawn(), Style { width: 80, color: false, unicode: false }), @r"
    agent       calls  x of it cached      cost    change  when
    --------------------------------------------------------------------------------
    researcher  1,003            3.0M    $38.44  ^ +$3.50  =#_.-:=  ################
    writer         30               0     $9.50  v -$0.25  ______#  ####
    local           7               0  unpriced     $0.00  _??____
    --------------------------------------------------------------------------------
    total       1,040            3.0M    $47.94  ^ +$3.25
    researcher: +$3.50 more calls (900 -> 1,003)
    ");
}

/// Colour says nothing that is not also said without it.
#[test]
fn colour_is_taken_off_without_loss() {
    let plain = shown(&drawn(), Style::plain(100));
    let coloured = shown(&drawn(), Style { width: 100, color: true, unicode: true });
    let parts = coloured.split('\u{1b}').enumerate();
    let bare: String = parts
        .map(
            |(place, part)| {
                if place == 0 { part } else { part.split_once('m').map_or("", |(_, after)| after) }
            },
        )
        .collect();
    assert_eq!(bare, plain);
    for (code, text) in [("31", "▲ +$3.50"), ("32", "▼ -$0.25"), ("33", "unpriced"), ("36", "▁▁▁▁▁▁█")]
    {
        assert!(coloured.contains(&format!("\u{1b}[{code}m{text}\u{1b}[0m")), "{coloured}");
    }
}

#[test]
fn names_stay_names_in_markdown() {
    let rows = ["_emphasis_", "snake_case", "https://evil.example", "www.evil.example", "<b>"];
    let table = Table::of(&rows).column(Column::new(Kind::Text, "agent", "agent"), |row| *row);
    assert_snapshot!(Report::new("asmm.test/1", table).to_text(Format::Markdown, Style::plain(80)).unwrap(), @r"
    | agent                 |
    | --------------------- |
    | \_emphasis\_          |
    | snake_case            |
    | https\://evil.example |
    | www\.evil.example     |
    | &lt;b>                |
    ");
}

#[test]
fn a_page_shows_names_and_runs_none() {
    let hostile = "\"><script>x</script>\u{202e}'&";
    let chart = Chart::Columns {
        labels: vec!["1 Nov".to_owned(), "2 Nov".to_owned()],
        series: vec![
            Series { name: hostile.to_owned(), values: vec![0, u128::MAX / 4], colour: 0 },
            Series { name: "others".to_owned(), values: vec![5, 7], colour: OTHERS },
        ],
        unit: Unit::Usd,
    };
    let bars = Chart::Bars { rows: vec![(hostile.to_owned(), 9), ("zero".to_owned(), 0)], unit: Unit::Count };
    let figure = |chart| Figure { title: hostile.to_owned(), summary: hostile.to_owned(), chart };
    let page = Page {
        title: hostile.to_owned(),
        figures: vec![figure(chart), figure(bars), figure(Chart::Bars { rows: vec![], unit: Unit::Usd })],
        document: run_document(),
    };
    let mut bytes = Vec::new();
    page.write(&mut bytes).unwrap();
    let html = String::from_utf8(bytes).unwrap();
    assert!(!html.contains("<script") && !html.contains('\u{202e}'), "{html}");
    assert!(html.contains("<title>&quot;&gt;&lt;script&gt;x&lt;/script&gt;\\u{202e}&#39;&amp;</title>"));
    assert_eq!(html.matches("<svg role=\"img\"").count(), 3);
    assert!(html.contains("<data value=\"0.0245575\">$0.0246</data>"));
    // Nothing is drawn as nothing, and something as something.
    assert_eq!(html.matches("<rect ").count(), 4, "{html}");
}
