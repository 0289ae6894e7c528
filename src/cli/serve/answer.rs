//! Answers in the words of OTLP: <https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>.

use crate::intake::otlp::{Encoding, Signal};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use prost::Message;
use serde_json::json;

/// `ExportTraceServiceResponse`, and that of logs, which has the same shape.
#[derive(Clone, PartialEq, Message)]
struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Everything was taken, but what is said to be refused.
pub(super) fn taken(
    encoding: Encoding,
    signal: Signal,
    refused: u64,
    reason: Option<&str>,
) -> Response<Body> {
    let reason = reason.unwrap_or_default();
    match encoding {
        Encoding::Protobuf => {
            let partial_success = (refused > 0).then(|| Partial {
                rejected: i64::try_from(refused).unwrap_or(i64::MAX),
                error_message: reason.to_owned(),
            });
            answer(StatusCode::OK, encoding, Exported { partial_success }.encode_to_vec())
        }
        Encoding::Json => {
            let rejected = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
            };
            let body = match refused {
                0 => json!({}),
                _ => json!({"partialSuccess": {rejected: refused.to_string(), "errorMessage": reason}}),
            };
            answer(StatusCode::OK, encoding, body.to_string().into_bytes())
        }
    }
}

/// The request was not taken.
pub(super) fn refused(encoding: Encoding, status: StatusCode, message: &str) -> Response<Body> {
    let body = match encoding {
        Encoding::Protobuf => Status { code: 0, message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json!({"message": message}).to_string().into_bytes(),
    };
    let mut response = answer(status, encoding, body);
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn answer(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response<Body> {
    let kind = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    with(status, kind, body)
}

/// A line for people.
pub(super) fn line(status: StatusCode, text: &str) -> Response<Body> {
    with(status, "text/plain; charset=utf-8", format!("{text}\n").into_bytes())
}

/// For Prometheus.
pub(super) fn metrics(text: String) -> Response<Body> {
    with(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into_bytes())
}

fn with(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
