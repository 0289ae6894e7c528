//! `asmm guard scan`, for CI and by hand.

use super::planted::{email, github_token};
use crate::support::{Output, Sandbox};
use serde_json::{Value, json};
use std::process::Stdio;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("src/a.py", &format!("# é\nTOKEN = \"{}\"\n", github_token(1)));
    sandbox.file("src/b c.txt", &format!("write to {}\n", email(1)));
    sandbox.file("src/.git/config", &github_token(2));
    sandbox.file("src/clean.md", "Nothing here: <YOUR_API_KEY>, 1.2.3.4, changeme\n");
    std::fs::write(sandbox.path().join("src/image.png"), [0, 1, 2]).unwrap();
    sandbox
}

fn check(output: &Output) {
    let all = output.snapshot();
    assert!(!all.contains(&github_token(1)) && !all.contains(&email(1)), "{all}");
}

#[test]
fn findings_are_placed_and_not_shown() {
    let sandbox = sandbox();
    let output = sandbox.run(&["guard", "scan", "src"]);
    check(&output);
    insta::assert_snapshot!(output.snapshot(), @r"
    exit: 6
    --- stdout ---
    src/a.py:2:10: github_token (proven, critical): GitHub token, by its checksum
    src/b c.txt:1:10: email (proven, medium): Email address
    --- stderr ---
    2 findings in 3 files, 1 binary file passed over
    ");
    assert_eq!(sandbox.run(&["guard", "scan", "src/clean.md"]).code, 0);
    assert_eq!(sandbox.run(&["guard", "scan", "--group", "secret", "src/b c.txt"]).code, 0);
    assert_eq!(sandbox.run(&["guard", "scan", "--ignore", "email", "src/b c.txt"]).code, 0);
    // stdin is the default.
    let piped = sandbox.run_with_input(&["guard", "scan"], &format!("x\n{}", email(1)));
    assert!(piped.code == 6 && piped.stdout.starts_with("stdin:2:1: email"), "{}", piped.snapshot());
}

#[test]
fn json_has_byte_offsets() {
    let sandbox = sandbox();
    let output = sandbox.run(&["guard", "scan", "--format", "json", "src/a.py"]);
    check(&output);
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let expected = json!({"findings": [{
        "file": "src/a.py", "detector": "github_token", "group": "secret", "tier": "proven", "severity": "critical",
        "start": 14, "end": 54, "line": 2, "column": 10,
    }]});
    assert_eq!(found, expected);
}

#[test]
fn lines_are_texts_of_their_own() {
    let sandbox = Sandbox::new();
    let lines = format!(
        "{}\n\n{}\n{}\n",
        json!({"id": "a", "text": format!("é {}", email(1)), "other": 1}),
        json!({"id": 7, "text": "nothing"}),
        json!({"text": "no id"}),
    );
    let output = sandbox.run_with_input(&["guard", "scan", "--jsonl"], &lines);
    let answers: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.code, 6);
    assert_eq!(
        answers,
        [
            json!({"id": "a", "findings": [{"detector": "email", "group": "pii", "tier": "proven", "severity": "medium",
                   "start": 3, "end": 3 + email(1).len(), "line": 1, "column": 3}]}),
            json!({"id": 7, "findings": []}),
            json!({"id": null, "findings": []}),
        ]
    );
    // A wrong line is named, without what it says; the others are looked at.
    let wrong = sandbox.run_with_input(
        &["guard", "scan", "--jsonl"],
        &format!("{}\n{}", github_token(1), json!({"text": "x"})),
    );
    assert!(wrong.code == 1 && wrong.stderr.contains("`stdin`:1: column 1"), "{}", wrong.snapshot());
    assert!(
        !wrong.stderr.contains(&github_token(1)[..8]) && wrong.stdout.lines().count() == 1,
        "{}",
        wrong.snapshot()
    );
}

#[test]
fn sarif_is_what_code_hosts_take() {
    let sandbox = sandbox();
    let output = sandbox.run(&["guard", "scan", "--format", "sarif", "src"]);
    check(&output);
    let log: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules: Vec<&Value> =
        run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
    assert_eq!(rules, ["email", "github_token"]);
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let place = &result["locations"][0]["physicalLocation"];
        let region = &place["region"];
        for key in ["startLine", "startColumn", "endLine", "endColumn"] {
            assert!(region[key].as_u64().unwrap() >= 1, "{result}");
        }
        assert_eq!(rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()], &result["ruleId"]);
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].is_string());
    }
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["endColumn"], 50);
    assert_eq!(results[1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "src/b%20c.txt");
    // Nothing found is a log as well.
    let clean = sandbox.run(&["guard", "scan", "--format", "sarif", "src/clean.md"]).success();
    assert_eq!(serde_json::from_str::<Value>(&clean).unwrap()["runs"][0]["results"], json!([]));
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_looked_at() {
    let sandbox = sandbox();
    std::fs::write(sandbox.path().join("latin.txt"), [b"caf\xe9 ".as_slice(), email(1).as_bytes()].concat())
        .unwrap();
    std::fs::write(sandbox.path().join("huge.txt"), " ".repeat(4 * 1024 * 1024 + 1)).unwrap();
    let output = sandbox.run(&["guard", "scan", "missing", "huge.txt", "latin.txt"]);
    assert_eq!(output.code, 6);
    assert!(output.stdout.starts_with("latin.txt:1:6: email"), "{}", output.snapshot());
    assert!(output.stderr.contains("error: `missing` cannot be read"), "{}", output.stderr);
    assert!(output.stderr.contains("error: `huge.txt` is longer than 4194304 bytes"), "{}", output.stderr);
    assert_eq!(sandbox.run(&["guard", "scan", "missing"]).code, 1);
    for (args, expected) in [
        (&["guard", "scan", "--ignore", "nothing"][..], "`nothing` is no detector"),
        (&["guard", "scan", "--group", "all"], "invalid value 'all'"),
        (&["guard", "scan", "--jsonl", "--format", "json"], "cannot be used with"),
    ] {
        let output = sandbox.run(args);
        assert!(output.code == 2 && output.stderr.contains(expected), "{}", output.snapshot());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let sandbox = Sandbox::new();
    sandbox.file("many.txt", &(0..5000).map(|n| format!("{}\n", email(n))).collect::<String>());
    for args in [&["guard", "scan", "many.txt"][..], &["guard", "scan", "--format", "json", "many.txt"]] {
        let mut child = sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(6));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("error"), "{output:?}");
    }
}

#[test]
fn the_rules_can_be_listed() {
    let sandbox = Sandbox::new();
    let all: Value =
        serde_json::from_str(&sandbox.run(&["guard", "rules", "--format", "json"]).success()).unwrap();
    let rows = all["rows"].as_array().unwrap();
    let of = |group: &str| rows.iter().filter(|row| row["group"] == group).count();
    assert!(of("secret") >= 60 && of("pii") + of("pii_id") >= 12, "{} {}", of("secret"), of("pii"));
    let ids = sandbox.run(&["guard", "rules", "--group", "pii_id", "--format", "csv"]).success();
    assert_eq!(ids.lines().count(), of("pii_id") + 1);
}
