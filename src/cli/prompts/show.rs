//! `asmm prompts show`: one version in detail.

use super::log::short_commit;
use super::{AtArgs, TAMPERED, complain, intact, pointing, print_text, text};
use crate::cli::context::{Ctx, Exit};
use crate::error::{Error, Result};
use crate::prompt::{Content, ENGINE, OnSecret, Reference, Variable, parse_file};
use crate::report::{Cell, Column, Document, Format, Kind, Scope, Table};
use crate::store::PromptVersion;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// One version: what it says, and where it comes from
///
/// What is stored is checked against the version's digest; if it was changed the exit code is 5.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The version: name (its latest), name@7, name@production, name@sha256:…
    #[arg(id = "reference", value_name = "VERSION")]
    version: String,
    #[command(flatten)]
    at: AtArgs,
    /// The YAML file exactly as it was pushed, and nothing else
    #[arg(long, conflicts_with = "format")]
    source: bool,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ShowFormat::Text)]
    format: ShowFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    /// What there is to know, and the messages
    Text,
    /// One object with all of it
    Json,
}

pub(super) async fn run(ctx: &Ctx, args: ShowArgs) -> Result<Exit> {
    let (at, _, scope) = args.at.resolve(ctx)?;
    let reference: Reference = args.version.parse()?;
    let store = ctx.store().await?;
    let version = store.prompt_version(&reference, at).await?;
    let Some(content) = intact(&version)? else { return Ok(TAMPERED) };
    if args.source {
        return source(&version);
    }
    // A label of that name points elsewhere by now, perhaps: labels are shown as they were at the time asked for.
    let moves = store.label_moves(Some(&version.entry.name), at).await?;
    let labels = pointing(moves).into_values().filter(|m| m.version == version.entry.version);
    let labels: Vec<String> = labels.map(|m| m.label).collect();
    match args.format {
        ShowFormat::Json => print_text(&format!("{}\n", object(&version, &content, &labels)?))?,
        ShowFormat::Text => {
            let style = ctx.style();
            let head = document(scope, &version, &content, labels).to_text(Format::Table, style)?;
            let messages = content.messages.iter().map(|m| (m.role.code(), m.content.source()));
            print_text(&format!("{head}\n{}", text::messages(messages, style.color)))?;
        }
    }
    Ok(Exit::Fine)
}

/// The file as it was pushed, unless it no longer says what the version says.
fn source(version: &PromptVersion) -> Result<Exit> {
    let entry = &version.entry;
    let digest = parse_file("source", version.source.as_bytes()).and_then(|file| file.content.digest());
    if digest.ok() != Some(entry.digest) {
        let error = Error::conflict(format!("the source of `{entry}` was changed since it was pushed"));
        complain(&error.hint("what the version says is not touched by that: `asmm prompts show` prints it"));
        return Ok(TAMPERED);
    }
    print_text(&version.source)?;
    Ok(Exit::Fine)
}

fn object(version: &PromptVersion, content: &Content, labels: &[String]) -> Result<Value> {
    let entry = &version.entry;
    let canonical = content.canonical()?;
    let content: Value = serde_json::from_str(&canonical)
        .map_err(|e| Error::input(format!("the content of `{entry}` is not JSON: {e}")))?;
    Ok(json!({
        "schema": "asmm.prompt/1",
        "prompt": entry.name,
        "version": entry.version,
        "prompt_version_id": entry.prompt_version_id,
        "digest": entry.digest,
        "labels": labels,
        "description": entry.description,
        "created_at": entry.created_at,
        "created_by": entry.created_by,
        "git_commit": entry.git_commit,
        "content": content,
        "canonical": canonical,
        "source": version.source,
    }))
}

fn document(scope: Scope, version: &PromptVersion, content: &Content, labels: Vec<String>) -> Document {
    let entry = &version.entry;
    let mut document = Document::new("asmm.prompt/1", scope)
        .field("prompt", "prompt", entry.name.clone())
        .field("version", "version", Cell::Count(entry.version.into()))
        .field("labels", "labels", if labels.is_empty() { Cell::Missing } else { Cell::List(labels) });
    if !entry.description.is_empty() {
        document = document.field("description", "description", entry.description.clone());
    }
    document = document
        .field("created_at", "pushed", entry.created_at)
        .field("created_by", "by", entry.created_by.clone())
        .field("git_commit", "commit", entry.git_commit.as_deref().map(short_commit))
        .field("digest", "digest", entry.digest.to_string())
        .field("engine", "engine", ENGINE);
    if let Some(model) = &content.model {
        document = document.field("model", "model", model.id.clone());
        if !model.params.is_empty() {
            let params = model.params.iter().map(|(key, value)| (key.clone(), value.to_string()));
            document = document.field("params", "params", Cell::Pairs(params.collect()));
        }
    }
    if content.variables.is_empty() {
        document
    } else {
        document.section("variables", "variables", table(content))
    }
}

fn table(content: &Content) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let variables: Vec<(&String, &Variable)> = content.variables.iter().collect();
    let raw = variables.iter().any(|(_, variable)| variable.allow_raw.is_some());
    let secrets = variables.iter().any(|(_, variable)| variable.on_secret.is_some());
    Table::of(&variables)
        .column(text("name", "name"), |(name, _)| name.as_str())
        .column(text("type", "type"), |(_, variable)| variable.kind.code())
        .column(text("sensitivity", "sensitivity"), |(_, variable)| variable.sensitivity.code())
        .column(Column::new(Kind::Count, "max_bytes", "max bytes").keep(2), |(_, variable)| {
            variable.max_bytes.and_then(|max| u64::try_from(max).ok()).map_or(Cell::Missing, Cell::Count)
        })
        .column(text("values", "values").keep(3), |(_, variable)| {
            if variable.values.is_empty() { Cell::Missing } else { Cell::List(variable.values.clone()) }
        })
        .column(text("default", "default").keep(1), |(_, variable)| {
            variable.default.as_ref().map(ToString::to_string)
        })
        .column_if(raw, text("allow_raw", "allows raw"), |(_, variable)| {
            variable.allow_raw.as_ref().map_or(Cell::Missing, |allow| Cell::List(allow.kinds.clone()))
        })
        .column_if(raw, text("raw_reason", "why").keep(2), |(_, variable)| {
            variable.allow_raw.as_ref().map(|allow| allow.reason.clone())
        })
        .column_if(raw, text("expires", "until").keep(3), |(_, variable)| {
            variable.allow_raw.as_ref().and_then(|allow| allow.expires).map(|day| day.to_string())
        })
        .column_if(secrets, text("on_secret", "on secret"), |(_, variable)| {
            variable.on_secret.map(OnSecret::code)
        })
        .done()
}
