//! What cannot be connected to, and that no error repeats a password.

use super::{location, said};
use crate::support::{TestDb, block_on, postgres_url};
use asmm::clock::Clock;
use asmm::store::{Location, Store};
use std::error::Error as _;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// A password that would be noticed.
const PASSWORD: &str = "hunter2-sekret";

/// The error of opening `url`, which must not hold the password, shown with the server's address replaced.
fn refusal(url: &str, schema: &str) -> String {
    let location = Location::new(url, schema);
    let started = Instant::now();
    let error = block_on(Store::open(&location, Clock::System)).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "an answer is wanted at once");
    let mut everything = format!("{error} {error:?} {error:#?} {location:?} {:?}", error.next_step());
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(everything, "{error} {error:?}").unwrap();
        cause = error.source();
    }
    assert!(!everything.contains("hunter2") && !everything.contains("sekret"), "{everything}");
    said(&error, &[(&server(), "[server]")])
}

/// Host and port of the test server.
fn server() -> String {
    let url = postgres_url();
    let after_user = url.rsplit('@').next().unwrap();
    after_user.split('/').next().unwrap().to_owned()
}

/// The test server's URL with another user and database.
fn url_of(user: &str, database: &str) -> String {
    format!("postgres://{user}@{}/{database}", server())
}

#[test]
fn a_url_that_cannot_be_read() {
    let refusals = [
        format!("mysql://root:{PASSWORD}@localhost/ledger"),
        format!("password={PASSWORD} host=localhost"),
        PASSWORD.to_owned(),
        String::new(),
        format!("postgres://asmm:{PASSWORD}@localhost:port/ledger"),
        format!("postgres://asmm:{PASSWORD}@localhost/ledger?sslmode={PASSWORD}"),
        "sqlite:".to_owned(),
        "sqlite::memory:".to_owned(),
    ]
    .map(|url| refusal(&url, "asmm"));
    insta::assert_snapshot!(refusals.join("\n\n"), @"
    the database URL starts with `mysql`
    hint: write postgres://user@host/database or sqlite:PATH
    Usage, exit code 2

    the database URL names no kind of database
    hint: write postgres://user@host/database or sqlite:PATH
    Usage, exit code 2

    the database URL names no kind of database
    hint: write postgres://user@host/database or sqlite:PATH
    Usage, exit code 2

    the database URL names no kind of database
    hint: write postgres://user@host/database or sqlite:PATH
    Usage, exit code 2

    the database URL cannot be read
    hint: write postgres://user:password@host:5432/database; percent-encode special characters
    Usage, exit code 2

    the database URL cannot be read
    hint: write postgres://user:password@host:5432/database; percent-encode special characters
    Usage, exit code 2

    the database URL names no file
    hint: write sqlite:PATH
    Usage, exit code 2

    the database URL names no file
    hint: write sqlite:PATH
    Usage, exit code 2
    ");
}

#[test]
fn a_schema_that_needs_quotes() {
    let schemas = ["", "Ledger", "my-ledger", "1st", "pg_ledger", "a;drop", "über", &"x".repeat(64)];
    for schema in schemas {
        let said = refusal(&postgres_url(), schema);
        let expected = format!("`{schema}` is no name for a schema\nhint: ");
        assert!(said.starts_with(&expected) && said.ends_with("Usage, exit code 2"), "{said}");
    }
    insta::assert_snapshot!(refusal(&postgres_url(), "my-ledger"), @"
    `my-ledger` is no name for a schema
    hint: use lower-case letters, digits and _, at most 63, not starting with a digit or pg_
    Usage, exit code 2
    ");
}

#[test]
fn a_server_that_is_not_there() {
    // Bound and let go again: nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = refusal(&format!("postgres://asmm:{PASSWORD}@127.0.0.1:{port}/ledger"), "asmm");
    insta::assert_snapshot!(said.replace(&port.to_string(), "[port]"), @"
    `postgres://127.0.0.1:[port]/ledger (schema asmm)`: the ledger cannot be reached: Connection refused (os error 111)
    hint: is the database up, and is --database (ASMM_DATABASE_URL) right?
    Ledger, exit code 7
    ");
}

#[test]
fn a_log_in_that_is_refused() {
    let user = postgres_url().split("://").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let refusals = [
        refusal(&url_of(&format!("{user}:{PASSWORD}"), "postgres"), "asmm"),
        refusal(&url_of(&format!("nobody:{PASSWORD}"), "postgres"), "asmm"),
        refusal(&format!("{}/no_such_database", postgres_url().rsplit_once('/').unwrap().0), "asmm"),
    ];
    insta::assert_snapshot!(refusals.join("\n\n"), @r#"
    `postgres://[server]/postgres (schema asmm)`: the database refused the log-in
    hint: check the user and the password in --database (ASMM_DATABASE_URL)
    Ledger, exit code 7

    `postgres://[server]/postgres (schema asmm)`: the database refused the log-in
    hint: check the user and the password in --database (ASMM_DATABASE_URL)
    Ledger, exit code 7

    `postgres://[server]/no_such_database (schema asmm)`: database "no_such_database" does not exist
    hint: create the database, or correct the name in the URL
    Ledger, exit code 7
    "#);
}

#[test]
fn a_store_keeps_its_password_to_itself() {
    let db = TestDb::postgres();
    let store = block_on(Store::connect(&location(&db), Clock::System)).unwrap();
    let password = db.url.split(['@', ':']).nth(2).unwrap();
    let shown = format!("{store:?} {} {:?}", store.shown(), location(&db));
    assert!(password.len() >= 8 && !shown.contains(password), "{shown}");
}

#[test]
fn a_path_that_is_no_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("notes.txt"), "A text that is longer than the header of a database. ".repeat(4))
        .unwrap();
    std::fs::write(path("short.txt"), "short").unwrap();
    let refusals = ["folder", "notes.txt", "short.txt", "notes.txt/ledger.db"].map(|name| {
        let said = refusal(&format!("sqlite:{}", path(name).display()), "asmm");
        said.replace(&dir.path().display().to_string(), "[dir]")
    });
    insta::assert_snapshot!(refusals.join("\n\n"), @"
    `[dir]/folder`: the ledger's file cannot be opened
    hint: check that its folder exists and may be written
    Ledger, exit code 7

    `[dir]/notes.txt`: the file is not a SQLite database
    hint: name another file with --database sqlite:PATH
    Ledger, exit code 7

    `[dir]/short.txt`: the file is not a SQLite database
    hint: name another file with --database sqlite:PATH
    Ledger, exit code 7

    the folder `[dir]/notes.txt` cannot be made: File exists (os error 17)
    hint: name another file with --database sqlite:PATH
    Ledger, exit code 7
    ");
    assert_eq!(std::fs::read_to_string(path("short.txt")).unwrap(), "short");
}
