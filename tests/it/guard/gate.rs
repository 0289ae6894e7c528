//! Rendering: what may pass, what is replaced, and what is refused.

use super::planted::{card, email, github_token, phone};
use super::{decided, events, render, start, with_reply};
use crate::cli::Both;
use asmm::domain::{Decision, Sanitisation};
use asmm::guard::{Fingerprinter, Guard, Policy};
use asmm::prompt::parse_file;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[test]
fn personal_data_becomes_tokens_that_last_for_the_run() {
    for sandbox in Both::new().each() {
        let run = with_reply(sandbox);
        let text = format!("text=write to {0} or {1}, or {0}", email(1), phone(1));
        let first = render(sandbox, &run, &[text.clone(), format!("who={}", email(2))]);
        assert_eq!(first.code, 0, "{}", first.snapshot());
        assert!(first.stdout.contains("write to [EMAIL_1] or [PHONE_1], or [EMAIL_1]"), "{}", first.stdout);
        assert!(first.stdout.contains("Answer [EMAIL_2]"), "{}", first.stdout);
        // Another process, the same run.
        let again = render(sandbox, &run, &[format!("text={} and {}", email(2), email(3))]).success();
        assert!(again.contains("[EMAIL_2] and [EMAIL_3]"), "{again}");
        // Another run counts from 1.
        let other = render(sandbox, &start(sandbox), &[format!("text={}", email(3))]).success();
        assert!(other.contains("[EMAIL_1]"), "{other}");

        let replay = sandbox.run(&["replay", &run, "--format", "json"]);
        assert_eq!(replay.code, 0, "what was sent is what is replayed: {}", replay.snapshot());
        assert!(replay.stdout.contains("[EMAIL_3]"));
        let states = sandbox.run(&["replay", &run, "--verify"]).success();
        assert!(states.contains("2 of 2 calls verified"), "{states}");
        assert_eq!(
            decided(sandbox),
            [
                "text email redact EMAIL_1",
                "text email redact EMAIL_1",
                "text email redact EMAIL_2",
                "text email redact EMAIL_3",
                "text phone redact PHONE_1",
                "who email redact EMAIL_2",
            ]
        );
        // The same value has the same fingerprint, in every run.
        let events = events(sandbox);
        let of = |token: &str, findings: u64| {
            let event = events.iter().find(|e| e["token"] == token && e["findings"] == findings);
            event.unwrap()["fingerprint"].as_str().unwrap().to_owned()
        };
        let fingerprint = of("EMAIL_1", 2);
        assert_ne!(of("EMAIL_3", 1), fingerprint);
        let same = sandbox
            .run(&["guard", "events", "--fingerprint", &of("EMAIL_3", 1), "--format", "csv"])
            .success();
        assert_eq!(same.lines().count(), 1 + 2, "{same}");
    }
}

#[test]
fn a_secret_refuses_the_render_and_is_told() {
    for sandbox in Both::new().each() {
        let run = with_reply(sandbox);
        let token = github_token(1);
        let inputs = [format!("text=line one\nuse {token} now")];
        let refused = render(sandbox, &run, &inputs);
        assert_eq!((refused.code, refused.stdout.as_str()), (6, ""), "{}", refused.snapshot());
        assert!(
            refused.stderr.contains(
                "error: prompt `support/reply@1`: input `text` holds a secret (`github_token` at line 2, column 5): \
                 a secret may not go into a prompt\nhint: take it out"
            ),
            "{}",
            refused.stderr
        );
        assert!(!refused.stderr.contains(&token));
        // A file of that name is not made, and nothing is recorded as sent.
        let args =
            ["prompts", "render", "support/reply", "--record", "--run-id", &run, "--output", "request.json"];
        let input = format!("text={token}");
        assert_eq!(sandbox.run(&[&args[..], &["--input", &input]].concat()).code, 6);
        assert!(!sandbox.path().join("request.json").exists());
        assert_eq!(sandbox.run(&["replay", &run, "--verify"]).code, 0);
        assert_eq!(decided(sandbox), ["text github_token block -", "text github_token block -"]);

        // A variable may ask for a redaction instead; nothing turns it off.
        let log = render(sandbox, &run, &["text=x".into(), format!("log=got {token}")]);
        assert!(log.stdout.contains("got [SECRET_1]"), "{}", log.snapshot());
        // The template's words name what an input holds.
        sandbox.file(
            "prompts/login.yaml",
            "schema: asmm.prompt/v1\nname: login\nengine: subst/1\nvariables: {word: {type: string}}\n\
             messages: [{role: user, content: 'user: admin, password: {{word}}'}]\n",
        );
        sandbox.run(&["prompts", "push"]).success();
        let named = sandbox.run(&["prompts", "render", "login", "--input", "word=Kestrel44!quiet"]);
        assert!(
            named.code == 6 && named.stderr.contains("input `word` holds a secret"),
            "{}",
            named.snapshot()
        );
        sandbox.run(&["prompts", "render", "login", "--input", "word=<password>"]).success();
    }
}

#[test]
fn a_value_that_joins_over_an_edge_is_found() {
    let sandbox = crate::cli::sqlite();
    sandbox.file(
        "prompts/mail.yaml",
        "schema: asmm.prompt/v1\nname: mail\nengine: subst/1\nvariables: {who: {type: string}, tail: {type: string}}\n\
         messages: [{role: user, content: 'Write to {{who}}@kestrelmail.org; use ghp_{{tail}} there'}]\n",
    );
    sandbox.run(&["prompts", "push"]).success();
    let said = sandbox
        .run(&["prompts", "render", "mail", "--input", "who=jane.doe", "--input", "tail=it"])
        .success();
    assert!(said.contains("Write to [EMAIL_1]@kestrelmail.org"), "{said}");
    let tail = github_token(4)[4..].to_owned();
    let refused =
        sandbox.run(&["prompts", "render", "mail", "--input", "who=x", "--input", &format!("tail={tail}")]);
    assert!(refused.code == 6 && !refused.stderr.contains(&tail), "{}", refused.snapshot());
}

#[test]
fn a_variable_says_what_may_pass() {
    let sandbox = crate::cli::sqlite();
    let run = with_reply(&sandbox);
    let raw = render(&sandbox, &run, &["text=x".into(), format!("cc={}, {}", email(1), phone(1))]);
    assert!(raw.stdout.contains(&format!("copy to {}, [PHONE_1]", email(1))), "{}", raw.snapshot());
    assert!(
        raw.stderr
            .contains("warning: guard: allow_raw email in input `cc`: `allow_raw`: the model writes to them"),
        "{}",
        raw.stderr
    );
    assert_eq!(decided(&sandbox), ["cc email allow_raw -", "cc phone redact PHONE_1"]);
    let refused = sandbox.run(&["prompts", "render", "support/reply", "--no-allow-raw", "--input", "text=x"]);
    assert!(
        refused.code == 6 && refused.stderr.contains("--no-allow-raw refuses that"),
        "{}",
        refused.snapshot()
    );
    for command in ["push", "check"] {
        let refused = sandbox.run(&["prompts", command, "--no-allow-raw"]);
        assert!(refused.code == 6 && refused.stderr.contains("variable `cc`"), "{}", refused.snapshot());
    }
    // A number can hold a card, and no token can take its place.
    let number = format!("number={}", card(1));
    let refused =
        sandbox.run(&["prompts", "render", "support/reply", "--input", "text=x", "--input", &number]);
    assert!(refused.code == 6 && refused.stderr.contains("input `number`"), "{}", refused.snapshot());

    let expiring = super::REPLY.replace("raw_reason:", "expires: 2026-03-14, raw_reason:");
    sandbox.file("prompts/reply.yaml", &expiring);
    let pushed = sandbox.run(&["prompts", "push"]);
    assert!(
        pushed.code == 0 && pushed.stderr.contains("`allow_raw` expired on 2026-03-14"),
        "{}",
        pushed.stderr
    );
    let expired = render(&sandbox, &run, &["text=x".into(), format!("cc={}", email(1))]);
    assert!(expired.stdout.contains("copy to [EMAIL_1]"), "{}", expired.snapshot());
}

#[test]
fn a_wrong_policy_is_named() {
    let sandbox = crate::cli::sqlite();
    let push = |from: &str, to: &str| {
        sandbox.file("prompts/reply.yaml", &super::REPLY.replace(from, to));
        let pushed = sandbox.run(&["prompts", "push"]);
        assert_ne!(pushed.code, 0, "{to}");
        pushed.stderr
    };
    for (from, to, expected) in [
        ("allow_raw: [email]", "allow_raw: ['*']", "`*` is a wildcard"),
        ("allow_raw: [email]", "allow_raw: []", "`allow_raw` names 0 kinds"),
        ("allow_raw: [email]", "allow_raw: [shoe_size]", "knows no kind `shoe_size`"),
        ("allow_raw: [email]", "allow_raw: [github_token]", "is a secret's"),
        (", raw_reason: the model writes to them", "", "has `allow_raw` but no `raw_reason`"),
        ("allow_raw: [email], ", "", "has `raw_reason` but no `allow_raw`"),
        ("allow_raw: [email]", "expires: tomorrow, allow_raw: [email]", "`tomorrow` is no day"),
        ("on_secret: redact", "on_secret: allow", "unknown on_secret `allow`"),
        ("allow_raw: [email]", "sensitivity: secret, allow_raw: [email]", "secret"),
    ] {
        let said = push(from, to);
        assert!(said.contains(expected) && said.contains("reply.yaml"), "{to}: {said}");
    }
    for (policy, expected) in [
        ("guard: {on_secret: allow}", "unknown variant `allow`"),
        ("guard: {kinds: {'*': report}}", "wildcard"),
        ("guard: {kinds: {jwt: report}}", "is a secret's"),
        ("guard: {kinds: {email: allow}}", "unknown variant `allow`"),
        ("guard: {of: f}", "unknown field `of`"),
    ] {
        sandbox.file("asmm.yaml", policy);
        let said = sandbox.run(&["guard", "scan", "asmm.yaml"]);
        assert!(
            said.code == 1 && said.stderr.contains(expected) && said.stderr.contains("asmm.yaml"),
            "{policy}: {}",
            said.stderr
        );
    }
}

#[test]
fn the_project_decides_for_all() {
    let sandbox = crate::cli::sqlite();
    let run = with_reply(&sandbox);
    sandbox.file("asmm.yaml", "guard: {on_secret: redact, kinds: {email: block, phone: report}}");
    let blocked = render(&sandbox, &run, &[format!("text={}", email(1))]);
    assert!(
        blocked.code == 6 && blocked.stderr.contains("the policy blocks this kind"),
        "{}",
        blocked.snapshot()
    );
    let said = render(&sandbox, &run, &[format!("text={} {}", phone(1), github_token(1))]).success();
    assert!(said.contains(&format!("{} [SECRET_1]", phone(1))), "{said}");
}

#[test]
fn no_secret_becomes_a_version() {
    for sandbox in Both::new().each() {
        let token = github_token(7);
        for (place, yaml) in [
            ("a message", format!("messages: [{{role: user, content: 'use {token}'}}]\n")),
            ("a comment", format!("messages: [{{role: user, content: hello}}]\n# {token}\n")),
            ("an escape", format!("messages: [{{role: user, content: \"\\x67{}\"}}]\n", &token[1..])),
            (
                "a default",
                format!(
                    "variables: {{a: {{type: string, default: '{token}'}}}}\nmessages: [{{role: user, content: '{{{{a}}}}'}}]\n"
                ),
            ),
            (
                "params",
                format!(
                    "model: {{id: m, params: {{key: '{token}'}}}}\nmessages: [{{role: user, content: hello}}]\n"
                ),
            ),
        ] {
            sandbox
                .file("prompts/a.yaml", &format!("schema: asmm.prompt/v1\nname: a\nengine: subst/1\n{yaml}"));
            for command in [["prompts", "check"], ["prompts", "push"]] {
                let refused = sandbox.run(&command);
                let said = refused.snapshot();
                assert!(
                    refused.code == 6 && said.contains("the template holds a secret (`github_token`"),
                    "{place}: {said}"
                );
                assert!(said.contains("prompts/a.yaml") && !said.contains(&token), "{place}: {said}");
            }
        }
        assert!(sandbox.run(&["prompts", "list"]).success().contains("no prompts"));
        assert!(
            decided(sandbox).iter().all(|line| line == "- github_token block -"),
            "{:?}",
            decided(sandbox)
        );
        // Personal data in a template is its author's, and said.
        let yaml = format!(
            "schema: asmm.prompt/v1\nname: a\nengine: subst/1\nmessages: [{{role: user, content: 'Write to {}'}}]\n",
            email(1)
        );
        sandbox.file("prompts/a.yaml", &yaml);
        let pushed = sandbox.run(&["prompts", "push"]);
        assert!(
            pushed.code == 0
                && pushed.stderr.contains("prompts/a.yaml:4:44: the template holds personal data (`email`)"),
            "{}",
            pushed.snapshot()
        );
        let rendered = sandbox.run(&["prompts", "render", "a"]);
        assert!(
            rendered.stdout.contains(&email(1))
                && rendered.stderr.contains("allow_raw email in the template"),
            "{}",
            rendered.snapshot()
        );
    }
}

/// Pieces of which inputs are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_u32..4).prop_map(email),
        (0_u32..4).prop_map(phone),
        (0_u32..4).prop_map(card),
        (0_u32..4).prop_map(github_token),
        (0_u32..4).prop_map(super::planted::password),
        Just("password: ".to_owned()),
        Just("[EMAIL_1]".to_owned()),
        "[ -~é\u{200b}]{0,8}",
        "\\PC{0,4}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..6).prop_map(|pieces| pieces.concat().replace('\0', ""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What may be sent shows nothing that the policy forbids, is what its inputs render to, and passes unchanged.
    #[test]
    fn what_passes_is_clean_and_stays(words in text(), first in text(), second in text()) {
        let template = words.replace("{{", "{ {");
        let content = format!("before {{{{a}}}} {template} {{{{b}}}}{{{{a}}}}");
        let file = json!({
            "schema": "asmm.prompt/v1", "name": "p", "engine": "subst/1",
            "variables": {"a": {"type": "string", "on_secret": "redact"}, "b": {"type": "string", "sensitivity": "personal", "on_secret": "redact"}},
            "messages": [{"role": "user", "content": content}],
        });
        let content = parse_file("p.yaml", file.to_string().as_bytes());
        prop_assume!(content.is_ok());
        let content = content.unwrap().content;
        let guard = Guard::new(Policy::default(), Fingerprinter::new([3; 32]));
        let inputs = Map::from_iter([("a".to_owned(), Value::from(first)), ("b".to_owned(), Value::from(second))]);
        let today = "2026-11-20".parse().unwrap();
        let mut tokens = guard.tokens();
        match guard.render(&content, &inputs, &mut tokens, today) {
            Err(refusal) => {
                // Only a secret in the template is refused here, or one that the template makes of its own.
                prop_assert_eq!(refusal.error.exit_code(), 6);
            }
            Ok(guarded) => {
                let sent = &guarded.rendered.messages[0].content;
                for (finding, decision) in guard.scan(sent).unwrap() {
                    let is_templates = template.contains(finding.value(sent)) || guarded.decisions.all().iter().any(|one| one.decision == Decision::AllowRaw);
                    prop_assert!(!decision.hides() || is_templates, "{}", finding.detector);
                }
                prop_assert_eq!(&content.render(&guarded.inputs.0).unwrap(), &guarded.rendered);
                let again = guard.render(&content, &guarded.inputs.0, &mut tokens, today).unwrap();
                prop_assert_eq!(&again.rendered, &guarded.rendered);
                if guarded.inputs.0 == inputs {
                    prop_assert_ne!(guarded.decisions.sanitisation(), Sanitisation::Redacted);
                }
            }
        }
    }
}
