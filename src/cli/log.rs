//! What is logged goes to stderr, in lines of its own.

use super::{LogFormat, LogLevel};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging. Only our own events: libraries log statements, which may hold what nobody should see.
pub(super) fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => Level::ERROR.into(),
        LogLevel::Warn => Level::WARN.into(),
        LogLevel::Info => Level::INFO.into(),
    };
    let ours = Targets::new().with_target("asmm", level);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = match format {
        LogFormat::Text => layer.event_format(ForPeople).with_filter(ours).boxed(),
        LogFormat::Json => {
            let json = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            json.with_filter(ours).boxed()
        }
    };
    // A second start, as the demo's commands would be, leaves the first in place.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

/// A line as our other warnings are: `warning: guard: redact email in input `notes` as [EMAIL_1]: why`.
struct ForPeople;

#[derive(Default)]
struct Words {
    message: String,
    decision: String,
    detector: String,
    place: String,
    token: String,
    reason: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let word = match field.name() {
            "message" => &mut self.message,
            "decision" => &mut self.decision,
            "detector" => &mut self.detector,
            "place" => &mut self.place,
            "token" => &mut self.token,
            "reason" => &mut self.reason,
            _ => return,
        };
        *word = format!("{value:?}");
    }
}

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "info",
        };
        let Words { message, decision, detector, place, token, reason } = words;
        write!(line, "{level}: {message}")?;
        if !decision.is_empty() {
            write!(line, ": {decision} {detector} in {place}")?;
        }
        if !token.is_empty() {
            write!(line, " as [{token}]")?;
        }
        if !reason.is_empty() {
            write!(line, ": {reason}")?;
        }
        writeln!(line)
    }
}
