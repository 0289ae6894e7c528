//! The scanner: one pass over all anchors, one over runs of digits, and what they lead to.

mod anchor;
mod digits;
mod other_keys;
mod prefilter;
mod random;

use self::prefilter::Prefilter;
use super::resolve::{Hit, resolve};
use super::rules::{self, How, OptIn, Rule};
use super::validators::Validator;
use super::view::View;
use super::{Finding, Tier, allow, decode};
use crate::error::{Error, Result};
use std::sync::LazyLock;

/// The longest text that is scanned, in bytes. A longer one is an error, not a slow scan.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

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
    anchors: Prefilter,
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
        Self {
            anchors: Prefilter::new(&words),
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
        let mut count = 0;
        self.anchors.each(text.as_bytes(), |_, _| count += 1);
        count
    }

    fn scan_plain(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut crowd = Crowd::default();
        self.anchors.each(text.as_bytes(), |number, anchor| {
            if crowd.is_full(text.as_bytes(), anchor.start) {
                return;
            }
            for rule in &self.by_anchor[number] {
                anchor::check(rule, text, &anchor, &mut |range| hits.push(Hit { rule, range }));
            }
        });
        self.scan_digits(text, hits);
        if let Some(rule) = self.suspicion {
            random::scan_random(text, |range| hits.push(Hit { rule, range }));
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
}

/// Counts the anchors of one word, so that a word made of nothing else, such as `sk-sk-sk-…`, costs no more
/// time a byte than another.
#[derive(Default)]
struct Crowd {
    start: usize,
    end: usize,
    count: usize,
}

impl Crowd {
    /// How much of a word is looked at together, in bytes.
    const WORD: usize = 512;
    /// How many anchors that much text may have.
    const MOST: usize = 12;

    /// Whether the word that `at` is in has had enough.
    fn is_full(&mut self, bytes: &[u8], at: usize) -> bool {
        if !(self.start..self.end).contains(&at) {
            let is_part = |b: &&u8| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'-' | b'_' | b'.' | b'/' | b'+' | b'=' | b'~' | b':' | b'%' | b'@')
            };
            self.end = at + bytes[at..].iter().take(Self::WORD).take_while(is_part).count();
            self.start = at;
            self.count = 0;
        }
        self.count += 1;
        self.count > Self::MOST
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
