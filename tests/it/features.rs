//! What a program takes on that depends on the library alone.

use std::collections::BTreeSet;
use std::process::Command;

/// The command line brings these.
const OF_THE_PROGRAM: &[&str] = &[
    "anyhow",
    "clap",
    "clap_complete",
    "clap_mangen",
    "comfy-table",
    "indicatif",
    "ratatui",
    "terminal_size",
    "tracing-subscriber",
    "unicode-width",
    "unicode-segmentation",
    "ureq",
];
/// Nothing of ours brings these, and a server would.
const OF_A_SERVER: &[&str] = &["axum", "hyper"];

#[test]
fn the_library_alone_brings_nothing_of_the_command_line() {
    let alone = dependencies(&["--no-default-features"]);
    for name in ["sqlx", "tokio", "serde", "tracing"] {
        assert!(alone.contains(name), "{name} is missing: {alone:?}");
    }
    let excess: Vec<_> =
        OF_THE_PROGRAM.iter().chain(OF_A_SERVER).filter(|name| alone.contains(**name)).collect();
    assert!(excess.is_empty(), "the library alone brings {excess:?}");
}

/// A name that is misspelt above would never be found.
#[test]
fn the_program_has_what_the_library_leaves_out() {
    let whole = dependencies(&[]);
    let missing: Vec<_> = OF_THE_PROGRAM.iter().filter(|name| !whole.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} are no dependencies of the program");
}

/// The names of all crates that a build of ours brings.
fn dependencies(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}
