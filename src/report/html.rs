//! One page to hand around: charts and tables, whole in itself. It asks for nothing from anywhere, runs nothing, and
//! says what JSON says: each number carries its exact value.

use super::cell::{Cell, Kind};
use super::chart::{COLOURS, Chart, DARK_COLOURS, GRID, INK};
use super::csv::exact;
use super::footer;
use super::look::{Look, for_people, total_place};
use super::model::Table;
use super::text::tame;
use super::{Document, Scope, Style, unwritable};
use crate::error::Result;
use std::fmt::Write as _;
use std::io::Write;

/// A page has no width, and its colours are the style sheet's.
const STYLE: Style = Style { width: usize::MAX, color: false, unicode: true };

/// A chart with a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// The same in a sentence, for those who cannot see it.
    pub summary: String,
    /// The drawing.
    pub chart: Chart,
}

/// A page: a document with a title and charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The title; anybody's.
    pub title: String,
    /// The charts, above the tables.
    pub figures: Vec<Figure>,
    /// Its fields are the large numbers at the top, its sections the tables.
    pub document: Document,
}

impl Page {
    /// Writes the page.
    ///
    /// # Errors
    /// When `out` cannot be written, and when a chart cannot be drawn.
    pub fn write(&self, out: &mut dyn Write) -> Result<()> {
        out.write_all(self.html()?.as_bytes()).map_err(unwritable)
    }

    fn html(&self) -> Result<String> {
        let Self { title, figures, document } = self;
        let title = escaped(title);
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"generator\" content=\"asmm {}\">\n\
             <title>{title}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n",
            env!("CARGO_PKG_VERSION"),
            include_str!("page.css"),
            colours(),
        );
        html.push_str(&about(&document.scope));
        html.push_str("</header>\n");
        html.push_str(&facts(document));
        for figure in figures {
            html.push_str(&drawn(figure)?);
        }
        for section in &document.sections {
            let (key, head) = (section.key, escaped(&section.title));
            let _ = write!(html, "<section>\n<h2 id=\"{key}-head\">{head}</h2>\n");
            if section.table.rows().is_empty() {
                html.push_str("<p>none</p>\n");
            } else {
                let _ = write!(
                    html,
                    "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{key}-head\">\n{}</div>\n",
                    table(section.key, &section.table, &document.scope)
                );
            }
            html.push_str("</section>\n");
        }
        html.push_str("<footer>\n");
        for note in &document.notes {
            let _ = writeln!(html, "<p>{}</p>", coded(note));
        }
        html.push_str("</footer>\n</main>\n</body>\n</html>\n");
        Ok(html)
    }
}

/// Range, zone, catalogue and coverage, and the warning if the sums are not whole.
fn about(scope: &Scope) -> String {
    let mut html = format!("<p class=\"about\">{}</p>\n", escaped(&footer::about(scope, true).join(" · ")));
    if let Some(warning) = footer::warning(scope) {
        let _ = writeln!(html, "<p class=\"warning\"><strong>Not whole:</strong> {}</p>", coded(&warning));
    }
    html
}

fn facts(document: &Document) -> String {
    let mut html = String::from("<dl class=\"facts\">\n");
    for field in &document.fields {
        let look = Look::alone(&field.cell, &document.scope, STYLE);
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd id=\"{}\">{}</dd></div>",
            escaped(field.title),
            field.key,
            shown(&look, &field.cell)
        );
    }
    html.push_str("</dl>\n");
    html
}

fn drawn(figure: &Figure) -> Result<String> {
    let svg = figure.chart.svg()?;
    // The drawing says what it is, to those who are read to as well.
    let label = format!("<svg role=\"img\" aria-label=\"{}\" ", escaped(&figure.summary));
    let svg = svg.replacen("<svg ", &label, 1);
    let mut html = format!("<figure>\n<figcaption><h2>{}</h2>", escaped(&figure.title));
    if let Chart::Columns { series, .. } = &figure.chart {
        html.push_str("<ul class=\"legend\">");
        for part in series {
            let _ = write!(html, "<li><i class=\"c{}\"></i>{}</li>", part.colour, escaped(&part.name));
        }
        html.push_str("</ul>");
    }
    let _ = write!(html, "</figcaption>\n{svg}</figure>\n");
    Ok(html)
}

fn table(key: &str, table: &Table, scope: &Scope) -> String {
    let seen = for_people(table, false);
    let looks: Vec<Look> =
        seen.iter().map(|&index| Look::of_column(table, index, scope, STYLE, false)).collect();
    let class = |index: usize| match table.columns()[index].kind {
        Kind::Id => " class=\"id\"",
        kind if kind.is_number() => " class=\"n\"",
        _ => "",
    };
    let mut html = format!("<table id=\"{key}\">\n<thead>\n<tr>");
    for &index in &seen {
        let column = &table.columns()[index];
        let _ = write!(
            html,
            "<th scope=\"col\" data-key=\"{}\"{}>{}</th>",
            column.key,
            class(index),
            escaped(column.title)
        );
    }
    html.push_str("</tr>\n</thead>\n<tbody>\n");
    let row = |html: &mut String, cells: &[Cell], total: Option<usize>| {
        html.push_str("<tr>");
        for (place, (&index, look)) in seen.iter().zip(&looks).enumerate() {
            let tag = if place == 0 { "th scope=\"row\"" } else { "td" };
            let end = if place == 0 { "th" } else { "td" };
            let text = if Some(index) == total { "total".to_owned() } else { shown(look, &cells[index]) };
            let _ = write!(html, "<{tag}{}>{text}</{end}>", class(index));
        }
        html.push_str("</tr>\n");
    };
    for cells in table.rows() {
        row(&mut html, cells, None);
    }
    html.push_str("</tbody>\n");
    if let Some(totals) = table.totals() {
        html.push_str("<tfoot>\n");
        row(&mut html, totals, total_place(table, &seen));
        html.push_str("</tfoot>\n");
    }
    html.push_str("</table>\n");
    html
}

/// The cell as people read it; a number with its exact value beside, as JSON and CSV have it.
fn shown(look: &Look, cell: &Cell) -> String {
    let text = escaped(&look.text(cell));
    match cell {
        Cell::Usd(_) | Cell::Count(_) | Cell::Tokens(_) | Cell::Change(_) | Cell::Share { .. } => {
            format!("<data value=\"{}\">{text}</data>", escaped(&exact(cell)))
        }
        Cell::Time(time) => format!("<time datetime=\"{time}\">{text}</time>"),
        Cell::Unpriced => format!("<span class=\"unpriced\">{text}</span>"),
        _ => text,
    }
}

/// Running text, with what stands between backticks as code.
fn coded(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(place, part)| match place % 2 {
            0 => escaped(part),
            _ => format!("<code>{}</code>", escaped(part)),
        })
        .collect()
}

/// Text that a browser shows as it is, also inside of an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in tame(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The colours of charts and legends, by day and in the dark.
fn colours() -> String {
    let rule = |of: &str, place: usize, to: &str| {
        format!("rect[fill=\"{of}\"] {{ fill: {to}; }}\n.legend .c{place} {{ background: {to}; }}\n")
    };
    let all = |to: [&str; 8]| {
        let places = COLOURS.iter().zip(to).enumerate();
        places.map(|(place, (of, to))| rule(of, place, to)).collect::<String>()
    };
    format!(
        "{}text[fill=\"{INK}\"] {{ fill: var(--ink); }}\nsvg [stroke=\"{GRID}\"] {{ stroke: var(--line); }}\n\
         @media screen and (prefers-color-scheme: dark) {{\n{}}}\n",
        all(COLOURS),
        all(DARK_COLOURS)
    )
}
