//! Spend by day, pipeline, agent and model.

use super::{Store, Totals, on_pool};
use crate::domain::{DaySegment, Status, Timestamp, Window};
use crate::error::{Error, Result};
use chrono::{Days, NaiveDate};
use sqlx::FromRow;
use std::collections::BTreeMap;

/// The buckets of a day.
const DAY: i64 = 96;

/// Which dimensions a report tells apart.
#[expect(clippy::struct_excessive_bools, reason = "the four are independent, and the query takes each")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpendBy {
    /// The local day.
    pub day: bool,
    /// The pipeline.
    pub pipeline: bool,
    /// The agent.
    pub agent: bool,
    /// The model, with its provider.
    pub model: bool,
}

/// What a report looks at; `None` is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this pipeline.
    pub pipeline: Option<String>,
    /// Only this agent.
    pub agent: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
    /// Only this model.
    pub model: Option<String>,
    /// Only runs with this status.
    pub status: Option<Status>,
}

/// What tells one row of a report from the others; absent dimensions are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpendKey {
    /// The local day.
    pub day: Option<NaiveDate>,
    /// The pipeline.
    pub pipeline: Option<String>,
    /// The agent; `""` when calls had none.
    pub agent: Option<String>,
    /// The provider; `""` when calls reported none.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
}

#[derive(FromRow)]
struct SpendRow {
    day: Option<i64>,
    pipeline: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    #[sqlx(flatten)]
    totals: Totals,
}

impl Store {
    /// What was spent in `window`, by the dimensions of `by`.
    ///
    /// The rollup answers for whole 15-minute buckets, and its settled sums for whole days of UTC and for all
    /// pipelines together: see `migrations/postgres/0012_settled_spend.sql`. The journal answers for what the rollup does not tell
    /// apart: a run's status, the ends of a window that cuts a bucket, and a zone that changes its offset
    /// inside of one (Antarctica/Casey does, at a minute past midnight).
    pub async fn spend(
        &self,
        window: &Window,
        by: SpendBy,
        filter: &Filter,
    ) -> Result<BTreeMap<SpendKey, Totals>> {
        let mut spend: BTreeMap<SpendKey, Totals> = BTreeMap::new();
        for segment in window.segments() {
            let (first, after) = (segment.since.next_bucket_start(), segment.until.bucket_start());
            if filter.status.is_some() || first >= after {
                self.add_journal(&segment, by, filter, &mut spend).await?;
                continue;
            }
            self.add_rollup(&DaySegment { since: first, until: after, ..segment }, by, filter, &mut spend)
                .await?;
            if segment.since < first {
                self.add_journal(&DaySegment { until: first, ..segment }, by, filter, &mut spend).await?;
            }
            if after < segment.until {
                self.add_journal(&DaySegment { since: after, ..segment }, by, filter, &mut spend).await?;
            }
        }
        Ok(spend)
    }

    /// The rollup's part of a segment of whole buckets, from the coarsest sums that tell apart what is asked for.
    async fn add_rollup(
        &self,
        segment: &DaySegment,
        by: SpendBy,
        filter: &Filter,
        spend: &mut BTreeMap<SpendKey, Totals>,
    ) -> Result<()> {
        let is_total = SpendBy { day: false, ..by } == SpendBy::default() && *filter == Filter::default();
        if is_total {
            return self.add_total(segment, by.day, spend).await;
        }
        // The whole days inside.
        let first = (segment.since.bucket() + DAY - 1).div_euclid(DAY) * DAY;
        let after = segment.until.bucket().div_euclid(DAY) * DAY;
        if first >= after || (by.day && segment.offset_seconds != 0) {
            return self.add_quarters(segment, by, filter, spend).await;
        }
        let at = |bucket: i64| Timestamp::from_bucket(bucket);
        self.add_quarters(&DaySegment { until: at(first), ..*segment }, by, filter, spend).await?;
        self.add_days((first / DAY, after / DAY), by, filter, spend).await?;
        self.add_quarters(&DaySegment { since: at(after), ..*segment }, by, filter, spend).await
    }

    async fn add_total(
        &self,
        segment: &DaySegment,
        by_day: bool,
        spend: &mut BTreeMap<SpendKey, Totals>,
    ) -> Result<()> {
        let rows: Vec<SpendRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/spend_total.sql"))
                .bind(number(segment.since.bucket()))
                .bind(number(segment.until.bucket()))
                .bind(i64::from(segment.offset_seconds))
                .bind(by_day)
                .fetch_all(pool)
                .await?
        });
        add(rows, spend);
        Ok(())
    }

    /// Whole days of UTC, from the first to the one after the last.
    async fn add_days(
        &self,
        (first, after): (i64, i64),
        by: SpendBy,
        filter: &Filter,
        spend: &mut BTreeMap<SpendKey, Totals>,
    ) -> Result<()> {
        let rows: Vec<SpendRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/spend_by_day.sql"))
                .bind(number(first))
                .bind(number(after))
                .bind(by.day)
                .bind(by.pipeline)
                .bind(by.agent)
                .bind(by.model)
                .bind(by.model)
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .fetch_all(pool)
                .await?
        });
        add(rows, spend);
        Ok(())
    }

    async fn add_quarters(
        &self,
        segment: &DaySegment,
        by: SpendBy,
        filter: &Filter,
        spend: &mut BTreeMap<SpendKey, Totals>,
    ) -> Result<()> {
        if segment.since >= segment.until {
            return Ok(());
        }
        let rows: Vec<SpendRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/spend_by.sql"))
                .bind(number(segment.since.bucket()))
                .bind(number(segment.until.bucket()))
                .bind(i64::from(segment.offset_seconds))
                .bind(by.day)
                .bind(by.pipeline)
                .bind(by.agent)
                .bind(by.model)
                .bind(by.model)
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .fetch_all(pool)
                .await?
        });
        add(rows, spend);
        Ok(())
    }

    /// Refuses ends of a range that cut a quarter of an hour of which calls are archived.
    pub(super) async fn check_uncut(&self, ends: &[Timestamp]) -> Result<()> {
        for &end in ends {
            if end.bucket_start() != end && self.has_archived_in(end.bucket()).await? {
                return Err(Error::usage(format!(
                    "calls of the quarter of an hour from {} on are archived, so that it cannot be cut at {end}",
                    end.bucket_start()
                ))
                .hint("ask for whole quarters of an hour, or bring the calls back: `asmm runs archive --help`"));
            }
        }
        Ok(())
    }

    async fn add_journal(
        &self,
        segment: &DaySegment,
        by: SpendBy,
        filter: &Filter,
        spend: &mut BTreeMap<SpendKey, Totals>,
    ) -> Result<()> {
        self.check_uncut(&[segment.since, segment.until]).await?;
        let rows: Vec<SpendRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/spend_by_journal.sql"))
                .bind(segment.since)
                .bind(segment.until)
                .bind(i64::from(segment.offset_seconds))
                .bind(by.day)
                .bind(by.pipeline)
                .bind(by.agent)
                .bind(by.model)
                .bind(by.model)
                .bind(&filter.pipeline)
                .bind(&filter.agent)
                .bind(&filter.provider)
                .bind(&filter.model)
                .bind(filter.status.map(Status::code))
                .bind(number(segment.since.bucket()))
                .bind(number(segment.until.bucket()))
                .fetch_all(pool)
                .await?
        });
        add(rows, spend);
        Ok(())
    }
}

fn add(rows: Vec<SpendRow>, spend: &mut BTreeMap<SpendKey, Totals>) {
    for row in rows {
        let day =
            row.day.and_then(|n| NaiveDate::default().checked_add_days(Days::new(u64::try_from(n).ok()?)));
        let key = SpendKey {
            day,
            pipeline: row.pipeline,
            agent: row.agent,
            provider: row.provider,
            model: row.model,
        };
        *spend.entry(key).or_default() += row.totals;
    }
}

/// A bucket's or a day's number as the columns hold it; past their end there is nothing.
pub(super) fn number(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
