//! The `asmm` program: parse, dispatch, error to exit code.

use asmm::cli::{Cli, run};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime cannot start")),
    };
    match runtime.block_on(run(cli)) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => report(&error),
    }
}

/// Says what happened and what to do next, on stderr.
fn report(error: &anyhow::Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let known = error.downcast_ref::<asmm::Error>();
    let _ = match known {
        Some(error) => writeln!(stderr, "error: {error}"),
        None => writeln!(stderr, "error: {error:#}"),
    };
    if let Some(hint) = known.and_then(asmm::Error::next_step) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    ExitCode::from(known.map_or(1, asmm::Error::exit_code))
}
