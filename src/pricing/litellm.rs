//! `LiteLLM`'s price list, `model_prices_and_context_window.json`.
//!
//! Its numbers are floats in USD per token; they are read as text and snapped to ten significant digits,
//! which takes the floats' noise off and leaves every published price whole in picodollars.

use super::decimal::scaled_float_text;
use super::rates::{Origin, PriceEntry, Rates, STANDARD_TIER};
use super::snapshot::{Period, Template};
use crate::domain::{Timestamp, required_name};
use crate::error::{Error, Result};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What an import found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The rows, of origin [`Origin::Imported`].
    pub entries: Vec<PriceEntry>,
    /// The models (or parts of one) that were left out, and why.
    pub skipped: Vec<(String, String)>,
}

/// USD per token to picodollars per token: 10^12.
const PER_TOKEN: i32 = 12;

/// The fields that are read, by the names they start with; the longer of two comes first.
const FIELDS: [(&str, Field); 6] = [
    ("cache_creation_input_token_cost_above_1hr", |rates| &mut rates.cache_write_long),
    ("cache_creation_input_token_cost", |rates| &mut rates.cache_write),
    ("cache_read_input_token_cost", |rates| &mut rates.cache_read),
    ("output_cost_per_reasoning_token", |rates| &mut rates.reasoning),
    ("input_cost_per_token", |rates| &mut rates.input),
    ("output_cost_per_token", |rates| &mut rates.output),
];

type Field = fn(&mut Rates) -> &mut Option<i64>;
type Model<'a> = BTreeMap<String, &'a RawValue>;

/// Reads `LiteLLM`'s price list.
///
/// Thresholds (`…_above_200k_tokens`) become rows over that many tokens; `…_batches`, `…_flex` and
/// `…_priority` become service tiers, which inherit what they do not name. A search costs what
/// `search_context_cost_per_query` says for the medium context. Prices that are not per token (images,
/// seconds, characters) are not read.
///
/// # Errors
/// When `json` is no JSON object. A model that cannot be read is skipped, with the reason.
pub fn read_litellm(json: &[u8]) -> Result<Imported> {
    let models: BTreeMap<String, &RawValue> = serde_json::from_slice(json).map_err(|e| {
        Error::input(format!("not LiteLLM's price list: {e}"))
            .caused_by(e)
            .hint("the file is `model_prices_and_context_window.json`")
    })?;
    let mut imported = Imported::default();
    for (name, raw) in &models {
        if name == "sample_spec" {
            continue;
        }
        match read_model(name, raw) {
            Ok(mut rows) => imported.entries.append(&mut rows),
            Err(why) => imported.skipped.push((name.clone(), why)),
        }
    }
    Ok(imported)
}

fn read_model(name: &str, raw: &RawValue) -> Result<Vec<PriceEntry>, String> {
    let model: Model<'_> = serde_json::from_str(raw.get()).map_err(|_| "it is not an object".to_owned())?;
    required_name("model", name).map_err(|e| e.to_string())?;
    let provider: String = model
        .get("litellm_provider")
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .ok_or("it has no `litellm_provider`")?;
    required_name("litellm_provider", &provider).map_err(|e| e.to_string())?;
    let mut tiers = rates_by_tier(&model)?;
    let mut base = tiers.remove(STANDARD_TIER).unwrap_or_default();
    let mut flat = base.remove(&0).unwrap_or_default();
    if flat.is_empty() {
        let ranges = model.contains_key("tiered_pricing");
        return Err(if ranges { "its prices are ranges" } else { "it has no price per token" }.to_owned());
    }
    flat.web_search = web_search(&model)?;
    let template =
        Template { provider: &provider, model: name, source: "litellm import", origin: Origin::Imported };
    let period = |rates, tiers: BTreeMap<u64, Rates>| Period {
        from: Timestamp::from_micros(0),
        daily: None,
        rates,
        tiers: tiers.into_iter().collect(),
    };
    let mut rows = Vec::new();
    template.rows(STANDARD_TIER, &period(flat, base.clone()), &mut rows);
    for (service_tier, mut named) in tiers {
        let own = named.remove(&0).unwrap_or_default();
        // A threshold of the standard tier moves only what the tier does not price itself.
        for (over, rates) in &base {
            let tier = named.entry(*over).or_default();
            *tier = tier.or(&own).or(rates);
        }
        template.rows(&service_tier, &period(own.or(&flat), named), &mut rows);
    }
    Ok(rows)
}

/// Service tier, then threshold, to the rates that the model names for them.
fn rates_by_tier(model: &Model<'_>) -> Result<BTreeMap<String, BTreeMap<u64, Rates>>, String> {
    let mut tiers: BTreeMap<String, BTreeMap<u64, Rates>> = BTreeMap::new();
    for (key, raw) in model {
        let field = FIELDS.iter().find_map(|(start, field)| Some((field, key.strip_prefix(start)?)));
        let Some((field, rest)) = field else { continue };
        let Some((service_tier, over)) = condition(rest) else { continue };
        if raw.get() == "null" {
            continue;
        }
        let rates = tiers.entry(service_tier.to_owned()).or_default().entry(over).or_default();
        *field(rates) = Some(price(key, raw)?);
    }
    Ok(tiers)
}

/// The service tier and the threshold that a field's ending names; `None` for an unknown ending.
fn condition(mut rest: &str) -> Option<(&'static str, u64)> {
    let (mut service_tier, mut over) = (STANDARD_TIER, 0);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("_above_") {
            let (thousands, after) = after.split_once("k_tokens")?;
            over = thousands.parse::<u64>().ok()?.checked_mul(1_000).filter(|over| *over > 0)?;
            rest = after;
        } else {
            let endings = [("_batches", "batch"), ("_flex", "flex"), ("_priority", "priority")];
            let (ending, tier) = endings.into_iter().find(|(ending, _)| rest.starts_with(ending))?;
            service_tier = tier;
            rest = &rest[ending.len()..];
        }
    }
    Some((service_tier, over))
}

fn price(key: &str, raw: &RawValue) -> Result<i64, String> {
    let text = raw.get().trim_matches('"');
    scaled_float_text(text, PER_TOKEN)
        .ok_or_else(|| format!("`{key}` is {text}, not a whole number of picodollars"))
}

/// USD per search, at the medium context size, which is the providers' default.
fn web_search(model: &Model<'_>) -> Result<Option<i64>, String> {
    let Some(raw) = model.get("search_context_cost_per_query") else { return Ok(None) };
    let sizes: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    sizes.get("search_context_size_medium").map(|raw| price("search_context_cost_per_query", raw)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{
        "sample_spec": {"litellm_provider": "one of", "input_cost_per_token": 0.0},
        "x/chat": {"litellm_provider": "x", "mode": "chat",
            "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
            "cache_read_input_token_cost": 1.2500000000000002e-07,
            "cache_creation_input_token_cost": 2e-06, "cache_creation_input_token_cost_above_1hr": 4e-06,
            "input_cost_per_token_above_200k_tokens": 2.5e-06, "output_cost_per_token_above_200k_tokens": 1.5e-05,
            "input_cost_per_token_batches": 6.25e-07, "input_cost_per_token_priority": 2e-06,
            "input_cost_per_token_above_200k_tokens_priority": 4e-06,
            "output_cost_per_token_flex": null, "input_cost_per_token_somewhere": 1,
            "output_cost_per_reasoning_token": 3e-06,
            "search_context_cost_per_query": {"search_context_size_low": 0.03, "search_context_size_medium": 0.035}},
        "x/embed": {"litellm_provider": "x", "mode": "embedding", "input_cost_per_token": 2e-08},
        "x/image": {"litellm_provider": "x", "mode": "image_generation", "output_cost_per_image": 0.04},
        "x/ranges": {"litellm_provider": "x", "tiered_pricing": []},
        "x/fine": {"litellm_provider": "x", "input_cost_per_token": 1.5e-13},
        "x/negative": {"litellm_provider": "x", "input_cost_per_token": -1e-6},
        "nobody": {"input_cost_per_token": 1e-6}
    }"#;

    #[test]
    fn fields_tiers_and_thresholds_are_read() {
        let imported = read_litellm(LIST.as_bytes()).unwrap();
        let find = |model: &str, tier: &str, over| {
            let matches =
                |e: &&PriceEntry| e.model == model && e.service_tier == tier && e.over_input_tokens == over;
            imported.entries.iter().find(matches).map(|e| e.rates)
        };
        let base = find("x/chat", "standard", 0).unwrap();
        assert_eq!(base.input, Some(1_250_000));
        assert_eq!(base.cache_read, Some(125_000));
        assert_eq!((base.cache_write, base.cache_write_long), (Some(2_000_000), Some(4_000_000)));
        assert_eq!(base.reasoning, Some(3_000_000));
        assert_eq!(base.web_search, Some(35_000_000_000));
        let over = find("x/chat", "standard", 200_000).unwrap();
        assert_eq!(
            (over.input, over.output, over.cache_read),
            (Some(2_500_000), Some(15_000_000), Some(125_000))
        );
        let batch = find("x/chat", "batch", 200_000).unwrap();
        assert_eq!((batch.input, batch.output), (Some(625_000), Some(15_000_000)));
        assert_eq!(find("x/chat", "priority", 200_000).unwrap().input, Some(4_000_000));
        assert_eq!(find("x/chat", "flex", 0), None);
        assert_eq!(find("x/embed", "standard", 0).unwrap().embedding, Some(20_000));
        assert!(imported.entries.iter().all(|e| e.origin == Origin::Imported));
        let skipped: Vec<&str> = imported.skipped.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(skipped, ["nobody", "x/fine", "x/image", "x/negative", "x/ranges"]);
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        assert!(read_litellm(b"[]").is_err());
        assert!(read_litellm(b"{\"a\":").is_err());
        assert_eq!(read_litellm(b"{\"a\":1}").unwrap().skipped.len(), 1);
    }
}
