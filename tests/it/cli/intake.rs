//! `asmm import` of what agents, gateways and collectors have written.

use super::repository;
use crate::support::Sandbox;
use std::fmt::Write as _;

fn sandboxes() -> [Sandbox; 2] {
    let at = "2026-11-30T12:00:00Z";
    let postgres = Sandbox::new().with_postgres().with_now(at);
    assert_eq!(postgres.run(&["migrate"]).code, 0);
    [Sandbox::new().with_now(at), postgres]
}

/// Imports twice, and shows what was said, and the spend by model; it must be the same on both databases.
fn imported(args: &[&str]) -> String {
    let shown = sandboxes().map(|sandbox| {
        let mut shown = String::new();
        for _ in 0..2 {
            let output = sandbox.run(&[&["import"], args].concat());
            assert_eq!(output.code, 0, "{}", output.stderr);
            shown.push_str(&output.stderr.replace(env!("CARGO_MANIFEST_DIR"), "[repository]"));
        }
        let spend = ["spend", "model", "--by", "pipeline,agent", "--since", "2026-11-01", "--format", "csv"];
        for line in sandbox.run(&spend).success().lines() {
            let fields: Vec<&str> = line.split(',').collect();
            let _ = writeln!(shown, "{}", fields.join(" "));
        }
        assert_eq!(sandbox.run(&["doctor"]).code, 0);
        shown
    });
    assert_eq!(shown[0], shown[1]);
    shown[0].clone()
}

#[test]
fn codex() {
    insta::assert_snapshot!(imported(&["codex", &repository("tests/data/imports/codex_rollout.jsonl")]), @r"
    2 calls recorded in 1 run, 0 were there already, 2 without a price; 1 files, 11 lines: 2 told of a call again, 0 of a fork's parent
    0 calls recorded in 1 run, 2 were there already; 1 files, 11 lines: 2 told of a call again, 0 of a fork's parent
    pipeline agent provider model llm_calls unpriced_calls llm_tokens_input cache_read_tokens llm_tokens_output reasoning_tokens embedding_tokens input_tokens cache_write_tokens cache_write_long_tokens output_tokens web_searches estimated_cost_usd share
    repo main fake gpt-5.2-codex 2 2 2400 2048 160 32 0 352 0 0 128 0
    ");
}

#[test]
fn litellm() {
    insta::assert_snapshot!(imported(&["litellm", &repository("tests/data/imports/litellm_spendlogs.json")]), @r"
    4 calls recorded in 4 runs, 0 were there already; 4 records, 0 answered from LiteLLM's cache
    0 calls recorded in 4 runs, 4 were there already; 4 records, 0 answered from LiteLLM's cache
    pipeline agent provider model llm_calls unpriced_calls llm_tokens_input cache_read_tokens llm_tokens_output reasoning_tokens embedding_tokens input_tokens cache_write_tokens cache_write_long_tokens output_tokens web_searches estimated_cost_usd share
    litellm  anthropic claude-sonnet-4-5-20250929 1 0 52010 50000 300 0 0 10 1500 500 300 0 0.028155 0.989344
    litellm  openai gpt-4o-mini 1 0 1200 1024 80 16 0 176 0 0 64 0 0.0001512 0.005313
    litellm planner openai gpt-4o-mini 1 0 1200 1024 80 16 0 176 0 0 64 0 0.0001512 0.005313
    litellm  openai text-embedding-3-small 1 0 0 0 0 0 42 0 0 0 0 0 0.00000084 0.000030
    ");
}

#[test]
fn otlp() {
    let files = [
        "genai__agent3",
        "genai__anthropic",
        "openinference__anthropic_stream",
        "genai-gzip__chat",
        "genai__error",
    ];
    let files: Vec<String> =
        files.iter().map(|name| repository(&format!("tests/data/otlp/{name}.traces.1.bin"))).collect();
    let args: Vec<&str> = std::iter::once("otlp").chain(files.iter().map(String::as_str)).collect();
    insta::assert_snapshot!(imported(&args), @r"
    7 calls recorded in 6 runs, 0 were there already, 1 without a price; 10 spans
    0 calls recorded in 6 runs, 0 were there already; 10 spans
    pipeline agent provider model llm_calls unpriced_calls llm_tokens_input cache_read_tokens llm_tokens_output reasoning_tokens embedding_tokens input_tokens cache_write_tokens cache_write_long_tokens output_tokens web_searches estimated_cost_usd share
    demo-agent  anthropic claude-sonnet-4-5-20250929 2 0 104020 100000 600 0 0 20 3000 1000 600 0 0.05631 0.989374
    demo-agent planner openai gpt-4o-mini-2024-07-18 3 0 3600 3072 240 48 0 528 0 0 192 0 0.0004536 0.007970
    demo-agent  openai gpt-4o-mini-2024-07-18 1 0 1200 1024 80 16 0 176 0 0 64 0 0.0001512 0.002657
    demo-agent  openai boom 1 1 0 0 0 0 0 0 0 0 0 0
    ");
    // As JSON, one body a line, it is the same.
    let lines: String = files
        .iter()
        .map(|file| {
            let json = std::fs::read_to_string(file.replace(".bin", ".json")).unwrap();
            let body: serde_json::Value = serde_json::from_str(&json).unwrap();
            format!("{body}\n")
        })
        .collect();
    let [sandbox, _] = sandboxes();
    let file = sandbox.file("collector.jsonl", &format!("{lines}{{\"resourceSpans\":[{{\n7\n"));
    let said = sandbox.run(&["import", "otlp", file.to_str().unwrap()]);
    insta::assert_snapshot!(said.snapshot(), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    skipped: [dir]/collector.jsonl:6: the object is cut off
    7 calls recorded in 6 runs, 0 were there already, 1 without a price, 1 skipped; 10 spans
    ");
    assert_eq!(sandbox.run(&["import", "otlp", file.to_str().unwrap(), "--strict"]).code, 1);
}

#[test]
fn what_is_none_of_it_is_said() {
    let [sandbox, _] = sandboxes();
    for (args, words) in [
        (["codex", "nowhere"], "cannot read `nowhere`"),
        (["litellm", "nowhere"], "`nowhere` cannot be read"),
        (["otlp", "nowhere"], "`nowhere` cannot be read"),
    ] {
        let output = sandbox.run(&[&["import"], &args[..]].concat());
        assert_eq!(output.code, 1, "{args:?}");
        assert!(output.stderr.contains(words), "{args:?}: {}", output.stderr);
    }
}
