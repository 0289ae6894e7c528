//! genai-prices' price list, `prices/data.json`.

use super::decimal::scaled_float_text;
use super::litellm::Imported;
use super::rates::{Origin, Rates, STANDARD_TIER};
use super::snapshot::{PER_MILLION, PER_THOUSAND, Period, Template, day_start, second_of_day};
use crate::domain::{Timestamp, required_name};
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Provider<'a> {
    id: String,
    #[serde(borrow, default)]
    models: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    id: String,
    #[serde(borrow)]
    prices: &'a RawValue,
}

/// One of several price lists of a model.
#[derive(Deserialize)]
struct Conditional<'a> {
    #[serde(default)]
    constraint: Option<Constraint>,
    #[serde(borrow)]
    prices: BTreeMap<String, &'a RawValue>,
}

#[derive(Deserialize)]
struct Constraint {
    start_date: Option<String>,
    start_time: Option<String>,
    end_time: Option<String>,
}

/// A price that moves at a threshold of input tokens.
#[derive(Deserialize)]
struct Tiered<'a> {
    #[serde(borrow)]
    base: &'a RawValue,
    #[serde(borrow)]
    tiers: Vec<Step<'a>>,
}

#[derive(Deserialize)]
struct Step<'a> {
    start: u64,
    #[serde(borrow)]
    price: &'a RawValue,
}

/// Reads genai-prices' price list: dated and daily prices, and tiers.
///
/// Rates that asmm has no kind for (audio, images, pages) are not read.
///
/// # Errors
/// When `json` is no list of providers. A model that cannot be read is skipped, with the reason.
pub fn read_genai_prices(json: &[u8]) -> Result<Imported> {
    let providers: Vec<Provider<'_>> = serde_json::from_slice(json).map_err(|e| {
        Error::input(format!("not genai-prices' price list: {e}"))
            .caused_by(e)
            .hint("the file is `prices/data.json`")
    })?;
    let mut imported = Imported::default();
    for provider in &providers {
        for model in &provider.models {
            let template = Template {
                provider: &provider.id,
                model: &model.id,
                source: "genai-prices import",
                origin: Origin::Imported,
            };
            let before = imported.entries.len();
            let named = required_name("id", &provider.id).and_then(|()| required_name("id", &model.id));
            let skipped = match named.map_err(|e| e.to_string()).and_then(|()| periods(model)) {
                Ok(periods) => {
                    for period in &periods {
                        template.rows(STANDARD_TIER, period, &mut imported.entries);
                    }
                    (imported.entries.len() == before).then(|| "it has no price per token".to_owned())
                }
                Err(why) => Some(why),
            };
            imported.skipped.extend(skipped.map(|why| (format!("{}/{}", provider.id, model.id), why)));
        }
    }
    Ok(imported)
}

fn periods(model: &Model<'_>) -> Result<Vec<Period>, String> {
    let text = model.prices.get();
    let unreadable = |e: serde_json::Error| format!("`prices`: {e}");
    let lists: Vec<Conditional<'_>> = if text.starts_with('[') {
        serde_json::from_str(text).map_err(unreadable)?
    } else {
        vec![Conditional { constraint: None, prices: serde_json::from_str(text).map_err(unreadable)? }]
    };
    lists.iter().map(read_period).collect()
}

fn read_period(list: &Conditional<'_>) -> Result<Period, String> {
    let mut period =
        Period { from: Timestamp::from_micros(0), daily: None, rates: Rates::default(), tiers: Vec::new() };
    if let Some(constraint) = &list.constraint {
        (period.from, period.daily) = when(constraint)?;
    }
    let mut tiers: BTreeMap<u64, Rates> = BTreeMap::new();
    for (key, raw) in &list.prices {
        let Some((field, decimals)) = field(key) else { continue };
        if raw.get() == "null" {
            continue;
        }
        if !raw.get().starts_with('{') {
            *field(&mut period.rates) = Some(price(key, raw, decimals)?);
            continue;
        }
        let moving: Tiered<'_> = serde_json::from_str(raw.get()).map_err(|e| format!("`{key}`: {e}"))?;
        *field(&mut period.rates) = Some(price(key, moving.base, decimals)?);
        for step in &moving.tiers {
            *field(tiers.entry(step.start).or_default()) = Some(price(key, step.price, decimals)?);
        }
    }
    // A rate without a step at a threshold keeps the step before it.
    let mut reached = Rates::default();
    for (over, rates) in tiers {
        reached = rates.or(&reached);
        period.tiers.push((over, reached));
    }
    Ok(period)
}

fn when(constraint: &Constraint) -> Result<(Timestamp, Option<(u32, u32)>), String> {
    let bad = |text: &str| format!("`constraint` names the time `{text}`");
    let from = match &constraint.start_date {
        None => Timestamp::from_micros(0),
        Some(text) => day_start(text).ok_or_else(|| bad(text))?,
    };
    let second = |text: &String| second_of_day(text).ok_or_else(|| bad(text));
    match (&constraint.start_date, &constraint.start_time, &constraint.end_time) {
        (_, Some(start), Some(end)) => Ok((from, Some((second(start)?, second(end)?)))),
        (Some(_), None, None) => Ok((from, None)),
        _ => Err("`constraint` is of an unknown kind".to_owned()),
    }
}

type Field = fn(&mut Rates) -> &mut Option<i64>;

fn field(key: &str) -> Option<(Field, i32)> {
    Some(match key {
        "input_mtok" => (|rates| &mut rates.input, PER_MILLION),
        "output_mtok" => (|rates| &mut rates.output, PER_MILLION),
        "cache_read_mtok" => (|rates| &mut rates.cache_read, PER_MILLION),
        "cache_write_mtok" => (|rates| &mut rates.cache_write, PER_MILLION),
        "cache_write_1h_mtok" => (|rates| &mut rates.cache_write_long, PER_MILLION),
        "output_reasoning_mtok" => (|rates| &mut rates.reasoning, PER_MILLION),
        "web_searches_kcount" => (|rates| &mut rates.web_search, PER_THOUSAND),
        "requests_kcount" => (|rates| &mut rates.request, PER_THOUSAND),
        _ => return None,
    })
}

fn price(key: &str, raw: &RawValue, decimals: i32) -> Result<i64, String> {
    let text = raw.get().trim_matches('"');
    scaled_float_text(text, decimals)
        .ok_or_else(|| format!("`{key}` is {text}, not a whole number of picodollars"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"[{"id": "p", "name": "P", "models": [
        {"id": "flat", "match": {"equals": "flat"}, "prices": {"input_mtok": 0.8, "output_mtok": "4", "requests_kcount": 12, "input_audio_mtok": 3}},
        {"id": "dated", "prices": [
            {"prices": {"input_mtok": {"base": 3, "tiers": [{"start": 200000, "price": 6}]}, "output_mtok": 15}},
            {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 2.5}},
            {"constraint": {"start_time": "16:30:00Z", "end_time": "00:30:00Z"}, "prices": {"input_mtok": 1}}]},
        {"id": "blank", "prices": {}},
        {"id": "odd", "prices": [{"constraint": {"colour": 1}, "prices": {"input_mtok": 1}}]},
        {"id": "fine", "prices": {"input_mtok": 0.0000001}}]}]"#;

    #[test]
    fn dates_windows_and_tiers_are_read() {
        let imported = read_genai_prices(LIST.as_bytes()).unwrap();
        let of = |model: &str| imported.entries.iter().filter(|e| e.model == model).collect::<Vec<_>>();
        let flat = of("flat")[0].rates;
        assert_eq!((flat.input, flat.output), (Some(800_000), Some(4_000_000)));
        assert_eq!(flat.request, Some(12_000_000_000));
        let [base, tier, dated, evening, morning] = of("dated")[..] else { panic!("{:?}", of("dated")) };
        assert_eq!((base.rates.input, base.rates.output), (Some(3_000_000), Some(15_000_000)));
        assert_eq!((tier.over_input_tokens, tier.rates.input), (200_000, Some(6_000_000)));
        assert_eq!(tier.rates.output, Some(15_000_000));
        assert_eq!(dated.effective_from, "2026-03-13T00:00:00Z".parse().unwrap());
        assert_eq!((evening.daily_utc, morning.daily_utc), (Some((59_400, 86_400)), Some((0, 1_800))));
        let skipped: Vec<&str> = imported.skipped.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(skipped, ["p/blank", "p/odd", "p/fine"]);
        assert!(read_genai_prices(b"{}").is_err());
    }
}
