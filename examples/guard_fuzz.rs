//! Looks for texts that make the guard panic, hang, take more time a byte the longer they are, or leave something
//! behind that it should have redacted.
//!
//! ```text
//! cargo run --release --example guard_fuzz -- [--seconds 600] [--seed N]
//! ```
//!
//! Texts are made of what the rules stop at, of values that have the right shape or nearly, of characters that
//! hide something, and of noise; they are then repeated, cut and spliced. Each is scanned, redacted, and rendered into a
//! prompt. A few thousand times it is also blown up to 64 KiB and to 4 MiB, and the times a byte are compared.

#![expect(clippy::print_stdout, reason = "a program that prints")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use asmm::guard::{Fingerprinter, Guard, MAX_TEXT_BYTES, Options, Policy, Scanner, redact, rules};
use asmm::prompt::{Content, parse_file};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The reference for the time a byte.
const SMALL: usize = 64 << 10;

/// A generator of numbers that is the same for the same seed: xorshift64*.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or_default() % limit.max(1)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const ALPHABETS: [&str; 6] = [
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "0123456789abcdef",
    "0123456789",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-=",
    " .,:;=-_/@%\"'`<>()[]{}|\\\n\t\r+*#$&!?~^",
];
const GLUE: [&str; 34] = [
    "=",
    ": ",
    " = \"",
    "\"",
    "'",
    "\n",
    " ",
    "://",
    "@",
    ":",
    "/",
    "%40",
    "%3A",
    "\u{200b}",
    "\u{feff}",
    "\u{2060}",
    "＠",
    "é",
    "密",
    "[EMAIL_1]",
    "[SECRET_",
    "{{",
    "}}",
    "Bearer ",
    "-----BEGIN PRIVATE KEY-----",
    "-----END",
    "eyJ",
    "==",
    "\\n",
    "\\u0041",
    "&amp;",
    "is",
    " ist ",
    "\u{0}",
];

fn piece(numbers: &mut Numbers, words: &[String], into: &mut String) {
    match numbers.below(10) {
        0..3 => into.push_str(numbers.pick::<String>(words)),
        3..6 => into.push_str(numbers.pick::<&str>(&GLUE)),
        6..9 => {
            let alphabet = numbers.pick::<&str>(&ALPHABETS).as_bytes();
            let length = *numbers.pick(&[1, 2, 4, 7, 11, 16, 20, 32, 36, 40, 64, 200]);
            (0..length).for_each(|_| into.push(char::from(*numbers.pick(alphabet))));
        }
        _ => into.extend(char::from_u32(u32::try_from(numbers.below(0x11_0000)).unwrap_or_default())),
    }
}

fn text(numbers: &mut Numbers, words: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..=numbers.below(12) {
        let from = text.len();
        piece(numbers, words, &mut text);
        if numbers.below(8) == 0 {
            let again = text.get(from..).unwrap_or_default().to_owned();
            (0..numbers.below(6)).for_each(|_| text.push_str(&again));
        }
    }
    text
}

/// The text over and over, up to so many bytes.
fn blown_up(text: &str, bytes: usize) -> String {
    let mut long = text.repeat(bytes / text.len().max(1) + 1);
    let mut end = bytes.min(long.len());
    while !long.is_char_boundary(end) {
        end -= 1;
    }
    long.truncate(end);
    long
}

/// How long this thread has worked: what others do with the machine does not count. Where the system does not say,
/// the time.
fn worked() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = said.and_then(|said| said.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Over so many bytes in all that the system's ticks, 4 ms, are of no account.
fn nanos_a_byte(scanner: &Scanner, text: &str, rounds: usize) -> f64 {
    let runs = rounds * (MAX_TEXT_BYTES / text.len().max(1)).max(1);
    let start = worked();
    for _ in 0..runs {
        std::hint::black_box(scanner.scan(text).expect("short enough"));
    }
    worked().saturating_sub(start).as_nanos() as f64 / (runs * text.len().max(1)) as f64
}

fn prompt() -> Content {
    let variable = || json!({"type": "string", "on_secret": "redact"});
    let file = json!({
        "schema": "asmm.prompt/v1", "name": "fuzz", "engine": "subst/1",
        "variables": {"a": variable(), "b": variable()},
        "messages": [{"role": "user", "content": "One: {{a}}, password: {{b}}{{a}}\n{{b}}"}],
    });
    parse_file("fuzz.yaml", file.to_string().as_bytes()).expect("a good prompt").content
}

/// What is wrong with how the guard treats a text, if anything is.
fn wrong(scanner: &Scanner, guard: &Guard, content: &Content, one: &str, two: &str) -> Option<String> {
    let findings = scanner.scan(one).expect("short enough");
    let mut end = 0;
    for finding in &findings {
        if finding.range.start < end || finding.range.is_empty() || one.get(finding.range.clone()).is_none() {
            return Some(format!("`{}` has a wrong place", finding.detector));
        }
        end = finding.range.end;
    }
    let _ = redact(one, &findings, &mut guard.tokens());
    let clean = |text: &str| Value::from(text.replace('\0', ""));
    let inputs = Map::from_iter([("a".to_owned(), clean(one)), ("b".to_owned(), clean(two))]);
    let today = chrono::NaiveDate::default();
    let mut tokens = guard.tokens();
    let guarded = match guard.render(content, &inputs, &mut tokens, today) {
        Ok(guarded) => guarded,
        Err(refusal) => return Some(format!("refused: {}", refusal.error)),
    };
    let sent = &guarded.rendered.messages[0].content;
    let left = guard.scan(sent).expect("short enough").into_iter().find(|(_, decision)| decision.hides());
    if let Some((finding, _)) = left {
        return Some(format!("`{}` is left after redaction", finding.detector));
    }
    let again = guard.render(content, &guarded.inputs.0, &mut tokens, today);
    let is_same = again.is_ok_and(|again| again.rendered == guarded.rendered);
    (!is_same).then(|| "a second pass changes the text".to_owned())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut seconds, mut seed) = (60, 1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (argument.as_str(), value) {
            ("--seconds", Some(value)) => seconds = value,
            ("--seed", Some(value)) => seed = value,
            _ => {
                println!("usage: guard_fuzz [--seconds N] [--seed N]");
                return ExitCode::from(2);
            }
        }
    }
    let scanner = Scanner::new(&Options::all());
    let guard = Guard::new(Policy::default(), Fingerprinter::new([5; 32]));
    let content = prompt();
    let mut words: Vec<String> = rules().flat_map(|rule| rule.keywords.to_vec()).collect();
    words.extend(["password", "passwort", "token", "tel", "card"].map(str::to_owned));
    let mut numbers = Numbers(seed.max(1));
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut texts, mut blown, mut failed) = (0_u64, 0_u64, 0_u64);
    let (mut worst_ratio, mut slowest) = (0.0_f64, 0.0_f64);
    while Instant::now() < until {
        let (one, two) = (text(&mut numbers, &words), text(&mut numbers, &words));
        texts += 1;
        let start = Instant::now();
        if let Some(what) = wrong(&scanner, &guard, &content, &one, &two) {
            failed += 1;
            println!("{what}\n  a: {one:?}\n  b: {two:?}");
        }
        if start.elapsed() > Duration::from_secs(1) {
            failed += 1;
            println!("took {:?}\n  a: {one:?}\n  b: {two:?}", start.elapsed());
        }
        if texts % 800 == 0 && !one.is_empty() {
            blown += 1;
            let small = nanos_a_byte(&scanner, &blown_up(&one, SMALL), 2);
            let large = nanos_a_byte(&scanner, &blown_up(&one, MAX_TEXT_BYTES), 2);
            slowest = slowest.max(large);
            let ratio = large / small;
            if ratio <= 2.0 {
                worst_ratio = worst_ratio.max(ratio);
            } else {
                // Once more: pages of memory that are new, and caches that others have filled, count as well.
                let again = (0..3).map(|_| {
                    nanos_a_byte(&scanner, &blown_up(&one, MAX_TEXT_BYTES), 5)
                        / nanos_a_byte(&scanner, &blown_up(&one, SMALL), 5)
                });
                let again = again.fold(f64::INFINITY, f64::min);
                worst_ratio = worst_ratio.max(again);
                if again > 2.0 {
                    failed += 1;
                    println!("{again:.1} times slower a byte at 4 MiB\n  {one:?}");
                }
            }
        }
    }
    println!(
        "{texts} texts in {seconds} s, {failed} failed; {blown} blown up to 4 MiB: time a byte over that at 64 KiB at most \
         {worst_ratio:.2}, slowest {:.1} MB/s",
        1e3 / slowest
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
