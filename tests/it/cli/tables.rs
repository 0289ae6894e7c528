//! `asmm export csv|parquet`: the ledger as tables for other programs, equal on both databases and in both formats.

use super::{Both, Native, json};
use crate::support::{Rows, Sandbox};
use asmm::domain::Usd;

/// The columns that may be unknown.
fn is_nullable(column: &str) -> bool {
    let kinds = ["_tokens", "web_searches"];
    ["step_id", "latency_ms", "response_id", "estimated_cost_usd"].contains(&column)
        || kinds.iter().any(|kind| column.ends_with(kind))
}

fn csv(both: &Both, args: &[&str]) -> Rows {
    let output = both.run(&[&["export", "csv"], args].concat());
    assert_eq!(output.stderr, "", "{args:?}");
    Rows::from_csv(&output.success(), is_nullable)
}

/// The file that a sandbox writes.
fn parquet(sandbox: &Sandbox, args: &[&str]) -> Rows {
    let output = sandbox.run(&[&["export", "parquet", "--output", "x.parquet", "--force"], args].concat());
    assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (0, "", ""), "{args:?}");
    Rows::from_parquet(&sandbox.path().join("x.parquet"))
}

#[test]
fn calls_are_written_as_they_are() {
    let both = super::spend::both();
    insta::assert_snapshot!(both.run(&["export", "csv", "--days", "4"]).success().replace('\r', ""), @r"
    run_id,call_id,step_id,pipeline,agent,provider,model,operation,service_tier,called_at,input_tokens,cache_read_tokens,cache_write_tokens,cache_write_long_tokens,output_tokens,reasoning_tokens,embedding_tokens,web_searches,latency_ms,outcome,response_id,pricing_state,estimated_cost_usd
    00000000-0000-7000-8000-000000000003,00000000-0000-7000-8000-00000000001e,,digest,,local,llama-x,chat,standard,2026-03-12T08:00:00Z,5000,0,0,0,0,7,0,0,,ok,,unpriced,
    00000000-0000-7000-8000-000000000003,00000000-0000-7000-8000-00000000001f,,digest,,openai,gpt-4o,chat,standard,2026-03-12T08:00:01Z,,,,,,,,,,ok,,unpriced,
    ");
}

#[test]
fn both_formats_say_the_same() {
    let both = super::spend::both();
    let zone = ["--tz", "Asia/Kathmandu"];
    for args in [
        &[][..],
        &["--what", "spend"],
        &["--what", "spend", "--tz", "Asia/Kathmandu", "--pipeline", "enrichment"],
        &["--agent", "writer", "--status", "succeeded"],
        &["--since", "2026-03-10T10:00:01Z", "--until", "2026-03-10T10:20:00Z"],
        &["--model", "nothing-has-this-name"],
    ] {
        let text = csv(&both, args);
        for sandbox in both.each() {
            assert_eq!(parquet(sandbox, args), text, "{args:?}");
        }
    }
    // What the reports sum up is what is written.
    for more in [&[][..], &["--agent", "writer"], &zone] {
        let args = [&["--what", "spend"], more].concat();
        let rows = csv(&both, &args);
        let report = both.json(&[&["spend", "daily", "--days", "30"], more].concat());
        let total: Usd = report["totals"]["estimated_cost_usd"].as_str().unwrap().parse().unwrap();
        assert_eq!(rows.sum("estimated_cost_usd"), total, "{more:?}");
        let days: std::collections::BTreeSet<_> = rows.column("day").into_iter().flatten().collect();
        let of_report = report["rows"].as_array().unwrap();
        let of_report =
            of_report.iter().filter(|row| row["llm_calls"] != 0).map(|row| row["day"].as_str().unwrap());
        assert_eq!(days, of_report.collect(), "{more:?}");
        if !more.contains(&"--tz") {
            assert_eq!(csv(&both, more).sum("estimated_cost_usd"), total, "{more:?}");
        }
    }
}

#[test]
fn names_come_from_anywhere() {
    let both = Both::new();
    let name = |text: &str| serde_json::Value::from(text).to_string();
    let hostile = ["=1+1", "a \"quoted\", one", "two\nlines", "ünï 🐢", " ", "@x", "'", "\u{202e}evil"];
    let mut lines = Native::default();
    for (n, text) in (1..).zip(hostile) {
        let run = super::id(n);
        lines = lines
            .line(&format!(
                r#"{{"type":"run","run_id":"{run}","pipeline":{},"started_at":"2026-03-10T00:00:00Z","labels":{{"team":{}}}}}"#,
                name(text.trim()).replace("\"\"", "\"blank\""), name(text)
            ))
            .line(&format!(
                r#"{{"type":"call","run_id":"{run}","call_id":"{run}","agent":{},"provider":"openai","model":"gpt-4o","called_at":"2026-03-10T00:00:00Z","usage":{{"input":1}}}}"#,
                name(text)
            ));
    }
    for sandbox in both.each() {
        let output = sandbox.run_with_input(&["import", "jsonl"], &lines.0);
        assert_eq!(output.code, 0, "{}", output.snapshot());
    }
    let text = csv(&both, &[]);
    for sandbox in both.each() {
        let exact = parquet(sandbox, &[]);
        assert_eq!(exact.rows.len(), text.rows.len());
        for (exact, text) in exact.column("agent").into_iter().zip(text.column("agent")) {
            let (exact, text) = (exact.unwrap(), text.unwrap());
            let guarded = exact.starts_with(['=', '+', '-', '@', '\t', '\r']);
            assert_eq!(text, if guarded { format!("'{exact}") } else { exact.to_owned() });
        }
    }
}

#[test]
fn an_empty_ledger_is_a_head() {
    let both = Both::new();
    for what in ["calls", "spend"] {
        let text = csv(&both, &["--what", what]);
        assert!(text.rows.is_empty() && text.columns.contains(&"estimated_cost_usd".to_owned()));
        for sandbox in both.each() {
            assert_eq!(parquet(sandbox, &["--what", what]), text);
        }
    }
}

#[test]
fn many_rows_are_written_as_few() {
    let sandbox = super::sqlite();
    let mut lines = Native::default().run(1, "p", "2026-03-10T00:00:00Z");
    let agent = "a".repeat(200);
    for call in 0..4_000 {
        let usage = if call % 3 == 0 { "null".to_owned() } else { format!(r#"{{"input":{call}}}"#) };
        let model = ("openai", "gpt-4o");
        lines = lines.call_of(1, call, &agent, model, "2026-03-10T00:00:00Z", &usage);
    }
    sandbox.run_with_input(&["import", "jsonl"], &lines.0).success();
    let written = parquet(&sandbox, &[]);
    assert_eq!(written, Rows::from_csv(&sandbox.run(&["export", "csv"]).success(), is_nullable));
    assert_eq!(written.rows.len(), 4_000);
    let total = json(sandbox.run(&["spend", "daily", "--format", "json"]));
    assert_eq!(
        written.sum("estimated_cost_usd").to_string(),
        total["totals"]["estimated_cost_usd"].as_str().unwrap()
    );
}

#[test]
fn a_file_is_not_overwritten_unasked() {
    let sandbox = super::sqlite();
    sandbox.run_with_input(&["import", "jsonl"], &super::spend::sample()).success();
    sandbox.file("there.csv", "precious");
    for command in ["csv", "parquet", "focus"] {
        let refused = sandbox.run(&["export", command, "--output", "there.csv"]);
        assert_eq!(refused.code, 2, "{}", refused.snapshot());
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.stderr, @r"
            error: `there.csv` is there already
            hint: name another file, or replace it with --force
            ");
        }
        assert_eq!(std::fs::read_to_string(sandbox.path().join("there.csv")).unwrap(), "precious");
    }
    let said = sandbox.run(&["export", "csv", "--output", "there.csv", "--force"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{}", said.snapshot());
    let written = std::fs::read_to_string(sandbox.path().join("there.csv")).unwrap();
    assert_eq!(written, sandbox.run(&["export", "csv"]).success());
    assert_eq!(sandbox.names(), ["there.csv"]);
    let lost = sandbox.run(&["export", "csv", "--output", "no/such/folder/x"]);
    assert!(lost.code == 1 && lost.stderr.contains("`no/such/folder/x` cannot be"), "{}", lost.stderr);
    for (args, says) in [
        (&["export", "parquet"][..], "--output <FILE>"),
        (&["export", "focus", "--format", "parquet"], "--output <FILE>"),
        (&["export", "csv", "--force"], "--output <FILE>"),
    ] {
        let output = sandbox.run(args);
        assert!(output.code == 2 && output.stderr.contains(says), "{}", output.snapshot());
    }
}

#[test]
fn archived_calls_are_named() {
    let both = super::spend::both();
    for sandbox in both.each() {
        sandbox.run(&["runs", "archive", "--before", "2026-03-12", "--output", "old.gz"]).success();
    }
    let output = both.run(&["export", "csv"]);
    assert!(output.stderr.contains("warning: 5 calls of the range are in archives"), "{}", output.stderr);
    // Their sums are here still.
    let spend = csv(&both, &["--what", "spend"]);
    let report = both.json(&["spend", "daily", "--days", "30"]);
    assert_eq!(
        spend.sum("estimated_cost_usd").to_string(),
        report["totals"]["estimated_cost_usd"].as_str().unwrap()
    );
    insta::assert_snapshot!(both.snapshot(&["export", "focus"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: 5 calls of the range are in archives, and with them what was charged at which price
    hint: bring them back with `asmm import jsonl` of the archives, which `asmm runs show` names, or choose another range
    ");
}
