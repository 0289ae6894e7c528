//! The shape of `prices/catalogue.json`, and how one model of it becomes rows.

use super::clause::Clause;
use super::decimal::scaled;
use super::rates::{Origin, PriceEntry, Rates, STANDARD_TIER};
use crate::domain::Timestamp;
use crate::error::{Error, Result};
use chrono::{NaiveDate, NaiveTime, Timelike};
use serde::Deserialize;
use std::collections::BTreeMap;

/// USD per million tokens to picodollars per token: 10^6.
pub(super) const PER_MILLION: i32 = 6;
/// USD per thousand requests to picodollars per request: 10^9.
pub(super) const PER_THOUSAND: i32 = 9;

#[derive(Deserialize)]
pub(super) struct Snapshot<'a> {
    pub(super) version: String,
    #[serde(borrow)]
    pub(super) sources: Vec<RawSource<'a>>,
    #[serde(borrow)]
    pub(super) providers: Vec<RawProvider<'a>>,
    #[serde(borrow)]
    pub(super) litellm: BTreeMap<String, Vec<RawModel<'a>>>,
}

#[derive(Deserialize)]
pub(super) struct RawSource<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) licence: &'a str,
}

#[derive(Deserialize)]
pub(super) struct RawProvider<'a> {
    pub(super) id: String,
    pub(super) fallback: Vec<String>,
    #[serde(rename = "match")]
    pub(super) clause: Option<Clause>,
    pub(super) model_match: Option<Clause>,
    #[serde(borrow)]
    pub(super) models: Vec<RawModel<'a>>,
}

#[derive(Deserialize)]
pub(super) struct RawModel<'a> {
    pub(super) id: String,
    #[serde(rename = "match")]
    pub(super) clause: Option<Clause>,
    #[serde(borrow)]
    prices: Vec<RawPrice<'a>>,
    #[serde(borrow, default)]
    variants: Vec<RawPrice<'a>>,
}

/// A price, a tier of one, or a variant of one. Audio and image rates are not read: see `prices/README.md`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawPrice<'a> {
    from: Option<&'a str>,
    daily_utc: Option<(&'a str, &'a str)>,
    over_input_tokens: u64,
    when: BTreeMap<&'a str, &'a str>,
    #[serde(borrow)]
    tiers: Vec<RawPrice<'a>>,
    input: Option<&'a str>,
    cache_read: Option<&'a str>,
    cache_write: Option<&'a str>,
    cache_write_1h: Option<&'a str>,
    output: Option<&'a str>,
    reasoning: Option<&'a str>,
    per_1k_web_searches: Option<&'a str>,
    per_1k_requests: Option<&'a str>,
}

/// One price list of a model: from when, in which part of the day, and what it names itself.
#[derive(Debug, Clone)]
pub(super) struct Period {
    pub(super) from: Timestamp,
    pub(super) daily: Option<(u32, u32)>,
    pub(super) rates: Rates,
    pub(super) tiers: Vec<(u64, Rates)>,
}

/// What the rows of one model have in common.
pub(super) struct Template<'a> {
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) source: &'a str,
    pub(super) origin: Origin,
}

impl Template<'_> {
    /// The rows of one period for one service tier: the base, and one for each threshold, which inherits
    /// what it does not name. A row that names no rate is none; one over midnight is two.
    pub(super) fn rows(&self, service_tier: &str, period: &Period, rows: &mut Vec<PriceEntry>) {
        let windows: &[Option<(u32, u32)>] = match period.daily {
            Some((start, end)) if start >= end => &[Some((start, 86_400)), Some((0, end))],
            window => &[window],
        };
        let tiers = period.tiers.iter().map(|(over, rates)| (*over, rates.or(&period.rates)));
        for (over_input_tokens, rates) in std::iter::once((0, period.rates)).chain(tiers) {
            if rates.is_empty() {
                continue;
            }
            for &daily_utc in windows.iter().filter(|w| w.is_none_or(|(start, end)| start < end)) {
                rows.push(PriceEntry {
                    provider: self.provider.to_owned(),
                    model: self.model.to_owned(),
                    service_tier: service_tier.to_owned(),
                    over_input_tokens,
                    effective_from: period.from,
                    daily_utc,
                    rates: rates.with_embedding(),
                    source: self.source.to_owned(),
                    origin: self.origin,
                    revision: 1,
                    price_id: None,
                });
            }
        }
    }
}

/// The first instant of a UTC day given as `2026-03-01`.
pub(super) fn day_start(text: &str) -> Option<Timestamp> {
    let day: NaiveDate = text.parse().ok()?;
    Some(Timestamp::from(day.and_time(NaiveTime::MIN).and_utc()))
}

/// Seconds since UTC midnight of a time such as `00:30:00+00:00` or `16:30:00Z`.
pub(super) fn second_of_day(text: &str) -> Option<u32> {
    let time = text.strip_suffix("+00:00").or_else(|| text.strip_suffix('Z'))?;
    time.parse::<NaiveTime>().ok().map(|time| time.num_seconds_from_midnight())
}

impl RawPrice<'_> {
    fn period(&self) -> Result<Period> {
        let bad = |what: &str, text: &str| Error::input(format!("`{what}` is `{text}`"));
        let from = match self.from {
            None => Timestamp::from_micros(0),
            Some(text) => day_start(text).ok_or_else(|| bad("from", text))?,
        };
        let second = |text| second_of_day(text).ok_or_else(|| bad("daily_utc", text));
        let daily = match self.daily_utc {
            None => None,
            Some((start, end)) => Some((second(start)?, second(end)?)),
        };
        let tier = |tier: &RawPrice<'_>| Ok((tier.over_input_tokens, tier.rates()?));
        let tiers = self.tiers.iter().map(tier).collect::<Result<_>>()?;
        Ok(Period { from, daily, rates: self.rates()?, tiers })
    }

    fn rates(&self) -> Result<Rates> {
        let rate = |field: &str, text: Option<&str>, decimals| {
            text.map(|text| {
                scaled(text, decimals)
                    .ok_or_else(|| Error::input(format!("`{field}` is `{text}`, not a price")))
            })
            .transpose()
        };
        Ok(Rates {
            input: rate("input", self.input, PER_MILLION)?,
            cache_read: rate("cache_read", self.cache_read, PER_MILLION)?,
            cache_write: rate("cache_write", self.cache_write, PER_MILLION)?,
            cache_write_long: rate("cache_write_1h", self.cache_write_1h, PER_MILLION)?,
            output: rate("output", self.output, PER_MILLION)?,
            reasoning: rate("reasoning", self.reasoning, PER_MILLION)?,
            embedding: None,
            web_search: rate("per_1k_web_searches", self.per_1k_web_searches, PER_THOUSAND)?,
            request: rate("per_1k_requests", self.per_1k_requests, PER_THOUSAND)?,
        })
    }

    /// The service tier that a variant prices, if it is one that a call can ask for.
    ///
    /// `default` is the base again; routes and search types are not recorded with a call.
    fn service_tier(&self) -> Option<&str> {
        let mut conditions = self.when.iter();
        let tier = match (conditions.next(), conditions.next()) {
            (Some((&"processing", &tier @ "batch") | (&"speed", &tier @ "fast")), None) => tier,
            (Some((&"service_tier", &tier)), None) if tier != "default" => tier,
            _ => return None,
        };
        Some(tier)
    }
}

impl RawModel<'_> {
    /// The model's rows. Errors name the field; the caller names the model.
    pub(super) fn rows(&self, template: &Template<'_>, rows: &mut Vec<PriceEntry>) -> Result<()> {
        let base = self.prices.iter().map(RawPrice::period).collect::<Result<Vec<_>>>()?;
        for period in &base {
            template.rows(STANDARD_TIER, period, rows);
        }
        let mut variants = Vec::new();
        for raw in &self.variants {
            if let Some(service_tier) = raw.service_tier() {
                variants.push((service_tier, raw.period()?));
            }
        }
        for (service_tier, variant) in &variants {
            let next = variants
                .iter()
                .filter(|(tier, other)| tier == service_tier && other.from > variant.from)
                .map(|(_, other)| other.from)
                .min();
            for period in inherit(variant, &base, next) {
                template.rows(service_tier, &period, rows);
            }
        }
        Ok(())
    }
}

/// A variant with what it does not name taken from the base in force, anew at each change of the base
/// before `next`, when another variant of the same service tier begins.
fn inherit(variant: &Period, base: &[Period], next: Option<Timestamp>) -> Vec<Period> {
    let plain = || base.iter().filter(|period| period.daily.is_none());
    let changes = plain().map(|period| period.from).filter(|&from| from > variant.from);
    let starts = std::iter::once(variant.from).chain(changes);
    let mut periods = Vec::new();
    for start in starts.filter(|&start| next.is_none_or(|next| start < next)) {
        let in_force = plain().filter(|period| period.from <= start).max_by_key(|period| period.from);
        let mut period = Period { from: start, ..variant.clone() };
        if let Some(base) = in_force {
            period.rates = variant.rates.or(&base.rates);
            period.tiers = inherit_tiers(variant, base);
        }
        periods.push(period);
    }
    periods
}

/// At every threshold of either list: the variant's tier, then its flat rates, then the base's tier.
fn inherit_tiers(variant: &Period, base: &Period) -> Vec<(u64, Rates)> {
    let mut thresholds: Vec<u64> = variant.tiers.iter().chain(&base.tiers).map(|(over, _)| *over).collect();
    thresholds.sort_unstable();
    thresholds.dedup();
    let at = |tiers: &[(u64, Rates)], over| {
        tiers
            .iter()
            .filter(|(o, _)| *o <= over)
            .max_by_key(|(o, _)| *o)
            .map(|(_, rates)| *rates)
            .unwrap_or_default()
    };
    thresholds
        .into_iter()
        .map(|over| (over, at(&variant.tiers, over).or(&variant.rates).or(&at(&base.tiers, over))))
        .collect()
}
