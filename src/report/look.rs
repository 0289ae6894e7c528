//! A cell as people read it.

use super::cell::{Cell, Kind};
use super::footer::local_time;
use super::model::{Column, Table};
use super::number::{self, thousands};
use super::text::tame;
use super::{Scope, Style};
use crate::domain::Usd;
use chrono_tz::Tz;
use std::cmp::Ordering;

/// How a column's cells are written: the same for all of them, so that they line up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    kind: Kind,
    signed: bool,
    arrow: bool,
    decimals: usize,
    largest: u128,
    /// Whether token counts and times are short.
    compact: bool,
    /// Columns of the longest bar.
    bar: usize,
    zone: Tz,
    style: Style,
}

/// Columns of a bar: at least, and at most.
pub(super) const BAR: (usize, usize) = (8, 20);

impl Look {
    /// How the column at `index` of `table` looks.
    pub(super) fn of_column(table: &Table, index: usize, scope: &Scope, style: Style, compact: bool) -> Self {
        let Column { kind, signed, arrow, .. } = table.columns()[index];
        // Differences share their decimals, so that they can be added up by eye.
        let alike = (0..table.columns().len())
            .filter(|&other| other == index || (signed && kind == Kind::Usd && is_difference(table, other)));
        let amounts = alike.flat_map(|other| table.cells_of(other).filter_map(amount));
        let decimals = match kind {
            Kind::UsdExact => number::exact_decimals(amounts),
            _ => number::decimals(amounts),
        };
        // A bar of the total would make every other one short.
        let largest = table.rows().iter().map(|row| row[index].magnitude()).max().unwrap_or(0);
        let bar = if compact { BAR.0 } else { BAR.1 };
        Self { kind, signed, arrow, decimals, largest, compact, bar, zone: scope.zone(), style }
    }

    /// How a value that stands alone looks.
    pub(super) fn alone(cell: &Cell, scope: &Scope, style: Style) -> Self {
        let decimals = number::decimals(amount(cell).into_iter());
        let (kind, zone) = (cell.kind(), scope.zone());
        let (signed, arrow, largest, compact, bar) = (false, false, 0, false, BAR.1);
        Self { kind, signed, arrow, decimals, largest, compact, bar, zone, style }
    }

    /// Which way an amount of a column of differences goes.
    pub(super) fn trend(&self, usd: Usd) -> Option<Trend> {
        Trend::of(usd).filter(|_| self.arrow)
    }

    /// The same with bars of another length.
    pub(super) fn with_bar(self, bar: usize) -> Self {
        Self { bar, ..self }
    }

    /// The cell as one line of text that is safe to print.
    pub(super) fn text(&self, cell: &Cell) -> String {
        if self.kind == Kind::Bar {
            return number::bar(cell.magnitude(), self.largest, self.bar, self.style.unicode);
        }
        let missing = || self.style.missing().to_owned();
        match cell {
            Cell::Text(text) | Cell::Id(text) => tame(text).into_owned(),
            Cell::Count(count) => thousands(&count.to_string()),
            Cell::Change(change) if *change > 0 => format!("+{}", thousands(&change.to_string())),
            Cell::Change(change) => thousands(&change.to_string()),
            Cell::Tokens(tokens) if self.compact => number::humanised(*tokens),
            Cell::Tokens(tokens) => thousands(&tokens.to_string()),
            Cell::Usd(usd) => {
                let amount = number::dollars(*usd, self.decimals, self.signed);
                match self.trend(*usd) {
                    Some(trend) => format!("{} {amount}", trend.arrow(self.style.unicode)),
                    None => amount,
                }
            }
            Cell::Series(amounts) => number::spark(amounts, self.style.unicode),
            Cell::Unpriced => "unpriced".to_owned(),
            Cell::Share { part, whole } => {
                number::percent(*part, *whole, self.signed).unwrap_or_else(missing)
            }
            Cell::Time(time) => local_time(*time, self.zone, !self.compact),
            Cell::Day(day) => day.to_string(),
            Cell::Millis(millis) => number::duration(*millis),
            Cell::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Cell::List(words) if words.is_empty() => missing(),
            Cell::List(words) => tame(&words.join(", ")).into_owned(),
            Cell::Pairs(pairs) if pairs.is_empty() => missing(),
            Cell::Pairs(pairs) => tame(&joined(pairs, ", ")).into_owned(),
            Cell::Missing => missing(),
            Cell::Blank => String::new(),
        }
    }
}

/// Which way an amount goes. More spend is a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trend {
    Up,
    Down,
}

impl Trend {
    pub(super) fn of(usd: Usd) -> Option<Self> {
        match usd.cmp(&Usd::ZERO) {
            Ordering::Greater => Some(Self::Up),
            Ordering::Less => Some(Self::Down),
            Ordering::Equal => None,
        }
    }

    const fn arrow(self, unicode: bool) -> char {
        match (self, unicode) {
            (Self::Up, true) => '▲',
            (Self::Up, false) => '^',
            (Self::Down, true) => '▼',
            (Self::Down, false) => 'v',
        }
    }
}

/// The columns that people see, by their place in the table.
pub(super) fn for_people(table: &Table, bars: bool) -> Vec<usize> {
    let columns = table.columns().iter().enumerate();
    columns
        .filter(|(_, column)| column.is_for_people() && (bars || !column.kind.is_drawn()))
        .map(|(index, _)| index)
        .collect()
}

/// Where the word `total` goes: the first column seen whose total is blank.
pub(super) fn total_place(table: &Table, seen: &[usize]) -> Option<usize> {
    let totals = table.totals()?;
    seen.iter()
        .copied()
        .find(|&index| totals[index] == Cell::Blank && !table.columns()[index].kind.is_drawn())
}

/// `key=value` with `between` between.
pub(super) fn joined(pairs: &[(String, String)], between: &str) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(between)
}

fn is_difference(table: &Table, index: usize) -> bool {
    let column = table.columns()[index];
    column.kind == Kind::Usd && column.signed && column.is_for_people()
}

fn amount(cell: &Cell) -> Option<Usd> {
    match cell {
        Cell::Usd(usd) => Some(*usd),
        _ => None,
    }
}
