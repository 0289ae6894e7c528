//! `asmm doctor`: the laws of the ledger, recomputed.

use super::args::OutputArgs;
use super::context::{Ctx, Exit, counted};
use crate::error::Result;
use crate::recorder::Report;
use crate::report::{Cell, Column, Document, Kind, Scope, Table};
use crate::store::{LAWS, Store, Verdict};
use clap::Args;
use std::collections::BTreeMap;

/// Check the ledger: recompute its laws, its prompts' digests, and what was sent
///
/// It reads every call. Exit codes: 0 all holds, 5 a prompt version or what was sent was changed past the ledger,
/// 1 another law is broken.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// One check, and what it found.
struct Check {
    what: &'static str,
    looked_at: Option<u64>,
    broken: u64,
    /// Whether breaking it means that what was sent cannot be trusted.
    is_of_prompts: bool,
}

/// How many findings are named.
const NAMED: usize = 20;

#[derive(Default)]
struct Findings {
    named: Vec<String>,
    more: u64,
}

impl Findings {
    fn add(&mut self, finding: String) {
        if self.named.len() < NAMED {
            self.named.push(finding);
        } else {
            self.more += 1;
        }
    }
}

pub(super) async fn run(ctx: &Ctx, args: DoctorArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let store = ctx.store_as_is().await?;
    let mut findings = Findings::default();
    let mut checks = check_laws(&store, &mut findings).await?;
    checks.push(check_versions(&store, &mut findings).await?);
    checks.push(check_sent(&store, &mut findings).await?);

    let scope = ctx.scope(&store, None, zone, None).await?;
    let document = with_recorders(ctx, document(&store, scope, &checks, &findings));
    ctx.print_document(&document, args.output.format.into())?;
    let broken = |of_prompts: bool| checks.iter().any(|c| c.broken > 0 && c.is_of_prompts == of_prompts);
    Ok(match (broken(true), broken(false)) {
        (true, _) => Exit::Mismatch,
        (false, true) => Exit::Flawed,
        (false, false) => Exit::Fine,
    })
}

async fn check_laws(store: &Store, findings: &mut Findings) -> Result<Vec<Check>> {
    let mut broken: BTreeMap<&str, u64> = BTreeMap::new();
    for found in store.broken_laws().await? {
        *broken.entry(found.law).or_default() += 1;
        findings.add(found.to_string());
    }
    let check = |law: &'static str| Check {
        what: law,
        looked_at: None,
        broken: broken.get(law).copied().unwrap_or_default(),
        is_of_prompts: false,
    };
    Ok(LAWS.into_iter().map(check).collect())
}

async fn check_versions(store: &Store, findings: &mut Findings) -> Result<Check> {
    const PAGE: u32 = 100;
    let (mut looked_at, mut broken, mut after) = (0, 0, 0);
    loop {
        let versions = store.prompt_versions_page(after, PAGE).await?;
        let Some(last) = versions.last() else { break };
        after = last.entry.prompt_version_id;
        for version in &versions {
            looked_at += 1;
            if let Err(error) = version.parsed() {
                broken += 1;
                findings.add(error.to_string());
            }
        }
    }
    let what = "a prompt version says what it said when it was pushed";
    Ok(Check { what, looked_at: Some(looked_at), broken, is_of_prompts: true })
}

async fn check_sent(store: &Store, findings: &mut Findings) -> Result<Check> {
    let (mut looked_at, mut broken) = (0, 0);
    for run_id in store.runs_with_prompts().await? {
        let mut replay = store.replay(run_id);
        while let Some(call) = replay.next().await? {
            match &call.verdict {
                Verdict::NotRecorded | Verdict::Purged { .. } | Verdict::Redacted { .. } => continue,
                Verdict::Verified | Verdict::Unproven | Verdict::DigestOnly => {}
                Verdict::Mismatch { .. } | Verdict::Broken { .. } => {
                    broken += 1;
                    findings.add(format!("run `{run_id}`, call `{}`: {}", call.call_id, call.verdict));
                }
            }
            looked_at += 1;
        }
    }
    let what = "what was sent in a call has the digest stored when it was sent";
    Ok(Check { what, looked_at: Some(looked_at), broken, is_of_prompts: true })
}

/// A recorder that has not been heard of for longer was killed, or hangs: 90 s. It writes every 30 s at least.
const SILENT_MICROS: i64 = 90_000_000;
/// How many recorders are named: the newest.
const RECORDERS: usize = 10;

/// What waits in the spool of this machine, and what the recorders here have done. That neither can be read breaks no
/// law of the ledger.
fn with_recorders(ctx: &Ctx, mut document: Document) -> Document {
    let Ok(spool) = ctx.spool() else { return document };
    match spool.status() {
        Ok(status) if status.events + status.set_aside == 0 => {}
        Ok(status) => document.notes.push(format!(
            "{} in the spool of this machine, {} set aside: see `asmm spool status`",
            counted(status.events, "event waits", "events wait"),
            counted(status.set_aside, "is", "are"),
        )),
        Err(error) => document.notes.push(format!("the spool of this machine cannot be read: {error}")),
    }
    let now = ctx.clock.now();
    let reports: Vec<Report> = spool.reports().into_iter().take(RECORDERS).collect();
    if reports.is_empty() {
        return document;
    }
    let table = Table::of(&reports)
        .column(Column::new(Kind::Count, "process", "process"), |r: &Report| Cell::Count(r.process.into()))
        .column(Column::new(Kind::Time, "updated_at", "updated").keep(5), |r| Cell::Time(r.updated_at))
        .column(Column::new(Kind::Text, "state", "state").keep(3), |r| {
            match (r.is_running, r.metrics.is_connected) {
                (false, _) => "ended",
                _ if now.micros() - r.updated_at.micros() > SILENT_MICROS => "silent",
                (true, true) => "connected",
                (true, false) => "waiting",
            }
        })
        .column(Column::new(Kind::Text, "level", "level").keep(8), |r| r.level.clone())
        .column(Column::new(Kind::Count, "accepted", "accepted").keep(4), |r| Cell::Count(r.metrics.accepted))
        .column(Column::new(Kind::Count, "queued", "queued").keep(7), |r| Cell::Count(r.metrics.queued))
        .column(Column::new(Kind::Count, "delivered", "delivered"), |r| Cell::Count(r.metrics.delivered))
        .column(Column::new(Kind::Count, "spooled", "spooled").keep(1), |r| Cell::Count(r.metrics.spooled))
        .column(Column::new(Kind::Count, "in_spool", "in spool").keep(2), |r| Cell::Count(r.metrics.in_spool))
        .column(Column::new(Kind::Count, "set_aside", "set aside").keep(6), |r| {
            Cell::Count(r.metrics.set_aside)
        })
        .column(Column::new(Kind::Count, "dropped", "lost"), |r| Cell::Count(r.metrics.dropped))
        .done();
    document.section("recorders", "recorders on this machine, newest first", table)
}

fn document(store: &Store, scope: Scope, checks: &[Check], findings: &Findings) -> Document {
    let holds = checks.iter().all(|check| check.broken == 0);
    let table = Table::of(checks)
        .column(Column::new(Kind::Text, "check", "check"), |c: &Check| c.what)
        .column(Column::new(Kind::Count, "looked_at", "looked at").keep(2), |c| {
            c.looked_at.map_or(Cell::Missing, Cell::Count)
        })
        .column(Column::new(Kind::Count, "broken", "broken"), |c| Cell::Count(c.broken))
        .column(Column::new(Kind::Text, "verdict", "verdict").keep(1), |c| {
            if c.broken == 0 { "holds" } else { "BROKEN" }
        })
        .done();
    let found = Table::of(&findings.named)
        .column(Column::new(Kind::Text, "finding", "what was found"), |f: &String| f.clone())
        .done();
    let mut document = Document::new("asmm.doctor/1", scope)
        .field("ledger", "ledger", store.shown().to_owned())
        .field("verdict", "verdict", if holds { "all laws hold" } else { "a law is broken" })
        .section("checks", "laws, recomputed", table);
    if !findings.named.is_empty() {
        document = document.section("findings", "what breaks them", found);
        if findings.more > 0 {
            document.notes.push(format!("{} more findings are not shown", findings.more));
        }
        document.notes.push(
            "somebody changed the database past the ledger: restore a backup; see RUNBOOK.md".to_owned(),
        );
    }
    document
}
