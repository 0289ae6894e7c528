//! Whole processes: what a person or a cron job waits for, and how much memory it takes.

use crate::ledgers::{Client, Result, Target};
use crate::table::{Results, Samples, Unit};
use asmm::domain::{CallId, CallPrompt, RunId, SentPrompt, StartRun};
use asmm::store::NewVersion;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const PROGRAM: &str = env!("CARGO_BIN_EXE_asmm");
/// GNU time, which knows a child's peak memory.
const TIME: &str = "/usr/bin/time";

/// Measures the program itself, then a report on each ledger.
pub(crate) fn measure(targets: &[Target], runs: usize, results: &mut Results) -> Result<()> {
    results.section("the program, from start to exit, against `true`");
    one("asmm --version", &command(&["--version"], None), runs, results)?;
    for target in targets {
        for args in [
            &["spend", "daily"][..],
            &["spend", "daily", "--days", "30"],
            &["spend", "agent", "--days", "30"],
            &["spend", "model", "--days", "30"],
            &["runs", "top", "--days", "7"],
            &["runs", "show", "last"],
        ] {
            let name = format!("asmm {}, {}", args.join(" "), target.name());
            one(&name, &command(args, Some(target)), runs, results)?;
        }
        let run_id = record_prompts(target)?.to_string();
        let name = format!("asmm replay --verify, {SENT} calls, {}", target.name());
        one(&name, &command(&["replay", &run_id, "--verify"], Some(target)), runs, results)?;
    }
    Ok(())
}

/// How many calls are replayed.
const SENT: usize = 10_000;

/// A run of calls with a prompt of about 2 KB each, rendered from a version.
fn record_prompts(target: &Target) -> Result<RunId> {
    let client = Client::new(target)?;
    let store = client.store();
    let yaml = include_bytes!("../../prompts/researcher.yaml");
    let file = asmm::prompt::parse_file("researcher.yaml", yaml)?;
    let version = NewVersion {
        digest: file.content.digest()?,
        content: file.content.canonical()?,
        name: file.name,
        description: file.description,
        source: file.source,
    };
    client.wait_for(store.push_prompts(&[version], None, None))?;
    let (run_id, now) = (RunId::derived(&["replayed"]), store.now());
    client.wait_for(store.start_run(&StartRun {
        run_id,
        pipeline: "replayed".to_owned(),
        started_at: now,
        labels: std::collections::BTreeMap::new(),
        parent_run_id: None,
        replay_of: None,
    }))?;
    let sent = |number: usize| {
        let inputs = serde_json::json!({
            "company": format!("Company {number}"),
            "website_text": "It sells batteries for harbours and wind farms. ".repeat(20 + number % 10),
        });
        let version = Some("enrichment/researcher@1".to_owned());
        let prompt = CallPrompt { version, inputs: inputs.as_object().cloned(), ..CallPrompt::default() };
        let call_id = CallId::derived(&["replayed", &number.to_string()]);
        SentPrompt { run_id, call_id, step_id: None, sent_at: now, prompt }
    };
    for part in (0..SENT).map(sent).collect::<Vec<_>>().chunks(1000) {
        client.wait_for(store.record_prompts(part))?;
    }
    Ok(run_id)
}

type Line = (Vec<String>, Vec<(String, String)>);

fn command(args: &[&str], target: Option<&Target>) -> Line {
    let mut environment =
        vec![("TZ".to_owned(), "UTC".to_owned()), ("HOME".to_owned(), "/nonexistent".to_owned())];
    if let Some(target) = target {
        let location = target.location();
        environment.push(("ASMM_DATABASE_URL".to_owned(), location.url));
        environment.push(("ASMM_SCHEMA".to_owned(), location.schema));
    }
    (args.iter().map(|a| (*a).to_owned()).collect(), environment)
}

fn one(name: &str, (args, environment): &Line, runs: usize, results: &mut Results) -> Result<()> {
    let (mut figure, mut reference) = (Samples::default(), Samples::default());
    for run in 0..=runs {
        let mut asmm = Command::new(PROGRAM);
        asmm.args(args).env_clear().envs(environment.iter().cloned());
        let time = timed(&mut asmm)?;
        let nothing = timed(&mut Command::new("true"))?;
        if run > 0 {
            figure.push_time(time);
            reference.push_time(nothing);
        }
    }
    results.add(name, Unit::Milliseconds, figure, Some(reference));
    if Path::new(TIME).exists() {
        let mut memory = Samples::default();
        for _ in 0..3 {
            memory.push(peak_megabytes(args, environment)?);
        }
        results.add("  its peak memory", Unit::Megabytes, memory, None);
    }
    Ok(())
}

fn timed(command: &mut Command) -> Result<std::time::Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let output = command.output()?;
    let time = began.elapsed();
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(time)
}

fn peak_megabytes(args: &[String], environment: &[(String, String)]) -> Result<f64> {
    let output = Command::new(TIME)
        .args(["-f", "%M", PROGRAM])
        .args(args)
        .env_clear()
        .envs(environment.iter().cloned())
        .stdout(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let kilobytes: f64 = text.lines().last().unwrap_or_default().trim().parse()?;
    Ok(kilobytes / 1024.0)
}
