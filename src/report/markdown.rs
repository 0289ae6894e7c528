//! GitHub's tables, in full width.

use super::cell::Cell;
use super::look::{Look, for_people, total_place};
use super::model::Table;
use super::text::tame;
use super::{Document, Report, Scope, Style, footer};

/// Markdown has no width and no colour.
const STYLE: Style = Style { width: usize::MAX, color: false, unicode: true };

/// A report as markdown.
pub(super) fn report(report: &Report) -> String {
    let mut blocks = Vec::new();
    blocks.extend(report.title.as_ref().map(|title| format!("### {}\n", escaped(title))));
    if report.table.rows().is_empty() {
        let [fact, next] = footer::nothing(&report.empty, &report.scope, true);
        blocks.push(format!("{fact}\n\n{next}\n"));
    } else {
        blocks.push(table(&report.table, &report.scope));
    }
    blocks.extend(foot(&report.scope, &report.notes));
    blocks.join("\n")
}

/// A document as markdown: its fields as a list, its tables under heads.
pub(super) fn document(document: &Document) -> String {
    let scope = &document.scope;
    let fields = document.fields.iter().map(|field| {
        let look = Look::alone(&field.cell, scope, STYLE);
        format!("- **{}**: {}\n", field.title, shown(&look, &field.cell))
    });
    let mut blocks = vec![fields.collect::<String>()];
    for section in &document.sections {
        let body =
            if section.table.rows().is_empty() { "none\n".to_owned() } else { table(&section.table, scope) };
        blocks.push(format!("### {}\n\n{body}", escaped(&section.title)));
    }
    blocks.extend(foot(scope, &document.notes));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n")
}

fn foot(scope: &Scope, notes: &[String]) -> Vec<String> {
    let about = Some(escaped(&footer::about(scope, true).join(" · "))).filter(|about| !about.is_empty());
    let warning = footer::warning(scope).map(|warning| format!("**Warning:** {warning}"));
    let notes = notes.iter().map(|note| tame(note).into_owned());
    about.into_iter().chain(warning).chain(notes).map(|line| format!("{line}\n")).collect()
}

fn table(table: &Table, scope: &Scope) -> String {
    let seen = for_people(table, false);
    let looks: Vec<Look> =
        seen.iter().map(|&index| Look::of_column(table, index, scope, STYLE, false)).collect();
    let total = total_place(table, &seen);
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let cells = |row: &[Cell]| -> Vec<String> {
        seen.iter().zip(&looks).map(|(&index, look)| shown(look, &row[index])).collect()
    };
    let columns = || seen.iter().map(|&index| &table.columns()[index]);
    let mut text = line(columns().map(|column| escaped(column.title)).collect());
    text += &line(columns().map(|c| if c.kind.is_number() { "---:" } else { "---" }.to_owned()).collect());
    for row in table.rows() {
        text += &line(cells(row));
    }
    if let Some(totals) = table.totals() {
        let named = seen.iter().zip(cells(totals)).map(|(&index, cell)| {
            let cell = if Some(index) == total { "total".to_owned() } else { cell };
            if cell.is_empty() { cell } else { format!("**{cell}**") }
        });
        text += &line(named.collect());
    }
    text
}

fn shown(look: &Look, cell: &Cell) -> String {
    escaped(&look.text(cell))
}

/// Text that markdown shows as it is: nothing ends the cell, and no HTML, link or emphasis is made of a name.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in tame(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' | '~' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
    }
    escaped
}
