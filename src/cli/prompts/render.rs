//! `asmm prompts render`: the exact messages, and recording that they are sent.

use super::{AtArgs, TAMPERED, inputs, intact, print_text, text};
use crate::cli::args::IfGiven;
use crate::cli::context::{Ctx, Exit, print_line, say};
use crate::cli::recording::record_all;
use crate::domain::{CallId, CallPrompt, Event, RunId, SentPrompt, StepId};
use crate::error::{Error, Result};
use crate::guard::{About, Decisions, Guarded};
use crate::prompt::{Content, Reference, Rendered};
use crate::store::VersionEntry;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The exact messages that a version and inputs make
///
/// The guard looks at the inputs and at the whole text first: a secret refuses it (exit code 6), personal data is
/// replaced by tokens such as [EMAIL_1], and what is printed is what may be sent.
///
/// With --record, that they are sent is recorded under a call's id before they are printed. Record the call
/// itself, once it is answered, with the same id:
///
///   call=$(asmm prompts render greet --input who=Ada --format openai --record --output request.json)
///   curl --json @request.json https://…/chat/completions >response.json
///   asmm runs call --call-id "$call" --model gpt-4o --input 12 --output 30
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RenderArgs {
    /// The version: name (its latest), name@7, name@production, name@sha256:…
    #[arg(id = "reference", value_name = "VERSION")]
    version: String,
    /// An input; may be given again. Numbers as JSON writes them, true or false, text as it is
    #[arg(long = "input", value_name = "NAME=VALUE", allow_hyphen_values = true)]
    given: Vec<String>,
    /// A file with inputs, one object in JSON or YAML; - is stdin. No input may be given twice
    #[arg(long, value_name = "FILE")]
    inputs: Option<PathBuf>,
    #[command(flatten)]
    at: AtArgs,
    /// Refuse a version that lets personal data pass as it is (`allow_raw`)
    #[arg(long)]
    no_allow_raw: bool,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = RenderFormat::Text)]
    format: RenderFormat,
    /// Write to this file instead of stdout; with --record, stdout is then the call's id
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    record: RecordArgs,
}

#[derive(Debug, Args)]
struct RecordArgs {
    /// Record that this is sent, and say the call's id on stderr (with --output: on stdout)
    #[arg(long)]
    record: bool,
    /// The run that sends it
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    run_id: Option<IfGiven<RunId>>,
    /// The step that sends it
    #[arg(long, value_name = "UUID", env = "ASMM_STEP_ID")]
    step_id: Option<IfGiven<StepId>>,
    /// The id of the call in which it is sent [default: a new one]
    #[arg(long, value_name = "UUID", requires = "record")]
    call_id: Option<CallId>,
    /// Exit with 7 when the ledger is out of reach, instead of keeping the event for later
    #[arg(long, requires = "record")]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RenderFormat {
    /// The messages, each under its role
    Text,
    /// One object: version, digests and messages
    Json,
    /// A chat request: model, params and messages
    Openai,
}

pub(super) async fn run(ctx: &Ctx, args: RenderArgs) -> Result<Exit> {
    let (at, _, _) = args.at.resolve(ctx)?;
    let reference: Reference = args.version.parse()?;
    let run_id = args.record.run_id.and_then(|run| run.0);
    if args.record.record && run_id.is_none() {
        return Err(Error::usage("--record needs the run that sends it")
            .hint("give --run-id, or set ASMM_RUN_ID: run=$(asmm runs start --pipeline NAME)"));
    }
    let store = ctx.store().await?;
    let version = store.prompt_version(&reference, at).await?;
    let Some(content) = intact(&version)? else { return Ok(TAMPERED) };
    let entry = &version.entry;
    let place = |error: Error| error.at(format_args!("prompt `{entry}`"));
    let inputs = inputs::gather(&content, &args.given, args.inputs.as_deref()).map_err(place)?;
    let guard = ctx.guard()?.refusing_raw(args.no_allow_raw);
    let mut tokens = guard.tokens();
    if let Some(run_id) = run_id {
        // The same value in the same run gets the same token, whichever process renders it.
        for (token, fingerprint) in store.guard_tokens(run_id).await? {
            tokens.recall(&token, fingerprint);
        }
    }
    let call_id = args.record.call_id.unwrap_or_else(|| CallId(Uuid::now_v7()));
    let recorded_run = run_id.filter(|_| args.record.record);
    let about = About { run_id, call_id: recorded_run.map(|_| call_id), prompt: Some(entry.to_string()) };
    let now = ctx.clock.now();
    let events = |decisions: &Decisions| {
        decisions.log(&about, false);
        let events = decisions.events(&about, guard.policy_sha256(), now);
        events.into_iter().map(Event::Guard).collect::<Vec<_>>()
    };
    let guarded = match guard.render(&content, &inputs, &mut tokens, now.to_utc().date_naive()) {
        Ok(guarded) => guarded,
        Err(refusal) => {
            let events = events(&refusal.decisions);
            if recorded_run.is_some() && !events.is_empty() {
                record_all(ctx, events, args.record.strict).await?;
            }
            return Err(place(refusal.error));
        }
    };
    let Guarded { rendered, inputs, decisions } = guarded;
    let events = events(&decisions);
    // What cannot be printed is not recorded as sent.
    let printed = match args.format {
        RenderFormat::Text => {
            let messages = rendered.messages.iter().map(|m| (m.role.code(), m.content.as_str()));
            text::messages(messages, ctx.style().color)
        }
        RenderFormat::Json => format!("{}\n", object(entry, &rendered)?),
        RenderFormat::Openai => format!("{}\n", request(entry, &content, &rendered)?),
    };
    if let Some(run_id) = recorded_run {
        let prompt = CallPrompt {
            version: Some(entry.to_string()),
            inputs: Some(inputs.0),
            text_sha256: Some(rendered.digest()?),
            sanitisation: decisions.sanitisation(),
            ..CallPrompt::default()
        };
        let step_id = args.record.step_id.and_then(|step| step.0);
        let sent = SentPrompt { run_id, call_id, step_id, sent_at: now, prompt };
        let all = std::iter::once(Event::Prompt(sent)).chain(events).collect();
        record_all(ctx, all, args.record.strict).await?;
        if let Some(path) = &args.output {
            write_file(path, &printed)?;
            print_line(&call_id.to_string())?;
            return Ok(Exit::Fine);
        }
        say(&format!("call {call_id}"));
    }
    match &args.output {
        Some(path) => write_file(path, &printed)?,
        None => print_text(&printed)?,
    }
    Ok(Exit::Fine)
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::io(format!("`{}` cannot be written", path.display()), e))
}

fn object(entry: &VersionEntry, rendered: &Rendered) -> Result<Value> {
    Ok(json!({
        "schema": "asmm.rendered/1",
        "prompt": entry.name,
        "version": entry.version,
        "prompt_digest": entry.digest,
        "text_sha256": rendered.digest()?,
        "messages": rendered.to_values(),
    }))
}

/// The messages as a chat API takes them. Model and messages are ours, whatever the params say.
fn request(entry: &VersionEntry, content: &Content, rendered: &Rendered) -> Result<Value> {
    let model = content.model.as_ref().ok_or_else(|| {
        Error::input(format!("prompt `{entry}` names no model, and a chat request needs one"))
            .hint("add `model: {id: …}` to the prompt, or take --format json and add it there")
    })?;
    let mut request = model.params.clone();
    request.insert("model".to_owned(), model.id.clone().into());
    request.insert("messages".to_owned(), rendered.to_values().into());
    Ok(Value::Object(request))
}
