//! Results of `OpenAI`'s usage and costs: <https://platform.openai.com/docs/api-reference/usage>.
//!
//! `input_tokens` is with what was read from and written to the cache; `output_tokens` is with reasoning.

use super::object::Object;
use crate::domain::{ProviderLine, ProviderReport, TokenUsage, Usd, as_name};
use crate::error::{Error, Result};

pub(super) fn line(result: &Object<'_>) -> Result<(ProviderReport, ProviderLine)> {
    let object = result.words("object")?.ok_or_else(|| result.missing("object"))?;
    let (report, line) = match object.as_str() {
        "organization.usage.completions.result" => (ProviderReport::Completions, completions(result)?),
        "organization.usage.embeddings.result" => (ProviderReport::Embeddings, embeddings(result)?),
        "organization.costs.result" => (ProviderReport::Costs, costs(result)?),
        _ => {
            let shown: String = object.chars().take(60).collect();
            return Err(result
                .whole(&format!("is of `{shown}`, which is not read"))
                .hint("completions, embeddings and costs are"));
        }
    };
    let name = |key: &str| Ok::<_, Error>(result.words(key)?.as_deref().and_then(as_name));
    Ok((report, ProviderLine { project: name("project_id")?, ..line }))
}

fn completions(result: &Object<'_>) -> Result<ProviderLine> {
    let input = result.required_count("input_tokens")?;
    let read = result.count("input_cached_tokens")?.unwrap_or(0);
    let written = result.count("input_cache_write_tokens")?.unwrap_or(0);
    let output = result.required_count("output_tokens")?;
    let usage = TokenUsage::from_inclusive(input, read, written, output, 0)
        .map_err(|error| error.at(result.named("input_tokens")))?;
    let is_batch = result.flag("batch")? == Some(true);
    let tier = if is_batch { Some("batch".to_owned()) } else { tier(result)? };
    Ok(ProviderLine {
        model: result.words("model")?.as_deref().and_then(as_name),
        service_tier: tier,
        requests: Some(result.required_count("num_model_requests")?),
        input_tokens: Some(usage.input),
        cache_read_tokens: Some(usage.cache_read),
        cache_write_tokens: Some(usage.cache_write),
        llm_tokens_output: Some(output),
        ..ProviderLine::default()
    })
}

fn tier(result: &Object<'_>) -> Result<Option<String>> {
    let tier = result.words("service_tier")?.and_then(|tier| as_name(&tier.to_ascii_lowercase()));
    Ok(tier.map(|tier| if tier == "default" { "standard".to_owned() } else { tier }))
}

fn embeddings(result: &Object<'_>) -> Result<ProviderLine> {
    Ok(ProviderLine {
        model: result.words("model")?.as_deref().and_then(as_name),
        requests: Some(result.required_count("num_model_requests")?),
        embedding_tokens: Some(result.required_count("input_tokens")?),
        ..ProviderLine::default()
    })
}

fn costs(result: &Object<'_>) -> Result<ProviderLine> {
    let amount = result.object("amount")?.ok_or_else(|| result.missing("amount"))?;
    amount.dollars("currency")?;
    let billed =
        Usd::from_export(&amount.number("value")?, 0).map_err(|error| error.at(amount.named("value")))?;
    Ok(ProviderLine {
        line_item: result.words("line_item")?.as_deref().and_then(as_name),
        billed: Some(billed),
        ..ProviderLine::default()
    })
}
