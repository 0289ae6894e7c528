//! The cost of one call: tokens × rates, exact or not at all.

use super::rates::{PriceEntry, Rates};
use crate::domain::{TokenKind, TokenUsage, Usd};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a call's cost came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricingState {
    /// Every kind that was used has its own rate.
    Priced,
    /// A kind that was used had no rate of its own and was priced by its fallback.
    Estimated,
    /// The price is zero: every rate that the entry names is 0.
    Free,
    /// Usage, entry or a rate is unknown; there is no cost, which is not a cost of zero.
    Unpriced,
}

impl PricingState {
    /// The word in columns and JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            PricingState::Priced => "priced",
            PricingState::Estimated => "estimated",
            PricingState::Free => "free",
            PricingState::Unpriced => "unpriced",
        }
    }
}

impl TryFrom<String> for PricingState {
    type Error = Error;

    fn try_from(code: String) -> Result<Self> {
        [PricingState::Priced, PricingState::Estimated, PricingState::Free, PricingState::Unpriced]
            .into_iter()
            .find(|state| state.code() == code)
            .ok_or_else(|| Error::input(format!("pricing state `{code}` is unknown")))
    }
}

/// What a call costs, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced {
    /// How the cost came about.
    pub state: PricingState,
    /// The cost; `None` exactly when `state` is [`PricingState::Unpriced`]. It fits an i64 of picodollars.
    pub cost: Option<Usd>,
}

impl Priced {
    /// No cost is known.
    pub const UNPRICED: Priced = Priced { state: PricingState::Unpriced, cost: None };
}

/// Something a call is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charge {
    /// Tokens of a kind, or web searches.
    Usage(TokenKind),
    /// The fee per request.
    Request,
}

impl Charge {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Charge::Usage(kind) => kind.name(),
            Charge::Request => "request",
        }
    }
}

/// One line of a call's bill: `count` × `rate_pico` = `amount`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExplainLine {
    /// What is charged.
    pub charge: Charge,
    /// How many tokens, searches or requests.
    pub count: u64,
    /// Picodollars for one; `None` when the entry has no rate for it, which makes the call unpriced.
    pub rate_pico: Option<i64>,
    /// The product.
    pub amount: Option<Usd>,
    /// The kind whose rate was used in place of this one's own.
    pub fallback_from: Option<TokenKind>,
}

/// The kinds whose rate stands in for a missing one, nearest first.
const fn fallbacks(kind: TokenKind) -> &'static [TokenKind] {
    match kind {
        TokenKind::CacheWriteLong => &[TokenKind::CacheWrite, TokenKind::Input],
        TokenKind::CacheRead | TokenKind::CacheWrite => &[TokenKind::Input],
        TokenKind::Reasoning => &[TokenKind::Output],
        TokenKind::Input | TokenKind::Output | TokenKind::Embedding | TokenKind::WebSearches => &[],
    }
}

/// The rate of `kind`, and the kind it was taken from if that is another one.
pub(super) fn fallback_rate(rates: &Rates, kind: TokenKind) -> Option<(i64, Option<TokenKind>)> {
    rates.of(kind).map(|own| (own, None)).or_else(|| {
        fallbacks(kind).iter().find_map(|&other| rates.of(other).map(|found| (found, Some(other))))
    })
}

/// The kinds that were used at all; only they matter.
pub(super) fn used_by(usage: &TokenUsage) -> impl Iterator<Item = TokenKind> {
    TokenKind::ALL.into_iter().filter(|&kind| usage.of(kind) > 0)
}

/// `count` × `rate_pico`, or an error that says the product is out of range.
fn amount(charge: Charge, count: u64, rate_pico: i64) -> Result<Usd> {
    i128::from(count).checked_mul(i128::from(rate_pico)).map(Usd::from_pico).ok_or_else(|| {
        Error::input(format!("`{}` {count} at {rate_pico} picodollars is out of range", charge.name()))
            .hint("check the price and the token counts; one of them is off by orders of magnitude")
    })
}

/// What a call that used `usage` costs by `entry`.
///
/// The sum over the kinds of count × rate, plus the fee per request once, if the entry has one: exact
/// integer arithmetic, no rounding. Only kinds with a count above 0 matter. A missing long cache-write
/// rate falls back to the short one, a missing cache rate to the input rate, a missing reasoning rate to
/// the output rate, and the call is then [`PricingState::Estimated`]. A kind with a count and no rate at
/// all, unknown usage or no entry make the call [`PricingState::Unpriced`] in full.
///
/// [`PricingState::Free`] means that every rate the entry names is 0 (then a fallback is no estimate
/// either). A call that used nothing, by an entry with a real rate, is [`PricingState::Priced`] at 0.
///
/// # Errors
/// When the cost does not fit an i64 of picodollars (9.2 million USD).
pub fn price(usage: Option<&TokenUsage>, entry: Option<&PriceEntry>) -> Result<Priced> {
    let (Some(usage), Some(entry)) = (usage, entry) else { return Ok(Priced::UNPRICED) };
    let rates = &entry.rates;
    if rates.is_empty() {
        return Ok(Priced::UNPRICED);
    }
    let mut total = Usd::from_pico(i128::from(rates.request.unwrap_or(0)));
    let mut estimated = false;
    for kind in used_by(usage) {
        let count = usage.of(kind);
        let Some((rate_pico, fallback)) = fallback_rate(rates, kind) else { return Ok(Priced::UNPRICED) };
        estimated |= fallback.is_some();
        let part = amount(Charge::Usage(kind), count, rate_pico)?;
        // Checked part by part, so that the i128 sum cannot overflow: each is at most an i64.
        part.to_column().map_err(|e| e.at(kind.name()))?;
        total += part;
    }
    total.to_column().map_err(|e| e.at("cost of the call"))?;
    let state = if rates.all().iter().flatten().all(|&rate| rate == 0) {
        PricingState::Free
    } else if estimated {
        PricingState::Estimated
    } else {
        PricingState::Priced
    };
    Ok(Priced { state, cost: Some(total) })
}

/// The bill behind [`price`]: a line for each kind that was used, and one for the request fee.
///
/// The amounts add up to the cost whenever the call is priced. A line without a rate is why it is not.
///
/// # Errors
/// When a product is out of range.
pub fn explain(usage: &TokenUsage, entry: &PriceEntry) -> Result<Vec<ExplainLine>> {
    let mut lines = Vec::new();
    for kind in used_by(usage) {
        let count = usage.of(kind);
        let charge = Charge::Usage(kind);
        let found = fallback_rate(&entry.rates, kind);
        lines.push(ExplainLine {
            charge,
            count,
            rate_pico: found.map(|(rate_pico, _)| rate_pico),
            amount: found.map(|(rate_pico, _)| amount(charge, count, rate_pico)).transpose()?,
            fallback_from: found.and_then(|(_, fallback)| fallback),
        });
    }
    if let Some(fee) = entry.rates.request {
        lines.push(ExplainLine {
            charge: Charge::Request,
            count: 1,
            rate_pico: Some(fee),
            amount: Some(amount(Charge::Request, 1, fee)?),
            fallback_from: None,
        });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::super::rates::{Origin, STANDARD_TIER};
    use super::*;
    use crate::domain::{MAX_COUNT, Timestamp};
    use proptest::prelude::*;

    fn entry(rates: Rates) -> PriceEntry {
        PriceEntry {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            service_tier: STANDARD_TIER.to_owned(),
            over_input_tokens: 0,
            effective_from: Timestamp::from_micros(0),
            daily_utc: None,
            rates,
            source: String::new(),
            origin: Origin::Vendored,
            revision: 1,
            price_id: None,
        }
    }

    fn priced(usage: TokenUsage, rates: Rates) -> Priced {
        price(Some(&usage), Some(&entry(rates))).unwrap()
    }

    fn pico(priced: Priced) -> Option<i128> {
        priced.cost.map(Usd::pico)
    }

    #[test]
    fn unknown_is_not_zero() {
        let rates = Rates { input: Some(5), ..Rates::default() };
        let some = TokenUsage { input: 1, ..TokenUsage::default() };
        assert_eq!(price(None, Some(&entry(rates))).unwrap(), Priced::UNPRICED);
        assert_eq!(price(Some(&some), None).unwrap(), Priced::UNPRICED);
        assert_eq!(priced(some, Rates::default()), Priced::UNPRICED);
        for usage in [
            TokenUsage { input: 10, output: 1, ..TokenUsage::default() },
            TokenUsage { input: 10, web_searches: 1, ..TokenUsage::default() },
            TokenUsage { input: 10, embedding: 1, ..TokenUsage::default() },
        ] {
            assert_eq!(priced(usage, rates), Priced::UNPRICED, "no half sums");
        }
        let nothing = priced(TokenUsage::default(), rates);
        assert_eq!((nothing.state, pico(nothing)), (PricingState::Priced, Some(0)));
    }

    #[test]
    fn fallbacks_are_estimates() {
        let long = TokenUsage { cache_write_long: 2, ..TokenUsage::default() };
        let mut rates = Rates { input: Some(3), output: Some(7), ..Rates::default() };
        assert_eq!(
            priced(long, rates),
            Priced { state: PricingState::Estimated, cost: Some(Usd::from_pico(6)) }
        );
        rates.cache_write = Some(4);
        assert_eq!(pico(priced(long, rates)), Some(8));
        let lines = explain(&long, &entry(rates)).unwrap();
        assert_eq!(lines[0].fallback_from, Some(TokenKind::CacheWrite));
        rates.cache_write_long = Some(5);
        assert_eq!(
            priced(long, rates),
            Priced { state: PricingState::Priced, cost: Some(Usd::from_pico(10)) }
        );
        let thought = TokenUsage { reasoning: 3, ..TokenUsage::default() };
        assert_eq!(
            priced(thought, rates),
            Priced { state: PricingState::Estimated, cost: Some(Usd::from_pico(21)) }
        );
    }

    #[test]
    fn free_is_a_price_of_zero() {
        let zero = Rates { input: Some(0), output: Some(0), ..Rates::default() };
        let usage = TokenUsage { input: 5, cache_read: 3, ..TokenUsage::default() };
        assert_eq!(priced(usage, zero), Priced { state: PricingState::Free, cost: Some(Usd::ZERO) });
        let half = Rates { output: Some(1), ..zero };
        assert_eq!(priced(usage, half).state, PricingState::Estimated);
        let with_fee = Rates { request: Some(9), ..zero };
        assert_eq!(pico(priced(usage, with_fee)), Some(9));
        let searched = TokenUsage { web_searches: 1, ..usage };
        assert_eq!(priced(searched, zero), Priced::UNPRICED);
    }

    #[test]
    fn an_overflow_names_the_amount() {
        let usage = TokenUsage { input: MAX_COUNT, ..TokenUsage::default() };
        let rates = Rates { input: Some(i64::MAX), ..Rates::default() };
        let error = price(Some(&usage), Some(&entry(rates))).unwrap_err();
        assert!(error.to_string().contains("does not fit"), "{error}");
        let most = TokenUsage { input: u64::MAX, output: u64::MAX, ..TokenUsage::default() };
        let rates = Rates { input: Some(i64::MAX), output: Some(i64::MAX), ..Rates::default() };
        assert!(price(Some(&most), Some(&entry(rates))).is_err());
    }

    fn any_usage() -> impl Strategy<Value = TokenUsage> {
        proptest::array::uniform8(prop_oneof![Just(0), 0_u64..5_000_000]).prop_map(
            |[
                input,
                cache_read,
                cache_write,
                cache_write_long,
                output,
                reasoning,
                embedding,
                web_searches,
            ]| {
                TokenUsage {
                    input,
                    cache_read,
                    cache_write,
                    cache_write_long,
                    output,
                    reasoning,
                    embedding,
                    web_searches,
                }
            },
        )
    }

    fn any_rates() -> impl Strategy<Value = Rates> {
        proptest::array::uniform9(prop_oneof![Just(None), Just(Some(0)), (0_i64..100_000_000).prop_map(Some)])
            .prop_map(
                |[
                    input,
                    cache_read,
                    cache_write,
                    cache_write_long,
                    output,
                    reasoning,
                    embedding,
                    web_search,
                    request,
                ]| {
                    Rates {
                        input,
                        cache_read,
                        cache_write,
                        cache_write_long,
                        output,
                        reasoning,
                        embedding,
                        web_search,
                        request,
                    }
                },
            )
    }

    /// The usage with only `kind` left in it.
    fn only(usage: &TokenUsage, kind: TokenKind) -> TokenUsage {
        let mut part = TokenUsage::default();
        *field(&mut part, kind) = usage.of(kind);
        part
    }

    fn field(usage: &mut TokenUsage, kind: TokenKind) -> &mut u64 {
        match kind {
            TokenKind::Input => &mut usage.input,
            TokenKind::CacheRead => &mut usage.cache_read,
            TokenKind::CacheWrite => &mut usage.cache_write,
            TokenKind::CacheWriteLong => &mut usage.cache_write_long,
            TokenKind::Output => &mut usage.output,
            TokenKind::Reasoning => &mut usage.reasoning,
            TokenKind::Embedding => &mut usage.embedding,
            TokenKind::WebSearches => &mut usage.web_searches,
        }
    }

    proptest! {
        #[test]
        fn kinds_add_up_and_lines_too(usage in any_usage(), rates in any_rates()) {
            let entry = entry(rates);
            let whole = price(Some(&usage), Some(&entry)).unwrap();
            prop_assert_eq!(whole.cost.is_none(), whole.state == PricingState::Unpriced);
            let lines = explain(&usage, &entry).unwrap();
            let without_fee = PriceEntry { rates: Rates { request: None, ..rates }, ..entry };
            if let Some(cost) = whole.cost {
                let parts: Usd = TokenKind::ALL.iter()
                    .map(|&kind| price(Some(&only(&usage, kind)), Some(&without_fee)).unwrap().cost.unwrap_or(Usd::ZERO))
                    .sum();
                prop_assert_eq!(parts.pico() + i128::from(rates.request.unwrap_or(0)), cost.pico());
                prop_assert_eq!(lines.iter().filter_map(|line| line.amount).sum::<Usd>(), cost);
                prop_assert!(cost.pico() >= 0);
                prop_assert!(lines.iter().all(|line| line.rate_pico.is_some()));
            } else {
                prop_assert!(rates.is_empty() || lines.iter().any(|line| line.rate_pico.is_none()));
            }
        }

        #[test]
        fn more_never_costs_less(usage in any_usage(), rates in any_rates(), kind in 0_usize..8, more in 0_u64..1_000) {
            let entry = entry(rates);
            let mut larger = usage;
            *field(&mut larger, TokenKind::ALL[kind]) += more;
            let (small, large) = (price(Some(&usage), Some(&entry)).unwrap(), price(Some(&larger), Some(&entry)).unwrap());
            if let (Some(small), Some(large)) = (small.cost, large.cost) {
                prop_assert!(large >= small);
            }
        }
    }
}
