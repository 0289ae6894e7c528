//! What the doctor says, on one page.

use super::checks::{Check, Checks, Verdict};
use super::criteria::{CRITERIA, Criterion, Evidence, Shown, verdict};
use crate::cli::context::counted;
use crate::error::Error;
use crate::report::{Cell, Column, Document, Kind, Scope, Shown as For, Table};
use crate::store::{EvidenceScope, Health, RoleMembers, Store};

/// The contract of `--format json`.
const SCHEMA: &str = "asmm.doctor/1";
/// How much of a line of findings says what they are about.
const ABOUT: usize = 10;
/// From this width on there is room for everything.
const ROOMY: usize = 100;

/// What is on it.
pub(super) struct Page<'a> {
    /// How wide the terminal is.
    pub width: usize,
    pub store: &'a Store,
    pub scope: &'a EvidenceScope,
    pub checks: &'a Checks,
    pub evidence: &'a [Evidence],
    pub health: &'a Health,
}

impl Page<'_> {
    pub fn document(&self, scope: Scope, recorders: Option<Table>) -> Document {
        let mut document = Document::new(SCHEMA, scope)
            .field("ledger", "ledger", self.store.shown().to_owned())
            .field("verdict", "verdict", self.verdict())
            .field("criteria_met", "criteria met", self.met())
            .field("runs_looked_at", "runs looked at", Cell::Count(self.scope.runs))
            .field("runs", "of all runs", Cell::Count(self.scope.all_runs))
            .field("calls_looked_at", "calls looked at", Cell::Count(self.scope.calls))
            .field("calls", "of all calls", Cell::Count(self.scope.all_calls))
            .section("checks", "checks", checks_table(&self.checks.all, self.width));
        if !self.checks.named.is_empty() {
            document = document.section("findings", "what was found", findings_table(&self.checks.named));
        }
        document = document
            .section("criteria", "acceptance criteria of the user stories", self.criteria_table())
            .section("evidence", "evidence in this ledger", evidence_table(self.evidence, self.width));
        if !self.health.roles.is_empty() {
            document = document.section("roles", "who may log in as what", roles_table(&self.health.roles));
        }
        if let Some(table) = recorders {
            document = document.section("recorders", "recorders on this machine, newest first", table);
        }
        document.notes = self.notes();
        document
    }

    fn verdict(&self) -> &'static str {
        let is_law = |check: &&Check| ["laws", "prompts"].contains(&check.section);
        let mut failed = self.checks.all.iter().filter(|check| check.verdict == Verdict::Failed);
        if failed.clone().any(|check| is_law(&check)) {
            "a law is broken"
        } else if failed.next().is_some() {
            "a check failed"
        } else if self.evidence.iter().any(|evidence| evidence.shown == Shown::NotMet) {
            "a criterion is not met"
        } else {
            "all laws hold"
        }
    }

    /// How many criteria are met, in words.
    fn met(&self) -> String {
        let of = |shown| CRITERIA.iter().filter(|c| verdict(self.evidence, c.number) == shown).count();
        let mut parts = vec![format!("{} of {}", of(Shown::Met), CRITERIA.len())];
        for (shown, words) in
            [(Shown::Partly, "partly"), (Shown::NoData, "without data yet"), (Shown::NotMet, "not met")]
        {
            match of(shown) {
                0 => {}
                count => parts.push(format!("{count} {words}")),
            }
        }
        parts.join(", ")
    }

    fn criteria_table(&self) -> Table {
        Table::of(&CRITERIA)
            .column(text("criterion", ""), |c: &Criterion| c.number)
            .column(text("title", "criterion"), |c| c.title)
            .column(text("words", "words").shown(For::ProgramsOnly), |c| c.words)
            .column(text("verdict", "verdict"), |c| verdict(self.evidence, c.number).word())
            .done()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        // A table cuts what does not fit; what was found is said in full.
        let long =
            self.checks.named.iter().filter(|(_, finding)| finding.chars().count() + ABOUT > self.width);
        notes.extend(long.map(|(section, finding)| format!("{section}: {finding}")));
        if !self.scope.is_whole() {
            notes.push(format!(
                "looked at the newest {} with {}; --full reads every call and text",
                counted(self.scope.runs, "run", "runs"),
                counted(self.scope.calls, "call", "calls"),
            ));
        }
        if self.scope.all_runs == 0 {
            notes.push("the ledger is empty: that there is no data yet is no failure".to_owned());
        }
        if self.checks.more > 0 {
            notes.push(format!("{} more findings are not shown", self.checks.more));
        }
        let is_broken = |section| {
            self.checks.all.iter().any(|check| check.section == section && check.verdict == Verdict::Failed)
        };
        if is_broken("laws") || is_broken("prompts") {
            notes.push(
                "somebody changed the database past the ledger: restore a backup; see RUNBOOK.md, When the doctor finds something"
                    .to_owned(),
            );
        } else if self.checks.has_failed() {
            notes.push(
                "what failed is put right as RUNBOOK.md says, When the doctor finds something".to_owned(),
            );
        }
        notes
    }
}

const fn text(key: &'static str, title: &'static str) -> Column {
    Column::new(Kind::Text, key, title)
}

fn checks_table(checks: &[Check], width: usize) -> Table {
    let count = |key, title| Column::new(Kind::Count, key, title);
    Table::of(checks)
        .column(text("section", "about"), |c: &Check| c.section)
        .column(text("check", "check"), |c| c.what)
        .column(if_roomy(count("looked_at", "looked at"), width), |c| {
            c.looked_at.map_or(Cell::Missing, Cell::Count)
        })
        .column(count("wrong", "wrong").keep(1), |c| {
            if c.verdict == Verdict::NotChecked { Cell::Missing } else { Cell::Count(c.wrong) }
        })
        .column(text("verdict", "verdict"), |c| c.verdict.word())
        .done()
}

/// A column that people see only where there is room: words say more than it does.
fn if_roomy(column: Column, width: usize) -> Column {
    if width < ROOMY { column.shown(For::ProgramsOnly) } else { column }
}

fn findings_table(findings: &[(&'static str, String)]) -> Table {
    Table::of(findings)
        .column(text("section", "about"), |f: &(&'static str, String)| f.0)
        .column(text("finding", "finding"), |f| f.1.clone())
        .done()
}

fn evidence_table(evidence: &[Evidence], width: usize) -> Table {
    let count = |key, title| Column::new(Kind::Count, key, title);
    Table::of(evidence)
        .column(text("criterion", ""), |e: &Evidence| e.criterion)
        .column(text("evidence", "evidence"), |e| e.what)
        .column(count("found", "found"), |e| Cell::Count(e.found))
        .column(count("of", "of"), |e| e.of.map_or(Cell::Missing, Cell::Count))
        .column(Column::new(Kind::Share, "share", "share").keep(2), |e| {
            e.of.map_or(Cell::Missing, |of| Cell::share_of_count(e.found, of))
        })
        .column(text("verdict", "verdict").shown(For::ProgramsOnly), |e| e.shown.word())
        .column(if_roomy(text("command", "shown by"), width), |e| e.command)
        .column(Column::new(Kind::Id, "run_id", "run").shown(For::ProgramsOnly), |e| {
            e.run_id.map_or(Cell::Missing, Cell::id)
        })
        .done()
}

fn roles_table(roles: &[RoleMembers]) -> Table {
    Table::of(roles)
        .column(text("role", "role"), |r: &RoleMembers| r.role.clone())
        .column(text("exists", "is there"), |r| r.exists)
        .column(text("members", "members"), |r| Cell::List(r.members.clone()))
        .done()
}

/// A database that is no ledger that this program can use, or not yet.
pub(super) fn not_migrated(look: &Store, error: &Error, pending: Vec<String>) -> Document {
    let mut checks = Checks::default();
    checks.add(
        "schema",
        "every migration is applied",
        None,
        u64::try_from(pending.len()).unwrap_or_default().max(1),
    );
    checks.found("schema", error.to_string());
    for name in pending {
        checks.found("schema", format!("pending: {name}"));
    }
    let mut document = Document::new(SCHEMA, Scope::default())
        .field("ledger", "ledger", look.shown().to_owned())
        .field("verdict", "verdict", "the ledger cannot be used")
        .section("checks", "checks", checks_table(&checks.all, ROOMY))
        .section("findings", "what was found", findings_table(&checks.named));
    document.notes.extend(error.next_step().map(|hint| format!("next: {hint}")));
    document
}
