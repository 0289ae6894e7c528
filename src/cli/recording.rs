//! What the recording commands share: events into the ledger, or into the spool.
//!
//! They fail open: when the ledger is out of reach the event waits in the spool, stderr says so, and the exit code is
//! 0, so that no pipeline breaks for its bookkeeping.

use super::context::{Ctx, counted, say};
use super::spool::older;
use crate::domain::{Event, FinishRun, FinishStep};
use crate::error::{Error, ErrorKind, Result};
use crate::recorder::Door;
use crate::recorder::spool::{self, Drained, Spool};
use crate::store::Store;
use std::borrow::Cow;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a pipeline waits for the ledger before the event goes to the spool.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of that may go to what others left in the spool.
const PATIENCE_FOR_OTHERS: Duration = Duration::from_secs(5);

/// Records one event, or, when the ledger is out of reach, keeps it for later.
pub(super) async fn record(ctx: &Ctx, event: Event, strict: bool) -> Result<()> {
    record_all(ctx, vec![event], strict).await
}

/// Records what belongs together, or, when the ledger is out of reach, keeps it for later.
pub(super) async fn record_all(ctx: &Ctx, events: Vec<Event>, strict: bool) -> Result<()> {
    let now = ctx.clock.now();
    events.iter().try_for_each(|event| event.check(now))?;
    let outcome = match tokio::time::timeout(PATIENCE, reach(ctx, &events)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(spool::no_answer(PATIENCE)),
    };
    match outcome {
        Err(error) if !strict && is_of_the_database(&error) => {
            say(&format!("warning: {error}"));
            keep(ctx, events, Why::OutOfReach);
            Ok(())
        }
        Err(error) if !strict && may_come(ctx, &error) => {
            say(&format!("warning: {error}"));
            keep(ctx, events, Why::Behind);
            Ok(())
        }
        outcome => outcome,
    }
}

/// Whether the ledger failed, be it at this value: what it fails at is set aside later, and breaks no pipeline.
fn is_of_the_database(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Ledger | ErrorKind::Database | ErrorKind::Io)
}

/// Whether what the event names may still wait in the spool itself.
fn may_come(ctx: &Ctx, error: &Error) -> bool {
    let something_waits = || ctx.spool().and_then(|spool| spool.is_empty()).is_ok_and(|is_empty| !is_empty);
    error.kind() == ErrorKind::NotFound && something_waits()
}

/// Why events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The ledger is out of reach.
    OutOfReach,
    /// What they name is not in the ledger, and something waits in the spool.
    Behind,
}

/// Spools events. When that fails too they are lost, and the pipeline still goes on.
fn keep(ctx: &Ctx, mut events: Vec<Event>, why: Why) {
    let now = ctx.clock.now();
    for event in &mut events {
        // It ended now, not when the ledger is told of it.
        if let Event::Finish(FinishRun { completed_at, .. })
        | Event::FinishStep(FinishStep { completed_at, .. }) = event
        {
            completed_at.get_or_insert(now);
        }
    }
    // The spool is a place where texts lie as well.
    let (admitted, decided) = ctx.door().admit_to_disk(&events);
    let all: Vec<Event> = admitted.into_iter().map(Cow::into_owned).chain(decided).collect();
    let is_one = events.len() == 1;
    match ctx.spool().and_then(|spool| {
        take_over_older(ctx, &spool);
        spool.keep(&all, now).map(|()| spool)
    }) {
        Ok(spool) => {
            let folder = spool.folder().display();
            say(&match (why, is_one) {
                (Why::OutOfReach, true) => {
                    format!(
                        "warning: the event waits in the spool `{folder}` and is recorded when the ledger is back"
                    )
                }
                (Why::OutOfReach, false) => {
                    format!(
                        "warning: the events wait in the spool `{folder}` and are recorded when the ledger is back"
                    )
                }
                (Why::Behind, true) => {
                    format!("warning: the event waits in the spool `{folder}`, as what it names may do")
                }
                (Why::Behind, false) => {
                    format!("warning: the events wait in the spool `{folder}`, as what they name may do")
                }
            });
        }
        Err(error) => {
            say(&format!("warning: {error}"));
            let what = if is_one { "the event is lost" } else { "the events are lost" };
            say(&format!(
                "warning: {what}: neither the ledger nor the spool can take {}",
                if is_one { "it" } else { "them" }
            ));
            if let Some(hint) = error.next_step() {
                say(&format!("hint: {hint}"));
            }
        }
    }
}

async fn reach(ctx: &Ctx, events: &[Event]) -> Result<()> {
    let store: Store = ctx.store_as_is().await?;
    // Where there is no place for a spool, nothing waits in it.
    if let Ok(spool) = ctx.spool() {
        deliver_others(ctx, &spool, &store).await?;
    }
    let mut all = Vec::with_capacity(events.len());
    let mut door = ctx.door();
    for event in events {
        if Door::is_for(event) {
            all.extend(door.admit(Some(&store), event.clone()).await?);
        } else {
            all.push(event.clone());
        }
    }
    // Not read back: a user who may only write (`asmm_writer`) could not.
    let applied = store.apply(&all).await?;
    if let Some((_, call_id)) = applied.calls.conflict.first() {
        return Err(spool::conflict(call_id));
    }
    applied.refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

/// Delivers what others left, before the events of this command. What stands in the way of that does not stand in the
/// way of these, as long as the ledger answers.
async fn deliver_others(ctx: &Ctx, spool: &Spool, store: &Store) -> Result<()> {
    match tokio::time::timeout(PATIENCE_FOR_OTHERS, drain(ctx, spool, store)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::Io => say(&format!("warning: {error}")),
        Ok(outcome) => drop(outcome?),
        // What was delivered is delivered again, which changes nothing.
        Err(_) => {
            say(&format!(
                "warning: what waits in the spool was not delivered within {} s",
                PATIENCE_FOR_OTHERS.as_secs()
            ));
            say("hint: `asmm spool drain` takes the time it needs");
        }
    }
    Ok(())
}

/// Delivers what others left in the spool, and says so. None if another process is at it.
pub(super) async fn drain(ctx: &Ctx, spool: &Spool, store: &Store) -> Result<Option<Drained>> {
    take_over_older(ctx, spool);
    let door = Mutex::new(ctx.door());
    let drained = spool::drain_left(spool, store, &door, PATIENCE, ctx.clock.now()).await?;
    if let Some(drained) = &drained {
        if drained.delivered > 0 {
            let one = "event that waited in the spool is";
            let events = counted(drained.delivered, one, "events that waited in the spool are");
            say(&format!("{events} recorded now"));
        }
        if let Some(trouble) = &drained.trouble {
            say(&format!("warning: {trouble}"));
            say("hint: it stays and holds up nothing; make it readable, or move it out of the spool");
        }
        if let Some(reason) = &drained.last_reason {
            match drained.set_aside {
                1 => say(&format!("warning: 1 event of the spool is set aside: {reason}")),
                count => {
                    say(&format!(
                        "warning: {count} events of the spool are set aside, the last because: {reason}"
                    ));
                }
            }
            say("hint: `asmm spool status` shows what is set aside, and why");
        }
    }
    Ok(drained)
}

/// Takes over what an earlier version left. That it cannot be read stops nothing: it stays where it is.
fn take_over_older(ctx: &Ctx, spool: &Spool) {
    if let Err(error) = older::take_over(ctx, spool) {
        say(&format!("warning: {error}"));
    }
}
