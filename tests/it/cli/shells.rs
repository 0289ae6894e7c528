//! Completions and manual pages: what the tools that read them say.

use crate::support::Sandbox;
use std::io::Read;
use std::process::{Command, Stdio};

#[test]
fn every_shell_has_completions() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.run(&["completions", shell]).success();
        for word in ["spend", "daily", "completions", "fail-over"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    let wrong = sandbox.run(&["completions", "tcsh"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("bash, elvish, fish, powershell, zsh"), "{}", wrong.stderr);
}

/// bash reads the script, and completes with it.
#[test]
fn bash_completes() {
    let sandbox = Sandbox::new();
    let script = sandbox.run(&["completions", "bash"]).success();
    sandbox.file("asmm.bash", &script);
    let asks = r#"
        set -eu
        source ./asmm.bash
        complete -p asmm >/dev/null
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _asmm asmm "${@: -1}" "${@: -2:1}"; echo "${COMPREPLY[*]}"; }
        ask asmm spend da
        ask asmm to
        ask asmm top --in
        ask asmm completions z
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", asks])
        .current_dir(sandbox.path())
        .stdin(Stdio::null())
        .output()
        .expect("bash can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(
        (text(&output.stdout).as_str(), text(&output.stderr).as_str()),
        ("daily\ntop\n--interval\nzsh\n", ""),
    );
    assert!(output.status.success());
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(&["man", "--output", "pages/man1"]);
    assert_eq!(output.code, 0, "{}", output.snapshot());
    assert!(output.stderr.ends_with(" pages written to pages/man1\n"), "{}", output.stderr);
    let folder = sandbox.path().join("pages/man1");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    for name in ["asmm.1", "asmm-top.1", "asmm-spend.1", "asmm-spend-daily.1", "asmm-config-show.1"] {
        assert!(names.iter().any(|known| known == name), "{name} is missing: {names:?}");
    }
    for name in &names {
        let page = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(page.contains("\n.TH ") || page.starts_with(".TH "), "{name} has no title");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION"] {
            assert!(page.contains(&format!(".SH {section}\n")), "{name} has no {section}");
        }
        assert!(!page.contains("ASMM_NOW"), "{name} tells of what only tests use");
    }
    let groff = Command::new("groff").arg("--version").stdout(Stdio::null()).status();
    if groff.is_ok_and(|status| status.success()) {
        for name in &names {
            let output = Command::new("groff")
                .args(["-Kutf8", "-Tutf8", "-man", "-ww", "-z"])
                .arg(folder.join(name))
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        }
    }
    let page = sandbox.run(&["man", "spend", "daily"]).success();
    assert_eq!(page, std::fs::read_to_string(folder.join("asmm-spend-daily.1")).unwrap());
    let wrong = sandbox.run(&["man", "spend", "dayly"]);
    insta::assert_snapshot!(wrong.snapshot(), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: there is no command `dayly`
    hint: `asmm help` lists the commands
    ");
}

/// Nobody reads to the end: that is no failure.
#[test]
fn a_closed_pipe_is_quiet() {
    let sandbox = Sandbox::new();
    for args in [&["completions", "zsh"][..], &["man"], &["config", "schema"], &["config", "show"]] {
        let mut child = sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
}
