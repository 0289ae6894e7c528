//! What was sent elsewhere, on its way in: looked at before it is stored, whatever the way.

use super::planted::{email, github_token};
use super::{decided, start, with_reply};
use crate::cli::{Both, spool};
use crate::support::Sandbox;
use asmm::domain::{Digest, canonical_json};
use serde_json::{Value, json};

const CALL: &str = "00000000-0000-7000-8000-0000000000c1";

fn call(sandbox: &Sandbox, run: &str, more: &[&str]) -> crate::support::Output {
    let args = ["runs", "call", "--run-id", run, "--call-id", CALL, "--model", "gpt-4o"];
    sandbox.run(&[&args, more].concat())
}

fn replayed(sandbox: &Sandbox, run: &str) -> Value {
    let output = sandbox.run(&["replay", run, "--format", "json"]);
    assert_eq!(output.code, 5, "{}", output.snapshot());
    serde_json::from_str::<Value>(&output.stdout).unwrap()["calls"][0].clone()
}

#[test]
fn captured_messages_are_redacted_before_they_are_stored() {
    for sandbox in Both::new().each() {
        let run = start(sandbox);
        let token = github_token(1);
        let messages = json!([
            {"role": "user", "content": format!("use {token}, write to {}", email(1))},
            {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"password": "Kestrel44!quiet", "n": 3}}}]},
        ]);
        sandbox.file("m.json", &messages.to_string());
        let said = call(sandbox, &run, &["--prompt-messages", "m.json", "--log-level", "info"]);
        assert_eq!(said.code, 0, "{}", said.snapshot());
        assert!(
            said.stderr.contains("info: guard: redact github_token in the messages as [SECRET_1]"),
            "{}",
            said.stderr
        );
        let call_json = replayed(sandbox, &run);
        assert_eq!(call_json["verdict"], "redacted");
        let text = call_json["messages"].to_string();
        assert!(text.contains("use [SECRET_1], write to [EMAIL_1]") && !text.contains("Kestrel44"), "{text}");
        // The digest is that of what was sent.
        let digest = Digest::of(canonical_json(&messages).unwrap()).to_string();
        assert_eq!(call_json["text_sha256"], digest.as_str());
        // The same once more changes nothing, and is no conflict.
        call(sandbox, &run, &["--prompt-messages", "m.json"]).success();
        assert_eq!(decided(sandbox).len(), 3, "{:?}", decided(sandbox));
        let shown = sandbox.run(&["replay", &run, "--format", "text"]);
        assert!(shown.stdout.contains("redacted after the fact"), "{}", shown.stdout);
        sandbox.run(&["doctor"]).success();
        let coverage = sandbox.run(&["guard", "coverage", "--format", "json"]).success();
        let coverage: Value = serde_json::from_str(&coverage).unwrap();
        let row = &coverage["rows"][0];
        assert_eq!((&row["calls"], &row["exposed"]), (&json!(1), &json!(1)), "{coverage}");
    }
}

#[test]
fn inputs_are_seen_in_their_places() {
    for sandbox in Both::new().each() {
        let run = with_reply(sandbox);
        // `cc` allows an email, `text` does not.
        let inputs = json!({"text": format!("mail {}", email(1)), "cc": email(2)});
        sandbox.file("i.json", &inputs.to_string());
        call(sandbox, &run, &["--prompt-version", "support/reply@1", "--prompt-inputs", "i.json"]).success();
        let sent = replayed(sandbox, &run);
        assert_eq!(sent["inputs"], json!({"text": "mail [EMAIL_1]", "cc": email(2)}));
        let expected = format!("Answer somebody, copy to {}. Number: 3.", email(2));
        assert_eq!(sent["messages"][0]["content"], expected.as_str());
        assert_eq!(decided(sandbox), ["cc email allow_raw -", "text email redact EMAIL_1"]);

        // What does not fit its version is refused, as ever.
        let other = start(sandbox);
        sandbox.file("i.json", &json!({"text": email(1), "no": "such"}).to_string());
        let refused =
            call(sandbox, &other, &["--prompt-version", "support/reply@1", "--prompt-inputs", "i.json"]);
        assert!(refused.code == 1 && refused.stderr.contains("no variable `no`"), "{}", refused.snapshot());

        // A template that takes no inputs, or has defaults for them, is looked at as well.
        let plain = start(sandbox);
        sandbox.file("prompts/hello.yaml", "schema: asmm.prompt/v1\nname: hello\nengine: subst/1\nmessages: [{role: user, content: Hello}]\n");
        sandbox.run(&["prompts", "push"]).success();
        call(sandbox, &plain, &["--prompt-version", "hello@1"]).success();
        let verified = sandbox.run(&["replay", &plain, "--format", "json"]).success();
        assert!(verified.contains("\"sanitisation\":\"clean\""), "{verified}");

        // What nothing is found in is clean, and exact.
        let clean = start(sandbox);
        sandbox.file("i.json", r#"{"text": "nothing here"}"#);
        call(sandbox, &clean, &["--prompt-version", "support/reply@1", "--prompt-inputs", "i.json"])
            .success();
        let verified = sandbox.run(&["replay", &clean, "--format", "json"]).success();
        assert!(verified.contains("\"sanitisation\":\"clean\""), "{verified}");
    }
}

#[test]
fn an_import_passes_the_same_door() {
    for sandbox in Both::new().each() {
        with_reply(sandbox);
        let id = |n: u32| format!("00000000-0000-7000-8000-00000000000{n}");
        let token = github_token(2);
        let line = |n: u32, prompt: Value| json!({"type": "prompt", "run_id": id(1), "call_id": id(n), "sent_at": "2026-03-15T11:00:00Z", "prompt": prompt});
        let lines = [
            json!({"type": "run", "run_id": id(1), "pipeline": "support", "started_at": "2026-03-15T11:00:00Z"}),
            line(2, json!({"messages": [{"role": "user", "content": token}]})),
            line(3, json!({"version": "support/reply@1", "inputs": {"text": email(1)}})),
            // What others have looked at is believed, but for a secret.
            line(
                4,
                json!({"version": "support/reply@1", "inputs": {"text": email(1)}, "sanitisation": "raw_allowed"}),
            ),
            line(
                5,
                json!({"version": "support/reply@1", "inputs": {"text": token}, "sanitisation": "clean"}),
            ),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        for _ in 0..2 {
            let said = sandbox.run_with_input(&["import", "jsonl", "--strict"], &text);
            assert_eq!(said.code, 0, "{}", said.snapshot());
        }
        let exported = sandbox.run(&["export", "jsonl"]).success();
        assert!(!exported.contains(&token));
        let states: Vec<String> = exported
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["type"] == "prompt")
            .map(|line| line["prompt"]["sanitisation"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(states, ["exposed", "exposed", "raw_allowed", "exposed"]);
        assert_eq!(exported.lines().filter(|line| line.contains("\"type\":\"guard\"")).count(), 3);
        // A copy has the same, the guard's decisions included.
        let copy = crate::cli::sqlite();
        let said = copy.run_with_input(&["import", "jsonl", "--strict"], &exported);
        assert_eq!(said.code, 0, "{}", said.snapshot());
        let copied = copy.run(&["export", "jsonl"]).success();
        let differing: Vec<_> = copied.lines().zip(exported.lines()).filter(|(a, b)| a != b).collect();
        assert!(differing.is_empty() && copied.len() == exported.len(), "{differing:#?}");
        // A version with a secret is refused.
        let version = exported.lines().find(|line| line.contains("prompt_version")).unwrap();
        let mut version: Value = serde_json::from_str(version).unwrap();
        version["source"] = json!(format!("# {token}"));
        version["prompt"] = json!("other");
        let refused = copy.run_with_input(&["import", "jsonl", "--strict"], &format!("{version}\n"));
        assert!(
            refused.code == 1 && refused.stderr.contains("prompt `other`: the template holds a secret"),
            "{}",
            refused.snapshot()
        );
    }
}

#[test]
fn a_spool_holds_no_value() {
    let sandbox = crate::cli::sqlite();
    let run = with_reply(&sandbox);
    let away = "postgres://127.0.0.1:9/nowhere";
    let token = github_token(3);
    sandbox
        .file("m.json", &json!([{"role": "user", "content": format!("{token} {}", email(1))}]).to_string());
    let args = [
        "--database",
        away,
        "runs",
        "call",
        "--run-id",
        &run,
        "--call-id",
        CALL,
        "--model",
        "m",
        "--prompt-messages",
        "m.json",
    ];
    let kept = sandbox.run(&args);
    assert!(kept.code == 0 && kept.stderr.contains("waits in"), "{}", kept.snapshot());
    let [(segment, spooled)] = spool::segments(&sandbox).try_into().expect("one segment");
    assert!(
        spooled.contains("[SECRET_1] [EMAIL_1]") && !spooled.contains(&token) && !spooled.contains(&email(1)),
        "{spooled}"
    );
    assert_eq!(spooled.lines().count(), 3, "the call and two decisions: {spooled}");
    // Into the ledger, as if it had been this one that was out of reach.
    spool::move_to(&sandbox, &segment);
    let drained = sandbox.run(&["spool", "drain"]);
    assert_eq!((drained.code, drained.stdout.as_str()), (0, "3 delivered, 0 still waiting, 0 set aside\n"));
    assert_eq!(decided(&sandbox).len(), 2);
    assert_eq!(replayed(&sandbox, &run)["verdict"], "redacted");
}
