//! `asmm budgets list`: how much of each budget is used.

use super::{in_words, kind};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit, say};
use crate::domain::Timestamp;
use crate::error::Result;
use crate::report::{Cell, Column, Empty, Kind, Report, Shown, Table};
use crate::store::{BudgetState, Store};
use clap::Args;

/// How much of each budget is used in the period that is now
///
/// Budgets that only asmm.yaml has are shown too: their spend counts, but nobody who asks before spending finds them before
/// `asmm budgets sync`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A row: a budget's state, and where the budget is.
pub(super) struct Line {
    pub state: BudgetState,
    origin: &'static str,
    now: Timestamp,
}

pub(super) async fn run(ctx: &Ctx, args: ListArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let store = ctx.store().await?;
    let lines = lines(ctx, &store).await?;
    let mut notes = Vec::new();
    for Line { state, origin, .. } in &lines {
        let name = &state.budget.name;
        if state.unpriced_calls > 0 {
            notes.push(format!(
                "{name}: {} of {} calls have no price and are in no sum; `asmm prices missing` names them",
                state.unpriced_calls, state.llm_calls
            ));
        }
        if *origin == "asmm.yaml" {
            notes.push(format!("{name}: only in asmm.yaml; `asmm budgets sync` brings it into the ledger"));
        }
    }
    let scope = ctx.scope(&store, None, zone, None).await?;
    let empty = Empty {
        what: "budgets".to_owned(),
        next_step: "`asmm budgets set NAME --limit 50 --per day` makes one".to_owned(),
    };
    let report = Report { scope, empty, notes, ..Report::new("asmm.budgets/1", table(&lines)) };
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}

/// The ledger's budgets and those that only `asmm.yaml` has, by name. One that differs there is warned of: the ledger's
/// counts.
pub(super) async fn lines(ctx: &Ctx, store: &Store) -> Result<Vec<Line>> {
    let now = ctx.clock.now();
    let states = store.budget_states(now).await?;
    let mut lines: Vec<Line> =
        states.into_iter().map(|state| Line { state, origin: "ledger", now }).collect();
    for budget in ctx.file_budgets()? {
        match lines.iter().find(|line| line.state.budget.name == budget.name) {
            None => {
                let state = store.budget_state(budget, now).await?;
                lines.push(Line { state, origin: "asmm.yaml", now });
            }
            Some(line) if line.state.budget != budget => {
                say(&format!(
                    "warning: budget `{}` is another one in asmm.yaml: {}",
                    budget.name,
                    in_words(&budget)
                ));
                say("hint: the ledger's counts; `asmm budgets sync` brings it in line");
            }
            Some(_) => {}
        }
    }
    lines.sort_by(|a, b| a.state.budget.name.cmp(&b.state.budget.name));
    Ok(lines)
}

/// `over`, `near`, or `fine`.
pub(super) fn standing(state: &BudgetState) -> &'static str {
    match state {
        _ if state.is_over() => "over",
        _ if state.is_near() => "near",
        _ => "fine",
    }
}

/// How long something still lasts, in the largest unit that says enough: `11 h`.
pub(super) fn time_left(now: Timestamp, until: Timestamp) -> String {
    let minutes = (until.seconds() - now.seconds()).max(0).div_euclid(60);
    match minutes {
        0..=119 => format!("{minutes} min"),
        120..=2879 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

fn table(lines: &[Line]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let programs = |kind, key| Column::new(kind, key, key).shown(Shown::ProgramsOnly);
    let usd = |key, title| Column::new(Kind::Usd, key, title);
    let reserved = if lines.iter().any(|line| line.state.reservations > 0) {
        Shown::Everywhere
    } else {
        Shown::ProgramsOnly
    };
    let name = |name: &Option<String>| name.clone().map_or(Cell::Missing, Cell::Text);
    Table::of(lines)
        .column(text("budget", "budget"), |l: &Line| l.state.budget.name.clone())
        .column(text("", "counts").keep(4).shown(Shown::TableOnly), |l| l.state.budget.scope.to_string())
        .column(programs(Kind::Text, "pipeline"), move |l| name(&l.state.budget.scope.pipeline))
        .column(programs(Kind::Text, "agent"), move |l| name(&l.state.budget.scope.agent))
        .column(programs(Kind::Text, "provider"), move |l| name(&l.state.budget.scope.provider))
        .column(programs(Kind::Text, "model"), move |l| name(&l.state.budget.scope.model))
        .column(programs(Kind::Text, "label"), |l| {
            l.state.budget.scope.label.as_ref().map(|(name, _)| name.clone())
        })
        .column(programs(Kind::Text, "label_value"), |l| {
            l.state.budget.scope.label.as_ref().map(|(_, value)| value.clone())
        })
        .column(text("period", "per"), |l| l.state.budget.period.code())
        .column(programs(Kind::Text, "time_zone"), |l| l.state.budget.zone.name())
        .column(text("kind", "kind").keep(3), |l| kind(&l.state.budget))
        .column(usd("limit_usd", "limit"), |l| l.state.budget.limit)
        .column(usd("spent_usd", "spent"), |l| l.state.spent)
        .column(usd("reserved_usd", "reserved").shown(reserved).keep(6), |l| l.state.reserved)
        .column(programs(Kind::Usd, "left_usd"), |l| l.state.left())
        .column(Column::new(Kind::Share, "share", "share").keep(5), |l| {
            Cell::share_of_usd(l.state.spent, l.state.budget.limit)
        })
        .column(text("standing", "is").keep(1), |l| standing(&l.state))
        .column(programs(Kind::Time, "since"), |l| l.state.window.since)
        .column(programs(Kind::Time, "until"), |l| l.state.window.until)
        .column(text("", "left").keep(2).shown(Shown::TableOnly), |l| time_left(l.now, l.state.window.until))
        .column(programs(Kind::Count, "llm_calls"), |l| Cell::Count(l.state.llm_calls))
        .column(programs(Kind::Count, "unpriced_calls"), |l| Cell::Count(l.state.unpriced_calls))
        .column(programs(Kind::Count, "reservations"), |l| Cell::Count(l.state.reservations))
        .column(programs(Kind::Count, "unpriced_reservations"), |l| {
            Cell::Count(l.state.unpriced_reservations)
        })
        .column(programs(Kind::Text, "origin"), |l| l.origin)
        .column(Column::bar(""), |l| Cell::Count(per_mille(&l.state)))
        .done()
}

/// How much of the limit is spent, in thousandths and at most all of it: the bar's length.
fn per_mille(state: &BudgetState) -> u64 {
    let limit = state.budget.limit.pico().max(1);
    u64::try_from((state.spent.pico() * 1000 / limit).clamp(0, 1000)).unwrap_or_default()
}
