//! The command line: one file a command, each with its arguments (whose doc comments are the help) and a
//! `run` function.
#![expect(
    clippy::doc_markdown,
    reason = "doc comments here are help texts, where backticks would be printed"
)]

mod args;
mod budgets;
mod columns;
mod completions;
mod config;
mod context;
mod demo;
mod doctor;
mod export;
mod guard;
mod import;
mod log;
mod man;
mod migrate;
mod prices;
mod prompts;
mod recording;
mod replay;
mod report;
mod runs;
mod serve;
mod spend;
mod spool;
mod target;
mod top;
mod zone;

pub use context::{Ctx, Exit};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// A ledger of LLM spend and a registry of prompts, in the database you already have
///
/// Exit codes: 0 fine, 1 failure, 2 wrong usage, 3 spend is over --fail-over, a budget refuses a call or spend check found something,
/// 4 unpriced calls under --strict, 5 a prompt that cannot be given back exactly, 6 the guard found something, 7 the ledger is not
/// migrated or cannot be reached.
#[derive(Debug, Parser)]
#[command(name = "asmm", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which ledger, and how to print.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The ledger: postgres://… or sqlite:PATH [default: from asmm.yaml, else one SQLite file per user]
    #[arg(
        long,
        value_name = "URL",
        env = "ASMM_DATABASE_URL",
        hide_env_values = true,
        global = true,
        help_heading = "Options of every command"
    )]
    pub database: Option<String>,
    /// The Postgres schema that holds the ledger [default: from asmm.yaml, else asmm]
    #[arg(
        long,
        value_name = "NAME",
        env = "ASMM_SCHEMA",
        global = true,
        help_heading = "Options of every command"
    )]
    pub schema: Option<String>,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto, global = true, help_heading = "Options of every command")]
    pub color: ColorChoice,
    /// Draw with ASCII alone, where a terminal or a mail shows nothing else
    #[arg(
        long,
        env = "ASMM_ASCII",
        value_parser = clap::builder::FalseyValueParser::new(),
        action = clap::ArgAction::SetTrue,
        hide_env_values = true,
        global = true,
        help_heading = "Options of every command"
    )]
    pub ascii: bool,
    /// How much of what the guard decides is logged to stderr
    #[arg(
        long,
        value_enum,
        value_name = "LEVEL",
        env = "ASMM_LOG_LEVEL",
        hide_short_help = true,
        default_value_t = LogLevel::Warn,
        global = true,
        help_heading = "Options of every command"
    )]
    pub log_level: LogLevel,
    /// How it is logged
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        env = "ASMM_LOG_FORMAT",
        hide_short_help = true,
        default_value_t = LogFormat::Text,
        global = true,
        help_heading = "Options of every command"
    )]
    pub log_format: LogFormat,
    /// The time taken as now, for tests and for printing the same report twice
    #[arg(
        long,
        value_name = "TIME",
        env = "ASMM_NOW",
        hide = true,
        global = true,
        help_heading = "Options of every command"
    )]
    pub now: Option<String>,
    /// Where these were set.
    #[arg(skip)]
    pub sources: Sources,
}

/// Where a setting was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Environment,
    File,
    Default,
}

impl Source {
    const fn word(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }
}

/// Where the options of every command were set; nowhere is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sources {
    pub database: Option<Source>,
    pub schema: Option<Source>,
    pub color: Option<Source>,
    pub log_level: Option<Source>,
    pub log_format: Option<Source>,
}

impl Sources {
    fn of(matches: &ArgMatches) -> Self {
        let source = |id: &str| match matches.value_source(id)? {
            ValueSource::CommandLine => Some(Source::Flag),
            ValueSource::EnvVariable => Some(Source::Environment),
            _ => Some(Source::Default),
        };
        Self {
            database: source("database"),
            schema: source("schema"),
            color: source("color"),
            log_level: source("log_level"),
            log_format: source("log_format"),
        }
    }
}

impl Cli {
    /// Reads the program's arguments. Ends the program where they are wrong, and where they ask for help.
    #[must_use]
    pub fn read() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        cli.global.sources = Sources::of(&matches);
        cli
    }
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing
    Off,
    /// What was refused
    Error,
    /// Also what was found where it was not expected, and what was sent raw
    Warn,
    /// Every decision
    Info,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::DemoArgs),
    Migrate(migrate::MigrateArgs),
    Top(top::TopArgs),
    /// What was spent: by day, agent, model or pipeline
    #[command(subcommand)]
    Spend(spend::SpendCommand),
    Report(report::ReportArgs),
    /// Runs: the most expensive, one in detail, and recording them from the shell
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// The price catalogue
    #[command(subcommand)]
    Prices(prices::PricesCommand),
    /// Prompts: versions that never change, labels that move, and what was sent
    #[command(subcommand)]
    Prompts(prompts::PromptsCommand),
    Replay(replay::ReplayArgs),
    /// Budgets: what may be spent in a day, a week or a month, and asking before spending
    #[command(subcommand)]
    Budgets(budgets::BudgetsCommand),
    /// The guard: no secret and no accidental personal data in a prompt
    #[command(subcommand)]
    Guard(guard::GuardCommand),
    /// Bring in usage from elsewhere
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Copy the ledger out
    #[command(subcommand)]
    Export(export::ExportCommand),
    Serve(serve::ServeArgs),
    Doctor(doctor::DoctorArgs),
    /// What could not be recorded, and waits on disk
    #[command(subcommand)]
    Spool(spool::SpoolCommand),
    /// Settings: what is in force, and what asmm.yaml may hold
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command.
///
/// # Errors
/// Whatever the command meets; the kind of an [`crate::Error`] decides the exit code.
pub async fn run(cli: Cli) -> anyhow::Result<Exit> {
    log::start(cli.global.log_level, cli.global.log_format);
    // These ask nothing of the settings, which may be wrong.
    match &cli.command {
        Command::Completions(args) => return Ok(completions::run(args)?),
        Command::Man(args) => return Ok(man::run(args)?),
        _ => {}
    }
    let ctx = Ctx::new(&cli.global)?;
    let exit = match cli.command {
        Command::Demo(args) => demo::run(&ctx, args).await?,
        Command::Config(command) => config::run(&ctx, &cli.global, &command)?,
        command => dispatch(&ctx, command).await?,
    };
    Ok(exit)
}

/// Runs any command that needs a ledger but the demo, which runs these.
async fn dispatch(ctx: &Ctx, command: Command) -> crate::Result<Exit> {
    match command {
        Command::Demo(_) | Command::Config(_) | Command::Completions(_) | Command::Man(_) => Ok(Exit::Fine),
        Command::Migrate(args) => migrate::run(ctx, args).await,
        Command::Top(args) => Box::pin(top::run(ctx, args)).await,
        Command::Spend(command) => spend::run(ctx, command).await,
        Command::Report(args) => report::run(ctx, args).await,
        Command::Runs(command) => runs::run(ctx, command).await,
        Command::Prices(command) => prices::run(ctx, command).await,
        Command::Prompts(command) => prompts::run(ctx, command).await,
        Command::Import(command) => import::run(ctx, command).await,
        Command::Export(command) => export::run(ctx, command).await,
        Command::Guard(command) => guard::run(ctx, command).await,
        Command::Replay(args) => replay::run(ctx, args).await,
        Command::Budgets(command) => budgets::run(ctx, command).await,
        // Most of what commands hold together is this one's.
        Command::Serve(args) => Box::pin(serve::run(ctx, args)).await,
        Command::Doctor(args) => doctor::run(ctx, args).await,
        Command::Spool(command) => spool::run(ctx, command).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// Clap finds arguments of one name and the like only where it builds a command; this builds all.
    #[test]
    fn every_command_can_be_parsed() {
        super::Cli::command().debug_assert();
    }
}
