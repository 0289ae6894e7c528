//! The JSON contract. Written straight to the output, row by row; keys keep the columns' order.

use super::cell::Cell;
use super::footer::whole_days;
use super::model::{Column, Table};
use super::{Coverage, Document, Report, Scope, number};
use crate::domain::Window;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::io::{self, Write};

/// Writes a report as one object on one line.
pub(super) fn report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    line(out, &ReportJson(report))
}

/// Writes a document as one object on one line: the scope, then its fields, then an array per section.
pub(super) fn document(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    line(out, &DocumentJson(document))
}

fn line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

struct ReportJson<'a>(&'a Report);

impl Serialize for ReportJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Report { schema, scope, table, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", schema)?;
        scope_entries(&mut map, scope)?;
        map.serialize_entry("totals", &table.totals().map(|cells| Totals(table.columns(), cells)))?;
        map.serialize_entry("rows", &Rows(table))?;
        map.end()
    }
}

struct DocumentJson<'a>(&'a Document);

impl Serialize for DocumentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { schema, scope, fields, sections, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", schema)?;
        scope_entries(&mut map, scope)?;
        for field in fields {
            map.serialize_entry(field.key, &field.cell)?;
        }
        for section in sections {
            let table = &section.table;
            map.serialize_entry(section.key, &Rows(table))?;
            if let Some(totals) = table.totals() {
                map.serialize_entry(&format!("{}_totals", section.key), &Totals(table.columns(), totals))?;
            }
        }
        map.end()
    }
}

/// The entries every report has; what is not known is `null`, so that a reader need not ask whether a key is there.
fn scope_entries<M: SerializeMap>(map: &mut M, scope: &Scope) -> Result<(), M::Error> {
    map.serialize_entry("window", &scope.window.map(WindowJson))?;
    // Only where two ranges are compared: it came later than the contract.
    if let Some(against) = scope.against {
        map.serialize_entry("against", &WindowJson(against))?;
    }
    map.serialize_entry("time_zone", &scope.names_zone().then(|| scope.zone().name()))?;
    map.serialize_entry("catalogue", &scope.catalogue)?;
    map.serialize_entry("coverage", &scope.coverage.map(CoverageJson))
}

struct WindowJson(Window);

impl Serialize for WindowJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("since", &self.0.since)?;
        map.serialize_entry("until", &self.0.until)?;
        map.serialize_entry("days", &whole_days(&self.0))?;
        map.end()
    }
}

struct CoverageJson(Coverage);

impl Serialize for CoverageJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Coverage { priced, calls } = self.0;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("calls", &calls)?;
        map.serialize_entry("priced", &priced)?;
        map.serialize_entry("unpriced", &self.0.unpriced())?;
        map.serialize_entry("share", &number::ratio(priced.into(), calls.into()))?;
        map.end()
    }
}

struct Rows<'a>(&'a Table);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.0.rows().len()))?;
        for row in self.0.rows() {
            rows.serialize_element(&Row(self.0.columns(), row))?;
        }
        rows.end()
    }
}

struct Row<'a>(&'a [Column], &'a [Cell]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.0.iter().zip(self.1).filter(|(column, _)| column.is_for_programs());
        serializer.collect_map(cells.map(|(column, cell)| (column.key, cell)))
    }
}

struct Totals<'a>(&'a [Column], &'a [Cell]);

impl Serialize for Totals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.0.iter().zip(self.1);
        let cells = cells.filter(|(column, cell)| column.is_for_programs() && **cell != Cell::Blank);
        serializer.collect_map(cells.map(|(column, cell)| (column.key, cell)))
    }
}

/// The exact value: numbers as numbers, dollars and shares as decimal strings, unknown as `null`.
impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) | Self::Id(text) => serializer.serialize_str(text),
            Self::Count(count) | Self::Tokens(count) | Self::Millis(count) => {
                serializer.serialize_u64(*count)
            }
            Self::Change(change) => serializer.serialize_i64(*change),
            Self::Usd(usd) => usd.serialize(serializer),
            Self::Share { part, whole } => number::ratio(*part, *whole).serialize(serializer),
            Self::Time(time) => time.serialize(serializer),
            Self::Day(day) => serializer.collect_str(day),
            Self::Bool(yes) => serializer.serialize_bool(*yes),
            Self::List(words) => words.serialize(serializer),
            Self::Pairs(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
            Self::Series(amounts) => amounts.serialize(serializer),
            Self::Unpriced | Self::Missing | Self::Blank => serializer.serialize_unit(),
        }
    }
}
