//! What an earlier version left: one file for each ledger, in it an event a line as the native format writes it.

use crate::cli::context::Ctx;
use crate::domain::Event;
use crate::error::{Error, Result};
use crate::recorder::spool::{Aside, Spool, spool_home};
use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::PathBuf;
use uuid::Uuid;

/// How many events are moved at once.
const CHUNK: usize = 1000;

/// The file of the ledger in use. The earlier version named it after the whole URL.
pub(crate) fn path(ctx: &Ctx) -> Result<PathBuf> {
    let name = format!("{}\u{1f}{}", ctx.location.url, ctx.location.schema);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
    Ok(spool_home()?.join(format!("{}.jsonl", id.simple())))
}

/// Moves what waits in it into the spool, and removes it.
///
/// # Errors
/// When it cannot be read, or the spool cannot be written: then it stays, and moving it again changes nothing.
pub(crate) fn take_over(ctx: &Ctx, spool: &Spool) -> Result<()> {
    let path = path(ctx)?;
    let failed = |e| {
        Error::io(format!("`{}`, which an earlier version of asmm left, cannot be read", path.display()), e)
    };
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        // A home that is no folder is the new spool's to complain of.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        // The earlier version is still at it, or another process takes it over.
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let (now, name) = (ctx.clock.now(), path.file_name().unwrap_or_default().to_string_lossy());
    let (mut events, mut set_aside) = (Vec::new(), Vec::new());
    for (number, line) in BufReader::new(&file).split(b'\n').enumerate() {
        let line = line.map_err(failed)?;
        match serde_json::from_slice::<Event>(&line) {
            Ok(event) => events.push(event),
            Err(_) if line.is_empty() => {}
            Err(_) => {
                let number = number + 1;
                let reason =
                    format!("line {number} of `{name}`, which an earlier version of asmm left, is no event");
                set_aside.push(Aside::damaged(reason, &line, now));
            }
        }
        if events.len() == CHUNK {
            put(ctx, spool, &std::mem::take(&mut events))?;
        }
    }
    put(ctx, spool, &events)?;
    spool.set_aside(&set_aside)?;
    std::fs::remove_file(&path).map_err(failed)?;
    spool_home().and_then(|home| File::open(home).and_then(|home| home.sync_all()).map_err(failed))
}

fn put(ctx: &Ctx, spool: &Spool, events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let (admitted, decided) = ctx.door().admit_to_disk(events);
    let all: Vec<Event> = admitted.into_iter().map(Cow::into_owned).chain(decided).collect();
    spool.take_over(&all, ctx.clock.now())
}
