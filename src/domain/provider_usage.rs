//! What a provider's own export says was used or billed in a bucket of time.

use super::{Digest, Timestamp, Usd, optional_name, required_name};
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The most of one kind that one line of an export may say: 10^15. More is a mistake of unit.
const MAX_BILLED_COUNT: u64 = 1_000_000_000_000_000;
/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// Which of a provider's exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProviderReport {
    /// `OpenAI`'s usage of models that complete.
    Completions,
    /// `OpenAI`'s usage of models that embed.
    Embeddings,
    /// Anthropic's usage.
    Messages,
    /// What was billed.
    Costs,
}

impl ProviderReport {
    /// The word in columns.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::Costs => "costs",
        }
    }
}

impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for ProviderReport {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        [Self::Completions, Self::Embeddings, Self::Messages, Self::Costs]
            .into_iter()
            .find(|report| report.code() == code)
            .ok_or_else(|| Error::input(format!("report `{code}` is unknown")))
    }
}

impl TryFrom<String> for ProviderReport {
    type Error = Error;

    fn try_from(code: String) -> Result<Self> {
        code.parse()
    }
}

/// One result of a bucket. What the export does not say is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderLine {
    /// The model, as the export has it.
    pub model: Option<String>,
    /// The service tier.
    pub service_tier: Option<String>,
    /// The provider's project or workspace.
    pub project: Option<String>,
    /// What is billed, in the provider's words.
    pub line_item: Option<String>,
    /// Requests.
    pub requests: Option<u64>,
    /// Prompt tokens neither read from nor written to a cache.
    pub input_tokens: Option<u64>,
    /// Prompt tokens served from a cache.
    pub cache_read_tokens: Option<u64>,
    /// Prompt tokens written to a cache at the short lifetime.
    pub cache_write_tokens: Option<u64>,
    /// Prompt tokens written to a cache at the long lifetime.
    pub cache_write_long_tokens: Option<u64>,
    /// Generated tokens, reasoning included.
    pub llm_tokens_output: Option<u64>,
    /// Tokens embedded.
    pub embedding_tokens: Option<u64>,
    /// Web searches.
    pub web_searches: Option<u64>,
    /// What was billed; negative for a credit.
    pub billed: Option<Usd>,
}

impl ProviderLine {
    /// Its counts, with their columns' names.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, Option<u64>); 8] {
        [
            ("requests", self.requests),
            ("input_tokens", self.input_tokens),
            ("cache_read_tokens", self.cache_read_tokens),
            ("cache_write_tokens", self.cache_write_tokens),
            ("cache_write_long_tokens", self.cache_write_long_tokens),
            ("llm_tokens_output", self.llm_tokens_output),
            ("embedding_tokens", self.embedding_tokens),
            ("web_searches", self.web_searches),
        ]
    }

    fn check(&self) -> Result<()> {
        for (field, name) in [
            ("model", &self.model),
            ("service_tier", &self.service_tier),
            ("project", &self.project),
            ("line_item", &self.line_item),
        ] {
            name.as_deref().map_or(Ok(()), |name| required_name(field, name))?;
        }
        for (kind, count) in self.counts() {
            if let Some(count) = count.filter(|count| *count > MAX_BILLED_COUNT) {
                return Err(Error::input(format!("`{kind}` is {count}; the limit is {MAX_BILLED_COUNT}")));
            }
        }
        self.billed.map_or(Ok(()), |billed| billed.to_column().map(drop))
    }

    /// One text for one line, whatever the line is.
    fn told(&self) -> String {
        let words = [&self.model, &self.service_tier, &self.project, &self.line_item];
        let words = words.map(|word| word.as_deref().map_or("-".to_owned(), |word| format!("={word}")));
        let counts = self.counts().map(|(_, count)| count.map_or("-".to_owned(), |count| count.to_string()));
        let billed = self.billed.map_or("-".to_owned(), |billed| billed.pico().to_string());
        format!("{}\u{1f}{}\u{1f}{billed}", words.join("\u{1f}"), counts.join("\u{1f}"))
    }
}

/// A bucket of time in an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderBucket {
    /// Whose export it is.
    pub provider: String,
    /// Which export.
    pub report: ProviderReport,
    /// The first instant inside.
    pub starts_at: Timestamp,
    /// The first instant after.
    pub ends_at: Timestamp,
    /// What the export says of it; empty when nothing was used.
    pub lines: Vec<ProviderLine>,
}

impl ProviderBucket {
    /// Checks names, counts and times against what the ledger takes; `now` is the reader's clock.
    ///
    /// # Errors
    /// When a value is none the ledger takes, or the bucket is of more than one UTC day.
    pub fn check(&self, now: Timestamp) -> Result<()> {
        optional_name("provider", &self.provider)?;
        self.starts_at.check("the bucket's start", now)?;
        if self.ends_at <= self.starts_at {
            return Err(Error::input(format!(
                "the bucket ends at {}, which is not after its start {}",
                self.ends_at, self.starts_at
            )));
        }
        if self.ends_at.plus_micros(-1).seconds().div_euclid(DAY_SECONDS) != self.day() {
            return Err(Error::input(format!(
                "the bucket from {} to {} is of more than one UTC day",
                self.starts_at, self.ends_at
            ))
            .hint("export with a bucket width of a day or less, from midnight UTC on"));
        }
        for (place, line) in self.lines.iter().enumerate() {
            line.check().map_err(|error| error.at(format_args!("result {}", place + 1)))?;
        }
        Ok(())
    }

    /// The UTC day it is in, counted from 1970-01-01.
    #[must_use]
    pub const fn day(&self) -> i64 {
        self.starts_at.seconds().div_euclid(DAY_SECONDS)
    }

    /// The digest of its lines. Their order does not matter: providers promise none.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut told: Vec<String> = self.lines.iter().map(ProviderLine::told).collect();
        told.sort_unstable();
        Digest::of(told.join("\u{1e}"))
    }
}

impl Usd {
    /// An amount from an export: a decimal, with a sign and an exponent if need be, in units of 10^`unit` dollars (0 for
    /// dollars, -2 for cents). Digits past the picodollar, where the noise of a float lies, are rounded half away from zero.
    ///
    /// # Errors
    /// When it is no such number, or larger than the ledger takes.
    pub fn from_export(text: &str, unit: i32) -> Result<Self> {
        let wrong = |why: &str| {
            let shown: String = text.chars().take(60).collect();
            Error::input(format!("`{shown}` is not an amount: {why}"))
        };
        let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let is_short = text.len() <= 200 && exponent.len() <= 5;
        if !is_number(whole) || !is_number(part) || !is_short {
            return Err(wrong("it is not a decimal number"));
        }
        let exponent: i32 = exponent.parse().map_err(|_| wrong("it is not a decimal number"))?;
        let all = format!("{whole}{part}");
        let significant = all.trim_start_matches('0');
        let leading = i32::try_from(all.len() - significant.len()).unwrap_or(i32::MAX);
        // How many of the significant digits are whole picodollars.
        let kept = i32::try_from(whole.len()).unwrap_or(i32::MAX) - leading + exponent + unit + 12;
        if significant.is_empty() || kept < 0 {
            return Ok(Self::ZERO);
        }
        let kept =
            usize::try_from(kept).ok().filter(|kept| *kept <= 30).ok_or_else(|| wrong("it is too large"))?;
        let taken: String = significant.chars().chain(std::iter::repeat('0')).take(kept).collect();
        let rounds_up = significant.as_bytes().get(kept).is_some_and(|digit| *digit >= b'5');
        let pico: i128 =
            if taken.is_empty() { 0 } else { taken.parse().map_err(|_| wrong("it is too large"))? };
        let pico = pico + i128::from(rounds_up);
        let amount = Self::from_pico(if is_negative { -pico } else { pico });
        amount.to_column().map(|_| amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_of_exports_are_read_by_their_digits() {
        for (text, unit, expected) in [
            ("0.06", 0, "0.06"),
            ("123.78912", -2, "1.2378912"),
            ("0.8958740000000000", 0, "0.895874"),
            ("6e-05", 0, "0.00006"),
            ("1.5E+2", 0, "150"),
            ("0.30000000000000004", 0, "0.3"),
            ("0.0000000000005", 0, "0.000000000001"),
            ("0.00000000000049", 0, "0"),
            ("-12.5", -2, "-0.125"),
            ("0", 0, "0"),
            ("0.000", -2, "0"),
            ("1e-9999", 0, "0"),
            ("9223372.036854775807", 0, "9223372.036854775807"),
        ] {
            assert_eq!(Usd::from_export(text, unit).unwrap().to_string(), expected, "{text}");
        }
        for text in
            ["", "-", ".5", "1.", "1,5", "NaN", "1e", "1e99999999", "--1", "1e30", "9223373", "0x10", "١"]
        {
            assert!(Usd::from_export(text, 0).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_exact_amount_stays(pico in any::<i64>()) {
            let usd = Usd::from_pico(i128::from(pico));
            prop_assert_eq!(Usd::from_export(&usd.to_string(), 0).unwrap(), usd);
        }

        #[test]
        fn no_text_is_a_panic(text in "[-0-9.eE+]{0,40}") {
            let _ = Usd::from_export(&text, -2);
        }
    }

    #[test]
    fn the_order_of_lines_does_not_matter() {
        let line = |model: &str| ProviderLine { model: Some(model.to_owned()), ..ProviderLine::default() };
        let bucket = |lines| ProviderBucket {
            provider: "openai".to_owned(),
            report: ProviderReport::Costs,
            starts_at: Timestamp::from_micros(0),
            ends_at: Timestamp::from_micros(1),
            lines,
        };
        assert_eq!(bucket(vec![line("a"), line("b")]).digest(), bucket(vec![line("b"), line("a")]).digest());
        assert_ne!(bucket(vec![line("a")]).digest(), bucket(vec![line("a"), line("a")]).digest());
        assert_ne!(bucket(vec![]).digest(), bucket(vec![ProviderLine::default()]).digest());
    }
}
