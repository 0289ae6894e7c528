//! 107 cases priced by genai-prices and LiteLLM, priced here twice: from the rates that the case names,
//! and from a reported name through the vendored catalogue. See `tests/data/oracle/README.md`.

use super::decimal::scaled;
use super::{Catalogue, Origin, PriceEntry, PricingState, Rates, STANDARD_TIER, UserNames, price, select};
use crate::domain::{Timestamp, TokenUsage, Usd};
use serde::Deserialize;
use std::collections::BTreeMap;

const CASES: &str = include_str!("../../tests/data/oracle/cases.jsonl");

#[derive(Deserialize)]
struct Case {
    id: String,
    provider: String,
    model: String,
    kind: String,
    at: Timestamp,
    service_tier: Option<String>,
    tokens: BTreeMap<String, u64>,
    rates_usd_per_mtok: BTreeMap<String, String>,
    genai_prices: Oracle,
    expected_usd: Option<String>,
}

#[derive(Deserialize)]
struct Oracle {
    usd: String,
}

impl Case {
    fn usage(&self) -> TokenUsage {
        let of = |kind: &str| self.tokens.get(kind).copied().unwrap_or(0);
        let embedding = self.kind == "embedding";
        TokenUsage {
            input: if embedding { 0 } else { of("input") },
            cache_read: of("cache_read"),
            cache_write: of("cache_write_5m"),
            cache_write_long: of("cache_write_1h"),
            output: of("output"),
            reasoning: of("reasoning"),
            embedding: if embedding { of("input") } else { 0 },
            web_searches: of("web_searches"),
        }
    }

    /// The rates that the oracle resolved.
    fn entry(&self) -> PriceEntry {
        let rate = |kind: &str| self.rates_usd_per_mtok.get(kind).map(|text| scaled(text, 6).unwrap());
        let rates = Rates {
            input: rate("input"),
            cache_read: rate("cache_read"),
            cache_write: rate("cache_write_5m"),
            cache_write_long: rate("cache_write_1h"),
            output: rate("output"),
            reasoning: rate("reasoning"),
            ..Rates::default()
        };
        PriceEntry {
            provider: self.provider.clone(),
            model: self.model.clone(),
            service_tier: STANDARD_TIER.to_owned(),
            over_input_tokens: 0,
            effective_from: Timestamp::from_micros(0),
            daily_utc: None,
            rates: rates.with_embedding(),
            source: "oracle".to_owned(),
            origin: Origin::Vendored,
            revision: 1,
            price_id: None,
        }
    }

    /// Where the oracles disagree there is no expectation; then genai-prices counts, the catalogue's base.
    fn expected(&self) -> Usd {
        self.expected_usd.as_ref().unwrap_or(&self.genai_prices.usd).parse().unwrap()
    }
}

fn cases() -> Vec<Case> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rates_of_the_case_give_its_cost() {
    let cases = cases();
    assert_eq!(cases.len(), 107);
    for case in cases {
        let priced = price(Some(&case.usage()), Some(&case.entry())).unwrap();
        assert_eq!(priced.cost, Some(case.expected()), "{}", case.id);
    }
}

#[test]
fn the_catalogue_gives_its_cost() {
    let catalogue = Catalogue::vendored();
    let mut failed = Vec::new();
    for case in cases() {
        let usage = case.usage();
        let key = catalogue.resolve(&case.provider, &case.model, &UserNames::default());
        let rows =
            key.as_ref().map(|key| catalogue.entries_of(&key.provider, &key.model)).unwrap_or_default();
        let tier = case.service_tier.as_deref().unwrap_or(STANDARD_TIER);
        let entry = select(rows, tier, case.at, usage.whole_input());
        let priced = price(Some(&usage), entry).unwrap();
        if priced.cost != Some(case.expected()) || priced.state == PricingState::Unpriced {
            failed.push(format!("{}: {key:?} {priced:?}, expected {}", case.id, case.expected()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
