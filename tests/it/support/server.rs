//! A Postgres server of a test's own, which can be stopped, frozen and started again.

use asmm::store::Location;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A server with the settings that keep what was answered; `tests/run` starts one that is only fast.
pub struct Server {
    bin: PathBuf,
    /// Who runs it: nobody else when we are not root.
    user: Option<(u32, u32)>,
    port: u16,
    dir: TempDir,
}

impl Server {
    /// Makes one; it does not run yet.
    pub fn new() -> Self {
        let bin = std::env::var("ASMM_TEST_PG_BIN").expect("tests/run says where PostgreSQL's programs are");
        let user = other_user();
        // Short: the path of a Unix socket has room for about 100 bytes.
        let dir = tempfile::Builder::new().prefix("asmm-own-pg").tempdir_in("/tmp").unwrap();
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = Self { bin: bin.into(), user, port, dir };
        server.run("initdb", &["-D", "data", "-U", "asmm_test", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        server
    }

    fn run(&self, program: &str, args: &[&str]) {
        let log =
            std::fs::File::options().append(true).create(true).open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(self.bin.join(program));
        command.args(args).current_dir(self.dir.path()).env("HOME", self.dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let status = command.status().unwrap();
        assert!(status.success(), "{program} {args:?}\n{}", read(&self.dir.path().join("log")));
    }

    /// Starts it, and waits until it answers.
    pub fn start(&self) {
        let folder = self.dir.path().display();
        let options = format!("-p {} -c listen_addresses=127.0.0.1 -k {folder}", self.port);
        self.run("pg_ctl", &["start", "-D", "data", "-l", "server.log", "-w", "-t", "60", "-o", &options]);
    }

    /// Ends it without a word to its clients and without tidying up: the next start recovers from the log.
    pub fn crash(&self) {
        self.run("pg_ctl", &["stop", "-D", "data", "-m", "immediate", "-w"]);
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://asmm_test@127.0.0.1:{}/postgres", self.port)
    }

    /// Sends a signal (`STOP`, `CONT`) to the server and to each of its sessions.
    pub fn signal(&self, name: &str) {
        let pid = read(&self.dir.path().join("data/postmaster.pid"));
        let pid = pid.lines().next().expect("the server runs").to_owned();
        // The server first: it must not start another session meanwhile.
        signal(name, std::slice::from_ref(&pid));
        let status = |entry: std::fs::DirEntry| read(&entry.path().join("status"));
        let is_child = |status: &String| status.lines().any(|line| line == format!("PPid:\t{pid}"));
        let pid_of = |status: String| {
            let line = status.lines().find_map(|line| line.strip_prefix("Pid:"))?;
            Some(line.trim().to_owned())
        };
        let entries = std::fs::read_dir("/proc").expect("there is /proc").flatten();
        let children: Vec<String> = entries.map(status).filter(is_child).filter_map(pid_of).collect();
        assert!(!children.is_empty(), "the server has no sessions");
        signal(name, &children);
    }

    /// The ledger in it.
    pub fn location(&self) -> Location {
        let url = self.url();
        Location { patience: Duration::from_secs(2), ..Location::new(url, "asmm") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.dir.path().join("data/postmaster.pid").exists() {
            // It may have been stopped in the middle of something.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.signal("CONT")));
            self.crash();
        }
    }
}

/// Who runs servers that refuse to run as root, if we are.
pub fn other_user() -> Option<(u32, u32)> {
    let user = std::env::var("ASMM_TEST_PG_USER").ok().filter(|name| !name.is_empty());
    user.map(|name| (id("-u", &name), id("-g", &name)))
}

fn id(flag: &str, user: &str) -> u32 {
    let output = Command::new("id").args([flag, user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn signal(name: &str, pids: &[String]) {
    let status =
        Command::new("kill").arg(format!("-{name}")).args(pids).status().expect("kill can be started");
    // One of several may have ended by itself.
    assert!(status.success() || pids.len() > 1, "kill -{name} {pids:?}");
}
