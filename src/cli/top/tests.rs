//! What is on the screen, from states that are made up.

use super::draw::draw;
use super::keys::Key;
use super::look::{Hour, Snapshot};
use super::state::{Action, State};
use super::{Order, parse_interval};
use crate::domain::{RunId, Timestamp, Usd};
use crate::error::Error;
use crate::report::Style;
use crate::store::{Filter, Leader, LiveRun, LiveRuns, Tally, Totals};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use std::time::Duration;
use uuid::Uuid;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn tally(llm_calls: u64, unpriced_calls: u64, cost: &str) -> Tally {
    Tally { llm_calls, unpriced_calls, cost: cost.parse().unwrap() }
}

fn run(number: u128, pipeline: &str, agents: &str, started_at: &str, calls: u64, cost: &str) -> LiveRun {
    let totals = Totals {
        llm_calls: calls,
        input_tokens: calls * 1_200,
        output_tokens: calls * 250,
        cost: cost.parse().unwrap(),
        ..Totals::default()
    };
    let run_id = RunId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number));
    let (pipeline, agents) = (pipeline.to_owned(), agents.to_owned());
    LiveRun { run_id, pipeline, agents, started_at: time(started_at), totals }
}

/// An hour that rises and falls, with a minute of unpriced calls and a quarter that is known as a whole only.
fn snapshot() -> Snapshot {
    let at = time("2026-03-15T12:07:30Z");
    // From 11:00 on: the hour begins at 11:08.
    let mut minutes: Vec<(u64, Tally)> = (8..45)
        .map(|minute| (minute, tally(minute % 5 + 1, 0, &format!("0.{:03}", minute * minute % 173))))
        .collect();
    minutes.push((63, tally(2, 2, "0")));
    minutes.push((65, tally(12, 0, "0.21")));
    let whole = |range: std::ops::Range<u64>| {
        let mut sum = Tally::default();
        minutes.iter().filter(|(minute, _)| range.contains(minute)).for_each(|(_, tally)| sum += *tally);
        sum
    };
    let bucket = time("2026-03-15T11:00:00Z").bucket();
    let quarters = [
        (bucket, whole(0..15)),
        (bucket + 1, whole(15..30)),
        (bucket + 2, whole(30..45)),
        (bucket + 3, tally(33, 0, "0.75")),
        (bucket + 4, whole(60..75)),
    ];
    let leader = |name: &str, tally| Leader { name: name.to_owned(), tally };
    let mut unpriced = run(4, "search", "ranker", "2026-03-15T12:03:00Z", 2, "0");
    unpriced.totals.unpriced_calls = 2;
    Snapshot {
        at,
        today: tally(5_512, 307, "53.19"),
        hour: Hour::new(at, &minutes, &quarters),
        since: Timestamp::from_bucket(bucket),
        runs: LiveRuns {
            running: 4,
            runs: vec![
                run(1, "company-enrichment", "researcher, reviewer", "2026-03-15T10:02:11Z", 1_003, "38.44"),
                run(2, "enrichment", "summariser", "2026-03-15T11:58:00Z", 41, "0.0304"),
                run(3, "nightly\u{1b}[2J", "", "2026-03-12T00:00:00Z", 0, "0"),
                unpriced,
            ],
        },
        agents: vec![
            leader("researcher", tally(84, 0, "3.11")),
            leader("summariser", tally(41, 0, "0.42")),
            leader("", tally(3, 0, "0.0001")),
            leader("ranker", tally(2, 2, "0")),
        ],
        models: vec![
            leader("claude-sonnet-4-5-20250929", tally(84, 0, "3.11")),
            leader("our-ranker-v2", tally(2, 2, "0")),
        ],
    }
}

fn state(style: Style) -> State {
    let zone = (chrono_tz::Tz::UTC, "the system's");
    let second = Duration::from_secs(2);
    let mut state = State::new("/home/ops/ledger.db", zone, style, second, Order::Cost, &Filter::default());
    state.take(Ok(snapshot()));
    state
}

fn screen(state: &State, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| {
            let area = frame.area();
            draw(state, area, frame.buffer_mut());
        })
        .unwrap();
    terminal
}

/// The screen as lines without spaces at their ends.
fn shown(state: &State, width: u16, height: u16) -> String {
    let terminal = screen(state, width, height);
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_ordinary_terminal() {
    insta::assert_snapshot!(shown(&state(Style::plain(80)), 80, 24), @r"
    asmm top  /home/ops/ledger.db             2026-03-15 12:07:30 UTC (the system's)
    today $53.19 (5,512 calls)   last hour $4.24 (161 calls)   running 4
    last 5 min $2.80/h   last 15 min $2.32/h   3.1 calls/min   1.2 % unpriced
    last hour, dollars a minute; 20.5 % of the calls spread over their quarter ─────
     $0.2100      ▁                                                   █
                ▂▅█   ▁▇   ▅   ▇  ▆  █ ▁  █ ▄ ▂ ▂                     █
             ▁▄▇███  ▄██  ▆█  ██ ▆█ ▆█ █ ▄█▁█ █ █                     █
             ██████▃▇███▂███▁███▅██▅██▇█▂████▆█▅█▅▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇···?·█··
                    11:15          11:30          11:45          12:00
    running, by cost ───────────────────────────────────────────────────────────────
    run       pipeline    agents             for   calls tokens       cost   USD/min
    …00000001 company-en… researcher,…  2 h 05 m   1,003   1.5M     $38.44   $0.3067
    …00000002 enrichment  summariser    9 m 30 s      41  59.5K      $0.03   $0.0032
    …00000003 nightly\u{…               3 d 12 h       0      0      $0.00   $0.0000
    …00000004 search      ranker        4 m 30 s       2   2.9K   unpriced         –



    agents since 11:00 ────────────────────  models since 11:00 ────────────────────
    researcher          84     $3.11 ██████  claude-sonnet…      84     $3.11 ██████
    summariser          41     $0.42 ▊       our-ranker-v2        2  unpriced
    –                    3    <$0.01 ▏
    ranker               2  unpriced
    q quit  s sort  ↑↓ scroll  p pause  ? help                             every 2 s
    ");
}

#[test]
fn a_large_terminal() {
    insta::assert_snapshot!(shown(&state(Style::plain(160)), 160, 50), @r"
    asmm top  /home/ops/ledger.db                                                                                             2026-03-15 12:07:30 UTC (the system's)
    today $53.19 (5,512 calls)   last hour $4.24 (161 calls)   running 4
    last 5 min $2.80/h   last 15 min $2.32/h   3.1 calls/min   1.2 % unpriced
    last hour, dollars a minute; 20.5 % of the calls spread over their quarter ─────────────────────────────────────────────────────────────────────────────────────
     $0.2100                                                                                                                   ██
                                                                                                                               ██
                       ▆▆                        ▁▁          ▂▂        ▂▂                                                      ██
                     ▄▄██        ▇▇      ▁▁      ██    ▆▆    ██        ██  ▁▁                                                  ██
                   ▂▂████        ██      ██      ██    ██    ██  ▁▁    ██  ██  ▃▃  ▁▁                                          ██
                 ▁▁██████      ████      ██    ▄▄██    ██    ██  ██    ██  ██  ██  ██                                          ██
               ▁▁████████    ▂▂████    ▇▇██    ████  ▆▆██  ████  ██  ▃▃██  ██  ██  ██                                          ██
             ▂▂██████████    ██████    ████    ████  ████  ████  ██  ████▁▁██  ██  ██                                          ██
             ████████████  ▅▅██████  ▆▆████  ▇▇████  ████  ████▅▅██  ████████▂▂██  ██  ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄          ██
             ████████████▁▁████████  ██████  ██████▇▇████▆▆████████  ████████████▆▆██▅▅██████████████████████████████          ██
             ██████████████████████▆▆██████▄▄██████████████████████▅▅████████████████████████████████████████████████······??··██····
                           11:15                         11:30                         11:45                         12:00
    running, by cost ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
    run            pipeline            agents                started               for    calls  tokens        cost    USD/min
    …000000000001  company-enrichment  researcher, reviewer  03-15 10:02:11   2 h 05 m    1,003    1.5M      $38.44    $0.3067
    …000000000002  enrichment          summariser            03-15 11:58:00   9 m 30 s       41   59.5K       $0.03    $0.0032
    …000000000003  nightly\u{1b}[2J                          03-12 00:00:00   3 d 12 h        0       0       $0.00    $0.0000
    …000000000004  search              ranker                03-15 12:03:00   4 m 30 s        2    2.9K    unpriced          –
















    agents since 11:00 ────────────────────────────────────────────────────────────  models since 11:00 ────────────────────────────────────────────────────────────
    researcher                                        84     $3.11 ████████████████  claude-sonnet-4-5-20250929                        84     $3.11 ████████████████
    summariser                                        41     $0.42 ██▏               our-ranker-v2                                      2  unpriced
    –                                                  3    <$0.01 ▏
    ranker                                             2  unpriced






    q quit  s sort  ↑↓ scroll  p pause  ? help                                                                                                             every 2 s
    ");
}

#[test]
fn a_small_terminal_has_the_figures() {
    insta::assert_snapshot!(shown(&state(Style::plain(40)), 40, 10), @r"
    asmm top  12:07:30
    today      $53.19
    last hour  $4.24
    last 5 min $2.80/h
    running    4
    2 calls of the hour unpriced
    40 x 10 is too small: from 60 x 15
    on there are the chart and the runs
    q quit
    ");
}

#[test]
fn a_terminal_of_ascii() {
    let style = Style { unicode: false, ..Style::plain(80) };
    let mut state = state(style);
    state.press(Key::Help);
    let shown = shown(&state, 80, 24);
    assert!(shown.is_ascii(), "{shown}");
    insta::assert_snapshot!(shown, @r"
    asmm top  /home/ops/ledger.db             2026-03-15 12:07:30 UTC (the system's)
    today $53.19 (5,512 calls)   last hour $4.24 (161 calls)   running 4
    last 5 min $2.80/h   last 15 min $2.32/h   3.1 calls/min   1.2 % unpriced
    last hour, dollars a minute; 20.5 % of the calls spread over their quarter -----
     $0.2100                                                          #
                 ##    #   #   #  #  #    # #                         #
              #####  ###  ##  ## ## ## # ## # # #                     #
        + keys ----------------------------------------------------------------+
        |q Esc Ctrl-C end                                                      |
    runn|s            sort runs by cost, started, calls, tokens (now: cost)    |----
    run |up down k j  scroll the runs; PgUp PgDn Home End                      |/min
    ...0|p space      pause, and go on                                         |3067
    ...0|r            ask the ledger at once                                   |0032
    ...0|Ctrl-L       draw everything anew                                     |0000
    ...0|? h          this                                                     |   -
        +----------------------------------------------------------------------+


    agents since 11:00 --------------------  models since 11:00 --------------------
    researcher          84     $3.11 ######  claude-sonn...      84     $3.11 ######
    summariser          41     $0.42 #       our-ranker-v2        2  unpriced
    -                    3    <$0.01 #
    ranker               2  unpriced
    q quit  s sort  arrows scroll  p pause  ? help                         every 2 s
    ");
}

#[test]
fn no_size_is_too_small_to_be_drawn() {
    let mut state = state(Style::plain(80));
    for (width, height) in [(1, 1), (2, 40), (200, 1), (60, 15), (59, 15), (61, 19), (500, 200)] {
        for shows_help in [false, true] {
            state.shows_help = shows_help;
            screen(&state, width, height);
        }
    }
    state.snapshot = None;
    screen(&state, 1, 1);
}

#[test]
fn a_ledger_that_is_away_is_said_and_what_was_known_stays() {
    let mut state = state(Style::plain(80));
    let password = "postgres://me:hunter2hunter2@db/llm";
    state.take(Err(Error::ledger(format!("`{password}`: connection refused"))));
    let shown_now = shown(&state, 80, 24);
    let foot = shown_now.lines().last().unwrap();
    assert!(foot.ends_with("; shown is 12:07:30; trying again"), "{foot}");
    assert!(foot.contains("refused") || foot.contains('…'), "{foot}");
    assert!(!shown_now.contains("hunter2"), "{foot}");
    assert!(shown_now.contains("$53.19"), "{shown_now}");
    state.take(Ok(snapshot()));
    assert!(shown(&state, 80, 24).ends_with("every 2 s"));
    let mut never = State { snapshot: None, ..state };
    assert!(shown(&never, 80, 24).starts_with("asking /home/ops/ledger.db …"));
    never.take(Err(Error::ledger("gone")));
    assert!(shown(&never, 80, 24).starts_with("gone"));
}

#[test]
fn color_only_where_it_is_wanted() {
    let colors = |style| {
        let terminal = screen(&state(style), 80, 24);
        terminal.backend().buffer().content.iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    assert_eq!(colors(Style::plain(80)), 0);
    assert!(colors(Style { color: true, ..Style::plain(80) }) > 50);
}

#[test]
fn keys_do_what_the_foot_says() {
    let mut state = state(Style::plain(80));
    assert_eq!(state.press(Key::End), Action::End);
    for order in [Order::Started, Order::Calls, Order::Tokens, Order::Cost] {
        assert_eq!((state.press(Key::Sort), state.order), (Action::Ask, order));
    }
    assert_eq!((state.press(Key::Pause), state.is_paused), (Action::Nothing, true));
    assert!(shown(&state, 80, 24).ends_with("paused: p goes on"));
    assert_eq!((state.press(Key::Pause), state.is_paused), (Action::Ask, false));
    for (key, scrolled) in [
        (Key::Up, 0),
        (Key::Down, 1),
        (Key::PageDown, 3),
        (Key::Down, 3),
        (Key::PageUp, 0),
        (Key::Last, 3),
        (Key::First, 0),
    ] {
        state.press(key);
        assert_eq!(state.scrolled, scrolled, "{key:?}");
    }
    state.press(Key::Help);
    assert!(shown(&state, 80, 24).contains("sort runs by"));
    assert_eq!((state.press(Key::Sort), state.shows_help), (Action::Nothing, false));
    // Fewer runs than were scrolled past.
    state.press(Key::Last);
    let mut fewer = snapshot();
    fewer.runs.runs.truncate(1);
    state.take(Ok(fewer));
    assert_eq!(state.scrolled, 0);
}

/// What the minutes lack of a quarter is in its minutes that have begun, and nothing is lost or made up.
#[test]
fn the_hour_adds_up() {
    let at = time("2026-03-15T12:01:10Z");
    let bucket = time("2026-03-15T11:00:00Z").bucket();
    let minutes = [(0, tally(9, 0, "9")), (20, tally(1, 0, "0.5"))];
    let quarters = [
        (bucket, tally(9, 0, "9")),
        (bucket + 1, tally(32, 2, "1.5")),
        (bucket + 4, tally(5, 0, "0.000000000003")),
    ];
    let hour = Hour::new(at, &minutes, &quarters);
    assert_eq!(hour.minutes.len(), 60);
    // 11:00 and 11:01 are over an hour ago.
    assert_eq!(hour.last(60), tally(37, 2, "1.500000000003"));
    assert_eq!(hour.evenly, 36);
    assert_eq!(hour.last(2), tally(5, 0, "0.000000000003"));
    assert_eq!(hour.last(1), tally(2, 0, "0.000000000001"));
    // In 70 seconds.
    assert_eq!(hour.tenths_of_calls(2, at), 42);
    assert_eq!(hour.rate(2, at), Some(Usd::from_pico(3 * 3600 / 70)));
    let unpriced = Hour::new(at, &[], &[(bucket + 4, tally(5, 5, "0"))]);
    assert_eq!((unpriced.rate(5, at), unpriced.rate(60, at)), (None, None));
    assert_eq!(Hour::new(at, &[], &[]).rate(5, at), Some(Usd::ZERO));
    // More by the minute than by the quarter: a call came between the two questions.
    let later = Hour::new(at, &[(61, tally(3, 0, "0.1"))], &[(bucket + 4, tally(2, 0, "0.05"))]);
    assert_eq!((later.last(60), later.evenly), (tally(3, 0, "0.1"), 0));
}

#[test]
fn an_interval_is_read() {
    for (text, millis) in [("2s", 2_000), ("500ms", 500), ("1m", 60_000), ("3", 3_000), ("1h", 3_600_000)] {
        assert_eq!(parse_interval(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in
        ["", "0", "50ms", "2h", "s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615m", "2 s"]
    {
        assert!(parse_interval(text).is_err(), "{text}");
    }
}
