//! Rows to tables, charts, JSON, CSV, markdown and HTML.
//!
//! A command describes what it found as a [`Report`] (one table) or a [`Document`] (fields and several
//! tables) of exact values, and this room writes it in the [`Format`] the user asked for. It imports
//! only the domain, prints nothing (it writes to what it is given), and is the only user of comfy-table and plotters.
//!
//! What the formats promise:
//!
//! - **JSON** is a versioned contract: exact values, dollars as decimal strings, times in RFC 3339, shares as
//!   decimal strings with six places, one object on one line, keys in the order of the columns. Unknown is `null`.
//! - **CSV** is RFC 4180 (lines end in `\r\n`), with the JSON keys as its head, exact values, and
//!   unknown as an empty field. Words that a spreadsheet would run as a formula (they start with `=`, `+`, `-`, `@`,
//!   a tab or a carriage return) get an apostrophe in front; whoever needs such a name unchanged takes JSON. A
//!   document gives its first section.
//! - **Tables** fit the width. Rounding is one rule a column (see [`Kind::Usd`]), so that decimal points stand
//!   under each other; nothing known is ever rounded to 0, and nothing unknown is shown as 0. What does not fit
//!   gives way in this order: exact token counts and seconds become short ones (`1.2M`), columns go by
//!   [`Column::keep`] (the footer names them), and only then words are cut.
//! - **Markdown** is the table in full, for an issue, a chat or an incident's notes; what the numbers are about stands
//!   under it as a quotation.
//! - A [`Page`] is HTML with charts and tables, whole in itself: no script, nothing from the network.
//! - A [`Sheet`] is for files that are too long to be held: rows are written as they come, as CSV or Parquet.
//!
//! ```
//! use asmm::domain::Usd;
//! use asmm::report::{Column, Format, Kind, Report, Style, Table};
//!
//! struct Spend { agent: &'static str, calls: u64, cost: Usd }
//!
//! let rows = [Spend { agent: "writer", calls: 3, cost: Usd::from_pico(1_250_000_000_000) }];
//! let total = Spend { agent: "", calls: 3, cost: Usd::from_pico(1_250_000_000_000) };
//! let table = Table::of(&rows)
//!     .totals(&total)
//!     .column(Column::new(Kind::Text, "agent", "agent"), |row| row.agent)
//!     .column(Column::new(Kind::Count, "llm_calls", "calls").keep(1), |row| asmm::report::Cell::Count(row.calls))
//!     .column(Column::new(Kind::Usd, "estimated_cost_usd", "cost"), |row| row.cost);
//! let text = Report::new("asmm.spend_agent/1", table).to_text(Format::Table, Style::plain(80))?;
//! assert!(text.contains("writer      3  $1.25"));
//! # Ok::<(), asmm::Error>(())
//! ```

mod cell;
mod chart;
mod csv;
mod fit;
mod footer;
mod html;
mod json;
mod look;
mod markdown;
mod model;
pub(crate) mod number;
mod sheet;
mod terminal;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub use cell::{Cell, Kind};
pub use chart::{COLOURS, Chart, OTHERS, Series, UNKNOWN, Unit};
pub use html::{Figure, Page};
pub use model::{Column, Shown, Table, TableOf};
pub use sheet::{Sheet, SheetColumn, SheetFormat, SheetKind};

use crate::domain::{Usd, Window};
use crate::error::{Error, Result};
use chrono_tz::Tz;
use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For a terminal.
    #[default]
    Table,
    /// For programs: one object.
    Json,
    /// For spreadsheets.
    Csv,
    /// For issues and chats.
    Markdown,
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal; no line of a table is longer. Kept from 30 columns up.
    pub width: usize,
    /// Whether to use colour.
    pub color: bool,
    /// Whether rules, bars and marks may be other than ASCII. Words of the ledger are shown as they are.
    pub unicode: bool,
}

impl Style {
    /// Unicode without colour, `width` columns wide.
    #[must_use]
    pub const fn plain(width: usize) -> Self {
        Self { width, color: false, unicode: true }
    }

    /// The mark for what was left out.
    const fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// The mark for what is not known.
    const fn missing(self) -> &'static str {
        if self.unicode { "–" } else { "-" }
    }

    /// Words of the program (not of the ledger) as this terminal can show them.
    fn spelt(self, words: &str) -> Cow<'_, str> {
        const ASCII: [(&str, &str); 7] =
            [("→", "->"), ("×", "x"), ("–", "-"), ("…", "..."), ("·", "|"), ("≤", "<="), ("±", "+/-")];
        if self.unicode || words.is_ascii() {
            return Cow::Borrowed(words);
        }
        Cow::Owned(ASCII.iter().fold(words.to_owned(), |words, (mark, ascii)| words.replace(mark, ascii)))
    }
}

/// How much of the usage has a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// Calls with a price.
    pub priced: u64,
    /// All calls.
    pub calls: u64,
}

impl Coverage {
    /// Calls without a price.
    #[must_use]
    pub const fn unpriced(self) -> u64 {
        self.calls.saturating_sub(self.priced)
    }
}

/// What a report is about; the footer and the JSON say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The range of time.
    pub window: Option<Window>,
    /// The range it is compared with.
    pub against: Option<Window>,
    /// The zone of the times shown, where there is no window; UTC if there is neither.
    pub zone: Option<Tz>,
    /// Where the zone comes from, in words that stand after its name: `from ASMM_TZ`.
    pub zone_source: Option<String>,
    /// The version of the price catalogue.
    pub catalogue: Option<String>,
    /// How many of the calls are priced.
    pub coverage: Option<Coverage>,
}

impl Scope {
    /// The zone in which times are shown.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.window.map(|window| window.zone).or(self.zone).unwrap_or(Tz::UTC)
    }

    /// Whether the zone was chosen by anybody, so that it should be named.
    fn names_zone(&self) -> bool {
        self.window.is_some() || self.zone.is_some()
    }
}

/// What to say when there are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Empty {
    /// What there is none of: `calls`.
    pub what: String,
    /// What to do about it.
    pub next_step: String,
}

impl Default for Empty {
    fn default() -> Self {
        Self {
            what: "calls".to_owned(),
            next_step: "widen the range with `--days`, or load usage with `asmm import`".to_owned(),
        }
    }
}

/// One table and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The contract's name and version: `asmm.spend_daily/1`.
    pub schema: &'static str,
    /// A line above the table, for people.
    pub title: Option<String>,
    /// What it is about.
    pub scope: Scope,
    /// The rows.
    pub table: Table,
    /// The rows in words, under the table, for people. Names in them are anybody's.
    pub sentences: Vec<String>,
    /// What to say instead of no rows.
    pub empty: Empty,
    /// Lines under the table, for people; in markdown they are taken as markdown.
    pub notes: Vec<String>,
}

impl Report {
    /// A report without title, scope and notes.
    #[must_use]
    pub fn new(schema: &'static str, table: impl Into<Table>) -> Self {
        let (scope, empty) = (Scope::default(), Empty::default());
        let (sentences, notes) = (Vec::new(), Vec::new());
        Self { schema, title: None, scope, table: table.into(), sentences, empty, notes }
    }

    /// Writes the report.
    ///
    /// # Errors
    /// When `out` cannot be written; a closed pipe is such an error, with the cause attached.
    pub fn write(&self, out: &mut dyn Write, format: Format, style: Style) -> Result<()> {
        match format {
            Format::Table => write_text(out, &terminal::report(self, style)),
            Format::Markdown => write_text(out, &markdown::report(self)),
            Format::Json => buffered(out, |out| json::report(out, self)),
            Format::Csv => buffered(out, |out| csv::table(out, &self.table)),
        }
    }

    /// The report as one string.
    pub fn to_text(&self, format: Format, style: Style) -> Result<String> {
        in_memory(|out| self.write(out, format, style))
    }
}

/// One field at the head of a [`Document`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The key in JSON.
    pub key: &'static str,
    /// The label for people.
    pub title: &'static str,
    /// The value.
    pub cell: Cell,
}

/// One table of a [`Document`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The key of the array of rows in JSON; totals stand under the same key with `_totals`.
    pub key: &'static str,
    /// The line above the table, for people.
    pub title: String,
    /// The rows.
    pub table: Table,
}

/// One thing in detail: fields, then tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The contract's name and version: `asmm.run/1`.
    pub schema: &'static str,
    /// What it is about.
    pub scope: Scope,
    /// The head.
    pub fields: Vec<Field>,
    /// The tables.
    pub sections: Vec<Section>,
    /// Lines at the end, for people; in markdown they are taken as markdown.
    pub notes: Vec<String>,
}

impl Document {
    /// A document without fields and sections.
    #[must_use]
    pub fn new(schema: &'static str, scope: Scope) -> Self {
        Self { schema, scope, fields: Vec::new(), sections: Vec::new(), notes: Vec::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, key: &'static str, title: &'static str, cell: impl Into<Cell>) -> Self {
        self.fields.push(Field { key, title, cell: cell.into() });
        self
    }

    /// Adds a table.
    #[must_use]
    pub fn section(mut self, key: &'static str, title: impl Into<String>, table: impl Into<Table>) -> Self {
        self.sections.push(Section { key, title: title.into(), table: table.into() });
        self
    }

    /// Writes the document.
    ///
    /// # Errors
    /// When `out` cannot be written; a closed pipe is such an error, with the cause attached.
    pub fn write(&self, out: &mut dyn Write, format: Format, style: Style) -> Result<()> {
        match format {
            Format::Table => write_text(out, &terminal::document(self, style)),
            Format::Markdown => write_text(out, &markdown::document(self)),
            Format::Json => buffered(out, |out| json::document(out, self)),
            Format::Csv => buffered(out, |out| csv::document(out, self)),
        }
    }

    /// The document as one string.
    pub fn to_text(&self, format: Format, style: Style) -> Result<String> {
        in_memory(|out| self.write(out, format, style))
    }
}

/// An amount in running text, rounded as in a column whose largest amount is `largest`.
#[must_use]
pub fn shown_usd(usd: Usd, largest: Usd, signed: bool) -> String {
    number::dollars(usd, number::decimals([usd, largest].into_iter()), signed)
}

fn write_text(out: &mut dyn Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).map_err(unwritable)
}

/// Rows are written as they come, in few and large writes: a report may have more of them than fit in memory
/// twice.
fn buffered(out: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(out);
    write(&mut out).and_then(|()| out.flush()).map_err(unwritable)
}

fn unwritable(error: io::Error) -> Error {
    Error::io("the report cannot be written", error)
}

fn in_memory(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<String> {
    let mut bytes = Vec::new();
    write(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
