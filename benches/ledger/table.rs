//! What was measured, and how it is shown.

use std::fmt::Write as _;
use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// More is better.
    PerSecond,
    /// Less is better.
    Milliseconds,
    /// Less is better.
    Nanoseconds,
    /// Less is better.
    BytesPerCall,
    /// Less is better.
    Megabytes,
}

/// The rounds of one figure.
#[derive(Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn one(value: f64) -> Self {
        Self(vec![value])
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn push_rate(&mut self, count: usize, time: Duration) {
        self.0.push(count as f64 / time.as_secs_f64());
    }

    pub(crate) fn push_time(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64() * 1e3);
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn range(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
    }
}

struct Line {
    section: String,
    name: String,
    unit: Unit,
    figure: Samples,
    reference: Option<Samples>,
}

impl Line {
    /// How many times as fast (of sizes: as large) as the reference, from the medians.
    fn ratio(&self) -> Option<f64> {
        let reference = self.reference.as_ref()?.median();
        let figure = self.figure.median();
        Some(if matches!(self.unit, Unit::Milliseconds | Unit::Nanoseconds) {
            reference / figure
        } else {
            figure / reference
        })
    }
}

/// Every figure so far.
#[derive(Default)]
pub(crate) struct Results {
    section: String,
    lines: Vec<Line>,
}

impl Results {
    pub(crate) fn section(&mut self, name: &str) {
        eprintln!("measuring: {name}");
        name.clone_into(&mut self.section);
    }

    pub(crate) fn add(&mut self, name: &str, unit: Unit, figure: Samples, reference: Option<Samples>) {
        let line = Line { section: self.section.clone(), name: name.to_owned(), unit, figure, reference };
        eprintln!("  {}", row(&line));
        self.lines.push(line);
    }

    pub(crate) fn to_table(&self) -> String {
        let mut text =
            format!("{:<44} {:<34} {:<34} {:>8}\n", "", "asmm: median (min–max)", "reference", "ratio");
        let mut section = "";
        for line in &self.lines {
            if line.section != section {
                section = &line.section;
                let _ = writeln!(text, "\n{section}");
            }
            let _ = writeln!(text, "{}", row(line));
        }
        text
    }

    /// One JSON object a line, for a program to compare.
    pub(crate) fn to_json_lines(&self) -> String {
        let unit = |unit| match unit {
            Unit::PerSecond => "per_second",
            Unit::Milliseconds => "ms",
            Unit::Nanoseconds => "ns",
            Unit::BytesPerCall => "bytes_per_call",
            Unit::Megabytes => "mb",
        };
        let mut text = String::new();
        for line in &self.lines {
            let object = serde_json::json!({
                "section": line.section, "name": line.name, "unit": unit(line.unit), "figure": line.figure.0,
                "reference": line.reference.as_ref().map(|r| &r.0), "ratio": line.ratio(),
            });
            let _ = writeln!(text, "{object}");
        }
        text
    }
}

fn row(line: &Line) -> String {
    let reference = line.reference.as_ref().map_or_else(String::new, |r| samples(r, line.unit));
    let ratio = line
        .ratio()
        .map_or_else(String::new, |r| if r >= 10.0 { format!("{r:.0} ×") } else { format!("{r:.2} ×") });
    let row =
        format!("  {:<42} {:<34} {reference:<34} {ratio:>8}", line.name, samples(&line.figure, line.unit));
    row.trim_end().to_owned()
}

fn samples(samples: &Samples, unit: Unit) -> String {
    let (low, high) = samples.range();
    let word = match unit {
        Unit::PerSecond => "/s",
        Unit::Milliseconds => " ms",
        Unit::Nanoseconds => " ns",
        Unit::BytesPerCall => " B",
        Unit::Megabytes => " MB",
    };
    let median = format!("{}{word}", number(samples.median()));
    if samples.0.len() == 1 {
        return format!("{median:>11}");
    }
    format!("{median:>11} ({}–{})", number(low), number(high))
}

fn number(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1} k", v / 1000.0),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}
