//! Why what was spent changed: the difference of two ranges as effects that add up to it exactly.
//!
//! Between what was spent before and what was spent after stand four costs that nobody paid. Each takes over one more
//! thing from after; an effect is the difference of two neighbours, so that the five add up to the whole, whatever
//! is rounded in between (each counterfactual amount is, to a whole picodollar).
//!
//! | cost | calls | models | prompt versions | tokens per call | prices |
//! |---|---|---|---|---|---|
//! | before | before | before | before | before | before |
//! | after [`Effects::volume`] | after | before | before | before | before |
//! | after [`Effects::models`] | after | after | before | before | before |
//! | after [`Effects::prompts`] | after | after | after | before | before |
//! | after [`Effects::tokens`] | after | after | after | after | before |
//! | after [`Effects::prices`] | after | after | after | after | after |
//!
//! What there was not before has no tokens and no price from before. So:
//!
//! - Who made no call before is all volume, and so is who makes none any more.
//! - A model that is new costs, as long as tokens count from before, what the mean call of the same operation used,
//!   at the new model's rates. What it has no rates for (or no call to compare with) is its own usage. Its prices did
//!   not change.
//! - A prompt version that is new brings its tokens along: how they differ is the version's effect. Under a version
//!   that was there before, it is one of tokens per call.
//! - Rates are compared within a model's context threshold and time of day; a longer prompt that crosses a threshold is
//!   an effect of tokens. A rate of several prices before is their mean, weighted by what was used.

use super::cost::{fallback_rate, used_by};
use super::rates::PriceEntry;
use crate::domain::{TokenKind, TokenUsage, Usd};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

/// What a mix of models is a mix of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalledModel {
    /// `chat`, `embeddings`, …
    pub operation: String,
    /// As reported; may be empty.
    pub provider: String,
    /// As reported.
    pub model: String,
    /// `standard`, `batch`, …
    pub service_tier: String,
}

/// Priced calls that are alike in everything a change is explained by, and the sums of what they used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlikeCalls {
    /// What was called.
    pub model: CalledModel,
    /// The prompt's version, `name@7`; `None` where none was recorded.
    pub prompt: Option<String>,
    /// The price of each.
    pub price: PriceEntry,
    /// How many.
    pub calls: u64,
    /// What they used together.
    pub usage: TokenUsage,
}

/// The parts of a change; they add up to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects {
    /// More or fewer calls, all else as before.
    pub volume: Usd,
    /// Other models, providers or service tiers.
    pub models: Usd,
    /// Other prompt versions, with the tokens that new ones bring.
    pub prompts: Usd,
    /// More or fewer tokens per call.
    pub tokens: Usd,
    /// Other rates for the same thing.
    pub prices: Usd,
}

impl Effects {
    /// What they add up to.
    #[must_use]
    pub fn sum(&self) -> Usd {
        self.volume + self.models + self.prompts + self.tokens + self.prices
    }
}

impl AddAssign for Effects {
    fn add_assign(&mut self, other: Self) {
        self.volume += other.volume;
        self.models += other.models;
        self.prompts += other.prompts;
        self.tokens += other.tokens;
        self.prices += other.prices;
    }
}

/// What was spent before and after, and why it differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// What the calls before cost.
    pub before: Usd,
    /// What the calls after cost.
    pub after: Usd,
    /// The difference in parts.
    pub effects: Effects,
}

impl AlikeCalls {
    /// What they cost together: the sum over the kinds of count × rate, and the fee for each request.
    ///
    /// # Errors
    /// When a kind that was used has no rate, or the sum is out of range.
    pub fn cost(&self) -> Result<Usd> {
        let mut pico = product(self.calls, self.price.rates.request.unwrap_or(0))?;
        for kind in used_by(&self.usage) {
            let rate = rate(&self.price, kind).ok_or_else(|| {
                Error::input(format!(
                    "price of `{}/{}` has no rate for `{}`, and priced calls that used it",
                    self.price.provider,
                    self.price.model,
                    kind.name()
                ))
                .hint("`asmm doctor` names the calls")
            })?;
            pico = add(pico, product(self.usage.of(kind), rate)?)?;
        }
        Ok(Usd::from_pico(pico))
    }
}

/// Why what was spent changed. The calls are those of one agent (or whatever is explained), and priced.
///
/// # Errors
/// When a kind that was used has no rate, or a sum is out of range.
pub fn explain_change(before: &[AlikeCalls], after: &[AlikeCalls]) -> Result<Change> {
    let (cost_before, cost_after) = (cost(before)?, cost(after)?);
    let worlds = Worlds::new(before)?;
    let (calls_before, calls_after) = (calls(before), calls(after));
    let mut costs = [cost_after; 4];
    if calls_before > 0 {
        costs[0] = scaled(cost_before, calls_after, calls_before)?;
        costs[1] = worlds.sum(after, Worlds::with_models)?;
        costs[2] = worlds.sum(after, Worlds::with_prompts)?;
        costs[3] = worlds.sum(after, Worlds::with_tokens)?;
    }
    let effect = |from: i128, to: i128| Usd::from_pico(to - from);
    Ok(Change {
        before: Usd::from_pico(cost_before),
        after: Usd::from_pico(cost_after),
        effects: Effects {
            volume: effect(cost_before, costs[0]),
            models: effect(costs[0], costs[1]),
            prompts: effect(costs[1], costs[2]),
            tokens: effect(costs[2], costs[3]),
            prices: effect(costs[3], cost_after),
        },
    })
}

/// Calls and what they used and cost, in sum.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    calls: u64,
    usage: TokenUsage,
    cost: i128,
}

/// What there was before, in the ways in which it is asked for.
struct Worlds<'a> {
    /// By model.
    models: BTreeMap<&'a CalledModel, Sum>,
    /// By model and prompt version.
    versions: BTreeMap<(&'a CalledModel, Option<&'a str>), Sum>,
    /// By operation, over models and versions.
    operations: BTreeMap<&'a str, Sum>,
    /// By operation and prompt version, over models.
    peers: BTreeMap<(&'a str, Option<&'a str>), Sum>,
    /// All versions.
    known: BTreeSet<Option<&'a str>>,
    /// By model, context threshold and time of day: calls of each price.
    prices: BTreeMap<(&'a CalledModel, Slot), Vec<&'a AlikeCalls>>,
}

/// Which of a model's rates apply to a call at one time: its context threshold, and the time of day.
type Slot = (u64, Option<(u32, u32)>);

fn slot(price: &PriceEntry) -> Slot {
    (price.over_input_tokens, price.daily_utc)
}

impl<'a> Worlds<'a> {
    fn new(before: &'a [AlikeCalls]) -> Result<Self> {
        let mut worlds = Self {
            models: BTreeMap::new(),
            versions: BTreeMap::new(),
            operations: BTreeMap::new(),
            peers: BTreeMap::new(),
            known: BTreeSet::new(),
            prices: BTreeMap::new(),
        };
        for alike in before {
            let (model, prompt) = (&alike.model, alike.prompt.as_deref());
            let operation = model.operation.as_str();
            let sums = [
                worlds.models.entry(model).or_default(),
                worlds.versions.entry((model, prompt)).or_default(),
                worlds.operations.entry(operation).or_default(),
                worlds.peers.entry((operation, prompt)).or_default(),
            ];
            let cost = alike.cost()?.pico();
            for sum in sums {
                sum.calls = count(sum.calls, alike.calls)?;
                sum.usage = together(&sum.usage, &alike.usage)?;
                sum.cost = add(sum.cost, cost)?;
            }
            worlds.known.insert(prompt);
            worlds.prices.entry((model, slot(&alike.price))).or_default().push(alike);
        }
        Ok(worlds)
    }

    fn sum(&self, after: &[AlikeCalls], cost: impl Fn(&Self, &AlikeCalls) -> Result<i128>) -> Result<i128> {
        after.iter().try_fold(0, |sum, alike| add(sum, cost(self, alike)?))
    }

    /// With the models of after; prompt versions, tokens and prices as before.
    fn with_models(&self, alike: &AlikeCalls) -> Result<i128> {
        if let Some(model) = self.models.get(&alike.model) {
            return scaled(model.cost, alike.calls, model.calls);
        }
        let mean = self.operations.get(alike.model.operation.as_str());
        self.with_usage_of(mean, alike)
    }

    /// With the models and prompt versions of after; tokens and prices as before, where there are any.
    fn with_prompts(&self, alike: &AlikeCalls) -> Result<i128> {
        let prompt = alike.prompt.as_deref();
        if let Some(version) = self.versions.get(&(&alike.model, prompt)) {
            return scaled(version.cost, alike.calls, version.calls);
        }
        let is_new = !self.known.contains(&prompt);
        let mean = self.peers.get(&(alike.model.operation.as_str(), prompt)).filter(|_| !is_new);
        self.with_usage_of(mean, alike)
    }

    /// With everything of after but the prices.
    fn with_tokens(&self, alike: &AlikeCalls) -> Result<i128> {
        let own = Sum { calls: alike.calls, usage: alike.usage, cost: 0 };
        match self.at_rates_before(alike, &own)? {
            Some(pico) => Ok(pico),
            None => Ok(alike.cost()?.pico()),
        }
    }

    /// As many calls as `alike` has, each with what the mean call of `mean` used, at the rates of before; with its
    /// own usage if there is no such mean or no rate for it.
    fn with_usage_of(&self, mean: Option<&Sum>, alike: &AlikeCalls) -> Result<i128> {
        if let Some(mean) = mean
            && let Some(pico) = self.at_rates_before(alike, mean)?
        {
            return Ok(pico);
        }
        self.with_tokens(alike)
    }

    /// What the calls of `alike` would have cost before with the mean usage of `mean`; `None` if there is no rate for
    /// it.
    fn at_rates_before(&self, alike: &AlikeCalls, mean: &Sum) -> Result<Option<i128>> {
        let own = &alike.price;
        let priced = self.prices.get(&(&alike.model, slot(own))).map_or(&[][..], Vec::as_slice);
        let mut pico = 0;
        for kind in used_by(&mean.usage) {
            let used = mean.usage.of(kind);
            let (mut amount, mut weight) = (0, 0);
            for before in priced {
                let count_before = before.usage.of(kind);
                if let Some(rate) = rate(&before.price, kind) {
                    amount = add(amount, product(count_before, rate)?)?;
                    weight = count(weight, count_before)?;
                }
            }
            let part = if weight > 0 {
                scaled(scaled(amount, alike.calls, mean.calls)?, used, weight)?
            } else {
                // It was not used before: at the rate of the price that was used most, or else at its own.
                let most = priced.iter().max_by_key(|before| before.calls);
                let found = most.and_then(|before| rate(&before.price, kind)).or_else(|| rate(own, kind));
                let Some(rate) = found else { return Ok(None) };
                scaled(product(used, rate)?, alike.calls, mean.calls)?
            };
            pico = add(pico, part)?;
        }
        let (mut fees, mut weight) = (0, 0);
        for before in priced {
            fees = add(fees, product(before.calls, before.price.rates.request.unwrap_or(0))?)?;
            weight = count(weight, before.calls)?;
        }
        let fee = match weight {
            0 => product(alike.calls, own.rates.request.unwrap_or(0))?,
            _ => scaled(fees, alike.calls, weight)?,
        };
        Ok(Some(add(pico, fee)?))
    }
}

fn rate(price: &PriceEntry, kind: TokenKind) -> Option<i64> {
    fallback_rate(&price.rates, kind).map(|(rate, _)| rate)
}

fn cost(alike: &[AlikeCalls]) -> Result<i128> {
    alike.iter().try_fold(0, |sum, alike| add(sum, alike.cost()?.pico()))
}

fn calls(alike: &[AlikeCalls]) -> u64 {
    alike.iter().fold(0, |sum, alike| sum.saturating_add(alike.calls))
}

/// `amount` × `by` / `of`, half up: exact as long as the result fits, for the rests of both have the bits of `of` at most.
fn scaled(amount: i128, by: u64, of: u64) -> Result<i128> {
    if of == 0 {
        return Ok(0);
    }
    let (by, of) = (i128::from(by), i128::from(of));
    let (whole, rest) = (amount.div_euclid(of), amount.rem_euclid(of));
    let (times, left) = (by / of, by % of);
    let small = rest.checked_mul(left).ok_or_else(out_of_range)?;
    let rounded = small / of + i128::from(small % of >= of - small % of);
    let parts = [whole.checked_mul(by), rest.checked_mul(times), Some(rounded)];
    parts.into_iter().try_fold(0, |sum, part| add(sum, part.ok_or_else(out_of_range)?))
}

fn product(count: u64, rate: i64) -> Result<i128> {
    i128::from(count).checked_mul(i128::from(rate)).ok_or_else(out_of_range)
}

fn add(a: i128, b: i128) -> Result<i128> {
    a.checked_add(b).ok_or_else(out_of_range)
}

fn count(a: u64, b: u64) -> Result<u64> {
    a.checked_add(b).ok_or_else(out_of_range)
}

fn together(a: &TokenUsage, b: &TokenUsage) -> Result<TokenUsage> {
    Ok(TokenUsage {
        input: count(a.input, b.input)?,
        cache_read: count(a.cache_read, b.cache_read)?,
        cache_write: count(a.cache_write, b.cache_write)?,
        cache_write_long: count(a.cache_write_long, b.cache_write_long)?,
        output: count(a.output, b.output)?,
        reasoning: count(a.reasoning, b.reasoning)?,
        embedding: count(a.embedding, b.embedding)?,
        web_searches: count(a.web_searches, b.web_searches)?,
    })
}

fn out_of_range() -> Error {
    Error::input("what is to be explained is out of range")
        .hint("check the prices and the token counts; one of them is off by orders of magnitude")
}
