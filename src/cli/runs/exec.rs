//! `asmm runs exec`: a command as a run.

use super::record::{labels, new_run_id};
use crate::cli::args::IfGiven;
use crate::cli::context::{Ctx, Exit, say};
use crate::cli::recording::record;
use crate::domain::{Event, FinishRun, RunId, StartRun, Status};
use crate::error::Result;
use clap::Args;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run a command as a run, and finish with its status
///
/// The command sees the run's id as `ASMM_RUN_ID`, so that what it records lands on this run. Its exit code
/// becomes this program's (127 when there is no such command). In a run of its own (`ASMM_RUN_ID` is set) the new run is a child of that one.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: String,
    /// The run's id [default: a new one]
    #[arg(long, value_name = "UUID")]
    run_id: Option<RunId>,
    /// A word to find the run by; may be given again
    #[arg(long = "label", value_name = "NAME=TEXT")]
    labels: Vec<String>,
    /// The run that started this one [default: the run of `ASMM_RUN_ID`]
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    parent: Option<IfGiven<RunId>>,
    /// Do not start the command when the ledger is out of reach: exit with 7
    #[arg(long)]
    strict: bool,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) async fn run(ctx: &Ctx, args: ExecArgs) -> Result<Exit> {
    let run_id = args.run_id.unwrap_or_else(new_run_id);
    let mut start = StartRun {
        run_id,
        pipeline: args.pipeline,
        started_at: ctx.clock.now(),
        labels: labels(&args.labels)?,
        parent_run_id: args.parent.and_then(|parent| parent.0),
        replay_of: None,
    };
    start.parent_run_id = start.parent_run_id.filter(|parent| *parent != run_id);
    record(ctx, Event::Run(start), args.strict).await?;

    let ended = execute(&args.command, run_id).await;
    let status = match &ended {
        Ok(status) if status.success() => Status::Succeeded,
        Ok(status) if matches!(status.signal(), Some(libc_signal::INT | libc_signal::TERM)) => {
            Status::Cancelled
        }
        Ok(_) | Err(_) => Status::Failed,
    };
    let finish = FinishRun { run_id, status, completed_at: Some(ctx.clock.now()) };
    // The command has run: whatever becomes of the bookkeeping, its exit code is what the caller waits for.
    if let Err(error) = record(ctx, Event::Finish(finish), false).await {
        say(&format!("warning: the run's end is not recorded: {error}"));
    }
    match ended {
        Ok(status) => Ok(Exit::Child(exit_code(status))),
        Err(error) => {
            say(&format!("error: `{}` cannot be run: {error}", args.command[0]));
            say("hint: is it installed, in PATH, and executable?");
            Ok(Exit::Child(exit_code_of_failure(&error)))
        }
    }
}

/// The two signals that mean "stop", by their numbers on every Unix.
mod libc_signal {
    pub const INT: i32 = 2;
    pub const TERM: i32 = 15;
}

async fn execute(command: &[String], run_id: RunId) -> std::io::Result<ExitStatus> {
    // Ready before the child is, so that a signal between the two cannot end us and leave it.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .env("ASMM_RUN_ID", run_id.to_string())
        .env_remove("ASMM_STEP_ID")
        .spawn()?;
    wait(&mut child, &mut interrupt, &mut terminate).await
}

/// As shells, `env` and `timeout` say it: 127 for a command that is not there, 126 for one that cannot be run.
fn exit_code_of_failure(error: &std::io::Error) -> u8 {
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}

/// Waits for the child. Ctrl-C reaches it by itself (it is in our group); a SIGTERM for us alone is passed on.
async fn wait(
    child: &mut Child,
    interrupt: &mut Signal,
    terminate: &mut Signal,
) -> std::io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(child).await?,
        }
    }
}

/// Sends SIGTERM with the `kill` program: the standard library can only kill outright.
async fn pass_on(child: &Child) -> std::io::Result<()> {
    if let Some(id) = child.id() {
        Command::new("kill").arg("-TERM").arg(id.to_string()).status().await?;
    }
    Ok(())
}

/// As a shell says it: the code, or 128 and the signal.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}
