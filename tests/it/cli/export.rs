//! A ledger goes from SQLite to Postgres and back, and is the same one.

use super::{Native, id, repository};
use crate::support::{Output, Sandbox};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

const PRICES: &str = "schema: asmm.prices/v1
prices:
  - provider: openai
    model: gpt-4o
    effective_from: 2026-03-10
    usd_per_million: {input: \"2.00\", output: \"8.00\", cache_read: 0}
    tiers: [{over_input_tokens: 200000, usd_per_million: {input: 4, output: 12}}]
    source: contract 2026-17
  - provider: vllm
    model: our-llama
    usd_per_million: {input: 0.1, output: 0.25}
    usd_per_thousand: {request: 1}
    aliases: [llama-x]
";

/// Everything that a ledger can hold.
fn fill(sandbox: &Sandbox) {
    sandbox.file("prices.yaml", PRICES);
    let all = r#""input":100,"cache_read":5,"cache_write":6,"cache_write_long":7,"output":8,"reasoning":9,"embedding":10,"web_searches":2"#;
    let at = |minute: u32| format!("2026-03-10T10:{minute:02}:00.123456Z");
    let lines = Native::default()
        .line(&format!(
            r#"{{"type":"run","run_id":"{}","pipeline":"enrich \"quoted\" ünïcode","started_at":"2026-03-10T10:00:00.5Z","labels":{{"a":"1","z":"=x"}}}}"#,
            id(1)
        ))
        .line(&format!(
            r#"{{"type":"run","run_id":"{}","pipeline":"child","started_at":"2026-03-10T10:00:00.500001Z","parent_run_id":"{}","replay_of":"{}"}}"#,
            id(2), id(1), id(1)
        ))
        .line(&format!(
            r#"{{"type":"step","run_id":"{}","step_id":"{}","step":"research","agent":"researcher","attempt":2,"started_at":"{}","status":"failed","completed_at":"{}"}}"#,
            id(1), id(50), at(1), at(2)
        ))
        .line(&format!(r#"{{"type":"step","run_id":"{}","step_id":"{}","step":"write"}}"#, id(1), id(51)))
        .line(&format!(
            r#"{{"type":"call","run_id":"{}","call_id":"{}","step_id":"{}","provider":"openai","model":"gpt-4o","called_at":"{}","latency_ms":12,"outcome":"error","response_id":"r-1","usage":null}}"#,
            id(1), id(60), id(50), at(3)
        ))
        .call_of(1, 61, "a", ("anthropic", "claude-sonnet-4-5-20250929"), &at(4), &format!("{{{all}}}"))
        .call_of(1, 62, "a", ("openai", "gpt-4o"), "2026-03-09T10:00:00Z", r#"{"input":300000,"output":10}"#)
        .call_of(1, 63, "a", ("openai", "gpt-4o"), &at(5), r#"{"input":300000,"output":10}"#)
        .call_of(1, 64, "", ("vllm", "llama-x"), &at(6), r#"{"input":10}"#)
        .call_of(1, 65, "", ("", "no-such-model"), &at(7), r#"{"input":10}"#)
        .line(&format!(
            r#"{{"type":"call","run_id":"{}","call_id":"{}","agent":"b","provider":"openai","model":"gpt-4o","service_tier":"batch","operation":"chat","called_at":"{}","usage":{{"input":1}}}}"#,
            id(2), id(61), at(8)
        ))
        .finish(1, "succeeded", &at(30))
        .run(3, "open", "2026-03-12T00:00:00Z")
        .run(4, "gone", "2026-03-12T00:00:00Z")
        .finish(4, "abandoned", "2026-03-12T00:00:00Z");
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &lines.0).success();
    let late = Native::default().call(1, 70, "late", &at(50), 123);
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &late.0).success();
    sandbox.run(&["prices", "push", "prices.yaml"]).success();
    sandbox.run(&["prices", "alias", "no-such-model", "openai/gpt-4o-mini"]).success();
    sandbox.run(&["import", "claude-code", &repository("tests/data/imports/claude-code")]).success();
    // After the push, so that calls of one model have prices of two dates.
    let after = Native::default().call(3, 71, "late", "2026-03-12T00:00:01Z", 1000);
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &after.0).success();
    // What was recorded before keeps the old price until it is priced again; an export has no room for that.
    sandbox.run(&["prices", "reprice", "--reason", "contract", "--days", "90"]).success();
}

#[test]
fn a_ledger_survives_the_journey() {
    let (first, second, third) = (super::sqlite(), Sandbox::new().with_postgres(), super::sqlite());
    second.run(&["migrate"]).success();
    fill(&first);
    let export = |sandbox: &Sandbox| sandbox.run(&["export", "jsonl"]).success();
    let exported = export(&first);
    assert_eq!(exported, export(&first), "an export is the same every time");
    let import = |sandbox: &Sandbox, text: &str| {
        let output = sandbox.run_with_input(&["import", "jsonl", "--strict"], text);
        assert_eq!(output.code, 0, "{}", output.snapshot());
        output.stderr
    };
    import(&second, &exported);
    assert_eq!(export(&second), exported);
    import(&third, &export(&second));
    assert_eq!(export(&third), exported);
    let reports: [&[&str]; 8] = [
        &["spend", "daily", "--by", "agent,model,pipeline", "--days", "90"],
        &["spend", "model", "--status", "succeeded", "--days", "90"],
        &["runs", "top", "--days", "90"],
        &["runs", "list", "--days", "90", "--status", "abandoned"],
        &["runs", "explain", "00000001", "--limit", "100"],
        &["prices", "missing", "--days", "90"],
        &["prices", "list", "--origin", "user"],
        &["prices", "alias"],
    ];
    let said = |sandbox: &Sandbox| {
        reports.map(|args| sandbox.run(&[args, &["--format", "json"]].concat()).success()).join("\n")
    };
    let timeless = |text: String| {
        let mut report: Vec<String> =
            text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        for line in &mut report {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("costed_at");
            // Rows of the catalogue are numbered by each ledger.
            for row in value["rows"].as_array_mut().into_iter().flatten() {
                row.as_object_mut().unwrap().remove("price_id");
            }
            *line = value.to_string();
        }
        report
    };
    let before = timeless(said(&first));
    assert_eq!(timeless(said(&second)), before);
    assert_eq!(timeless(said(&third)), before);
    // Importing again changes nothing.
    for sandbox in [&first, &second, &third] {
        let said = import(sandbox, &exported);
        assert!(said.starts_with("0 calls recorded") && !said.contains("conflict"), "{said}");
        assert_eq!(export(sandbox), exported);
        assert_eq!(timeless(self::reports(sandbox, &reports)), before);
    }
}

fn reports(sandbox: &Sandbox, reports: &[&[&str]]) -> String {
    let said = |args: &&[&str]| sandbox.run(&[*args, &["--format", "json"]].concat()).success();
    reports.iter().map(said).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_appears_when_it_is_whole() {
    let sandbox = super::sqlite();
    sandbox.run_with_input(&["import", "jsonl"], &super::spend::sample()).success();
    let whole = sandbox.run(&["export", "jsonl"]).success();
    let silent = sandbox.run(&["export", "jsonl", "--output", "ledger.jsonl"]);
    assert_eq!((silent.code, silent.stdout.as_str(), silent.stderr.as_str()), (0, "", ""));
    let file = sandbox.path().join("ledger.jsonl");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    // A file that is there is replaced, or stays as it was.
    std::fs::write(&file, "old").unwrap();
    sandbox.run(&["export", "jsonl", "--output", "ledger.jsonl"]).success();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
    std::fs::create_dir(sandbox.path().join("folder")).unwrap();
    assert_eq!(sandbox.run(&["export", "jsonl", "--output", "folder"]).code, 2);
    assert_eq!(sandbox.names(), ["folder", "ledger.jsonl"]);
    insta::assert_snapshot!(sandbox.run(&["export", "jsonl", "--output", "no/such/folder/x"]).snapshot(), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `no/such/folder/x` cannot be written: No such file or directory (os error 2)
    ");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let sandbox = super::sqlite();
    let mut lines = Native::default().run(1, "p", "2026-03-10T00:00:00Z");
    for call in 0..3000 {
        lines = lines.call(1, call, &format!("agent-{call}"), "2026-03-10T00:00:00Z", 1);
    }
    sandbox.run_with_input(&["import", "jsonl"], &lines.0).success();
    let commands: [&[&str]; 8] = [
        &["export", "jsonl"],
        &["export", "csv"],
        &["export", "csv", "--what", "spend"],
        &["export", "focus"],
        &["spend", "agent", "--format", "csv"],
        &["spend", "agent", "--format", "json"],
        &["spend", "agent"],
        &["prices", "list", "--format", "markdown"],
    ];
    for args in commands {
        for lines_read in [0, 1] {
            let mut child =
                sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
            if lines_read == 1 {
                stdout.read_line(&mut String::new()).unwrap();
            }
            drop(stdout);
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            let output =
                std::process::Output { status: child.wait().unwrap(), stdout: vec![], stderr: stderr.into() };
            let output = Output::from_process(&output, &[]);
            assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{args:?}, {lines_read} lines read");
        }
    }
}
