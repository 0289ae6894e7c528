//! `asmm prompts label`: names for versions that may move on.

use super::{AtArgs, name_alone, pointing, unknown_prompt};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit, say};
use crate::domain::Timestamp;
use crate::error::Result;
use crate::prompt::{Reference, check_label};
use crate::report::{Cell, Column, Empty, Kind, Report, Table};
use crate::store::LabelMove;
use clap::Args;

/// Move a label to a version, or show where labels point and pointed
///
/// With a label, it points to the version from now on. Without one, every move of the prompt's labels is listed,
/// newest first; or, with --at, where each pointed then.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The version: name@7, name@staging, name@sha256:…; or the name alone, to list its labels
    #[arg(id = "reference", value_name = "VERSION")]
    version: String,
    /// The label to move: production, staging, any word that is not a number
    #[arg(conflicts_with_all = ["at", "format"])]
    label: Option<String>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: LabelArgs) -> Result<Exit> {
    match &args.label {
        Some(label) => move_to(ctx, &args.version, label).await,
        None => list(ctx, &args).await,
    }
}

async fn move_to(ctx: &Ctx, version: &str, label: &str) -> Result<Exit> {
    let reference: Reference = version.parse()?;
    check_label(label)?;
    let store = ctx.store().await?;
    let version = store.prompt_version(&reference, Timestamp::FAR).await?.entry;
    if !store.move_label(&version, label).await? {
        say(&format!("label `{label}` points to `{version}` already: nothing was changed"));
        return Ok(Exit::Fine);
    }
    // Read back, not read before: another may have moved it in between.
    let mut moves = store.label_moves(Some(&version.name), Timestamp::FAR).await?;
    moves.retain(|m| m.label == label);
    let ours = moves.iter().rposition(|m| m.prompt_version_id == version.prompt_version_id);
    let before = ours.and_then(|place| place.checked_sub(1)).and_then(|place| moves.get(place));
    match before {
        Some(before) => {
            say(&format!("label `{label}` moved from `{}@{}` to `{version}`", before.name, before.version));
        }
        None => say(&format!("label `{label}` is new and points to `{version}`")),
    }
    Ok(Exit::Fine)
}

async fn list(ctx: &Ctx, args: &LabelArgs) -> Result<Exit> {
    let (at, _, scope) = args.at.resolve(ctx)?;
    let name = name_alone(&args.version)?;
    let store = ctx.store().await?;
    if store.prompt_log(&name).await?.is_empty() {
        return Err(unknown_prompt(&name));
    }
    let mut moves: Vec<LabelMove> = store.label_moves(Some(&name), at).await?;
    if args.at.at.is_some() {
        moves = pointing(moves).into_values().collect();
    } else {
        moves.reverse();
    }
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(&moves)
        .column(text("label", "label"), |m: &LabelMove| m.label.clone())
        .column(Column::new(Kind::Count, "version", "version"), |m| Cell::Count(m.version.into()))
        .column(Column::new(Kind::Time, "moved_at", "moved"), |m| m.moved_at)
        .column(text("moved_by", "by"), |m| m.moved_by.clone())
        .done();
    let empty = Empty {
        what: format!("labels of `{name}`{}", if args.at.at.is_some() { " at that time" } else { "" }),
        next_step: format!("`asmm prompts label {name}@1 production` makes one"),
    };
    let report = Report { scope, empty, title: Some(name), ..Report::new("asmm.prompt_labels/1", table) };
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}
