//! `asmm guard sweep`: looking at what was sent without the guard.

use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit, say};
use crate::domain::{CallPrompt, Decision, GuardEvent, Sanitisation, SentPrompt, Timestamp};
use crate::error::Result;
use crate::guard::{About, Decided, Guard};
use crate::prompt::Content;
use crate::report::{Cell, Column, Document, Kind, Table};
use crate::store::{Mark, Store};
use clap::Args;
use std::collections::{BTreeMap, HashMap};

/// Look at what was sent without the guard, mark it, and redact it
///
/// Pipelines that record through SQL or render elsewhere pass no guard: their texts are stored as unscanned. This
/// looks at them and marks each as clean, or as exposed when it holds what the policy forbids. With --redact, what is
/// exposed is also replaced by tokens in the ledger. It was sent all the same: the digest of what was sent stays, and
/// replay says that the text was redacted after the fact.
///
/// The exit code is 6 when something was found.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Also replace what the policy forbids. This cannot be undone
    #[arg(long)]
    redact: bool,
    /// Change nothing: show what would be marked and redacted
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// How many texts are looked at, and marked in one transaction: each may be megabytes long.
const PAGE: u32 = 100;

/// What was found.
#[derive(Default)]
struct Swept {
    looked_at: u64,
    clean: u64,
    allowed: u64,
    exposed: u64,
    redacted: u64,
    failed: u64,
    by_detector: BTreeMap<&'static str, (u64, u64)>,
}

struct Sweep<'a> {
    store: &'a Store,
    guard: Guard,
    now: Timestamp,
    redact: bool,
    contents: HashMap<String, Option<(Content, String)>>,
    swept: Swept,
}

pub(super) async fn run(ctx: &Ctx, args: SweepArgs) -> Result<Exit> {
    let zone = ctx.zone(None)?;
    let store = ctx.store_as_is().await?;
    let mut sweep = Sweep {
        store: &store,
        guard: ctx.guard()?,
        now: ctx.clock.now(),
        redact: args.redact,
        contents: HashMap::new(),
        swept: Swept::default(),
    };
    let mut after = None;
    loop {
        let page = store.sent_to_scan(after, args.redact, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.run_id, last.call_id));
        let (mut marks, mut events) = (Vec::new(), Vec::new());
        for sent in &page {
            if let Some((mark, decided)) = sweep.look(sent).await? {
                marks.push(mark);
                events.extend(decided);
            }
        }
        if !args.dry_run {
            store.mark_scanned(&marks, &events).await?;
        }
    }
    let scope = ctx.scope(&store, None, zone, None).await?;
    let swept = &sweep.swept;
    let mut document = document(&store, scope, swept);
    if args.dry_run {
        document.notes.push("nothing was changed: this was a dry run".to_owned());
    } else if swept.exposed > 0 && !args.redact {
        document.notes.push("with --redact, what is exposed is replaced by tokens in the ledger".to_owned());
    }
    if swept.exposed > 0 {
        document.notes.push("what is exposed was sent: see RUNBOOK.md, \"After a leak\"".to_owned());
    }
    ctx.print_document(&document, args.output.format.into())?;
    Ok(match (swept.exposed, swept.failed) {
        (0, 0) => Exit::Fine,
        (0, _) => Exit::Flawed,
        _ => Exit::Found,
    })
}

impl Sweep<'_> {
    /// Looks at one text; answers how to mark it, and what was decided. None if it cannot be looked at.
    async fn look(&mut self, sent: &SentPrompt) -> Result<Option<(Mark, Vec<GuardEvent>)>> {
        self.swept.looked_at += 1;
        let mut prompt = sent.prompt.clone();
        let was_marked = prompt.sanitisation == Sanitisation::Exposed;
        // Judged anew, whole, in both cases.
        prompt.sanitisation = Sanitisation::Unscanned;
        let mark = Mark {
            run_id: sent.run_id,
            call_id: sent.call_id,
            sanitisation: Sanitisation::Exposed,
            redacted_at: prompt.redacted_at,
            inputs: prompt.stored_inputs()?,
            body: None,
        };
        if prompt.redacted_at.is_some() {
            // Another call was sent the same text, which is redacted already.
            self.swept.exposed += 1;
            self.swept.redacted += 1;
            return Ok(Some((mark, Vec::new())));
        }
        let (content, name) = match self.version(&prompt).await? {
            Some((content, name)) => (Some(content), Some(name)),
            None => (None, None),
        };
        let on = sent.sent_at.to_utc().date_naive();
        let examined = match self.guard.examine(&prompt, content.as_ref(), on) {
            Ok(examined) => examined,
            Err(error) => {
                self.swept.failed += 1;
                say(&format!("warning: call `{}` stays unscanned: {error}", sent.call_id));
                return Ok(None);
            }
        };
        self.count(examined.sanitisation, examined.decisions.all());
        let mut decisions = examined.decisions;
        let redacted = examined.redacted.filter(|_| self.redact);
        if redacted.is_none() {
            decisions.restate_as_reported();
        }
        let about = About { run_id: Some(sent.run_id), call_id: Some(sent.call_id), prompt: name };
        decisions.log(&about, false);
        let mut mark = Mark { sanitisation: examined.sanitisation, redacted_at: None, ..mark };
        if let Some(redacted) = redacted {
            self.swept.redacted += 1;
            mark.redacted_at = Some(self.now);
            mark.inputs = redacted.stored_inputs()?;
            mark.body = redacted.stored_messages()?;
        } else if was_marked {
            // It says so already: what is found is in the template, which cannot be redacted.
            return Ok(None);
        }
        let events = decisions.events(&about, self.guard.policy_sha256(), self.now);
        Ok(Some((mark, events)))
    }

    fn count(&mut self, state: Sanitisation, decided: &[Decided]) {
        match state {
            Sanitisation::Clean => self.swept.clean += 1,
            Sanitisation::Exposed => self.swept.exposed += 1,
            _ => self.swept.allowed += 1,
        }
        for one in decided.iter().filter(|one| one.decision.hides() || one.decision == Decision::Report) {
            let (calls, findings) = self.swept.by_detector.entry(one.detector).or_default();
            *calls += 1;
            *findings += u64::from(one.findings);
        }
    }

    /// What the version says, and its name with its number.
    async fn version(&mut self, prompt: &CallPrompt) -> Result<Option<(Content, String)>> {
        let Some(id) = &prompt.version else { return Ok(None) };
        if let Some(known) = self.contents.get(id) {
            return Ok(known.clone());
        }
        let version = self.store.recorded_version(id, Timestamp::FAR).await?;
        let known = version.parsed().ok().map(|content| (content, version.entry.to_string()));
        self.contents.insert(id.clone(), known.clone());
        Ok(known)
    }
}

fn document(store: &Store, scope: crate::report::Scope, swept: &Swept) -> Document {
    let rows: Vec<(&&str, &(u64, u64))> = swept.by_detector.iter().collect();
    let table = Table::of(&rows)
        .column(Column::new(Kind::Text, "detector", "detector"), |(detector, _)| **detector)
        .column(Column::new(Kind::Count, "values", "values"), |(_, (values, _))| Cell::Count(*values))
        .column(Column::new(Kind::Count, "findings", "found"), |(_, (_, findings))| Cell::Count(*findings))
        .done();
    let document = Document::new("asmm.guard_sweep/1", scope)
        .field("ledger", "ledger", store.shown().to_owned())
        .field("looked_at", "looked at", Cell::Count(swept.looked_at))
        .field("clean", "clean", Cell::Count(swept.clean))
        .field("raw_allowed", "let through", Cell::Count(swept.allowed))
        .field("exposed", "exposed", Cell::Count(swept.exposed))
        .field("redacted", "redacted", Cell::Count(swept.redacted))
        .field("failed", "not readable", Cell::Count(swept.failed));
    if rows.is_empty() { document } else { document.section("detectors", "what was found", table) }
}
