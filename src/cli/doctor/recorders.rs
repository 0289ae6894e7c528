//! What waits in the spool of this machine, and what the recorders here have done. That neither can be read breaks no law
//! of the ledger.

use super::checks::Checks;
use crate::cli::context::{Ctx, counted};
use crate::domain::Timestamp;
use crate::recorder::Report;
use crate::report::{Cell, Column, Kind, Table};

/// A recorder that has not been heard of for longer was killed, or hangs: 90 s. It writes every 30 s at least.
const SILENT_MICROS: i64 = 90_000_000;
/// How many recorders are named: the newest.
const RECORDERS: usize = 10;

/// What recorders here have left.
#[derive(Default)]
pub(super) struct Recorders {
    reports: Vec<Report>,
    now: Option<Timestamp>,
    pub accepted: u64,
    pub lost: u64,
}

pub(super) fn look(ctx: &Ctx, checks: &mut Checks) -> Recorders {
    const WAITS: &str = "nothing waits in the spool of this machine";
    let spool = match ctx.spool() {
        Ok(spool) => spool,
        Err(error) => {
            checks.not_checked("spool", WAITS, &format!("the spool of this machine cannot be read: {error}"));
            return Recorders::default();
        }
    };
    match spool.status() {
        Ok(status) => {
            let waiting = status.events + status.set_aside;
            // That nothing is there is known, too.
            checks.advise("spool", WAITS, waiting.max(1), waiting);
            if waiting > 0 {
                checks.found(
                    "spool",
                    format!(
                        "{} in the spool of this machine, {} set aside: see `asmm spool status`",
                        counted(status.events, "event waits", "events wait"),
                        counted(status.set_aside, "is", "are"),
                    ),
                );
            }
        }
        Err(error) => {
            checks.not_checked("spool", WAITS, &format!("the spool of this machine cannot be read: {error}"));
        }
    }
    let mut seen = Recorders { now: Some(ctx.clock.now()), ..Recorders::default() };
    seen.reports = spool.reports();
    seen.accepted = seen.reports.iter().map(|report| report.metrics.accepted).sum();
    seen.lost = seen.reports.iter().map(|report| report.metrics.dropped).sum();
    let all = u64::try_from(seen.reports.len()).unwrap_or(u64::MAX);
    let silent = seen.reports.iter().filter(|report| seen.state(report) == "silent").count();
    checks.advise(
        "spool",
        "recorders on this machine are heard of",
        all,
        u64::try_from(silent).unwrap_or(u64::MAX),
    );
    if silent > 0 {
        let recorders = counted(silent, "recorder was", "recorders were");
        checks.found(
            "spool",
            format!("{recorders} not heard of for 90 s: does the process hang, or was it killed?"),
        );
    }
    checks.advise("spool", "recorders on this machine lost nothing", seen.accepted + seen.lost, seen.lost);
    if seen.lost > 0 {
        let events = counted(seen.lost, "event is", "events are");
        checks
            .found("spool", format!("{events} lost: memory and disk were full, or the pipeline was killed"));
    }
    seen
}

impl Recorders {
    fn state(&self, report: &Report) -> &'static str {
        let is_silent = self.now.is_some_and(|now| now.micros() - report.updated_at.micros() > SILENT_MICROS);
        match (report.is_running, report.metrics.is_connected) {
            (false, _) => "ended",
            _ if is_silent => "silent",
            (true, true) => "connected",
            (true, false) => "waiting",
        }
    }

    /// The newest recorders, if there are any.
    pub fn reports(&self) -> Option<Table> {
        let newest: Vec<&Report> = self.reports.iter().take(RECORDERS).collect();
        (!newest.is_empty()).then(|| self.table(&newest))
    }

    fn table(&self, reports: &[&Report]) -> Table {
        let count = |key, title| Column::new(Kind::Count, key, title);
        Table::of(reports)
            .column(count("process", "process"), |r: &&Report| Cell::Count(r.process.into()))
            .column(Column::new(Kind::Time, "updated_at", "updated").keep(5), |r| Cell::Time(r.updated_at))
            .column(Column::new(Kind::Text, "state", "state").keep(3), |r| self.state(r))
            .column(Column::new(Kind::Text, "level", "level").keep(8), |r| r.level.clone())
            .column(count("accepted", "accepted").keep(4), |r| Cell::Count(r.metrics.accepted))
            .column(count("queued", "queued").keep(7), |r| Cell::Count(r.metrics.queued))
            .column(count("delivered", "delivered"), |r| Cell::Count(r.metrics.delivered))
            .column(count("spooled", "spooled").keep(1), |r| Cell::Count(r.metrics.spooled))
            .column(count("in_spool", "in spool").keep(2), |r| Cell::Count(r.metrics.in_spool))
            .column(count("set_aside", "set aside").keep(6), |r| Cell::Count(r.metrics.set_aside))
            .column(count("dropped", "lost"), |r| Cell::Count(r.metrics.dropped))
            .done()
    }
}
