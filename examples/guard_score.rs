//! How well and how fast the guard finds what a labelled corpus holds.
//!
//! ```text
//! cargo run --release --example guard_score -- corpus.jsonl.gz [--all] [--by-kind] [--misses] [--no-speed]
//! ```
//!
//! A line of the corpus is `{"text", "gold": [{"bstart", "bend", "kind", "group", "tier"}], "negatives",
//! "optional"}`; ends are exclusive, in bytes. Figures for a group:
//!
//! - recall: gold spans that a finding of the group touches; full: that findings cover to the last byte
//! - precision: merged findings that touch gold of the group, among those and the false ones; a finding that
//!   touches only optional spans, or gold of another group, counts for nothing
//! - alarms: the share of texts without gold of the group that have a false finding
//!
//! `--all` looks for birth dates and hardware addresses as well, `--by-kind` shows every kind, `--misses` names what was missed or falsely
//! found. Speed is of one thread, the best of several passes.

#![expect(clippy::print_stdout, reason = "a program that prints")]

use asmm::guard::{Group, Options, Scanner};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

type AnyError = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Text {
    #[serde(rename = "text")]
    content: String,
    #[serde(default)]
    gold: Vec<Span>,
    #[serde(default)]
    negatives: Vec<Span>,
    #[serde(default)]
    optional: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    bstart: usize,
    bend: usize,
    kind: String,
    group: Option<Group>,
    tier: Option<String>,
}

impl Span {
    fn touches(&self, range: &Range<usize>) -> bool {
        self.bstart < range.end && range.start < self.bend
    }
}

/// What is counted for a group.
#[derive(Default)]
struct Count {
    gold: u32,
    hit: u32,
    full: u32,
    right: u32,
    wrong: u32,
    clean: u32,
    alarms: u32,
}

/// Gold, hit, covered in full: by kind or by tier.
type Recall = BTreeMap<String, (u32, u32, u32)>;

#[derive(Default)]
struct Score {
    groups: BTreeMap<Group, Count>,
    kinds: Recall,
    tiers: Recall,
    false_on: BTreeMap<String, u32>,
    clean: u32,
    alarmed: u32,
    misses: Vec<String>,
}

const GROUPS: [Group; 4] = [Group::Secret, Group::Pii, Group::PiiId, Group::PiiSoft];

fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let Some(path) = arguments.iter().find(|argument| !argument.starts_with("--")) else {
        return Err(
            "usage: guard_score <corpus.jsonl[.gz]> [--all] [--by-kind] [--misses] [--no-speed]".into()
        );
    };
    let texts = read(path)?;
    let scanner = Scanner::new(&Options { national_ids: true, soft: has("--all"), suspicion: false });
    let mut score = Score::default();
    for text in &texts {
        score.add(text, &scanner)?;
    }
    score.print(has("--all"), has("--by-kind"));
    if has("--misses") {
        score.misses.iter().for_each(|miss| println!("{miss}"));
    }
    if !has("--no-speed") {
        let dense = texts.iter().map(|text| text.content.as_str()).collect::<Vec<_>>().join("\n");
        speed(&dense)?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<Text>, AnyError> {
    let bytes = std::fs::read(path)?;
    let mut lines = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut lines)?;
    } else {
        lines = String::from_utf8(bytes)?;
    }
    Ok(lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

fn merge(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

impl Score {
    fn add(&mut self, text: &Text, scanner: &Scanner) -> Result<(), AnyError> {
        let findings = scanner.scan(&text.content)?;
        let mut false_here = 0;
        for group in GROUPS {
            let ranges =
                merge(findings.iter().filter(|f| f.group == group).map(|f| f.range.clone()).collect());
            let gold: Vec<&Span> = text.gold.iter().filter(|span| span.group == Some(group)).collect();
            for span in &gold {
                self.recall(group, span, &ranges, text);
            }
            let mut wrong = Vec::new();
            let mut right = 0;
            for range in ranges {
                if gold.iter().any(|span| span.touches(&range)) {
                    right += 1;
                } else if !text.optional.iter().chain(&text.gold).any(|span| span.touches(&range)) {
                    wrong.push(range);
                }
            }
            for range in &wrong {
                self.note_false(text, group, range, scanner);
            }
            let count = self.groups.entry(group).or_default();
            count.right += right;
            count.wrong += u32::try_from(wrong.len())?;
            count.clean += u32::from(gold.is_empty());
            count.alarms += u32::from(gold.is_empty() && !wrong.is_empty());
            false_here += wrong.len();
        }
        let clean = text.gold.iter().all(|span| span.group == Some(Group::PiiSoft));
        self.clean += u32::from(clean);
        self.alarmed += u32::from(clean && false_here > 0);
        Ok(())
    }

    fn recall(&mut self, group: Group, span: &Span, ranges: &[Range<usize>], text: &Text) {
        let covered: usize = ranges
            .iter()
            .map(|range| range.end.min(span.bend).saturating_sub(range.start.max(span.bstart)))
            .sum();
        let (hit, full) = (covered > 0, covered >= span.bend - span.bstart);
        let count = self.groups.entry(group).or_default();
        count.gold += 1;
        count.hit += u32::from(hit);
        count.full += u32::from(full);
        let mut tables = vec![(&mut self.kinds, format!("{group}/{}", span.kind))];
        if group == Group::Secret {
            tables.push((&mut self.tiers, span.tier.clone().unwrap_or_default()));
        }
        for (table, name) in tables {
            let entry = table.entry(name).or_default();
            entry.0 += 1;
            entry.1 += u32::from(hit);
            entry.2 += u32::from(full);
        }
        if !full && group != Group::PiiSoft {
            let what = if hit { "part" } else { "miss" };
            self.misses.push(format!(
                "{what} {group}/{}: {}",
                span.kind,
                around(&text.content, &(span.bstart..span.bend))
            ));
        }
    }

    fn note_false(&mut self, text: &Text, group: Group, range: &Range<usize>, scanner: &Scanner) {
        let on = text
            .negatives
            .iter()
            .find(|span| span.touches(range))
            .map_or("(nothing named)", |span| &span.kind);
        *self.false_on.entry(format!("{group} on {on}")).or_default() += 1;
        let findings = scanner.scan(&text.content).unwrap_or_default();
        let by = findings.iter().find(|f| f.range.start == range.start).map_or("", |f| f.detector);
        self.misses.push(format!("false {group}/{by} on {on}: {}", around(&text.content, range)));
    }

    fn print(&self, soft: bool, by_kind: bool) {
        println!("group         gold  precision  recall    full  false  alarms%");
        for (group, count) in self.groups.iter().filter(|(group, _)| soft || **group != Group::PiiSoft) {
            println!(
                "{:<10} {:>7} {:>10.3} {:>7.3} {:>7.3} {:>6} {:>8.1}",
                group.as_str(),
                count.gold,
                share(count.right, count.right + count.wrong),
                share(count.hit, count.gold),
                share(count.full, count.gold),
                count.wrong,
                100.0 * share(count.alarms, count.clean)
            );
        }
        let alarmed = 100.0 * share(self.alarmed, self.clean);
        println!("texts with nothing to find: {}, alarmed: {alarmed:.1} %", self.clean);
        println!("\n{:<40} gold  recall    full", "secrets by tier");
        self.tiers.iter().for_each(row);
        if by_kind {
            println!("\n{:<40} gold  recall    full", "kind");
            self.kinds.iter().filter(|(name, _)| soft || !name.starts_with("pii_soft")).for_each(row);
        }
        if !self.false_on.is_empty() {
            println!("\nfalse findings, by what they are on");
            self.false_on.iter().for_each(|(name, count)| println!("{name:<40} {count:>4}"));
        }
    }
}

/// A line of a table of recall.
fn row((name, (gold, hit, full)): (&String, &(u32, u32, u32))) {
    println!("{name:<40} {gold:>4} {:>7.3} {:>7.3}", share(*hit, *gold), share(*full, *gold));
}

/// A place of a text with what stands around it, in one line.
fn around(text: &str, range: &Range<usize>) -> String {
    let floor = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (start, end) = (floor(range.start.saturating_sub(60)), floor(text.len().min(range.end + 16)));
    let value = &text[range.clone()];
    let value: String = value.chars().take(70).collect();
    format!("{}⟦{value}⟧{}", &text[start..range.start], &text[range.end..end]).replace('\n', "⏎")
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

/// The best time of a few passes of `work`.
fn best(passes: u32, mut work: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..passes {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    best
}

/// Megabytes a second.
fn rate(bytes: usize, time: Duration) -> f64 {
    let bytes = u32::try_from(bytes).map_or(f64::MAX, f64::from);
    bytes / 1e6 / time.as_secs_f64()
}

fn speed(dense: &str) -> Result<(), AnyError> {
    let start = Instant::now();
    let scanner = Scanner::new(&Options::default());
    let built = start.elapsed();
    let clean = sources(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let texts = [("dense", dense), ("clean", clean.as_str())];
    println!("\nMB/s, one thread     scan  anchors alone  memchr    1 KB median, 95 %");
    for (name, text) in texts {
        let parts = split(text, 1 << 20);
        let each =
            |work: &dyn Fn(&str)| rate(text.len(), best(5, || parts.iter().for_each(|part| work(part))));
        let scan = each(&|part| drop(std::hint::black_box(scanner.scan(part))));
        let anchors = each(&|part| {
            std::hint::black_box(scanner.count_anchors(part));
        });
        let bare = each(&|part| {
            std::hint::black_box(memchr::memchr_iter(0, part.as_bytes()).count());
        });
        let mut prompts: Vec<Duration> = split(text, 1024)
            .iter()
            .take(2000)
            .map(|prompt| best(3, || drop(std::hint::black_box(scanner.scan(prompt)))))
            .collect();
        prompts.sort_unstable();
        let micros = |part: usize| prompts[prompts.len() * part / 100].as_secs_f64() * 1e6;
        println!(
            "{name:<18} {scan:>6.0} {anchors:>14.0} {bare:>7.0} {:>10.1} µs, {:.1} µs",
            micros(50),
            micros(95)
        );
    }
    println!("the scanner is built in {:.1} ms", built.as_secs_f64() * 1e3);
    adversarial(&scanner);
    Ok(())
}

/// Parts of about `size` bytes, cut at characters.
fn split(text: &str, size: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let mut end = text.len().min(start + size);
        while !text.is_char_boundary(end) {
            end += 1;
        }
        parts.push(&text[start..end]);
        start = end;
    }
    parts
}

/// About 8 MB of the repository's own sources and pages, over and over.
fn sources(root: &Path) -> Result<String, AnyError> {
    let mut text = String::new();
    let mut folders: Vec<_> =
        ["src", "tests", "queries", "migrations"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let path = entry.path();
            let is_text =
                path.extension().is_some_and(|e| ["rs", "sql", "md"].iter().any(|known| e == *known));
            if path.is_dir() && !path.ends_with("guard") {
                folders.push(path);
            } else if is_text {
                text.push_str(&std::fs::read_to_string(path)?);
            }
        }
    }
    for name in ["README.md", "RUNBOOK.md"] {
        text.push_str(&std::fs::read_to_string(root.join(name))?);
    }
    Ok(text.repeat(8_000_000 / text.len().max(1) + 1))
}

/// Time a byte on texts made to be slow, of 64 KiB and of 4 MiB: a scan in linear time has a ratio of 1.
fn adversarial(scanner: &Scanner) {
    const UNITS: &[&str] = &[
        "password ",
        "password=",
        "password is ",
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nAAAA",
        "eyJhbGciOiJ",
        "eyJa.eyJa.",
        "1",
        "1 ",
        "12-",
        "+1 ",
        "4111 ",
        "a@",
        "a.",
        "://a:",
        "://",
        "sk-",
        "AKIA",
        "key key ",
        "key=",
        "DE89 ",
        "::1",
        "1.1.1.1",
        "AAAAaaaa",
        "aGVsbG8g",
        "%40",
        "seed phrase: ",
        "seed phrase: word word word ",
        "\u{200b}",
        "ｐ",
        "пароль ",
        "密码",
        "[EMAIL_1]",
        "mysql -p",
        "otpauth://",
        "\"",
        "x-api-key: ",
        "xoxb-",
        "session=",
        "password,a\n",
        "password\n",
        "a,12345678\n",
        "admin / ",
        "login(\"a\",",
        "<password a=\"b\" ",
        "name=\"password\" ",
        "password: |\n",
        "redis-cli ",
        "net use \\\\",
        "jwt.sign(",
        "{{password",
    ];
    let mut worst: (f64, &str) = (0.0, "");
    let mut slowest: (f64, &str) = (f64::MAX, "");
    for unit in UNITS {
        let time = |bytes: usize, passes| {
            let text = unit.repeat(bytes / unit.len());
            let time = best(passes, || drop(std::hint::black_box(scanner.scan(&text))));
            rate(text.len(), time)
        };
        let (small, large) = (time(64 << 10, 7), time(4 << 20, 1));
        if std::env::var_os("SHOW").is_some() {
            println!("{unit:?} {small:.1} {large:.1}");
        }
        if small / large > worst.0 {
            worst = (small / large, unit);
        }
        if large < slowest.0 {
            slowest = (large, unit);
        }
    }
    println!(
        "{} adversarial texts: time a byte at 4 MiB over 64 KiB, worst {:.2} ({:?}); slowest {:.1} MB/s ({:?})",
        UNITS.len(),
        worst.0,
        worst.1,
        slowest.0,
        slowest.1
    );
}
