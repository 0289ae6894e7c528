//! Services that take over the run and step which a request belongs to.

use super::Recorder;
use super::context::Context;
use super::headers::Carrier;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task;
use tokio::task::futures::TaskLocalFuture;
use tower_layer::Layer;
use tower_service::Service;

/// Header maps of the `http` crate, so that a request hands on a context with [`Context::inject`] and takes it over
/// with [`Recorder::extract`]. A value that is no UTF-8 counts as absent, and one that is no header text is not set.
///
/// ```
/// use asmm::recorder::{Recorder, Settings};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut settings = Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
///
/// let recorder = Recorder::connect(settings);
/// let run = recorder.run("enrichment").start();
/// let mut request = http::Request::get("http://search.internal/").body(()).unwrap();
/// run.inject(request.headers_mut());
///
/// let there = recorder.extract(request.headers()).unwrap();
/// assert_eq!(there.run_id(), run.run_id());
/// ```
impl Carrier for HeaderMap {
    fn get(&self, name: &str) -> Option<String> {
        // A list may be spread over several headers of one name.
        let values = self.get_all(name).iter().filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        values.map(str::to_owned).reduce(|list, value| list + "," + &value)
    }

    fn set(&mut self, name: &'static str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.insert(name, value);
        }
    }
}

/// A layer for HTTP services, of axum, tonic, hyper or tower: what handlers do for a request that carries a [`Context`]
/// belongs to its run and step. They find it with [`Context::current`]. A request without one passes through untouched.
///
/// Costs one look at two headers a request, and no allocation for one that has neither.
///
/// # Trust
/// A request says which run it belongs to, and whoever may send one can name any run and have calls booked on it. Use
/// the layer behind your own edge only, and let the edge remove `baggage` and `traceparent` from what comes from outside.
///
/// # What it reaches
/// The service's `call` and the future that it answers. Not the body of a response that is streamed after that, and not
/// tasks that a handler starts with `tokio::spawn`: for those there are [`super::in_current`] and [`super::spawn`].
///
/// ```
/// use asmm::domain::TokenUsage;
/// use asmm::recorder::{Context, Recorder, RecorderLayer, Settings};
/// use axum::{Router, routing::get};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut settings = Settings::new(format!("sqlite:{}", folder.path().join("ledger.db").display()), "asmm");
/// # settings.spool_home = Some(folder.path().join("spool"));
///
/// async fn search() -> &'static str {
///     if let Some(context) = Context::current() {
///         let usage = TokenUsage { input: 1000, output: 10, ..TokenUsage::default() };
///         context.call("openai", "gpt-4o").usage(usage).record();
///     }
///     "found"
/// }
///
/// let recorder = Recorder::connect(settings);
/// let service: Router = Router::new().route("/search", get(search)).layer(RecorderLayer::new(recorder));
/// ```
#[derive(Debug, Clone)]
pub struct RecorderLayer {
    recorder: Recorder,
}

impl RecorderLayer {
    /// A layer whose services record with `recorder`.
    #[must_use]
    pub fn new(recorder: Recorder) -> Self {
        Self { recorder }
    }
}

impl<S> Layer<S> for RecorderLayer {
    type Service = RecorderService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecorderService { inner, recorder: self.recorder.clone() }
    }
}

/// What [`RecorderLayer`] makes of a service.
#[derive(Debug, Clone)]
pub struct RecorderService<S> {
    inner: S,
    recorder: Recorder,
}

impl<S, B> Service<http::Request<B>> for RecorderService<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> task::Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let state = match self.recorder.extract(request.headers()) {
            Some(context) => {
                // What the service does before it answers its future belongs there as well.
                let future = context.enter(|| self.inner.call(request));
                State::Within { future: context.scoped(future) }
            }
            None => State::Without { future: self.inner.call(request) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of a [`RecorderService`]: the service's own, in the request's context.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F> {
        Within {
            #[pin]
            future: TaskLocalFuture<Context, F>,
        },
        Without {
            #[pin]
            future: F,
        },
    }
}

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        match self.project().state.project() {
            Projected::Within { future } => future.poll(cx),
            Projected::Without { future } => future.poll(cx),
        }
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_list_over_several_headers_is_one() {
        let headers = headers(&[("baggage", b"a=1"), ("baggage", b"b=2"), ("baggage", b"\xff=3")]);
        assert_eq!(Carrier::get(&headers, "baggage").as_deref(), Some("a=1,b=2"));
        assert_eq!(Carrier::get(&headers, "traceparent"), None);
        assert_eq!(Carrier::get(&headers, "no header\n"), None);
    }

    #[test]
    fn what_is_no_header_text_is_skipped() {
        let mut headers = headers(&[("baggage", b"a=1"), ("baggage", b"b=2")]);
        for (name, value) in [("baggage", "a\nb"), ("Not a name", "x"), ("", "x")] {
            headers.set(name, value.to_owned());
        }
        assert_eq!(Carrier::get(&headers, "baggage").as_deref(), Some("a=1,b=2"));
        headers.set("Baggage", "c=3".to_owned());
        assert_eq!((headers.len(), headers["baggage"].as_bytes()), (1, &b"c=3"[..]));
    }
}
