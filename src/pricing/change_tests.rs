//! The parts of a change add up, and each is what its name says.

use super::change::{AlikeCalls, CalledModel, Effects, explain_change};
use super::rates::{Origin, PriceEntry, Rates, STANDARD_TIER};
use crate::domain::{Timestamp, TokenUsage, Usd};
use proptest::prelude::*;

fn price(model: &str, over_input_tokens: u64, rates: Rates) -> PriceEntry {
    PriceEntry {
        provider: "p".to_owned(),
        model: model.to_owned(),
        service_tier: STANDARD_TIER.to_owned(),
        over_input_tokens,
        effective_from: Timestamp::from_micros(0),
        daily_utc: None,
        rates,
        source: String::new(),
        origin: Origin::Vendored,
        revision: 1,
        price_id: None,
    }
}

fn chat(model: &str, prompt: Option<&str>, calls: u64, each: (u64, u64), rates: (i64, i64)) -> AlikeCalls {
    AlikeCalls {
        model: CalledModel {
            operation: "chat".to_owned(),
            provider: "p".to_owned(),
            model: model.to_owned(),
            service_tier: STANDARD_TIER.to_owned(),
        },
        prompt: prompt.map(str::to_owned),
        price: price(model, 0, Rates { input: Some(rates.0), output: Some(rates.1), ..Rates::default() }),
        calls,
        usage: TokenUsage { input: calls * each.0, output: calls * each.1, ..TokenUsage::default() },
    }
}

fn pico(pico: i128) -> Usd {
    Usd::from_pico(pico)
}

fn effects(before: &[AlikeCalls], after: &[AlikeCalls]) -> Effects {
    let change = explain_change(before, after).unwrap();
    assert_eq!(change.effects.sum(), change.after - change.before);
    change.effects
}

const RATES: (i64, i64) = (5, 20);
const NOTHING: Effects = Effects {
    volume: Usd::ZERO,
    models: Usd::ZERO,
    prompts: Usd::ZERO,
    tokens: Usd::ZERO,
    prices: Usd::ZERO,
};

#[test]
fn each_effect_is_what_its_name_says() {
    let before = [chat("m", Some("a@1"), 10, (100, 10), RATES)];
    assert_eq!(effects(&before, &before), NOTHING);

    let more = [chat("m", Some("a@1"), 15, (100, 10), RATES)];
    assert_eq!(effects(&before, &more), Effects { volume: pico(5 * 700), ..NOTHING });

    let longer = [chat("m", Some("a@1"), 10, (130, 10), RATES)];
    assert_eq!(effects(&before, &longer), Effects { tokens: pico(10 * 30 * 5), ..NOTHING });

    let version = [chat("m", Some("a@2"), 10, (130, 10), RATES)];
    assert_eq!(effects(&before, &version), Effects { prompts: pico(10 * 30 * 5), ..NOTHING });

    let dearer = [chat("m", Some("a@1"), 10, (100, 10), (6, 20))];
    assert_eq!(effects(&before, &dearer), Effects { prices: pico(10 * 100), ..NOTHING });

    // The same calls on a model that was not there before: what they used before, at its rates.
    let model = [chat("n", Some("a@1"), 10, (100, 10), (9, 20))];
    assert_eq!(effects(&before, &model), Effects { models: pico(10 * 400), ..NOTHING });
}

#[test]
fn everything_at_once_is_told_apart() {
    let before = [chat("m", Some("a@1"), 10, (100, 10), RATES)];
    let after = [
        chat("m", Some("a@1"), 8, (110, 10), (6, 20)),
        chat("m", Some("a@2"), 4, (150, 10), (6, 20)),
        chat("n", Some("a@2"), 8, (150, 20), (10, 10)),
    ];
    let expected = Effects {
        // 20 calls instead of 10, of 700 each.
        volume: pico(10 * 700),
        // 8 of them at 100 × 10 + 10 × 10 instead of 700.
        models: pico(8 * (1_100 - 700)),
        // Version 2: 50 more input tokens each; on `n` also 10 more output tokens.
        prompts: pico(4 * 50 * 5 + 8 * (50 * 10 + 10 * 10)),
        // Version 1 has 10 more.
        tokens: pico(8 * 10 * 5),
        prices: pico(8 * 110 + 4 * 150),
    };
    assert_eq!(effects(&before, &after), expected);
}

#[test]
fn who_is_new_or_gone_is_all_volume() {
    let some = [chat("m", None, 10, (100, 10), RATES)];
    assert_eq!(effects(&[], &some), Effects { volume: pico(7_000), ..NOTHING });
    assert_eq!(effects(&some, &[]), Effects { volume: pico(-7_000), ..NOTHING });
    assert_eq!(effects(&[], &[]), NOTHING);
}

#[test]
fn a_prompt_that_crosses_a_threshold_is_an_effect_of_tokens() {
    let before = [chat("m", None, 10, (100, 0), (5, 20))];
    let mut long = chat("m", None, 10, (300, 0), (10, 40));
    long.price.over_input_tokens = 200;
    assert_eq!(effects(&before, &[long]), Effects { tokens: pico(10 * (3_000 - 500)), ..NOTHING });
}

#[test]
fn what_cannot_be_priced_as_before_counts_as_itself() {
    // Embeddings beside chats: they have no peers, and no rate for output.
    let before = [chat("m", None, 10, (100, 10), RATES)];
    let mut embedded = chat("e", None, 10, (0, 0), RATES);
    embedded.model.operation = "embeddings".to_owned();
    embedded.price.rates = Rates { embedding: Some(1), ..Rates::default() };
    embedded.usage = TokenUsage { embedding: 5_000, ..TokenUsage::default() };
    let after = [before[0].clone(), embedded];
    let expected = Effects { volume: pico(7_000), models: pico(5_000 - 7_000), ..NOTHING };
    assert_eq!(effects(&before, &after), expected);
}

#[test]
fn a_fee_per_request_is_a_price() {
    let mut before = chat("m", None, 10, (100, 10), RATES);
    before.price.rates.request = Some(50);
    let mut after = before.clone();
    after.price.rates.request = Some(80);
    assert_eq!(effects(&[before], &[after]), Effects { prices: pico(300), ..NOTHING });
}

#[test]
fn a_kind_without_a_rate_is_an_error_and_no_zero() {
    let mut wrong = chat("m", None, 10, (100, 10), RATES);
    wrong.price.rates.output = None;
    let error = explain_change(&[], &[wrong]).unwrap_err();
    assert!(error.to_string().contains("no rate for `output`"), "{error}");
    let mut huge = chat("m", None, 1, (1, 0), (i64::MAX, 1));
    huge.usage.input = u64::MAX;
    let error = explain_change(&[], &[huge.clone(), huge.clone(), huge]).unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
}

/// Calls of few models, versions and thresholds, so that both sides meet.
fn some_calls() -> impl Strategy<Value = AlikeCalls> {
    let rate = || prop_oneof![Just(0), 1_i64..200_000_000];
    let counts = proptest::array::uniform8(prop_oneof![Just(0), 0_u64..3_000_000]);
    (0_u8..4, 0_u8..4, 0_u8..2, 0_u8..3, 1_u64..5_000, counts, proptest::array::uniform9(rate())).prop_map(
        |(model, prompt, operation, over, calls, used, rate)| {
            let rates = Rates {
                input: Some(rate[0]),
                cache_read: (rate[1] % 3 > 0).then_some(rate[1]),
                cache_write: (rate[2] % 3 > 0).then_some(rate[2]),
                cache_write_long: (rate[3] % 3 > 0).then_some(rate[3]),
                output: Some(rate[4]),
                reasoning: (rate[5] % 3 > 0).then_some(rate[5]),
                embedding: Some(rate[6]),
                web_search: (rate[7] % 3 > 0).then_some(rate[7]),
                request: (rate[8] % 3 > 0).then_some(rate[8]),
            };
            let name = format!("m{model}");
            AlikeCalls {
                model: CalledModel {
                    operation: ["chat", "embeddings"][usize::from(operation)].to_owned(),
                    provider: "p".to_owned(),
                    model: name.clone(),
                    service_tier: STANDARD_TIER.to_owned(),
                },
                prompt: (prompt > 0).then(|| format!("a@{prompt}")),
                price: price(&name, u64::from(over) * 200_000, rates),
                calls,
                usage: TokenUsage {
                    input: used[0],
                    cache_read: used[1],
                    cache_write: used[2],
                    cache_write_long: used[3],
                    output: used[4],
                    reasoning: used[5],
                    embedding: used[6],
                    web_searches: if rates.web_search.is_some() { used[7] } else { 0 },
                },
            }
        },
    )
}

fn ledger() -> impl Strategy<Value = Vec<AlikeCalls>> {
    proptest::collection::vec(some_calls(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// On 1,000 random pairs of ledgers the parts add up to the difference, to the picodollar, and nothing changes
    /// where nothing did but the number of calls.
    #[test]
    fn the_parts_add_up_on_random_pairs_of_ledgers(before in ledger(), after in ledger()) {
        let cost = |calls: &[AlikeCalls]| calls.iter().map(|alike| alike.cost().unwrap()).sum::<Usd>();
        let change = explain_change(&before, &after).unwrap();
        prop_assert_eq!(change.before, cost(&before));
        prop_assert_eq!(change.after, cost(&after));
        prop_assert_eq!(change.effects.sum(), change.after - change.before);

        let back = explain_change(&after, &before).unwrap();
        prop_assert_eq!(back.effects.sum(), change.before - change.after);

        // The same again: no effect but what is lost in rounding means of several prices.
        let same = explain_change(&before, &before).unwrap().effects;
        prop_assert_eq!(same.volume, Usd::ZERO);
        let roundings = i128::try_from(before.len() * 24).unwrap();
        for part in [same.models, same.prompts, same.tokens, same.prices] {
            prop_assert!(part.pico().abs() <= roundings, "{:?}", same);
        }
    }
}
