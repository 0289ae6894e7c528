//! `asmm runs`: looking at runs, and recording them from the shell.

mod archive;
mod diff;
mod exec;
mod explain;
mod prompt;
pub(in crate::cli) mod record;
pub(in crate::cli) mod show;
mod top;

use super::context::{Ctx, Exit};
use crate::error::Result;
use clap::Subcommand;

/// Runs: the most expensive, one in detail, and recording them from the shell
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    Top(top::TopArgs),
    List(top::ListArgs),
    Show(show::ShowArgs),
    Explain(explain::ExplainArgs),
    Diff(diff::DiffArgs),
    Start(record::StartArgs),
    Step(record::StepArgs),
    /// Record a call to a model and print its id
    Call(Box<record::CallArgs>),
    Finish(record::FinishArgs),
    Archive(archive::ArchiveArgs),
    Exec(exec::ExecArgs),
}

pub(crate) async fn run(ctx: &Ctx, command: RunsCommand) -> Result<Exit> {
    match command {
        RunsCommand::Top(args) => top::top(ctx, args).await,
        RunsCommand::List(args) => top::list(ctx, args).await,
        RunsCommand::Show(args) => show::run(ctx, args).await,
        RunsCommand::Explain(args) => explain::run(ctx, args).await,
        RunsCommand::Diff(args) => diff::run(ctx, args).await,
        RunsCommand::Start(args) => record::start(ctx, args).await,
        RunsCommand::Step(args) => record::step(ctx, args).await,
        RunsCommand::Call(args) => record::call(ctx, *args).await,
        RunsCommand::Finish(args) => record::finish(ctx, args).await,
        RunsCommand::Archive(args) => archive::run(ctx, args).await,
        RunsCommand::Exec(args) => exec::run(ctx, args).await,
    }
}
