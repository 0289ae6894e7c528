//! What stands under a table: what it is about, how much of it is priced, what was left out.

use super::number::{percent, thousands};
use super::text::tame;
use super::{Coverage, Empty, Scope};
use crate::domain::{Timestamp, Window};
use chrono_tz::Tz;

/// An instant in `zone`, to the second or to the minute.
pub(super) fn local_time(time: Timestamp, zone: Tz, seconds: bool) -> String {
    let format = if seconds { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    time.to_utc().with_timezone(&zone).format(format).to_string()
}

/// The number of local days, if the window is made of whole ones.
pub(super) fn whole_days(window: &Window) -> Option<i64> {
    let (first, last) = window.days();
    let whole = Window::dates(first, last, window.zone).is_ok_and(|days| days == *window);
    whole.then(|| (last - first).num_days() + 1)
}

/// The window in words: `2026-11-16 – 2026-11-22 (7 days)`.
fn range(window: &Window, unicode: bool) -> String {
    let to = if unicode { "–" } else { "to" };
    let (first, last) = window.days();
    match whole_days(window) {
        Some(1) => format!("{first} (1 day)"),
        Some(days) => format!("{first} {to} {last} ({} days)", thousands(&days.to_string())),
        None => {
            let seconds = window.since.seconds() % 60 != 0 || window.until.seconds() % 60 != 0;
            let local = |time| local_time(time, window.zone, seconds);
            format!("{} {to} {}", local(window.since), local(window.until))
        }
    }
}

/// Range, time zone, catalogue and coverage, as far as they are known.
pub(super) fn about(scope: &Scope, unicode: bool) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(window) = &scope.window {
        parts.push(range(window, unicode));
    }
    if let Some(against) = &scope.against {
        parts.push(format!("against {}", range(against, unicode)));
    }
    if scope.names_zone() {
        let source = scope.zone_source.as_ref().map(|source| format!(" ({source})"));
        parts.push(format!("{}{}", scope.zone(), source.unwrap_or_default()));
    }
    if let Some(catalogue) = &scope.catalogue {
        parts.push(format!("catalogue {catalogue}"));
    }
    if let Some(coverage) = scope.coverage
        && let Some(share) = share_priced(coverage)
    {
        let (calls, noun) = counted(coverage.calls);
        parts.push(format!("{share} of {calls} {noun} priced"));
    }
    parts.iter().map(|part| tame(part).into_owned()).collect()
}

/// The warning that sums are not complete, if they are not.
pub(super) fn warning(scope: &Scope) -> Option<String> {
    let coverage = scope.coverage.filter(|coverage| coverage.unpriced() > 0)?;
    let (calls, noun) = counted(coverage.unpriced());
    let verb = if coverage.unpriced() == 1 { "is" } else { "are" };
    let share = percent(coverage.unpriced().into(), coverage.calls.into(), false)?;
    Some(format!("{calls} {noun} ({share}) {verb} unpriced and not in these sums: see `asmm prices missing`"))
}

/// What to say instead of an empty table: the fact and the next step.
pub(super) fn nothing(empty: &Empty, scope: &Scope, unicode: bool) -> [String; 2] {
    let range = scope.window.as_ref().map(|window| format!(" in {}", range(window, unicode)));
    let fact = format!("no {}{}", empty.what, range.unwrap_or_default());
    [tame(&fact).into_owned(), format!("next: {}", tame(&empty.next_step))]
}

fn share_priced(coverage: Coverage) -> Option<String> {
    percent(coverage.priced.into(), coverage.calls.into(), false)
}

fn counted(calls: u64) -> (String, &'static str) {
    (thousands(&calls.to_string()), if calls == 1 { "call" } else { "calls" })
}
