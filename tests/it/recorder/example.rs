//! `examples/enrichment.rs`, as a user runs it, and what README.md says of recording from Rust.

use crate::support::{Output, Sandbox};
use asmm::Recorder;
use asmm::domain::{Status, TokenUsage};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The example, built if it is not there: `cargo test` builds it, unless told to build one test alone.
fn example() -> PathBuf {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_asmm")).with_file_name("examples").join("enrichment");
    if !path.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--features", "tower", "--example", "enrichment"])
            .current_dir(ROOT)
            .status()
            .unwrap();
        assert!(built.success(), "the example cannot be built");
    }
    assert!(path.exists(), "{}", path.display());
    path
}

/// Runs the example in a sandbox's home, with the ledger of the sandbox.
fn run_example(sandbox: &Sandbox) -> Output {
    let mut asmm = sandbox.command(&[]);
    let mut command = Command::new(example());
    command.env_clear().current_dir(asmm.get_current_dir().unwrap());
    command.envs(asmm.get_envs().filter_map(|(name, value)| Some((name, value?))));
    asmm.env_clear();
    Output::from_process(&command.output().unwrap(), &[])
}

fn json_of(output: Output) -> Value {
    serde_json::from_str(&output.success()).unwrap()
}

fn push_prompts(sandbox: &Sandbox) {
    let prompts = format!("{ROOT}/prompts");
    sandbox.run(&["prompts", "push", &prompts, "--label", "production"]).success();
}

/// What the README shows of it.
fn block(mark: &str) -> String {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let (_, rest) = readme.split_once(mark).unwrap_or_else(|| panic!("README.md has no {mark}"));
    let (_, rest) = rest.split_once("```").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// The last run: status, calls, those without usage, input and output tokens, cost.
fn last(sandbox: &Sandbox) -> Value {
    let run = json_of(sandbox.run(&["runs", "show", "last", "--format", "json"]));
    let keys = [
        "status",
        "llm_calls",
        "unpriced_calls",
        "llm_tokens_input",
        "llm_tokens_output",
        "estimated_cost_usd",
    ];
    Value::from_iter(keys.map(|key| (key, run[key].clone())))
}

#[test]
fn it_records_what_it_does_on_both_databases() {
    for sandbox in [Sandbox::new(), Sandbox::new().with_postgres()] {
        sandbox.run(&["migrate"]).success();
        let refused = run_example(&sandbox);
        assert_eq!(refused.code, 1, "{}", refused.snapshot());
        assert!(
            refused.stderr.contains("hint: push the prompts once: asmm prompts push"),
            "{}",
            refused.stderr
        );
        push_prompts(&sandbox);
        let said = run_example(&sandbox).success();
        assert_eq!(block("<!-- example: enrichment -->"), said, "README.md shows something else");
        assert_eq!(
            last(&sandbox),
            json!({
                "status": "failed", "llm_calls": 9, "unpriced_calls": 4, "llm_tokens_input": 1157,
                "llm_tokens_output": 300, "estimated_cost_usd": "0.00032475"
            })
        );
        let run = json_of(sandbox.run(&["runs", "show", "last", "--format", "json"]));
        let mut steps: Vec<String> = run["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| {
                format!("{} {} {} {}", s["step"], s["agent"], s["status"], s["llm_calls"]).replace('"', "")
            })
            .collect();
        steps.sort();
        assert_eq!(
            steps,
            [
                "research researcher succeeded 1",
                "research researcher succeeded 1",
                "research researcher succeeded 2",
                "summarise writer failed 3",
                "summarise writer succeeded 1",
                "summarise writer succeeded 1"
            ]
        );
        let verified = sandbox.run(&["replay", "last", "--verify"]).success();
        assert!(verified.contains("9 of 9 calls verified"), "{verified}");
        sandbox.run(&["doctor"]).success();
    }
}

#[test]
fn it_goes_on_without_its_ledger() {
    let sandbox = Sandbox::new();
    push_prompts(&sandbox);
    run_example(&sandbox).success();
    // A folder where the ledger was: nothing can be opened there.
    let file = sandbox.path().join("home/.local/share/asmm/ledger.db");
    let beside = file.with_extension("away");
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (format!("{}{end}", file.display()), format!("{}{end}", beside.display()));
        assert!(std::fs::rename(&from, to).is_ok() || !PathBuf::from(&from).exists(), "{from}");
    }
    std::fs::create_dir(&file).unwrap();
    let said = run_example(&sandbox);
    assert!(
        said.code == 0
            && said.stdout.contains("of 26 events that were recorded 26 wait on disk and 0 are lost"),
        "{}",
        said.snapshot()
    );
    std::fs::remove_dir(&file).unwrap();
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (format!("{}{end}", beside.display()), format!("{}{end}", file.display()));
        assert!(std::fs::rename(&from, to).is_ok() || !PathBuf::from(&from).exists(), "{from}");
    }
    sandbox.run(&["spool", "drain"]).success();
    let runs = json_of(sandbox.run(&["runs", "list", "--format", "json"]));
    let runs = runs["rows"].as_array().unwrap();
    let calls: Vec<&Value> = runs.iter().map(|run| &run["llm_calls"]).collect();
    assert_eq!(calls, [9, 9], "{runs:?}");
    assert_eq!(runs[0]["estimated_cost_usd"], runs[1]["estimated_cost_usd"]);
    assert!(sandbox.run(&["spool", "drain"]).success().contains("nothing waits"));
    sandbox.run(&["doctor"]).success();
}

/// What README.md shows in fifteen lines compiles: it is these lines.
#[allow(dead_code, reason = "it is compiled, and compared")]
async fn readme() -> asmm::Result<()> {
    // README:
    let recorder = Recorder::from_env();
    let run = recorder.run("enrichment").label("team", "data").start();
    let step = run.step("summarise").agent("writer").start();
    let inputs = json!({"company": "Nordlys", "facts": "{\"founded\": 2016}"});
    let prompt = step.prompt("enrichment/summariser@production")?.render(inputs)?;
    let started = Instant::now();
    let answer = ask(prompt.messages()).await;
    step.call("openai", "gpt-4o-mini")
        .prompt(&prompt)
        .reported(TokenUsage::from_openai(&answer["usage"]))
        .latency(started.elapsed())
        .record();
    step.finish(Status::Succeeded);
    run.finish(Status::Succeeded);
    recorder.shutdown(Duration::from_secs(5)).await;
    // :README
    Ok(())
}

#[allow(clippy::unused_async, reason = "a model's API would wait")]
async fn ask(_: &[asmm::prompt::RenderedMessage]) -> Value {
    Value::Null
}

#[test]
fn the_readme_shows_lines_that_compile() {
    let source = include_str!("example.rs");
    let lines = source.split("// README:\n").nth(1).unwrap().split("    // :README").next().unwrap();
    let lines: String =
        lines.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    assert_eq!(block("<!-- example: record -->"), lines);
    assert!(lines.lines().count() <= 15);
}
