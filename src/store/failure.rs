//! What a database's failure means to a user.

use crate::error::{Error, ErrorKind};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(failure) => from_database(&*failure),
            sqlx::Error::Io(failure) => unreachable_ledger(&failure),
            sqlx::Error::PoolTimedOut => unreachable_ledger(&"no connection in time"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                unreachable_ledger(&"the connection was closed")
            }
            sqlx::Error::Tls(failure) => unreachable_ledger(&failure),
            sqlx::Error::Protocol(failure) => unreachable_ledger(&failure),
            other => Error::database(format!("the ledger failed: {other}")),
        }
    }
}

fn unreachable_ledger(why: &dyn std::fmt::Display) -> Error {
    Error::ledger(format!("the ledger cannot be reached: {why}"))
        .hint("is the database up, and is --database (ASMM_DATABASE_URL) right?")
}

fn from_database(failure: &dyn DatabaseError) -> Error {
    if let Some(postgres) = failure.try_downcast_ref::<PgDatabaseError>() {
        from_postgres(postgres)
    } else if failure.try_downcast_ref::<SqliteError>().is_some() {
        from_sqlite(failure)
    } else {
        Error::database(format!("the ledger failed: {}", failure.message()))
    }
}

/// The SQLSTATEs of the ledger's own functions are documented in `migrations/postgres/0005_writing.sql`.
fn from_postgres(failure: &PgDatabaseError) -> Error {
    let message = failure.message();
    let (kind, text, default_hint) = match failure.code() {
        "AS400" | "AS403" => (ErrorKind::Input, message.to_owned(), ""),
        "AS404" => (ErrorKind::NotFound, message.to_owned(), ""),
        "AS409" => (ErrorKind::Conflict, message.to_owned(), ""),
        "22003" => (
            ErrorKind::Input,
            format!("an amount does not fit: {message}"),
            "one amount is at most 9,223,372 USD; check the price and the token counts",
        ),
        "42501" => (
            ErrorKind::Database,
            format!("the database refused: {message}"),
            "connect as a member of asmm_operator (or asmm_reader to read, asmm_writer to record); see RUNBOOK.md",
        ),
        "42P01" | "42883" | "3F000" => (
            ErrorKind::Ledger,
            format!("the ledger is not migrated: {message}"),
            "run `asmm migrate`, and check --schema",
        ),
        "28P01" | "28000" => (
            ErrorKind::Ledger,
            "the database refused the log-in".to_owned(),
            "check the user and the password in --database (ASMM_DATABASE_URL)",
        ),
        "08P01" => (
            ErrorKind::Ledger,
            format!("the connection was refused: {message}"),
            "behind a pooler: is the database in the URL one of its entries? its log says more",
        ),
        "3D000" => {
            (ErrorKind::Ledger, message.to_owned(), "create the database, or correct the name in the URL")
        }
        "53100" => {
            (ErrorKind::Database, "the database's disk is full".to_owned(), "nothing was written; make room")
        }
        "53300" => (ErrorKind::Ledger, message.to_owned(), "raise max_connections, or use a pooler"),
        "57P01" | "57P02" | "57P03" => (
            ErrorKind::Ledger,
            format!("the database is shutting down or starting up: {message}"),
            "try again when it is up; what was not answered was not recorded",
        ),
        _ => (ErrorKind::Database, format!("the database failed: {message}"), ""),
    };
    let error = Error::new(kind, text);
    let error = if is_of_the_value(failure.code()) { error.of_the_value() } else { error };
    match failure.hint() {
        Some(hint) => error.hint(hint),
        None if default_hint.is_empty() => error,
        None => error.hint(default_hint),
    }
}

/// Whether Postgres failed at what it was given, and may take something else: the classes of SQLSTATE that speak of
/// data, constraints, limits of a program, and faults inside of the server.
fn is_of_the_value(code: &str) -> bool {
    code == "XX000" || matches!(code.get(..2), Some("21" | "22" | "23" | "44" | "54" | "P0"))
}

/// The result codes are SQLite's (<https://www.sqlite.org/rescode.html>); the low byte is the primary one.
fn from_sqlite(failure: &dyn DatabaseError) -> Error {
    let code: i32 = failure.code().and_then(|c| c.parse().ok()).unwrap_or(0);
    let message = failure.message();
    match code & 0xff {
        5 | 6 => Error::ledger("the ledger is locked by another process")
            .hint("wait until it is done; a copy or a backup of the file may hold it"),
        8 => Error::database("the ledger's file is read-only")
            .hint("check the permissions of the file and its folder"),
        10 => Error::database(format!("reading or writing the ledger's file failed: {message}"))
            .hint("check the disk; nothing was recorded"),
        11 => Error::ledger("the ledger's file is damaged").hint("restore a backup; see RUNBOOK.md"),
        13 => Error::database("the disk is full").hint("nothing was recorded; make room and try again"),
        14 => Error::ledger("the ledger's file cannot be opened")
            .hint("check that its folder exists and may be written"),
        26 => Error::ledger("the file is not a SQLite database")
            .hint("name another file with --database sqlite:PATH"),
        1 if message.contains("integer overflow") => {
            Error::input("a sum does not fit: more than 9,223,372 USD")
                .hint("narrow the range; Postgres has no such limit")
        }
        1 if message.contains("no such table") => {
            Error::ledger(format!("the ledger is not migrated: {message}")).hint("run `asmm migrate`")
        }
        19 if message.contains("append-only") => Error::input(message.to_owned()),
        19 if message.contains("cannot store REAL value") => {
            Error::input("an amount does not fit: a sum is at most 9,223,372 USD")
                .hint("check the price and the token counts; one of them is off by orders of magnitude")
        }
        // Too big, a constraint, the wrong type, out of range: something else may be taken.
        18 | 19 | 20 | 25 => Error::database(format!("the ledger failed: {message}")).of_the_value(),
        _ => Error::database(format!("the ledger failed: {message}")),
    }
}
