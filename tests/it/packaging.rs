//! What is installed: the crate, the container, the service and the workflows name what is there.

use crate::support::{Sandbox, asmm};
use serde_yaml::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `key = "value"` of Cargo.toml's package.
fn of_the_package(key: &str) -> String {
    let text = read("Cargo.toml");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.and_then(|rest| rest.strip_suffix('"')).unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// `cargo install` builds from what is packed: every file that the program embeds has to be in it.
#[test]
fn the_package_is_whole() {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--offline", "--locked", "--allow-dirty"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let packed: BTreeSet<&str> = text.lines().collect();
    for folder in ["migrations/postgres", "migrations/sqlite", "queries", "prompts", "prices", "src/settings"]
    {
        for file in std::fs::read_dir(repository().join(folder)).unwrap() {
            let name = format!("{folder}/{}", file.unwrap().file_name().into_string().unwrap());
            assert!(packed.contains(name.as_str()), "{name} is not packed");
        }
    }
    for name in ["Cargo.lock", "build.rs", "README.md", "RUNBOOK.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(packed.contains(name), "{name} is not packed");
    }
    let excess: Vec<_> = packed
        .iter()
        .filter(|name| ["target/", ".github/", ".ci/", "docs/"].iter().any(|start| name.starts_with(start)))
        .collect();
    assert!(excess.is_empty(), "packed for nobody: {excess:?}");
}

#[test]
fn the_workflows_name_what_is_there() {
    for name in ["ci", "release"] {
        let text = read(&format!(".github/workflows/{name}.yml"));
        let workflow: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(workflow["jobs"].as_mapping().is_some_and(|jobs| !jobs.is_empty()), "{name} has no jobs");
        assert_eq!(workflow["permissions"]["contents"], Value::from("read"), "{name}: no more than it needs");
        for (job, body) in workflow["jobs"].as_mapping().unwrap() {
            for step in body["steps"].as_sequence().unwrap() {
                let Some(action) = step["uses"].as_str() else {
                    assert!(step["run"].is_string(), "{name}, {job:?}: a step does nothing");
                    continue;
                };
                let version = action.split_once("@v").map(|(_, version)| version);
                assert!(version.is_some_and(|v| v.parse::<u32>().is_ok()), "{action}: no major version");
            }
        }
    }
    let release = read(".github/workflows/release.yml");
    for path in [
        "README.md",
        "RUNBOOK.md",
        "LICENSE",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "packaging/asmm-serve.service",
    ] {
        assert!(release.contains(path) && repository().join(path).exists(), "{path}");
    }
    // What it asks of the program.
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(release.contains(shell));
        sandbox.run(&["completions", shell]).success();
    }
    sandbox.run(&["man", "--output", "man"]).success();
    // The lines that the workflows read with sed.
    assert!(
        read("Cargo.toml").contains(&format!("\nrust-version = \"{}\"\n", of_the_package("rust-version")))
    );
    assert!(read(".ci/run").contains("tests/run") && read(".github/workflows/ci.yml").contains(".ci/run"));
}

#[test]
fn the_container_builds_from_what_is_there() {
    let text = read("Dockerfile");
    let instructions: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let rust = instructions.iter().find_map(|line| line.strip_prefix("FROM rust:")).expect("a Rust image");
    let version: Vec<u32> = rust.split('-').next().unwrap().split('.').map(|n| n.parse().unwrap()).collect();
    let needed: Vec<u32> = of_the_package("rust-version").split('.').map(|n| n.parse().unwrap()).collect();
    assert!(version >= needed, "the image has Rust {version:?}, Cargo.toml needs {needed:?}");
    assert!(text.contains("cargo build --release --locked"));
    for license in ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"] {
        assert!(repository().join(license).exists());
    }
    let user = instructions.iter().position(|line| *line == "USER asmm").expect("not root");
    let entry = instructions.iter().position(|line| line.starts_with("ENTRYPOINT")).expect("an entry point");
    assert!(user < entry);
    // What reaches the build is all that the crate is built from.
    let ignore = read(".dockerignore");
    let kept: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for name in &kept {
        assert!(name.contains('*') || repository().join(name).exists(), "{name}");
    }
    for folder in ["benches", "build.rs", "examples", "migrations", "prices", "prompts", "queries", "src"] {
        assert!(kept.contains(&folder), "{folder} does not reach the build");
    }
}

/// The container's health check, word for word, against a receiver.
#[test]
fn the_health_check_tells_a_healthy_receiver() {
    let text = read("Dockerfile");
    let command =
        text.lines().find_map(|line| line.trim().strip_prefix("CMD [\"bash\"")).expect("a health check");
    let words: Vec<String> = serde_json::from_str(&format!("[\"bash\"{command}")).expect("the form for exec");
    let check = |listen: &str| {
        let mut bash = Command::new(&words[0]);
        bash.args(&words[1..]).env("ASMM_SERVE_LISTEN", listen).stderr(Stdio::null());
        bash.status().unwrap().success()
    };
    let sandbox = Sandbox::new();
    sandbox.run(&["migrate"]).success();
    let mut server = asmm(sandbox.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).expect(&line).to_owned();
    assert!(check(&address), "{address}");
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(!check(&address), "nobody listens on {address} any more");
}

#[test]
fn the_service_starts_what_there_is() {
    let text = read("packaging/asmm-serve.service");
    let setting = |key: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let [start] = setting("ExecStart").try_into().expect("one program");
    let mut words = start.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/asmm"));
    assert_eq!(words.next(), Some("serve"));
    let help = Sandbox::new().run(&["serve", "--help"]).success();
    for flag in words.filter(|word| word.starts_with('-')) {
        assert!(help.contains(&format!("{flag} ")), "asmm serve knows no {flag}");
    }
    assert!(start.contains("%d/token") && setting("LoadCredential")[0].starts_with("token:"));
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("StateDirectory", "asmm"),
        ("Restart", "on-failure"),
        ("NoNewPrivileges", "yes"),
    ] {
        assert_eq!(setting(key), [value], "{key}");
    }
    // systemd's own opinion, where it is; it wants the program to be there.
    let sandbox = Sandbox::new();
    let here = text.replace("/usr/local/bin/asmm", env!("CARGO_BIN_EXE_asmm"));
    let unit = sandbox.file("asmm-serve.service", &here);
    match Command::new("systemd-analyze").arg("verify").arg(&unit).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let ours: Vec<_> = said.lines().filter(|line| line.contains("asmm")).collect();
            assert!(ours.is_empty(), "{ours:?}");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}
