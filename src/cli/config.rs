//! `asmm config`: what is in force, and what `asmm.yaml` may hold.

use super::args::OutputArgs;
use super::context::{Ctx, Exit, print_text};
use super::{GlobalArgs, Source};
use crate::error::Result;
use crate::guard::mask_secrets;
use crate::report::{Cell, Column, Empty, Kind, Report, Table};
use crate::settings::{self, schema};
use clap::{Args, Subcommand, ValueEnum};
use std::collections::BTreeMap;

/// Settings: what is in force, and what asmm.yaml may hold
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Show(ShowArgs),
    Schema(SchemaArgs),
}

/// What is in force, and where each value was set
///
/// A flag wins over the environment, that over asmm.yaml, that over the default. The password of a database URL and the receiver's
/// token are not shown.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Print the JSON Schema of asmm.yaml, for editors
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {}

/// A setting in force. Without a value nothing is set, and nothing has to be.
struct Setting {
    key: String,
    value: Option<String>,
    source: Option<Source>,
    /// The flag, variable or file.
    from: Option<String>,
}

impl Setting {
    fn new(key: &str, value: impl Into<String>, source: Source, from: Option<String>) -> Self {
        Self { key: key.to_owned(), value: Some(value.into()), source: Some(source), from }
    }

    fn unset(key: &str) -> Self {
        Self { key: key.to_owned(), value: None, source: None, from: None }
    }
}

pub(super) fn run(ctx: &Ctx, global: &GlobalArgs, command: &ConfigCommand) -> Result<Exit> {
    match command {
        ConfigCommand::Show(args) => show(ctx, global, args),
        ConfigCommand::Schema(SchemaArgs {}) => print_text(schema::TEXT).map(|()| Exit::Fine),
    }
}

fn show(ctx: &Ctx, global: &GlobalArgs, args: &ShowArgs) -> Result<Exit> {
    let settings = in_force(ctx, global)?;
    let table = Table::of(&settings)
        .column(Column::new(Kind::Text, "setting", "setting"), |s: &Setting| Cell::text(&s.key))
        .column(Column::new(Kind::Text, "value", "value"), |s: &Setting| {
            s.value.as_deref().map_or(Cell::Missing, Cell::text)
        })
        .column(Column::new(Kind::Text, "source", "set by"), |s: &Setting| {
            s.source.map_or(Cell::Missing, |source| Cell::text(source.word()))
        })
        .column(Column::new(Kind::Text, "from", "where"), |s: &Setting| {
            s.from.as_deref().map_or(Cell::Missing, Cell::text)
        })
        .done();
    let empty = Empty { what: "settings".to_owned(), next_step: String::new() };
    ctx.print(&Report { empty, ..Report::new("asmm.config/1", table) }, args.output.format.into())?;
    Ok(Exit::Fine)
}

fn in_force(ctx: &Ctx, global: &GlobalArgs) -> Result<Vec<Setting>> {
    let path = ctx.config_path().map(|path| path.display().to_string());
    let mut file = match ctx.config_path() {
        Some(path) => settings::leaves(path)?,
        None => BTreeMap::new(),
    };
    let mut all = Vec::new();
    for key in schema::keys() {
        let in_file = file.remove(&key.path);
        all.push(of_schema(ctx, global, &key, in_file, path.as_ref())?);
    }
    // A section that holds a map or a list is one setting, which has been taken; so is what another version knows.
    for (key, value) in file {
        all.push(Setting::new(&key, mask_secrets(&value), Source::File, path.clone()));
    }
    all.extend(of_the_program(ctx, global)?);
    Ok(all)
}

/// A setting that `asmm.yaml` may hold.
fn of_schema(
    ctx: &Ctx,
    global: &GlobalArgs,
    key: &schema::Key,
    in_file: Option<String>,
    path: Option<&String>,
) -> Result<Setting> {
    let given = match key.path.as_str() {
        "database" => global.sources.database.filter(|_| is_given(global.database.as_deref())),
        "schema" => global.sources.schema.filter(|_| is_given(global.schema.as_deref())),
        _ => key.environment.as_deref().and_then(variable).map(|_| Source::Environment),
    };
    let (source, from) = match given {
        Some(Source::Flag) => (Source::Flag, key.flag.clone()),
        Some(Source::Environment) => (Source::Environment, key.environment.clone()),
        _ if in_file.is_some() => (Source::File, path.cloned()),
        _ => (Source::Default, None),
    };
    let value = match key.path.as_str() {
        // Without user and password.
        "database" => ctx.location.name(),
        "schema" => ctx.location.schema.clone(),
        "tz" => {
            let (zone, said) = ctx.zone(None)?;
            let from = if source == Source::Default { Some(said.to_owned()) } else { from };
            return Ok(Setting::new(&key.path, zone.name(), source, from));
        }
        "recorder.spool_max_bytes" => ctx.spool_max_bytes().to_string(),
        _ => {
            let environment = key.environment.as_deref().and_then(variable);
            let default = || key.default.as_ref().map(settings::leaf_text);
            match environment.or(in_file).or_else(default) {
                Some(value) => mask_secrets(&value),
                None => return Ok(Setting::unset(&key.path)),
            }
        }
    };
    Ok(Setting::new(&key.path, value, source, from))
}

/// A setting that is no business of a file which is shared.
fn of_the_program(ctx: &Ctx, global: &GlobalArgs) -> Result<Vec<Setting>> {
    let word = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let flag = |key: &str, value: String, source: Option<Source>, flag: &str, name: Option<&str>| {
        let source = source.unwrap_or(Source::Default);
        let from = match source {
            Source::Flag => Some(flag.to_owned()),
            Source::Environment => name.map(str::to_owned),
            _ => None,
        };
        Setting::new(key, value, source, from)
    };
    let color = match (global.sources.color, variable("NO_COLOR")) {
        (None | Some(Source::Default), Some(_)) => {
            Setting::new("color", "never", Source::Environment, Some("NO_COLOR".to_owned()))
        }
        (source, _) => flag("color", word(&|| global.color.to_possible_value()), source, "--color", None),
    };
    let from_variable = |key: &str, name: &str| match variable(name) {
        Some(value) => {
            let value = mask_secrets(&value);
            Setting::new(key, value, Source::Environment, Some(name.to_owned()))
        }
        None => Setting::unset(key),
    };
    let token = match variable("ASMM_SERVE_TOKEN") {
        Some(_) => Setting::new(
            "serve token",
            "(not shown)",
            Source::Environment,
            Some("ASMM_SERVE_TOKEN".to_owned()),
        ),
        None => Setting::unset("serve token"),
    };
    let key_file = if let Some(path) = variable(settings::key::VARIABLE) {
        let name = settings::key::VARIABLE.to_owned();
        Setting::new("guard key file", path, Source::Environment, Some(name))
    } else {
        let path = settings::key::path()?.display().to_string();
        Setting::new("guard key file", path, Source::Default, None)
    };
    let listen = match variable("ASMM_SERVE_LISTEN") {
        Some(_) => from_variable("serve listen", "ASMM_SERVE_LISTEN"),
        None => Setting::new("serve listen", super::serve::LISTEN, Source::Default, None),
    };
    let texts = match variable("ASMM_KEEP_TEXTS") {
        Some(_) => from_variable("keep texts", "ASMM_KEEP_TEXTS"),
        None => Setting::new("keep texts", "no", Source::Default, None),
    };
    let spool = ctx.spool()?.folder().display().to_string();
    Ok(vec![
        color,
        flag(
            "log level",
            word(&|| global.log_level.to_possible_value()),
            global.sources.log_level,
            "--log-level",
            Some("ASMM_LOG_LEVEL"),
        ),
        flag(
            "log format",
            word(&|| global.log_format.to_possible_value()),
            global.sources.log_format,
            "--log-format",
            Some("ASMM_LOG_FORMAT"),
        ),
        listen,
        token,
        texts,
        key_file,
        Setting::new("spool", spool, Source::Default, None),
        from_variable("run", "ASMM_RUN_ID"),
        from_variable("step", "ASMM_STEP_ID"),
    ])
}

fn is_given(value: Option<&str>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
