//! `asmm prompts list`: what there is.

use super::{AtArgs, digest_columns, pointing};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit};
use crate::error::Result;
use crate::report::{Cell, Column, Empty, Kind, Report, Table};
use crate::store::VersionEntry;
use clap::Args;

/// The prompts, their latest versions and labels
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) async fn run(ctx: &Ctx, args: ListArgs) -> Result<Exit> {
    let (at, _, scope) = args.at.resolve(ctx)?;
    let store = ctx.store().await?;
    let prompts: Vec<VersionEntry> = store.prompts(at).await?;
    let labels = pointing(store.label_moves(None, at).await?);
    let labels_of = |name: &str| -> Vec<String> {
        labels.values().filter(|m| m.name == name).map(|m| format!("{}@{}", m.label, m.version)).collect()
    };
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(&prompts)
        .column(text("prompt", "prompt"), |p: &VersionEntry| p.name.clone())
        .column(Column::new(Kind::Count, "version", "latest"), |p| Cell::Count(p.version.into()))
        .column(text("labels", "labels"), |p| labels_of(&p.name))
        .column(Column::new(Kind::Time, "created_at", "pushed").keep(3), |p| p.created_at)
        .column(text("created_by", "by").keep(5), |p| p.created_by.clone());
    let table = digest_columns(table, 4, |p: &VersionEntry| p.digest)
        .column(text("description", "description").keep(2), |p| {
            if p.description.is_empty() { Cell::Missing } else { Cell::text(&p.description) }
        })
        .done();
    let empty = Empty {
        what: if args.at.at.is_some() { "prompts at that time" } else { "prompts" }.to_owned(),
        next_step: "write one as prompts/NAME.yaml and bring it in with `asmm prompts push`".to_owned(),
    };
    ctx.print(&Report { scope, empty, ..Report::new("asmm.prompts/1", table) }, args.output.format.into())?;
    Ok(Exit::Fine)
}
