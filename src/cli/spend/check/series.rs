//! Series of spend, and shares of unpriced calls.

use super::finding::{Finding, Seen, What, Who};
use super::words::{period, quoted, share, usd, why_spike};
use super::{DAY_MICROS, Look};
use crate::anomaly::{
    Calendar, HISTORY_DAYS, MIN_DAYS, Risen, Scale, Share, Spike, is_large_and_new, judge, risen,
};
use crate::domain::{Timestamp, Usd, Window};
use crate::error::{Error, Result};
use crate::report::Cell;
use crate::store::{Filter, HourSpend, Matters, SeriesOf, SpendBy};
use chrono::{Days, NaiveDate};
use std::ops::Range;

/// A share below five points is never called, so a pipeline with fewer unpriced calls need not be looked at.
const UNPRICED_AT_LEAST: u32 = 2;

/// The hours that are looked at, and which of them are judged.
struct Hours {
    calendar: Calendar,
    judged: Range<usize>,
    /// The first local day that is judged.
    first: NaiveDate,
}

impl Look<'_> {
    /// Hours and days that cost too much, new series that are large, and pipelines whose unpriced calls rise.
    pub(super) async fn series(&self, seen: &mut Seen) -> Result<Vec<Finding>> {
        let (first, last) = self.judged.days();
        let days = u64::try_from(HISTORY_DAYS).unwrap_or(0);
        let start = first.checked_sub_days(Days::new(days)).ok_or_else(|| {
            Error::usage("the range reaches before the calendar").hint("name a later --since")
        })?;
        let window = Window::dates(start, last, self.zone())?;
        let calendar = Calendar::of(&window);
        let hours = calendar.hours();
        let judged = hours.partition_point(|hour| hour.until <= self.judged.since)
            ..hours.partition_point(|hour| hour.start < self.judged.until);
        let hours = Hours { calendar, judged, first };

        // Whole hours, also where the range begins or ends within one.
        let judged = &hours.calendar.hours()[hours.judged.clone()];
        let since = judged.first().map_or(self.judged.since, |hour| hour.start);
        let until = judged.last().map_or(self.judged.until, |hour| hour.until);
        let matters = Matters { since, until, cost: self.rules.at_least, unpriced_calls: UNPRICED_AT_LEAST };
        let series = self.store.hourly_spend(&window, &matters, self.pipeline).await?;
        let has_history = self.has_history(&hours, start).await?;
        let mut findings = Vec::new();
        let mut whole = vec![0; hours.calendar.hours().len()];
        let mut unknown = Vec::new();
        for (of, spent) in &series {
            let cost = by_hour(&hours.calendar, spent);
            if matches!(of, SeriesOf::Pipeline(_)) {
                whole.iter_mut().zip(&cost).for_each(|(whole, cost)| *whole += cost);
                findings.extend(self.unpriced(of, spent, &hours));
            }
            if cost[hours.judged.clone()].iter().sum::<i128>() < self.rules.at_least.pico() {
                continue;
            }
            let judged = judge(&hours.calendar, &cost, &hours.judged, &self.rules);
            seen.series += 1;
            seen.history_days = seen.history_days.max(judged.history_days);
            findings.extend(judged.spikes.iter().map(|spike| self.spike(of, spike)));
            if let Some(new) = judged.unknown {
                seen.unknown_series += 1;
                unknown.push((of, new));
            }
        }
        for (of, (since, spent)) in unknown.into_iter().filter(|_| has_history) {
            let from = hours.calendar.hours().partition_point(|hour| hour.start < since);
            let whole = Usd::from_pico(whole[from.min(hours.judged.end)..hours.judged.end].iter().sum());
            if is_large_and_new(spent, whole, &self.rules) {
                findings.push(self.new_spend(of, since, spent, whole));
            }
        }
        Ok(findings)
    }

    /// Whether the ledger itself goes back far enough for a series to be new in it.
    async fn has_history(&self, hours: &Hours, start: NaiveDate) -> Result<bool> {
        let zone = self.zone();
        let Some(last) = hours.first.pred_opt() else { return Ok(false) };
        let before = Window::dates(start, last, zone)?;
        let by_day = SpendBy { day: true, ..SpendBy::default() };
        let days = self.store.spend(&before, by_day, &Filter::default()).await?;
        let first = days.into_iter().filter(|(_, spent)| spent.cost > Usd::ZERO).find_map(|(key, _)| key.day);
        let enough = i64::try_from(MIN_DAYS).unwrap_or(i64::MAX);
        Ok(first.is_some_and(|day| (hours.first - day).num_days() >= enough))
    }

    fn spike(&self, of: &SeriesOf, spike: &Spike) -> Finding {
        let what = if spike.scale == Scale::Hour { What::SpendHour } else { What::SpendDay };
        Finding {
            what,
            who: who(of),
            since: spike.since,
            until: spike.until,
            found: Cell::Usd(spike.found),
            usual: Cell::Usd(spike.usual),
            limit: Cell::Usd(spike.limit),
            why: why_spike(spike, self.zone()),
            next_step: self.breakdown(of, spike.since, spike.until),
        }
    }

    fn new_spend(&self, of: &SeriesOf, since: Timestamp, spent: Usd, whole: Usd) -> Finding {
        let until = self.end().next_bucket_start().max(since.plus_micros(1));
        let part = Cell::share_of_usd(spent, whole).in_words();
        Finding {
            what: What::SpendNew,
            who: who(of),
            since,
            until,
            found: Cell::Usd(spent),
            usual: Cell::Missing,
            limit: Cell::Usd(self.rules.large()),
            why: format!(
                "{} in {}, {part} of all spend, without enough history to compare with; {} is large",
                usd(spent),
                period(since, until, self.zone()),
                usd(self.rules.large()),
            ),
            next_step: self.breakdown(of, since, until),
        }
    }

    /// The command that shows what a series is made of.
    fn breakdown(&self, of: &SeriesOf, since: Timestamp, until: Timestamp) -> String {
        let (report, by, filter) = match of {
            SeriesOf::Pipeline(name) => ("pipeline", "agent,model", format!("--pipeline {}", quoted(name))),
            SeriesOf::Agent(name) => ("agent", "pipeline,model", format!("--agent {}", quoted(name))),
            SeriesOf::Model(provider, name) => {
                let filter = format!("--provider {} --model {}", quoted(provider), quoted(name));
                ("model", "pipeline,agent", filter)
            }
        };
        let within = match (of, self.pipeline) {
            (SeriesOf::Pipeline(_), _) | (_, None) => String::new(),
            (_, Some(pipeline)) => format!(" --pipeline {}", quoted(pipeline)),
        };
        format!("asmm spend {report} --by {by} {filter}{within} --since {since} --until {until}")
    }

    /// Whether a pipeline's share of unpriced calls has risen in the last 24 hours.
    fn unpriced(&self, of: &SeriesOf, spent: &[HourSpend], hours: &Hours) -> Option<Finding> {
        let until = self.end();
        let since = until.plus_micros(-DAY_MICROS);
        let mut last = Share::default();
        let mut days = vec![Share::default(); hours.calendar.days().len()];
        for hour in spent {
            let calls = Share { part: hour.unpriced_calls, whole: hour.llm_calls };
            let place = hours.calendar.place(hour.start)?;
            if hours.calendar.hours()[place].until > since {
                last += calls;
            } else {
                days[hours.calendar.days().partition_point(|day| day.hours.end <= place)] += calls;
            }
        }
        let risen = risen(last, &days, &self.rules)?;
        let pipeline = who(of).pipeline.unwrap_or_default();
        Some(Finding {
            next_step: format!("asmm prices missing --since {since} --until {until}"),
            ..self.share(What::UnpricedShare, pipeline, (since, until), last, &risen, "have no price")
        })
    }

    /// A share that has risen, but for what to do about it.
    pub(super) fn share(
        &self,
        what: What,
        pipeline: String,
        (since, until): (Timestamp, Timestamp),
        calls: Share,
        risen: &Risen,
        are: &str,
    ) -> Finding {
        let words = |millionths: i128| share(millionths).in_words();
        Finding {
            what,
            who: Who { pipeline: Some(pipeline), ..Who::default() },
            since,
            until,
            found: share(risen.found),
            usual: share(risen.usual),
            limit: share(risen.limit),
            why: format!(
                "{} of {} calls {are} in {} ({}); on the days before usually {} (median of {}, MAD {})",
                calls.part,
                calls.whole,
                period(since, until, self.zone()),
                words(risen.found),
                words(risen.usual),
                risen.days,
                words(risen.spread),
            ),
            next_step: String::new(),
        }
    }
}

fn who(of: &SeriesOf) -> Who {
    match of {
        SeriesOf::Pipeline(name) => Who { pipeline: Some(name.clone()), ..Who::default() },
        SeriesOf::Agent(name) => Who { agent: Some(name.clone()), ..Who::default() },
        SeriesOf::Model(provider, name) => {
            Who { provider: Some(provider.clone()), model: Some(name.clone()), ..Who::default() }
        }
    }
}

/// What was spent at each of the calendar's hours.
fn by_hour(calendar: &Calendar, spent: &[HourSpend]) -> Vec<i128> {
    let mut hours = vec![0; calendar.hours().len()];
    for hour in spent {
        if let Some(place) = calendar.place(hour.start) {
            hours[place] += hour.cost.pico();
        }
    }
    hours
}
