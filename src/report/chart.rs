//! Charts as SVG. The only user of plotters.
//!
//! What is drawn is integers: amounts are scaled to at most a thousand million steps before they are handed over.
//! Colours are written out, so that a chart is whole by itself; the page's style sheet finds them again by their value
//! and replaces them in the dark.

use super::number::{self, thousands};
use super::text::{cut_end, tame};
use crate::domain::Usd;
use crate::error::{Error, Result};
use plotters::prelude::{
    ChartBuilder, Color, EmptyElement, IntoDrawingArea, IntoFont, RGBColor, Rectangle, SVGBackend,
    TRANSPARENT, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// What the numbers of a chart are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Picodollars.
    Usd,
    /// Things.
    Count,
}

/// One part of every column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name in the legend; anybody's.
    pub name: String,
    /// One number for each column.
    pub values: Vec<u128>,
    /// Which colour; see [`COLOURS`].
    pub colour: usize,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chart {
    /// Columns from left to right, each of parts that stand on each other.
    Columns {
        /// What stands under each.
        labels: Vec<String>,
        /// The parts, from the bottom up.
        series: Vec<Series>,
        /// What is counted.
        unit: Unit,
    },
    /// Bars from top to bottom.
    Bars {
        /// A name, which may be anybody's, and a number.
        rows: Vec<(String, u128)>,
        /// What is counted.
        unit: Unit,
    },
}

/// The colours of parts, by day. The last two are what is left over, and what is not known.
pub const COLOURS: [&str; 8] =
    ["#2563EB", "#D97706", "#059669", "#9333EA", "#DC2626", "#0891B2", "#9CA3AF", "#F59E0B"];
/// The same in the dark.
pub(super) const DARK_COLOURS: [&str; 8] =
    ["#60A5FA", "#FBBF24", "#34D399", "#C084FC", "#F87171", "#22D3EE", "#6B7280", "#FDE68A"];
/// The place in [`COLOURS`] of what is left over.
pub const OTHERS: usize = 6;
/// The place in [`COLOURS`] of what is not known.
pub const UNKNOWN: usize = 7;

/// Words and lines, as the style sheet finds them.
pub(super) const INK: &str = "#334155";
pub(super) const GRID: &str = "#E2E8F0";

/// The size of all charts, in units of the drawing; the page scales it to its own width.
const WIDTH: u32 = 960;
const COLUMNS_HEIGHT: u32 = 300;
const BAR_HEIGHT: u32 = 30;
/// Steps from one column to the next, and how many of them are between two.
const STEP: i64 = 10;
/// At most so many labels stand under columns.
const LABELS: usize = 12;
/// Steps of the longest amount: enough that no eye sees the rounding.
const LONGEST: u128 = 1_000_000_000;
/// Letters of a name beside a bar.
const NAME_COLUMNS: usize = 32;
const NAME_ROOM: u32 = 236;
const FONT: (&str, u32) = ("sans-serif", 15);

impl Chart {
    /// The drawing.
    pub(super) fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        let drawn = match self {
            Self::Columns { labels, series, unit } => columns(&mut svg, labels, series, *unit),
            Self::Bars { rows, unit } => bars(&mut svg, rows, *unit),
        };
        drawn.map_err(|error| Error::input(format!("the chart cannot be drawn: {error}")))?;
        Ok(svg)
    }
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn columns(svg: &mut String, labels: &[String], series: &[Series], unit: Unit) -> Drawn {
    let count = labels.len();
    let tops = (0..count).map(|place| series.iter().map(|s| value(s, place)).sum::<u128>());
    let largest = tops.max().unwrap_or(0).max(1);
    let scale = Scale::new(largest);
    let top = scale.steps(largest);
    let area = SVGBackend::with_string(svg, (WIDTH, COLUMNS_HEIGHT)).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin_top(12)
        .margin_right(8)
        .x_label_area_size(28)
        .y_label_area_size(84)
        .build_cartesian_2d(0..STEP * i64::try_from(count)?, 0..top + top / 20 + 1)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        // The words under columns are drawn below; plotters loops for ever when it is asked for no label at all.
        .x_labels(1)
        .x_label_formatter(&|_: &i64| String::new())
        .y_labels(8)
        .y_label_formatter(&|steps: &i64| shown(scale.amount(*steps), largest, unit))
        .label_style(ink())
        .axis_style(colour(GRID))
        .bold_line_style(colour(GRID))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let mut floors = vec![0_u128; count];
    for part in series {
        let fill = colour(COLOURS.get(part.colour).copied().unwrap_or(INK)).filled();
        let mut drawn = Vec::new();
        for (place, floor) in floors.iter_mut().enumerate() {
            let amount = value(part, place);
            if amount > 0 {
                let left = STEP * i64::try_from(place)?;
                let (low, high) = (scale.steps(*floor), scale.steps(*floor + amount));
                drawn.push(Rectangle::new([(left + 1, low), (left + STEP - 1, high)], fill));
                *floor += amount;
            }
        }
        chart.draw_series(drawn)?;
    }
    let every = count.div_ceil(LABELS).max(1);
    let under = ink().pos(Pos::new(HPos::Center, VPos::Top));
    let mut words = Vec::new();
    for (place, label) in labels.iter().enumerate().step_by(every) {
        let middle = STEP * i64::try_from(place)? + STEP / 2;
        words.push(EmptyElement::at((middle, 0)) + Text::new(label.clone(), (0, 8), under.clone()));
    }
    chart.draw_series(words)?;
    area.present()?;
    Ok(())
}

fn bars(svg: &mut String, rows: &[(String, u128)], unit: Unit) -> Drawn {
    let count = u32::try_from(rows.len())?;
    let largest = rows.iter().map(|(_, amount)| *amount).max().unwrap_or(0).max(1);
    let scale = Scale::new(largest);
    let longest = scale.steps(largest);
    let area = SVGBackend::with_string(svg, (WIDTH, BAR_HEIGHT * count.max(1) + 8)).into_drawing_area();
    // A fifth is left for the amount that stands after the longest bar.
    let mut chart = ChartBuilder::on(&area)
        .margin_top(4)
        .margin_bottom(4)
        .y_label_area_size(NAME_ROOM)
        .build_cartesian_2d(0..longest + longest / 5 + 1, 0..STEP * i64::from(count.max(1)))?;
    let place = |row: usize| i64::try_from(rows.len() - 1 - row).map(|place| STEP * place);
    let mut drawn = Vec::new();
    for (row, (_, amount)) in rows.iter().enumerate().filter(|(_, (_, amount))| *amount > 0) {
        let low = place(row)?;
        // Something is never drawn as nothing.
        let steps = scale.steps(*amount).max(longest / 500).max(1);
        let fill = colour(COLOURS[0]).filled();
        drawn.push(Rectangle::new([(0, low + 2), (steps, low + STEP - 2)], fill));
    }
    chart.draw_series(drawn)?;
    let before = ink().pos(Pos::new(HPos::Right, VPos::Center));
    let after = ink().pos(Pos::new(HPos::Left, VPos::Center));
    for (row, (name, amount)) in rows.iter().enumerate() {
        let middle = place(row)? + STEP / 2;
        let name = cut_end(&tame(name), NAME_COLUMNS, "…");
        chart.draw_series([EmptyElement::at((0, middle)) + Text::new(name, (-10, 0), before.clone())])?;
        let amount_shown = shown(*amount, largest, unit);
        let end = (scale.steps(*amount), middle);
        chart.draw_series([EmptyElement::at(end) + Text::new(amount_shown, (8, 0), after.clone())])?;
    }
    area.present()?;
    Ok(())
}

fn value(series: &Series, place: usize) -> u128 {
    series.values.get(place).copied().unwrap_or(0)
}

/// How many of an amount's units are one step of a drawing.
#[derive(Clone, Copy)]
struct Scale(u128);

impl Scale {
    fn new(largest: u128) -> Self {
        let mut unit = 1;
        while largest / unit > LONGEST {
            unit *= 10;
        }
        Self(unit)
    }

    fn steps(self, amount: u128) -> i64 {
        i64::try_from(amount / self.0).unwrap_or(i64::MAX)
    }

    fn amount(self, steps: i64) -> u128 {
        u128::try_from(steps).unwrap_or(0) * self.0
    }
}

/// An amount, with as many decimals as the largest has.
fn shown(amount: u128, largest: u128, unit: Unit) -> String {
    let usd = |pico: u128| Usd::from_pico(i128::try_from(pico).unwrap_or(i128::MAX));
    match unit {
        Unit::Usd => number::dollars(usd(amount), number::decimals(std::iter::once(usd(largest))), false),
        Unit::Count => thousands(&amount.to_string()),
    }
}

fn ink() -> TextStyle<'static> {
    FONT.into_font().color(&colour(INK))
}

/// `#2563EB`.
fn colour(hex: &str) -> RGBColor {
    let part = |from: usize| hex.get(from..from + 2).and_then(|part| u8::from_str_radix(part, 16).ok());
    RGBColor(part(1).unwrap_or(0), part(3).unwrap_or(0), part(5).unwrap_or(0))
}
