//! `asmm report --html`: the page as a browser shows it, in light, in the dark and on paper, against the ledger.

use crate::cli::{Native, json};
use crate::support::{Output, Sandbox};
use flate2::read::ZlibDecoder;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

const HOSTILE: &str =
    "<script>console.error('owned')</script><img src=x onerror=alert(1)> \u{202e}gnp\" onload='x";

/// Three weeks of a few agents and models, with names that would like to be more than that.
fn ledger(sandbox: &Sandbox) {
    let hostile = serde_json::to_string(HOSTILE).unwrap();
    let mut native = Native::default();
    let mut next = 1_000;
    for day in 1..=15 {
        let date = format!("2026-03-{day:02}");
        let pipeline = if day % 3 == 0 { hostile.trim_matches('"') } else { "enrichment" };
        native = native.run(day, pipeline, &format!("{date}T10:00:00Z"));
        let calls = [
            ("researcher", "openai/gpt-4o", 100_000 * day),
            ("writer", "anthropic/claude-sonnet-4-5-20250929", 40_000 + 9_000 * (day % 4)),
            ("editor", "openai/gpt-4o-mini", 900_000),
            ("critic", "anthropic/claude-haiku-4-5-20251001", 120_000 * (day % 5)),
            (hostile.trim_matches('"'), "openai/gpt-4o", 30_000),
            ("", "local/llama-x", 1_000),
        ];
        for (agent, model, input) in calls {
            let (provider, model) = model.split_once('/').unwrap();
            let usage = format!(r#"{{"input":{input},"output":{}}}"#, input / 20);
            native =
                native.call_of(day, next, agent, (provider, model), &format!("{date}T10:00:01Z"), &usage);
            next += 1;
        }
        native = native.finish(day, "succeeded", &format!("{date}T10:05:00Z"));
    }
    sandbox.run_with_input(&["import", "jsonl"], &native.0).success();
}

/// Chromium, as `tests/run` found it.
///
/// # Panics
///
/// When there is none: a page that no browser has shown is not tested.
fn chromium(profile: &Path) -> Command {
    let program = std::env::var_os("ASMM_TEST_CHROMIUM").unwrap_or_else(|| {
        panic!("ASMM_TEST_CHROMIUM is not set: run `tests/run` (or `tests/run FILTER`), which finds or installs it")
    });
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", profile)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()));
    command
}

/// What a browser answers; nothing on its console.
fn browse(page: &Path, profile: &Path, args: &[&str]) -> Output {
    let output = chromium(profile).args(args).arg(format!("file://{}", page.display())).output().unwrap();
    let output = Output::from_process(&output, &[]);
    assert_eq!(output.code, 0, "{}", output.snapshot());
    assert!(!output.stderr.contains("CONSOLE"), "{}", output.stderr);
    output
}

fn written() -> (Sandbox, PathBuf) {
    let sandbox = crate::cli::sqlite();
    ledger(&sandbox);
    let output = sandbox.run(&["report", "--html", "spend.html", "--days", "15", "--limit", "20"]);
    assert_eq!((output.code, output.stderr.as_str()), (0, "written to spend.html\n"));
    let page = sandbox.path().join("spend.html");
    (sandbox, page)
}

/// The tables of a page: by id, each row as `(key, text, exact value)`.
fn rows(dom: &str, table: &str) -> Vec<Vec<(String, String, Option<String>)>> {
    let start = dom.find(&format!("<table id=\"{table}\"")).unwrap_or_else(|| panic!("no table {table}"));
    let body = &dom[start..start + dom[start..].find("</table>").unwrap()];
    let keys: Vec<&str> =
        body.split("data-key=\"").skip(1).map(|after| after.split('"').next().unwrap()).collect();
    let lines = body.split("<tr>").skip(2);
    lines
        .map(|line| {
            let cells = line.split("</td>").flat_map(|part| part.split("</th>"));
            let cells: Vec<&str> =
                cells.filter(|cell| cell.contains("<td") || cell.contains("<th")).collect();
            assert_eq!(cells.len(), keys.len(), "{line}");
            let cell = |(key, cell): (&&str, &&str)| {
                let value =
                    cell.split_once("<data value=\"").map(|(_, after)| after.split('"').next().unwrap());
                ((*key).to_owned(), plain(cell), value.map(str::to_owned))
            };
            keys.iter().zip(&cells).map(cell).collect()
        })
        .collect()
}

/// Text without tags, as people see it.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        rest = after.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let marks = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&nbsp;", "\u{a0}"), ("&amp;", "&")];
    marks.iter().fold(text, |text, (mark, plain)| text.replace(mark, plain)).trim().to_owned()
}

/// A value of JSON as the page carries it.
fn exact(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Each row of a table in a browser is the row of the report on the command line.
#[track_caller]
fn check_table(dom: &str, table: &str, report: &Value) {
    let mut expected: Vec<&Value> = report["rows"].as_array().unwrap().iter().collect();
    expected.push(&report["totals"]);
    let shown = rows(dom, table);
    assert_eq!(shown.len(), expected.len(), "{table}");
    let mut numbers = 0;
    for (shown, row) in shown.iter().zip(expected) {
        for (key, text, value) in shown {
            let cell = &row[key.as_str()];
            match (value, cell) {
                (Some(value), cell) => {
                    assert_eq!(Some(value), exact(cell).as_ref(), "{table}: {key}");
                    numbers += 1;
                }
                (None, Value::Null) => {
                    // A total's first cell, what is not known, and what has no name.
                    assert!(
                        ["total", "unpriced", "–", ""].contains(&text.as_str()),
                        "{table}: {key} is `{text}`"
                    );
                }
                (None, Value::String(name)) if name.is_empty() => assert_eq!(text, "–"),
                (None, Value::String(name)) if key == "started_at" => {
                    assert!(name.starts_with(&text[..10]), "{name} {text}");
                }
                (None, Value::String(name)) => assert_eq!(text, &name.replace('\u{202e}', "\\u{202e}")),
                (None, other) => panic!("{table}: {key} is {other} in the ledger and `{text}` on the page"),
            }
        }
    }
    assert!(numbers > 10, "{table} has numbers");
}

#[test]
fn a_browser_shows_what_the_ledger_says() {
    let (sandbox, page) = written();
    let profile = tempfile::tempdir().unwrap();
    let dom = browse(&page, profile.path(), &["--dump-dom"]).stdout;
    for (table, what) in
        [("daily", "daily"), ("agent", "agent"), ("model", "model"), ("pipeline", "pipeline")]
    {
        let report = sandbox.run(&["spend", what, "--days", "15", "--format", "json"]);
        check_table(&dom, table, &json(report));
    }
    let runs = sandbox.run(&["runs", "top", "--days", "15", "--format", "json"]);
    check_table(&dom, "runs", &json(runs));
    let total = json(sandbox.run(&["spend", "daily", "--days", "15", "--format", "json"]));
    let cost = total["totals"]["estimated_cost_usd"].as_str().unwrap();
    assert!(dom.contains(&format!("id=\"total_cost\"><data value=\"{cost}\">")), "{cost}");
    assert_eq!(dom.matches("<svg ").count(), 4, "by day and agent, calls by day, models, runs");
    // What the names would like to be is not there; what they are is.
    assert!(!dom.contains("<script") && !dom.contains("<img") && !dom.contains('\u{202e}'));
    assert!(dom.contains("&lt;script&gt;console.error("));
}

/// The colour of a screenshot's first pixel. Whatever filter its line has, nothing stands before it.
fn first_pixel(png: &Path) -> [u8; 3] {
    let bytes = std::fs::read(png).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"));
    let mut data = Vec::new();
    let mut at = 8;
    while at < bytes.len() {
        let length = usize::try_from(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
        if &bytes[at + 4..at + 8] == b"IDAT" {
            data.extend_from_slice(&bytes[at + 8..at + 8 + length]);
        }
        at += 12 + length;
    }
    let mut pixel = [0; 4];
    ZlibDecoder::new(data.as_slice()).read_exact(&mut pixel).unwrap();
    [pixel[1], pixel[2], pixel[3]]
}

#[test]
fn it_is_light_and_dark_and_prints() {
    let (_sandbox, page) = written();
    let profile = tempfile::tempdir().unwrap();
    let picture = profile.path().join("page.png");
    let target = format!("--screenshot={}", picture.display());
    let shown = |scheme: &str| {
        browse(&page, profile.path(), &[&target, "--window-size=1200,900", scheme]);
        first_pixel(&picture)
    };
    assert_eq!(shown("--blink-settings=preferredColorScheme=1"), [0xff, 0xff, 0xff]);
    assert_eq!(shown("--blink-settings=preferredColorScheme=0"), [0x0f, 0x17, 0x2a]);
    let paper = profile.path().join("page.pdf");
    let target = format!("--print-to-pdf={}", paper.display());
    browse(&page, profile.path(), &[&target, "--no-pdf-header-footer"]);
    let pdf = std::fs::read(&paper).unwrap();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 20_000, "{} bytes", pdf.len());
}

/// Nothing in it leads anywhere, and nothing runs.
#[test]
fn the_page_is_whole_in_itself() {
    let (_sandbox, page) = written();
    let html = std::fs::read_to_string(page).unwrap();
    // The one address is the name of a format, which nobody fetches.
    let addresses: Vec<&str> = html.match_indices("://").map(|(at, _)| &html[at - 4..at + 20]).collect();
    assert!(addresses.iter().all(|address| address.starts_with("http://www.w3.org/20")), "{addresses:?}");
    for word in ["<script", "<link", "<img", "<iframe", "@import", "url(", "src=\"", "href=\"", "onload=\""] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_file_that_is_there_stays() {
    let (sandbox, page) = written();
    let first = std::fs::read_to_string(&page).unwrap();
    std::fs::write(&page, "mine").unwrap();
    insta::assert_snapshot!(sandbox.snapshot(&["report", "--html", "spend.html"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `spend.html` is there already
    hint: name another file, or replace it with --force
    ");
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "mine");
    let args = ["report", "--html", "spend.html", "--force", "--days", "15", "--limit", "20"];
    sandbox.run(&args).success();
    assert_eq!(std::fs::read_to_string(&page).unwrap(), first);
    let stdout = sandbox.run(&["report", "--html", "-", "--days", "15", "--limit", "20"]).success();
    assert_eq!(stdout, first);
    insta::assert_snapshot!(sandbox.snapshot(&["report", "--html", "nowhere/spend.html"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `nowhere/spend.html` cannot be written: No such file or directory (os error 2)
    ");
    assert_eq!(sandbox.names(), ["spend.html"]);
}

/// A page of nothing says so, and what the tables are of one database they are of the other.
#[test]
fn empty_ledgers_and_both_databases() {
    let both = crate::cli::Both::new();
    let empty = both.run(&["report", "--html", "-"]).success();
    assert!(empty.contains("<p>none</p>") && !empty.contains("<svg"), "{empty}");
    for sandbox in both.each() {
        ledger(sandbox);
    }
    for stack in ["agent", "model", "pipeline"] {
        let page =
            both.run(&["report", "--html", "-", "--days", "400", "--stack", stack, "--limit", "3"]).success();
        assert!(page.contains("Spend by 3 days and"), "a range of 400 days has few columns");
        assert!(page.contains("Of 15 runs that started in the range the 3 most expensive are shown"));
    }
}
