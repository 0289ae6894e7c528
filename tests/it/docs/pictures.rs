//! The pictures in README: what the program really writes on a terminal, drawn cell by cell. `ASMM_UPDATE_DOCS=1` draws them anew.

use super::repository;
use crate::support::{Sandbox, Terminal};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use vt100::{Cell, Color, Parser, Screen};

const NOW: &str = "2026-02-23T12:00:00Z";

#[test]
fn the_picture_of_reports_is_true() {
    let sandbox = Sandbox::new().with_now(NOW);
    sandbox.run(&["demo"]).success();
    let sandbox = sandbox.with_env("ASMM_DATABASE_URL", "sqlite:home/.local/share/asmm/demo.db");
    let mut parser = Parser::new(40, 100, 0);
    for args in [["spend", "daily"], ["spend", "model"]] {
        parser
            .process(format!("\u{1b}[1;32m$\u{1b}[0m asmm {} {} --days 7\r\n", args[0], args[1]).as_bytes());
        let text = sandbox.run(&[args[0], args[1], "--days", "7", "--color", "always"]).success();
        parser.process(text.replace('\n', "\r\n").as_bytes());
    }
    check("docs/spend.svg", "spend by day and by model, as asmm demo shows it", parser.screen());
}

#[test]
fn the_picture_of_the_live_screen_is_true() {
    let sandbox = Sandbox::new().with_now(NOW).with_env("ASMM_DATABASE_URL", "sqlite:ledger.db");
    sandbox.run_with_input(&["import", "jsonl", "-"], &traffic()).success();
    let mut terminal = Terminal::start(&sandbox.command(&["top", "--color", "always"]), 110, 30);
    terminal.wait_for_whole("asmm top", "q quit");
    check("docs/top.svg", "asmm top", &terminal.screen());
    terminal.press("q");
    assert_eq!(terminal.end(), Some(0));
}

/// The bundled production traces, slowed down so that they take the last hour, as runs of which the last still run.
fn traffic() -> String {
    let conversation = rows("azure-conversation/trace.csv.gz", csv_row);
    let code = rows("azure-code/trace.csv.gz", csv_row);
    let chats = rows("mooncake/trace.jsonl.gz", |line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let number = |key: &str| row[key].as_u64().unwrap();
        Some((number("timestamp"), number("input_length"), number("output_length")))
    });
    let mut lines = String::new();
    let haiku = ("anthropic", "claude-haiku-4-5-20251001");
    add_runs(&mut lines, 1, ("support-chat", "support"), haiku, &conversation, 250);
    add_runs(&mut lines, 2, ("code-review", "reviewer"), ("openai", "gpt-4o"), &code, 150);
    let sonnet = ("anthropic", "claude-sonnet-4-5-20250929");
    add_runs(&mut lines, 3, ("company-enrichment", "researcher"), sonnet, &chats, 125);
    add_runs(&mut lines, 4, ("search", "ranker"), ("in-house", "our-ranker-v2"), &chats[880..920], 40);
    lines
}

/// When (in milliseconds from the first), input and output tokens.
type Row = (u64, u64, u64);

fn rows(name: &str, row: impl Fn(&str) -> Option<Row>) -> Vec<Row> {
    let file = std::fs::File::open(repository().join("examples/traces").join(name)).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines.filter_map(|line| row(&line.unwrap())).collect()
}

/// `2023-11-16 18:15:46.6805900,374,44`
fn csv_row(line: &str) -> Option<Row> {
    let mut words = line.split(',');
    let time = chrono::NaiveDateTime::parse_from_str(words.next()?, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    let millis = u64::try_from(time.and_utc().timestamp_millis()).ok()?;
    Some((millis, words.next()?.trim().parse().ok()?, words.next()?.trim().parse().ok()?))
}

/// From 11:01 to 11:59; every `calls` of them are a run, and the last is not finished.
fn add_runs(
    lines: &mut String,
    kind: u64,
    (pipeline, agent): (&str, &str),
    (provider, model): (&str, &str),
    rows: &[Row],
    calls: usize,
) {
    const LENGTH: u64 = 58 * 60_000;
    let start = chrono::DateTime::parse_from_rfc3339("2026-02-23T11:01:00Z").unwrap();
    let (first, last) = (rows[0].0, rows[rows.len() - 1].0);
    let time = |row: &Row| {
        let millis = (row.0 - first) * LENGTH / (last - first).max(1);
        (start + chrono::TimeDelta::milliseconds(i64::try_from(millis).unwrap())).to_rfc3339()
    };
    let id = |run: usize, call: usize| format!("01970000-{kind:04x}-7000-8000-{run:04x}{call:08x}");
    let runs = rows.chunks(calls);
    let count = runs.len();
    for (run, of_run) in runs.enumerate() {
        let run_id = id(run, 0);
        let mut line = |value: Value| writeln!(lines, "{value}").unwrap();
        line(json!({"type": "run", "run_id": run_id, "pipeline": pipeline, "started_at": time(&of_run[0])}));
        for (call, row) in of_run.iter().enumerate() {
            line(json!({
                "type": "call", "run_id": run_id, "call_id": id(run, call + 1), "agent": agent,
                "provider": provider, "model": model, "called_at": time(row),
                "usage": {"input": row.1, "output": row.2},
            }));
        }
        if run + 1 < count {
            let completed_at = time(&of_run[of_run.len() - 1]);
            line(
                json!({"type": "finish", "run_id": run_id, "status": "succeeded", "completed_at": completed_at}),
            );
        }
    }
}

fn check(name: &str, title: &str, screen: &Screen) {
    let path = repository().join(name);
    let drawn = picture(title, screen);
    if std::env::var_os("ASMM_UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &drawn).expect("the picture can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == drawn,
        "{name} is not what the program shows now: ASMM_UPDATE_DOCS=1 draws it anew\n{}",
        screen.contents()
    );
}

/// Tenths of a pixel, so that no float is needed.
const CELL: (usize, usize) = (84, 180);
const EDGE: usize = 160;
const BAR: usize = 340;

/// The screen as SVG, down to its last line that is not empty. Blocks and rules are drawn, not written: fonts differ.
fn picture(title: &str, screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let is_used = |row: &u16| (0..columns).any(|column| cell(screen, *row, column).has_contents());
    let rows = (0..rows).filter(is_used).max().map_or(0, |row| row + 1);
    let (width, height) = (usize::from(columns) * CELL.0 + 2 * EDGE, usize::from(rows) * CELL.1 + BAR + EDGE);
    let (w, h) = (pixels(width), pixels(height));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" role=\"img\">\n\
         <title>{title}</title>\n\
         <style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}.b{{font-weight:700}}.d{{opacity:.6}}</style>\n\
         <rect width=\"{w}\" height=\"{h}\" rx=\"8\" fill=\"#0d1117\"/>\n\
         <circle cx=\"18\" cy=\"17\" r=\"5\" fill=\"#f85149\"/><circle cx=\"36\" cy=\"17\" r=\"5\" fill=\"#d29922\"/><circle cx=\"54\" cy=\"17\" r=\"5\" fill=\"#3fb950\"/>\n"
    );
    for row in 0..rows {
        line(screen, row, &mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(screen: &Screen, row: u16, svg: &mut String) {
    let (_, columns) = screen.size();
    let top = BAR + usize::from(row) * CELL.1;
    let mut column = 0;
    while column < columns {
        let first = cell(screen, row, column);
        let start = column;
        let mut text = String::new();
        // What looks the same is one text, up to a gap of two blanks.
        while column < columns {
            let here = cell(screen, row, column);
            let is_gap = |column: u16| column >= columns || is_blank(cell(screen, row, column));
            if block(here.contents()).is_some()
                || look(here) != look(first)
                || (is_blank(here) && is_gap(column + 1))
            {
                break;
            }
            text.push_str(if here.has_contents() { here.contents() } else { " " });
            column += 1;
        }
        let left = EDGE + usize::from(start) * CELL.0;
        if text.trim().is_empty() {
            if let Some(drawn) = block(first.contents()) {
                // Equal blocks side by side are one.
                while column < columns
                    && cell(screen, row, column).contents() == first.contents()
                    && look(cell(screen, row, column)) == look(first)
                {
                    column += 1;
                    if drawn.width < CELL.0 {
                        break;
                    }
                }
                let wide = usize::from(column - start).saturating_sub(1) * CELL.0 + drawn.width;
                let y = pixels(top + drawn.top);
                let (x, w, h) = (pixels(left), pixels(wide), pixels(drawn.height));
                let (fill, class) = look(first);
                writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{fill}\"{class}/>"
                )
                .unwrap();
            } else if column == start {
                column += 1;
            }
            continue;
        }
        let (fill, class) = look(first);
        let length = pixels(usize::from(column - start) * CELL.0);
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (x, y) = (pixels(left), pixels(top + 135));
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" fill=\"{fill}\"{class}>{text}</text>"
        )
        .unwrap();
    }
}

fn cell(screen: &Screen, row: u16, column: u16) -> &Cell {
    screen.cell(row, column).expect("the cell is on the screen")
}

fn is_blank(cell: &Cell) -> bool {
    matches!(cell.contents(), "" | " ")
}

fn look(cell: &Cell) -> (&'static str, &'static str) {
    let fill = match cell.fgcolor() {
        Color::Default => "#e6edf3",
        Color::Idx(1 | 9) => "#f85149",
        Color::Idx(2 | 10) => "#3fb950",
        Color::Idx(3 | 11) => "#d29922",
        Color::Idx(6 | 14) => "#39c5cf",
        other => panic!("no colour for {other:?}"),
    };
    let class = match (cell.bold(), cell.dim()) {
        (true, _) => " class=\"b\"",
        (false, true) => " class=\"d\"",
        (false, false) => "",
    };
    (fill, class)
}

/// A part of a cell, in tenths of a pixel from its top.
struct Drawn {
    top: usize,
    width: usize,
    height: usize,
}

fn block(contents: &str) -> Option<Drawn> {
    let (width, height) = CELL;
    let mark = contents.chars().next()?;
    match mark {
        '▁'..='█' => {
            let eighths = usize::try_from(u32::from(mark) - u32::from('▁') + 1).unwrap();
            let filled = height * eighths / 8;
            Some(Drawn { top: height - filled, width, height: filled })
        }
        '▉'..='▏' => {
            let eighths = 8 - usize::try_from(u32::from(mark) - u32::from('█')).unwrap();
            Some(Drawn { top: 20, width: width * eighths / 8, height: height - 40 })
        }
        '─' => Some(Drawn { top: height / 2, width, height: 10 }),
        _ => None,
    }
}

fn pixels(tenths: usize) -> String {
    if tenths.is_multiple_of(10) {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

/// Whoever cannot see them reads what they show.
#[test]
fn the_readme_shows_the_pictures() {
    let readme = super::read("README.md");
    let files = std::fs::read_dir(repository().join("docs")).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let shown = readme.lines().find(|line| line.contains(&format!("](docs/{file})")));
        let words = shown.and_then(|line| line.split_once("![")?.1.split(']').next());
        assert!(words.is_some_and(|words| words.len() > 20), "docs/{file} has no words in README.md");
    }
}
