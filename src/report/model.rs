//! Columns and rows that cannot get out of step.

use super::cell::{Cell, Kind};

/// Who sees a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// People and programs.
    #[default]
    Everywhere,
    /// People: tables and markdown.
    TableOnly,
    /// Programs: JSON and CSV.
    ProgramsOnly,
}

/// One column: its name for programs, its head for people, and what to do when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The key in JSON and the head in CSV: the ledger's column name.
    pub key: &'static str,
    /// The head in tables.
    pub title: &'static str,
    /// What the cells are.
    pub kind: Kind,
    /// When the column goes if the table does not fit: 0 never, otherwise the highest first.
    pub keep: u8,
    /// Who sees it.
    pub shown: Shown,
    /// Whether amounts above 0 carry a `+`, as differences do.
    pub signed: bool,
    /// Whether tables put an arrow before amounts, up or down: `▲ +$2.90`.
    pub arrow: bool,
}

impl Column {
    /// A column that everybody sees and that is never dropped.
    #[must_use]
    pub const fn new(kind: Kind, key: &'static str, title: &'static str) -> Self {
        Self { key, title, kind, keep: 0, shown: Shown::Everywhere, signed: false, arrow: false }
    }

    /// A bar for people. Where there is no room it goes before the names and numbers of the second rank, and comes back if they
    /// leave some.
    #[must_use]
    pub const fn bar(title: &'static str) -> Self {
        Self { keep: 7, shown: Shown::TableOnly, ..Self::new(Kind::Bar, "", title) }
    }

    /// A line of small bars for people, the first thing to go when there is no room.
    #[must_use]
    pub const fn spark(title: &'static str) -> Self {
        Self { keep: u8::MAX, shown: Shown::TableOnly, ..Self::new(Kind::Spark, "", title) }
    }

    /// Lets the column go when the table does not fit, the highest `rank` first.
    #[must_use]
    pub const fn keep(mut self, rank: u8) -> Self {
        self.keep = rank;
        self
    }

    /// Shows the column to some readers only.
    #[must_use]
    pub const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// Marks amounts above 0 with a `+`.
    #[must_use]
    pub const fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// Marks amounts above 0 with a `+`, and which way they go with an arrow and, where there is colour, with colour.
    #[must_use]
    pub const fn trend(mut self) -> Self {
        self.signed = true;
        self.arrow = true;
        self
    }

    /// Whether JSON and CSV have it.
    pub(super) fn is_for_programs(&self) -> bool {
        self.shown != Shown::TableOnly && !self.kind.is_drawn()
    }

    /// Whether tables have it.
    pub(super) fn is_for_people(&self) -> bool {
        self.shown != Shown::ProgramsOnly
    }
}

/// Columns, rows of exactly as many cells, and perhaps a row of totals.
///
/// Made column by column from the things it shows ([`Table::of`]), so that no row can have a cell too
/// many or in the wrong place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    totals: Option<Vec<Cell>>,
}

impl Table {
    /// Starts a table with one row for each item.
    pub fn of<T>(items: &[T]) -> TableOf<'_, T> {
        let rows = items.iter().map(|_| Vec::new()).collect();
        TableOf { items, table: Table { columns: Vec::new(), rows, totals: None }, totals: None }
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows, each with a cell per column.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The totals, with a cell per column.
    #[must_use]
    pub fn totals(&self) -> Option<&[Cell]> {
        self.totals.as_deref()
    }

    /// All cells of the column at `index`: the rows' and the total.
    pub(super) fn cells_of(&self, index: usize) -> impl Iterator<Item = &Cell> {
        let total = self.totals.iter().map(move |totals| &totals[index]);
        self.rows.iter().map(move |row| &row[index]).chain(total)
    }
}

/// A [`Table`] in the making; see [`Table::of`].
#[derive(Debug)]
pub struct TableOf<'a, T> {
    items: &'a [T],
    table: Table,
    totals: Option<&'a T>,
}

impl<'a, T> TableOf<'a, T> {
    /// Gives every column added after this its total from `totals`, an item that sums the others up.
    /// Text, times and the like stay blank, as does what [`TableOf::column_without_total`] adds.
    #[must_use]
    pub fn totals(mut self, totals: &'a T) -> Self {
        debug_assert!(self.table.columns.is_empty(), "totals come before the columns they belong to");
        self.totals = Some(totals);
        self.table.totals = Some(Vec::new());
        self
    }

    /// Adds a column whose cell for each item is `cell(item)`.
    #[must_use]
    pub fn column<C: Into<Cell>>(self, column: Column, cell: impl Fn(&T) -> C) -> Self {
        let summable = column.kind.is_number() && column.kind != Kind::Duration;
        let total = self.totals.filter(|_| summable).map_or(Cell::Blank, |totals| cell(totals).into());
        self.push(column, cell, total)
    }

    /// Adds a column that has no sum, although its cells are numbers: a price, a ratio, a rank.
    #[must_use]
    pub fn column_without_total<C: Into<Cell>>(self, column: Column, cell: impl Fn(&T) -> C) -> Self {
        self.push(column, cell, Cell::Blank)
    }

    /// Adds the column only if `wanted`.
    #[must_use]
    pub fn column_if<C: Into<Cell>>(self, wanted: bool, column: Column, cell: impl Fn(&T) -> C) -> Self {
        if wanted { self.column(column, cell) } else { self }
    }

    /// The finished table.
    #[must_use]
    pub fn done(self) -> Table {
        self.table
    }

    fn push<C: Into<Cell>>(mut self, column: Column, cell: impl Fn(&T) -> C, total: Cell) -> Self {
        debug_assert!(
            !column.is_for_programs() || self.table.columns.iter().all(|other| other.key != column.key),
            "the key `{}` is there twice",
            column.key
        );
        for (row, item) in self.table.rows.iter_mut().zip(self.items) {
            let cell = cell(item).into();
            debug_assert!(column.kind.accepts(&cell), "`{}` cannot hold {cell:?}", column.key);
            row.push(cell);
        }
        if let Some(totals) = &mut self.table.totals {
            totals.push(total);
        }
        self.table.columns.push(column);
        self
    }
}

impl<T> From<TableOf<'_, T>> for Table {
    fn from(table: TableOf<'_, T>) -> Self {
        table.done()
    }
}
