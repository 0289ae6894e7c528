//! Tables for a terminal: no line longer than it is wide.

use super::cell::{Cell, Kind};
use super::fit::{FitColumn, GAP, fit};
use super::look::{Look, Trend, total_place};
use super::model::Table;
use super::text::{cut_end, cut_start, tame, width, wrap, wrap_parts};
use super::{Document, Report, Scope, Style, footer};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, TableStyle};

/// How a line is set off; only where colour is wanted.
#[derive(Clone, Copy)]
enum Paint {
    Plain,
    Bold,
    Dim,
    Yellow,
    Red,
    Green,
    Cyan,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Green => "32",
            Self::Cyan => "36",
        }
    }

    fn on(self, text: &str) -> String {
        format!("\u{1b}[{}m{text}\u{1b}[0m", self.code())
    }
}

/// Lines in the making.
struct Page {
    style: Style,
    text: String,
}

impl Page {
    fn new(style: Style) -> Self {
        Self { style, text: String::new() }
    }

    fn line(&mut self, line: &str, paint: Paint) {
        let line = line.trim_end();
        if line.is_empty() || paint.code().is_empty() || !self.style.color {
            self.text.push_str(line);
        } else {
            self.text.push_str(&paint.on(line));
        }
        self.text.push('\n');
    }

    /// Running text, wrapped.
    fn words(&mut self, words: &str, paint: Paint) {
        for line in wrap(&tame(&self.style.spelt(words)), self.style.width) {
            self.line(&line, paint);
        }
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn table(&mut self, table: &Table, scope: &Scope) {
        let fit = fit(table, scope, self.style);
        let lines = lines(table, &fit.columns, self.style);
        let rows = table.rows().len() + 2;
        for (place, line) in lines.iter().enumerate() {
            let is_head = place == 0 || place > rows;
            let is_rule = place == 1 || place == rows;
            if is_head {
                self.line(line, Paint::Bold);
            } else if is_rule {
                self.line(line, Paint::Dim);
            } else if self.style.color {
                let row = &table.rows()[place - 2];
                self.line(&painted(line, row, &fit.columns, self.style), Paint::Plain);
            } else {
                self.line(line, Paint::Plain);
            }
        }
        if !fit.hidden.is_empty() {
            let hidden = fit.hidden.join(", ");
            self.words(&format!("hidden at {} columns: {hidden}", self.style.width), Paint::Dim);
        }
    }

    fn foot(&mut self, scope: &Scope, notes: &[String]) {
        let separator = if self.style.unicode { " ·" } else { " |" };
        for line in wrap_parts(&footer::about(scope, self.style.unicode), separator, self.style.width) {
            self.line(&line, Paint::Dim);
        }
        if let Some(warning) = footer::warning(scope) {
            self.words(&warning, Paint::Yellow);
        }
        for note in notes {
            self.words(note, Paint::Dim);
        }
    }
}

/// A report as a table with a footer.
pub(super) fn report(report: &Report, style: Style) -> String {
    let mut page = Page::new(style);
    if let Some(title) = &report.title {
        page.words(title, Paint::Bold);
        page.blank();
    }
    if report.table.rows().is_empty() {
        let [fact, next] = footer::nothing(&report.empty, &report.scope, style.unicode);
        page.words(&fact, Paint::Plain);
        page.words(&next, Paint::Plain);
    } else {
        page.table(&report.table, &report.scope);
    }
    for sentence in &report.sentences {
        page.words(sentence, Paint::Plain);
    }
    page.foot(&report.scope, &report.notes);
    page.text
}

/// A document as a block of fields, then its tables, then a footer.
pub(super) fn document(document: &Document, style: Style) -> String {
    let mut page = Page::new(style);
    let label = document.fields.iter().map(|field| width(&style.spelt(field.title))).max().unwrap_or(0);
    let indent = label + GAP;
    for field in &document.fields {
        let value = Look::alone(&field.cell, &document.scope, style).text(&field.cell);
        let title = style.spelt(field.title);
        let fill = " ".repeat(label - width(&title) + GAP);
        let mut head = format!("{title}{fill}");
        for line in wrap(&value, style.width.saturating_sub(indent)) {
            page.line(&format!("{head}{line}"), Paint::Plain);
            head = " ".repeat(indent);
        }
    }
    for section in &document.sections {
        if !page.text.is_empty() {
            page.blank();
        }
        page.words(&section.title, Paint::Bold);
        if section.table.rows().is_empty() {
            page.words("none", Paint::Plain);
        } else {
            page.table(&section.table, &document.scope);
        }
    }
    let mut foot = Page::new(style);
    foot.foot(&document.scope, &document.notes);
    if !foot.text.is_empty() && !page.text.is_empty() {
        page.blank();
    }
    page.text + &foot.text
}

/// The head, a rule, the rows and, if there are totals, a rule and the totals.
fn lines(table: &Table, columns: &[FitColumn], style: Style) -> Vec<String> {
    let fill = if style.unicode { '─' } else { '-' };
    let rule = LineStyle::none().fill(fill).junction(fill);
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(TableStyle::new().header_separator(rule));
    drawn.set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(columns.iter().map(|column| {
        let title = style.spelt(table.columns()[column.index].title);
        comfy_table::Cell::new(cut_end(&title, column.width, style.ellipsis()))
    }));
    for row in table.rows() {
        drawn.add_row(columns.iter().map(|column| written(column, &row[column.index], style)));
    }
    if let Some(totals) = table.totals() {
        let seen: Vec<usize> = columns.iter().map(|column| column.index).collect();
        let total = total_place(table, &seen);
        drawn.add_row(columns.iter().map(|column| {
            let is_total = Some(column.index) == total;
            let cell = if is_total { Cell::text("total") } else { totals[column.index].clone() };
            written(column, &cell, style)
        }));
    }
    for (place, column) in columns.iter().enumerate() {
        if let Some(drawn) = drawn.column_mut(place) {
            // comfy-table puts one more blank between two columns, where a border would be.
            let right = u16::from(place + 1 < columns.len());
            drawn.set_padding((0, right));
            if column.kind.is_number() {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut lines: Vec<String> = drawn.lines().collect();
    if table.totals().is_some() && lines.len() > 2 {
        lines.insert(lines.len() - 1, lines[1].clone());
    }
    lines
}

/// A row's line with colour on the cells that mean more by it; each of them says the same without.
fn painted(line: &str, row: &[Cell], columns: &[FitColumn], style: Style) -> String {
    let mut painted = line.to_owned();
    // From the right, so that what is already painted is past what is looked for.
    let mut end = painted.len();
    for column in columns.iter().rev() {
        let text = written(column, &row[column.index], style);
        let Some(paint) = paint_of(column, &row[column.index]) else { continue };
        let Some(start) = painted[..end].rfind(&text).filter(|_| !text.is_empty()) else { continue };
        painted.replace_range(start..start + text.len(), &paint.on(&text));
        end = start;
    }
    painted
}

fn paint_of(column: &FitColumn, cell: &Cell) -> Option<Paint> {
    match cell {
        _ if column.kind.is_drawn() => Some(Paint::Cyan),
        Cell::Unpriced => Some(Paint::Yellow),
        Cell::Usd(usd) => match column.look.trend(*usd)? {
            Trend::Up => Some(Paint::Red),
            Trend::Down => Some(Paint::Green),
        },
        _ => None,
    }
}

/// The cell's text, cut to its column: ids keep their end, everything else its start.
fn written(column: &FitColumn, cell: &Cell, style: Style) -> String {
    let text = column.look.text(cell);
    let is_id = column.kind == Kind::Id && matches!(cell, Cell::Id(_));
    let cut = if is_id { cut_start } else { cut_end };
    cut(&text, column.width, style.ellipsis())
}
