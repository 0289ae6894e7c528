//! Calls that nobody looked at before they were sent.

use super::finding::{Finding, What};
use super::words::quoted;
use super::{DAY_MICROS, Look};
use crate::anomaly::{Share, risen};
use crate::domain::Timestamp;
use crate::error::Result;
use std::collections::BTreeMap;

/// How many days before the last are compared with it. The journal answers, so they are few.
const DAYS: i64 = 7;
/// Of how many runs of each day: the newest.
const RUNS: u32 = 1000;

impl Look<'_> {
    /// Pipelines whose share of calls that the guard has not looked at has risen in the last 24 hours.
    pub(super) async fn unscanned(&self) -> Result<Vec<Finding>> {
        let end = self.end();
        let since = |days: i64| end.plus_micros(-DAY_MICROS.saturating_mul(days));
        let mut findings = Vec::new();
        let mut before: BTreeMap<String, Vec<Share>> = BTreeMap::new();
        let last = self.shares(since(1), end).await?;
        if last.iter().all(|(_, calls)| calls.part == 0) {
            return Ok(findings);
        }
        for day in 1..=DAYS {
            for (pipeline, calls) in self.shares(since(day + 1), since(day)).await? {
                before.entry(pipeline).or_default().push(calls);
            }
        }
        for (pipeline, calls) in last {
            let days = before.get(&pipeline).map_or(&[][..], Vec::as_slice);
            let Some(risen) = risen(calls, days, &self.rules) else { continue };
            let (since, until) = (since(1), end);
            findings.push(Finding {
                next_step: format!(
                    "asmm guard coverage --pipeline {} --since {since} --until {until}",
                    quoted(&pipeline)
                ),
                ..self.share(
                    What::UnscannedShare,
                    pipeline,
                    (since, until),
                    calls,
                    &risen,
                    "were not looked at",
                )
            });
        }
        Ok(findings)
    }

    async fn shares(&self, since: Timestamp, until: Timestamp) -> Result<Vec<(String, Share)>> {
        let calls = self.store.unscanned_calls((since, until), self.pipeline, RUNS).await?;
        let share = |calls: crate::store::UnscannedCalls| {
            (calls.pipeline, Share { part: calls.unscanned, whole: calls.llm_calls })
        };
        Ok(calls.into_iter().map(share).collect())
    }
}
