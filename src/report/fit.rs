//! Which columns a terminal has room for, and how wide each may be.

use super::cell::Kind;
use super::look::{BAR, Look, for_people};
use super::model::Table;
use super::text::width;
use super::{Scope, Style};

/// Columns between two columns.
pub(super) const GAP: usize = 2;
/// No table is wider than this, whatever the terminal says.
const WIDEST: usize = 10_000;
/// The room a column of words asks for before another column has to go; it gets more if there is more.
const WANTED_TEXT: usize = 20;
/// The same for ids: a mark and twelve digits, which name a thing beyond doubt.
const WANTED_ID: usize = 13;
/// What is left of a column of words at worst.
const LEAST_TEXT: usize = 6;

/// The columns that fit.
pub(super) struct Fit {
    /// From left to right.
    pub columns: Vec<FitColumn>,
    /// The heads of those that had to go, from left to right.
    pub hidden: Vec<&'static str>,
}

/// One column that fits.
pub(super) struct FitColumn {
    /// Its place in the table.
    pub index: usize,
    /// How its cells are written.
    pub look: Look,
    /// How wide they may be.
    pub width: usize,
    /// What it is.
    pub kind: Kind,
    keep: u8,
    natural: usize,
}

impl FitColumn {
    /// The least width with which the column is still worth its place; numbers are never cut.
    fn least(&self, wanted_text: usize, wanted_id: usize) -> usize {
        match self.kind {
            Kind::Text => self.natural.min(wanted_text),
            Kind::Id => self.natural.min(wanted_id),
            _ => self.natural,
        }
    }
}

/// Fits `table` into the style's width: short numbers, then fewer columns, then cut words.
pub(super) fn fit(table: &Table, scope: &Scope, style: Style) -> Fit {
    let room = style.width.min(WIDEST);
    let wanted = |columns: &[FitColumn]| sum(columns, |column| column.least(WANTED_TEXT, WANTED_ID));
    let mut columns = measured(table, scope, style, false);
    if wanted(&columns) > room {
        columns = measured(table, scope, style, true);
    }
    let mut gone = Vec::new();
    while wanted(&columns) > room
        && let Some(place) = first_to_go(&columns)
    {
        gone.push(columns.remove(place));
    }
    // Rather lose a column that should stay than break every line.
    let least = |columns: &[FitColumn]| sum(columns, |column| column.least(LEAST_TEXT, LEAST_TEXT));
    if least(&columns) > room {
        while least(&columns) > room && columns.len() > 1 {
            gone.extend(columns.pop());
        }
    } else {
        bring_back(&mut columns, &mut gone, |columns| wanted(columns) <= room);
    }
    share_out(&mut columns, room);
    lengthen_bars(&mut columns, room);
    gone.retain(|column| !column.kind.is_drawn());
    gone.sort_by_key(|column| column.index);
    Fit { columns, hidden: gone.iter().map(|column| table.columns()[column.index].title).collect() }
}

/// All columns that people see, at their natural width.
fn measured(table: &Table, scope: &Scope, style: Style, compact: bool) -> Vec<FitColumn> {
    let column = |index: usize| {
        let look = Look::of_column(table, index, scope, style, compact);
        let column = table.columns()[index];
        let cells = table.cells_of(index).map(|cell| width(&look.text(cell)));
        let total = if table.totals().is_some() && !column.kind.is_number() { "total".len() } else { 0 };
        let natural = cells.max().unwrap_or(0).max(width(&style.spelt(column.title))).max(total);
        FitColumn { index, look, width: natural, kind: column.kind, keep: column.keep, natural }
    };
    for_people(table, true).into_iter().map(column).collect()
}

/// The place of the least useful column; of equals, the rightmost.
fn first_to_go(columns: &[FitColumn]) -> Option<usize> {
    let droppable = columns.iter().enumerate().filter(|(_, column)| column.keep > 0);
    droppable.max_by_key(|(place, column)| (column.keep, *place)).map(|(place, _)| place)
}

/// What is drawn comes back where what went after it has left room, the most useful first.
fn bring_back(columns: &mut Vec<FitColumn>, gone: &mut Vec<FitColumn>, fits: impl Fn(&[FitColumn]) -> bool) {
    let (mut drawn, others): (Vec<_>, Vec<_>) = gone.drain(..).partition(|column| column.kind.is_drawn());
    *gone = others;
    drawn.sort_by_key(|column| column.keep);
    for column in drawn {
        let place = columns.partition_point(|other| other.index < column.index);
        columns.insert(place, column);
        if !fits(columns) {
            gone.push(columns.remove(place));
        }
    }
}

/// Short bars take the room that is left.
fn lengthen_bars(columns: &mut [FitColumn], room: usize) {
    let left = room.saturating_sub(sum(columns, |column| column.width));
    if let Some(bar) = columns.iter_mut().find(|column| column.kind == Kind::Bar && column.width == BAR.0) {
        bar.width = (bar.width + left).min(BAR.1);
        bar.look = bar.look.with_bar(bar.width);
    }
}

/// Gives words and ids what the numbers leave: ids enough to name a thing, words what they need or else a
/// fair part, and ids what is then left.
fn share_out(columns: &mut [FitColumn], room: usize) {
    let gaps = GAP * columns.len().saturating_sub(1);
    let fixed: usize = columns.iter().filter(|c| !c.kind.is_text()).map(|c| c.natural).sum();
    let left = room.saturating_sub(gaps + fixed);
    let asked = |column: &FitColumn| column.least(usize::MAX, WANTED_ID);
    let left = left - level(columns, left, |column| column.kind.is_text(), asked);
    let ids =
        columns.iter().filter(|column| column.kind == Kind::Id).map(|column| column.width).sum::<usize>();
    level(columns, left + ids, |column| column.kind == Kind::Id, |column| column.natural);
    // One number alone may still be too wide for a very narrow terminal.
    if let [only] = columns {
        only.width = only.width.min(room);
    }
}

/// Gives each of the `chosen` columns what it asks for, or else a fair part of `room`; answers what they took.
fn level(
    columns: &mut [FitColumn],
    room: usize,
    chosen: impl Fn(&FitColumn) -> bool,
    asked: impl Fn(&FitColumn) -> usize,
) -> usize {
    let mut chosen: Vec<&mut FitColumn> = columns.iter_mut().filter(|column| chosen(column)).collect();
    chosen.sort_by_key(|column| asked(column));
    let (mut left, mut waiting) = (room, chosen.len());
    for column in chosen {
        column.width = asked(column).min(left / waiting);
        left -= column.width;
        waiting -= 1;
    }
    room - left
}

fn sum(columns: &[FitColumn], width: impl Fn(&FitColumn) -> usize) -> usize {
    columns.iter().map(width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}
