//! `asmm prompts`: files to versions, labels, rendering, retention.

use super::{Sandbox, id, json};
use crate::support::psql;
use std::process::Command;

const NOW: &str = "2026-03-10T12:00:00Z";

fn greet(words: &str) -> String {
    format!(
        "schema: asmm.prompt/v1\nname: greet\ndescription: Says hello\nengine: subst/1\n\
         model: {{id: gpt-5-mini, params: {{max_completion_tokens: 50}}}}\n\
         variables:\n  who: {{type: string, max_bytes: 10}}\n  times: {{type: integer, default: 1}}\n\
         messages:\n  - role: user\n    content: '{words} {{{{who}}}}, {{{{times}}}}'\n"
    )
}

/// A ledger on either database, and a folder with one prompt.
fn sandboxes() -> [Sandbox; 2] {
    let postgres = Sandbox::new().with_postgres();
    postgres.run(&["migrate"]).success();
    [super::sqlite(), postgres].map(|sandbox| {
        let sandbox = sandbox.with_now(NOW);
        sandbox.file("prompts/greet.yaml", &greet("Hello"));
        sandbox
    })
}

/// What a command says, with its exit code, when both databases must say the same.
#[track_caller]
fn both(sandboxes: &[Sandbox; 2], args: &[&str]) -> (i32, String, String) {
    let [a, b] = sandboxes.each_ref().map(|sandbox| {
        let output = sandbox.run(args);
        (output.code, output.stdout, output.stderr)
    });
    assert_eq!(a, b, "{args:?}");
    a
}

/// Changes the prompt's file in both.
fn rewrite(all: &[Sandbox; 2], words: &str) {
    for sandbox in all {
        sandbox.file("prompts/greet.yaml", &greet(words));
    }
}

#[test]
fn a_file_becomes_a_version_once() {
    let all = sandboxes();
    let (code, stdout, stderr) = both(&all, &["prompts", "push", "--dry-run"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("greet"), "{stdout}");
    assert!(both(&all, &["prompts", "list"]).1.contains("no prompts"));
    let (_, stdout, stderr) = both(&all, &["prompts", "push", "--label", "production"]);
    assert!(stdout.contains("new") && stderr.contains("1 new version, 0 unchanged"), "{stdout}{stderr}");
    assert!(both(&all, &["prompts", "push"]).2.contains("0 new versions, 1 unchanged"));
    rewrite(&all, "Good day ");
    let (code, stdout, _) = both(&all, &["prompts", "push", "--dry-run"]);
    assert!(
        code == 0 && stdout.contains("-  Hello {{who}}") && stdout.contains("+  Good day  {{who}}"),
        "{stdout}"
    );
    assert!(both(&all, &["prompts", "push"]).2.contains("1 new version, 0 unchanged"));
    let (_, stdout, _) = both(&all, &["prompts", "list"]);
    assert!(stdout.contains("production@1"), "{stdout}");
    let (_, stdout, _) = both(&all, &["prompts", "diff", "greet@1", "greet"]);
    assert!(stdout.contains("-  Hello") && stdout.contains("+  Good day"), "{stdout}");
    for (reference, words) in [("greet", "Good day"), ("greet@1", "Hello"), ("greet@production", "Hello")] {
        let (code, stdout, _) = both(&all, &["prompts", "show", reference]);
        assert!(code == 0 && stdout.contains(words), "{reference}: {stdout}");
    }
    let (_, source, _) = both(&all, &["prompts", "show", "greet@1", "--source"]);
    assert_eq!(source, greet("Hello"));
}

#[test]
fn a_push_reads_every_file_before_it_writes_any() {
    let all = sandboxes();
    for sandbox in &all {
        sandbox.file(
            "prompts/a.yaml",
            "schema: asmm.prompt/v1\nname: a\nengine: subst/1\nmessages: [{role: user, content: '{{b}}'}]\n",
        );
        sandbox.file("prompts/b/c.yml", "name: [");
    }
    let (code, stdout, stderr) = both(&all, &["prompts", "push"]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("prompts/a.yaml:4:") && stderr.contains("variable `b` is used"), "{stderr}");
    assert!(stderr.contains("prompts/b/c.yml:"), "{stderr}");
    assert!(both(&all, &["prompts", "list"]).1.contains("no prompts"));
    for sandbox in &all {
        sandbox.file("prompts/a.yaml", &greet("Hi"));
        std::fs::remove_dir_all(sandbox.path().join("prompts/b")).unwrap();
    }
    let (code, _, stderr) = both(&all, &["prompts", "push"]);
    assert!(
        code == 1 && stderr.contains("prompts/a.yaml") && stderr.contains("prompts/greet.yaml"),
        "{stderr}"
    );
    let (code, _, stderr) = both(&all, &["prompts", "push", "nowhere"]);
    assert!(code == 1 && stderr.contains("`nowhere`") && stderr.contains("hint:"), "{stderr}");
}

#[test]
fn a_check_compares_files_and_registry() {
    let all = sandboxes();
    assert_eq!(both(&all, &["prompts", "check", "--offline"]).0, 0);
    let check = || both(&all, &["prompts", "check"]);
    let (code, stdout, stderr) = check();
    assert!(code == 1 && stderr.contains("asmm prompts push"), "{stdout}{stderr}");
    both(&all, &["prompts", "push"]);
    assert_eq!(check().0, 0);
    rewrite(&all, "Hi");
    let (code, stdout, stderr) = check();
    assert!(code == 1 && stderr.contains("asmm prompts push"), "{stdout}{stderr}");
    let (code, _, stderr) = both(&all, &["--database", "sqlite:nowhere.db", "prompts", "check"]);
    assert!(code == 7 && stderr.contains("--offline"), "{stderr}");
    assert!(!all[0].path().join("nowhere.db").exists(), "to look makes nothing");
}

#[test]
fn a_label_has_a_history() {
    let all = sandboxes();
    let later = |time| ["--now", time];
    let run = |time, args: &[&str]| both(&all, &[&later(time), args].concat());
    run("2026-03-01T10:00:00Z", &["prompts", "push", "--label", "production"]);
    rewrite(&all, "Hi");
    run("2026-03-02T10:00:00Z", &["prompts", "push"]);
    let (code, _, stderr) = run("2026-03-03T10:00:00Z", &["prompts", "label", "greet@2", "production"]);
    assert_eq!(code, 0, "{stderr}");
    let (_, stdout, _) = run("2026-03-04T10:00:00Z", &["prompts", "label", "greet"]);
    assert_eq!(stdout.matches("production").count(), 2, "{stdout}");
    let (_, stdout, _) = run("2026-03-04T10:00:00Z", &["prompts", "show", "greet@production"]);
    assert!(stdout.contains("Hi {{who}}"), "{stdout}");
    let at = ["prompts", "show", "greet@production", "--at", "2026-03-02T12:00:00Z"];
    assert!(run("2026-03-04T10:00:00Z", &at).1.contains("Hello {{who}}"));
    for (label, says) in [("7", "label"), ("latest", "label"), ("a b", "label")] {
        let (code, _, stderr) = run("2026-03-04T10:00:00Z", &["prompts", "label", "greet@2", label]);
        assert!(code != 0 && stderr.contains(says) && stderr.contains("hint:"), "{stderr}");
    }
}

#[test]
fn a_shell_pipeline_is_traceable_end_to_end() {
    let all = sandboxes();
    both(&all, &["prompts", "push", "--label", "production"]);
    let (run_id, step_id, call_id) = (id(1), id(2), id(3));
    both(&all, &["runs", "start", "--pipeline", "p", "--run-id", &run_id]);
    both(
        &all,
        &[
            "runs",
            "step",
            "--run-id",
            &run_id,
            "--step-id",
            &step_id,
            "--step",
            "greet",
            "--agent",
            "host",
            "--prompt-version",
            "greet@production",
        ],
    );
    let render = [
        "prompts",
        "render",
        "greet",
        "--input",
        "who=Ada",
        "--format",
        "openai",
        "--record",
        "--run-id",
        &run_id,
        "--step-id",
        &step_id,
        "--call-id",
        &call_id,
        "--output",
        "request.json",
    ];
    assert_eq!(both(&all, &render), (0, format!("{call_id}\n"), String::new()));
    for sandbox in &all {
        let request: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(sandbox.path().join("request.json")).unwrap())
                .unwrap();
        assert_eq!(request["messages"][0]["content"], "Hello Ada, 1");
        assert_eq!(
            (&request["model"], &request["max_completion_tokens"]),
            (&"gpt-5-mini".into(), &50.into())
        );
        sandbox.file("inputs.json", r#"{"who": "Bob", "times": 2}"#);
        sandbox.file("messages.json", r#"[{"role": "user", "content": "Hello from elsewhere"}]"#);
        sandbox.file("wrong.json", r#"{"who": 7}"#);
    }
    let call = |n: u32, more: &[&str]| {
        let call = id(n);
        both(
            &all,
            &[&["runs", "call", "--run-id", &run_id, "--call-id", &call, "--model", "gpt-5-mini"], more]
                .concat(),
        )
    };
    assert_eq!(call(3, &["--step-id", &step_id, "--input", "9", "--output", "2"]).0, 0);
    assert_eq!(call(4, &["--prompt-version", "greet@1", "--prompt-inputs", "inputs.json"]).0, 0);
    assert_eq!(call(5, &["--prompt-messages", "messages.json"]).0, 0);
    let (code, _, stderr) = call(6, &["--prompt-version", "greet@1", "--prompt-inputs", "wrong.json"]);
    assert!(code == 1 && stderr.contains("`who`"), "{stderr}");
    let (code, _, stderr) = call(4, &["--prompt-version", "greet@1", "--prompt-inputs", "wrong.json"]);
    assert_eq!(code, 1, "{stderr}");
    both(&all, &["runs", "finish", "--run-id", &run_id]);
    let (code, stdout, _) = both(&all, &["replay", "last"]);
    assert_eq!(code, 0, "{stdout}");
    for words in ["Hello Ada, 1", "Hello Bob, 2", "Hello from elsewhere", "greet@1", "3 of 3 calls verified"]
    {
        assert!(stdout.contains(words), "{words}: {stdout}");
    }
    assert!(all[0].run(&["runs", "show", "last"]).stdout.contains("greet@1"));
    for (prompt, found) in [("greet", true), ("greet@1", true), ("greet@production", true)] {
        assert_eq!(
            both(
                &all,
                &["runs", "list", "--prompt", prompt, "--since", "2026-03-01", "--until", "2026-03-20"]
            )
            .1
            .contains("succeeded"),
            found
        );
    }
    let (_, log, _) = both(&all, &["prompts", "log", "greet"]);
    assert!(log.contains("production"), "{log}");
}

/// Runs git in the sandbox's folder, as nobody in particular.
fn git(sandbox: &Sandbox, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(sandbox.path()).env("HOME", sandbox.path().join("home")).args(args);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "n").env(format!("GIT_{role}_EMAIL"), "n@example.com");
    }
    let output = command.output().expect("git is here");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("git writes UTF-8").trim().to_owned()
}

#[test]
fn a_version_names_the_commit_it_was_pushed_from() {
    let sandbox = super::sqlite();
    let push = |words: &str, path: &str| {
        sandbox.file(path, &greet(words));
        sandbox.run(&["prompts", "push", path]).success();
        let log = json(sandbox.run(&["prompts", "log", "greet", "--format", "json"]));
        log["rows"][0]["git_commit"].as_str().map(str::to_owned)
    };
    assert_eq!(push("in no repository", "prompts/greet.yaml"), None);
    git(&sandbox, &["init", "-q"]);
    assert_eq!(push("before the first commit", "prompts/greet.yaml"), None);
    sandbox.file("prompts/greet.yaml", &greet("committed"));
    sandbox.file(".gitignore", "ignored\n");
    git(&sandbox, &["add", "prompts", ".gitignore"]);
    git(&sandbox, &["commit", "-q", "-m", "one"]);
    let head = git(&sandbox, &["rev-parse", "HEAD"]);
    assert_eq!(push("committed", "prompts/greet.yaml"), Some(head.clone()));
    let dirty = Some(format!("{head}-dirty"));
    assert_eq!(push("changed", "prompts/greet.yaml"), dirty);
    assert_eq!(push("untracked", "prompts/other.yaml"), dirty);
    assert_eq!(push("ignored", "ignored/greet.yaml"), dirty);
}

#[test]
fn a_folder_is_searched_once_and_a_dry_run_makes_no_ledger() {
    let sandbox = Sandbox::new().with_now(NOW);
    sandbox.file("prompts/team/greet.yaml", &greet("Hello"));
    sandbox.file("prompts/.hidden.yaml", "name: [");
    sandbox.file("prompts/notes.txt", "name: [");
    std::os::unix::fs::symlink("..", sandbox.path().join("prompts/team/loop")).unwrap();
    std::os::unix::fs::symlink("greet.yaml", sandbox.path().join("prompts/team/same.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", sandbox.path().join("prompts/team/dead.yaml")).unwrap();
    insta::assert_snapshot!(sandbox.snapshot(&["prompts", "push", "--dry-run", "prompts", "prompts/team"]), @r"
    exit: 0
    --- stdout ---
    prompt  version  state  digest               file
    ────────────────────────────────────────────────────────────────────
    greet         1  new    sha256:5d5981bf3854  prompts/team/greet.yaml
    nothing was pushed: this was a dry run
    --- stderr ---
    ");
    insta::assert_snapshot!(sandbox.snapshot(&["prompts", "check"]), @r"
    exit: 0
    --- stdout ---
    prompt  state  latest  digest               file
    ───────────────────────────────────────────────────────────────────
    greet   good        –  sha256:5d5981bf3854  prompts/team/greet.yaml
    --- stderr ---
    1 file is good; not compared with the registry: there is no ledger
    ");
    assert!(!sandbox.path().join("home/.local").exists(), "to look makes nothing");
}

#[test]
fn a_revert_is_history_and_its_digest_names_the_first() {
    let all = sandboxes();
    for words in ["Hello", "Hi", "Hello"] {
        rewrite(&all, words);
        both(&all, &["prompts", "push"]);
    }
    let log = json(all[0].run(&["prompts", "log", "greet", "--format", "json"]));
    let digests: Vec<_> = log["rows"].as_array().unwrap().iter().map(|row| row["digest"].clone()).collect();
    assert!(digests.len() == 3 && digests[0] == digests[2] && digests[0] != digests[1], "{digests:?}");
    let digest = digests[0].as_str().unwrap();
    let reference = format!("greet@{}", &digest[.."sha256:".len() + 8]);
    let (code, stdout, _) = both(&all, &["prompts", "show", &reference, "--format", "json"]);
    assert!(code == 0 && stdout.contains("\"version\":1}"), "{stdout}");
    let (code, stdout, _) = both(&all, &["prompts", "diff", "greet@1", "greet@3"]);
    assert_eq!((code, stdout.as_str()), (0, "`greet@1` and `greet@3` say the same\n"));
}

#[test]
fn a_call_was_sent_one_text() {
    let all = sandboxes();
    both(&all, &["prompts", "push"]);
    let (run_id, call_id) = (id(1), id(2));
    both(&all, &["runs", "start", "--pipeline", "p", "--run-id", &run_id]);
    let render = |who: &str| {
        let who = format!("who={who}");
        let call = ["--record", "--run-id", &run_id, "--call-id", &call_id];
        both(&all, &[&["prompts", "render", "greet", "--input", &who], &call[..]].concat())
    };
    let first = render("Ada");
    assert_eq!(first.0, 0, "{}", first.2);
    assert_eq!(render("Ada"), first, "the same again is no new one");
    let (code, stdout, stderr) = render("Bob");
    assert_eq!((code, stdout.as_str()), (1, ""), "what is not recorded is not printed: {stderr}");
    assert!(stderr.contains(&call_id) && stderr.contains("other contents"), "{stderr}");
}

#[test]
fn a_version_that_somebody_changed_is_not_shown() {
    let [_, sandbox] = sandboxes();
    sandbox.run(&["prompts", "push"]).success();
    let schema = sandbox.env("ASMM_SCHEMA").unwrap();
    psql(
        "alter table prompt_version disable trigger user;
         update prompt_version set content = replace(content, 'Hello', 'Howdy')",
        schema,
    )
    .success();
    for args in [
        &["show", "greet"][..],
        &["show", "greet", "--source"],
        &["render", "greet", "--input", "who=Ada"],
        &["diff", "greet@1", "greet@1"],
    ] {
        let output = sandbox.run(&[&["prompts"], args].concat());
        assert_eq!((output.code, output.stdout.as_str()), (5, ""), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("`greet@1` was changed") && output.stderr.contains("hint:"));
    }
}

#[test]
fn inputs_are_checked() {
    let all = sandboxes();
    both(&all, &["prompts", "push"]);
    for (inputs, says) in [
        (&[][..], "input `who` is missing"),
        (&["--input", "who=Ada", "--input", "whom=Bob"], "`whom`"),
        (&["--input", "who=Ada", "--input", "who=Bob"], "`who`"),
        (&["--input", "who=Ada", "--input", "times=often"], "`times`"),
        (&["--input", "who=Ada Lovelace"], "`who`"),
        (&["--input", "who"], "`who`"),
        (&["--inputs", "nowhere.json"], "`nowhere.json`"),
    ] {
        let (code, stdout, stderr) = both(&all, &[&["prompts", "render", "greet"], inputs].concat());
        assert!(code != 0 && stdout.is_empty() && stderr.contains(says), "{inputs:?}: {stderr}");
        assert!(stderr.contains("hint:"), "{stderr}");
    }
    let (code, _, stderr) = both(&all, &["prompts", "render", "greet", "--input", "who=Ada", "--record"]);
    assert!(code == 2 && stderr.contains("--run-id"), "{stderr}");
}

#[test]
fn retention_drops_inputs_and_says_so() {
    let all = sandboxes();
    both(&all, &["prompts", "push"]);
    let run_id = id(1);
    both(&all, &["runs", "start", "--pipeline", "p", "--run-id", &run_id]);
    both(
        &all,
        &[
            "prompts",
            "render",
            "greet",
            "--input",
            "who=Ada",
            "--record",
            "--run-id",
            &run_id,
            "--call-id",
            &id(2),
        ],
    );
    let purge = |more: &[&str]| {
        both(
            &all,
            &[&["--now", "2026-04-01T12:00:00Z", "prompts", "purge-inputs", "--before", "2026-03-11"], more]
                .concat(),
        )
    };
    let (code, stdout, stderr) = purge(&["--dry-run"]);
    assert!(code == 0 && format!("{stdout}{stderr}").contains('1'), "{stdout}{stderr}");
    assert_eq!(both(&all, &["replay", "last", "--verify"]).0, 0, "a dry run drops nothing");
    assert_eq!(purge(&[]).0, 0);
    let (code, stdout, _) = both(&all, &["replay", "last", "--verify"]);
    assert!(code == 5 && stdout.contains("inputs purged on 2026-04-01"), "{stdout}");
    assert_eq!(both(&all, &["prompts", "purge-inputs", "--before", "2027-01-01"]).0, 2);
}

/// A ledger with prompts, copied to the other database and back.
#[test]
fn an_export_carries_prompts_and_what_was_sent() {
    let [sqlite, postgres] = sandboxes();
    sqlite.run(&["prompts", "push", "--label", "production"]).success();
    sqlite.run(&["runs", "start", "--pipeline", "p", "--run-id", &id(1)]).success();
    for n in [2, 3] {
        sqlite
            .run(&[
                "prompts",
                "render",
                "greet",
                "--input",
                "who=Ada",
                "--record",
                "--run-id",
                &id(1),
                "--call-id",
                &id(n),
            ])
            .success();
        sqlite
            .run(&["runs", "call", "--run-id", &id(1), "--call-id", &id(n), "--model", "gpt-5-mini"])
            .success();
    }
    let lines = sqlite.run(&["export", "jsonl"]).success();
    for _ in 0..2 {
        let output = postgres.run_with_input(&["import", "jsonl", "--strict"], &lines);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    assert_eq!(postgres.run(&["export", "jsonl"]).success(), lines);
    assert_eq!(postgres.run(&["replay", "last", "--verify"]).code, 0);
    let other = super::sqlite().with_now(NOW);
    let bare = sqlite.run(&["export", "jsonl", "--without-inputs"]).success();
    assert!(!bare.contains("Ada"), "{bare}");
    other.run_with_input(&["import", "jsonl", "--strict"], &bare).success();
    let output = other.run(&["replay", "last", "--verify"]);
    assert!(output.code == 5 && output.stdout.contains("inputs purged"), "{}", output.stdout);
    // A version never says something else.
    other.file("prompts/greet.yaml", &greet("Hi"));
    let third = super::sqlite().with_now(NOW);
    third.file("prompts/greet.yaml", &greet("Hi"));
    third.run(&["prompts", "push"]).success();
    let output = third.run_with_input(&["import", "jsonl"], &lines);
    assert!(output.stderr.contains("`greet@1` says something else in this ledger"), "{}", output.stderr);
    assert_eq!(
        json(third.run(&["prompts", "list", "--format", "json"]))["rows"].as_array().unwrap().len(),
        1
    );
}
