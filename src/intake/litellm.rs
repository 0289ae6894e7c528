//! What `LiteLLM` logs: rows of its table `LiteLLM_SpendLogs`, and the payloads that its callbacks get
//! (`StandardLoggingPayload`). A call that is in both has one id.
//!
//! Its prompt tokens are with the cache, its completion tokens with reasoning; the details are in `usage_object`. What it
//! answered from its own cache was no call. Texts are not read.

use super::lines::Lines;
use super::{Complaints, records};
use crate::domain::{Call, CallId, Outcome, RunId, Timestamp, TokenUsage, as_name};
use crate::error::{Error, Result, without_value};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Read;

/// The format's part in derived ids.
const FORMAT: &str = "litellm";

/// What was read, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiteLlmSummary {
    /// Rows or payloads.
    pub records: u64,
    /// Those that `LiteLLM` answered from its own cache.
    pub cached: u64,
    /// Records that could not be read, and why.
    pub complaints: Complaints,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, alias = "id")]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    litellm_call_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    trace_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    call_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    custom_llm_provider: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agent_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    team_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(rename = "startTime")]
    start_time: Option<Value>,
    #[serde(rename = "endTime")]
    end_time: Option<Value>,
    cache_hit: Option<Value>,
    /// An object, or one as a string.
    metadata: Option<Value>,
    /// A list, or one as a string.
    request_tags: Option<Value>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Reads records and gives a call for each to `give`, with the line that it begins on; a call starts its run.
///
/// # Errors
/// When the stream cannot be read, or `give` fails.
pub fn read<R: Read>(
    file: &str,
    lines: &mut Lines<R>,
    pipeline: Option<&str>,
    now: Timestamp,
    mut give: impl FnMut(u64, Call) -> Result<()>,
) -> Result<LiteLlmSummary> {
    let mut summary = LiteLlmSummary::default();
    let mut complaints = Complaints::default();
    records::each(file, lines, &mut complaints, |line, object, complaints| {
        summary.records += 1;
        match call(object, pipeline).and_then(|call| match call {
            Some(call) => call.check(now).map(|()| Some(call)),
            None => Ok(None),
        }) {
            Ok(Some(call)) => give(line, call),
            Ok(None) => {
                summary.cached += 1;
                Ok(())
            }
            Err(error) => {
                complaints.add(file, line, error);
                Ok(())
            }
        }
    })?;
    Ok(LiteLlmSummary { complaints, ..summary })
}

/// The call of a record; none if `LiteLLM` answered it from its own cache.
fn call(object: &str, pipeline: Option<&str>) -> Result<Option<Call>> {
    let record: Record<'_> = serde_json::from_str(object).map_err(|error| {
        let whole = without_value(&error.to_string());
        Error::input(whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message).to_owned())
    })?;
    let is_hit = match &record.cache_hit {
        Some(Value::Bool(hit)) => *hit,
        Some(Value::String(hit)) => hit.eq_ignore_ascii_case("true"),
        _ => false,
    };
    if is_hit {
        return Ok(None);
    }
    let metadata = record
        .metadata
        .as_ref()
        .map_or_else(|| Ok(Cow::Owned(Value::Null)), |value| unwrapped("metadata", value))?;
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let given =
        |field: &Option<Cow<'_, str>>| field.as_deref().map(str::to_owned).filter(|text| !text.is_empty());
    let id = given(&record.litellm_call_id).or_else(|| text("litellm_call_id").map(str::to_owned));
    let id = id.or_else(|| given(&record.request_id)).ok_or_else(|| missing("request_id"))?;
    let session = given(&record.session_id).or_else(|| given(&record.trace_id)).unwrap_or_else(|| id.clone());
    let called_at = time("startTime", record.start_time.as_ref())?.ok_or_else(|| missing("startTime"))?;
    let ended_at = time("endTime", record.end_time.as_ref())?;
    let is_failure = record.status.as_deref() == Some("failure");
    let usage = usage(&record, &metadata, is_failure)?;
    let tags = record.request_tags.as_ref().map(|tags| unwrapped("request_tags", tags)).transpose()?;
    let mut tagged =
        tags.as_deref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let agent = given(&record.agent_id)
        .or_else(|| tagged.find_map(|tag| tag.strip_prefix("agent:")).map(str::to_owned));
    let team = text("user_api_key_team_alias").or_else(|| text("user_api_key_alias")).map(str::to_owned);
    let pipeline = pipeline.map(str::to_owned).or(team).or_else(|| given(&record.team_id));
    let name = |text: Option<String>| text.as_deref().and_then(as_name);
    let latency = ended_at.and_then(|end| u64::try_from((end.micros() - called_at.micros()) / 1000).ok());
    Ok(Some(Call {
        // Sessions of two pipelines are two runs.
        run_id: RunId::derived(&[FORMAT, pipeline.as_deref().unwrap_or(FORMAT), &session]),
        call_id: CallId::derived(&[FORMAT, &id]),
        step_id: None,
        agent: name(agent).unwrap_or_default(),
        provider: name(given(&record.custom_llm_provider)).unwrap_or_default(),
        model: name(given(&record.model)).ok_or_else(|| missing("model"))?,
        operation: operation(record.call_type.as_deref().unwrap_or("completion")),
        service_tier: tier(&metadata).unwrap_or_else(|| "standard".to_owned()),
        called_at,
        usage,
        latency_ms: latency,
        outcome: if is_failure { Outcome::Error } else { Outcome::Ok },
        response_id: name(given(&record.request_id)),
        pipeline: Some(name(pipeline).unwrap_or_else(|| FORMAT.to_owned())),
        prompt: None,
    }))
}

fn missing(key: &str) -> Error {
    Error::input(format!("key `{key}` is missing"))
}

/// A value that a row may hold as a string.
fn unwrapped<'v>(key: &str, value: &'v Value) -> Result<Cow<'v, Value>> {
    let Value::String(text) = value else { return Ok(Cow::Borrowed(value)) };
    if text.is_empty() {
        return Ok(Cow::Owned(Value::Null));
    }
    serde_json::from_str(text)
        .map(Cow::Owned)
        .map_err(|_| Error::input(format!("`{key}` is a string that is no JSON")))
}

/// `2026-11-22 18:13:29.700455+00:00`, the same with a `T` or without a zone (UTC), or seconds since 1970.
fn time(key: &str, value: Option<&Value>) -> Result<Option<Timestamp>> {
    let wrong = || Error::input(format!("`{key}` is no time"));
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(seconds)) => {
            // The digits, not their nearest double: microseconds stay what they are.
            let text = seconds.to_string();
            let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
            let part: String = part.chars().chain("000000".chars()).take(6).collect();
            let micros = format!("{whole}{part}").parse().map_err(|_| wrong())?;
            Ok(Some(Timestamp::from_micros(micros)))
        }
        Some(Value::String(text)) => {
            let text = text.trim().replacen(' ', "T", 1);
            let has_zone =
                text.ends_with('Z') || text.get(10..).is_some_and(|rest| rest.contains(['+', '-']));
            let text = if has_zone { text } else { format!("{text}Z") };
            text.parse().map(Some).map_err(|_| wrong())
        }
        Some(_) => Err(wrong()),
    }
}

fn usage(record: &Record<'_>, metadata: &Value, is_failure: bool) -> Result<Option<TokenUsage>> {
    let details = metadata.get("usage_object").filter(|usage| usage.is_object());
    let at = |path: &str| details.and_then(|usage| usage.pointer(path)).and_then(Value::as_u64);
    let input = at("/prompt_tokens").or(record.prompt_tokens);
    let output = at("/completion_tokens").or(record.completion_tokens);
    if input.is_none() && output.is_none() || is_failure && input.unwrap_or(0) + output.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let is_embedding = operation(record.call_type.as_deref().unwrap_or_default()) == "embeddings";
    if is_embedding {
        return Ok(Some(TokenUsage { embedding: input, ..TokenUsage::default() }));
    }
    let read =
        at("/prompt_tokens_details/cached_tokens").or_else(|| at("/cache_read_input_tokens")).unwrap_or(0);
    let written =
        at("/prompt_tokens_details/cache_creation_tokens").or_else(|| at("/cache_creation_input_tokens"));
    let written = written.unwrap_or(0);
    let long =
        at("/prompt_tokens_details/cache_creation_token_details/ephemeral_1h_input_tokens").unwrap_or(0);
    let reasoning = at("/completion_tokens_details/reasoning_tokens").unwrap_or(0);
    let usage = TokenUsage::from_inclusive(input, read, written, output, reasoning)?;
    let short = written.checked_sub(long).ok_or_else(|| {
        Error::input(format!(
            "`ephemeral_1h_input_tokens` {long} is larger than the {written} that it is a part of"
        ))
    })?;
    let searches = at("/prompt_tokens_details/web_search_requests")
        .or_else(|| at("/server_tool_use/web_search_requests"))
        .unwrap_or(0);
    Ok(Some(TokenUsage { cache_write: short, cache_write_long: long, web_searches: searches, ..usage }))
}

/// The operation in the ledger's words; `a…` is the same, asynchronously.
fn operation(call_type: &str) -> String {
    match call_type
        .strip_prefix('a')
        .filter(|rest| ["completion", "embedding", "text_completion", "responses"].contains(rest))
        .unwrap_or(call_type)
    {
        "completion" | "anthropic_messages" | "" => "chat".to_owned(),
        "embedding" => "embeddings".to_owned(),
        other => as_name(other).unwrap_or_else(|| "chat".to_owned()),
    }
}

fn tier(metadata: &Value) -> Option<String> {
    let tier = metadata.pointer("/usage_object/service_tier").and_then(Value::as_str)?.to_ascii_lowercase();
    as_name(&tier).filter(|tier| !matches!(tier.as_str(), "default" | "auto" | "standard"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-30T12:00:00Z".parse().unwrap()
    }

    fn calls(text: &str) -> (Vec<Call>, LiteLlmSummary) {
        let mut calls = Vec::new();
        let mut lines = Lines::new(text.as_bytes()).unwrap();
        let summary = read("f", &mut lines, None, now(), |_, call| {
            calls.push(call);
            Ok(())
        });
        (calls, summary.unwrap())
    }

    #[test]
    fn spend_logs_are_calls() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/imports/litellm_spendlogs.json");
        let (calls, summary) = calls(&std::fs::read_to_string(path).unwrap());
        assert_eq!((summary.records, summary.cached, summary.complaints.total()), (4, 0, 0));
        let usage: Vec<_> = calls.iter().map(|call| (call.model.as_str(), call.usage.unwrap())).collect();
        let small =
            TokenUsage { input: 176, cache_read: 1024, output: 64, reasoning: 16, ..TokenUsage::default() };
        let cached = TokenUsage {
            input: 10,
            cache_read: 50_000,
            cache_write: 1500,
            cache_write_long: 500,
            output: 300,
            ..TokenUsage::default()
        };
        assert_eq!(
            usage,
            [
                ("gpt-4o-mini", small),
                ("claude-sonnet-4-5-20250929", cached),
                ("gpt-4o-mini", small),
                ("text-embedding-3-small", TokenUsage { embedding: 42, ..TokenUsage::default() }),
            ]
        );
        assert_eq!((calls[0].agent.as_str(), calls[0].latency_ms), ("planner", Some(1720)));
        assert_eq!(calls[0].called_at.to_string(), "2026-11-22T18:13:29.700455Z");
        assert_eq!(calls[3].operation, "embeddings");
    }

    #[test]
    fn a_payload_of_a_callback_is_the_same_call() {
        let row = r#"{"request_id":"chatcmpl-1","litellm_call_id":"c-1","call_type":"acompletion","startTime":"2026-11-22 18:13:29.700455","model":"gpt-4o",
            "custom_llm_provider":"openai","session_id":"s","metadata":"{\"usage_object\":{\"prompt_tokens\":5,\"completion_tokens\":2}}"}"#;
        let payload = r#"{"id":"chatcmpl-1","litellm_call_id":"c-1","call_type":"acompletion","startTime":1795371209.700455,"model":"gpt-4o",
            "custom_llm_provider":"openai","trace_id":"s","session_id":"","metadata":{"usage_object":{"prompt_tokens":5,"completion_tokens":2}}}"#;
        let hit = payload.replace("\"trace_id\"", "\"cache_hit\":true,\"trace_id\"");
        let failed = r#"{"id":"c-2","startTime":1795371209,"model":"gpt-4o","status":"failure","prompt_tokens":0,"completion_tokens":0}"#;
        let (calls, summary) = calls(&format!(
            "[{row},{payload},{hit},{failed},{{}},{{\"request_id\":\"x\",\"startTime\":[]}}]"
        ));
        assert_eq!(calls[0], calls[1]);
        assert_eq!((calls.len(), summary.cached), (3, 1));
        assert_eq!((calls[2].outcome, calls[2].usage), (Outcome::Error, None));
        assert_eq!(
            summary.complaints.first(),
            ["f:4: key `request_id` is missing", "f:4: `startTime` is no time"]
        );
    }
}
