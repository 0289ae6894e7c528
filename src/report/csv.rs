//! CSV after RFC 4180, for spreadsheets and scripts. The rules are few enough to write out.

use super::Document;
use super::cell::Cell;
use super::look::joined;
use super::model::Table;
use super::number;
use std::borrow::Cow;
use std::io::{self, Write};

/// Writes the columns that programs see: a head, then a line a row. Totals are left out: a reader sums.
pub(super) fn table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let columns = table.columns();
    let seen: Vec<usize> = (0..columns.len()).filter(|&i| columns[i].is_for_programs()).collect();
    head(out, seen.iter().map(|&i| columns[i].key))?;
    for row in table.rows() {
        record(out, seen.iter().map(|&i| Cow::Owned(exact(&row[i]))))?;
    }
    Ok(())
}

/// Writes the names of columns.
pub(super) fn head<'a>(out: &mut dyn Write, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
    record(out, names.map(Cow::Borrowed))
}

/// Writes a row.
pub(super) fn row(out: &mut dyn Write, cells: &[Cell]) -> io::Result<()> {
    record(out, cells.iter().map(|cell| Cow::Owned(exact(cell))))
}

/// Writes a document's first section or, if it has none, its fields as one row: CSV is one table.
pub(super) fn document(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    if let Some(section) = document.sections.first() {
        return table(out, &section.table);
    }
    record(out, document.fields.iter().map(|field| Cow::Borrowed(field.key)))?;
    record(out, document.fields.iter().map(|field| Cow::Owned(exact(&field.cell))))
}

fn record<'a>(out: &mut dyn Write, fields: impl Iterator<Item = Cow<'a, str>>) -> io::Result<()> {
    let line: Vec<String> = fields.map(|field| quoted(&field)).collect();
    // A line with nothing on it would be no record at all to most readers.
    let line = if line == [""] { "\"\"".to_owned() } else { line.join(",") };
    out.write_all(line.as_bytes())?;
    out.write_all(b"\r\n")
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// The exact value as text; unknown is empty.
pub(super) fn exact(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) | Cell::Id(text) => guarded(text.clone()),
        Cell::List(words) => guarded(words.join("; ")),
        Cell::Pairs(pairs) => guarded(joined(pairs, "; ")),
        Cell::Count(count) | Cell::Tokens(count) | Cell::Millis(count) => count.to_string(),
        Cell::Change(change) => change.to_string(),
        Cell::Usd(usd) => usd.to_string(),
        Cell::Share { part, whole } => number::ratio(*part, *whole).unwrap_or_default(),
        Cell::Time(time) => time.to_string(),
        Cell::Day(day) => day.to_string(),
        Cell::Bool(yes) => yes.to_string(),
        Cell::Unpriced | Cell::Missing | Cell::Blank | Cell::Series(_) => String::new(),
    }
}

/// Words that a spreadsheet would run as a formula get an apostrophe in front: names come from anywhere.
fn guarded(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}
