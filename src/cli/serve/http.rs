//! What is asked, and what is answered.

use super::answer;
use super::body::{Form, Limits, Outcome, Reading, Refusal};
use super::metrics::{Answered, Metrics};
use super::queue::Job;
use crate::clock::Clock;
use crate::domain::Digest;
use crate::intake::otlp::{Encoding, Signal, Spans};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What answering needs.
pub(super) struct Server {
    jobs: mpsc::Sender<Job>,
    limits: Limits,
    reading: Reading,
    /// Of the token: comparing digests says nothing about how much of it was right.
    token: Option<Digest>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Server {
    pub fn new(
        jobs: mpsc::Sender<Job>,
        (limits, reading): (Limits, Reading),
        token: Option<String>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self { jobs, limits, reading, token: token.map(Digest::of), metrics, clock }
    }

    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        let Some(token) = self.token else { return true };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        given.is_some_and(|given| Digest::of(given) == token)
    }

    /// Takes a request in: the answer comes when its spans are safe.
    async fn take(&self, signal: Signal, request: Request) -> (Encoding, Outcome<Spans>) {
        let form = match Form::of(request.headers()) {
            Ok(form) => form,
            Err(refusal) => {
                self.limits.pass_over(request.into_body()).await;
                return (Encoding::Json, Err(refusal));
            }
        };
        (form.encoding, self.take_in(signal, form, request).await)
    }

    async fn take_in(&self, signal: Signal, form: Form, request: Request) -> Outcome<Spans> {
        let (head, body) = request.into_parts();
        let (body, packed) = self.limits.read(&head.headers, body).await?;
        let (mut read, share) =
            self.limits.unpack(body, (signal, form), &self.reading, self.clock.now()).await?;
        drop(packed);
        self.metrics.read(read.refused, read.unknown_usage);
        let spans = std::mem::take(&mut read.spans);
        if spans.is_empty() {
            return Ok(read);
        }
        let (answer, answered) = oneshot::channel();
        let ending = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending; come again");
        self.jobs.send(Job { spans, share, answer }).await.map_err(|_| ending())?;
        match answered.await {
            Ok(Ok(())) => Ok(read),
            Ok(Err(error)) => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("neither the ledger nor the spool can take it: {error}"),
            )),
            Err(_) => Err(ending()),
        }
    }
}

pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/logs", post(logs))
        .route("/v1/metrics", post(ignored))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(server)
}

async fn traces(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    export(&server, Signal::Traces, request).await
}

async fn logs(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    export(&server, Signal::Logs, request).await
}

async fn export(server: &Server, signal: Signal, request: Request) -> Response<Body> {
    if !server.is_allowed(request.headers()) {
        return forbidden(server, request).await;
    }
    let (encoding, taken) = server.take(signal, request).await;
    match taken {
        Ok(read) => {
            server.metrics.answered(if read.refused > 0 { Answered::Partial } else { Answered::Ok });
            answer::taken(encoding, signal, read.refused, read.reason.as_deref())
        }
        Err(refusal) => {
            let is_later =
                matches!(refusal.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            server.metrics.answered(if is_later { Answered::Later } else { Answered::Refused });
            let mut response = answer::refused(encoding, refusal.status, &refusal.reason);
            // What is left of the body is not waited for.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// Metrics say nothing that spans do not: the exporter is not to complain.
async fn ignored(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    if !server.is_allowed(request.headers()) {
        return forbidden(&server, request).await;
    }
    let (head, body) = request.into_parts();
    let encoding = Form::of(&head.headers).map_or(Encoding::Json, |form| form.encoding);
    match server.limits.read(&head.headers, body).await {
        Ok(_) => answer::taken(encoding, Signal::Traces, 0, None),
        Err(refusal) => answer::refused(encoding, refusal.status, &refusal.reason),
    }
}

async fn forbidden(server: &Server, request: Request) -> Response<Body> {
    server.limits.pass_over(request.into_body()).await;
    server.metrics.answered(Answered::Refused);
    let mut response = answer::line(
        StatusCode::UNAUTHORIZED,
        "the token is missing or wrong: send `Authorization: Bearer TOKEN`",
    );
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn healthy() -> Response<Body> {
    answer::line(StatusCode::OK, "alive")
}

async fn ready(State(server): State<Arc<Server>>) -> Response<Body> {
    if server.jobs.is_closed() {
        return answer::line(StatusCode::SERVICE_UNAVAILABLE, "ending");
    }
    answer::line(StatusCode::OK, "ready")
}

async fn metrics(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    if !server.is_allowed(request.headers()) {
        return forbidden(&server, request).await;
    }
    answer::metrics(server.metrics.text())
}

async fn unknown() -> Response<Body> {
    answer::line(StatusCode::NOT_FOUND, "spans go to /v1/traces, log events to /v1/logs")
}

async fn wrong_method() -> Response<Body> {
    answer::line(StatusCode::METHOD_NOT_ALLOWED, "OTLP is sent with POST")
}
