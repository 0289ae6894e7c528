//! README.md and RUNBOOK.md say what is so: their commands are run, and their output is compared.
//!
//! A fenced block marked `console` holds commands (lines that begin with `$ `, continued by lines that begin
//! with `> `) and what they print, both streams together. A command that does not exit with 0 prints a last line
//! `(exit code N)`. Before the block a comment says where it runs:
//!
//! - `<!-- run: NAME -->`: in the sandbox NAME, an empty home and a clone of the repository; a later block of
//!   that name runs in the same one, after the earlier. `<!-- run: NAME postgres -->`: with an empty database,
//!   which the text calls `postgres://localhost/ops`. `<!-- run: NAME python3 -->`: only where that program is.
//!   `<!-- run: NAME placeholder -->`: not yet.
//! - `<!-- file: NAME -->`: the block after it is this file, in the sandbox of the last `run`.
//!
//! In expected output `[..]` stands for what differs from run to run. `ASMM_UPDATE_DOCS=1` writes the real output
//! into the documents.

mod page;
mod pictures;
mod place;

use page::{Page, Section, Step};
use place::Place;
use std::path::{Path, PathBuf};

#[test]
fn the_readme_is_true() {
    check("README.md");
}

#[test]
fn the_runbook_is_true() {
    check("RUNBOOK.md");
}

#[test]
fn links_lead_somewhere() {
    for name in ["README.md", "RUNBOOK.md"] {
        let text = read(name);
        let dead: Vec<&str> = page::links(&text)
            .filter(|link| !link.contains("://") && !link.starts_with('#'))
            .filter(|link| !repository().join(link.split('#').next().unwrap_or(link)).exists())
            .collect();
        assert!(dead.is_empty(), "{name} links to what is not there: {dead:?}");
        let anchors = page::anchors(&text);
        let dead: Vec<&str> = page::links(&text)
            .filter_map(|link| link.strip_prefix('#'))
            .filter(|anchor| !anchors.iter().any(|known| known == anchor))
            .collect();
        assert!(dead.is_empty(), "{name} has no section {dead:?}");
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn check(name: &str) {
    let path: PathBuf = repository().join(name);
    let text = read(name);
    let mut page = Page::parse(name, &text);
    // Sections share nothing, so that they run side by side.
    let outputs: Vec<(usize, String)> = std::thread::scope(|scope| {
        let running: Vec<_> =
            page.sections.iter().map(|section| scope.spawn(|| run(name, section))).collect();
        running.into_iter().flat_map(|section| section.join().expect("the section is run")).collect()
    });
    page.outputs.extend(outputs);
    let wrong = page.differences();
    if wrong.is_empty() {
        return;
    }
    if std::env::var_os("ASMM_UPDATE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(&path, page.updated()).expect("the document can be written");
        return;
    }
    panic!("{}\nASMM_UPDATE_DOCS=1 writes the real output into {name}", wrong.join("\n"));
}

/// What each command of a section printed, by its line in the document.
#[expect(clippy::print_stderr, reason = "a section that is not run says so")]
fn run(name: &str, section: &Section) -> Vec<(usize, String)> {
    if section.placeholder {
        eprintln!("{name}: `{}` is a placeholder and is not run", section.name);
        return Vec::new();
    }
    if let Some(program) = section.needs.iter().find(|program| !place::is_installed(program)) {
        eprintln!("{name}: `{}` needs {program}, which is not here", section.name);
        return Vec::new();
    }
    let place = Place::new(section.postgres);
    let mut outputs = place.run(&section.steps).into_iter();
    let commands = section.steps.iter().filter_map(|step| match step {
        Step::Command(command) => Some(command.line),
        Step::File { .. } => None,
    });
    commands
        .map(|line| {
            let output = outputs.next();
            (line, output.unwrap_or_else(|| "(the shell ended before this command)\n".to_owned()))
        })
        .collect()
}
