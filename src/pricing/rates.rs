//! Price rows, and which one is in force for a call.

use crate::domain::{Timestamp, TokenKind};
use crate::error::{Error, Result};
use std::cmp::Reverse;

/// The service tier of a call that asked for none.
pub const STANDARD_TIER: &str = "standard";

/// What one row charges, in picodollars: per token, per web search, per request. `None` is unknown,
/// `Some(0)` is free of charge.
///
/// Picodollars per token is the same number as microdollars per million tokens, as prices are published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rates {
    /// Per fresh prompt token.
    pub input: Option<i64>,
    /// Per prompt token read from a cache.
    pub cache_read: Option<i64>,
    /// Per prompt token written to a cache at the short lifetime.
    pub cache_write: Option<i64>,
    /// Per prompt token written to a cache at the long lifetime.
    pub cache_write_long: Option<i64>,
    /// Per generated token.
    pub output: Option<i64>,
    /// Per reasoning token.
    pub reasoning: Option<i64>,
    /// Per embedded token.
    pub embedding: Option<i64>,
    /// Per web search.
    pub web_search: Option<i64>,
    /// Per request, once a call.
    pub request: Option<i64>,
}

impl Rates {
    /// The rate of `kind`, without any fallback.
    #[must_use]
    pub const fn of(&self, kind: TokenKind) -> Option<i64> {
        match kind {
            TokenKind::Input => self.input,
            TokenKind::CacheRead => self.cache_read,
            TokenKind::CacheWrite => self.cache_write,
            TokenKind::CacheWriteLong => self.cache_write_long,
            TokenKind::Output => self.output,
            TokenKind::Reasoning => self.reasoning,
            TokenKind::Embedding => self.embedding,
            TokenKind::WebSearches => self.web_search,
        }
    }

    /// Every rate, in the order of the fields.
    #[must_use]
    pub const fn all(&self) -> [Option<i64>; 9] {
        [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_long,
            self.output,
            self.reasoning,
            self.embedding,
            self.web_search,
            self.request,
        ]
    }

    /// Whether no rate is known at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().iter().all(Option::is_none)
    }

    /// These rates, and `base`'s where they name none: how a tier or a variant inherits.
    #[must_use]
    pub fn or(self, base: &Rates) -> Rates {
        Rates {
            input: self.input.or(base.input),
            cache_read: self.cache_read.or(base.cache_read),
            cache_write: self.cache_write.or(base.cache_write),
            cache_write_long: self.cache_write_long.or(base.cache_write_long),
            output: self.output.or(base.output),
            reasoning: self.reasoning.or(base.reasoning),
            embedding: self.embedding.or(base.embedding),
            web_search: self.web_search.or(base.web_search),
            request: self.request.or(base.request),
        }
    }

    /// Fills `embedding` from `input`. Price lists publish one input price, and embedding requests are
    /// billed with it; this is what they say, not an estimate.
    #[must_use]
    pub fn with_embedding(self) -> Rates {
        Rates { embedding: self.embedding.or(self.input), ..self }
    }
}

/// Whose price a row is. A later one wins over an earlier one, whatever their dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Comes with the program.
    Vendored,
    /// From a price list that the user imported.
    Imported,
    /// From the user's own file.
    User,
}

impl Origin {
    /// The word in columns and JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Origin::Vendored => "vendored",
            Origin::Imported => "imported",
            Origin::User => "user",
        }
    }
}

impl std::str::FromStr for Origin {
    type Err = Error;

    fn from_str(code: &str) -> Result<Self> {
        [Origin::Vendored, Origin::Imported, Origin::User]
            .into_iter()
            .find(|origin| origin.code() == code)
            .ok_or_else(|| {
                Error::input(format!("origin `{code}` is unknown")).hint("it is vendored, imported or user")
            })
    }
}

/// One row of the catalogue: what one model costs from a date on, for one service tier, above one
/// context threshold, in one part of the day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceEntry {
    /// The catalogue's name of the provider.
    pub provider: String,
    /// The catalogue's name of the model.
    pub model: String,
    /// `standard`, `batch`, `flex`, `priority`, `fast`, …
    pub service_tier: String,
    /// Applies to calls whose whole input is larger than this many tokens; 0 is the base.
    pub over_input_tokens: u64,
    /// In force from this instant on; the Unix epoch when the source names no date.
    pub effective_from: Timestamp,
    /// In force only in this part of each UTC day: seconds since midnight, start inclusive, end
    /// exclusive, start before end (a window over midnight is two rows).
    pub daily_utc: Option<(u32, u32)>,
    /// What it charges.
    pub rates: Rates,
    /// Where the price is from, for people: `genai-prices 0.2.3`, `contract 2026-17`.
    pub source: String,
    /// Whose price it is.
    pub origin: Origin,
    /// Which of several rows of one key: the highest counts, earlier ones stay for the record.
    pub revision: i64,
    /// The row's id in the ledger, once it has one.
    pub price_id: Option<i64>,
}

/// The row in force for a call, of the rows of ONE provider and model.
///
/// Of the rows of exactly this service tier (there is no fallback from one tier to another) that have
/// begun, whose daily window holds the time of day, and whose threshold `whole_input` exceeds, the order
/// is: origin (user first), windowed before not, latest `effective_from`, highest revision, and last the
/// highest threshold. Threshold comes last so that the rows of one price list stay together: an older
/// list's threshold never beats a newer list's base.
#[must_use]
pub fn select<'a>(
    entries: &'a [PriceEntry],
    service_tier: &str,
    called_at: Timestamp,
    whole_input: u64,
) -> Option<&'a PriceEntry> {
    let second_of_day = called_at.seconds().rem_euclid(86_400);
    let in_window = |entry: &PriceEntry| {
        entry.daily_utc.is_none_or(|(start, end)| (i64::from(start)..i64::from(end)).contains(&second_of_day))
    };
    entries
        .iter()
        .filter(|entry| entry.service_tier == service_tier && entry.effective_from <= called_at)
        .filter(|entry| in_window(entry))
        .filter(|entry| entry.over_input_tokens == 0 || whole_input > entry.over_input_tokens)
        .min_by_key(|entry| {
            Reverse((
                entry.origin,
                entry.daily_utc.is_some(),
                entry.effective_from,
                entry.revision,
                entry.over_input_tokens,
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entry(from: &str, over: u64, input: i64) -> PriceEntry {
        PriceEntry {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            service_tier: STANDARD_TIER.to_owned(),
            over_input_tokens: over,
            effective_from: at(from),
            daily_utc: None,
            rates: Rates { input: Some(input), ..Rates::default() },
            source: "test".to_owned(),
            origin: Origin::Vendored,
            revision: 1,
            price_id: None,
        }
    }

    fn input_rate(entries: &[PriceEntry], time: Timestamp, whole_input: u64) -> Option<i64> {
        select(entries, STANDARD_TIER, time, whole_input).and_then(|e| e.rates.input)
    }

    const EPOCH: &str = "1970-01-01T00:00:00Z";
    const NOON: &str = "2026-11-20T12:00:00Z";

    #[test]
    fn a_date_counts_from_its_first_instant() {
        let rows = [entry(EPOCH, 0, 1), entry("2026-03-01T00:00:00Z", 0, 2)];
        let change = at("2026-03-01T00:00:00Z");
        assert_eq!(input_rate(&rows, change.plus_micros(-1), 1), Some(1));
        assert_eq!(input_rate(&rows, change, 1), Some(2));
        assert_eq!(input_rate(&rows[1..], change.plus_micros(-1), 1), None);
    }

    #[test]
    fn a_newer_base_beats_an_older_threshold() {
        let rows = [entry(EPOCH, 0, 1), entry(EPOCH, 200, 2), entry("2026-03-01T00:00:00Z", 0, 3)];
        assert_eq!(input_rate(&rows, at("2026-02-01T00:00:00Z"), 201), Some(2));
        assert_eq!(input_rate(&rows, at(NOON), 201), Some(3));
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let mut windowed = entry(EPOCH, 0, 2);
        windowed.daily_utc = Some((1_800, 59_400));
        let rows = [entry("2026-01-01T00:00:00Z", 0, 1), windowed];
        let (start, end) = (at("2026-11-20T00:30:00Z"), at("2026-11-20T16:30:00Z"));
        assert_eq!(input_rate(&rows, start.plus_micros(-1), 1), Some(1));
        assert_eq!(input_rate(&rows, start, 1), Some(2));
        assert_eq!(input_rate(&rows, end.plus_micros(-1), 1), Some(2));
        assert_eq!(input_rate(&rows, end, 1), Some(1));
    }

    #[test]
    fn whose_price_it_is_comes_before_its_date() {
        let mut user = entry("2026-01-01T00:00:00Z", 0, 2);
        user.origin = Origin::User;
        let mut imported = entry("2026-06-01T00:00:00Z", 0, 3);
        imported.origin = Origin::Imported;
        let rows = [entry("2026-09-01T00:00:00Z", 0, 1), imported, user];
        assert_eq!(input_rate(&rows, at(NOON), 1), Some(2));
        assert_eq!(input_rate(&rows[..2], at(NOON), 1), Some(3));
        let mut corrected = rows[2].clone();
        corrected.revision = 2;
        corrected.rates.input = Some(4);
        assert_eq!(input_rate(&[corrected, rows[2].clone()], at(NOON), 1), Some(4));
    }

    #[test]
    fn another_tier_is_no_substitute() {
        assert_eq!(select(&[entry(EPOCH, 0, 1)], "batch", at(NOON), 1), None);
    }

    proptest! {
        #[test]
        fn a_threshold_is_a_cliff(threshold in 1_u64..2_000_000) {
            let rows = [entry(EPOCH, threshold, 2), entry(EPOCH, 0, 1)];
            prop_assert_eq!(input_rate(&rows, at(NOON), threshold), Some(1));
            prop_assert_eq!(input_rate(&rows, at(NOON), threshold + 1), Some(2));
        }
    }
}
