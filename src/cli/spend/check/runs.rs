//! Runs that run away.

use super::finding::{Finding, Seen, What, Who};
use super::words::{times, usd};
use super::{DAY_MICROS, Look};
use crate::anomaly::{Measure, RunNorm, RunSize, Runaway};
use crate::domain::{Status, Timestamp, Usd};
use crate::error::Result;
use crate::report::Cell;
use crate::store::WatchedRun;
use std::collections::HashMap;

/// How many earlier runs of a pipeline are compared with: the newest, of so many days.
const SAMPLED: u32 = 500;
const SAMPLED_DAYS: i64 = 28;
/// Runs that started longer ago than this before the judged range are not looked at: they would have to be searched for
/// among all runs, and have been called already.
const WATCHED_DAYS: i64 = 7;

impl Look<'_> {
    /// Runs that go on or have ended in the judged range, and are larger than earlier runs of their pipeline.
    pub(super) async fn runs(&self, seen: &mut Seen) -> Result<Vec<Finding>> {
        let before = |days: i64| self.judged.since.plus_micros(-DAY_MICROS.saturating_mul(days));
        let earlier = (before(SAMPLED_DAYS), self.judged.since);
        let sampled = self.store.sampled_runs(earlier, self.pipeline, SAMPLED).await?;
        let mut earlier: HashMap<String, Vec<RunSize>> = HashMap::new();
        for run in sampled {
            let size = size(run.cost, run.llm_calls, run.started_at, run.completed_at);
            earlier.entry(run.pipeline).or_default().push(size);
        }
        let norms: HashMap<String, RunNorm> = earlier
            .into_iter()
            .filter_map(|(pipeline, runs)| Some((pipeline, RunNorm::of(&runs, &self.rules)?)))
            .collect();
        let mut findings = Vec::new();
        let end = self.end();
        let started = (before(WATCHED_DAYS), end.plus_micros(1));
        self.store
            .watched_runs(started, &self.judged, self.pipeline, |run| {
                let norm = norms.get(&run.pipeline);
                seen.runs += 1;
                seen.unknown_runs += usize::from(norm.is_none());
                findings.extend(self.judged_run(&run, norm, run.completed_at.unwrap_or(end)));
            })
            .await?;
        Ok(findings)
    }

    fn judged_run(&self, run: &WatchedRun, norm: Option<&RunNorm>, until: Timestamp) -> Vec<Finding> {
        let size = size(run.cost, run.llm_calls, run.started_at, until);
        let Some(norm) = norm else {
            return self.over_the_limit(run, until).into_iter().collect();
        };
        norm.exceeded_by(&size).map(|runaway| runaway_run(run, until, &runaway, norm.runs)).collect()
    }

    /// A run whose pipeline has too few earlier runs, over what the user has said.
    fn over_the_limit(&self, run: &WatchedRun, until: Timestamp) -> Option<Finding> {
        let limit = self.runaway_over.filter(|limit| run.cost > *limit)?;
        let why = format!(
            "{} and {}; --runaway-over is {}, and there are too few earlier runs of {} to compare with",
            usd(run.cost),
            standing(run, until),
            usd(limit),
            run.pipeline,
        );
        let [found, usual, limit] = [Cell::Usd(run.cost), Cell::Missing, Cell::Usd(limit)];
        Some(Finding { usual, ..finding(What::RunCost, run, until, found, limit, why) })
    }
}

fn runaway_run(run: &WatchedRun, until: Timestamp, runaway: &Runaway, runs: usize) -> Finding {
    let cell = |value: u64| match runaway.measure {
        Measure::Cost => Cell::Usd(Usd::from_pico(i128::from(value))),
        Measure::Calls => Cell::Count(value),
        Measure::Duration => Cell::Millis(value),
    };
    let (what, noun) = match runaway.measure {
        Measure::Cost => (What::RunCost, ""),
        Measure::Calls => (What::RunCalls, " calls"),
        Measure::Duration => (What::RunDuration, ""),
    };
    let norm = runaway.norm;
    let words = |value: u64| format!("{}{noun}", cell(value).in_words());
    let times = times(runaway.found.into(), norm.median.into()).map(|times| format!(": {times}"));
    let why = format!(
        "{} and {}; runs of {} usually {} (median of {runs}, 99 of 100 not above {}){}",
        words(runaway.found),
        standing(run, until),
        run.pipeline,
        words(norm.median),
        words(norm.high),
        times.unwrap_or_default(),
    );
    let usual = cell(norm.median);
    Finding { usual, ..finding(what, run, until, cell(runaway.found), cell(norm.limit), why) }
}

fn finding(what: What, run: &WatchedRun, until: Timestamp, found: Cell, limit: Cell, why: String) -> Finding {
    let id = run.run_id;
    let next_step = if what == What::RunDuration && run.status == Status::Running {
        format!("asmm runs show {id}; if it is dead: asmm runs finish --run-id {id} --status abandoned")
    } else {
        format!("asmm runs show {id}")
    };
    let who = Who { pipeline: Some(run.pipeline.clone()), run_id: Some(id), ..Who::default() };
    Finding { what, who, since: run.started_at, until, found, usual: Cell::Missing, limit, why, next_step }
}

/// Where a run stands: `running for 3.2 min`, `succeeded after 40 s`.
fn standing(run: &WatchedRun, until: Timestamp) -> String {
    let lasted = Cell::Millis(lasted_ms(run.started_at, until)).in_words();
    match run.status {
        Status::Running => format!("running for {lasted}"),
        status => format!("{status} after {lasted}"),
    }
}

fn size(cost: Usd, calls: u64, since: Timestamp, until: Timestamp) -> RunSize {
    let cost_pico = u64::try_from(cost.pico()).unwrap_or(0);
    RunSize { cost_pico, calls, duration_ms: lasted_ms(since, until) }
}

fn lasted_ms(since: Timestamp, until: Timestamp) -> u64 {
    u64::try_from((until.micros() - since.micros()) / 1000).unwrap_or(0)
}
