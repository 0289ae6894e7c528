//! `asmm spool`: what waits on disk because the ledger could not be reached.

pub(crate) mod older;

use super::args::OutputArgs;
use super::context::{Ctx, Exit, counted, print_line, say};
use super::recording::drain;
use crate::domain::Timestamp;
use crate::error::Result;
use crate::recorder::spool::{SpoolStatus, all_spools, spool_home};
use crate::report::{Cell, Column, Document, Kind, Scope, Table};
use clap::{Args, Subcommand};
use std::collections::BTreeMap;

/// What could not be recorded, and waits on disk
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    Status(StatusArgs),
    Drain(DrainArgs),
}

/// What waits, for which ledgers, and what was set aside
///
/// Recording commands and recorders keep here what the ledger cannot take, and deliver it when it is back. What the
/// ledger refuses, or what is damaged, is set aside with its reason and holds up nothing.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Deliver what waits to the ledger now
///
/// Segments that belong to a running process are delivered by that process. Exit code 1 when something still waits for a
/// run, a step or a prompt that the ledger does not know, was set aside, or cannot be read; 7 when the ledger cannot be reached.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Try again what was set aside, as after a price, a prompt or the clock was put right
    #[arg(long)]
    set_aside: bool,
}

pub(super) async fn run(ctx: &Ctx, command: SpoolCommand) -> Result<Exit> {
    match command {
        SpoolCommand::Status(args) => status(ctx, &args),
        SpoolCommand::Drain(args) => drain_now(ctx, &args).await,
    }
}

/// Why things were set aside, how many for that reason, and when the last one was.
type Reasons = BTreeMap<String, (u64, Option<Timestamp>)>;

fn status(ctx: &Ctx, args: &StatusArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let ours = ctx.spool()?;
    let mut spools: Vec<SpoolStatus> = Vec::new();
    let mut reasons = Reasons::new();
    for spool in all_spools(&spool_home()?)? {
        let spool = if spool.folder() == ours.folder() { ours.clone() } else { spool };
        let status = spool.status()?;
        if spool.folder() == ours.folder() {
            spool.read_aside(|aside| {
                let (count, last) = reasons.entry(aside.reason).or_default();
                *count += 1;
                *last = (*last).max(Some(aside.set_aside_at));
            })?;
        }
        if status.events > 0 || status.set_aside > 0 || spool.folder() == ours.folder() {
            spools.push(status);
        }
    }
    let scope = Scope { zone: Some(zone.0), zone_source: Some(zone.1.to_owned()), ..Scope::default() };
    let waiting: u64 = spools.iter().map(|spool| spool.events).sum();
    let mut document = Document::new("asmm.spool_status/1", scope)
        .field("ledger", "ledger", ctx.location.name())
        .field("folder", "spool", ours.folder().display().to_string())
        .field(
            "verdict",
            "verdict",
            match waiting {
                0 => "nothing waits".to_owned(),
                _ => counted(waiting, "event waits", "events wait"),
            },
        );
    if !spools.is_empty() {
        document = document.section("spools", "what waits", waiting_table(&spools));
    }
    if !reasons.is_empty() {
        document =
            document.section("set_aside", "what was set aside for this ledger", reasons_table(&reasons));
        let file = ours.folder().join("aside.jsonl");
        document.notes.push(format!(
            "`asmm spool drain --set-aside` tries them again; they are in `{}`",
            file.display()
        ));
    }
    let older = older::path(ctx)?;
    if older.metadata().is_ok_and(|file| file.len() > 0) {
        document.notes.push(format!(
            "events that an earlier version of asmm left wait in `{}`; `asmm spool drain` delivers them too",
            older.display()
        ));
    }
    ctx.print_document(&document, args.output.format.into())?;
    Ok(Exit::Fine)
}

fn waiting_table(spools: &[SpoolStatus]) -> Table {
    Table::of(spools)
        .column(Column::new(Kind::Text, "ledger", "ledger"), |s: &SpoolStatus| s.ledger.clone())
        .column(Column::new(Kind::Count, "events", "events"), |s| Cell::Count(s.events))
        .column(Column::new(Kind::Time, "oldest", "oldest").keep(2), |s| {
            s.oldest.map_or(Cell::Missing, Cell::Time)
        })
        .column(Column::new(Kind::Count, "bytes", "bytes").keep(3), |s| Cell::Count(s.bytes))
        .column(Column::new(Kind::Count, "segments", "segments").keep(5), |s| Cell::Count(s.segments))
        .column(Column::new(Kind::Count, "in_use", "in use").keep(4), |s| Cell::Count(s.owned))
        .column(Column::new(Kind::Count, "set_aside", "set aside").keep(1), |s| Cell::Count(s.set_aside))
        .done()
}

fn reasons_table(reasons: &Reasons) -> Table {
    let rows: Vec<_> = reasons.iter().collect();
    Table::of(&rows)
        .column(Column::new(Kind::Text, "reason", "why"), |(reason, _)| (*reason).clone())
        .column(Column::new(Kind::Count, "events", "events"), |(_, (count, _))| Cell::Count(*count))
        .column(Column::new(Kind::Time, "last", "last").keep(1), |(_, (_, last))| {
            last.map_or(Cell::Missing, Cell::Time)
        })
        .done()
}

async fn drain_now(ctx: &Ctx, args: &DrainArgs) -> Result<Exit> {
    let spool = ctx.spool()?;
    if args.set_aside {
        match spool.try_aside_again(ctx.clock.now())? {
            0 => say("nothing is set aside that could be tried again"),
            count => say(&format!(
                "{} tried again",
                counted(count, "event that was set aside is", "events that were set aside are")
            )),
        }
    }
    let store = ctx.store_as_is().await?;
    let Some(drained) = drain(ctx, &spool, &store).await? else {
        if spool.is_empty()? {
            print_line("nothing waits")?;
        } else {
            print_line("another process is delivering what waits")?;
            say("hint: `asmm spool status` shows what is left of it");
        }
        return Ok(Exit::Fine);
    };
    match (&drained.last_wait, drained.waiting) {
        (None, _) => {}
        (Some(wait), 1) => {
            say(&format!("warning: 1 event still waits: {wait}"));
            say("hint: it is tried again for a day, then it is set aside");
        }
        (Some(wait), count) => {
            say(&format!("warning: {count} events still wait, the last because: {wait}"));
            say("hint: they are tried again for a day, then they are set aside");
        }
    }
    let owned = spool.status()?.owned;
    match owned {
        0 => {}
        1 => say("1 segment belongs to a running process, which delivers what is in it"),
        count => say(&format!("{count} segments belong to running processes, which deliver what is in them")),
    }
    let counts = (drained.delivered, drained.waiting, drained.set_aside);
    print_line(&match counts {
        (0, 0, 0) if owned == 0 && drained.trouble.is_none() => "nothing waits".to_owned(),
        (delivered, waiting, set_aside) => {
            format!("{delivered} delivered, {waiting} still waiting, {set_aside} set aside")
        }
    })?;
    Ok(if drained.waiting + drained.set_aside > 0 || drained.trouble.is_some() {
        Exit::Flawed
    } else {
        Exit::Fine
    })
}
