//! Results of Anthropic's usage and cost reports: <https://docs.claude.com/en/api/usage-cost-api>.
//!
//! The kinds of input are apart from each other; `output_tokens` is with thinking. Amounts are in cents.

use super::object::Object;
use crate::domain::{ProviderLine, ProviderReport, Usd, as_name};
use crate::error::{Error, Result};

/// What Anthropic's amounts are in: 10^-2 dollars.
const CENTS: i32 = -2;

pub(super) fn line(result: &Object<'_>) -> Result<(ProviderReport, ProviderLine)> {
    let (report, line) = if result.has("amount") {
        (ProviderReport::Costs, costs(result)?)
    } else if result.has("uncached_input_tokens") {
        (ProviderReport::Messages, messages(result)?)
    } else {
        return Err(result
            .whole("has neither `uncached_input_tokens` nor `amount`")
            .hint("the reports of messages and of costs are read"));
    };
    let name = |key: &str| Ok::<_, Error>(result.words(key)?.as_deref().and_then(as_name));
    let (model, service_tier, project) = (name("model")?, name("service_tier")?, name("workspace_id")?);
    Ok((report, ProviderLine { model, service_tier, project, ..line }))
}

fn messages(result: &Object<'_>) -> Result<ProviderLine> {
    let written = result.object("cache_creation")?;
    let written = |key: &str| written.as_ref().map_or(Ok(None), |object| object.count(key));
    let tools = result.object("server_tool_use")?;
    let searches = tools.as_ref().map_or(Ok(None), |object| object.count("web_search_requests"))?;
    Ok(ProviderLine {
        input_tokens: Some(result.required_count("uncached_input_tokens")?),
        cache_read_tokens: Some(result.required_count("cache_read_input_tokens")?),
        cache_write_tokens: Some(written("ephemeral_5m_input_tokens")?.unwrap_or(0)),
        cache_write_long_tokens: Some(written("ephemeral_1h_input_tokens")?.unwrap_or(0)),
        llm_tokens_output: Some(result.required_count("output_tokens")?),
        web_searches: searches,
        ..ProviderLine::default()
    })
}

fn costs(result: &Object<'_>) -> Result<ProviderLine> {
    result.dollars("currency")?;
    let billed = Usd::from_export(&result.number("amount")?, CENTS)
        .map_err(|error| error.at(result.named("amount")))?;
    Ok(ProviderLine {
        line_item: result.words("description")?.as_deref().and_then(as_name),
        billed: Some(billed),
        ..ProviderLine::default()
    })
}
