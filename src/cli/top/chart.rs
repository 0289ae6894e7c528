//! The last hour, a minute or more a column.

use super::draw::{Pen, in_dollars, lines};
use super::look::{MINUTES, Snapshot};
use crate::domain::{Timestamp, Usd};
use crate::report::number::percent;
use crate::report::text::width;
use crate::store::Tally;
use chrono::Timelike;
use chrono_tz::Tz;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const EIGHTHS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
/// Where the axis is written.
const LABEL: u16 = 9;
const MINUTE_MICROS: i64 = 60_000_000;

/// A title, the bars over a rule of times.
pub(super) fn draw(snapshot: &Snapshot, pen: &Pen, zone: Tz, area: Rect, buffer: &mut Buffer) {
    let room = usize::from(area.width.saturating_sub(LABEL));
    let shown = room.min(MINUTES);
    let column = (room / MINUTES).max(1);
    let minutes = &snapshot.hour.minutes[snapshot.hour.minutes.len().saturating_sub(shown)..];
    let largest = minutes.iter().map(|minute| minute.cost).max().unwrap_or(Usd::ZERO);
    lines(area, buffer, &[pen.title(&title(snapshot, shown), area.width)]);
    let bars = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    let top = format!("{:>1$} ", in_dollars(largest), usize::from(LABEL) - 1);
    lines(bars, buffer, &[Line::from(pen.label(if largest > Usd::ZERO { top } else { String::new() }))]);
    for (index, minute) in minutes.iter().enumerate() {
        let x = bars.x + LABEL + short(index * column);
        for y in bars.y..bars.bottom() {
            let (cell, style) = match bar(minute, largest, bars, y, pen.is_unicode) {
                Some(cell) => (cell, pen.bar()),
                None if y + 1 == bars.bottom() => (nothing(minute, pen.is_unicode), pen.dim),
                None => continue,
            };
            for within in 0..short(column) {
                buffer.set_string(x + within, y, cell, style);
            }
        }
    }
    let axis = axis(snapshot.hour.minute, minutes.len(), column, zone);
    let axis = format!("{}{axis}", " ".repeat(usize::from(LABEL)));
    lines(Rect { y: bars.bottom(), height: 1, ..area }, buffer, &[Line::from(Span::styled(axis, pen.dim))]);
}

fn title(snapshot: &Snapshot, shown: usize) -> String {
    let span = if shown < MINUTES { format!("last {shown} minutes") } else { "last hour".to_owned() };
    let calls = snapshot.hour.last(MINUTES).llm_calls;
    match percent(i128::from(snapshot.hour.evenly), i128::from(calls), false) {
        Some(share) if snapshot.hour.evenly > 0 => {
            format!("{span}, dollars a minute; {share} of the calls spread over their quarter")
        }
        _ => format!("{span}, dollars a minute"),
    }
}

/// What a minute's bar has in the row `y`. Something is never drawn as nothing.
fn bar(minute: &Tally, largest: Usd, bars: Rect, y: u16, is_unicode: bool) -> Option<&'static str> {
    if minute.cost <= Usd::ZERO || largest <= Usd::ZERO {
        return None;
    }
    let steps = i128::from(bars.height) * 8;
    let filled = (minute.cost.pico().saturating_mul(steps) / largest.pico()).clamp(1, steps);
    let below = i128::from(bars.bottom() - 1 - y) * 8;
    let here = usize::try_from((filled - below).clamp(0, 8)).unwrap_or(0);
    match here {
        0 => None,
        _ if is_unicode => Some(EIGHTHS[here - 1]),
        // Without halves a row is full, or it is not; the lowest always is.
        _ if here >= 4 || below == 0 => Some("#"),
        _ => None,
    }
}

/// At the bottom of a minute without a bar: calls whose cost is not known, or none.
fn nothing(minute: &Tally, is_unicode: bool) -> &'static str {
    match (minute.unpriced_calls > 0, is_unicode) {
        (true, _) => "?",
        (false, true) => "·",
        (false, false) => ".",
    }
}

/// The quarters of an hour under their minutes.
fn axis(last: Timestamp, count: usize, column: usize, zone: Tz) -> String {
    let mut axis = String::new();
    for index in 0..count {
        let ago = i64::try_from(count - 1 - index).unwrap_or(0);
        let time = last.plus_micros(-ago * MINUTE_MICROS).to_utc().with_timezone(&zone);
        let label = time.format("%H:%M").to_string();
        let at = index * column;
        if time.minute().is_multiple_of(15) && at >= width(&axis) && at + label.len() <= count * column {
            axis.push_str(&" ".repeat(at - width(&axis)));
            axis.push_str(&label);
        }
    }
    axis
}

fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
