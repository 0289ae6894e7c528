//! Where a document's commands run.

use super::page::Step;
use super::repository;
use crate::support::postgres_url;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use uuid::Uuid;

/// The time in the documents.
const NOW: &str = "2026-02-23T12:00:00Z";
/// The home folder, as the documents show it.
const HOME: &str = "/home/ops";
/// Between the outputs of two commands.
const MARK: &str = "\u{1}asmm-docs-end-of-command ";

/// A home folder with a clone of the repository, and perhaps a database.
pub struct Place {
    home: PathBuf,
    database: Option<Database>,
    dir: TempDir,
}

impl Place {
    pub fn new(postgres: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let home = dir.path().canonicalize().expect("the folder is there").join("home");
        let clone = home.join("asmm");
        std::fs::create_dir_all(&clone).expect("the folder is empty");
        for name in ["examples", "migrations", "tests"] {
            std::os::unix::fs::symlink(repository().join(name), clone.join(name))
                .expect("a link can be made");
        }
        // A copy, since the documents change it.
        std::fs::create_dir(clone.join("prompts")).expect("the clone is empty");
        for file in std::fs::read_dir(repository().join("prompts")).expect("the prompts are there") {
            let file = file.expect("the folder can be read");
            std::fs::copy(file.path(), clone.join("prompts").join(file.file_name()))
                .expect("a file can be copied");
        }
        Self { home, database: postgres.then(Database::create), dir }
    }

    /// Runs the steps in one shell; what each command printed, on both streams.
    pub fn run(&self, steps: &[Step]) -> Vec<String> {
        let script = self.dir.path().join("script");
        std::fs::write(&script, self.script(steps)).expect("the script can be written");
        let output = Command::new("bash")
            .arg(&script)
            .current_dir(self.home.join("asmm"))
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", &self.home)
            .env("USER", "ops")
            .env("TZ", "UTC")
            .env("PGTZ", "UTC")
            .env("PGCLIENTENCODING", "UTF8")
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .env("ASMM_NOW", NOW)
            .stdin(Stdio::null())
            .output()
            .expect("bash can be started");
        let text = self.shown(&String::from_utf8_lossy(&output.stdout));
        let mut outputs = Vec::new();
        let mut rest = text.as_str();
        while let Some((printed, after)) = rest.split_once(MARK) {
            let (code, next) = after.split_once('\n').expect("the mark is a line");
            // Spaces at the ends of lines, and empty lines at the end, are of no use in a document.
            let mut printed: String = printed.trim_end().lines().flat_map(|l| [l.trim_end(), "\n"]).collect();
            if code != "0" {
                let _ = writeln!(printed, "(exit code {code})");
            }
            outputs.push(printed);
            rest = next;
        }
        outputs
    }

    fn script(&self, steps: &[Step]) -> String {
        let mut script = String::from("exec 2>&1\n");
        for step in steps {
            match step {
                Step::File { name, contents } => {
                    let contents = self.real(contents);
                    let _ = write!(script, "cat >'{name}' <<'END OF FILE'\n{contents}END OF FILE\n");
                }
                Step::Command(command) => {
                    let text = self.real(&command.text);
                    let _ = write!(
                        script,
                        "eval \"$(cat <<'END OF COMMAND'\n{text}\nEND OF COMMAND\n)\"\nprintf '\\n{MARK}%s\\n' $?\n"
                    );
                }
            }
        }
        script
    }

    /// A document's text with this place's names.
    fn real(&self, text: &str) -> String {
        let mut text = text.replace(HOME, &self.home.display().to_string());
        if let Some(db) = &self.database {
            text = text
                .replace("//localhost/ops", &format!("//{}@{}/{}", db.login, db.host, db.name))
                .replace("@localhost/ops", &format!("@{}/{}", db.host, db.name))
                .replace("ops_restored", &format!("{}_restored", db.name));
        }
        text
    }

    /// This place's text with the document's names.
    fn shown(&self, text: &str) -> String {
        let mut text = text.replace(&self.home.display().to_string(), HOME);
        if let Some(db) = &self.database {
            text = text
                .replace(&format!("{}@", db.login), "")
                .replace(&format!("postgres://{}", db.host), "postgres://localhost:5432")
                .replace(&db.host, "localhost")
                .replace(&db.name, "ops");
        }
        text
    }
}

/// Whether a program is on the search path.
pub fn is_installed(program: &str) -> bool {
    let path = search_path();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// asmm first, then PostgreSQL's programs, then the machine's.
fn search_path() -> std::ffi::OsString {
    let program = Path::new(env!("CARGO_BIN_EXE_asmm"));
    let ours = program.parent().expect("the program is in a folder").to_path_buf();
    let postgres = std::env::var_os("ASMM_TEST_PG_BIN").map(PathBuf::from);
    let machine = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(ours).chain(postgres).chain(std::env::split_paths(&machine));
    std::env::join_paths(folders).expect("the folders have no colon in their names")
}

/// A database of one's own on the test server: the documents name the schema `asmm`, which two sections cannot
/// share. Dropped at the end, with the copy that a restore makes.
struct Database {
    name: String,
    /// `user` or `user:password`.
    login: String,
    /// `host` or `host:port`.
    host: String,
}

impl Database {
    fn create() -> Self {
        let url = postgres_url();
        let (_, rest) = url.split_once("://").expect("the server has a URL");
        let (login, rest) = rest.rsplit_once('@').expect("the server's URL names a user");
        let host = rest.split(['/', '?']).next().unwrap_or(rest);
        let name = format!("docs_{}", Uuid::now_v7().simple());
        let database = Self { name, login: login.to_owned(), host: host.to_owned() };
        psql(&format!("create database {}", database.name));
        database
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for name in [&self.name, &format!("{}_restored", self.name)] {
            psql(&format!("drop database if exists {name} with (force)"));
        }
    }
}

fn psql(sql: &str) {
    let output = crate::support::psql(sql, "public");
    assert!(
        output.code == 0 || std::thread::panicking(),
        "the documents need a user who may create databases: {sql}\n{}",
        output.snapshot()
    );
}
