//! The enrichment pipeline of the demo: the bundled prompts and companies, and a stand-in for a model.
//!
//! What it records is what any pipeline records; only the answers are made up, always the same way.

use crate::cli::guard::passing_fingerprints;
use crate::domain::{
    Call, CallId, CallPrompt, FinishRun, FinishStep, Outcome, RunId, StartRun, StartStep, Status, StepId,
    Timestamp, TokenUsage,
};
use crate::error::{Error, Result};
use crate::guard::{About, Guard, Guarded, Policy};
use crate::prompt::{PromptFile, parse_file};
use crate::store::{NewVersion, Store};
use serde::Deserialize;
use serde_json::{Map, Value};

const COMPANIES: &str = include_str!("../../../examples/companies.json");

/// A step: its name, its agent, who is asked, and the prompt it uses.
struct StepPlan {
    step: &'static str,
    agent: &'static str,
    provider: &'static str,
    file: &'static str,
    yaml: &'static str,
}

const STEPS: [StepPlan; 4] = [
    StepPlan {
        step: "research",
        agent: "researcher",
        provider: "anthropic",
        file: "researcher.yaml",
        yaml: include_str!("../../../prompts/researcher.yaml"),
    },
    StepPlan {
        step: "extract",
        agent: "extractor",
        provider: "openai",
        file: "extractor.yaml",
        yaml: include_str!("../../../prompts/extractor.yaml"),
    },
    StepPlan {
        step: "summarise",
        agent: "summariser",
        provider: "anthropic",
        file: "summariser.yaml",
        yaml: include_str!("../../../prompts/summariser.yaml"),
    },
    StepPlan {
        step: "review",
        agent: "reviewer",
        provider: "anthropic",
        file: "reviewer.yaml",
        yaml: include_str!("../../../prompts/reviewer.yaml"),
    },
];

/// A bundled company.
#[derive(Deserialize)]
struct Company {
    #[serde(rename = "company")]
    name: String,
    website_text: String,
    notes: String,
}

/// How long before now the first run starts, and how long each company takes.
const MINUTE: i64 = 60_000_000;
const COMPANY_MICROS: i64 = 3 * MINUTE;
const STEP_MICROS: i64 = 30_000_000;

/// Pushes the bundled prompts and runs the pipeline on each company; answers how many calls it made.
pub(super) async fn run(store: &Store) -> Result<usize> {
    let files: Vec<PromptFile> =
        STEPS.iter().map(|plan| parse_file(plan.file, plan.yaml.as_bytes())).collect::<Result<_>>()?;
    let versions: Vec<NewVersion> = files.iter().map(new_version).collect::<Result<_>>()?;
    store.push_prompts(&versions, Some("production"), None).await?;
    let companies: Vec<Company> = serde_json::from_str(COMPANIES)
        .map_err(|e| Error::input(format!("the bundled companies are damaged: {e}")))?;
    // The demo's ledger is thrown away, and its key with it.
    let guard = Guard::new(Policy::default(), passing_fingerprints()?);
    let mut started_at = store.now().plus_micros(-15 * MINUTE);
    for company in &companies {
        enrich((store, &guard), company, &files, started_at).await?;
        started_at = started_at.plus_micros(COMPANY_MICROS);
    }
    Ok(companies.len() * STEPS.len())
}

fn new_version(file: &PromptFile) -> Result<NewVersion> {
    Ok(NewVersion {
        name: file.name.clone(),
        description: file.description.clone(),
        digest: file.content.digest()?,
        content: file.content.canonical()?,
        source: file.source.clone(),
    })
}

/// One run: research, extract, summarise, review.
async fn enrich(
    (store, guard): (&Store, &Guard),
    company: &Company,
    files: &[PromptFile],
    started_at: Timestamp,
) -> Result<()> {
    // In a ledger of its own, so that an id may be made from the name.
    let run_id = RunId::derived(&["asmm demo", &company.name]);
    let labels = [("company".to_owned(), company.name.clone())].into();
    let pipeline = "company-enrichment".to_owned();
    let run = StartRun { run_id, pipeline, started_at, labels, parent_run_id: None, replay_of: None };
    store.start_run(&run).await?;

    // What the steps know so far, by the names of the prompts' variables.
    let mut known = Map::new();
    for (name, text) in
        [("company", &company.name), ("website_text", &company.website_text), ("notes", &company.notes)]
    {
        known.insert(name.to_owned(), Value::from(text.as_str()));
    }
    let mut tokens = guard.tokens();
    let mut at = started_at;
    for (plan, file) in STEPS.iter().zip(files) {
        let inputs: Map<String, Value> = known
            .iter()
            .filter(|(name, _)| file.content.variables.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let today = started_at.to_utc().date_naive();
        let guarded =
            guard.render(&file.content, &inputs, &mut tokens, today).map_err(|refusal| refusal.error)?;
        let answer = answer(plan.step, company);
        record((store, guard), run_id, (plan, file), guarded, (&answer, at)).await?;
        let name = match plan.step {
            "research" => "findings",
            "extract" => "facts",
            _ => "summary",
        };
        known.insert(name.to_owned(), answer.into());
        at = at.plus_micros(STEP_MICROS);
    }
    store.finish_run(&FinishRun { run_id, status: Status::Succeeded, completed_at: Some(at) }).await?;
    Ok(())
}

/// Records a step and its one call, with what was sent.
async fn record(
    (store, guard): (&Store, &Guard),
    run_id: RunId,
    (plan, file): (&StepPlan, &PromptFile),
    Guarded { rendered, inputs, decisions }: Guarded,
    (answer, at): (&str, Timestamp),
) -> Result<()> {
    let version = format!("{}@1", file.name);
    let parts = [&run_id.to_string(), plan.step];
    let (step_id, call_id) = (StepId::derived(&parts), CallId::derived(&parts));
    store
        .start_step(&StartStep {
            run_id,
            step_id,
            step: plan.step.to_owned(),
            agent: plan.agent.to_owned(),
            prompt_version: Some(version.clone()),
            attempt: 1,
            started_at: Some(at),
            status: None,
            completed_at: None,
        })
        .await?;
    let sent: usize = rendered.messages.iter().map(|message| message.content.len()).sum();
    let usage = TokenUsage { input: tokens(sent), output: tokens(answer.len()), ..TokenUsage::default() };
    let call = Call {
        run_id,
        call_id,
        step_id: Some(step_id),
        agent: String::new(),
        provider: plan.provider.to_owned(),
        model: file.content.model.as_ref().map(|model| model.id.clone()).unwrap_or_default(),
        operation: "chat".to_owned(),
        service_tier: "standard".to_owned(),
        called_at: at,
        usage: Some(usage),
        latency_ms: Some(900),
        outcome: Outcome::Ok,
        response_id: None,
        pipeline: None,
        prompt: Some(Box::new(CallPrompt {
            version: Some(version.clone()),
            inputs: Some(inputs.0),
            text_sha256: Some(rendered.digest()?),
            messages: None,
            sanitisation: decisions.sanitisation(),
            ..CallPrompt::default()
        })),
    };
    store.record_calls(&[call]).await?;
    let about = About { run_id: Some(run_id), call_id: Some(call_id), prompt: Some(version) };
    store.record_guard_events(&decisions.events(&about, guard.policy_sha256(), at)).await?;
    let completed_at = Some(at.plus_micros(STEP_MICROS));
    store.finish_step(&FinishStep { run_id, step_id, status: Status::Succeeded, completed_at }).await?;
    Ok(())
}

/// As many tokens as English text of so many bytes has, about.
fn tokens(bytes: usize) -> u64 {
    (bytes / 4).try_into().unwrap_or(u64::MAX)
}

/// The stand-in for a model: the same answer for the same company, made of the website's own sentences.
fn answer(step: &str, company: &Company) -> String {
    let sentences: Vec<&str> = company
        .website_text
        .split_inclusive(". ")
        .map(|sentence| sentence.trim().trim_end_matches('.'))
        .collect();
    let sentence = |place: usize| sentences.get(place).copied().unwrap_or_default();
    match step {
        "research" => format!("- {}", sentences.join("\n- ")),
        "extract" => serde_json::json!({ "product": sentence(0), "customers": null }).to_string(),
        "summarise" => format!("{}. {}.", sentence(0), sentence(1)),
        _ => format!("supported  {}  product\nVERDICT: approve", sentence(0)),
    }
}
