//! `asmm prompts purge-inputs`: what was sent long ago is dropped.

use super::ZoneArgs;
use crate::cli::args::{OutputArgs, moment};
use crate::cli::context::{Ctx, Exit};
use crate::error::{Error, Result};
use crate::report::{Cell, Document};
use clap::Args;

/// Drop the inputs and texts of old calls; spend, versions and digests stay
///
/// A replay of such a call says that its inputs were dropped, and still names version and digest. What is
/// dropped cannot be brought back.
#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// Of calls sent before this: 2026-11-01T12:00:00Z, or 2026-11-01 for the midnight that day begins with
    #[arg(long, value_name = "DATE")]
    before: String,
    /// Change nothing: say how much would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: PurgeArgs) -> Result<Exit> {
    let (zone, scope) = args.zone.resolve(ctx)?;
    let before = moment("--before", &args.before, zone)?;
    if before > ctx.clock.now() {
        return Err(Error::usage(format!("--before `{}` is in the future", args.before))
            .hint("name the day up to which inputs are old enough to go"));
    }
    let store = ctx.store().await?;
    let purged =
        if args.dry_run { store.purgeable(before).await? } else { store.purge_inputs(before).await? };
    let (calls, texts) = if args.dry_run {
        ("calls that would lose inputs", "texts that would go")
    } else {
        ("calls that lost inputs", "texts that went")
    };
    let mut document = Document::new("asmm.prompts_purge/1", scope)
        .field("before", "sent before", before)
        .field("calls", calls, Cell::Count(purged.calls))
        .field("texts", texts, Cell::Count(purged.texts))
        .field("dry_run", "dry run", args.dry_run);
    document.notes.push(
        if args.dry_run {
            "nothing was changed: this was a dry run; spend, versions and digests would stay"
        } else {
            "spend, versions and digests stay"
        }
        .to_owned(),
    );
    ctx.print_document(&document, args.output.format.into())?;
    Ok(Exit::Fine)
}
