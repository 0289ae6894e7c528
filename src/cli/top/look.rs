//! One look at the ledger, and what follows from it.

use super::Order;
use crate::clock::Clock;
use crate::domain::{Timestamp, Usd, Window};
use crate::error::{Error, Result};
use crate::store::{Filter, Lead, Leader, LiveRuns, Location, SpendBy, Store, Tally};
use chrono_tz::Tz;
use std::pin::Pin;
use std::time::Duration;

/// How long the ledger may take for an answer before that is said.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may take, so that a server that is back is found soon.
const PATIENCE_FOR_A_CONNECTION: Duration = Duration::from_secs(3);
/// Runs that started longer ago do not count as running: their pipeline has died without a word.
pub(super) const RUNNING_DAYS: i64 = 7;
/// The most runs that are held and can be scrolled to.
const MOST_RUNS: u32 = 200;
/// The most agents, and models.
const MOST_LEADERS: u32 = 20;

const MINUTE_MICROS: i64 = 60_000_000;
const MINUTES_A_QUARTER: u64 = 15;
/// The minutes of the chart.
pub(super) const MINUTES: usize = 60;

/// What the ledger said at one time.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// When it was asked.
    pub at: Timestamp,
    /// All of the local day.
    pub today: Tally,
    pub hour: Hour,
    /// Since when [`Snapshot::agents`] and [`Snapshot::models`] are counted: the start of a quarter of an hour.
    pub since: Timestamp,
    pub runs: LiveRuns,
    pub agents: Vec<Leader>,
    pub models: Vec<Leader>,
}

/// The last hour by minute: the last of them is the one that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hour {
    /// When the minute that runs began.
    pub minute: Timestamp,
    pub minutes: Vec<Tally>,
    /// Calls that are known by the quarter only, and are put evenly into its minutes.
    pub evenly: u64,
}

/// What is asked, again and again.
pub(super) struct Question {
    pub location: Location,
    pub clock: Clock,
    pub zone: Tz,
    pub filter: Filter,
}

/// A question on its way: the ledger comes back with the answer, unless it failed.
pub(super) type Asking = Pin<Box<dyn Future<Output = (Option<Store>, Result<Snapshot>)>>>;

impl Question {
    /// Asks the ledger; without one, connects first.
    pub(super) fn ask(&self, store: Option<Store>, order: Order) -> Asking {
        let mut location = self.location.clone();
        location.patience = PATIENCE_FOR_A_CONNECTION;
        let (clock, zone, filter) = (self.clock, self.zone, self.filter.clone());
        Box::pin(async move {
            let asking = async {
                // A file that was removed would be read on as if it were there.
                if location.missing_file().is_some() {
                    return Err(Error::ledger("the ledger is gone: its file is not there"));
                }
                let store = match store {
                    Some(store) => store,
                    None => Store::open(&location, clock).await?,
                };
                let snapshot = snapshot(&store, zone, &filter, order).await?;
                Ok((store, snapshot))
            };
            match tokio::time::timeout(PATIENCE, asking).await {
                Ok(Ok((store, snapshot))) => (Some(store), Ok(snapshot)),
                Ok(Err(error)) => (None, Err(error)),
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    (None, Err(Error::ledger(format!("the ledger did not answer within {seconds} s"))))
                }
            }
        })
    }
}

async fn snapshot(store: &Store, zone: Tz, filter: &Filter, order: Order) -> Result<Snapshot> {
    let at = store.now();
    let today = Window::last_days(1, at, zone)?;
    let today = store.spend(&today, SpendBy::default(), filter).await?;
    let today = today.into_values().fold(Tally::default(), |mut sum, totals| {
        sum += totals.into();
        sum
    });
    let (first, after) = buckets(at);
    // First the minutes: what comes between the two questions is known by the quarter, and not less than nothing.
    let minutes = store.live_minutes(first, after, filter).await?;
    let quarters = store.live_quarters(first, after, filter).await?;
    let since = at.plus_micros(-RUNNING_DAYS * 24 * 60 * MINUTE_MICROS);
    Ok(Snapshot {
        at,
        today,
        hour: Hour::new(at, &minutes, &quarters),
        since: Timestamp::from_bucket(first),
        runs: store.live_runs(since, filter, order.into(), MOST_RUNS).await?,
        agents: store.leaders(Lead::Agents, (first, after), filter, MOST_LEADERS).await?,
        models: store.leaders(Lead::Models, (first, after), filter, MOST_LEADERS).await?,
    })
}

/// When a minute began, as its number since 1970.
fn minute_of(at: Timestamp) -> i64 {
    at.micros().div_euclid(MINUTE_MICROS)
}

/// The quarters of an hour that the last 60 minutes touch: the first, and the one after the last.
fn buckets(at: Timestamp) -> (i64, i64) {
    let first = Timestamp::from_micros((minute_of(at) - 59) * MINUTE_MICROS);
    (first.bucket(), at.bucket() + 1)
}

impl Hour {
    /// `minutes` are counted from the first quarter that the hour touches, `quarters` hold all calls. What the minutes lack
    /// of a quarter is put evenly into those that have begun.
    pub(super) fn new(at: Timestamp, minutes: &[(u64, Tally)], quarters: &[(i64, Tally)]) -> Self {
        let (first, after) = buckets(at);
        let count = |from: i64, to: i64| u64::try_from(to - from).unwrap_or(0);
        let begun = count(first * 15, minute_of(at) + 1);
        let places = usize::try_from(count(first, after) * MINUTES_A_QUARTER).unwrap_or(0);
        let mut tallies = vec![Tally::default(); places];
        for (minute, tally) in minutes {
            if let Some(place) = usize::try_from(*minute).ok().and_then(|minute| tallies.get_mut(minute)) {
                *place += *tally;
            }
        }
        let shown_from = tallies.len().min(usize::try_from(begun).unwrap_or(0)).saturating_sub(MINUTES);
        let mut evenly = 0;
        for (bucket, all) in quarters {
            let start = usize::try_from(count(first, *bucket) * MINUTES_A_QUARTER).unwrap_or(0);
            let of_quarter = start..(start + 15).min(tallies.len());
            let Some(found) = tallies.get(of_quarter.clone()) else { continue };
            let rest = lacking(all, found);
            let end = of_quarter.end.min(usize::try_from(begun).unwrap_or(0));
            for (index, place) in (start..end).enumerate() {
                let part = part_of(&rest, index, end - start);
                tallies[place] += part;
                evenly += if place >= shown_from { part.llm_calls } else { 0 };
            }
        }
        tallies.truncate(usize::try_from(begun).unwrap_or(0));
        let minutes = tallies.split_off(tallies.len().saturating_sub(MINUTES));
        Self { minute: Timestamp::from_micros(minute_of(at) * MINUTE_MICROS), minutes, evenly }
    }

    /// The sum of the last `count` minutes, the one that runs included.
    pub(super) fn last(&self, count: usize) -> Tally {
        self.minutes.iter().rev().take(count).fold(Tally::default(), |mut sum, minute| {
            sum += *minute;
            sum
        })
    }

    /// How much of the last `count` minutes is over, in microseconds: all of them, but the one that runs.
    fn passed(&self, count: usize, at: Timestamp) -> i128 {
        let whole = i64::try_from(count.saturating_sub(1)).unwrap_or(0) * MINUTE_MICROS;
        i128::from((whole + at.micros() - self.minute.micros()).max(1_000_000))
    }

    /// Dollars an hour, as it was over the last `count` minutes; not known where none of their calls has a price.
    pub(super) fn rate(&self, count: usize, at: Timestamp) -> Option<Usd> {
        let cost = self.last(count).known_cost()?;
        Some(per(cost, i128::from(60 * MINUTE_MICROS), self.passed(count, at)))
    }

    /// Calls a minute, as it was over the last `count` minutes, in tenths.
    pub(super) fn tenths_of_calls(&self, count: usize, at: Timestamp) -> u64 {
        let calls = i128::from(self.last(count).llm_calls) * i128::from(MINUTE_MICROS) * 10;
        u64::try_from(calls / self.passed(count, at)).unwrap_or(u64::MAX)
    }
}

/// `cost` in `passed` microseconds, as so much in `length` microseconds.
fn per(cost: Usd, length: i128, passed: i128) -> Usd {
    Usd::from_pico(cost.pico().saturating_mul(length) / passed.max(1))
}

/// Dollars a minute of what cost so much from `since` to `at`.
pub(super) fn a_minute(cost: Usd, since: Timestamp, at: Timestamp) -> Usd {
    let passed = at.micros().saturating_sub(since.micros());
    // The first second says nothing of a minute.
    per(cost, i128::from(MINUTE_MICROS), i128::from(passed.max(1_000_000)))
}

fn lacking(all: &Tally, found: &[Tally]) -> Tally {
    let mut rest = *all;
    for minute in found {
        rest.llm_calls = rest.llm_calls.saturating_sub(minute.llm_calls);
        rest.unpriced_calls = rest.unpriced_calls.saturating_sub(minute.unpriced_calls);
        rest.cost = Usd::from_pico((rest.cost.pico() - minute.cost.pico()).max(0));
    }
    rest
}

/// The part of `whole` for the `index`th of `count`: the parts differ by one at most, and add up.
fn part_of(whole: &Tally, index: usize, count: usize) -> Tally {
    let whole_number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (index, count) = (whole_number(index), whole_number(count));
    let part = |number: u64| number / count + u64::from(index < number % count);
    let pico = whole.cost.pico();
    let (index, count) = (i128::from(index), i128::from(count));
    Tally {
        llm_calls: part(whole.llm_calls),
        unpriced_calls: part(whole.unpriced_calls),
        cost: Usd::from_pico(pico / count + i128::from(index < pico % count)),
    }
}
