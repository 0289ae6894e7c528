//! The `asmm` program: parse, dispatch, error to exit code.

use asmm::cli::{Cli, run};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(panicked));
    let cli = Cli::read();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime cannot start")),
    };
    match runtime.block_on(run(cli)) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => report(&error),
    }
}

/// Says where the program is at fault, and not what it held there: that may be what nobody should see.
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let _ = writeln!(
        std::io::stderr().lock(),
        "error: asmm {} stopped at a fault of its own, at {place}\nhint: please report it, with the command that you ran",
        env!("CARGO_PKG_VERSION")
    );
}

/// Says what happened and what to do next, on stderr.
fn report(error: &anyhow::Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let known = error.downcast_ref::<asmm::Error>();
    let message = known.map_or_else(|| format!("{error:#}"), ToString::to_string);
    // It may repeat a part of a text of somebody else.
    let _ = writeln!(stderr, "error: {}", asmm::guard::mask_secrets(&message));
    if let Some(hint) = known.and_then(asmm::Error::next_step) {
        let _ = writeln!(stderr, "hint: {}", asmm::guard::mask_secrets(hint));
    }
    ExitCode::from(known.map_or(1, asmm::Error::exit_code))
}
