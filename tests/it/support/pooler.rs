//! A PgBouncer of a test's own, in transaction mode, in front of the tests' Postgres.

use super::database::postgres_url;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How many connections it has to the server: few, so that its clients must share them.
const SERVER_CONNECTIONS: u32 = 3;

pub struct Pooler {
    process: Child,
    port: u16,
    dir: TempDir,
}

impl Pooler {
    /// Two databases: `ledger`, whose connections lead to `schema`, and `plain`, about which nobody has thought. More
    /// settings are lines of the configuration.
    pub fn new(schema: &str, more: &str) -> Self {
        let url = postgres_url();
        let rest = url.strip_prefix("postgres://").expect("a URL of Postgres");
        let (login, place) = rest.split_once('@').expect("a URL with a user");
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, database) = place.split_once('/').expect("a URL with a database");
        let (host, server_port) = host.split_once(':').unwrap_or((host, "5432"));

        let dir = tempfile::Builder::new().prefix("asmm-pooler").tempdir_in("/tmp").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = format!(
            "host={host} port={server_port} dbname={database} user={user} password={password} pool_size={SERVER_CONNECTIONS}"
        );
        let config = dir.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n\
             ledger = {server} connect_query='set search_path = {schema},pg_temp'\n\
             plain = {server}\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             {more}\n"
        );
        std::fs::write(&config, text).unwrap();
        let program = std::env::var("ASMM_TEST_PGBOUNCER").expect("tests/run says where PgBouncer is");
        let mut command = Command::new(program);
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(dir.path().join("log")).unwrap());
        // It refuses to run as root.
        if let Some((uid, gid)) = super::server::other_user() {
            for path in [dir.path(), config.as_path()] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
            command.uid(uid).gid(gid);
        }
        let process = command.spawn().expect("PgBouncer can be started");
        let mut pooler = Self { process, port, dir };
        pooler.wait();
        pooler
    }

    fn wait(&mut self) {
        let given_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = || std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            assert!(self.process.try_wait().unwrap().is_none(), "PgBouncer has ended: {}", log());
            assert!(Instant::now() < given_up, "PgBouncer does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://somebody@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
