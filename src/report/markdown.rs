//! GitHub's tables, in full width.

use super::cell::{Cell, Kind};
use super::look::{Look, for_people, total_place};
use super::model::Table;
use super::text::{tame, width};
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
    let sentences = report.sentences.iter().map(|sentence| format!("- {}\n", escaped(sentence)));
    blocks.push(sentences.collect());
    blocks.push(foot(&report.scope, &report.notes));
    blocks.retain(|block| !block.is_empty());
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
    blocks.push(foot(scope, &document.notes));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n")
}

/// What the numbers are about, as a quotation under them: a note that pastes into any issue or chat.
fn foot(scope: &Scope, notes: &[String]) -> String {
    let about = Some(escaped(&footer::about(scope, true).join(" · "))).filter(|about| !about.is_empty());
    let warning = footer::warning(scope).map(|warning| format!("**Warning:** {warning}"));
    let notes = notes.iter().map(|note| tame(note).into_owned());
    let lines: Vec<String> =
        about.into_iter().chain(warning).chain(notes).map(|line| format!("> {line}\n")).collect();
    lines.join(">\n")
}

/// A table whose columns stand under each other in the text as well: it is read in terminals, mails and diffs too.
fn table(table: &Table, scope: &Scope) -> String {
    let mut seen = for_people(table, false);
    seen.extend(sparks(table));
    seen.sort_unstable();
    let looks: Vec<Look> =
        seen.iter().map(|&index| Look::of_column(table, index, scope, STYLE, false)).collect();
    let total = total_place(table, &seen);
    let columns = || seen.iter().map(|&index| &table.columns()[index]);
    let cells = |row: &[Cell]| -> Vec<String> {
        seen.iter().zip(&looks).map(|(&index, look)| shown(look, &row[index])).collect()
    };
    let mut lines = vec![columns().map(|column| escaped(column.title)).collect::<Vec<String>>()];
    lines.extend(table.rows().iter().map(|row| cells(row)));
    if let Some(totals) = table.totals() {
        let named = seen.iter().zip(cells(totals)).map(|(&index, cell)| {
            let cell = if Some(index) == total { "total".to_owned() } else { cell };
            if cell.is_empty() { cell } else { format!("**{cell}**") }
        });
        lines.push(named.collect());
    }
    let widths: Vec<usize> = (0..seen.len())
        .map(|place| lines.iter().map(|line| width(&line[place])).max().unwrap_or(0).max(RULE))
        .collect();
    let rule = columns().zip(&widths).map(|(column, &width)| {
        if column.kind.is_number() { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
    });
    let rule: Vec<String> = rule.collect();
    lines.insert(1, rule);
    let mut text = String::new();
    for line in lines {
        let padded = columns().zip(&widths).zip(line).map(|((column, &room), cell)| {
            let fill = " ".repeat(room.min(WIDEST_FILL).saturating_sub(width(&cell)));
            if column.kind.is_number() { fill + &cell } else { cell + &fill }
        });
        text.extend(["| ", &padded.collect::<Vec<_>>().join(" | "), " |\n"]);
    }
    text
}

/// The shortest rule under a head that every reader of markdown takes for one.
const RULE: usize = 4;
/// Longer cells are not waited for.
const WIDEST_FILL: usize = 60;

/// Small bars are characters, and say in an incident's note when it was.
fn sparks(table: &Table) -> impl Iterator<Item = usize> {
    let columns = table.columns().iter().enumerate();
    columns.filter(|(_, column)| column.kind == Kind::Spark && column.is_for_people()).map(|(index, _)| index)
}

fn shown(look: &Look, cell: &Cell) -> String {
    escaped(&look.text(cell))
}

/// Text that markdown shows as it is: nothing ends the cell, and no HTML, link or emphasis is made of a name.
fn escaped(text: &str) -> String {
    let text = tame(text);
    let mut escaped = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_word = |other: Option<char>| other.is_some_and(char::is_alphanumeric);
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' | '~' => escaped.extend(['\\', c]),
            // Inside of a word an underscore is one.
            '_' if !(is_word(before) && is_word(rest.peek().copied())) => escaped.extend(['\\', c]),
            // `https://` and `www.` become links without being asked.
            ':' if rest.peek() == Some(&'/') => escaped.extend(['\\', c]),
            '.' if escaped.to_ascii_lowercase().ends_with("www") => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
        before = Some(c);
    }
    escaped
}
