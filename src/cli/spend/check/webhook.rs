//! Posting JSON to a webhook, once.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;

/// How long a post may take, from looking up the host to the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to post. Whatever of its address may be a secret is never shown: only its scheme, host and port are.
pub(super) struct Webhook {
    agent: Agent,
    url: String,
    shown: String,
}

impl Webhook {
    /// The webhook at `url`.
    ///
    /// # Errors
    /// Of kind `Usage` for what is no address of http or https.
    pub fn new(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::usage(format!("the webhook's address {what}"))
                .hint("--notify and ASMM_NOTIFY_URL take an address such as https://hooks.example.com/…")
        };
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(wrong("starts with neither http:// nor https://"));
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("names no host"))?;
        let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let bare = host.trim_matches(['[', ']']);
        let is_here = bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        // Redirects are not followed: what was found is for this host.
        let mut config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("asmm/", env!("CARGO_PKG_VERSION")));
        if is_here {
            // What is for this machine is not for the environment's proxy.
            config = config.proxy(None);
        }
        let shown = format!("{scheme}://{host}{port}");
        Ok(Self { agent: config.build().into(), url: url.to_owned(), shown })
    }

    /// Posts `body`, which is JSON. What is answered is not read but for its status.
    ///
    /// # Errors
    /// When it cannot be posted, or is not taken.
    pub async fn post(&self, body: String) -> Result<()> {
        let (agent, url) = (self.agent.clone(), self.url.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let request = agent.post(&url).header("content-type", "application/json");
            request.send(body).map(|answer| answer.status())
        });
        let failed = |what: String| Error::new(ErrorKind::Io, format!("the webhook at `{self}` {what}"));
        match sent.await {
            Ok(Ok(status)) if status.is_success() => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("answered {status}: nobody was told"))
                .hint("is the address whole and still valid? its path is not shown, for it may be a secret")),
            Ok(Err(error)) => Err(failed(format!("cannot be reached: {}", reason(&error)))
                .hint("is it up, and may this machine reach it? HTTPS_PROXY names a proxy")),
            Err(_) => Err(failed("was not tried: the thread that posts failed".to_owned())),
        }
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What failed, without the address.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its address cannot be used".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("https://hooks.slack.com/services/T0/B0/secret", "https://hooks.slack.com"),
            ("https://me:secret@example.com/x?key=secret", "https://example.com"),
            ("http://127.0.0.1:8080/secret", "http://127.0.0.1:8080"),
            ("http://[::1]:9/secret", "http://[::1]:9"),
        ] {
            assert_eq!(Webhook::new(url).expect(url).to_string(), shown);
        }
        for url in ["secret", "ftp://secret.example.com/x", "/secret", "http:///secret", "https://a b/secret"]
        {
            let error = Webhook::new(url).err().expect(url);
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
