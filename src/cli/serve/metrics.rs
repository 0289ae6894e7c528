//! What the server has done, for Prometheus.

use crate::store::TakenSpans;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters since the server started.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    /// Answers by status.
    ok: AtomicU64,
    partial: AtomicU64,
    refused: AtomicU64,
    later: AtomicU64,
    spans: AtomicU64,
    spans_known: AtomicU64,
    spans_refused: AtomicU64,
    spans_spooled: AtomicU64,
    spans_held: AtomicU64,
    /// Of those, the ones that are on their way.
    spans_waiting: AtomicU64,
    calls: AtomicU64,
    conflicts: AtomicU64,
    withdrawn: AtomicU64,
    unknown_usage: AtomicU64,
    batches: AtomicU64,
    batch_micros: AtomicU64,
    ledger_failures: AtomicU64,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answered {
    Ok,
    Partial,
    /// 4xx: it must not come again.
    Refused,
    /// 429 or 503: it may come again.
    Later,
}

impl Metrics {
    pub fn answered(&self, how: Answered) {
        let counter = match how {
            Answered::Ok => &self.ok,
            Answered::Partial => &self.partial,
            Answered::Refused => &self.refused,
            Answered::Later => &self.later,
        };
        add(counter, 1);
    }

    pub fn read(&self, refused: u64, unknown_usage: u64) {
        add(&self.spans_refused, refused);
        add(&self.unknown_usage, unknown_usage);
    }

    pub fn taken(&self, taken: &TakenSpans, time: Duration) {
        add(&self.spans, taken.new);
        add(&self.spans_known, taken.known);
        add(&self.calls, taken.calls.recorded);
        add(&self.conflicts, taken.calls.conflict.len() as u64);
        add(&self.withdrawn, taken.withdrawn);
        add(&self.batches, 1);
        add(&self.batch_micros, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn spooled(&self, spans: u64) {
        add(&self.spans_spooled, spans);
    }

    /// They are on disk, answered, and on their way into the ledger.
    pub fn held(&self, spans: u64) {
        add(&self.spans_held, spans);
        add(&self.spans_waiting, spans);
    }

    /// They are in the ledger, or left to whoever delivers the spool.
    pub fn not_held(&self, spans: u64) {
        self.spans_waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    pub fn ledger_failed(&self) {
        add(&self.ledger_failures, 1);
    }

    /// A line for the end.
    pub fn summary(&self) -> String {
        let [spans, calls, spooled, waiting] =
            [&self.spans, &self.calls, &self.spans_spooled, &self.spans_waiting]
                .map(|counter| counter.load(Ordering::Relaxed));
        let left = match waiting {
            0 => String::new(),
            _ => format!(
                "; {waiting} spans left in the spool: the next `asmm serve` or `asmm spool drain` records them"
            ),
        };
        format!(
            "{spans} spans taken in, {calls} calls recorded, {spooled} spans put into the spool meanwhile{left}"
        )
    }

    /// As Prometheus reads it, <https://prometheus.io/docs/instrumenting/exposition_formats/>.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let name = "asmm_serve_requests_total";
        let _ = writeln!(text, "# HELP {name} Requests by how they were answered.\n# TYPE {name} counter");
        for (answer, counter) in
            [("ok", &self.ok), ("partial", &self.partial), ("refused", &self.refused), ("later", &self.later)]
        {
            let _ = writeln!(text, "{name}{{answer=\"{answer}\"}} {}", counter.load(Ordering::Relaxed));
        }
        for (name, help, counter) in [
            ("spans_total", "Spans that were not known, in the ledger.", &self.spans),
            ("spans_known_total", "Spans that came again.", &self.spans_known),
            ("spans_refused_total", "Spans that cannot be taken.", &self.spans_refused),
            (
                "spans_spooled_total",
                "Spans kept on disk because the ledger was out of reach.",
                &self.spans_spooled,
            ),
            (
                "spans_held_total",
                "Spans answered when they were on disk, while a transaction was under way.",
                &self.spans_held,
            ),
            ("calls_recorded_total", "Calls recorded, those recorded anew included.", &self.calls),
            ("calls_withdrawn_total", "Calls that turned out to be others.", &self.withdrawn),
            ("calls_conflicting_total", "Calls that are recorded with other contents.", &self.conflicts),
            ("calls_unknown_usage_total", "Reports whose counts do not add up.", &self.unknown_usage),
            (
                "ledger_failures_total",
                "Times the ledger could not be reached or failed.",
                &self.ledger_failures,
            ),
            ("batches_total", "Transactions.", &self.batches),
        ] {
            let _ = writeln!(
                text,
                "# HELP asmm_serve_{name} {help}\n# TYPE asmm_serve_{name} counter\nasmm_serve_{name} {}",
                counter.load(Ordering::Relaxed)
            );
        }
        let _ = writeln!(
            text,
            "# HELP asmm_serve_spans_waiting Spans on disk that are on their way into the ledger.\n\
             # TYPE asmm_serve_spans_waiting gauge\nasmm_serve_spans_waiting {}",
            self.spans_waiting.load(Ordering::Relaxed)
        );
        let micros = self.batch_micros.load(Ordering::Relaxed);
        let name = "asmm_serve_batch_seconds_total";
        let _ = writeln!(
            text,
            "# HELP {name} Time spent in transactions.\n# TYPE {name} counter\n{name} {}.{:06}",
            micros / 1_000_000,
            micros % 1_000_000
        );
        text
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
