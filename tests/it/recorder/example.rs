//! `examples/enrichment.rs`, as a user runs it, and what README.md says of recording from Rust.

use super::prompts::Reach;
use crate::support::{Output, Sandbox, TestDb, on_both_databases};
use asmm::Recorder;
use asmm::domain::{Status, TokenUsage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The example, as its source is now. `cargo test` builds it unless it is told to build one test alone, and one that lies
/// there may be of yesterday: so cargo is asked, which does nothing when there is nothing to do.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_BIN_EXE_asmm")).parent().unwrap();
        let profile =
            folder.file_name().and_then(|name| name.to_str()).map(|name| name.replace("debug", "dev"));
        // The features of this program, so that nothing is compiled twice.
        let features = if cfg!(feature = "tower") { "tower" } else { "" };
        let mut cargo = Command::new(env!("CARGO"));
        // What it says of this package to its tests would look to build scripts like a change.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .args(["build", "--quiet", "--offline", "--example", "enrichment", "--features", features])
            .arg("--profile")
            .arg(profile.unwrap())
            .arg("--target-dir")
            .arg(folder.parent().unwrap())
            .current_dir(ROOT)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let path = folder.join("examples").join("enrichment");
        assert!(path.exists(), "{}", path.display());
        path
    })
}

/// Runs the example in a sandbox's home, with the ledger of the sandbox.
fn run_example(sandbox: &Sandbox) -> Output {
    let of_asmm = sandbox.command(&[]);
    let mut command = Command::new(example());
    command.env_clear().current_dir(sandbox.path());
    command.envs(of_asmm.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Output::from_process(&command.output().unwrap(), &[])
}

/// A home with an empty ledger in it.
fn prepared(url: &str, db: &TestDb) -> Sandbox {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", url).with_env("ASMM_SCHEMA", &db.schema);
    sandbox.run(&["migrate"]).success();
    sandbox
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

/// That the last run is what the example always does, to the token and the picodollar.
fn check_last(sandbox: &Sandbox) {
    let run = sandbox.run(&["runs", "show", "last", "--format", "json"]).success();
    let run: Value = serde_json::from_str(&run).unwrap();
    let keys = [
        "status",
        "llm_calls",
        "unpriced_calls",
        "llm_tokens_input",
        "llm_tokens_output",
        "estimated_cost_usd",
    ];
    assert_eq!(
        Value::from_iter(keys.map(|key| (key, run[key].clone()))),
        json!({
            "status": "failed", "llm_calls": 9, "unpriced_calls": 4, "llm_tokens_input": 1293,
            "llm_tokens_output": 300, "estimated_cost_usd": "0.00034515"
        })
    );

    let steps = run["steps"].as_array().unwrap().iter();
    let words = ["step", "agent", "prompt_version", "status"];
    let mut steps: Vec<String> = steps
        .map(|step| {
            let words = words.map(|key| step[key].as_str().unwrap_or("none"));
            format!("{}: {} calls, {} failed", words.join(" "), step["llm_calls"], step["unpriced_calls"])
        })
        .collect();
    // They are worked on at once.
    steps.sort();
    assert_eq!(
        steps,
        [
            "research researcher enrichment/researcher@1 failed: 1 calls, 0 failed",
            "research researcher enrichment/researcher@1 succeeded: 1 calls, 0 failed",
            "research researcher enrichment/researcher@1 succeeded: 2 calls, 1 failed",
            "summarise writer enrichment/summariser@1 failed: 3 calls, 3 failed",
            "summarise writer enrichment/summariser@1 succeeded: 1 calls, 0 failed",
            "summarise writer enrichment/summariser@1 succeeded: 1 calls, 0 failed",
        ]
    );

    let export = sandbox.run(&["export", "jsonl"]).success();
    let lines = export.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls: Vec<Value> =
        lines.filter(|line| line["type"] == "call" && line["run_id"] == run["run_id"]).collect();
    let (failed, answered): (Vec<&Value>, Vec<&Value>) =
        calls.iter().partition(|call| call["outcome"] == "error");
    assert_eq!((failed.len(), answered.len()), (4, 5));
    assert!(failed.iter().all(|call| call["usage"].is_null() && call["response_id"].is_null()), "{failed:?}");
    let has_id =
        |call: &&Value| call["response_id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-stub-"));
    assert!(answered.iter().all(has_id), "{answered:?}");
    assert!(calls.iter().all(|call| call["latency_ms"].is_u64()), "{calls:?}");
    let cached: u64 = answered.iter().filter_map(|call| call["usage"]["cache_read"].as_u64()).sum();
    assert_eq!(cached, 3 * 128, "each of the three findings has its instructions from the cache");

    let verified = sandbox.run(&["replay", "last", "--verify"]).success();
    assert!(verified.contains("9 of 9 calls verified"), "{verified}");
    sandbox.run(&["doctor"]).success();
}

on_both_databases! {
    async fn it_records_what_it_does(db: TestDb) {
        let sandbox = prepared(&db.url, &db);
        let refused = run_example(&sandbox);
        let hint = "hint: push the prompts once: asmm prompts push prompts --label production";
        assert!(refused.code == 1 && refused.stderr.contains(hint), "{}", refused.snapshot());
        push_prompts(&sandbox);
        let said = run_example(&sandbox);
        assert_eq!(block("<!-- example: enrichment -->"), said.stdout, "README.md shows something else");
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "there is nothing to warn of");
        check_last(&sandbox);
    }

    async fn it_goes_on_without_its_ledger(db: TestDb) {
        let reach = Reach::new(&db.url);
        let sandbox = prepared(&reach.url, &db);
        push_prompts(&sandbox);
        run_example(&sandbox).success();

        let sandbox = sandbox.with_now("2026-03-15T13:00:00Z");
        reach.cut();
        let said = run_example(&sandbox);
        let all = "of 26 events that were recorded 26 wait on disk and 0 are lost";
        assert!(said.code == 0 && said.stdout.contains(all), "{}", said.snapshot());
        assert!(said.stdout.ends_with("look at it: asmm spool drain, when the ledger is back; then asmm runs show last\n"));
        let warns = |prompt: &str| said.stderr.contains(&format!("`{prompt}@production` is taken for `{prompt}@1`"));
        assert!(warns("enrichment/researcher"), "{}", said.snapshot());

        reach.mend();
        sandbox.run(&["spool", "drain"]).success();
        check_last(&sandbox);
        assert!(sandbox.run(&["spool", "drain"]).success().contains("nothing waits"));
        let runs = sandbox.run(&["runs", "list", "--format", "json"]).success();
        let runs: Value = serde_json::from_str(&runs).unwrap();
        let calls: Vec<&Value> = runs["rows"].as_array().unwrap().iter().map(|run| &run["llm_calls"]).collect();
        assert_eq!(calls, [9, 9], "{runs}");
    }
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
