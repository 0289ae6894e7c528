//! `asmm runs`: looking at runs, and recording them from the shell.

mod diff;
mod exec;
mod explain;
mod prompt;
pub(in crate::cli) mod record;
mod show;
mod top;

use super::context::{Ctx, Exit};
use crate::error::Result;
use clap::Subcommand;

/// Runs: the most expensive, one in detail, and recording them from the shell
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// The most expensive runs
    Top(top::TopArgs),
    /// The newest runs
    List(top::ListArgs),
    /// One run: its totals, steps, and what it spent on which model
    Show(show::ShowArgs),
    /// The arithmetic of a run's cost, call by call
    Explain(explain::ExplainArgs),
    /// Two runs side by side: spend, prompts, and whether they sent the same texts
    Diff(diff::DiffArgs),
    /// Start a run and print its id
    Start(record::StartArgs),
    /// Start a step of a run and print its id
    Step(record::StepArgs),
    /// Record a call to a model and print its id
    Call(Box<record::CallArgs>),
    /// Finish a run, or a step of it
    Finish(record::FinishArgs),
    /// Run a command as a run, and finish with its status
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
        RunsCommand::Exec(args) => exec::run(ctx, args).await,
    }
}
