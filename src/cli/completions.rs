//! `asmm completions`: what a shell completes.

use super::Cli;
use super::context::{Exit, print_text};
use crate::error::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print completions for a shell
///
/// bash: asmm completions bash > ~/.local/share/bash-completion/completions/asmm; zsh: into a file _asmm in a folder of $fpath;
/// fish: asmm completions fish > ~/.config/fish/completions/asmm.fish.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit> {
    // Into memory: the generator does not take a pipe that is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "asmm", &mut script);
    print_text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Fine)
}
