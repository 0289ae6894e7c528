//! `asmm replay --execute`: the same prompts once more, as a new run.
//!
//! Each call is recorded as it is answered, so that a run that is cut off has what it spent.

use super::chat::{Answer, Endpoint};
use super::{Replayed, Selection, rendered_with};
use crate::cli::context::{Ctx, Exit, counted, print_line, say};
use crate::domain::{
    Call, CallId, CallPrompt, FinishRun, FinishStep, Outcome, RunId, StartRun, StartStep, Status, StepId,
};
use crate::error::{Error, Result};
use crate::prompt::Content;
use crate::store::{PromptVersion, Run, Store};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// Sending again.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sending again")]
pub(super) struct ExecuteArgs {
    /// Send the same prompts again, as a new run of the same pipeline. This costs what it costs
    #[arg(long, requires = "base_url")]
    pub execute: bool,
    /// The OpenAI-compatible endpoint: the address before /chat/completions
    #[arg(long, value_name = "URL", requires = "execute")]
    base_url: Option<String>,
    /// The environment variable that holds the API key
    #[arg(long, value_name = "NAME", default_value = "OPENAI_API_KEY", requires = "execute")]
    api_key_env: String,
    /// Send to this model instead
    #[arg(long, value_name = "NAME", requires = "execute")]
    model: Option<String>,
    /// How long one try may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "execute", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// How often to try again after a timeout, a 429 or a 5xx
    #[arg(long, value_name = "N", default_value_t = 4, requires = "execute", value_parser = clap::value_parser!(u32).range(0..=20))]
    retries: u32,
    /// Send so many calls at most
    #[arg(long, value_name = "N", requires = "execute", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// The new run in the making.
struct NewRun<'a> {
    store: &'a Store,
    run_id: RunId,
    /// The new step for each old one.
    steps: BTreeMap<StepId, StepId>,
    sent: u64,
    failed: u64,
    left_out: u64,
}

pub(super) async fn run(
    ctx: &Ctx,
    store: &Store,
    run: &Run,
    mut selection: Selection,
    with: Option<&(Content, PromptVersion)>,
    args: ExecuteArgs,
) -> Result<Exit> {
    let base_url = args.base_url.as_deref().unwrap_or_default();
    let key = std::env::var(&args.api_key_env).ok().filter(|key| !key.is_empty());
    let endpoint = Endpoint::new(base_url, key, Duration::from_secs(args.timeout), args.retries)?;
    let mut new = NewRun::start(ctx, store, run).await?;
    let stopped = tokio::signal::ctrl_c();
    tokio::pin!(stopped);
    let mut is_stopped = false;
    let mut replay = store.replay(run.run_id);
    while let Some(call) = replay.next().await? {
        if !selection.takes(&call) {
            continue;
        }
        if args.limit.is_some_and(|limit| new.sent >= limit) {
            break;
        }
        let replayed = Replayed { other: with.and_then(|with| rendered_with(&call, with)), call };
        let request = replayed.request().filter(|_| replayed.call.operation == "chat");
        let Some(mut request) = request.filter(|_| with.is_none() || replayed.other.is_some()) else {
            new.left_out += 1;
            say(&format!("call `{}` is not sent: {}", replayed.call.call_id, why_not(&replayed)));
            continue;
        };
        if let Some(model) = &args.model {
            request.insert("model".to_owned(), model.clone().into());
        }
        let model = request.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        request.insert("stream".to_owned(), false.into());
        let called_at = ctx.clock.now();
        let request = Value::Object(request);
        let answer = tokio::select! {
            answer = endpoint.send(&request) => answer,
            _ = &mut stopped => { is_stopped = true; break; }
        };
        new.record(&replayed, model, called_at, answer).await?;
        say(&format!("{} sent", counted(new.sent, "call", "calls")));
    }
    new.finish(is_stopped).await?;
    if !is_stopped {
        selection.check(run)?;
    }
    say(&format!("compare the two: asmm runs diff {} {}", run.run_id, new.run_id));
    print_line(&new.run_id.to_string())?;
    Ok(match (is_stopped, new.failed, new.left_out) {
        (true, _, _) => Exit::Child(130),
        (false, 0, 0) => Exit::Fine,
        (false, 0, _) => Exit::Mismatch,
        (false, _, _) => Exit::Flawed,
    })
}

fn why_not(replayed: &Replayed) -> String {
    if replayed.call.operation != "chat" {
        return format!("it asked for {}, not chat", replayed.call.operation);
    }
    match replayed.other.as_ref().map(|other| &other.rendered) {
        Some(Err(error)) => error.to_string(),
        _ if replayed.call.verdict.is_verified() => "it used another prompt".to_owned(),
        _ => replayed.call.verdict.to_string(),
    }
}

impl<'a> NewRun<'a> {
    async fn start(ctx: &Ctx, store: &'a Store, run: &Run) -> Result<Self> {
        let run_id = RunId(Uuid::now_v7());
        store
            .start_run(&StartRun {
                run_id,
                pipeline: run.pipeline.clone(),
                started_at: ctx.clock.now(),
                labels: run.labels.clone(),
                parent_run_id: None,
                replay_of: Some(run.run_id),
            })
            .await?;
        Ok(Self { store, run_id, steps: BTreeMap::new(), sent: 0, failed: 0, left_out: 0 })
    }

    /// The step that stands for the one the call was made in.
    async fn step(&mut self, replayed: &Replayed) -> Result<Option<StepId>> {
        let call = &replayed.call;
        let (Some(old), Some(step)) = (call.step_id, &call.step) else { return Ok(None) };
        if let Some(known) = self.steps.get(&old) {
            return Ok(Some(*known));
        }
        let step_id = StepId(Uuid::now_v7());
        self.store
            .start_step(&StartStep {
                run_id: self.run_id,
                step_id,
                step: step.clone(),
                agent: call.agent.clone(),
                prompt_version: version_of(replayed),
                attempt: 1,
                started_at: Some(self.store.now()),
                status: None,
                completed_at: None,
            })
            .await?;
        self.steps.insert(old, step_id);
        Ok(Some(step_id))
    }

    async fn record(
        &mut self,
        replayed: &Replayed,
        model: String,
        called_at: crate::domain::Timestamp,
        answer: Result<Answer>,
    ) -> Result<()> {
        let step_id = self.step(replayed).await?;
        let old = &replayed.call;
        let answered = match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.failed += 1;
                say(&format!("warning: call `{}` failed: {error}", old.call_id));
                if let Some(hint) = error.next_step() {
                    say(&format!("hint: {hint}"));
                }
                None
            }
        };
        let call = Call {
            run_id: self.run_id,
            call_id: CallId(Uuid::now_v7()),
            step_id,
            agent: old.agent.clone(),
            provider: old.provider.clone(),
            model: answered.as_ref().and_then(|a| a.model.clone()).unwrap_or(model),
            operation: "chat".to_owned(),
            service_tier: "standard".to_owned(),
            called_at,
            usage: answered.as_ref().and_then(|a| a.usage),
            latency_ms: answered.as_ref().map(|a| a.latency_ms),
            outcome: if answered.is_some() { Outcome::Ok } else { Outcome::Error },
            response_id: answered.and_then(|a| a.response_id),
            pipeline: None,
            prompt: Some(Box::new(prompt_of(replayed))),
        };
        self.sent += 1;
        let recorded = self.store.record_calls(std::slice::from_ref(&call)).await?;
        if recorded.conflict.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!("call `{}` is already recorded with other contents", call.call_id)))
    }

    async fn finish(&self, is_stopped: bool) -> Result<()> {
        let status = match (is_stopped, self.failed) {
            (true, _) => Status::Cancelled,
            (false, 0) => Status::Succeeded,
            (false, _) => Status::Failed,
        };
        for &step_id in self.steps.values() {
            let finish = FinishStep { run_id: self.run_id, step_id, status, completed_at: None };
            self.store.finish_step(&finish).await?;
        }
        self.store.finish_run(&FinishRun { run_id: self.run_id, status, completed_at: None }).await?;
        Ok(())
    }
}

/// The version that is sent, exactly.
fn version_of(replayed: &Replayed) -> Option<String> {
    match &replayed.other {
        Some(other) => Some(other.entry.to_string()),
        None => replayed.call.version.as_ref().map(|version| version.entry.to_string()),
    }
}

/// What is sent, as it is recorded: the version and inputs, or the captured text.
fn prompt_of(replayed: &Replayed) -> CallPrompt {
    let call = &replayed.call;
    let is_rendered = replayed.other.is_some() || call.is_rendered;
    let digest = match &replayed.other {
        Some(other) => other.rendered.as_ref().ok().and_then(|rendered| rendered.digest().ok()),
        None => call.text_sha256,
    };
    CallPrompt {
        version: version_of(replayed).filter(|_| is_rendered),
        inputs: call.inputs.clone(),
        text_sha256: digest,
        messages: if is_rendered { None } else { call.messages.clone() },
        sanitisation: call.sanitisation.unwrap_or_default(),
        purged_at: None,
    }
}
