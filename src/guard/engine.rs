//! The scanner: one pass over all anchors, one over runs of digits, and what they lead to.

use super::assigned::{self, Link};
use super::numbers::{self, Run};
use super::resolve::{Hit, resolve};
use super::rules::{self, Edge, How, OptIn, Rule};
use super::validators::Validator;
use super::view::View;
use super::{Finding, Tier, allow, armour, decode, email, ip, phone, uri, value};
use crate::error::{Error, Result};
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::ops::Range;
use std::sync::LazyLock;

/// The longest text that is scanned, in bytes. A longer one is an error, not a slow scan.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// How far before a match its context word may stand, in bytes.
const CONTEXT_REACH: usize = 64;

/// How far before a pronoun the word that it stands for may be, in bytes.
const REFERRED_REACH: usize = 240;

/// Which rules run, beside those that always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// National identification numbers, by their checksums.
    pub national_ids: bool,
    /// Personal data without a structure: birth dates beside a word that says so, hardware addresses.
    pub soft: bool,
    /// Random-looking words that nothing names. Reported, never blocked.
    pub suspicion: bool,
}

impl Options {
    /// Everything there is.
    #[must_use]
    pub fn all() -> Self {
        Self { national_ids: true, soft: true, suspicion: true }
    }

    fn want(self, rule: &Rule) -> bool {
        match rule.opt_in {
            None => true,
            Some(OptIn::NationalIds) => self.national_ids,
            Some(OptIn::Soft) => self.soft,
            Some(OptIn::Suspicion) => self.suspicion,
        }
    }
}

/// Finds what the rules describe. Built once, used for any number of texts, from any number of threads.
pub struct Scanner {
    anchors: AhoCorasick,
    /// For each anchor, the rules that it is one of.
    by_anchor: Vec<Vec<&'static Rule>>,
    /// Rules that the pass over digits asks, by the validator that reads them.
    digits: Vec<&'static Rule>,
    /// Rules that it asks at the start of a word.
    numbers: Vec<&'static Rule>,
    suspicion: Option<&'static Rule>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner").field("anchors", &self.by_anchor.len()).finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner with the rules that `options` ask for.
    ///
    /// # Panics
    ///
    /// Never: the anchors are compiled in, and tests build every scanner there is.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut by_anchor: Vec<Vec<&'static Rule>> = Vec::new();
        let active = || rules::table().iter().filter(|rule| options.want(rule));
        for rule in active() {
            for word in rule.keywords.iter().flat_map(|word| cases(word)) {
                let place = words.iter().position(|known| *known == word).unwrap_or_else(|| {
                    words.push(word);
                    by_anchor.push(Vec::new());
                    words.len() - 1
                });
                by_anchor[place].push(rule);
            }
        }
        let anchors = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(&words)
            .expect("a few hundred short words make a small automaton");
        Self {
            anchors,
            by_anchor,
            digits: active().filter(|rule| rule.how == How::Digits).collect(),
            numbers: active().filter(|rule| rule.how == How::Number).collect(),
            suspicion: active().find(|rule| rule.validator == Validator::Entropy),
        }
    }

    /// The scanner with the default options, built when it is first asked for.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(&Options::default()));
        &SHARED
    }

    /// What the rules find in `text`, sorted by place, without overlaps.
    ///
    /// # Errors
    ///
    /// A text longer than [`MAX_TEXT_BYTES`].
    pub fn scan(&self, text: &str) -> Result<Vec<Finding>> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::input(format!("`{}` bytes of text are too many for the guard", text.len()))
                .hint(format!("split it into parts of at most {MAX_TEXT_BYTES} bytes")));
        }
        let mut hits = Vec::new();
        self.scan_plain(text, &mut hits);
        if let Some(view) = View::of(text) {
            for part in view.changed() {
                let from = hits.len();
                self.scan_plain(&view.text[part.clone()], &mut hits);
                for hit in &mut hits[from..] {
                    hit.range = view.original(&(hit.range.start + part.start..hit.range.end + part.start));
                }
            }
        }
        self.scan_encoded(text, &mut hits);
        hits.retain(|hit| !allow::holds_token(&text.as_bytes()[hit.range.clone()]));
        Ok(resolve(hits))
    }

    /// How many anchors are in `text`: the prefilter alone, for measurements.
    #[must_use]
    pub fn count_anchors(&self, text: &str) -> usize {
        self.anchors.find_overlapping_iter(text).count()
    }

    fn scan_plain(&self, text: &str, hits: &mut Vec<Hit>) {
        for anchor in self.anchors.find_overlapping_iter(text) {
            for rule in &self.by_anchor[anchor.pattern().as_usize()] {
                if let Some(range) = check(rule, text, anchor.range()) {
                    hits.push(Hit { rule, range });
                }
            }
        }
        self.scan_digits(text, hits);
        if let Some(rule) = self.suspicion {
            scan_random(text, |range| hits.push(Hit { rule, range }));
        }
    }

    /// Words of base64 whose text holds something proven: the whole word is the finding.
    fn scan_encoded(&self, text: &str, hits: &mut Vec<Hit>) {
        decode::words(text, |range, decoded| {
            let mut inner = Vec::new();
            self.scan_plain(decoded, &mut inner);
            let proven =
                inner.into_iter().filter(|hit| hit.rule.tier == Tier::Proven && !hit.range.is_empty());
            let best = proven.min_by_key(|hit| (hit.rule.group, std::cmp::Reverse(hit.range.len())));
            if let Some(hit) = best {
                hits.push(Hit { rule: hit.rule, range });
            }
        });
    }

    /// Numbers and addresses: they have no words to anchor at.
    fn scan_digits(&self, text: &str, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let mut from = 0;
        while let Some(at) = next_digit(bytes, from) {
            let length = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
            from = at + length;
            if !self.numbers.is_empty() {
                self.numbers_at(text, at, hits);
            }
            let before = at.checked_sub(1).map_or(b' ', |last| bytes[last]);
            if before.is_ascii_alphanumeric() && !numbers::ends_an_escape(bytes, at) {
                if before.is_ascii_alphabetic() && length >= 2 {
                    self.native(Validator::Iban, numbers::iban(bytes, at), hits);
                }
                continue;
            }
            if before == b' ' && length >= 2 && at >= 3 && bytes[at - 2].is_ascii_uppercase() {
                self.native(Validator::Iban, numbers::iban(bytes, at), hits);
            }
            if let Some(end) = self.address_at(bytes, at, length, hits) {
                from = end;
                continue;
            }
            from = self.run_at(text, at, hits).max(from);
        }
    }

    /// An address of the internet at `at`; where it ends.
    fn address_at(&self, bytes: &[u8], at: usize, length: usize, hits: &mut Vec<Hit>) -> Option<usize> {
        let found = if length <= 3 && bytes.get(at + length) == Some(&b'.') {
            (Validator::Ipv4, ip::v4(bytes, at)?)
        } else if length <= 4 && bytes[at..bytes.len().min(at + 5)].contains(&b':') {
            (Validator::Ipv6, ip::v6(bytes, at)?)
        } else {
            return None;
        };
        let end = found.1.end;
        self.native(found.0, Some(found.1), hits);
        Some(end)
    }

    /// A card, a social security number or a phone number at `at`; from where to look on.
    fn run_at(&self, text: &str, at: usize, hits: &mut Vec<Hit>) -> usize {
        let bytes = text.as_bytes();
        let length = bytes[at..].iter().take(8).take_while(|b| b.is_ascii_digit()).count();
        if length < 7 && numbers::separator(&bytes[at + length..]).is_none() {
            return 0;
        }
        let lead = bytes[..at].iter().rev().take(2).take_while(|b| matches!(b, b'+' | b'(')).count();
        let plus = lead > 0 && bytes[at - lead..at].contains(&b'+');
        let start = if plus && lead == 2 && bytes[at - 1] == b'+' { at - 1 } else { at - lead.min(1) };
        let run = Run::read(bytes, start);
        if run.groups().last().is_none_or(|last| last.total < 7) {
            return run.groups().last().map_or(0, |last| last.end);
        }
        if !numbers::opens(bytes, start) {
            return 0;
        }
        let found = [
            (Validator::Card, numbers::card(bytes, &run)),
            (Validator::Ssn, numbers::ssn(bytes, &run)),
            (Validator::Phone, phone::phone(text, &run)),
        ];
        let mut end = 0;
        for (validator, range) in found {
            if let Some(range) = range {
                end = range.end.max(end);
                self.native(validator, Some(range), hits);
            }
        }
        end
    }

    fn native(&self, validator: Validator, range: Option<Range<usize>>, hits: &mut Vec<Hit>) {
        let rule = self.digits.iter().find(|rule| rule.validator == validator);
        if let (Some(rule), Some(range)) = (rule, range) {
            hits.push(Hit { rule, range });
        }
    }

    /// National ids, at the start of the word that the digit at `at` is in.
    fn numbers_at(&self, text: &str, at: usize, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let letters = bytes[..at].iter().rev().take(17).take_while(|b| b.is_ascii_alphanumeric()).count();
        if bytes[at - letters..at].iter().any(u8::is_ascii_digit) && letters > 0 {
            // Tried at the word's first digit.
            return;
        }
        // Two letters before a blank, as in `AB 12 34 56 C`.
        let parted = letters == 0
            && at >= 3
            && bytes[at - 1] == b' '
            && bytes[at - 3..at - 1].iter().all(u8::is_ascii_uppercase);
        for start in [Some(at - letters), parted.then(|| at.saturating_sub(3))].into_iter().flatten() {
            for rule in &self.numbers {
                if let Some(range) = match_at(rule, text, start) {
                    hits.push(Hit { rule, range });
                }
            }
        }
    }
}

/// A keyword as it is written: the automaton folds ASCII only.
fn cases(word: &str) -> Vec<String> {
    if word.is_ascii() {
        return vec![word.to_owned()];
    }
    let mut chars = word.chars();
    let title = chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>());
    let mut all = vec![word.to_owned(), word.to_uppercase()];
    all.extend(title);
    all.sort();
    all.dedup();
    all
}

/// What `rule` finds at its `anchor`.
fn check(rule: &Rule, text: &str, anchor: Range<usize>) -> Option<Range<usize>> {
    match rule.how {
        How::Anchor => match_at(rule, text, anchor.start),
        How::Word => {
            let is_part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'~' | b'-');
            let back =
                text.as_bytes()[..anchor.start].iter().rev().take(rule.back).take_while(is_part).count();
            match_at(rule, text, anchor.start - back)
        }
        How::Assigned => assigned_to(rule, text, anchor),
        How::Native => match rule.validator {
            Validator::UriPassword => uri::password(text, anchor.start),
            Validator::Email => email::address(text, anchor.start),
            Validator::PrivateKey => armour::private_key(text, anchor.start),
            _ => None,
        },
        How::Digits | How::Number => None,
    }
}

/// The rule's expression at `start`, with its edges, its words around, and its validator.
fn match_at(rule: &Rule, text: &str, start: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if rule.edge != Edge::None && !opens(bytes, start) {
        return None;
    }
    let window = &bytes[start..bytes.len().min(start + rule.window)];
    let expression = rule.expression()?;
    let (whole, part) = if expression.captures_len() > 1 {
        let captures = expression.captures(window)?;
        (captures.get(0)?.range(), captures.get(1)?.range())
    } else {
        let whole = expression.find(window)?.range();
        (whole.clone(), whole)
    };
    if rule.edge == Edge::Word && !closes(bytes, start + whole.end) {
        return None;
    }
    let range = snap(text, start + part.start..start + part.end);
    let found = text.get(range.clone())?;
    (!found.is_empty() && rule.validator.accepts(found) && has_context(rule, bytes, start)).then_some(range)
}

/// Whether one of the rule's words stands before `start`.
fn has_context(rule: &Rule, bytes: &[u8], start: usize) -> bool {
    if rule.context.is_empty() {
        return true;
    }
    let before = numbers::before(
        bytes,
        start,
        if rule.validator == Validator::Referred { REFERRED_REACH } else { CONTEXT_REACH },
    );
    rule.context.iter().any(|word| {
        let mut places = memchr::memmem::find_iter(&before, word.as_bytes());
        places.any(|at| word.len() > 4 || allow::stands_alone(&before, at..at + word.len()))
    })
}

/// The value that the rule's key word names.
fn assigned_to(rule: &Rule, text: &str, anchor: Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let before = anchor.start.checked_sub(1).map_or(b' ', |last| bytes[last]);
    let first = bytes[anchor.start];
    let camel = first.is_ascii_uppercase() && before.is_ascii_lowercase();
    let joined = before.is_ascii_alphabetic() && first.is_ascii_alphabetic() && !camel;
    if joined && rule.edge != Edge::None && !numbers::ends_an_escape(bytes, anchor.start) {
        return None;
    }
    let short = matches!(rule.validator, Validator::ShortPassword);
    if short && bytes.get(anchor.end).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')) {
        return None;
    }
    if !has_context(rule, bytes, anchor.end) || names_another(rule.validator, bytes, anchor.start) {
        return None;
    }
    assigned::walk(text, anchor.end, &mut |range, link| {
        let Some(found) = text.get(range.clone()) else { return false };
        judge(rule, found, link) && !allow::holds_token(&bytes[range])
    })
}

fn judge(rule: &Rule, found: &str, link: Link) -> bool {
    if let Some(expression) = rule.expression() {
        if expression.find(found.as_bytes()).is_none_or(|whole| whole.end() != found.len()) {
            return false;
        }
    }
    match rule.validator {
        Validator::Password => value::is_password(found, link),
        Validator::Referred => !link.is_loose() && value::is_password(found, Link::Adjacent),
        Validator::ShortPassword => {
            value::is_password(found, if link.is_loose() { Link::Said } else { Link::Adjacent })
        }
        Validator::Key => value::is_key(found, link, false),
        Validator::BareKey => value::is_key(found, link, true),
        other => other.accepts(found),
    }
}

/// Words before `key` or `token` that make it something to show. Lower case.
const SHOWN: &[&str] = &[
    "public",
    "publishable",
    "pub",
    "next",
    "page",
    "csrf",
    "xsrf",
    "max",
    "min",
    "cache",
    "primary",
    "foreign",
    "sort",
    "partition",
    "idempotency",
    "pagination",
    "continuation",
    "cursor",
    "sync",
    "stop",
    "start",
    "end",
    "pad",
    "eos",
    "bos",
    "special",
    "input",
    "output",
    "total",
    "object",
    "s3",
    "lookup",
    "registry",
    "translation",
    "row",
    "anon",
    "anonymous",
    "hash",
    "group",
    "dedup",
    "site",
    "message",
    "routing",
    "issue",
    "jira",
    "project",
    "answer",
    "map",
    "dict",
    "json",
    "shard",
    "event",
    "storage",
    "unique",
    "composite",
    "index",
    "data",
];

/// Whether the word before a key word makes it another thing: `public key`, `next_token`.
fn names_another(validator: Validator, bytes: &[u8], start: usize) -> bool {
    if !matches!(validator, Validator::Key | Validator::BareKey) {
        return false;
    }
    let before = numbers::before(bytes, start, 20);
    let word = before.trim_ascii_end();
    let word =
        word.strip_suffix(b"_").or(word.strip_suffix(b"-")).or(word.strip_suffix(b".")).unwrap_or(word);
    let length = word.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    let word = &word[word.len() - length..];
    // `nextToken` comes as `next` here: the key word's capital is its own.
    SHOWN.iter().any(|shown| {
        if validator == Validator::BareKey {
            word.ends_with(shown.as_bytes())
        } else {
            word == shown.as_bytes()
                && !matches!(*shown, "storage" | "site" | "data" | "project" | "event" | "group" | "message")
        }
    })
}

/// Whether nothing before `start` belongs to the same word.
fn opens(bytes: &[u8], start: usize) -> bool {
    let Some(&before) = start.checked_sub(1).and_then(|last| bytes.get(last)) else { return true };
    let part = before.is_ascii_alphanumeric() || before == b'_';
    let encoded =
        start >= 3 && bytes[start - 3] == b'%' && bytes[start - 2..start].iter().all(u8::is_ascii_hexdigit);
    !part || numbers::ends_an_escape(bytes, start) || encoded
}

/// Whether nothing at `end` belongs to the same word.
fn closes(bytes: &[u8], end: usize) -> bool {
    bytes.get(end).is_none_or(|after| !after.is_ascii_alphanumeric() && *after != b'_')
}

/// The range, widened to whole characters.
fn snap(text: &str, mut range: Range<usize>) -> Range<usize> {
    while !text.is_char_boundary(range.start) {
        range.start -= 1;
    }
    while !text.is_char_boundary(range.end) {
        range.end += 1;
    }
    range
}

/// The next digit from `from` on. Blocks without one, which most are, are passed over at once.
fn next_digit(bytes: &[u8], from: usize) -> Option<usize> {
    const BLOCK: usize = 32;
    let mut at = from;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if block.iter().fold(false, |any, b| any | b.is_ascii_digit()) {
            break;
        }
        at += BLOCK;
    }
    bytes[at.min(bytes.len())..].iter().position(u8::is_ascii_digit).map(|place| at + place)
}

/// Words that look random and that nothing names.
fn scan_random(text: &str, mut each: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/' | b'=');
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| is_part(b)).count();
        if (24..=128).contains(&length) && looks_random(&text[at..at + length]) {
            each(at..at + length);
        }
        at += length.max(1);
        at += bytes[at.min(bytes.len())..].iter().take_while(|b| !is_part(b)).count();
    }
}

fn looks_random(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digest = ["sha256-", "sha384-", "sha512-", "sha1-"].iter().any(|prefix| word.starts_with(prefix));
    !digest
        && !value::is_hex(bytes)
        && !value::is_uuid(bytes)
        && !bytes.contains(&b'/')
        && value::is_key(word, Link::Said, true)
        && value::entropy(bytes) >= 4.0
}
