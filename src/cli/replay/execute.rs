//! `asmm replay --execute`: the same prompts once more, as a new run.
//!
//! What is sent is recorded before it is sent, and the call as it is answered: a run that is cut off has what it
//! spent. Every call is looked at once before the first is sent, so that a wrong step or an endpoint without a
//! model costs nothing and leaves no run behind.

use super::chat::{Answer, Endpoint};
use super::{Replayed, Selection, left_out, none_with, rendered_with};
use crate::cli::context::{Ctx, Exit, print_line, say};
use crate::domain::{
    Call, CallId, CallPrompt, Digest, FinishRun, FinishStep, Outcome, RunId, SentPrompt, StartRun, StartStep,
    Status, StepId,
};
use crate::error::{Error, Result};
use crate::guard::{About, Decisions, Group, Guard, Refusal, Tokens};
use crate::prompt::{Content, Rendered};
use crate::store::{PromptVersion, ReplayedCall, Run, Step, Store};
use clap::Args;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
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

/// What is to be sent again.
struct Again<'a> {
    store: &'a Store,
    guard: Guard,
    run: &'a Run,
    with: Option<&'a (Content, PromptVersion)>,
    model: Option<&'a str>,
}

/// A call that may be sent again: what was sent then, or what the guard makes of it today.
struct Ready {
    replayed: Replayed,
    request: Map<String, Value>,
    decisions: Decisions,
}

/// What would be sent.
#[derive(Default)]
struct Plan {
    ready: u64,
    left_out: u64,
}

/// The new run in the making.
struct NewRun<'a> {
    store: &'a Store,
    run_id: RunId,
    total: u64,
    /// The steps of the old run.
    old: BTreeMap<StepId, Step>,
    /// The new step for each old one, and how it stands.
    steps: BTreeMap<StepId, (StepId, Status)>,
    sent: u64,
    failed: u64,
}

/// How a request ended.
enum Ended {
    Answered(Answer),
    Failed(Error),
    Interrupted,
}

pub(super) async fn run(
    ctx: &Ctx,
    (store, run): (&Store, &Run),
    mut selection: Selection,
    with: Option<&(Content, PromptVersion)>,
    args: ExecuteArgs,
) -> Result<Exit> {
    let base_url = args.base_url.as_deref().unwrap_or_default();
    let key = std::env::var(&args.api_key_env).ok().filter(|key| !key.is_empty());
    let endpoint = Endpoint::new(base_url, key, Duration::from_secs(args.timeout), args.retries)?;
    let again = Again { store, guard: ctx.guard()?, run, with, model: args.model.as_deref() };
    let plan = again.plan(&mut selection).await?;
    let total = plan.ready.min(args.limit.unwrap_or(u64::MAX));
    if total == 0 {
        say("there is nothing to send");
        return Ok(if plan.left_out == 0 { Exit::Fine } else { Exit::Mismatch });
    }
    let mut new = NewRun::start(store, run, total).await?;
    let status = match new.send(&again, &endpoint, &mut selection).await {
        Ok(status) => status,
        Err(error) => {
            // The ledger may be gone, and then this fails too: what failed first is what to say.
            let _ = new.finish(Status::Failed).await;
            return Err(error);
        }
    };
    new.finish(status).await?;
    print_line(&new.run_id.to_string())?;
    say(&format!("compare the two: asmm runs diff {} {}", run.run_id, new.run_id));
    Ok(match status {
        Status::Cancelled => Exit::Child(130),
        Status::Succeeded if plan.left_out == 0 => Exit::Fine,
        Status::Succeeded => Exit::Mismatch,
        _ => Exit::Flawed,
    })
}

impl Again<'_> {
    /// Looks at every call, says what cannot be sent, and counts what can.
    async fn plan(&self, selection: &mut Selection) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut replay = self.store.replay(self.run.run_id);
        let mut passed_over = 0_u64;
        while let Some(call) = replay.next().await? {
            if !selection.takes(&call) {
                continue;
            }
            let replayed = self.replayed(call);
            if self.with.is_some() && replayed.other.is_none() {
                passed_over += 1;
                continue;
            }
            let call_id = replayed.call.call_id;
            match self.ready(replayed, &mut self.guard.tokens()) {
                Ok(_) => plan.ready += 1,
                Err(why) => {
                    plan.left_out += 1;
                    say(&format!("warning: call `{call_id}` is not sent: {why}"));
                }
            }
        }
        selection.check(self.run)?;
        if let Some((_, version)) = self.with
            && plan.ready + plan.left_out == 0
        {
            return Err(none_with(self.run, version));
        }
        if passed_over > 0 {
            say(&left_out(passed_over));
        }
        Ok(plan)
    }

    fn replayed(&self, call: ReplayedCall) -> Replayed {
        Replayed { other: self.with.and_then(|with| rendered_with(&call, with)), call }
    }

    /// What is sent for a call, or why nothing is.
    fn ready(&self, mut replayed: Replayed, tokens: &mut Tokens) -> Result<Ready, String> {
        if self.with.is_some() && replayed.other.is_none() {
            return Err("it used another prompt, or a text of its own".to_owned());
        }
        // First whether it is what was sent then: the guard may change it.
        replayed.request(self.model)?;
        let decisions = self.guarded(&mut replayed, tokens)?;
        let mut request = replayed.request(self.model)?;
        request.insert("stream".to_owned(), false.into());
        // Endpoints refuse it where nothing is streamed.
        request.remove("stream_options");
        Ok(Ready { replayed, request, decisions })
    }

    /// Puts what the guard lets through today in the place of what was sent then: it may have been recorded without
    /// the guard, or under another policy.
    fn guarded(&self, replayed: &mut Replayed, tokens: &mut Tokens) -> Result<Decisions, String> {
        let today = self.store.now().to_utc().date_naive();
        let call = &mut replayed.call;
        let inputs = call.inputs.clone().unwrap_or_default();
        let digest = |rendered: &Rendered| rendered.digest().map_err(|error| error.to_string());
        let refused = |refusal: Box<Refusal>| refusal.error.to_string();
        if let Some(other) = &mut replayed.other {
            other.rendered.as_ref().map_err(ToString::to_string)?;
            let guarded = self.guard.render(&other.content, &inputs, tokens, today).map_err(refused)?;
            call.inputs = Some(guarded.inputs.0);
            other.rendered = Ok(guarded.rendered);
            return Ok(guarded.decisions);
        }
        if call.is_rendered {
            let content = call.version.as_ref().and_then(|version| version.content.as_ref().ok());
            let content = content.ok_or("its version cannot be read")?;
            let guarded = self.guard.render(content, &inputs, tokens, today).map_err(refused)?;
            call.text_sha256 = Some(digest(&guarded.rendered)?);
            call.messages = Some(guarded.rendered.to_values());
            call.inputs = Some(guarded.inputs.0);
            return Ok(guarded.decisions);
        }
        let captured = CallPrompt { messages: call.messages.clone(), ..CallPrompt::default() };
        let examined = self.guard.examine(&captured, None, today).map_err(|error| error.to_string())?;
        if let Some(secret) =
            examined.decisions.all().iter().find(|one| one.group == Group::Secret && one.decision.hides())
        {
            return Err(format!("its text holds a secret (`{}`)", secret.detector));
        }
        if let Some(redacted) = examined.redacted {
            let text = redacted.stored_messages().map_err(|error| error.to_string())?;
            call.text_sha256 = text.map(Digest::of);
            call.messages = redacted.messages;
        }
        Ok(examined.decisions)
    }
}

impl<'a> NewRun<'a> {
    async fn start(store: &'a Store, run: &Run, total: u64) -> Result<Self> {
        let old = store.steps(run.run_id).await?;
        let run_id = RunId(Uuid::now_v7());
        store
            .start_run(&StartRun {
                run_id,
                pipeline: run.pipeline.clone(),
                started_at: store.now(),
                labels: run.labels.clone(),
                parent_run_id: None,
                replay_of: Some(run.run_id),
            })
            .await?;
        let old = old.into_iter().map(|old| (old.step.step_id, old.step)).collect();
        Ok(Self { store, run_id, total, old, steps: BTreeMap::new(), sent: 0, failed: 0 })
    }

    /// Sends one call after the other; answers how the run ended.
    async fn send(
        &mut self,
        again: &Again<'_>,
        endpoint: &Endpoint,
        selection: &mut Selection,
    ) -> Result<Status> {
        let unwatched = |error| Error::io("signals cannot be waited for", error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
        let mut replay = again.store.replay(again.run.run_id);
        let mut tokens = again.guard.tokens();
        while self.sent < self.total {
            let Some(call) = replay.next().await? else { break };
            if !selection.takes(&call) {
                continue;
            }
            let replayed = again.replayed(call);
            let Ok(ready) = again.ready(replayed, &mut tokens) else { continue };
            let Ready { replayed, request, decisions } = ready;
            let model = request.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
            let request = Value::Object(request);
            let sent = self.announce(again, &replayed, &decisions).await?;
            let ended = tokio::select! {
                answer = endpoint.send(&request) => answer.map_or_else(Ended::Failed, Ended::Answered),
                _ = interrupt.recv() => Ended::Interrupted,
                _ = terminate.recv() => Ended::Interrupted,
            };
            self.record(&replayed, &sent, model, &ended).await?;
            if let Ended::Interrupted = ended {
                say(&format!("interrupted after {} of {}", self.sent, self.total));
                return Ok(Status::Cancelled);
            }
            say(&format!("{} of {} sent", self.sent, self.total));
        }
        Ok(if self.failed == 0 { Status::Succeeded } else { Status::Failed })
    }

    /// Records what is about to be sent.
    async fn announce(
        &mut self,
        again: &Again<'_>,
        replayed: &Replayed,
        decisions: &Decisions,
    ) -> Result<SentPrompt> {
        let sent = SentPrompt {
            run_id: self.run_id,
            call_id: CallId(Uuid::now_v7()),
            step_id: self.step(replayed).await?,
            sent_at: self.store.now(),
            prompt: CallPrompt { sanitisation: decisions.sanitisation(), ..prompt_of(replayed) },
        };
        let (run_id, call_id) = (Some(sent.run_id), Some(sent.call_id));
        let about = About { run_id, call_id, prompt: sent.prompt.version.clone() };
        decisions.log(&about, false);
        let events = decisions.events(&about, again.guard.policy_sha256(), sent.sent_at);
        self.store.record_prompts(std::slice::from_ref(&sent)).await?;
        self.store.record_guard_events(&events).await?;
        Ok(sent)
    }

    /// The step that stands for the one the call was made in.
    async fn step(&mut self, replayed: &Replayed) -> Result<Option<StepId>> {
        let Some(old) = replayed.call.step_id.and_then(|id| self.old.get(&id)) else { return Ok(None) };
        if let Some((known, _)) = self.steps.get(&old.step_id) {
            return Ok(Some(*known));
        }
        let step_id = StepId(Uuid::now_v7());
        self.store
            .start_step(&StartStep {
                run_id: self.run_id,
                step_id,
                step: old.step.clone(),
                agent: old.agent.clone(),
                prompt_version: version_of(replayed).or_else(|| old.prompt_version.clone()),
                attempt: old.attempt,
                started_at: Some(self.store.now()),
                status: None,
                completed_at: None,
            })
            .await?;
        self.steps.insert(old.step_id, (step_id, Status::Succeeded));
        Ok(Some(step_id))
    }

    /// Records what became of a request. One that was not answered may have been billed: its usage is unknown.
    async fn record(
        &mut self,
        replayed: &Replayed,
        sent: &SentPrompt,
        model: String,
        ended: &Ended,
    ) -> Result<()> {
        let old = &replayed.call;
        let (answer, status) = match ended {
            Ended::Answered(answer) => (Some(answer), Status::Succeeded),
            Ended::Interrupted => (None, Status::Cancelled),
            Ended::Failed(error) => {
                self.failed += 1;
                say(&format!("warning: call `{}` failed: {error}", old.call_id));
                if let Some(hint) = error.next_step() {
                    say(&format!("hint: {hint}"));
                }
                (None, Status::Failed)
            }
        };
        if status != Status::Succeeded
            && let Some((_, step)) = old.step_id.and_then(|id| self.steps.get_mut(&id))
        {
            *step = status;
        }
        let call = Call {
            run_id: self.run_id,
            call_id: sent.call_id,
            step_id: sent.step_id,
            agent: old.agent.clone(),
            provider: old.provider.clone(),
            model: answer.and_then(|a| a.model.clone()).unwrap_or(model),
            operation: "chat".to_owned(),
            service_tier: "standard".to_owned(),
            called_at: sent.sent_at,
            usage: answer.and_then(|a| a.usage),
            latency_ms: answer.map(|a| a.latency_ms),
            outcome: if answer.is_some() { Outcome::Ok } else { Outcome::Error },
            response_id: answer.and_then(|a| a.response_id.clone()),
            pipeline: None,
            // It is recorded already.
            prompt: None,
        };
        self.sent += 1;
        let recorded = self.store.record_calls(std::slice::from_ref(&call)).await?;
        if recorded.conflict.is_empty() {
            return Ok(());
        }
        Err(Error::conflict(format!("call `{}` is already recorded with other contents", call.call_id)))
    }

    async fn finish(&self, status: Status) -> Result<()> {
        let run_id = self.run_id;
        for &(step_id, status) in self.steps.values() {
            self.store.finish_step(&FinishStep { run_id, step_id, status, completed_at: None }).await?;
        }
        self.store.finish_run(&FinishRun { run_id, status, completed_at: None }).await?;
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
        ..CallPrompt::default()
    }
}
