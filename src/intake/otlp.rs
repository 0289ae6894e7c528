//! OTLP, the protocol of `OpenTelemetry`: spans and log events that report calls to models.
//!
//! A body becomes [`Span`]s, one by one and without any state: which of them are one call, and whose, is resolved from
//! all that is known of their traces ([`crate::domain::resolve`]). What an attribute means is said in one table,
//! `attributes.rs`.
//!
//! Prompts and answers are read only where that is asked for ([`Texts`]); they are then for the guard.

mod attributes;
mod file;
mod inside;
mod logs;
mod proto;
mod report;
#[cfg(test)]
mod tests;
mod texts;
mod wire;

pub use file::{FileSummary, read_file};
pub use texts::Texts;

use crate::domain::{CallPrompt, Report, RunId, Span, SpanId, StepId, Timestamp, as_name};
use crate::error::{Error, Result};
use attributes::Attributes;
use uuid::Uuid;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// An `ExportTraceServiceRequest`.
    Traces,
    /// An `ExportLogsServiceRequest`.
    Logs,
}

/// What was read of a body.
#[derive(Debug, Default, PartialEq)]
pub struct Spans {
    /// Its spans, or its log events as such.
    pub spans: Vec<Span>,
    /// Spans that cannot be taken: without an id, or with times that cannot be.
    pub refused: u64,
    /// Why the first of them cannot.
    pub reason: Option<String>,
    /// Calls whose counts do not add up, so that their usage is unknown.
    pub unknown_usage: u64,
}

/// Reads a body.
///
/// # Errors
/// When it is not a body of that kind. What is wrong with a single span is counted instead.
pub fn read(
    body: &[u8],
    (signal, encoding): (Signal, Encoding),
    texts: Texts,
    now: Timestamp,
) -> Result<Spans> {
    let mut spans = Spans::default();
    let how = How { texts, now };
    match (signal, encoding) {
        (Signal::Traces, Encoding::Protobuf) => {
            wire::each(body, |resource, scope, span| spans.take_span(span, scope, resource, how))?;
        }
        (Signal::Logs, Encoding::Protobuf) => {
            wire::each(body, |resource, scope, record| spans.take_record(record, scope, resource, how))?;
        }
        (Signal::Traces, Encoding::Json) => {
            let request: proto::ExportTraces = from_json(body)?;
            for of_resource in &request.resource_spans {
                for of_scope in &of_resource.scope_spans {
                    for span in &of_scope.spans {
                        spans.take_span(span, of_scope.scope.as_ref(), of_resource.resource.as_ref(), how);
                    }
                }
            }
        }
        (Signal::Logs, Encoding::Json) => {
            let request: proto::ExportLogs = from_json(body)?;
            for of_resource in &request.resource_logs {
                for of_scope in &of_resource.scope_logs {
                    for record in &of_scope.log_records {
                        let (scope, resource) = (of_scope.scope.as_ref(), of_resource.resource.as_ref());
                        spans.take_record(record, scope, resource, how);
                    }
                }
            }
        }
    }
    Ok(spans)
}

/// How spans are read.
#[derive(Clone, Copy)]
struct How {
    texts: Texts,
    /// The reader's clock.
    now: Timestamp,
}

impl How {
    /// What was sent and answered in a call, if that is to be kept.
    fn texts_of(
        self,
        report: &Report,
        attributes: &[proto::KeyValue],
        events: &[proto::Event],
    ) -> Option<Box<CallPrompt>> {
        match self.texts {
            Texts::Drop => None,
            Texts::Keep => texts::of(&report.operation, attributes, events),
        }
    }
}

impl Spans {
    fn take_span(
        &mut self,
        span: &proto::Span,
        scope: Option<&proto::Scope>,
        resource: Option<&proto::Resource>,
        how: How,
    ) {
        let scope = scope.map_or("", |scope| scope.name.as_str());
        let read = read_span(span, scope, &self::resource(resource), how, &mut self.unknown_usage);
        self.take(read, how.now);
    }

    fn take_record(
        &mut self,
        record: &proto::LogRecord,
        scope: Option<&proto::Scope>,
        resource: Option<&proto::Resource>,
        how: How,
    ) {
        let scope = scope.map_or("", |scope| scope.name.as_str());
        let read = logs::read(record, scope, &self::resource(resource), how, &mut self.unknown_usage);
        if let Some(read) = read.transpose() {
            self.take(read, how.now);
        }
    }

    fn take(&mut self, read: Result<Span>, now: Timestamp) {
        match read.and_then(|span| span.check(now).map(|()| span)) {
            Ok(span) => self.spans.push(span),
            Err(error) => {
                self.refused += 1;
                self.reason.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

fn from_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T> {
    let refused = |what: String| {
        Err(Error::input(format!("the body is no JSON of OTLP: {what}"))
            .hint("send an ExportTraceServiceRequest as application/json"))
    };
    // An array would be read as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return refused("it is no object".to_owned());
    }
    // An empty object takes three bytes to send, and thirty times that in memory.
    let objects = memchr::memchr_iter(b'{', body).count();
    if objects > 1000 + body.len() / 8 {
        return refused(format!("it has {objects} objects, nearly all of them empty"));
    }
    serde_json::from_slice(body).or_else(|error| refused(crate::error::without_value(&error.to_string())))
}

fn resource(resource: Option<&proto::Resource>) -> Attributes<'_> {
    Attributes::new(resource.map_or(&[], |resource| resource.attributes.as_slice()))
}

fn read_span(
    span: &proto::Span,
    scope: &str,
    resource: &Attributes<'_>,
    how: How,
    unknown_usage: &mut u64,
) -> Result<Span> {
    let trace_id = trace_id(&span.trace_id).ok_or_else(|| Error::input("the span has no trace id"))?;
    let span_id = span_id(&span.span_id).ok_or_else(|| Error::input("the span has no id"))?;
    let attributes = Attributes::new(&span.attributes);
    let report = report::of_span(&attributes, &span.name, scope, unknown_usage);
    let report = report
        .map(|report| Report { prompt: how.texts_of(&report, &span.attributes, &span.events), ..report });
    let read = Span {
        trace_id,
        span_id,
        parent_id: self::span_id(&span.parent_span_id),
        started_at: time(span.start_time_unix_nano),
        ended_at: time(span.end_time_unix_nano.max(span.start_time_unix_nano)),
        name: as_name(&span.name).unwrap_or_default(),
        scope: as_name(scope).unwrap_or_default(),
        is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
        pipeline: None,
        agent: report::agent(&attributes, &span.name),
        conversation: None,
        run_id: None,
        step_id: None,
        prompt_version: None,
        report,
    };
    Ok(with_place(read, &attributes, resource))
}

/// The span with what says where it belongs.
fn with_place(span: Span, attributes: &Attributes<'_>, resource: &Attributes<'_>) -> Span {
    let name = |names: &[&str]| {
        let text = attributes.text(names).or_else(|| resource.text(names))?;
        as_name(text)
    };
    let service = || {
        let service = resource.text(attributes::SERVICE)?;
        // What an SDK says that was not told a name.
        as_name(service).filter(|service| !service.starts_with("unknown_service"))
    };
    Span {
        pipeline: name(attributes::PIPELINE).or_else(service),
        conversation: name(attributes::CONVERSATION),
        run_id: name(attributes::RUN).and_then(|id| id.parse::<RunId>().ok()),
        step_id: name(attributes::STEP).and_then(|id| id.parse::<StepId>().ok()),
        prompt_version: name(attributes::PROMPT_VERSION),
        ..span
    }
}

fn trace_id(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok().filter(|id| !id.is_nil())
}

fn span_id(bytes: &[u8]) -> Option<SpanId> {
    bytes.try_into().ok().map(SpanId).filter(|id| id.0 != [0; 8])
}

fn time(nanos: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(nanos / 1000).unwrap_or(i64::MAX))
}
