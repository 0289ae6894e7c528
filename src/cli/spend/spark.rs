//! When a row's spend was: its series over the range, for a line of small bars.

use crate::cli::columns::known_cost;
use crate::domain::{Usd, Window};
use crate::error::Result;
use crate::store::{Filter, SpendBy, SpendKey, Store, Totals};
use chrono::NaiveDate;
use std::collections::BTreeMap;

/// No line is longer: a range of more days has several of them in one bar.
const LONGEST: i64 = 31;
/// Fewer bars say nothing that the number does not.
const SHORTEST: usize = 3;
const HOUR_MICROS: i64 = 3_600_000_000;

/// What each row spent from day to day of `window`, or from hour to hour of a single day. Empty for rows that are days.
pub(super) async fn series(
    store: &Store,
    window: &Window,
    by: SpendBy,
    filter: &Filter,
) -> Result<BTreeMap<SpendKey, Vec<Option<Usd>>>> {
    if by.day {
        return Ok(BTreeMap::new());
    }
    let (first, last) = window.days();
    let totals = if first == last {
        hours(store, window, by, filter).await?
    } else {
        days(store, window, by, filter, (first, last)).await?
    };
    let known = |totals: Vec<Totals>| totals.iter().map(known_cost).collect();
    Ok(totals.into_iter().map(|(key, totals)| (key, known(totals))).collect())
}

/// Whether drawing the series says anything: a row that spent at more than one time.
pub(super) fn helps<'a>(mut series: impl Iterator<Item = &'a [Option<Usd>]>) -> bool {
    let has_spent = |amount: &&Option<Usd>| **amount != Some(Usd::ZERO);
    series.any(|amounts| amounts.len() >= SHORTEST && amounts.iter().filter(has_spent).count() > 1)
}

async fn days(
    store: &Store,
    window: &Window,
    by: SpendBy,
    filter: &Filter,
    (first, last): (NaiveDate, NaiveDate),
) -> Result<BTreeMap<SpendKey, Vec<Totals>>> {
    let days = (last - first).num_days() + 1;
    let each = (days + LONGEST - 1) / LONGEST;
    let bars = usize::try_from((days + each - 1) / each).unwrap_or(0);
    let mut series: BTreeMap<SpendKey, Vec<Totals>> = BTreeMap::new();
    for (mut key, totals) in store.spend(window, SpendBy { day: true, ..by }, filter).await? {
        let Some(day) = key.day.take() else { continue };
        let place = usize::try_from((day - first).num_days() / each).unwrap_or(0);
        let row = series.entry(key).or_insert_with(|| vec![Totals::default(); bars]);
        if let Some(bar) = row.get_mut(place) {
            *bar += totals;
        }
    }
    Ok(series)
}

/// The hours of one day. Only from the rollup, which answers at once: not where the journal would be read for each.
async fn hours(
    store: &Store,
    window: &Window,
    by: SpendBy,
    filter: &Filter,
) -> Result<BTreeMap<SpendKey, Vec<Totals>>> {
    let mut series: BTreeMap<SpendKey, Vec<Totals>> = BTreeMap::new();
    if filter.status.is_some() || window.since != window.since.bucket_start() {
        return Ok(series);
    }
    let length = window.until.micros() - window.since.micros();
    let bars = usize::try_from((length + HOUR_MICROS - 1) / HOUR_MICROS).unwrap_or(0);
    let mut since = window.since;
    for place in 0..bars {
        let until = since.plus_micros(HOUR_MICROS).min(window.until);
        let hour = Window { since, until, ..*window };
        for (key, totals) in store.spend(&hour, by, filter).await? {
            series.entry(key).or_insert_with(|| vec![Totals::default(); bars])[place] += totals;
        }
        since = until;
    }
    Ok(series)
}
