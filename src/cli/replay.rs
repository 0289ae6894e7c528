//! `asmm replay`: what was sent in a run, given back and proven.

mod chat;
mod execute;
mod write;

use super::context::{Ctx, Exit, counted, is_closed_pipe, say};
use super::runs::show::whereabouts;
use crate::domain::CallId;
use crate::error::{Error, Result};
use crate::prompt::{Content, Reference, Rendered};
use crate::store::{PromptVersion, ReplayedCall, Run, Store, VersionEntry};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use write::{Tally, Writer};

/// What was sent in a run: the exact texts, proven by their digests
///
/// Exit codes: 0 when every call is given back exactly, 5 when one is not: its text was changed past the ledger,
/// its inputs were purged, or nothing was recorded of it. Each says which.
///
///   asmm replay last                              the texts
///   asmm replay last --verify                     the verdicts only
///   asmm replay last --with enrichment/summariser@3     what another version would have sent
///   asmm replay last --execute --base-url http://127.0.0.1:8080/v1      send it all again, as a new run
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ReplayArgs {
    /// The run: its id, at least 4 characters of its beginning or ending, or last
    run: String,
    /// Only calls of this step: its name or id; may be given again
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Only this call; may be given again
    #[arg(long = "call", value_name = "UUID")]
    calls: Vec<CallId>,
    /// Print the verdicts only
    #[arg(long, conflicts_with_all = ["with", "execute"])]
    verify: bool,
    /// Render the same inputs with this version of the prompt, and show what would have been sent
    #[arg(long, value_name = "VERSION")]
    with: Option<Reference>,
    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ReplayFormat::Text)]
    format: ReplayFormat,
    #[command(flatten)]
    execute: execute::ExecuteArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReplayFormat {
    /// For people: the messages under their roles
    Text,
    /// One object, with everything that is known of each call
    Json,
    /// A chat request a line, for an OpenAI-compatible endpoint
    Openai,
}

/// A call that is replayed, and what another version makes of its inputs.
struct Replayed {
    call: ReplayedCall,
    other: Option<Other>,
}

/// What another version makes of a call's inputs.
struct Other {
    entry: VersionEntry,
    content: Content,
    /// The messages, or why the inputs do not fit.
    rendered: Result<Rendered>,
}

impl Replayed {
    /// The chat request: model, params and messages. The model is the one that answered then, unless another
    /// version names one.
    ///
    /// # Errors
    /// Why there is none: only what was sent, or other words for inputs that are proven, is a request.
    fn request(&self, model: Option<&str>) -> Result<Map<String, Value>, String> {
        let call = &self.call;
        if call.operation != "chat" {
            return Err(format!("it asked for {}, not chat", call.operation));
        }
        if !call.verdict.is_verified() {
            return Err(call.verdict.to_string());
        }
        let messages = match &self.other {
            Some(other) => other.rendered.as_ref().map_err(ToString::to_string)?.to_values(),
            None => call.messages.clone().unwrap_or_default(),
        };
        let content = match &self.other {
            Some(other) => Some(&other.content),
            None => call.version.as_ref().and_then(|version| version.content.as_ref().ok()),
        };
        let named = content.and_then(|content| content.model.as_ref());
        let mut request = named.map(|model| model.params.clone()).unwrap_or_default();
        let named = named.map(|model| model.id.as_str());
        let reported = Some(call.model.as_str()).filter(|model| !model.is_empty());
        let known = if self.other.is_some() { named.or(reported) } else { reported.or(named) };
        let model = model.or(known).ok_or("neither the call nor its prompt names a model")?;
        request.insert("model".to_owned(), model.into());
        request.insert("messages".to_owned(), messages.into());
        Ok(request)
    }
}

/// Which calls are wanted, and which of these wishes were met.
struct Selection {
    steps: Vec<String>,
    calls: Vec<CallId>,
    met: BTreeSet<String>,
}

impl Selection {
    fn takes(&mut self, call: &ReplayedCall) -> bool {
        let step_id = call.step_id.map(|id| id.to_string());
        let by_step = self.steps.iter().find(|wanted| {
            call.step.as_ref() == Some(wanted) || step_id.as_ref() == Some(&wanted.to_ascii_lowercase())
        });
        let by_call = self.calls.iter().find(|wanted| **wanted == call.call_id);
        self.met.extend(by_step.cloned());
        self.met.extend(by_call.map(ToString::to_string));
        (self.steps.is_empty() || by_step.is_some()) && (self.calls.is_empty() || by_call.is_some())
    }

    fn is_everything(&self) -> bool {
        self.steps.is_empty() && self.calls.is_empty()
    }

    /// An error for the first wish that no call met.
    fn check(&self, run: &Run) -> Result<()> {
        let missing = |what: &str, name: &str| {
            Error::not_found(format!("run `{}` has no call of {what} `{name}`", run.run_id))
                .hint("`asmm replay` without --step and --call shows all of them")
        };
        let calls: Vec<String> = self.calls.iter().map(ToString::to_string).collect();
        if let Some(step) = self.steps.iter().find(|step| !self.met.contains(*step)) {
            return Err(missing("step", step));
        }
        match calls.iter().find(|call| !self.met.contains(*call)) {
            Some(call) => Err(missing("id", call)),
            None => Ok(()),
        }
    }
}

pub(super) async fn run(ctx: &Ctx, args: ReplayArgs) -> Result<Exit> {
    let store = ctx.store().await?;
    let run = store.run_named(&args.run).await?;
    let archives = store.archives_of(run.run_id).await?;
    for line in whereabouts(&archives) {
        say(&format!("note: {line}"));
    }
    let with = match &args.with {
        Some(reference) => {
            let version = store.prompt_version(reference, ctx.clock.now()).await?;
            Some((version.parsed()?, version))
        }
        None => None,
    };
    let selection =
        Selection { steps: args.steps.clone(), calls: args.calls.clone(), met: BTreeSet::default() };
    if args.execute.execute {
        return execute::run(ctx, (&store, &run), selection, with.as_ref(), args.execute).await;
    }
    let calls_away = archives.iter().map(|archive| archive.calls).sum();
    match show(ctx, (&store, &run, calls_away), selection, with.as_ref(), &args).await {
        Err(error) if is_closed_pipe(&error) => Ok(Exit::Fine),
        outcome => outcome,
    }
}

async fn show(
    ctx: &Ctx,
    // Of an archived call only what was sent may be here: in the end, how many of which nothing is.
    (store, run, mut archived): (&Store, &Run, u64),
    mut selection: Selection,
    with: Option<&(Content, PromptVersion)>,
    args: &ReplayArgs,
) -> Result<Exit> {
    let mut writer = Writer::new(run, args.format, args.verify, ctx.style().color);
    let mut tally = Tally::default();
    let mut replay = store.replay(run.run_id);
    while let Some(call) = replay.next().await? {
        archived = archived.saturating_sub(u64::from(!call.has_call));
        if !selection.takes(&call) {
            continue;
        }
        let replayed = Replayed { other: with.and_then(|with| rendered_with(&call, with)), call };
        if with.is_some() && replayed.other.is_none() {
            tally.passed_over += 1;
            continue;
        }
        tally.add(&replayed);
        writer.write(&replayed, tally.calls)?;
    }
    selection.check(run)?;
    if selection.is_everything() && with.is_none() {
        tally.archived = archived;
    }
    if let Some((_, version)) = with
        && tally.calls == 0
    {
        return Err(none_with(run, version));
    }
    let is_whole = writer.end(&tally)?;
    if tally.passed_over > 0 {
        say(&left_out(tally.passed_over));
    }
    Ok(if is_whole && tally.is_exact() { Exit::Fine } else { Exit::Mismatch })
}

fn left_out(passed_over: u64) -> String {
    let calls = counted(passed_over, "call is", "calls are");
    format!("{calls} left out: another prompt, a captured text, or inputs that are not there")
}

fn none_with(run: &Run, version: &PromptVersion) -> Error {
    Error::not_found(format!(
        "run `{}` has no call whose inputs to `{}` are recorded",
        run.run_id, version.entry.name
    ))
    .hint("`asmm replay --verify` shows which prompt each call used")
}

/// What another version makes of a call's inputs; none when the call used another prompt, or its inputs are gone.
fn rendered_with(call: &ReplayedCall, (content, version): &(Content, PromptVersion)) -> Option<Other> {
    let used = call.version.as_ref()?;
    if used.entry.name != version.entry.name || !call.is_rendered || call.messages.is_none() {
        return None;
    }
    let inputs = call.inputs.clone().unwrap_or_default();
    let rendered = content.render(&inputs);
    Some(Other { entry: version.entry.clone(), content: content.clone(), rendered })
}
