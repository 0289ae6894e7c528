//! The acceptance criteria of the user stories, and what this ledger shows of each.
//!
//! A count says more than a yes: `found` of `of` is what was found. Where nothing is recorded that could show it there is
//! no data, which is neither a proof nor a failure.

use super::checks::Broken;
use super::prompts::{Replayed, Versions};
use super::recorders::Recorders;
use crate::domain::{RunId, Timestamp, Window};
use crate::error::Result;
use crate::guard::rules;
use crate::store::{
    Filter, LAW_OF_COUNTERS, LAW_OF_PLACE, RunEvidence, RunOrder, SentEvidence, SpendBy, StepEvidence, Store,
    Totals,
};
use chrono_tz::Tz;

/// A criterion: its number, a short form for tables, and the words of the user story.
pub(super) struct Criterion {
    pub number: &'static str,
    pub title: &'static str,
    pub words: &'static str,
}

const fn criterion(number: &'static str, title: &'static str, words: &'static str) -> Criterion {
    Criterion { number, title, words }
}

pub(super) const CRITERIA: [Criterion; 16] = [
    criterion(
        "7.1.1",
        "a run keeps counters of tokens and an estimated cost",
        "`pipeline_run` contains persisted counters for: `llm_tokens_input`, `llm_tokens_output`, `embedding_tokens`, `estimated_cost_usd`",
    ),
    criterion(
        "7.1.2",
        "usage is added to the run it belongs to",
        "Token usage is aggregated to the **correct run** (via run ID propagation).",
    ),
    criterion(
        "7.1.3",
        "the cost is stored when a run completes",
        "Cost is calculated and stored **at run completion**.",
    ),
    criterion(
        "7.1.4",
        "queries give cost and tokens of each run",
        "Queries can retrieve cost and token usage per run.",
    ),
    criterion(
        "7.1.5",
        "a run from end to end has tokens and a cost",
        "At least one end-to-end run demonstrates non-zero token counts and a computed cost.",
    ),
    criterion(
        "7.1.6",
        "a query gives the most expensive runs of 7 days",
        "A query example exists: “Top N most expensive runs in last 7 days”",
    ),
    criterion(
        "7.2.1",
        "a query shows spend per day",
        "A lightweight query exists to show: total spend per day (estimated)",
    ),
    criterion(
        "7.2.2",
        "a query shows spend per agent",
        "A lightweight query exists to show: spend per agent",
    ),
    criterion(
        "7.2.3",
        "a query shows spend per model",
        "A lightweight query exists to show: spend per model",
    ),
    criterion(
        "7.2.4",
        "errors of cost tracking do not break a pipeline",
        "Errors in cost tracking do not break enrichment execution (fail-open with warnings).",
    ),
    criterion(
        "9.1.1",
        "prompt versions are kept, with an id",
        "Prompt versions are stored in a durable store (DB) and referenced by ID.",
    ),
    criterion(
        "9.1.2",
        "each step run says which version it used",
        "Each pipeline step run captures which prompt version was used.",
    ),
    criterion(
        "9.1.3",
        "a run can be replayed with the same versions",
        "It is possible to replay a run using the same prompt versions.",
    ),
    criterion(
        "9.2.1",
        "a policy says what may go into a prompt",
        "Prompt construction paths have a clear policy about what content can be included.",
    ),
    criterion("9.2.2", "no secret goes into a prompt", "Secrets (API keys) are never embedded into prompts."),
    criterion(
        "9.2.3",
        "it is logged when raw content is sent",
        "If PII detection/redaction is not implemented yet, the system has: clear documentation, a known backlog item, explicit logging to show when raw content is sent to an LLM",
    ),
];

/// What is shown of a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    Met,
    /// Nothing that is recorded shows it, and nothing contradicts it.
    NoData,
    /// Some of what is recorded shows it, some does not.
    Partly,
    /// What is recorded contradicts it.
    NotMet,
}

impl Shown {
    /// The word, for people and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NoData => "no data yet",
            Self::Partly => "partly met",
            Self::NotMet => "NOT MET",
        }
    }

    /// Of things each of which must be so.
    const fn all(found: u64, of: u64) -> Self {
        match (found, of) {
            (_, 0) => Self::NoData,
            (found, of) if found == of => Self::Met,
            _ => Self::NotMet,
        }
    }

    /// Of things some of which may not be known.
    const fn share(found: u64, of: u64) -> Self {
        match (found, of) {
            (_, 0) | (0, _) => Self::NoData,
            (found, of) if found == of => Self::Met,
            _ => Self::Partly,
        }
    }
}

/// One piece of evidence.
pub(super) struct Evidence {
    pub criterion: &'static str,
    pub what: &'static str,
    pub found: u64,
    /// Of how many; none, where one is enough.
    pub of: Option<u64>,
    pub shown: Shown,
    /// The command that shows more.
    pub command: &'static str,
    /// A run that shows it.
    pub run_id: Option<RunId>,
}

/// What the other checks have found.
pub(super) struct Facts {
    pub runs: RunEvidence,
    pub steps: StepEvidence,
    pub sent: SentEvidence,
    pub laws: Broken,
    pub versions: Versions,
    pub replayed: Replayed,
    /// Whether triggers refuse what must not change.
    pub refusals: bool,
    pub recorders: Recorders,
}

/// The verdict on a criterion: that of its weakest evidence.
pub(super) fn verdict(evidence: &[Evidence], criterion: &str) -> Shown {
    evidence.iter().filter(|e| e.criterion == criterion).map(|e| e.shown).max().unwrap_or(Shown::NoData)
}

/// Evidence in the making.
#[derive(Default)]
struct Collected(Vec<Evidence>);

impl Collected {
    /// Each of the things must be so.
    fn all(
        &mut self,
        criterion: &'static str,
        what: &'static str,
        (found, of): (u64, u64),
        command: &'static str,
    ) {
        self.push(criterion, what, found, Some(of), Shown::all(found, of), command);
    }

    /// Of some of the things it may not be known.
    fn share(
        &mut self,
        criterion: &'static str,
        what: &'static str,
        (found, of): (u64, u64),
        command: &'static str,
    ) {
        self.push(criterion, what, found, Some(of), Shown::share(found, of), command);
    }

    /// One is enough.
    fn some(&mut self, criterion: &'static str, what: &'static str, found: u64, command: &'static str) {
        let shown = if found == 0 { Shown::NoData } else { Shown::Met };
        self.push(criterion, what, found, None, shown, command);
    }

    fn push(
        &mut self,
        criterion: &'static str,
        what: &'static str,
        found: u64,
        of: Option<u64>,
        shown: Shown,
        command: &'static str,
    ) {
        self.0.push(Evidence { criterion, what, found, of, shown, command, run_id: None });
    }
}

pub(super) async fn evidence(store: &Store, zone: Tz, facts: &Facts) -> Result<Vec<Evidence>> {
    let mut evidence = Collected::default();
    of_runs(store, zone, facts, &mut evidence).await?;
    of_spend(store, zone, facts, &mut evidence).await?;
    of_prompts(facts, &mut evidence);
    of_guard(facts, &mut evidence);
    Ok(evidence.0)
}

async fn of_runs(store: &Store, zone: Tz, facts: &Facts, evidence: &mut Collected) -> Result<()> {
    let runs = &facts.runs;
    let broken = |law| facts.laws.get(law).copied().unwrap_or_default();
    let without = |of: u64, broken: u64| (of.saturating_sub(broken), of);
    let in_step = without(runs.runs, broken(LAW_OF_COUNTERS));
    evidence.all("7.1.1", "runs whose counters equal their calls", in_step, "asmm runs list");
    let placed = without(runs.calls, broken(LAW_OF_PLACE));
    evidence.all("7.1.2", "calls that belong to a run, and its step", placed, "asmm runs show RUN");
    evidence.all(
        "7.1.3",
        "finished runs with a stored final cost",
        (runs.costed, runs.finished),
        "asmm runs show RUN",
    );
    let week = Window::last_days(7, store.now(), zone)?;
    let ever = ever(store, zone)?;
    let (filter, most) = (Filter::default(), 5);
    let listed = store.runs(&ever, &filter, None, RunOrder::Started, most).await?;
    evidence.some("7.1.4", "newest runs that a query gives", count(listed.len()), "asmm runs list --limit 5");
    evidence.some("7.1.5", "finished runs with tokens and a cost", runs.with_cost, "asmm runs explain RUN");
    let top = store.runs(&week, &filter, None, RunOrder::Cost, most).await?;
    evidence.some(
        "7.1.6",
        "runs of the last 7 days, at most 5",
        count(top.len()),
        "asmm runs top --days 7 --limit 5",
    );
    Ok(())
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// All time of which a ledger may hold something.
fn ever(store: &Store, zone: Tz) -> Result<Window> {
    Window::between(Timestamp::EARLIEST, store.now().plus_micros(2 * 86_400_000_000), zone)
}

/// Three queries that must agree.
async fn of_spend(store: &Store, zone: Tz, facts: &Facts, evidence: &mut Collected) -> Result<()> {
    let window = ever(store, zone)?;
    let by = SpendBy::default();
    let asked = [
        ("7.2.1", "days with spend", SpendBy { day: true, ..by }, "asmm spend daily"),
        ("7.2.2", "agents with spend", SpendBy { agent: true, ..by }, "asmm spend agent"),
        ("7.2.3", "models with spend", SpendBy { model: true, ..by }, "asmm spend model"),
    ];
    let mut totals: Vec<Totals> = Vec::new();
    for (criterion, what, by, command) in asked {
        let spend = store.spend(&window, by, &Filter::default()).await?;
        evidence.some(criterion, what, count(spend.len()), command);
        totals.push(spend.into_values().fold(Totals::default(), |mut sum, part| {
            sum += part;
            sum
        }));
    }
    if totals.iter().any(|total| *total != totals[0]) {
        for (criterion, _, _, command) in asked {
            evidence.all(criterion, "sums by day, agent and model that agree", (0, 1), command);
        }
    }
    let Recorders { accepted, lost, .. } = &facts.recorders;
    let kept = (*accepted, accepted + lost);
    evidence.all("7.2.4", "events that recorders here did not lose", kept, "asmm spool status");
    Ok(())
}

fn of_prompts(facts: &Facts, evidence: &mut Collected) {
    let Versions { all, changed, .. } = facts.versions;
    let kept = (all.saturating_sub(changed), all);
    evidence.all("9.1.1", "prompt versions with the digest they had", kept, "asmm prompts list");
    let refused = (u64::from(facts.refusals), 1);
    evidence.all("9.1.1", "the database refuses changes of versions", refused, "asmm doctor");
    let steps = &facts.steps;
    evidence.share(
        "9.1.2",
        "steps with calls that name their version",
        (steps.versioned, steps.calling),
        "asmm runs show RUN",
    );
    let replayed = &facts.replayed;
    let shown =
        if replayed.broken > 0 { Shown::NotMet } else { Shown::share(replayed.verified, replayed.tried) };
    let (found, of) = (replayed.verified, Some(replayed.tried));
    let command = "asmm replay RUN --verify";
    evidence.push("9.1.3", "replayed texts with the digest they had", found, of, shown, command);
    if let Some(proof) = evidence.0.last_mut() {
        proof.run_id = replayed.run_id;
    }
}

fn of_guard(facts: &Facts, evidence: &mut Collected) {
    evidence.some("9.2.1", "detectors of the policy in force", count(rules().count()), "asmm guard rules");
    let Versions { all, with_secret, .. } = facts.versions;
    let clean = (all.saturating_sub(with_secret), all);
    evidence.all("9.2.2", "prompt versions without a secret", clean, "asmm prompts check");
    let sent = &facts.sent;
    let scanned = (sent.scanned(), sent.recorded());
    evidence.share("9.2.2", "recorded texts looked at before sending", scanned, "asmm guard coverage");
    let recorded = (sent.recorded(), sent.calls);
    evidence.share("9.2.3", "calls that say what was known of the text", recorded, "asmm guard coverage");
    if sent.raw_allowed > 0 {
        let logged = (sent.raw_logged, sent.raw_allowed);
        evidence.all("9.2.3", "texts sent raw with a logged decision", logged, "asmm guard events");
    }
}
