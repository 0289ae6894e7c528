//! Recording from the shell: start, step, call, finish.
//!
//! These commands fail open: see [`crate::cli::recording`].

use crate::cli::args::{IfGiven, parse_time};
use crate::cli::context::{Ctx, Exit, print_line};
use crate::cli::recording::record;
use crate::cli::runs::prompt::PromptArgs;
use crate::domain::{
    Call, CallId, Event, FinishRun, FinishStep, Outcome, RunId, StartRun, StartStep, Status, StepId,
    Timestamp, TokenUsage,
};
use crate::error::{Error, Result};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Debug, Args)]
pub(crate) struct StrictArgs {
    /// Exit with 7 when the ledger is out of reach, instead of keeping the event for later
    #[arg(long)]
    strict: bool,
}

/// Start a run and print its id
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: String,
    /// The run's id [default: a new one]
    #[arg(long, value_name = "UUID")]
    run_id: Option<RunId>,
    /// A word to find it by; may be given again
    #[arg(long = "label", value_name = "NAME=TEXT")]
    labels: Vec<String>,
    /// The run that started this one [default: the run of `ASMM_RUN_ID`]
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    parent: Option<IfGiven<RunId>>,
    /// When it started [default: now]
    #[arg(long, value_name = "TIME")]
    started_at: Option<String>,
    #[command(flatten)]
    strict: StrictArgs,
}

/// Start a step of a run and print its id
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// The step's name
    #[arg(long, value_name = "NAME")]
    step: String,
    /// The run
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    run_id: RunId,
    /// The step's id [default: a new one]
    #[arg(long, value_name = "UUID")]
    step_id: Option<StepId>,
    /// The agent that does it
    #[arg(long, value_name = "NAME", default_value = "")]
    agent: String,
    /// The prompt version it uses: name@7, name@label, name@sha256:…, an id, or name for the latest
    #[arg(long, value_name = "VERSION")]
    prompt_version: Option<String>,
    /// Which attempt it is
    #[arg(long, value_name = "N", default_value_t = 1)]
    attempt: u32,
    /// When it started [default: now]
    #[arg(long, value_name = "TIME")]
    started_at: Option<String>,
    #[command(flatten)]
    strict: StrictArgs,
}

/// Record a call to a model and print its id
///
/// Without any count the usage is recorded as unknown, which is not zero. The counts are disjoint: cached
/// tokens are not part of --input, reasoning is not part of --output.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// The run
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    run_id: RunId,
    /// The step
    #[arg(long, value_name = "UUID", env = "ASMM_STEP_ID")]
    step_id: Option<IfGiven<StepId>>,
    /// The call's id; give the same one when you try again [default: a new one]
    #[arg(long, value_name = "UUID")]
    call_id: Option<CallId>,
    /// The agent [default: the step's]
    #[arg(long, value_name = "NAME", default_value = "")]
    agent: String,
    /// The provider: openai, anthropic, …
    #[arg(long, value_name = "NAME", default_value = "")]
    provider: String,
    /// The model, as the provider reports it
    #[arg(long, value_name = "NAME")]
    model: String,
    /// What was asked for
    #[arg(long, value_name = "NAME", default_value = "chat")]
    operation: String,
    /// The service tier: standard, batch, flex, priority
    #[arg(long, value_name = "NAME", default_value = "standard")]
    service_tier: String,
    /// Prompt tokens neither read from nor written to a cache
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    input: Option<u64>,
    /// Prompt tokens read from a cache
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    cache_read: Option<u64>,
    /// Prompt tokens written to a cache
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    cache_write: Option<u64>,
    /// Prompt tokens written to a cache at the long lifetime
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    cache_write_long: Option<u64>,
    /// Generated tokens other than reasoning
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    output: Option<u64>,
    /// Reasoning tokens
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    reasoning: Option<u64>,
    /// Tokens embedded
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    embedding: Option<u64>,
    /// Billed web searches
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    web_searches: Option<u64>,
    /// How long it took
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    latency_ms: Option<u64>,
    /// How it went
    #[arg(long, value_enum, value_name = "HOW", default_value_t = OutcomeArg::Ok)]
    outcome: OutcomeArg,
    /// The provider's id of the response
    #[arg(long, value_name = "ID")]
    response_id: Option<String>,
    /// When it was made [default: now]
    #[arg(long, value_name = "TIME")]
    called_at: Option<String>,
    #[command(flatten)]
    prompt: PromptArgs,
    #[command(flatten)]
    strict: StrictArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutcomeArg {
    /// The model answered
    Ok,
    /// The request failed
    Error,
}

/// Finish a run, or with --step-id a step of it
#[derive(Debug, Args)]
pub(crate) struct FinishArgs {
    /// The run
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    run_id: RunId,
    /// The step to finish, instead of the run
    #[arg(long, value_name = "UUID")]
    step_id: Option<StepId>,
    /// How it ended: succeeded, failed, cancelled, abandoned
    #[arg(long, value_name = "STATUS", default_value = "succeeded")]
    status: Status,
    /// When it ended [default: now]
    #[arg(long, value_name = "TIME")]
    completed_at: Option<String>,
    #[command(flatten)]
    strict: StrictArgs,
}

pub(crate) async fn start(ctx: &Ctx, args: StartArgs) -> Result<Exit> {
    let mut run = StartRun {
        run_id: args.run_id.unwrap_or_else(new_run_id),
        pipeline: args.pipeline,
        started_at: moment("--started-at", args.started_at.as_deref())?.unwrap_or_else(|| ctx.clock.now()),
        labels: labels(&args.labels)?,
        parent_run_id: args.parent.and_then(|parent| parent.0),
        replay_of: None,
    };
    let id = run.run_id;
    // A shell exports ASMM_RUN_ID and then starts that run.
    run.parent_run_id = run.parent_run_id.filter(|parent| *parent != id);
    record(ctx, Event::Run(run), args.strict.strict).await?;
    print_line(&id.to_string())?;
    Ok(Exit::Fine)
}

pub(crate) async fn step(ctx: &Ctx, args: StepArgs) -> Result<Exit> {
    let started_at = moment("--started-at", args.started_at.as_deref())?.unwrap_or_else(|| ctx.clock.now());
    let step = StartStep {
        run_id: args.run_id,
        step_id: args.step_id.unwrap_or_else(|| StepId(Uuid::now_v7())),
        step: args.step,
        agent: args.agent,
        prompt_version: args.prompt_version,
        attempt: args.attempt,
        started_at: Some(started_at),
        status: None,
        completed_at: None,
    };
    let id = step.step_id;
    record(ctx, Event::Step(step), args.strict.strict).await?;
    print_line(&id.to_string())?;
    Ok(Exit::Fine)
}

pub(crate) async fn call(ctx: &Ctx, args: CallArgs) -> Result<Exit> {
    let call_id = args.call_id.unwrap_or_else(|| CallId(Uuid::now_v7()));
    let called_at = moment("--called-at", args.called_at.as_deref())?.unwrap_or_else(|| ctx.clock.now());
    let strict = args.strict.strict;
    let call = Call {
        usage: usage(&args),
        run_id: args.run_id,
        call_id,
        step_id: args.step_id.and_then(|step| step.0),
        agent: args.agent,
        provider: args.provider,
        model: args.model,
        operation: args.operation,
        service_tier: args.service_tier,
        called_at,
        latency_ms: args.latency_ms,
        outcome: match args.outcome {
            OutcomeArg::Ok => Outcome::Ok,
            OutcomeArg::Error => Outcome::Error,
        },
        response_id: args.response_id,
        pipeline: None,
        prompt: args.prompt.read()?.map(Box::new),
    };
    record(ctx, Event::Call(call), strict).await?;
    print_line(&call_id.to_string())?;
    Ok(Exit::Fine)
}

pub(crate) async fn finish(ctx: &Ctx, args: FinishArgs) -> Result<Exit> {
    let completed_at = moment("--completed-at", args.completed_at.as_deref())?;
    let (run_id, status) = (args.run_id, args.status);
    let event = match args.step_id {
        Some(step_id) => Event::FinishStep(FinishStep { run_id, step_id, status, completed_at }),
        None => Event::Finish(FinishRun { run_id, status, completed_at }),
    };
    record(ctx, event, args.strict.strict).await?;
    Ok(Exit::Fine)
}

pub(super) fn new_run_id() -> RunId {
    RunId(Uuid::now_v7())
}

fn moment(flag: &str, text: Option<&str>) -> Result<Option<Timestamp>> {
    text.map(|text| parse_time(flag, text)).transpose()
}

/// The usage; unknown when no count is given at all.
fn usage(args: &CallArgs) -> Option<TokenUsage> {
    let counts = [
        args.input,
        args.cache_read,
        args.cache_write,
        args.cache_write_long,
        args.output,
        args.reasoning,
        args.embedding,
        args.web_searches,
    ];
    counts.iter().any(Option::is_some).then(|| TokenUsage {
        input: args.input.unwrap_or_default(),
        cache_read: args.cache_read.unwrap_or_default(),
        cache_write: args.cache_write.unwrap_or_default(),
        cache_write_long: args.cache_write_long.unwrap_or_default(),
        output: args.output.unwrap_or_default(),
        reasoning: args.reasoning.unwrap_or_default(),
        embedding: args.embedding.unwrap_or_default(),
        web_searches: args.web_searches.unwrap_or_default(),
    })
}

/// Labels given as `name=text`.
pub(in crate::cli) fn labels(given: &[String]) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for label in given {
        let (name, text) = label.split_once('=').ok_or_else(|| {
            Error::usage(format!("--label `{label}` has no `=`")).hint("write --label team=data")
        })?;
        if labels.insert(name.to_owned(), text.to_owned()).is_some() {
            return Err(Error::usage(format!("--label `{name}` is given twice"))
                .hint("a run has one text for each label"));
        }
    }
    Ok(labels)
}
