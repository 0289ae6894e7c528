//! What could not be recorded waits on disk.
//!
//! One file per ledger in the user's state folder, a native JSONL line an event, appended and synced before
//! the command says so. The next recording command that reaches the ledger delivers it first; `asmm import
//! jsonl FILE` does so by hand. Ids make a second delivery harmless.

use super::context::{Ctx, counted, say};
use crate::domain::Event;
use crate::error::{Error, Result};
use crate::settings;
use crate::store::Store;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use uuid::Uuid;

/// The largest spool; past it a command fails rather than fill the disk.
const MAX_BYTES: u64 = 256 << 20;
/// How many events are delivered at once.
const CHUNK: usize = 1000;

/// The spool of the ledger in use. Its name is derived from the ledger's, which may hold a password.
pub(crate) fn path(ctx: &Ctx) -> Result<PathBuf> {
    let name = format!("{}\u{1f}{}", ctx.location.url, ctx.location.schema);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes());
    Ok(settings::state_home()?.join("asmm").join("spool").join(format!("{}.jsonl", id.simple())))
}

/// Appends an event and syncs it to disk.
pub(crate) fn append(ctx: &Ctx, event: &Event) -> Result<PathBuf> {
    let path = path(ctx)?;
    let failed = |e| Error::io(format!("the spool `{}` cannot be written", path.display()), e);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(failed)?;
    file.lock().map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > MAX_BYTES {
        return Err(Error::database(format!("the spool `{}` is full ({size} bytes)", path.display()))
            .hint("bring the ledger back and run `asmm import jsonl` on it"));
    }
    let mut line = serde_json::to_vec(event)
        .map_err(|e| Error::input(format!("the event cannot be written as JSON: {e}")))?;
    line.push(b'\n');
    // A process that died while it wrote has left a part of a line, which must not spoil this one.
    if ends_in_a_line_cut_off(&mut file, size).map_err(failed)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(path)
}

fn ends_in_a_line_cut_off(file: &mut File, size: u64) -> std::io::Result<bool> {
    if size == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Delivers what waits, if anything does. Events that the ledger refuses are put aside beside the spool, with
/// a warning, and do not hold up the others.
pub(crate) async fn drain(ctx: &Ctx, store: &Store) -> Result<()> {
    // Where there is no place for a spool, nothing waits in it.
    let Ok(path) = path(ctx) else { return Ok(()) };
    let failed = |e| Error::io(format!("the spool `{}` cannot be read", path.display()), e);
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    file.lock().map_err(failed)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Ok(());
    }
    let mut lines = Vec::new();
    let mut refused: Vec<String> = Vec::new();
    let mut delivered = 0_usize;
    for line in BufReader::new(&file).split(b'\n') {
        let line = line.map_err(failed)?;
        if !line.is_empty() {
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        if lines.len() == CHUNK {
            delivered += deliver(ctx, store, &mut lines, &mut refused).await?;
        }
    }
    delivered += deliver(ctx, store, &mut lines, &mut refused).await?;
    set_aside(&path, &refused)?;
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.sync_all()).map_err(failed)?;
    if delivered > 0 {
        let events =
            counted(delivered, "event that waited in the spool is", "events that waited in the spool are");
        say(&format!("{events} recorded now"));
    }
    Ok(())
}

async fn deliver(
    ctx: &Ctx,
    store: &Store,
    lines: &mut Vec<String>,
    refused: &mut Vec<String>,
) -> Result<usize> {
    let mut events = Vec::with_capacity(lines.len());
    let mut texts: Vec<Option<String>> = Vec::with_capacity(lines.len());
    let mut door = ctx.door();
    for line in lines.drain(..) {
        match serde_json::from_str::<Event>(&line) {
            Ok(event) => {
                // A spool that was written without the guard, or without the version at hand, meets it here.
                match door.admit(Some(store), event).await {
                    Ok(admitted) => {
                        texts.push(Some(line));
                        texts.resize(events.len() + admitted.len(), None);
                        events.extend(admitted);
                    }
                    Err(error) if error.is_of_the_ledger() => return Err(error),
                    Err(error) => {
                        say(&format!("warning: a spooled event was refused: {error}"));
                        refused.push(line);
                    }
                }
            }
            Err(_) => refused.push(line),
        }
    }
    let applied = store.apply(&events).await?;
    let mut delivered = texts.iter().flatten().count();
    for (place, error) in applied.refused {
        say(&format!("warning: a spooled event was refused: {error}"));
        // What the guard decided about an event has no line of its own.
        if let Some(line) = texts.get(place).cloned().flatten() {
            delivered -= 1;
            refused.push(line);
        }
    }
    Ok(delivered)
}

fn set_aside(path: &std::path::Path, refused: &[String]) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let aside = path.with_extension("refused.jsonl");
    let failed = |e| Error::io(format!("`{}` cannot be written", aside.display()), e);
    let mut file: File = OpenOptions::new().create(true).append(true).open(&aside).map_err(failed)?;
    for line in refused {
        writeln!(file, "{line}").map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let events = counted(refused.len(), "refused event is", "refused events are");
    say(&format!("warning: {events} kept in `{}`", aside.display()));
    Ok(())
}
