//! One line of a rollout. Most lines are large and say nothing about usage; those are passed over after a search for
//! four words, without parsing.

use crate::domain::{Timestamp, TokenUsage, required_name};
use crate::error::{Error, Result, without_value};
use memchr::memmem::Finder;
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What a line holds.
pub(super) enum Read<'a> {
    /// Nothing about usage.
    Nothing,
    /// What the session is.
    Session(Box<Session<'a>>),
    /// The model of the responses that follow.
    Model(Cow<'a, str>),
    /// A response.
    Record {
        at: Timestamp,
        /// The thread it belongs to, if it says so.
        thread: Option<Cow<'a, str>>,
        response_id: Cow<'a, str>,
        tokens: Tokens,
    },
    /// The totals so far, and what the last response used.
    Count { at: Timestamp, total: Tokens, last: Option<Tokens> },
}

/// What the first line says; a fork's second one is its parent's.
#[derive(Deserialize)]
pub(super) struct Session<'a> {
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The time of the line.
    #[serde(skip)]
    pub at: Option<Timestamp>,
    #[serde(borrow)]
    pub forked_from_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub parent_thread_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub cwd: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub model_provider: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub thread_source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub agent_role: Option<Cow<'a, str>>,
}

/// Counts as Codex tells them: the cache lies inside input, reasoning inside output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names in the log")]
pub(super) struct Tokens {
    input_tokens: u64,
    #[serde(default)]
    cached_input_tokens: u64,
    #[serde(default)]
    cache_write_input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    reasoning_output_tokens: u64,
}

impl Tokens {
    /// All five, as a part of an id.
    pub(super) fn key(&self) -> String {
        let Self { input_tokens, cached_input_tokens, cache_write_input_tokens, .. } = self;
        let Self { output_tokens, reasoning_output_tokens, .. } = self;
        format!(
            "{input_tokens}/{cached_input_tokens}/{cache_write_input_tokens}/{output_tokens}/{reasoning_output_tokens}"
        )
    }

    /// What was added since `earlier`; none if something became less.
    pub(super) fn since(&self, earlier: Option<&Tokens>) -> Option<Tokens> {
        let Some(earlier) = earlier else { return Some(*self) };
        Some(Tokens {
            input_tokens: self.input_tokens.checked_sub(earlier.input_tokens)?,
            cached_input_tokens: self.cached_input_tokens.checked_sub(earlier.cached_input_tokens)?,
            cache_write_input_tokens: self
                .cache_write_input_tokens
                .checked_sub(earlier.cache_write_input_tokens)?,
            output_tokens: self.output_tokens.checked_sub(earlier.output_tokens)?,
            reasoning_output_tokens: self
                .reasoning_output_tokens
                .checked_sub(earlier.reasoning_output_tokens)?,
        })
    }

    /// In the ledger's kinds, which do not overlap.
    pub(super) fn usage(&self) -> Result<TokenUsage> {
        let parts = self.cached_input_tokens.checked_add(self.cache_write_input_tokens);
        let input = parts.and_then(|parts| self.input_tokens.checked_sub(parts)).ok_or_else(|| {
            Error::input(format!(
                "`cached_input_tokens` {} and `cache_write_input_tokens` {} are more than `input_tokens` {}",
                self.cached_input_tokens, self.cache_write_input_tokens, self.input_tokens
            ))
        })?;
        if self.reasoning_output_tokens > self.output_tokens {
            return Err(Error::input(format!(
                "`reasoning_output_tokens` {} are more than `output_tokens` {}",
                self.reasoning_output_tokens, self.output_tokens
            )));
        }
        let usage = TokenUsage {
            input,
            cache_read: self.cached_input_tokens,
            cache_write: self.cache_write_input_tokens,
            output: self.output_tokens - self.reasoning_output_tokens,
            reasoning: self.reasoning_output_tokens,
            ..TokenUsage::default()
        };
        usage.check()?;
        Ok(usage)
    }
}

#[derive(Deserialize)]
struct Tagged<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct TurnContext<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    thread_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response_id: Option<Cow<'a, str>>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    info: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Info {
    total_token_usage: Option<Tokens>,
    last_token_usage: Option<Tokens>,
}

static WORDS: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| {
    ["\"token_count\"", "\"token_usage_record\"", "\"turn_context\"", "\"session_meta\""].map(Finder::new)
});

/// Reads one line.
///
/// Inside a JSON string the words would have escaped quotes, so a prompt that talks about them does not match.
pub(super) fn read(text: &str, now: Timestamp) -> Result<Read<'_>> {
    let trimmed = text.trim_end();
    if trimmed.is_empty() {
        return Ok(Read::Nothing);
    }
    if !(trimmed.starts_with('{') && trimmed.ends_with('}')) {
        return Err(Error::input("the line is cut off: it is not a whole JSON object"));
    }
    if WORDS.iter().all(|word| word.find(trimmed.as_bytes()).is_none()) {
        return Ok(Read::Nothing);
    }
    let tagged: Tagged<'_> = parse("", trimmed)?;
    let (Some(kind), Some(payload)) = (tagged.kind.as_deref(), tagged.payload) else {
        return Ok(Read::Nothing);
    };
    let at = || -> Result<Timestamp> {
        let at: Timestamp = tagged.timestamp.as_deref().ok_or_else(|| missing("timestamp"))?.parse()?;
        at.check("timestamp", now)?;
        Ok(at)
    };
    match kind {
        "session_meta" => {
            let mut session: Session<'_> = parse("payload: ", payload.get())?;
            required_name("payload.id", &session.id)?;
            session.at = Some(at()?);
            Ok(Read::Session(Box::new(session)))
        }
        "turn_context" => {
            let context: TurnContext<'_> = parse("payload: ", payload.get())?;
            let Some(model) = context.model else { return Ok(Read::Nothing) };
            required_name("payload.model", &model)?;
            Ok(Read::Model(model))
        }
        "token_usage_record" => {
            let record: Record<'_> = parse("payload: ", payload.get())?;
            let response_id = record.response_id.ok_or_else(|| missing("payload.response_id"))?;
            required_name("payload.response_id", &response_id)?;
            if let Some(thread) = &record.thread_id {
                required_name("payload.thread_id", thread)?;
            }
            let tokens = record.usage.ok_or_else(|| missing("payload.usage"))?;
            Ok(Read::Record { at: at()?, thread: record.thread_id, response_id, tokens })
        }
        "event_msg" => count(payload.get(), at),
        _ => Ok(Read::Nothing),
    }
}

fn count(payload: &str, at: impl Fn() -> Result<Timestamp>) -> Result<Read<'_>> {
    let message: Message<'_> = parse("payload: ", payload)?;
    // Without `info` it tells of rate limits alone.
    let (Some("token_count"), Some(info)) = (message.kind.as_deref(), message.info) else {
        return Ok(Read::Nothing);
    };
    let info: Info = parse("payload.info: ", info.get())?;
    match info.total_token_usage {
        Some(total) => Ok(Read::Count { at: at()?, total, last: info.last_token_usage }),
        None => Ok(Read::Nothing),
    }
}

fn missing(key: &str) -> Error {
    Error::input(format!("key `{key}` is missing"))
}

fn parse<'a, T: Deserialize<'a>>(place: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let whole = without_value(&error.to_string());
        let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
        Error::input(format!("{place}{message}"))
    })
}
