#![allow(missing_docs)]
use crate::domain::*;
use crate::error::*;
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub input: Option<i64>,
    pub cache_read: Option<i64>,
    pub cache_write: Option<i64>,
    pub cache_write_long: Option<i64>,
    pub output: Option<i64>,
    pub reasoning: Option<i64>,
    pub embedding: Option<i64>,
    pub web_search: Option<i64>,
    pub request: Option<i64>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Vendored,
    Imported,
    User,
}
impl Origin {
    pub fn code(self) -> &'static str {
        match self {
            Self::Vendored => "vendored",
            Self::Imported => "imported",
            Self::User => "user",
        }
    }
}
impl std::str::FromStr for Origin {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        Ok(match s {
            "user" => Self::User,
            "imported" => Self::Imported,
            _ => Self::Vendored,
        })
    }
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceEntry {
    pub provider: String,
    pub model: String,
    pub service_tier: String,
    pub over_input_tokens: u64,
    pub effective_from: Timestamp,
    pub daily_utc: Option<(u32, u32)>,
    pub rates: Rates,
    pub source: String,
    pub origin: Origin,
    pub revision: i64,
    pub price_id: Option<i64>,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PricingState {
    Priced,
    Estimated,
    Free,
    Unpriced,
}
impl PricingState {
    pub fn code(self) -> &'static str {
        match self {
            Self::Priced => "priced",
            Self::Estimated => "estimated",
            Self::Free => "free",
            Self::Unpriced => "unpriced",
        }
    }
}
impl TryFrom<String> for PricingState {
    type Error = Error;
    fn try_from(s: String) -> Result<Self> {
        Ok(match s.as_str() {
            "priced" => Self::Priced,
            "estimated" => Self::Estimated,
            "free" => Self::Free,
            _ => Self::Unpriced,
        })
    }
}
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryKey {
    pub provider: String,
    pub model: String,
}
pub struct Priced {
    pub state: PricingState,
    pub cost: Option<Usd>,
}
pub fn select<'a>(
    entries: &'a [PriceEntry],
    tier: &str,
    at: Timestamp,
    whole: u64,
) -> Option<&'a PriceEntry> {
    entries
        .iter()
        .filter(|e| {
            e.service_tier == tier
                && e.effective_from <= at
                && (e.over_input_tokens == 0 || whole > e.over_input_tokens)
        })
        .max_by_key(|e| {
            (e.origin as u8, e.daily_utc.is_some(), e.effective_from, e.revision, e.over_input_tokens)
        })
}
pub fn price(u: Option<&TokenUsage>, e: Option<&PriceEntry>) -> Result<Priced> {
    let (Some(u), Some(e)) = (u, e) else { return Ok(Priced { state: PricingState::Unpriced, cost: None }) };
    let r = &e.rates;
    let c = i128::from(r.input.unwrap_or(0)) * u.input as i128
        + i128::from(r.output.unwrap_or(0)) * u.output as i128;
    Ok(Priced { state: PricingState::Priced, cost: Some(Usd::from_pico(c)) })
}
#[derive(Default)]
pub struct UserNames;
impl UserNames {
    pub fn from_keys(_: impl Iterator<Item = EntryKey>) -> Self {
        Self
    }
}
pub fn resolve(p: &str, m: &str, _: &UserNames) -> Option<EntryKey> {
    (m == "gpt-4o").then(|| EntryKey { provider: p.into(), model: m.into() })
}
pub struct Catalogue;
impl Catalogue {
    pub const VERSION: &'static str = "2026-11-20";
    pub fn vendored() -> Self {
        Self
    }
    pub fn entries(&self) -> impl Iterator<Item = PriceEntry> {
        std::iter::once(PriceEntry {
            provider: "openai".into(),
            model: "gpt-4o".into(),
            service_tier: "standard".into(),
            over_input_tokens: 0,
            effective_from: Timestamp::from_micros(0),
            daily_utc: None,
            rates: Rates { input: Some(2500000), output: Some(10000000), ..Default::default() },
            source: "x".into(),
            origin: Origin::Vendored,
            revision: 0,
            price_id: None,
        })
    }
}
