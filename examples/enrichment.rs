//! A pipeline that enriches companies, several at once, and records through the library: `cargo run --example enrichment`.
//!
//! The endpoint is a stand-in on this machine unless `OPENAI_BASE_URL` names a real one (with `OPENAI_API_KEY`, and
//! `OPENAI_MODEL`). The ledger is the one that `ASMM_DATABASE_URL` names, or this user's; the prompts must be in it once:
//! `asmm prompts push prompts --label production`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that says what it does")]

#[path = "support/stub.rs"]
mod stub;

use asmm::Recorder;
use asmm::domain::{Status, TokenUsage};
use asmm::recorder::{Context, RenderedPrompt, spawn};
use serde::Deserialize;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const RESEARCHER: &str = "enrichment/researcher@production";
const WRITER: &str = "enrichment/summariser@production";
/// Companies that are worked on at once.
const AT_ONCE: usize = 2;
/// Attempts at one answer.
const ATTEMPTS: u32 = 3;
/// Between two of them, whatever the endpoint asks for.
const MAX_WAIT: Duration = Duration::from_secs(30);

#[derive(Clone, Deserialize)]
struct Company {
    #[serde(rename = "company")]
    name: String,
    website_text: String,
    notes: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    // What the recorder warns of, and what the guard decides.
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr).init();
    let recorder = Recorder::from_env();
    let outcome = run(&recorder).await;
    // Whatever could not be delivered by then waits on disk.
    let flushed = recorder.clone().shutdown(Duration::from_secs(5)).await;
    match outcome {
        Ok(failed) => {
            let metrics = recorder.metrics();
            println!(
                "{failed} failed; of {} events that were recorded {} wait on disk and {} are lost",
                metrics.accepted, flushed.in_spool, flushed.dropped
            );
            let first =
                if flushed.in_spool > 0 { "asmm spool drain, when the ledger is back; then " } else { "" };
            println!("look at it: {first}asmm runs show last");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            // Of the ledger: the prompts cannot be had.
            if let Some(error) = error.downcast_ref::<asmm::Error>() {
                if let Some(hint) = error.next_step() {
                    eprintln!("hint: {hint}");
                }
                eprintln!("hint: push the prompts once: asmm prompts push prompts --label production");
            }
            ExitCode::FAILURE
        }
    }
}

/// Works on all companies; answers how many failed.
async fn run(recorder: &Recorder) -> Result<usize> {
    let companies: Vec<Company> = serde_json::from_str(include_str!("companies.json"))?;
    let endpoint = Arc::new(Endpoint::from_env()?);
    // Without its words the pipeline cannot begin. Those that were here before are at hand without the ledger, too.
    recorder.load_prompts([RESEARCHER, WRITER]).await?;

    let run = recorder.run("enrichment").label("example", "enrichment").start();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let tasks = run
        .scope(async {
            let start = |company: &Company| {
                let (endpoint, company, room) = (Arc::clone(&endpoint), company.clone(), Arc::clone(&room));
                // The task works for this run: `spawn` hands the context on.
                spawn(async move {
                    let _permit = room.acquire_owned().await?;
                    enrich(&endpoint, &company).await
                })
            };
            companies.iter().map(start).collect::<Vec<_>>()
        })
        .await;
    let mut failed = 0;
    for (company, task) in companies.iter().zip(tasks) {
        // A task that panicked takes no other with it.
        match task.await.unwrap_or_else(|error| Err(error.into())) {
            Ok(summary) => println!("{}: {summary}", company.name),
            Err(error) => {
                failed += 1;
                println!("{}: failed: {error}", company.name);
            }
        }
    }
    run.finish(if failed == 0 { Status::Succeeded } else { Status::Failed });
    Ok(failed)
}

/// The researcher's step, in which the writer is asked. Whatever goes wrong in it is its status.
async fn enrich(endpoint: &Endpoint, company: &Company) -> Result<String> {
    let run = Context::current().ok_or("there is no run")?;
    let step = run.step("research").agent("researcher").start();
    // Before `scope`, which records that the step has started, and with which prompt.
    let prompt = step.prompt(RESEARCHER);
    let research = async {
        let inputs = json!({"company": company.name, "website_text": company.website_text});
        let prompt = prompt?.render(inputs)?;
        let findings = ask(endpoint, &step, &prompt).await?;
        write(endpoint, company, &findings).await
    };
    let summary = step.scope(research).await;
    step.finish(status_of(&summary));
    summary
}

/// The writer's step. It need not be told which run it is in: the current context says it.
async fn write(endpoint: &Endpoint, company: &Company, findings: &str) -> Result<String> {
    let researcher = Context::current().ok_or("there is no run")?;
    let step = researcher.step("summarise").agent("writer").start();
    let writing = async {
        let inputs = json!({"company": company.name, "facts": findings, "notes": company.notes});
        let prompt = step.prompt(WRITER)?.render(inputs)?;
        ask(endpoint, &step, &prompt).await
    };
    let summary = writing.await;
    step.finish(status_of(&summary));
    summary
}

fn status_of<T>(outcome: &Result<T>) -> Status {
    if outcome.is_ok() { Status::Succeeded } else { Status::Failed }
}

/// Asks the model, again if need be. Each attempt is a call: it was made, whatever came of it.
async fn ask(endpoint: &Endpoint, step: &Context, prompt: &RenderedPrompt) -> Result<String> {
    let body = json!({"model": endpoint.model, "messages": prompt.messages()});
    let mut attempt = 1;
    loop {
        let call = step.call("openai", &endpoint.model).prompt(prompt);
        let started = Instant::now();
        let answer = endpoint.send(body.clone()).await;
        let call = call.latency(started.elapsed());
        let wait = match answer {
            Ok(answer) => {
                let usage = TokenUsage::from_openai(&answer["usage"]);
                call.reported(usage).response_id(answer["id"].as_str().unwrap_or_default()).record();
                let content = answer["choices"][0]["message"]["content"].as_str();
                return content.map(str::to_owned).ok_or_else(|| "the answer has no content".into());
            }
            Err(failure) => {
                call.failed().record();
                if !failure.may_pass || attempt == ATTEMPTS {
                    return Err(failure.why.into());
                }
                failure.wait.unwrap_or(Duration::from_millis(100) * 2_u32.pow(attempt))
            }
        };
        tokio::time::sleep(wait.min(MAX_WAIT)).await;
        attempt += 1;
    }
}

/// An OpenAI-compatible endpoint for chats.
struct Endpoint {
    agent: ureq::Agent,
    url: String,
    key: Option<String>,
    model: String,
}

/// Why there is no answer.
struct Failure {
    why: String,
    /// Whether it may be different a moment later.
    may_pass: bool,
    /// How long the endpoint asks us to wait.
    wait: Option<Duration>,
}

impl Failure {
    fn lost(error: &ureq::Error) -> Self {
        Self { why: format!("the endpoint did not answer: {error}"), may_pass: true, wait: None }
    }

    fn lasting(why: &impl ToString) -> Self {
        Self { why: why.to_string(), may_pass: false, wait: None }
    }
}

impl Endpoint {
    fn from_env() -> Result<Self> {
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let (base, config) = match given("OPENAI_BASE_URL") {
            Some(base) => (base, config),
            // The environment's proxy could not find it.
            None => (stub::start()?, config.proxy(None)),
        };
        Ok(Self {
            agent: config.timeout_global(Some(Duration::from_mins(1))).build().into(),
            url: format!("{}/chat/completions", base.trim_end_matches('/')),
            key: given("OPENAI_API_KEY"),
            model: given("OPENAI_MODEL").unwrap_or_else(|| "gpt-4o-mini".to_owned()),
        })
    }

    /// Sends one request. This client blocks, so that it works on a thread of its own.
    async fn send(&self, body: Value) -> std::result::Result<Value, Failure> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let exchange = move || -> std::result::Result<Value, Failure> {
            let mut response = request.send(body.to_string()).map_err(|error| Failure::lost(&error))?;
            let status = response.status();
            if status.is_success() {
                let text = response.body_mut().read_to_string().map_err(|error| Failure::lost(&error))?;
                return serde_json::from_str(&text)
                    .map_err(|_| Failure::lasting(&"the endpoint answered no JSON"));
            }
            let seconds =
                response.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
            let wait = seconds.map(Duration::from_secs);
            let may_pass = status.as_u16() == 429 || status.is_server_error();
            Err(Failure { why: format!("the endpoint answered {status}"), may_pass, wait })
        };
        tokio::task::spawn_blocking(exchange).await.unwrap_or_else(|error| Err(Failure::lasting(&error)))
    }
}
