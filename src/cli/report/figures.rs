//! The charts of the page.

use super::{Found, Stack};
use crate::domain::{Usd, Window};
use crate::report::{Chart, Figure, OTHERS, Series, UNKNOWN, Unit, shown_usd};
use crate::store::SpendKey;
use chrono::{NaiveDate, TimeDelta};
use std::collections::HashMap;

/// More columns would be too thin: a longer range has several days in one.
const COLUMNS: i64 = 186;
/// So many parts of a column have a colour of their own.
const PARTS: usize = OTHERS;
/// So many bars a chart has.
const BARS: usize = 10;

pub(super) fn figures(found: &Found, stack: Stack) -> Vec<Figure> {
    if found.total.llm_calls == 0 {
        return Vec::new();
    }
    let days = Days::of(&found.window);
    let mut figures = vec![spend_by_day(found, stack, &days), calls_by_day(found, &days)];
    let models = found.models.iter().map(|row| {
        let (model, provider) = (row.key.model.as_deref(), row.key.provider.as_deref());
        (spelt(model.or(provider)), row.totals.cost)
    });
    figures.extend(bars("Spend by model", models));
    let runs = found.runs.iter().map(|run| {
        let id = run.run_id.to_string();
        let end = id.len().saturating_sub(8);
        (format!("{} …{}", run.pipeline, &id[end..]), run.totals.cost)
    });
    figures.extend(bars("Most expensive runs", runs));
    figures
}

/// The columns of charts: the days of a range, several in one where there are too many.
struct Days {
    first: NaiveDate,
    each: i64,
    labels: Vec<String>,
}

impl Days {
    fn of(window: &Window) -> Self {
        let (first, last) = window.days();
        let days = (last - first).num_days() + 1;
        let each = (days + COLUMNS - 1) / COLUMNS;
        let columns = (days + each - 1) / each;
        let starts =
            (0..columns).filter_map(|column| first.checked_add_signed(TimeDelta::days(column * each)));
        let format = if days > 366 { "%-d %b %Y" } else { "%-d %b" };
        let labels = starts.map(|day| day.format(format).to_string()).collect();
        Self { first, each, labels }
    }

    fn column(&self, day: Option<NaiveDate>) -> usize {
        day.map_or(0, |day| usize::try_from((day - self.first).num_days() / self.each).unwrap_or(0))
    }

    /// `by day`, or what is in one column.
    fn by(&self) -> String {
        if self.each == 1 { "by day".to_owned() } else { format!("by {} days", self.each) }
    }
}

fn spend_by_day(found: &Found, stack: Stack, days: &Days) -> Figure {
    let rows = match stack {
        Stack::Agent => &found.agents,
        Stack::Model => &found.models,
        Stack::Pipeline => &found.pipelines,
    };
    // A part of its own for the most expensive, and one for all others.
    let own: HashMap<SpendKey, usize> =
        rows.iter().take(PARTS).enumerate().map(|(place, row)| (row.key.clone(), place)).collect();
    let mut series: Vec<Series> = rows
        .iter()
        .take(PARTS)
        .enumerate()
        .map(|(colour, row)| {
            let key = &row.key;
            let name = key.agent.as_ref().or(key.model.as_ref()).or(key.pipeline.as_ref());
            Series { name: spelt(name.map(String::as_str)), values: vec![0; days.labels.len()], colour }
        })
        .collect();
    if rows.len() > PARTS {
        let name = format!("{} others", rows.len() - PARTS);
        series.push(Series { name, values: vec![0; days.labels.len()], colour: OTHERS });
    }
    for (key, totals) in &found.stacked {
        let part = own.get(&SpendKey { day: None, ..key.clone() }).copied().unwrap_or(PARTS);
        let values = series.get_mut(part).map(|series| &mut series.values);
        if let Some(value) = values.and_then(|values| values.get_mut(days.column(key.day))) {
            *value += totals.cost.pico().unsigned_abs();
        }
    }
    let of = match stack {
        Stack::Agent => "agent",
        Stack::Model => "model",
        Stack::Pipeline => "pipeline",
    };
    let title = format!("Spend {} and {of}", days.by());
    let summary = format!(
        "{title}: {} in all. The table “By day” has the numbers.",
        shown_usd(found.total.cost, Usd::ZERO, false)
    );
    Figure { title, summary, chart: Chart::Columns { labels: days.labels.clone(), series, unit: Unit::Usd } }
}

fn calls_by_day(found: &Found, days: &Days) -> Figure {
    let empty = || vec![0_u128; days.labels.len()];
    let (mut priced, mut unpriced) = (empty(), empty());
    for (key, totals) in &found.stacked {
        let column = days.column(key.day);
        if let (Some(priced), Some(unpriced)) = (priced.get_mut(column), unpriced.get_mut(column)) {
            *priced += u128::from(totals.llm_calls.saturating_sub(totals.unpriced_calls));
            *unpriced += u128::from(totals.unpriced_calls);
        }
    }
    let title = format!("Calls {}, and how many have a price", days.by());
    let summary =
        format!("{title}: {} of {} calls have none.", found.total.unpriced_calls, found.total.llm_calls);
    let series = vec![
        Series { name: "priced".to_owned(), values: priced, colour: 0 },
        Series { name: "without a price".to_owned(), values: unpriced, colour: UNKNOWN },
    ];
    Figure {
        title,
        summary,
        chart: Chart::Columns { labels: days.labels.clone(), series, unit: Unit::Count },
    }
}

/// The largest amounts as bars; none where nothing is known to have cost anything.
fn bars(title: &str, amounts: impl Iterator<Item = (String, Usd)>) -> Option<Figure> {
    let rows: Vec<(String, u128)> = amounts
        .filter(|(_, cost)| *cost > Usd::ZERO)
        .take(BARS)
        .map(|(name, cost)| (name, cost.pico().unsigned_abs()))
        .collect();
    let first = rows.first()?.0.clone();
    let summary = format!("{title}, the largest {} first: {first}.", rows.len());
    Some(Figure { title: title.to_owned(), summary, chart: Chart::Bars { rows, unit: Unit::Usd } })
}

/// A name, or what stands for none.
fn spelt(name: Option<&str>) -> String {
    name.filter(|name| !name.is_empty()).unwrap_or("without a name").to_owned()
}
