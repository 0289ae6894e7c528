//! Rows as files that other programs read: CSV, and Parquet. Written as they come, in bounded memory.

mod parquet;
mod thrift;

use super::cell::Cell;
use super::{csv, unwritable};
use crate::error::Result;
use std::io::Write;

/// What the values of a column are. It decides the type in Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetKind {
    /// [`Cell::Text`] and [`Cell::Id`]: a string.
    Text,
    /// [`Cell::Count`], [`Cell::Tokens`] and [`Cell::Millis`]: a 64-bit integer.
    Count,
    /// [`Cell::Usd`]: `DECIMAL(38, 12)`, which is a whole number of picodollars.
    Usd,
    /// [`Cell::Time`]: a timestamp of microseconds, UTC.
    Time,
    /// [`Cell::Day`]: a date.
    Day,
}

/// A column of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SheetColumn {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: SheetKind,
    /// Whether a value may be unknown.
    pub is_nullable: bool,
}

impl SheetColumn {
    /// A column whose values are all known.
    #[must_use]
    pub const fn new(kind: SheetKind, name: &'static str) -> Self {
        Self { name, kind, is_nullable: false }
    }

    /// Lets values be unknown.
    #[must_use]
    pub const fn or_unknown(mut self) -> Self {
        self.is_nullable = true;
        self
    }
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SheetFormat {
    /// As [`super::Format::Csv`]: exact values, and nothing for what is unknown.
    Csv,
    /// Apache Parquet, compressed by zstd.
    Parquet,
}

/// A file in the making.
///
/// ```
/// use asmm::domain::Usd;
/// use asmm::report::{Cell, Sheet, SheetColumn, SheetFormat, SheetKind};
///
/// let columns = vec![
///     SheetColumn::new(SheetKind::Text, "agent"),
///     SheetColumn::new(SheetKind::Usd, "estimated_cost_usd").or_unknown(),
/// ];
/// let mut bytes = Vec::new();
/// let mut sheet = Sheet::new(&mut bytes, SheetFormat::Csv, columns)?;
/// sheet.row(&[Cell::text("writer"), Usd::from_pico(1_250_000_000_000).into()])?;
/// sheet.row(&[Cell::text("critic"), Cell::Unpriced])?;
/// sheet.finish()?;
/// assert_eq!(bytes, b"agent,estimated_cost_usd\r\nwriter,1.25\r\ncritic,\r\n");
/// # Ok::<(), asmm::Error>(())
/// ```
pub struct Sheet<'a> {
    out: &'a mut dyn Write,
    columns: Vec<SheetColumn>,
    parquet: Option<parquet::File>,
}

impl<'a> Sheet<'a> {
    /// Starts a file.
    ///
    /// # Errors
    /// When `out` cannot be written; a closed pipe is such an error, with the cause attached.
    pub fn new(out: &'a mut dyn Write, format: SheetFormat, columns: Vec<SheetColumn>) -> Result<Self> {
        let parquet = match format {
            SheetFormat::Csv => {
                csv::head(out, columns.iter().map(|column| column.name)).map_err(unwritable)?;
                None
            }
            SheetFormat::Parquet => Some(parquet::File::start(out, &columns).map_err(unwritable)?),
        };
        Ok(Self { out, columns, parquet })
    }

    /// Adds a row: a cell for each column, of the column's kind or unknown.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn row(&mut self, cells: &[Cell]) -> Result<()> {
        debug_assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        match &mut self.parquet {
            None => csv::row(self.out, cells),
            Some(file) => file.row(self.out, &self.columns, cells),
        }
        .map_err(unwritable)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<()> {
        if let Some(file) = self.parquet {
            file.finish(self.out, &self.columns).map_err(unwritable)?;
        }
        self.out.flush().map_err(unwritable)
    }
}
