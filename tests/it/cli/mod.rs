//! The commands as users run them: the real program, whole invocations, on both databases.
#![allow(clippy::too_many_lines, reason = "what a command prints is most of its test")]

mod archive;
mod check;
mod config;
mod days;
mod doctor;
mod explain;
mod export;
mod failing;
mod focus;
mod import;
mod intake;
mod looking;
mod migrate;
mod price_files;
mod prices;
mod prompts;
mod reconcile;
mod recording;
mod replay;
mod schemas;
mod shells;
mod spend;
pub mod spool;
mod table;
mod tables;
mod together;
mod top;
mod usage;

use crate::support::{Output, Sandbox};
use serde_json::Value;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A ledger in each database, migrated and empty; and `run`s that must be equal on both.
pub struct Both {
    pub sqlite: Sandbox,
    pub postgres: Sandbox,
}

/// A sandbox with an empty SQLite ledger: a copy of one, for the catalogue takes half a second to bring in.
pub fn sqlite() -> Sandbox {
    static EMPTY: OnceLock<Vec<(OsString, Vec<u8>)>> = OnceLock::new();
    const FOLDER: &str = "home/.local/share/asmm";
    let files = EMPTY.get_or_init(|| {
        let sandbox = Sandbox::new();
        sandbox.run(&["migrate"]).success();
        let files = std::fs::read_dir(sandbox.path().join(FOLDER)).expect("the ledger is there");
        let files = files.map(|file| file.expect("the folder can be read"));
        files.map(|file| (file.file_name(), std::fs::read(file.path()).expect("a file"))).collect()
    });
    let sandbox = Sandbox::new();
    let folder = sandbox.path().join(FOLDER);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("the file can be written");
    }
    sandbox
}

impl Both {
    pub fn new() -> Self {
        let postgres = Sandbox::new().with_postgres();
        postgres.run(&["migrate"]).success();
        Self { sqlite: sqlite(), postgres }
    }

    pub fn each(&self) -> [&Sandbox; 2] {
        [&self.sqlite, &self.postgres]
    }

    /// Writes a file in both sandboxes.
    pub fn write(&self, name: &str, contents: &str) {
        for sandbox in self.each() {
            sandbox.file(name, contents);
        }
    }

    /// Whether `asmm doctor` finds all well in both.
    pub fn is_well(&self) -> bool {
        self.each().iter().all(|sandbox| sandbox.run(&["doctor"]).code == 0)
    }

    /// Runs a command on both; everything it says must be the same.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        same(self.sqlite.run(args), &self.postgres.run(args), args)
    }

    #[track_caller]
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let sqlite = self.sqlite.run_with_input(args, input);
        let postgres = self.postgres.run_with_input(args, input);
        same(sqlite, &postgres, args)
    }

    #[track_caller]
    pub fn snapshot(&self, args: &[&str]) -> String {
        self.run(args).snapshot()
    }

    /// The JSON of a report that must succeed.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        json(self.run(&[args, &["--format", "json"]].concat()))
    }
}

/// What both said. `costed_at` is the database's own time, which Postgres takes from its own clock.
#[track_caller]
fn same(sqlite: Output, postgres: &Output, args: &[&str]) -> Output {
    let timeless = |output: &Output| {
        let text = output.snapshot();
        let mut parts = text.split("\"costed_at\":\"");
        let mut timeless = parts.next().unwrap_or_default().to_owned();
        parts.for_each(|part| timeless.push_str(part.split_once('"').map_or("", |(_, rest)| rest)));
        let lines = timeless.lines().filter(|line| !line.starts_with("costed "));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(timeless(&sqlite), timeless(postgres), "SQLite and Postgres differ: {args:?}");
    sqlite
}

#[track_caller]
pub fn json(output: Output) -> Value {
    serde_json::from_str(&output.success()).expect("the output is JSON")
}

/// A file of the repository.
pub fn repository(path: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

pub fn id(number: u32) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

/// Native lines, as a test writes them.
#[derive(Default)]
pub struct Native(pub String);

impl Native {
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.0, "{line}").expect("a string can be written");
        self
    }

    pub fn run(self, run: u32, pipeline: &str, started_at: &str) -> Self {
        let run = id(run);
        self.line(&format!(
            r#"{{"type":"run","run_id":"{run}","pipeline":"{pipeline}","started_at":"{started_at}"}}"#
        ))
    }

    /// A call of gpt-4o by `agent`: `input` tokens cost 2.50 USD a million.
    pub fn call(self, run: u32, call: u32, agent: &str, called_at: &str, input: u64) -> Self {
        self.call_of(run, call, agent, ("openai", "gpt-4o"), called_at, &format!(r#"{{"input":{input}}}"#))
    }

    pub fn call_of(
        self,
        run: u32,
        call: u32,
        agent: &str,
        (provider, model): (&str, &str),
        called_at: &str,
        usage: &str,
    ) -> Self {
        let (run, call) = (id(run), id(call));
        self.line(&format!(
            r#"{{"type":"call","run_id":"{run}","call_id":"{call}","agent":"{agent}","provider":"{provider}","model":"{model}","called_at":"{called_at}","usage":{usage}}}"#
        ))
    }

    pub fn finish(self, run: u32, status: &str, completed_at: &str) -> Self {
        let run = id(run);
        self.line(&format!(
            r#"{{"type":"finish","run_id":"{run}","status":"{status}","completed_at":"{completed_at}"}}"#
        ))
    }
}
