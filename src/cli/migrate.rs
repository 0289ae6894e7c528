//! `asmm migrate`: the schema, up to date.

use super::args::{FormatArg, OutputArgs};
use super::context::{Ctx, Exit, print_line, say};
use crate::error::Result;
use crate::report::{Cell, Column, Document, Kind, Scope, Table};
use crate::store::{SchemaState, Store};
use clap::{Args, Subcommand};

/// Bring the ledger's schema up to date, and the price catalogue in
///
/// A SQLite ledger is migrated by itself on first use; a Postgres ledger only by this command. Each migration is
/// one transaction: it is applied whole or not at all.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MigrateArgs {
    /// Print the SQL that would be run, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(subcommand)]
    command: Option<MigrateCommand>,
}

#[derive(Debug, Subcommand)]
enum MigrateCommand {
    Status(OutputArgs),
}

pub(crate) async fn run(ctx: &Ctx, args: MigrateArgs) -> Result<Exit> {
    let only_looks = args.dry_run || args.command.is_some();
    let store = if only_looks {
        Store::connect_to_look(&ctx.location, ctx.clock).await?
    } else {
        Store::connect(&ctx.location, ctx.clock).await?
    };
    match args.command {
        Some(MigrateCommand::Status(output)) => return status(ctx, &store, output.format).await,
        None if args.dry_run => {
            let pending = store.pending_migrations().await?;
            for migration in &pending {
                print_line(&format!("-- {:04}_{}\n{}", migration.version, migration.name, migration.sql))?;
            }
            say(&format!(
                "{}: {} to be applied; nothing was changed",
                store.shown(),
                migrations(pending.len())
            ));
        }
        None => {
            let applied = store.migrate().await?;
            for migration in &applied {
                say(&format!("applied {:04}_{}", migration.version, migration.name));
            }
            let catalogue = store.catalogue_version().await?.unwrap_or_default();
            say(&format!(
                "{}: up to date, {} applied; catalogue {catalogue}",
                store.shown(),
                migrations(applied.len())
            ));
        }
    }
    Ok(Exit::Fine)
}

fn migrations(count: usize) -> String {
    if count == 1 { "1 migration".to_owned() } else { format!("{count} migrations") }
}

async fn status(ctx: &Ctx, store: &Store, format: FormatArg) -> Result<Exit> {
    let state = store.schema_state().await?;
    let (word, pending) = match state {
        SchemaState::Current => ("up to date", Vec::new()),
        SchemaState::Empty => ("empty", store.pending_migrations().await?),
        SchemaState::Pending(pending) => ("not up to date", pending),
        broken => return Err(broken.into_error(store)),
    };
    let catalogue = if pending.is_empty() { store.catalogue_version().await? } else { None };
    let table = Table::of(&pending)
        .column(Column::new(Kind::Count, "version", "migration"), |m| {
            Cell::Count(u64::try_from(m.version).unwrap_or_default())
        })
        .column(Column::new(Kind::Text, "name", "name"), |m| m.name.clone());
    let document = Document::new("asmm.migrate_status/1", Scope { catalogue, ..Scope::default() })
        .field("ledger", "ledger", store.shown().to_owned())
        .field("state", "state", word)
        .section("pending", "pending", table);
    ctx.print_document(&document, format.into())?;
    Ok(Exit::Fine)
}
