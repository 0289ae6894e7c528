//! The runs that run, and who spent most.

use super::draw::{Pen, lines};
use super::look::{RUNNING_DAYS, Snapshot, a_minute};
use super::state::State;
use crate::cli::columns::known_cost;
use crate::domain::{Timestamp, Usd};
use crate::report::number::{bar, decimals, dollars, duration, humanised, thousands};
use crate::report::text::{cut_end, cut_start, tame, width};
use crate::store::{Leader, LiveRun};
use chrono_tz::Tz;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// From here on there is room for more of an id, and for the start.
const WIDE: u16 = 110;

/// The running runs as they are sorted, from where they are scrolled to.
pub(super) fn runs(state: &State, snapshot: &Snapshot, pen: &Pen, area: Rect, buffer: &mut Buffer) {
    let runs = &snapshot.runs.runs;
    let rows = usize::from(area.height.saturating_sub(2));
    let first = state.scrolled.min(runs.len().saturating_sub(rows));
    let shown = &runs[first..(first + rows).min(runs.len())];
    let dash = if pen.is_unicode { "–" } else { "-" };
    let which = if u64::try_from(shown.len()).is_ok_and(|shown| shown == snapshot.runs.running) {
        String::new()
    } else {
        format!(", {}{dash}{} of {}", first + 1, first + shown.len(), snapshot.runs.running)
    };
    let title = format!("running, by {}{which}", state.order.word());
    lines(area, buffer, &[pen.title(&title, area.width)]);
    let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    if shown.is_empty() {
        let words = format!("no run that started in the last {RUNNING_DAYS} days is running");
        lines(area, buffer, &[Line::from(pen.label(words))]);
        return;
    }
    let columns = Columns::of(shown, snapshot.at, state.zone.0, area.width);
    let mut all = vec![columns.head(pen)];
    all.extend(shown.iter().map(|run| columns.row(run, snapshot.at, pen)));
    lines(area, buffer, &all);
}

/// How the table of runs is divided.
struct Columns {
    is_wide: bool,
    zone: Tz,
    gap: usize,
    pipeline: usize,
    agents: usize,
    /// Of costs, and of costs a minute.
    decimals: (usize, usize),
}

const ID: usize = 9;
const WIDE_ID: usize = 13;
const STARTED: usize = 14;
const FOR: usize = 9;
const CALLS: usize = 7;
const TOKENS: usize = 6;
const COST: usize = 10;
const RATE: usize = 9;

impl Columns {
    fn of(runs: &[LiveRun], at: Timestamp, zone: Tz, room: u16) -> Self {
        let is_wide = room >= WIDE;
        let gap = if is_wide { 2 } else { 1 };
        let fixed = FOR + CALLS + TOKENS + COST + RATE + 7 * gap;
        let fixed = fixed + if is_wide { WIDE_ID + STARTED + gap } else { ID };
        let names = usize::from(room).saturating_sub(fixed);
        // The agents get what the pipelines leave, and the other way round.
        let longest = |text: fn(&LiveRun) -> &str, head: &str| {
            runs.iter().map(|run| width(&tame(text(run)))).max().unwrap_or(0).max(width(head))
        };
        let (pipelines, agents) =
            (longest(|run| &run.pipeline, "pipeline"), longest(|run| &run.agents, "agents"));
        let pipeline = pipelines.min((names / 2).max(names.saturating_sub(agents)));
        let costs = runs.iter().filter_map(|run| known_cost(&run.totals));
        let rates = runs.iter().filter_map(|run| rate(run, at));
        Self {
            is_wide,
            zone,
            gap,
            pipeline,
            agents: names.saturating_sub(pipeline).min(agents.max(12)),
            decimals: (decimals(costs), decimals(rates)),
        }
    }

    fn head<'a>(&self, pen: &Pen) -> Line<'a> {
        let cells = ["run", "pipeline", "agents", "started", "for", "calls", "tokens", "cost", "USD/min"];
        Line::from(Span::styled(self.line(&cells.map(str::to_owned), pen), pen.dim))
    }

    fn row<'a>(&self, run: &LiveRun, at: Timestamp, pen: &Pen) -> Line<'a> {
        let totals = &run.totals;
        let tokens = totals.llm_tokens_input() + totals.llm_tokens_output() + totals.embedding_tokens;
        let micros = at.micros().saturating_sub(run.started_at.micros());
        let started = run.started_at.to_utc().with_timezone(&self.zone).format("%m-%d %H:%M:%S");
        let cost = known_cost(totals).map_or_else(
            || "unpriced".to_owned(),
            |cost| {
                format!(
                    "{}{}",
                    dollars(cost, self.decimals.0, false),
                    if totals.unpriced_calls > 0 { "+" } else { "" }
                )
            },
        );
        let missing = if pen.is_unicode { "–" } else { "-" };
        let rate =
            rate(run, at).map_or_else(|| missing.to_owned(), |rate| dollars(rate, self.decimals.1, false));
        let line = self.line(
            &[
                run.run_id.to_string(),
                tame(&run.pipeline).into_owned(),
                tame(&run.agents).into_owned(),
                started.to_string(),
                duration(u64::try_from(micros / 1_000).unwrap_or(0)),
                thousands(&totals.llm_calls.to_string()),
                humanised(tokens),
                cost,
                rate,
            ],
            pen,
        );
        if totals.unpriced_calls > 0 { Line::from(pen.warning(line)) } else { Line::from(Span::raw(line)) }
    }

    fn line(&self, cells: &[String; 9], pen: &Pen) -> String {
        let [run, pipeline, agents, started, time, count, tokens, cost, rate] = cells;
        let left = |text: &str, room| pad_end(&cut_end(text, room, pen.ellipsis), room);
        let right = |text: &str, room| pad_start(&cut_end(text, room, pen.ellipsis), room);
        let id = if self.is_wide { WIDE_ID } else { ID };
        let mut parts = vec![
            pad_end(&cut_start(run, id, pen.ellipsis), id),
            left(pipeline, self.pipeline),
            left(agents, self.agents),
        ];
        if self.is_wide {
            parts.push(left(started, STARTED));
        }
        let numbers = [(time, FOR), (count, CALLS), (tokens, TOKENS), (cost, COST), (rate, RATE)];
        parts.extend(numbers.map(|(text, room)| right(text, room)));
        parts.join(&" ".repeat(self.gap))
    }
}

/// Dollars a minute since the run began.
fn rate(run: &LiveRun, at: Timestamp) -> Option<Usd> {
    known_cost(&run.totals).map(|cost| a_minute(cost, run.started_at, at))
}

/// Agents and models side by side.
pub(super) fn leaders(snapshot: &Snapshot, pen: &Pen, zone: Tz, area: Rect, buffer: &mut Buffer) {
    let since = snapshot.since.to_utc().with_timezone(&zone).format("%H:%M");
    let half = (area.width - 2) / 2;
    let left = Rect { width: half, ..area };
    let right = Rect { x: area.x + half + 2, width: area.width - half - 2, ..area };
    for (place, what, leaders) in [(left, "agents", &snapshot.agents), (right, "models", &snapshot.models)] {
        let mut all = vec![pen.title(&format!("{what} since {since}"), place.width)];
        if leaders.is_empty() {
            all.push(Line::from(pen.label("none")));
        }
        all.extend(leader_lines(leaders, pen, usize::from(place.width)));
        lines(place, buffer, &all);
    }
}

fn leader_lines<'a>(leaders: &[Leader], pen: &Pen, room: usize) -> Vec<Line<'a>> {
    const CALLS: usize = 7;
    const COST: usize = 9;
    let drawn = if room >= 60 { 16 } else { 6 };
    let name = room.saturating_sub(CALLS + COST + drawn + 3);
    let costs = || leaders.iter().map(|leader| leader.tally.cost);
    let (decimals, largest) = (decimals(costs()), costs().max().unwrap_or(Usd::ZERO));
    let missing = if pen.is_unicode { "–" } else { "-" };
    let line = |leader: &Leader| {
        let shown = if leader.name.is_empty() { missing } else { leader.name.as_str() };
        let shown = pad_end(&cut_end(&tame(shown), name, pen.ellipsis), name);
        let calls = pad_start(&humanised(leader.tally.llm_calls), CALLS);
        let cost = match leader.tally.known_cost() {
            Some(cost) => Span::raw(pad_start(&dollars(cost, decimals, false), COST)),
            None => pen.warning(pad_start("unpriced", COST)),
        };
        let magnitude = |cost: Usd| cost.pico().unsigned_abs();
        let bar = bar(magnitude(leader.tally.cost), magnitude(largest), drawn, pen.is_unicode);
        Line::from(vec![
            Span::raw(format!("{shown} {calls} ")),
            cost,
            Span::raw(" "),
            Span::styled(bar, pen.bar()),
        ])
    };
    leaders.iter().map(line).collect()
}

fn pad_end(text: &str, room: usize) -> String {
    format!("{text}{}", " ".repeat(room.saturating_sub(width(text))))
}

fn pad_start(text: &str, room: usize) -> String {
    format!("{}{text}", " ".repeat(room.saturating_sub(width(text))))
}
