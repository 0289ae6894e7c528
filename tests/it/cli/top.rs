//! `asmm top` on a real terminal: what it shows while others record, and how it ends.

use super::failing::nobody;
use super::{Both, id, repository, sqlite};
use crate::support::{Sandbox, Server, Terminal};

/// The program on a terminal, once it has drawn.
fn open(sandbox: &Sandbox, args: &[&str]) -> Terminal {
    let args = [&["top", "--interval", "100ms"][..], args].concat();
    let terminal = Terminal::start(&sandbox.command(&args), 100, 30);
    terminal.wait_for_whole("asmm top", "q quit");
    terminal.is_taken();
    terminal
}

fn record(sandbox: &Sandbox, run: &str, pipeline: &str) {
    sandbox.run(&["runs", "start", "--pipeline", pipeline, "--run-id", run]).success();
    let call = ["--provider", "openai", "--model", "gpt-4o", "--input", "400000", "--output", "2000"];
    let args = [&["runs", "call", "--run-id", run, "--agent", "scribe"][..], &call].concat();
    sandbox.run(&args).success();
}

/// A run that is recorded while it is looked at comes, is sorted and scrolled, and goes; then the terminal is given back.
fn watch_a_run(sandbox: &Sandbox) {
    let mut terminal = open(sandbox, &[]);
    terminal.wait_for(&["no run that started in the last 7 days is running", "no calls in the last hour"]);

    let (run, other) = (id(1), id(2));
    record(sandbox, &run, "live-pipeline");
    // 400,000 × 2.50 and 2,000 × 10.00 dollars a million.
    terminal.wait_for(&["live-pipeline", "scribe", "402.0K", "$1.02", "gpt-4o", "all priced"]);
    terminal.wait_for(&["today $1.02 (1 call)", "last hour $1.02 (1 call)", "running 1"]);
    assert!(terminal.text().contains('█'), "{}", terminal.text());

    sandbox.run(&["runs", "start", "--pipeline", "another", "--run-id", &other]).success();
    sandbox.run(&["runs", "call", "--run-id", &other, "--model", "nobodys"]).success();
    terminal.wait_for(&["another", "unpriced", "running 2", "50.0 % unpriced"]);
    let rows = |text: &str| {
        let lines = text.lines().filter(|line| line.contains("…0000000"));
        lines.map(|line| line.contains("live-pipeline")).collect::<Vec<_>>()
    };
    assert_eq!(rows(&terminal.text()), [true, false], "{}", terminal.text());
    terminal.press("s");
    terminal.wait_for(&["running, by started"]);

    terminal.press("p");
    terminal.wait_for(&["paused"]);
    terminal.press("?");
    terminal.wait_for(&["sort runs by cost"]);
    terminal.press("x");
    terminal.wait_without("sort runs by cost");
    terminal.press("p");
    terminal.wait_without("paused");

    terminal.resize(44, 12);
    terminal.wait_for(&["44 x 12 is too small"]);
    terminal.resize(160, 50);
    // There is room for the start now.
    terminal.wait_for(&["live-pipeline", "03-15 12:00:00"]);

    sandbox.run(&["runs", "finish", "--run-id", &run]).success();
    terminal.wait_for(&["running 1"]);
    terminal.wait_without("live-pipeline");
    assert!(terminal.text().contains("$1.02"), "what it cost stays: {}", terminal.text());

    terminal.press("q");
    assert_eq!(terminal.end(), Some(0));
    terminal.is_given_back();
}

#[test]
fn a_run_comes_and_goes_on_sqlite() {
    watch_a_run(&sqlite());
}

#[test]
fn a_run_comes_and_goes_on_postgres() {
    watch_a_run(&Both::new().postgres);
}

#[test]
fn it_ends_in_every_way_and_gives_the_terminal_back() {
    let sandbox = sqlite();
    for keys in ["q", "\u{1b}", "\u{3}"] {
        let mut terminal = open(&sandbox, &[]);
        terminal.press(keys);
        assert_eq!(terminal.end(), Some(0), "{keys:?}");
        terminal.is_given_back();
    }
    for signal in ["TERM", "HUP", "INT"] {
        let mut terminal = open(&sandbox, &[]);
        terminal.signal(signal);
        assert_eq!(terminal.end(), Some(0), "{signal}");
        terminal.is_given_back();
    }
}

#[test]
fn only_what_is_asked_for() {
    let sandbox = sqlite();
    record(&sandbox, &id(1), "wanted");
    record(&sandbox, &id(2), "unwanted-thing");
    let terminal = open(&sandbox, &["--pipeline", "wanted", "--model", "gpt-4o", "--tz", "Asia/Kolkata"]);
    terminal.wait_for(&["only pipeline wanted, model gpt-4o", "17:30:00 Asia/Kolkata (from --tz)", "$1.02"]);
    assert!(!terminal.text().contains("unwanted-thing"), "{}", terminal.text());
    let terminal = open(&sandbox, &["--agent", "nobody"]);
    terminal.wait_for(&["no run that started", "no calls in the last hour"]);
}

/// Colour is a matter of the environment, and so is how bars are drawn.
#[test]
fn a_terminal_that_can_do_less() {
    let sandbox = sqlite();
    record(&sandbox, &id(1), "live-pipeline");
    let colored = |terminal: &Terminal| {
        let screen = terminal.screen();
        let (rows, columns) = screen.size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
    };
    let terminal = open(&sandbox, &[]);
    terminal.wait_for(&["$1.02", "█"]);
    assert!(!colored(&terminal), "NO_COLOR is set in the sandbox");
    let terminal = open(&sandbox, &["--color", "always"]);
    terminal.wait_for(&["$1.02"]);
    assert!(colored(&terminal));
    let sandbox = sqlite().with_env("LC_ALL", "C");
    let terminal = open(&sandbox, &[]);
    assert!(terminal.text().is_ascii(), "{}", terminal.text());
}

#[test]
fn a_ledger_that_goes_away_is_said_and_found_again() {
    let sandbox = sqlite();
    let mut terminal = open(&sandbox, &[]);
    let file = sandbox.path().join("home/.local/share/asmm/ledger.db");
    let aside = sandbox.path().join("aside.db");
    std::fs::rename(&file, &aside).unwrap();
    terminal.wait_for(&["the ledger is gone", "trying again", "asmm top"]);
    std::fs::rename(&aside, &file).unwrap();
    terminal.wait_without("trying again");
    terminal.press("q");
    assert_eq!(terminal.end(), Some(0));

    let server = Server::new();
    server.start();
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", server.url());
    sandbox.run(&["migrate"]).success();
    let mut terminal = open(&sandbox, &[]);
    server.crash();
    terminal.wait_for(&["trying again"]);
    server.start();
    terminal.wait_without("trying again");
    record(&sandbox, &id(1), "afterwards");
    terminal.wait_for(&["afterwards", "$1.02"]);
    server.crash();
    terminal.wait_for(&["trying again"]);
    terminal.press("q");
    assert_eq!(terminal.end(), Some(0));
    terminal.is_given_back();
}

#[test]
fn what_it_cannot_show_is_an_error() {
    let sandbox = sqlite();
    insta::assert_snapshot!(sandbox.snapshot(&["top"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: standard input is no terminal, and `asmm top` needs one
    hint: for a script or a file: `asmm runs top`, `asmm spend daily --days 1`
    ");
    let wrong = sandbox.run(&["top", "--interval", "1ms"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("write a time from 100ms to 1h"), "{}", wrong.stderr);
    // On a terminal, what is wrong from the start is said on the screen that people have.
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", nobody());
    let mut terminal = Terminal::start(&sandbox.command(&["top"]), 100, 30);
    assert_eq!(terminal.end(), Some(7), "{}", terminal.text());
    terminal.wait_for(&["error: "]);
    terminal.is_given_back();
}

/// Both databases say the same of the same hour, in part by the minute and in part by the quarter.
#[test]
fn both_show_the_same() {
    let both = Both::new();
    let trace = repository("examples/traces/azure-conversation/trace.csv.gz");
    let import = ["import", "traces", &trace, "--pipeline", "enrichment", "--agent", "summariser"];
    both.run(&[import.as_slice(), &["--model", "gpt-4o", "--start", "2026-03-15T11:10:00Z"]].concat());
    for run in [1, 2] {
        for sandbox in both.each() {
            record(sandbox, &id(run), "live-pipeline");
        }
    }
    let [sqlite, postgres] = both.each().map(|sandbox| {
        let terminal = open(sandbox, &[]);
        terminal.wait_for(&["live-pipeline"]);
        let text = terminal.text();
        // The first line names the ledger.
        text.split_once('\n').unwrap().1.to_owned()
    });
    assert_eq!(sqlite, postgres);
    assert!(sqlite.contains("running 2"), "{sqlite}");
}
