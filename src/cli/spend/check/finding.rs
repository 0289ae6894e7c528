//! What was found, for people and for programs.

use super::CheckArgs;
use super::words::{exact, period, unit};
use crate::cli::context::counted;
use crate::domain::{RunId, Timestamp};
use crate::report::{Cell, Column, Document, Kind, Scope, Shown, Table};
use std::cmp::Reverse;

/// The contract's name and version.
const SCHEMA: &str = "asmm.spend_check/1";
/// How many findings the summary names.
const NAMED: usize = 5;

/// What is out of the ordinary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// More was spent than a budget allows.
    BudgetOver,
    /// A budget is nearly used up.
    BudgetNear,
    /// A run costs more than runs of its pipeline do.
    RunCost,
    /// A run makes more calls.
    RunCalls,
    /// A run takes longer.
    RunDuration,
    /// Hours in a row cost more than usual.
    SpendHour,
    /// A day does, although none of its hours was called.
    SpendDay,
    /// There is no history, and it is large.
    SpendNew,
    /// The share of calls without a price has risen.
    UnpricedShare,
    /// The share of calls that nobody looked at has risen.
    UnscannedShare,
}

impl What {
    /// The word for programs.
    const fn code(self) -> &'static str {
        match self {
            Self::BudgetOver => "budget_over",
            Self::BudgetNear => "budget_near",
            Self::RunCost => "run_cost",
            Self::RunCalls => "run_calls",
            Self::RunDuration => "run_duration",
            Self::SpendHour => "spend_hour",
            Self::SpendDay => "spend_day",
            Self::SpendNew => "spend_new",
            Self::UnpricedShare => "unpriced_share",
            Self::UnscannedShare => "unscanned_share",
        }
    }

    /// The words for people.
    const fn words(self) -> &'static str {
        match self {
            Self::BudgetOver => "over budget",
            Self::BudgetNear => "near budget",
            Self::RunCost => "run cost",
            Self::RunCalls => "run calls",
            Self::RunDuration => "run time",
            Self::SpendHour => "spend by hour",
            Self::SpendDay => "spend by day",
            Self::SpendNew => "new spend",
            Self::UnpricedShare => "unpriced",
            Self::UnscannedShare => "unscanned",
        }
    }
}

/// Whom it is about; what it is not about is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Who {
    pub budget: Option<String>,
    pub pipeline: Option<String>,
    /// `""` when calls had none.
    pub agent: Option<String>,
    /// `""` when calls reported none.
    pub provider: Option<String>,
    pub model: Option<String>,
    pub run_id: Option<RunId>,
}

impl Who {
    /// In words. Of a run's id the ending, which is enough to name it.
    pub fn words(&self) -> String {
        if let Some(budget) = &self.budget {
            return format!("budget {budget}");
        }
        if let (Some(run), Some(pipeline)) = (self.run_id, &self.pipeline) {
            let id = run.to_string();
            return format!("run …{} of {pipeline}", id.rsplit('-').next().unwrap_or_default());
        }
        if let Some(model) = &self.model {
            return match self.provider.as_deref() {
                None | Some("") => format!("model {model}"),
                Some(provider) => format!("model {provider}/{model}"),
            };
        }
        match (self.agent.as_deref(), &self.pipeline) {
            (Some(""), _) => "calls without an agent".to_owned(),
            (Some(agent), _) => format!("agent {agent}"),
            (None, Some(pipeline)) => format!("pipeline {pipeline}"),
            (None, None) => "the ledger".to_owned(),
        }
    }
}

/// One thing that is out of the ordinary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub what: What,
    pub who: Who,
    pub since: Timestamp,
    pub until: Timestamp,
    /// An amount of the same kind as `usual` and `limit`: dollars, calls, milliseconds or a share.
    pub found: Cell,
    /// What is usual, where that is known.
    pub usual: Cell,
    /// What would not have been called.
    pub limit: Cell,
    /// Why it is called so.
    pub why: String,
    /// A command that shows more of it.
    pub next_step: String,
}

impl Finding {
    /// What comes first: by what it is, then the largest.
    pub fn order(&self) -> impl Ord + use<> {
        let size = match &self.found {
            Cell::Usd(usd) => usd.pico(),
            Cell::Count(count) | Cell::Millis(count) => i128::from(*count),
            Cell::Share { part, .. } => *part,
            _ => 0,
        };
        (self.what, Reverse(size), self.since, self.who.words())
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Series that spent enough to be called.
    pub series: usize,
    /// Of these, series whose history is too short.
    pub unknown_series: usize,
    /// The longest history of a series, in days.
    pub history_days: usize,
    /// Runs that go on or have ended.
    pub runs: usize,
    /// Of these, runs of pipelines with too few earlier runs.
    pub unknown_runs: usize,
}

/// A check's outcome.
pub(super) struct Outcome<'a> {
    pub scope: Scope,
    pub seen: Seen,
    pub findings: Vec<Finding>,
    pub args: &'a CheckArgs,
}

impl Outcome<'_> {
    /// The contract.
    pub fn for_programs(&self) -> Document {
        let Seen { series, unknown_series, history_days, runs, unknown_runs } = self.seen;
        let count = |number: usize| Cell::Count(u64::try_from(number).unwrap_or(u64::MAX));
        Document::new(SCHEMA, self.scope.clone())
            .field("text", "text", self.summary())
            .field("sensitivity", "sensitivity", self.args.sensitivity.code())
            .field("at_least_usd", "at least", self.args.at_least)
            .field("series", "series", count(series))
            .field("series_without_history", "series without history", count(unknown_series))
            .field("history_days", "history", count(history_days))
            .field("runs", "runs", count(runs))
            .field("runs_without_history", "runs without history", count(unknown_runs))
            .section("findings", "findings", self.table(Shown::ProgramsOnly))
    }

    /// The verdict, what was looked at, and what was found. The whys stand in the table if it may be wide, else under it.
    pub fn for_people(&self, is_wide: bool) -> Document {
        let mut document = Document::new(SCHEMA, self.scope.clone())
            .field("verdict", "verdict", self.verdict())
            .field("looked_at", "looked at", self.looked_at());
        if self.findings.is_empty() {
            return document;
        }
        let whys = if is_wide { Shown::Everywhere } else { Shown::ProgramsOnly };
        document = document.section("findings", "What was found", self.table(whys));
        if !is_wide {
            for (place, finding) in self.findings.iter().enumerate() {
                document.notes.push(format!("{}. {}", place + 1, finding.why));
                document.notes.push(format!("next: {}", finding.next_step));
            }
        }
        document
    }

    fn verdict(&self) -> String {
        let Seen { series, unknown_series, runs, unknown_runs, .. } = self.seen;
        if !self.findings.is_empty() {
            let found = self.findings.len();
            return counted(found, "thing is out of the ordinary", "things are out of the ordinary");
        }
        if series + runs == 0 {
            return "nothing is out of the ordinary: no spend is large enough to be".to_owned();
        }
        if series == unknown_series && runs == unknown_runs {
            return "nothing is called: the history is too short to say what is usual".to_owned();
        }
        "nothing is out of the ordinary".to_owned()
    }

    fn looked_at(&self) -> String {
        let Seen { series, unknown_series, history_days, runs, unknown_runs } = self.seen;
        let mut words = format!("{series} series of {} USD or more", self.args.at_least);
        if series > unknown_series {
            words.extend([", with ", &counted(history_days, "day", "days"), " before"]);
        }
        if unknown_series > 0 {
            words.extend([" (", &unknown_series.to_string(), " with too short a history)"]);
        }
        words.extend(["; ", &counted(runs, "run", "runs")]);
        if unknown_runs > 0 {
            words.extend([" (", &unknown_runs.to_string(), " of pipelines with too few earlier runs)"]);
        }
        words
    }

    /// A few lines for a chat.
    fn summary(&self) -> String {
        let mut lines = vec![format!("asmm: {}", self.verdict())];
        for finding in self.findings.iter().take(NAMED) {
            lines.push(format!("• {}: {}", finding.who.words(), finding.why));
        }
        if self.findings.len() > NAMED {
            lines.push(format!("and {} more: `asmm spend check`", self.findings.len() - NAMED));
        }
        lines.join("\n")
    }

    fn table(&self, whys: Shown) -> Table {
        let zone = self.scope.zone();
        let numbered: Vec<(u64, &Finding)> = (1..).zip(&self.findings).collect();
        let text = |key, title| Column::new(Kind::Text, key, title);
        let people = |title| text("", title).shown(Shown::TableOnly);
        let programs = |key| text(key, key).shown(Shown::ProgramsOnly);
        let words = |cell: &Cell| match cell {
            Cell::Missing => Cell::Missing,
            cell => Cell::text(cell.in_words()),
        };
        let exactly = |cell: &Cell| exact(cell).map_or(Cell::Missing, Cell::text);
        let time = |key| Column::new(Kind::Time, key, key).shown(Shown::ProgramsOnly);
        Table::of(&numbered)
            .column(Column::new(Kind::Count, "", "#").shown(Shown::TableOnly), |(n, _)| Cell::Count(*n))
            .column(programs("kind"), |(_, f)| f.what.code())
            .column(people("what").keep(2), |(_, f)| f.what.words())
            .column(people("who"), |(_, f)| f.who.words())
            .column(people("when").keep(1), move |(_, f)| period(f.since, f.until, zone))
            .column(programs("budget"), |(_, f)| f.who.budget.clone())
            .column(programs("pipeline"), |(_, f)| f.who.pipeline.clone())
            .column(programs("agent"), |(_, f)| f.who.agent.clone())
            .column(programs("provider"), |(_, f)| f.who.provider.clone())
            .column(programs("model"), |(_, f)| f.who.model.clone())
            .column(Column::new(Kind::Id, "run_id", "run").shown(Shown::ProgramsOnly), |(_, f)| {
                f.who.run_id.map_or(Cell::Missing, Cell::id)
            })
            .column(time("since"), |(_, f)| f.since)
            .column(time("until"), |(_, f)| f.until)
            .column(programs("unit"), |(_, f)| unit(&f.found))
            .column(people("found"), move |(_, f)| words(&f.found))
            .column(people("usually").keep(3), move |(_, f)| words(&f.usual))
            .column(programs("found"), move |(_, f)| exactly(&f.found))
            .column(programs("usual"), move |(_, f)| exactly(&f.usual))
            .column(programs("limit"), move |(_, f)| exactly(&f.limit))
            .column(text("why", "why").shown(whys), |(_, f)| Cell::text(&f.why))
            .column(text("next_step", "next").shown(whys), |(_, f)| Cell::text(&f.next_step))
            .done()
    }
}
