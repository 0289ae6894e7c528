//! An OpenAI-compatible endpoint: one request, tried until it is answered or there is no point.

use crate::cli::context::say;
use crate::domain::{TokenUsage, required_name};
use crate::error::{Error, Result};
use crate::guard::mask;
use serde_json::Value;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{StatusCode, Uri};
use uuid::Uuid;

/// The largest response taken, in bytes.
const MAX_RESPONSE: u64 = 16 << 20;
/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// How much of a refusal is repeated, in characters.
const QUOTED: usize = 300;

/// Where prompts are sent.
pub(super) struct Endpoint {
    agent: Agent,
    url: String,
    key: Option<String>,
    retries: u32,
}

/// `text` without the key: some endpoints repeat it.
fn hidden(text: &str, key: Option<&str>) -> String {
    mask(&key.map_or_else(|| text.to_owned(), |key| text.replace(key, "[key]")))
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub model: Option<String>,
    pub response_id: Option<String>,
    /// None when the endpoint did not say, or said what does not add up.
    pub usage: Option<TokenUsage>,
    /// Of the try that was answered, in milliseconds.
    pub latency_ms: u64,
}

/// How one try ended.
enum Tried {
    Answered(Answer),
    /// Another try may fare better, after this long if the endpoint says so.
    Later(Error, Option<Duration>),
    Refused(Error),
}

impl Endpoint {
    /// The endpoint under `base_url`, as `https://api.openai.com/v1`.
    ///
    /// # Errors
    /// Of kind `Usage` for what is no URL, or a key that would cross a network in the clear.
    pub fn new(base_url: &str, key: Option<String>, timeout: Duration, retries: u32) -> Result<Self> {
        let url = format!("{}/chat/completions", base_url.trim_end_matches('/'));
        let wrong = |what: &str| {
            Error::usage(format!("--base-url {what}"))
                .hint("write the address before /chat/completions, such as http://127.0.0.1:8080/v1")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("has a user in it; a key comes from the environment only"));
        }
        if uri.query().is_some() || base_url.contains('#') {
            return Err(wrong("has a query, and /chat/completions would come after it"));
        }
        let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_here = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if key.is_none() || is_here => {}
            Some("http") => {
                return Err(Error::usage(format!("the API key would go to `{host}` unencrypted"))
                    .hint("use https://, or unset the key's variable if the endpoint needs none"));
            }
            _ => return Err(wrong("starts with neither http:// nor https://")),
        }
        // Redirects are not followed: the key is for this host.
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("asmm/", env!("CARGO_PKG_VERSION")));
        if is_here {
            // What is for this machine is not for the environment's proxy, in the clear and with the key.
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().into(), url, key, retries })
    }

    /// Sends a chat request, again after a failure that may pass.
    ///
    /// # Errors
    /// The last failure, when there is no point in trying again. The key is in no message.
    pub async fn send(&self, request: &Value) -> Result<Answer> {
        let body = request.to_string();
        let mut tried = 0;
        loop {
            let (error, asked) = match self.try_once(body.clone()).await? {
                Tried::Answered(answer) => return Ok(answer),
                Tried::Refused(error) => return Err(error),
                Tried::Later(error, asked) => (error, asked),
            };
            if tried >= self.retries {
                return Err(error);
            }
            let wait = asked.unwrap_or_else(|| backoff(tried)).min(MAX_WAIT);
            say(&format!("{error}; trying again in {:.1} s", wait.as_secs_f32()));
            tokio::time::sleep(wait).await;
            tried += 1;
        }
    }

    /// On a thread of its own, so that nobody waits for it who has given up.
    async fn try_once(&self, body: String) -> Result<Tried> {
        let (agent, url, key) = (self.agent.clone(), self.url.clone(), self.key.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            // Whoever asked may be gone.
            let _ = sender.send(exchange(&agent, &url, key.as_deref(), &body));
        });
        receiver.await.map_err(|_| Error::database("the thread that sends the request failed"))
    }
}

/// Half a second, doubled with each try, and up to as much again, so that many do not come back at once.
fn backoff(tried: u32) -> Duration {
    let base = Duration::from_millis(500).saturating_mul(1 << tried.min(10));
    let jitter = u32::from(Uuid::now_v7().as_bytes()[15]);
    base + base / 256 * jitter
}

fn exchange(agent: &Agent, url: &str, key: Option<&str>, body: &str) -> Tried {
    let started = Instant::now();
    let mut request = agent.post(url).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let mut response = match request.send(body) {
        Ok(response) => response,
        Err(error) => return failed(url, &error),
    };
    let status = response.status();
    let wait = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let read = response.body_mut().with_config().limit(MAX_RESPONSE).read_to_vec();
    let latency_ms = started.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => return failed(url, &error),
    };
    if status.is_success() {
        return match answer(&bytes, latency_ms, key) {
            Ok(answer) => Tried::Answered(answer),
            Err(error) => Tried::Refused(error.at(format_args!("`{url}`"))),
        };
    }
    let error = refusal(url, status, &bytes, key);
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        Tried::Later(error, wait.map(Duration::from_secs))
    } else {
        Tried::Refused(error)
    }
}

fn failed(url: &str, error: &ureq::Error) -> Tried {
    let said = Error::new(crate::ErrorKind::Io, format!("`{url}`: {error}"))
        .hint("is the endpoint up? --timeout and --retries say how long to try");
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::BodyExceedsLimit(_) => {
            Tried::Refused(said)
        }
        _ => Tried::Later(said, None),
    }
}

/// What a refusal says, cut, and without the key.
fn refusal(url: &str, status: StatusCode, bytes: &[u8], key: Option<&str>) -> Error {
    let text = String::from_utf8_lossy(bytes);
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|body| body.pointer("/error/message").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_else(|| text.into_owned());
    let message = hidden(&message, key);
    let quoted: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(QUOTED).collect();
    let error = Error::new(crate::ErrorKind::Io, format!("`{url}` answered {status}: {quoted}"));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            error.hint("is the API key in the environment? --api-key-env names its variable")
        }
        StatusCode::NOT_FOUND => error.hint("--base-url is the address before /chat/completions"),
        _ => error,
    }
}

fn answer(bytes: &[u8], latency_ms: u64, key: Option<&str>) -> Result<Answer> {
    let body: Value =
        serde_json::from_slice(bytes).map_err(|e| Error::input(format!("the answer is no JSON: {e}")))?;
    if !body.get("choices").is_some_and(Value::is_array) {
        return Err(Error::input("the answer is no chat completion: it has no `choices`"));
    }
    let named = |field: &str| {
        let name = hidden(body.get(field).and_then(Value::as_str)?, key);
        required_name(field, &name).ok().map(|()| name)
    };
    Ok(Answer { model: named("model"), response_id: named("id"), usage: usage(&body), latency_ms })
}

/// The usage, if it is one of an answer: without a completion's count it may be of an embedding, which this is not.
fn usage(body: &Value) -> Option<TokenUsage> {
    let usage = body.get("usage")?;
    for whole in ["prompt_tokens", "completion_tokens"] {
        usage.get(whole).filter(|count| !count.is_null())?;
    }
    TokenUsage::from_openai(usage).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gives_disjoint_counts() {
        let body =
            br#"{"id":"chatcmpl-1","model":"gpt-5-mini-2025-08-07","choices":[],"usage":{"prompt_tokens":100,
            "completion_tokens":50,"prompt_tokens_details":{"cached_tokens":30},
            "completion_tokens_details":{"reasoning_tokens":20}}}"#;
        let answer = answer(body, 7, None).expect("an answer");
        let usage = answer.usage.expect("usage");
        assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (70, 30, 30, 20));
        assert_eq!(answer.response_id.as_deref(), Some("chatcmpl-1"));
    }

    #[test]
    fn usage_that_does_not_add_up_is_unknown() {
        for usage in [
            r#"{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":2}}"#,
            r#"{"prompt_tokens":-1,"completion_tokens":1}"#,
            r#"{"prompt_tokens":1}"#,
            r#"{"prompt_tokens":1,"total_tokens":1}"#,
            r#"{"prompt_tokens":1,"completion_tokens":1,"completion_tokens_details":{"audio_tokens":1}}"#,
            "null",
        ] {
            let body = format!(r#"{{"choices":[],"usage":{usage}}}"#);
            assert_eq!(answer(body.as_bytes(), 0, None).expect("an answer").usage, None, "{usage}");
        }
    }

    #[test]
    fn a_key_does_not_cross_a_network_in_the_clear() {
        let key = || Some("k".to_owned());
        let second = Duration::from_secs(1);
        for url in ["http://example.com/v1", "http://10.0.0.1/v1", "ftp://x/v1", "not a url"] {
            assert!(Endpoint::new(url, key(), second, 0).is_err(), "{url}");
        }
        for url in
            ["https://example.com/v1", "http://127.0.0.1:1/v1", "http://localhost/v1", "http://[::1]:1/v1"]
        {
            assert!(Endpoint::new(url, key(), second, 0).is_ok(), "{url}");
        }
        assert!(Endpoint::new("http://10.0.0.1/v1", None, second, 0).is_ok());
        for url in ["https://me:password@example.com/v1", "https://example.com/v1?code=password"] {
            let error = Endpoint::new(url, None, second, 0).err().expect("refused");
            assert!(!error.to_string().contains("password"), "{error}");
        }
    }
}
