//! The user's own prices: the YAML file of `asmm prices push`.

use super::decimal::scaled;
use super::rates::{Origin, PriceEntry, Rates, STANDARD_TIER};
use super::resolve::EntryKey;
use super::snapshot::{PER_MILLION, PER_THOUSAND, Period, Template, day_start};
use crate::domain::{Timestamp, required_name};
use crate::error::{Error, Result, without_value};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The `schema` of a file of prices.
pub const USER_PRICES_SCHEMA: &str = "asmm.prices/v1";
/// The largest file of prices, in bytes.
pub const MAX_USER_PRICES_BYTES: usize = 1 << 20;
/// The highest price taken: 1,000,000 USD per million tokens, in picodollars per token.
const MAX_TOKEN_RATE: i64 = 1_000_000_000_000;
/// The highest price taken for a search or a request: 1,000,000 USD per thousand, in picodollars.
const MAX_REQUEST_RATE: i64 = 1_000_000_000_000_000;

/// A file of prices, as rows and names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPrices {
    /// The rows, in the order of the file.
    pub entries: Vec<PriceEntry>,
    /// The reported names that the file gives to them.
    pub aliases: Vec<UserAlias>,
}

/// A reported name and what prices it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAlias {
    /// The provider as reported.
    pub provider: String,
    /// The model as reported.
    pub model: String,
    /// The entry that prices it.
    pub key: EntryKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys `schema` and `prices`")]
struct File {
    schema: String,
    prices: Vec<Price>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    provider: String,
    model: String,
    effective_from: Option<String>,
    #[serde(default = "standard")]
    service_tier: String,
    usd_per_million: TokenPrices,
    #[serde(default)]
    usd_per_thousand: RequestPrices,
    #[serde(default)]
    tiers: Vec<Tier>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    source: String,
}

/// Prices are taken as the text that the file shows, quoted or not: YAML's own numbers are floats.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenPrices {
    input: Option<String>,
    cache_read: Option<String>,
    cache_write: Option<String>,
    cache_write_long: Option<String>,
    output: Option<String>,
    reasoning: Option<String>,
    embedding: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RequestPrices {
    web_search: Option<String>,
    request: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    over_input_tokens: u64,
    usd_per_million: TokenPrices,
}

fn standard() -> String {
    STANDARD_TIER.to_owned()
}

impl UserPrices {
    /// Reads a file of prices. `file` is its name, for errors.
    ///
    /// # Errors
    /// When the file is too large, is not YAML of this shape (the error has line and column), or a value
    /// makes no sense (the error has the entry's position and the field): a price that is negative, not a
    /// plain decimal, finer than a millionth of a dollar per million tokens or above a million; an entry
    /// without a price; a date or name that is none; a key or alias that comes twice.
    pub fn parse(file: &str, yaml: &str) -> Result<Self> {
        if yaml.len() > MAX_USER_PRICES_BYTES {
            return Err(Error::input(format!(
                "{file}: {} bytes; a file of prices has at most {MAX_USER_PRICES_BYTES}",
                yaml.len()
            ))
            .hint("split it; files add up"));
        }
        let parsed: File = serde_yaml::from_str(yaml).map_err(|e| {
            let place = e.location().map_or_else(String::new, |l| format!(":{}:{}", l.line(), l.column()));
            let whole = without_value(&e.to_string());
            let message = whole.split_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
            Error::input(format!("{file}{place}: {message}"))
                .hint("`asmm help prices push` shows the shape of the file")
        })?;
        if parsed.schema != USER_PRICES_SCHEMA {
            return Err(Error::input(format!("{file}: `schema` is `{}`", parsed.schema))
                .hint(format!("this program reads `schema: {USER_PRICES_SCHEMA}`")));
        }
        let mut prices = Self::default();
        let mut aliases = BTreeSet::new();
        for (index, price) in parsed.prices.iter().enumerate() {
            let place = format!("{file}: prices[{index}] (`{}` `{}`)", price.provider, price.model);
            price.add_to(&mut prices, &mut aliases).map_err(|e| e.at(&place))?;
        }
        prices.check_unique().map_err(|e| e.at(file))?;
        Ok(prices)
    }

    fn check_unique(&self) -> Result<()> {
        let mut keys = BTreeSet::new();
        for e in &self.entries {
            if !keys.insert((&e.provider, &e.model, &e.service_tier, e.over_input_tokens, e.effective_from)) {
                return Err(Error::input(format!(
                    "`{}` `{}` has two prices for service tier `{}` over {} tokens from {}",
                    e.provider, e.model, e.service_tier, e.over_input_tokens, e.effective_from
                ))
                .hint("keep one of them, or give the later one another `effective_from`"));
            }
        }
        Ok(())
    }
}

impl Price {
    fn add_to(&self, prices: &mut UserPrices, aliases: &mut BTreeSet<(String, String)>) -> Result<()> {
        required_name("provider", &self.provider)?;
        required_name("model", &self.model)?;
        required_name("service_tier", &self.service_tier)?;
        let from = self.effective_from.as_deref().map_or(Ok(Timestamp::from_micros(0)), instant)?;
        let named = self.usd_per_million.rates("usd_per_million")?;
        if named.is_empty() {
            return Err(Error::input("`usd_per_million` names no price")
                .hint("a price of 0 is free of charge; without a price a call is unpriced"));
        }
        let rates = Rates {
            web_search: self.usd_per_thousand.web_search()?,
            request: self.usd_per_thousand.request()?,
            ..named
        };
        let source = if self.source.is_empty() { "user" } else { &self.source };
        let template =
            Template { provider: &self.provider, model: &self.model, source, origin: Origin::User };
        let tiers = self.tiers.iter().enumerate().map(|(index, tier)| tier.rates(index));
        let period = Period { from, daily: None, rates, tiers: tiers.collect::<Result<_>>()? };
        template.rows(&self.service_tier, &period, &mut prices.entries);
        for alias in &self.aliases {
            required_name("aliases", alias)?;
            if !aliases.insert((self.provider.clone(), alias.clone())) {
                return Err(Error::input(format!("`aliases`: `{alias}` is given twice")));
            }
            let key = EntryKey::new(&self.provider, &self.model);
            prices.aliases.push(UserAlias { provider: self.provider.clone(), model: alias.clone(), key });
        }
        Ok(())
    }
}

impl Tier {
    fn rates(&self, index: usize) -> Result<(u64, Rates)> {
        let field = format!("tiers[{index}].usd_per_million");
        let rates = self.usd_per_million.rates(&field)?;
        if rates.is_empty() {
            return Err(Error::input(format!("`{field}` names no price")));
        }
        if self.over_input_tokens == 0 {
            return Err(Error::input(format!("`tiers[{index}].over_input_tokens` is 0"))
                .hint("the price outside of `tiers` is the one from 0 on"));
        }
        Ok((self.over_input_tokens, rates))
    }
}

impl TokenPrices {
    fn rates(&self, field: &str) -> Result<Rates> {
        let rate = |kind: &str, text: Option<&String>| rate(&format!("{field}.{kind}"), text, PER_MILLION);
        Ok(Rates {
            input: rate("input", self.input.as_ref())?,
            cache_read: rate("cache_read", self.cache_read.as_ref())?,
            cache_write: rate("cache_write", self.cache_write.as_ref())?,
            cache_write_long: rate("cache_write_long", self.cache_write_long.as_ref())?,
            output: rate("output", self.output.as_ref())?,
            reasoning: rate("reasoning", self.reasoning.as_ref())?,
            embedding: rate("embedding", self.embedding.as_ref())?,
            ..Rates::default()
        })
    }
}

impl RequestPrices {
    fn web_search(&self) -> Result<Option<i64>> {
        rate("usd_per_thousand.web_search", self.web_search.as_ref(), PER_THOUSAND)
    }

    fn request(&self) -> Result<Option<i64>> {
        rate("usd_per_thousand.request", self.request.as_ref(), PER_THOUSAND)
    }
}

/// A price, in picodollars.
fn rate(field: &str, text: Option<&String>, decimals: i32) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let (most, finest) = if decimals == PER_MILLION {
        (MAX_TOKEN_RATE, "0.000001")
    } else {
        (MAX_REQUEST_RATE, "0.000000001")
    };
    match scaled(text.trim(), decimals) {
        Some(rate) if rate <= most => Ok(Some(rate)),
        Some(_) => Err(Error::input(format!("`{field}` is `{text}`: more than 1000000 USD"))
            .hint("prices are dollars per million tokens, or per thousand requests")),
        None => Err(Error::input(format!("`{field}` is `{text}`, not a price"))
            .hint(format!("write a plain decimal of dollars such as `2.50`, not finer than {finest}"))),
    }
}

/// A day in UTC, or an instant.
fn instant(text: &str) -> Result<Timestamp> {
    day_start(text).map_or_else(|| text.parse(), Ok).map_err(|_| {
        Error::input(format!("`effective_from` is `{text}`, not a time"))
            .hint("write a day (from midnight UTC on) such as `2026-03-01`, or `2026-03-01T09:00:00Z`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
schema: asmm.prices/v1
prices:
  - provider: openai
    model: gpt-4o
    effective_from: 2026-03-01
    usd_per_million: {input: "2.00", output: 8.00, cache_read: 1, reasoning: 0.100000}
    usd_per_thousand: {web_search: "10", request: 5}
    tiers: [{over_input_tokens: 200000, usd_per_million: {input: 4, output: 12}}]
    aliases: [my-gpt]
    source: "contract 2026-17"
  - {provider: openai, model: gpt-4o, service_tier: batch, usd_per_million: {input: 1}}
"#;

    fn error(entry: &str) -> String {
        let yaml = format!("schema: asmm.prices/v1\nprices:\n  - {{provider: p, model: m, {entry}}}\n");
        UserPrices::parse("my.yaml", &yaml).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_read_exactly() {
        let prices = UserPrices::parse("my.yaml", WHOLE).unwrap();
        let [base, tier, batch] = prices.entries.as_slice() else { panic!("{prices:?}") };
        assert_eq!(base.effective_from, "2026-03-01T00:00:00Z".parse().unwrap());
        assert_eq!(base.rates.input, Some(2_000_000));
        assert_eq!(base.rates.output, Some(8_000_000));
        assert_eq!(base.rates.cache_read, Some(1_000_000));
        assert_eq!(base.rates.reasoning, Some(100_000));
        assert_eq!(base.rates.embedding, Some(2_000_000));
        assert_eq!(base.rates.web_search, Some(10_000_000_000));
        assert_eq!(base.rates.request, Some(5_000_000_000));
        assert_eq!((base.origin, base.source.as_str()), (Origin::User, "contract 2026-17"));
        assert_eq!((tier.over_input_tokens, tier.rates.input), (200_000, Some(4_000_000)));
        assert_eq!(tier.rates.cache_read, Some(1_000_000), "inherited");
        assert_eq!((batch.service_tier.as_str(), batch.source.as_str()), ("batch", "user"));
        assert_eq!(prices.aliases[0].model, "my-gpt");
        assert_eq!(prices.aliases[0].key, EntryKey::new("openai", "gpt-4o"));
    }

    #[test]
    fn plain_decimals_are_not_read_as_floats() {
        let yaml = "schema: asmm.prices/v1\nprices: [{provider: p, model: m, usd_per_million: {input: 123456.123457}}]";
        let prices = UserPrices::parse("f", yaml).unwrap();
        assert_eq!(prices.entries[0].rates.input, Some(123_456_123_457));
        assert!(error("usd_per_million: {input: 0.10000000000000001}").contains("not a price"));
    }

    #[test]
    fn errors_name_place_and_field() {
        let place = "my.yaml: prices[0] (`p` `m`): ";
        for (entry, message) in [
            ("usd_per_million: {input: -1}", "`usd_per_million.input` is `-1`, not a price"),
            ("usd_per_million: {input: 0.0000001}", "`usd_per_million.input` is `0.0000001`, not a price"),
            ("usd_per_million: {input: 1e3}", "`usd_per_million.input` is `1e3`, not a price"),
            ("usd_per_million: {output: 1000001}", "`usd_per_million.output` is `1000001`: more than"),
            ("usd_per_million: {}", "`usd_per_million` names no price"),
            ("usd_per_million: {input: 1}, effective_from: soon", "`effective_from` is `soon`, not a time"),
            ("usd_per_million: {input: 1}, aliases: [a, a]", "`aliases`: `a` is given twice"),
            ("usd_per_million: {input: 1}, service_tier: ''", "`service_tier` is empty"),
            (
                "usd_per_million: {input: 1}, tiers: [{over_input_tokens: 0, usd_per_million: {input: 1}}]",
                "`tiers[0].over_input_tokens` is 0",
            ),
        ] {
            let text = error(entry);
            assert!(text.starts_with(&format!("{place}{message}")), "{text}");
        }
        assert!(error("usd_per_million: {inptu: 1}").contains("my.yaml:3:"));
        assert!(error("usd_per_million: {input: 1}, colour: red").contains("unknown field `colour`"));
        assert!(error("usd_per_million: {input: 1, input: 2}").contains("duplicate"));
        let twice = "usd_per_million: {input: 1}}\n  - {provider: p, model: m, usd_per_million: {input: 2}";
        assert!(error(twice).contains("two prices"));
        let large = " ".repeat(MAX_USER_PRICES_BYTES + 1);
        assert!(UserPrices::parse("f", &large).unwrap_err().to_string().contains("at most"));
        let other = UserPrices::parse("f", "schema: asmm.prices/v2\nprices: []").unwrap_err();
        assert!(other.to_string().contains("asmm.prices/v2"));
    }
}
