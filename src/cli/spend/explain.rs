//! `asmm spend explain`: why the spend of one range is not that of another.

use super::words;
use crate::cli::args::{FilterArgs, OutputArgs, WindowArgs, end_of, moment};
use crate::cli::columns::provider_column;
use crate::cli::context::{Ctx, Exit, say};
use crate::domain::{Usd, Window};
use crate::error::{Error, Result};
use crate::pricing::{Change, Effects, explain_change};
use crate::report::number::thousands;
use crate::report::{Cell, Column, Format, Kind, Report, Shown, Table, TableOf};
use crate::store::{ExplainedSpend, SpendBy, SpendKey, Totals};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Why the spend changed: calls, models, prompt versions, tokens per call and prices, adding up exactly
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// The range to compare with: `previous`, the one of the same length just before, or FROM..TO, each a day or a time as --since and --until take them
    #[arg(long, value_name = "RANGE", default_value = PREVIOUS)]
    against: String,
    #[command(flatten)]
    filter: FilterArgs,
    /// Whose change is explained
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Agent)]
    by: By,
    /// Show only the N largest changes; the total stays that of all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Exit with 4 when there are calls without a price in either range
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Each agent's
    Agent,
    /// Each pipeline's
    Pipeline,
    /// Each model's
    Model,
}

const PREVIOUS: &str = "previous";
/// Days looked at when no range is given.
const DEFAULT_DAYS: u32 = 7;
/// So many changes are put into words, the largest.
const SENTENCES: usize = 8;

/// One agent's (or pipeline's, or model's) change, or that of all.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub key: SpendKey,
    pub before: Side,
    pub after: Side,
    /// The parts; `None` where one side has calls and no price for any of them.
    pub effects: Option<Effects>,
    /// The rest: archived calls, and what stands against calls without a price.
    pub unexplained: Usd,
    pub sentence: String,
}

/// What was spent in one of the ranges.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    pub calls: u64,
    pub unpriced_calls: u64,
    pub archived_calls: u64,
    pub cost: Usd,
}

impl Side {
    fn of(spend: &ExplainedSpend, journal: Usd) -> Self {
        Self {
            calls: spend.calls(),
            unpriced_calls: spend.unpriced_calls,
            archived_calls: spend.archived_calls,
            cost: journal + spend.archived_cost,
        }
    }

    /// Whether the cost is known: no call costs nothing, calls without any price do not.
    fn is_known(&self) -> bool {
        self.calls == 0 || self.unpriced_calls < self.calls
    }

    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.unpriced_calls += other.unpriced_calls;
        self.archived_calls += other.archived_calls;
        self.cost += other.cost;
    }
}

impl Line {
    /// The difference, where both costs are known.
    pub fn change(&self) -> Option<Usd> {
        self.effects.is_some().then(|| self.after.cost - self.before.cost)
    }

    fn of(key: SpendKey, before: &ExplainedSpend, after: &ExplainedSpend) -> Result<Self> {
        let change: Change = explain_change(&before.priced, &after.priced)?;
        let sides = (Side::of(before, change.before), Side::of(after, change.after));
        let is_known = sides.0.is_known() && sides.1.is_known();
        let effects = is_known.then_some(change.effects);
        let explained = effects.unwrap_or_default().sum();
        let unexplained = sides.1.cost - sides.0.cost - explained;
        Ok(Self { key, before: sides.0, after: sides.1, effects, unexplained, sentence: String::new() })
    }
}

pub(super) async fn run(ctx: &Ctx, args: ExplainArgs) -> Result<Exit> {
    let (window, zone) = args.window.resolve(ctx, DEFAULT_DAYS)?;
    let against = against(&args.against, &window, zone.0)?;
    let by = SpendBy {
        day: false,
        pipeline: args.by == By::Pipeline,
        agent: args.by == By::Agent,
        model: args.by == By::Model,
    };
    let filter = args.filter.filter();
    let store = ctx.store().await?;
    let before = store.explained_spend(&against, by, &filter).await?;
    let after = store.explained_spend(&window, by, &filter).await?;
    let (mut lines, total) = lines(&before, &after)?;

    let totals = Totals {
        llm_calls: total.after.calls,
        unpriced_calls: total.after.unpriced_calls,
        ..Totals::default()
    };
    let mut scope = ctx.scope(&store, Some(window), zone, Some(&totals)).await?;
    scope.against = Some(against);
    let mut notes = notes(&total, &window, &against);
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    if let Some(limit) = limit.filter(|limit| *limit < lines.len()) {
        notes.push(format!("the {limit} largest changes of {}", lines.len()));
        lines.truncate(limit);
    }
    let format: Format = args.output.format.into();
    let report = Report {
        scope,
        notes,
        title: (format == Format::Markdown).then(|| "Why the spend changed".to_owned()),
        sentences: lines.iter().take(SENTENCES).map(|line| line.sentence.clone()).collect(),
        ..Report::new("asmm.spend_explain/1", table(&lines, &total, args.by))
    };
    ctx.print(&report, format)?;
    Ok(verdict(&args, &total))
}

/// The range that `--against` names.
fn against(text: &str, window: &Window, zone: Tz) -> Result<Window> {
    if text == PREVIOUS {
        return window.previous();
    }
    let Some((from, to)) = text.split_once("..") else {
        let shown: String = text.chars().take(60).collect();
        return Err(Error::usage(format!("--against `{shown}` is no range"))
            .hint("write `previous`, or two days or times: 2026-11-01..2026-11-07"));
    };
    Window::between(moment("--against", from, zone)?, end_of("--against", to, zone)?, zone)
}

/// The changes, the largest first, and their sum.
fn lines(
    before: &BTreeMap<SpendKey, ExplainedSpend>,
    after: &BTreeMap<SpendKey, ExplainedSpend>,
) -> Result<(Vec<Line>, Line)> {
    let nothing = ExplainedSpend::default();
    let keys: BTreeSet<&SpendKey> = before.keys().chain(after.keys()).collect();
    let of = |key: &SpendKey| {
        Line::of(key.clone(), before.get(key).unwrap_or(&nothing), after.get(key).unwrap_or(&nothing))
    };
    let mut lines = keys.into_iter().map(of).collect::<Result<Vec<Line>>>()?;
    let magnitude = |usd: &Usd| usd.pico().unsigned_abs();
    let costs = lines.iter().flat_map(|line| [line.before.cost, line.after.cost]);
    let largest = costs.max_by_key(magnitude).unwrap_or_default();
    for line in &mut lines {
        let (old, new) = (before.get(&line.key), after.get(&line.key));
        line.sentence = words::sentence(line, old.unwrap_or(&nothing), new.unwrap_or(&nothing), largest);
    }
    let mut total = Line { effects: Some(Effects::default()), ..Line::default() };
    for line in &lines {
        total.before.add(line.before);
        total.after.add(line.after);
        total.unexplained += line.unexplained;
        if let (Some(sum), Some(effects)) = (&mut total.effects, line.effects) {
            *sum += effects;
        }
    }
    lines.sort_by(|a, b| {
        let size = |line: &Line| Reverse((line.after.cost - line.before.cost).pico().unsigned_abs());
        (size(a), &a.key).cmp(&(size(b), &b.key))
    });
    Ok((lines, total))
}

fn notes(total: &Line, window: &Window, against: &Window) -> Vec<String> {
    let mut notes = Vec::new();
    let counted = |count: u64, one: &str, many: &str| {
        format!("{} {}", thousands(&count.to_string()), if count == 1 { one } else { many })
    };
    let days = |window: &Window| {
        let (first, last) = window.days();
        (last - first).num_days().unsigned_abs() + 1
    };
    if days(window) != days(against) {
        notes.push(format!(
            "the ranges are not of one length: {} against {}",
            counted(days(window), "day", "days"),
            counted(days(against), "day", "days")
        ));
    }
    if total.before.unpriced_calls > 0 {
        let calls = counted(total.before.unpriced_calls, "call", "calls");
        notes.push(format!("{calls} of the range before had no price either, and are in none of these sums"));
    }
    let archived = total.before.archived_calls + total.after.archived_calls;
    if archived > 0 {
        let calls = counted(archived, "call is archived", "calls are archived");
        notes.push(format!(
            "{calls}, with what they used: their part of the change is under `unexplained`; bring them back with `asmm import jsonl`"
        ));
    }
    notes
}

fn table(lines: &[Line], total: &Line, by: By) -> Table {
    let name = |value: &Option<String>| match value.as_deref() {
        None => Cell::Blank,
        Some("") => Cell::Missing,
        Some(name) => Cell::text(name),
    };
    let text = |key, title| Column::new(Kind::Text, key, title);
    let count = |key, title| Column::new(Kind::Count, key, title);
    let programs = |column: Column, shown: bool| {
        if shown { column } else { column.shown(Shown::ProgramsOnly) }
    };
    let cost = |side: &Side| if side.is_known() { Cell::Usd(side.cost) } else { Cell::Unpriced };
    let table = Table::of(lines)
        .totals(total)
        .column_if(by == By::Agent, text("agent", "agent"), |l: &Line| name(&l.key.agent))
        .column_if(by == By::Pipeline, text("pipeline", "pipeline"), |l: &Line| name(&l.key.pipeline))
        .column_if(by == By::Model, provider_column(), |l: &Line| name(&l.key.provider))
        .column_if(by == By::Model, text("model", "model"), |l: &Line| name(&l.key.model))
        .column(count("previous_llm_calls", "calls before").keep(5), |l: &Line| Cell::Count(l.before.calls))
        .column(count("llm_calls", "calls").keep(4), |l: &Line| Cell::Count(l.after.calls))
        .column(
            programs(
                count("previous_unpriced_calls", "unpriced before").keep(7),
                total.before.unpriced_calls > 0,
            ),
            |l: &Line| Cell::Count(l.before.unpriced_calls),
        )
        .column(
            programs(count("unpriced_calls", "unpriced").keep(1), total.after.unpriced_calls > 0),
            |l: &Line| Cell::Count(l.after.unpriced_calls),
        )
        .column(Column::new(Kind::Usd, "previous_cost_usd", "before").keep(3), |l: &Line| cost(&l.before))
        .column(Column::new(Kind::Usd, "estimated_cost_usd", "after").keep(2), |l: &Line| cost(&l.after))
        .column(Column::new(Kind::Usd, "change_usd", "change").trend(), |l: &Line| l.change());
    effect_columns(table, total.unexplained != Usd::ZERO)
        .column(count("previous_archived_calls", "").shown(Shown::ProgramsOnly), |l: &Line| {
            Cell::Count(l.before.archived_calls)
        })
        .column(count("archived_calls", "").shown(Shown::ProgramsOnly), |l: &Line| {
            Cell::Count(l.after.archived_calls)
        })
        .column(text("explanation", "").shown(Shown::ProgramsOnly), |l: &Line| {
            if l.sentence.is_empty() { Cell::Blank } else { Cell::text(&l.sentence) }
        })
        .done()
}

/// The parts of the change.
fn effect_columns(table: TableOf<'_, Line>, has_unexplained: bool) -> TableOf<'_, Line> {
    let usd = |key, title| Column::new(Kind::Usd, key, title).signed();
    let effect =
        |part: fn(&Effects) -> Usd| move |line: &Line| line.effects.as_ref().map(part).map(Cell::Usd);
    let unexplained = usd("unexplained_usd", "unexplained");
    let unexplained = if has_unexplained { unexplained } else { unexplained.shown(Shown::ProgramsOnly) };
    table
        .column(usd("volume_usd", "volume"), effect(|e| e.volume))
        .column(usd("models_usd", "models"), effect(|e| e.models))
        .column(usd("prompts_usd", "prompts"), effect(|e| e.prompts))
        .column(usd("tokens_usd", "tokens"), effect(|e| e.tokens))
        .column(usd("prices_usd", "prices"), effect(|e| e.prices))
        .column(unexplained, |line: &Line| line.unexplained)
}

fn verdict(args: &ExplainArgs, total: &Line) -> Exit {
    let unpriced = total.before.unpriced_calls + total.after.unpriced_calls;
    if args.strict && unpriced > 0 {
        say(&format!(
            "unpriced: {unpriced} of {} calls have no price; `asmm prices missing` names them",
            total.before.calls + total.after.calls
        ));
        return Exit::Unpriced;
    }
    Exit::Fine
}
