//! `asmm prompts diff`: what differs between two versions.

use super::{AtArgs, TAMPERED, intact, print_text, text};
use crate::cli::context::{Ctx, Exit, print_line};
use crate::error::{Error, Result};
use crate::prompt::{Reference, VersionRef, diff};
use clap::Args;

/// What differs between two versions
///
/// White space at the end of a line is made visible, since it is sent as well.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The old version: name@7, name@production, name@sha256:…; a name alone is its latest version
    old: String,
    /// The new version [default: the latest; of a name alone its two latest are compared]
    new: Option<String>,
    #[command(flatten)]
    at: AtArgs,
}

pub(super) async fn run(ctx: &Ctx, args: DiffArgs) -> Result<Exit> {
    let (at, _, _) = args.at.resolve(ctx)?;
    let mut old: Reference = args.old.parse()?;
    let new: Reference = match &args.new {
        Some(new) => new.parse()?,
        None => Reference { name: old.name.clone(), version: VersionRef::Latest },
    };
    let store = ctx.store().await?;
    let newer = store.prompt_version(&new, at).await?;
    if args.new.is_none() && old.version == VersionRef::Latest {
        if newer.entry.version == 1 {
            return Err(Error::not_found(format!("prompt `{}` has one version only", old.name))
                .hint("name two versions to compare, of this prompt or of two"));
        }
        old.version = VersionRef::Number(newer.entry.version - 1);
    }
    let older = store.prompt_version(&old, at).await?;
    let (Some(old), Some(new)) = (intact(&older)?, intact(&newer)?) else { return Ok(TAMPERED) };
    let lines = diff(&old, &new);
    if lines.is_empty() {
        print_line(&format!("`{}` and `{}` say the same", older.entry, newer.entry))?;
        return Ok(Exit::Fine);
    }
    let color = ctx.style().color;
    let head = |sign: &str, entry: &crate::store::VersionEntry| {
        text::painted(&format!("{sign} {entry} {}", entry.digest.short()), "1", color)
    };
    let (from, to) = (head("---", &older.entry), head("+++", &newer.entry));
    print_text(&format!("{from}\n{to}\n{}", text::diff(&lines, color)))?;
    Ok(Exit::Fine)
}
