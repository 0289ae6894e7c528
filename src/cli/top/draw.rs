//! A state as cells. Nothing here asks, waits or knows the time.

use super::chart;
use super::look::Snapshot;
use super::state::State;
use super::tables;
use crate::domain::{Timestamp, Usd};
use crate::report::number::{decimals, dollars, percent, thousands};
use crate::report::text::{cut_end, tame, width};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Widget};

/// Below this there is room for the figures only.
const SMALLEST: (u16, u16) = (60, 15);
/// Below this there are no agents and models.
const SMALLEST_WITH_LEADERS: u16 = 20;

const HEAD: u16 = 3;
const FOOT: u16 = 1;

/// Draws `state` on the whole of `area`.
pub(super) fn draw(state: &State, area: Rect, buffer: &mut Buffer) {
    Clear.render(area, buffer);
    let pen = Pen::of(state);
    let Some(snapshot) = &state.snapshot else {
        let words = match &state.trouble {
            Some(trouble) => vec![pen.alarm(tame(trouble).into_owned())],
            None => vec![Span::raw(format!("asking {} {}", tame(&state.ledger), pen.ellipsis))],
        };
        lines(area, buffer, &[Line::from(words), foot(state, &pen, area.width)]);
        return;
    };
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        small(state, snapshot, &pen, area, buffer);
    } else {
        large(state, snapshot, &pen, area, buffer);
    }
    if state.shows_help {
        help(state, &pen, area, buffer);
    }
}

fn large(state: &State, snapshot: &Snapshot, pen: &Pen, area: Rect, buffer: &mut Buffer) {
    let room = area.height - HEAD - FOOT;
    let chart = (room * 3 / 10).clamp(6, 16);
    let leaders = if area.height < SMALLEST_WITH_LEADERS { 0 } else { (room / 4).clamp(5, 12) };
    let mut at = area;
    let mut take = |height: u16| {
        let part = Rect { height, ..at };
        at.y += height;
        at.height -= height;
        part
    };
    let head_at = take(HEAD);
    lines(head_at, buffer, &head(state, snapshot, pen, area.width));
    chart::draw(snapshot, pen, state.zone.0, take(chart), buffer);
    tables::runs(state, snapshot, pen, take(room - chart - leaders), buffer);
    if leaders > 0 {
        tables::leaders(snapshot, pen, state.zone.0, take(leaders), buffer);
    }
    lines(take(FOOT), buffer, &[foot(state, pen, area.width)]);
}

/// The ledger and the time, then the figures.
fn head<'a>(state: &State, snapshot: &Snapshot, pen: &Pen, room: u16) -> [Line<'a>; 3] {
    let time = format!("{} {} ({})", Pen::day_time(snapshot.at, state), state.zone.0, state.zone.1);
    // What is left out matters more than where the rest is: a long name is cut at its end.
    let only =
        if state.filter.is_empty() { String::new() } else { format!("only {}  ", tame(&state.filter)) };
    let name = format!("asmm top  {only}{}", tame(&state.ledger));
    let name = cut_end(&name, usize::from(room).saturating_sub(width(&time) + 2), pen.ellipsis);
    let [money, rates] = figures(snapshot, pen);
    [spread(Span::styled(name, pen.bold), Span::raw(time), room), Line::from(money), Line::from(rates)]
}

/// What was spent, and how fast.
fn figures<'a>(snapshot: &Snapshot, pen: &Pen) -> [Vec<Span<'a>>; 2] {
    let (today, hour) = (snapshot.today, snapshot.hour.last(super::look::MINUTES));
    let calls = |count: u64| {
        format!(" ({} {})", thousands(&count.to_string()), if count == 1 { "call" } else { "calls" })
    };
    let money = vec![
        pen.label("today "),
        pen.money(today.known_cost()),
        pen.label(calls(today.llm_calls)),
        pen.label("   last hour "),
        pen.money(hour.known_cost()),
        pen.label(calls(hour.llm_calls)),
        pen.label("   running "),
        Span::styled(thousands(&snapshot.runs.running.to_string()), pen.bold),
    ];
    let rate = |minutes| match snapshot.hour.rate(minutes, snapshot.at) {
        Some(rate) => Span::styled(format!("{}/h", in_dollars(rate)), pen.bold),
        None => pen.warning("unpriced"),
    };
    let tenths = snapshot.hour.tenths_of_calls(5, snapshot.at);
    let mut rates = vec![
        pen.label("last 5 min "),
        rate(5),
        pen.label("   last 15 min "),
        rate(15),
        Span::styled(format!("   {}.{}", thousands(&(tenths / 10).to_string()), tenths % 10), pen.bold),
        pen.label(" calls/min   "),
    ];
    rates.push(match percent(i128::from(hour.unpriced_calls), i128::from(hour.llm_calls), false) {
        Some(share) if hour.unpriced_calls > 0 => pen.warning(format!("{share} unpriced")),
        Some(_) => pen.label("all priced"),
        None => pen.label("no calls in the last hour"),
    });
    [money, rates]
}

/// The keys, and how things are: what is wrong stands before everything else.
fn foot<'a>(state: &State, pen: &Pen, room: u16) -> Line<'a> {
    if let Some(trouble) = &state.trouble {
        let shown = match &state.snapshot {
            Some(snapshot) => format!("; shown is {}", Pen::clock_time(snapshot.at, state)),
            None => String::new(),
        };
        let end = format!("{shown}; trying again");
        let room = usize::from(room).saturating_sub(width(&end));
        let trouble = cut_end(&tame(trouble), room, pen.ellipsis);
        return Line::from(vec![pen.alarm(trouble), pen.alarm(end)]);
    }
    let arrows = if pen.is_unicode { "↑↓" } else { "arrows" };
    let keys = format!("q quit  s sort  {arrows} scroll  p pause  ? help");
    let pace = if state.is_paused {
        pen.warning("paused: p goes on")
    } else {
        pen.label(format!("every {}", paced(state.interval.as_millis())))
    };
    spread(pen.label(keys), pace, room)
}

/// `2 s`, `500 ms`, `1.5 s`.
fn paced(millis: u128) -> String {
    if millis < 1_000 {
        format!("{millis} ms")
    } else if millis.is_multiple_of(1_000) {
        format!("{} s", millis / 1_000)
    } else {
        format!("{}.{:03} s", millis / 1_000, millis % 1_000)
    }
}

/// The figures alone, one a line, and what would show more.
fn small(state: &State, snapshot: &Snapshot, pen: &Pen, area: Rect, buffer: &mut Buffer) {
    let hour = snapshot.hour.last(super::look::MINUTES);
    let rate = match snapshot.hour.rate(5, snapshot.at) {
        Some(rate) => Span::styled(format!("{}/h", in_dollars(rate)), pen.bold),
        None => pen.warning("unpriced"),
    };
    let mut all = vec![
        Line::from(Span::styled(format!("asmm top  {}", Pen::clock_time(snapshot.at, state)), pen.bold)),
        Line::from(vec![pen.label("today      "), pen.money(snapshot.today.known_cost())]),
        Line::from(vec![pen.label("last hour  "), pen.money(hour.known_cost())]),
        Line::from(vec![pen.label("last 5 min "), rate]),
        Line::from(vec![pen.label("running    "), Span::raw(snapshot.runs.running.to_string())]),
    ];
    if hour.unpriced_calls > 0 {
        let unpriced = thousands(&hour.unpriced_calls.to_string());
        all.push(Line::from(pen.warning(format!("{unpriced} calls of the hour unpriced"))));
    }
    if let Some(trouble) = &state.trouble {
        all.push(Line::from(pen.alarm(tame(trouble).into_owned())));
    }
    let (columns, rows) = SMALLEST;
    let (has_columns, has_rows) = (area.width, area.height);
    all.push(Line::from(
        pen.label(format!("{has_columns} x {has_rows} is too small: from {columns} x {rows}")),
    ));
    all.push(Line::from(pen.label("on there are the chart and the runs")));
    all.push(Line::from(pen.label("q quit")));
    lines(area, buffer, &all);
}

fn help(state: &State, pen: &Pen, area: Rect, buffer: &mut Buffer) {
    let arrows = if pen.is_unicode { "↑ ↓ k j" } else { "up down k j" };
    let keys = [
        ("q Esc Ctrl-C", "end".to_owned()),
        ("s", format!("sort runs by cost, started, calls, tokens (now: {})", state.order.word())),
        (arrows, "scroll the runs; PgUp PgDn Home End".to_owned()),
        ("p space", "pause, and go on".to_owned()),
        ("r", "ask the ledger at once".to_owned()),
        ("Ctrl-L", "draw everything anew".to_owned()),
        ("? h", "this".to_owned()),
    ];
    let lines: Vec<Line> = keys
        .into_iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!("{key:<13}"), pen.bold), Span::raw(what)]))
        .collect();
    let width = 72.min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, buffer);
    let block = Block::bordered().title(" keys ");
    let block =
        if pen.is_unicode { block.border_type(BorderType::Plain) } else { block.border_set(ASCII_BORDER) };
    Paragraph::new(lines).block(block).render(place, buffer);
}

const ASCII_BORDER: ratatui::symbols::border::Set = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// Lines from the top of `area`, as many as there is room for.
pub(super) fn lines(area: Rect, buffer: &mut Buffer, lines: &[Line]) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
}

/// One thing at each end of a line.
fn spread<'a>(left: Span<'a>, right: Span<'a>, room: u16) -> Line<'a> {
    let gap = usize::from(room).saturating_sub(width(&left.content) + width(&right.content));
    Line::from(vec![left, Span::raw(" ".repeat(gap)), right])
}

/// An amount that stands alone.
pub(super) fn in_dollars(usd: Usd) -> String {
    dollars(usd, decimals(std::iter::once(usd)), false)
}

/// How things are written on this terminal.
pub(super) struct Pen {
    pub is_unicode: bool,
    pub ellipsis: &'static str,
    has_color: bool,
    pub bold: Style,
    pub dim: Style,
}

impl Pen {
    fn of(state: &State) -> Self {
        let is_unicode = state.style.unicode;
        Self {
            is_unicode,
            ellipsis: if is_unicode { "…" } else { "..." },
            has_color: state.style.color,
            bold: Style::new().add_modifier(Modifier::BOLD),
            dim: Style::new().add_modifier(Modifier::DIM),
        }
    }

    fn color(&self, color: Color) -> Style {
        if self.has_color { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn bar(&self) -> Style {
        self.color(Color::Cyan)
    }

    pub(super) fn label<'a>(&self, text: impl Into<String>) -> Span<'a> {
        Span::styled(text.into(), self.dim)
    }

    pub(super) fn warning<'a>(&self, text: impl Into<String>) -> Span<'a> {
        Span::styled(text.into(), self.color(Color::Yellow))
    }

    fn alarm<'a>(&self, text: impl Into<String>) -> Span<'a> {
        Span::styled(text.into(), self.color(Color::Red).add_modifier(Modifier::BOLD))
    }

    fn money<'a>(&self, cost: Option<Usd>) -> Span<'a> {
        match cost {
            Some(cost) => Span::styled(in_dollars(cost), self.bold),
            None => self.warning("unpriced"),
        }
    }

    fn day_time(at: Timestamp, state: &State) -> String {
        at.to_utc().with_timezone(&state.zone.0).format("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn clock_time(at: Timestamp, state: &State) -> String {
        at.to_utc().with_timezone(&state.zone.0).format("%H:%M:%S").to_string()
    }

    /// A line that begins a part of the screen: its name, and a rule to the end.
    pub(super) fn title<'a>(&self, words: &str, room: u16) -> Line<'a> {
        let room = usize::from(room);
        let words = cut_end(words, room, self.ellipsis);
        let rest = room.saturating_sub(width(&words) + 1);
        let rule = if self.is_unicode { "─" } else { "-" }.repeat(rest);
        Line::from(vec![Span::styled(words, self.bold), Span::raw(" "), Span::styled(rule, self.dim)])
    }
}
