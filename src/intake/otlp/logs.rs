//! Log events that report calls, of emitters that have no spans for them.
//!
//! | event | of | |
//! |---|---|---|
//! | `codex.sse_event` of kind `response.completed` | Codex | input with the cache, output with reasoning |
//! | `claude_code.api_request`, `claude_code.api_error` | Claude Code | input without the cache |
//! | `gemini_cli.api_response`, `gemini_cli.api_error` | Gemini CLI | input with the cache, thoughts beside the output |
//! | any other with `gen_ai.usage.…` | OpenTelemetry's events | as on spans; another report of the span it is in |
//!
//! An event is taken as a span without a length, whose id is made of what it says: sent again, it is the same.

use super::attributes::{Attributes, MODEL};
use super::proto::{LogRecord, Value};
use super::{How, report};
use crate::domain::{Digest, MAX_COUNT, Report, Span, SpanId, Timestamp, TokenUsage, as_name};
use crate::error::{Error, Result};

/// Reads an event; none if it reports no call.
pub(super) fn read(
    record: &LogRecord,
    scope: &str,
    resource: &Attributes<'_>,
    how: How,
    unknown_usage: &mut u64,
) -> Result<Option<Span>> {
    let attributes = Attributes::new(&record.attributes);
    let body = match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let named = Some(record.event_name.as_str()).filter(|name| !name.is_empty());
    let named = named.or_else(|| attributes.text(&["event.name"]));
    let name = named.unwrap_or(body);
    let (mut is_error, mut is_emitters_own) = (false, true);
    let report = match name.rsplit('.').next().unwrap_or_default() {
        "sse_event" if is_of("codex", name, scope) => {
            if attributes.text(&["event.kind"]) != Some("response.completed") {
                return Ok(None);
            }
            codex(&attributes)
        }
        "api_request" if is_of("claude_code", name, scope) => claude_code(&attributes),
        "api_error" if is_of("claude_code", name, scope) => {
            is_error = true;
            failed(&attributes, "anthropic")
        }
        "api_response" if is_of("gemini_cli", name, scope) => gemini(&attributes),
        "api_error" if is_of("gemini_cli", name, scope) => {
            is_error = true;
            failed(&attributes, "google")
        }
        _ => match report::of_span(&attributes, name, scope, unknown_usage) {
            Some(report) if report.usage.is_some() => {
                is_emitters_own = false;
                Ok(report)
            }
            _ => return Ok(None),
        },
    };
    let report = report.unwrap_or_else(|_| {
        *unknown_usage += 1;
        Report { model: model(&attributes), operation: "chat".to_owned(), ..Report::default() }
    });
    let mut span = span(record, (name, scope, is_error), (&attributes, resource), report)?;
    if !is_emitters_own && named.is_none() {
        // A body may be any text: it is looked at, and not kept.
        span.name.clear();
    }
    if let Some(report) = &mut span.report {
        report.prompt = how.texts_of(report, &record.attributes, &[]);
    }
    Ok(Some(span))
}

/// What an event's id is made of: all that a report said when ids were first made that way, so that they stay.
fn told(report: &Report) -> String {
    #[derive(Debug)]
    #[expect(dead_code, reason = "it is written by Debug")]
    struct Report<'r> {
        provider: &'r str,
        model: &'r str,
        asked_model: &'r str,
        operation: &'r str,
        service_tier: &'r str,
        response_id: Option<&'r str>,
        usage: Option<TokenUsage>,
        is_outer: bool,
    }
    let told = Report {
        provider: &report.provider,
        model: &report.model,
        asked_model: &report.asked_model,
        operation: &report.operation,
        service_tier: &report.service_tier,
        response_id: report.response_id.as_deref(),
        usage: report.usage,
        is_outer: report.is_outer,
    };
    format!("{told:?}")
}

/// Names have their emitter before a dot, or the scope says it.
fn is_of(emitter: &str, name: &str, scope: &str) -> bool {
    name.strip_prefix(emitter).is_some_and(|rest| rest.starts_with('.'))
        || scope.replace(['-', '.'], "_").contains(emitter)
}

fn span(
    record: &LogRecord,
    (name, scope, is_error): (&str, &str, bool),
    (attributes, resource): (&Attributes<'_>, &Attributes<'_>),
    report: Report,
) -> Result<Span> {
    let nanos =
        if record.time_unix_nano > 0 { record.time_unix_nano } else { record.observed_time_unix_nano };
    if nanos == 0 {
        return Err(Error::input("the log record has no time"));
    }
    let at = super::time(nanos);
    let parent_id = super::span_id(&record.span_id);
    let conversation =
        attributes.text(super::attributes::CONVERSATION).or_else(|| attributes.text(&["conversation.id"]));
    let trace_id = super::trace_id(&record.trace_id).unwrap_or_else(|| {
        // A conversation is a trace of its own; what has none is a call on its own.
        let own = nanos.to_string();
        crate::domain::RunId::derived(&["otel-log", scope, conversation.unwrap_or(&own)]).0
    });
    let request = attributes.text(&["request_id"]).unwrap_or_default();
    let said = format!("{trace_id}\n{nanos}\n{name}\n{request}\n{}", told(&report));
    let digest = Digest::of(&said).0;
    let (id, _) = digest.split_first_chunk().ok_or_else(|| Error::input("no digest"))?;
    let length = attributes.count("duration_ms").filter(|ms| *ms < 86_400_000).unwrap_or(0);
    let length = i64::try_from(length).unwrap_or(0);
    let read = Span {
        trace_id,
        span_id: SpanId(*id),
        parent_id,
        started_at: Timestamp::from_micros(at.micros() - length * 1000),
        ended_at: at,
        name: as_name(name).unwrap_or_default(),
        scope: as_name(scope).unwrap_or_default(),
        is_error,
        pipeline: None,
        agent: report::agent(attributes, name),
        conversation: None,
        run_id: None,
        step_id: None,
        prompt_version: None,
        report: Some(report),
    };
    let placed = super::with_place(read, attributes, resource);
    Ok(Span { conversation: placed.conversation.or_else(|| conversation.and_then(as_name)), ..placed })
}

fn model(attributes: &Attributes<'_>) -> String {
    attributes
        .text(&["model", "slug"])
        .or_else(|| attributes.text(MODEL))
        .and_then(as_name)
        .unwrap_or_default()
}

fn count(attributes: &Attributes<'_>, key: &str) -> Result<u64> {
    if !attributes.has(key) {
        return Ok(0);
    }
    attributes
        .count(key)
        .filter(|count| *count <= MAX_COUNT)
        .ok_or_else(|| Error::input(format!("`{key}` is no count")))
}

fn report(attributes: &Attributes<'_>, provider: &str, usage: Option<TokenUsage>) -> Report {
    Report {
        provider: provider.to_owned(),
        model: model(attributes),
        operation: "chat".to_owned(),
        response_id: attributes.text(&["response_id", "gen_ai.response.id"]).and_then(as_name),
        usage,
        ..Report::default()
    }
}

fn codex(attributes: &Attributes<'_>) -> Result<Report> {
    if !attributes.has("input_token_count") {
        return Ok(report(attributes, "openai", None));
    }
    let usage = TokenUsage::from_inclusive(
        count(attributes, "input_token_count")?,
        count(attributes, "cached_token_count")?,
        0,
        count(attributes, "output_token_count")?,
        count(attributes, "reasoning_token_count")?,
    )?;
    Ok(report(attributes, "openai", Some(usage)))
}

fn claude_code(attributes: &Attributes<'_>) -> Result<Report> {
    let usage = TokenUsage {
        input: count(attributes, "input_tokens")?,
        cache_read: count(attributes, "cache_read_tokens")?,
        cache_write: count(attributes, "cache_creation_tokens")?,
        output: count(attributes, "output_tokens")?,
        ..TokenUsage::default()
    };
    Ok(report(attributes, "anthropic", Some(usage)))
}

fn gemini(attributes: &Attributes<'_>) -> Result<Report> {
    let input = count(attributes, "input_token_count")?;
    let cached = count(attributes, "cached_content_token_count")?;
    let usage = TokenUsage {
        input: input
            .checked_sub(cached)
            .ok_or_else(|| Error::input("`cached_content_token_count` is more than `input_token_count`"))?,
        cache_read: cached,
        output: count(attributes, "output_token_count")?,
        reasoning: count(attributes, "thoughts_token_count")?,
        ..TokenUsage::default()
    };
    Ok(report(attributes, "google", Some(usage)))
}

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn failed(attributes: &Attributes<'_>, provider: &str) -> Result<Report> {
    Ok(report(attributes, provider, None))
}
