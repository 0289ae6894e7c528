//! `asmm man`: the help as manual pages.

use super::Cli;
use super::context::{Exit, counted, print_text, say};
use crate::error::{Error, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use std::path::PathBuf;

/// Print a manual page, or write all of them
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command that is meant: `asmm man spend daily` [default: asmm itself]
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs) -> Result<Exit> {
    let mut asmm = Cli::command().disable_help_subcommand(true);
    asmm.build();
    let Some(folder) = &args.output else {
        let mut command = &asmm;
        for name in &args.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                let shown: String = name.chars().take(60).collect();
                Error::usage(format!("there is no command `{shown}`")).hint("`asmm help` lists the commands")
            })?;
        }
        print_text(&page(command)?)?;
        return Ok(Exit::Fine);
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::io(format!("the folder `{}` cannot be made", folder.display()), error))?;
    let mut commands = vec![&asmm];
    let mut written = 0_u64;
    while let Some(command) = commands.pop() {
        let path = folder.join(format!("{}.1", name_of(command)));
        std::fs::write(&path, page(command)?)
            .map_err(|error| Error::io(format!("`{}` cannot be written", path.display()), error))?;
        commands.extend(command.get_subcommands().filter(|command| !command.is_hide_set()));
        written += 1;
    }
    say(&format!("{} written to {}", counted(written, "page", "pages"), folder.display()));
    Ok(Exit::Fine)
}

/// `asmm`, `asmm-spend-daily`.
fn name_of(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> Result<String> {
    let mut page = Vec::new();
    Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Error::io("a manual page cannot be written", error))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
