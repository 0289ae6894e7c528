//! One line of a log. Most lines are large and say nothing about usage; those are passed over after a
//! search for two words, without parsing.

use crate::domain::{MAX_COUNT, Timestamp, TokenUsage, required_name};
use crate::error::{Error, Result, without_value};
use memchr::memmem::Finder;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What a line holds.
#[expect(clippy::large_enum_variant, reason = "made and used up line by line; a box would cost more")]
pub(super) enum Read<'a> {
    /// Nothing about usage.
    Nothing,
    /// A message that the program wrote in the model's name.
    Synthetic,
    /// What a response used, so far.
    Usage(Usage<'a>),
}

/// What one line says about a response.
pub(super) struct Usage<'a> {
    pub message_id: Cow<'a, str>,
    pub request_id: Cow<'a, str>,
    pub session: Cow<'a, str>,
    pub agent: Cow<'a, str>,
    pub model: Cow<'a, str>,
    pub service_tier: Cow<'a, str>,
    pub is_sidechain: bool,
    pub at: Timestamp,
    pub tokens: TokenUsage,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
    #[serde(borrow)]
    request_id: Option<Text<'a>>,
    #[serde(borrow)]
    agent_id: Option<Text<'a>>,
    is_sidechain: Option<bool>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    usage: Option<Tokens<'a>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names in the log")]
struct Tokens<'a> {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    server_tool_use: Option<ServerToolUse>,
    #[serde(borrow)]
    service_tier: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct CacheCreation {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct ServerToolUse {
    web_search_requests: Option<u64>,
}

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
static ASSISTANT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"assistant\""));

/// Reads one line of the file named `stem`.
///
/// Inside a JSON string the two words would have escaped quotes, so a prompt that talks about them does
/// not match.
pub(super) fn read<'a>(text: &'a str, stem: &'a str, now: Timestamp) -> Result<Read<'a>> {
    let trimmed = text.trim_end();
    if trimmed.is_empty() {
        return Ok(Read::Nothing);
    }
    if !(trimmed.starts_with('{') && trimmed.ends_with('}')) {
        return Err(Error::input("the line is cut off: it is not a whole JSON object"));
    }
    if USAGE.find(trimmed.as_bytes()).is_none() || ASSISTANT.find(trimmed.as_bytes()).is_none() {
        return Ok(Read::Nothing);
    }
    let logged: Logged<'a> = match serde_json::from_str(trimmed) {
        Ok(logged) => logged,
        Err(error) => return unreadable(&error, trimmed),
    };
    usage(logged, stem, now)
}

/// A line of another type may have anything under these keys; only an assistant's line must be right.
fn unreadable<'a>(error: &serde_json::Error, text: &str) -> Result<Read<'a>> {
    let tagged: Option<Tagged<'_>> = serde_json::from_str(text).ok();
    if tagged.is_some_and(|tagged| tagged.kind.is_none_or(|kind| kind.0 != "assistant")) {
        return Ok(Read::Nothing);
    }
    let whole = without_value(&error.to_string());
    let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
    Err(Error::input(format!("column {}: {message}", error.column())))
}

fn usage<'a>(logged: Logged<'a>, stem: &'a str, now: Timestamp) -> Result<Read<'a>> {
    let is_assistant = logged.kind.is_some_and(|kind| kind.0 == "assistant");
    let Some((true, message)) = logged.message.map(|message| (is_assistant, message)) else {
        return Ok(Read::Nothing);
    };
    let Some(tokens) = message.usage else { return Ok(Read::Nothing) };
    let missing = |key: &str| Error::input(format!("key `{key}` is missing"));
    let model = message.model.ok_or_else(|| missing("message.model"))?.0;
    if model == "<synthetic>" {
        return Ok(Read::Synthetic);
    }
    required_name("message.model", &model)?;
    let message_id = message.id.ok_or_else(|| missing("message.id"))?.0;
    required_name("message.id", &message_id)?;
    let at: Timestamp = logged.timestamp.ok_or_else(|| missing("timestamp"))?.0.parse()?;
    at.check("timestamp", now)?;
    let is_sidechain = logged.is_sidechain.unwrap_or(false);
    let agent = match (is_sidechain, logged.agent_id) {
        (false, _) => Cow::Borrowed("main"),
        (true, Some(Text(agent))) if !agent.is_empty() => agent,
        (true, _) => Cow::Borrowed(stem.strip_prefix("agent-").unwrap_or("sidechain")),
    };
    required_name("agentId", &agent)?;
    let tier = tokens.service_tier.as_ref().map_or("", |tier| &tier.0).to_owned();
    let service_tier = if tier.is_empty() { Cow::Borrowed("standard") } else { Cow::Owned(tier) };
    required_name("service_tier", &service_tier)?;
    let session = logged.session_id.map_or(Cow::Borrowed(stem), |id| id.0);
    required_name("sessionId", &session)?;
    Ok(Read::Usage(Usage {
        message_id,
        request_id: logged.request_id.map_or(Cow::Borrowed(""), |id| id.0),
        session,
        agent,
        model,
        service_tier,
        is_sidechain,
        at,
        tokens: normal(&tokens)?,
    }))
}

/// Anthropic counts the cache outside of input, and reasoning inside output without saying how much.
fn normal(tokens: &Tokens<'_>) -> Result<TokenUsage> {
    let written = tokens.cache_creation_input_tokens.unwrap_or(0);
    let split = tokens.cache_creation.as_ref().map(|split| {
        (split.ephemeral_5m_input_tokens.unwrap_or(0), split.ephemeral_1h_input_tokens.unwrap_or(0))
    });
    // A split that is there but empty says nothing about tokens that were written.
    let (short, long) = split.filter(|&(short, long)| short > 0 || long > 0).unwrap_or((written, 0));
    let usage = TokenUsage {
        input: tokens.input_tokens.unwrap_or(0),
        cache_read: tokens.cache_read_input_tokens.unwrap_or(0),
        cache_write: short,
        cache_write_long: long,
        output: tokens.output_tokens.unwrap_or(0),
        web_searches: tokens
            .server_tool_use
            .as_ref()
            .and_then(|tools| tools.web_search_requests)
            .unwrap_or(0),
        ..TokenUsage::default()
    };
    debug_assert!(u32::try_from(MAX_COUNT).is_ok(), "counts are kept in 32 bits");
    usage.check()?;
    Ok(usage)
}
