//! The counters of this recorder, beside the spool, for `asmm doctor`.

use crate::domain::Timestamp;
use crate::recorder::metrics::{Metrics, Report};
use crate::recorder::settings::Settings;
use crate::recorder::shared::Shared;
use crate::recorder::spool::Spool;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often they are written, when they have changed.
const EVERY: Duration = Duration::from_secs(5);
/// And when they have not: who reads them knows then that there still is a recorder.
const AT_LEAST_EVERY: Duration = Duration::from_secs(30);

/// Writes the counters now and then.
pub(super) struct Reporter {
    spool: Option<Spool>,
    path: Option<PathBuf>,
    started_at: Timestamp,
    next: Instant,
    last: Option<(Metrics, Instant)>,
}

impl Reporter {
    pub fn new(spool: Option<&Spool>, settings: &Settings) -> Self {
        let name = format!("{}.json", uuid::Uuid::now_v7().simple());
        Self {
            path: spool.map(|spool| spool.recorders().join(name)),
            spool: spool.cloned(),
            started_at: settings.clock.now(),
            next: Instant::now() + EVERY,
            last: None,
        }
    }

    /// When it is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Writes them, if it is time or the last one. That they cannot be written is nobody's concern: the counters are
    /// in the API, and what they count is not touched.
    pub fn write(&mut self, shared: &Shared, is_running: bool, now: Instant) {
        if is_running && now < self.next {
            return;
        }
        self.next = now + EVERY;
        let metrics = shared.metrics();
        let (Some(spool), Some(path)) = (&self.spool, &self.path) else { return };
        let is_news = |(last, at): &(Metrics, Instant)| *last != metrics || *at + AT_LEAST_EVERY <= now;
        if is_running && !self.last.as_ref().is_none_or(is_news) {
            return;
        }
        let report = Report {
            process: std::process::id(),
            started_at: self.started_at,
            updated_at: shared.settings.clock.now(),
            level: shared.settings.level.code().to_owned(),
            is_running,
            metrics: metrics.clone(),
        };
        if let Err(error) = spool.write_report(path, &report) {
            tracing::debug!(target: "asmm::recorder", "the recorder's counters cannot be written: {error}");
        }
        self.last = Some((metrics, now));
    }
}
