//! The real program, in an environment that holds nothing of the machine's.

use super::database::{fresh_schema, postgres_url};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The time in a sandbox, unless a test sets another.
pub const NOW: &str = "2026-03-15T12:00:00Z";

/// The program with a cleared environment, a fixed width and a fixed time, in the folder `dir`.
pub fn asmm(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asmm"));
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.join("home"))
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        .env("NO_COLOR", "1")
        .env("ASMM_NOW", NOW)
        .stdin(Stdio::null());
    command
}

/// A folder of its own with an empty home in it, and what the program is told there.
pub struct Sandbox {
    root: PathBuf,
    environment: BTreeMap<String, String>,
    /// What differs from run to run, and what to show instead.
    hidden: Vec<(String, &'static str)>,
    dir: TempDir,
}

impl Sandbox {
    /// A sandbox that knows of no database.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let root = dir.path().canonicalize().expect("the folder is there");
        std::fs::create_dir(root.join("home")).expect("the folder is empty");
        let hidden = vec![(root.display().to_string(), "[dir]")];
        Self { root, environment: BTreeMap::new(), hidden, dir }
    }

    /// Sets `ASMM_DATABASE_URL` to the test server and `ASMM_SCHEMA` to a fresh name; migrates nothing.
    #[must_use]
    pub fn with_postgres(mut self) -> Self {
        let (url, schema) = (postgres_url(), fresh_schema());
        self.hidden.push((url.clone(), "[postgres]"));
        self.hidden.push((schema.clone(), "[schema]"));
        self.with_env("ASMM_DATABASE_URL", url).with_env("ASMM_SCHEMA", schema)
    }

    /// Sets an environment variable for every command.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Stops the clock at another instant.
    #[must_use]
    pub fn with_now(self, instant: &str) -> Self {
        self.with_env("ASMM_NOW", instant)
    }

    /// The folder that commands run in.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// What [`Sandbox::with_postgres`] and [`Sandbox::with_env`] have set.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Writes a file, and the folders above it, under the sandbox's folder.
    pub fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.root.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("the folder can be made");
        }
        std::fs::write(&path, contents).expect("the file can be written");
        path
    }

    /// The names in the sandbox's folder, in order, other than its `home`.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.root).expect("the folder is there");
        let names = entries.map(|entry| entry.expect("the folder can be read").file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.retain(|name| name != "home");
        names.sort();
        names
    }

    /// A command that has not started yet, for tests that wait, kill or pipe.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = asmm(&self.root);
        command.envs(&self.environment).args(args);
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.finish(self.command(args).output().expect("the program can be started"))
    }

    /// Runs the program to its end with `input` on its standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut pipe = child.stdin.take().expect("the pipe was asked for");
        let input = input.to_owned();
        // Beside us, so that neither side waits for the other when both pipes are full. A program that
        // ends without reading its input is not a failure of the test.
        let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()).ok());
        let output = child.wait_with_output().expect("the program can be waited for");
        writer.join().expect("the writer does not panic");
        self.finish(output)
    }

    /// Runs the program and shows all of it, for an inline snapshot.
    pub fn snapshot(&self, args: &[&str]) -> String {
        self.run(args).snapshot()
    }

    #[allow(clippy::needless_pass_by_value, reason = "reads as a step of a pipeline")]
    fn finish(&self, output: std::process::Output) -> Output {
        let hidden: Vec<_> = self.hidden.iter().map(|(text, shown)| (text.as_str(), *shown)).collect();
        Output::from_process(&output, &hidden)
    }
}

/// What a finished process left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit code; for a process that a signal ended, 128 and the signal's number as shells count it.
    pub code: i32,
}

impl Output {
    /// Takes a process's output, with each `(text, shown)` replaced.
    ///
    /// # Panics
    ///
    /// When it is not UTF-8: the program writes nothing else.
    pub fn from_process(output: &std::process::Output, hidden: &[(&str, &str)]) -> Self {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).expect("output is UTF-8");
            hidden.iter().fold(text, |text, (hide, shown)| text.replace(hide, shown))
        };
        Self { stdout: text(&output.stdout), stderr: text(&output.stderr), code: exit_code(output.status) }
    }

    /// Exit code, standard output and standard error in one text.
    pub fn snapshot(&self) -> String {
        let block = |text: &str| match text {
            "" => String::new(),
            text if text.ends_with('\n') => text.to_owned(),
            text => format!("{text}[no newline]\n"),
        };
        let (stdout, stderr) = (block(&self.stdout), block(&self.stderr));
        format!("exit: {}\n--- stdout ---\n{stdout}--- stderr ---\n{stderr}", self.code)
    }

    /// Standard output of a command that must have succeeded.
    ///
    /// # Panics
    ///
    /// When it did not, showing everything.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "the command failed\n{}", self.snapshot());
        self.stdout
    }
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("the process has ended")
}
