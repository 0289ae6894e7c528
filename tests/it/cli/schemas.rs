//! Several ledgers in one Postgres database: `--all-schemas`.

use super::id;
use crate::support::{Output, Sandbox, block_on};
use serde_json::Value;
use sqlx::{Connection, PgConnection};

/// A database of its own, so that no other test's ledgers are in it, with ledgers in eight schemas.
struct Several {
    sandbox: Sandbox,
    url: String,
    name: String,
    server: String,
}

impl Several {
    fn new() -> Self {
        let server = std::env::var("ASMM_TEST_POSTGRES_URL").unwrap();
        let name = format!("asmm_several_{}", uuid::Uuid::now_v7().simple());
        run_sql(&server, &format!("create database {name}"));
        let (start, _) = server.rsplit_once('/').unwrap();
        let url = format!("{start}/{name}");
        let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", &url);
        Self { sandbox, url, name, server }
    }

    /// A ledger whose runs cost as many times 0.0026 USD as `costs` say.
    fn ledger(&self, schema: &str, costs: &[u32]) {
        let asmm = |args: &[&str]| self.sandbox.run(&[&["--schema", schema], args].concat()).success();
        asmm(&["migrate"]);
        for (place, calls) in (1..).zip(costs) {
            let run = id(place);
            asmm(&["runs", "start", "--pipeline", &format!("of-{schema}"), "--run-id", &run]);
            for call in 0..*calls {
                let call = id(place * 100 + call);
                let of = ["--run-id", &run, "--call-id", &call, "--provider", "openai", "--model", "gpt-4o"];
                asmm(&[&["runs", "call"], &of[..], &["--input", "1000", "--output", "10"]].concat());
            }
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        self.sandbox.run(args)
    }
}

impl Drop for Several {
    fn drop(&mut self) {
        run_sql(&self.server, &format!("drop database {} with (force)", self.name));
    }
}

fn run_sql(url: &str, sql: &str) {
    block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    });
}

#[test]
fn all_ledgers_of_a_database_in_one_report() {
    let several = Several::new();
    for (number, schema) in (1..).zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        several.ledger(schema, &[number, 1]);
    }
    let shown = |args: &[&str]| several.run(args).snapshot();
    insta::assert_snapshot!(shown(&["spend", "pipeline", "--all-schemas", "--limit", "3"]), @r"
    exit: 0
    --- stdout ---
    schema  pipeline  calls   input  output     cost   share
    ──────────────────────────────────────────────────────────────────────────────
    h       of-h          9   9,000      90  $0.0234  20.5 %  ████████████████████
    g       of-g          8   8,000      80  $0.0208  18.2 %  █████████████████▊
    f       of-f          7   7,000      70  $0.0182  15.9 %  ███████████████▌
    ──────────────────────────────────────────────────────────────────────────────
    total                44  44,000     440  $0.1144   100 %
    2026-02-14 – 2026-03-15 (30 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 44 calls priced
    3 of 8 rows
    --- stderr ---
    ");
    insta::assert_snapshot!(shown(&["runs", "top", "--all-schemas", "--limit", "3"]), @r"
    exit: 0
    --- stdout ---
    schema  run               pipeline  status   started           calls  input  output     cost   share
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    h       …00-000000000001  of-h      running  2026-03-15 12:00      8   8.0K      80  $0.0208  18.2 %
    g       …00-000000000001  of-g      running  2026-03-15 12:00      7   7.0K      70  $0.0182  15.9 %
    f       …00-000000000001  of-f      running  2026-03-15 12:00      6   6.0K      60  $0.0156  13.6 %
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    total                                                             44  44.0K     440  $0.1144   100 %
    hidden at 100 columns: took
    2026-03-09 – 2026-03-15 (7 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 44 calls priced
    the most expensive 3 of 16 runs; the total is that of all
    --- stderr ---
    ");
    insta::assert_snapshot!(shown(&["spend", "daily", "--all-schemas", "--limit", "2", "--compare", "previous"]), @r"
    exit: 0
    --- stdout ---
    schema  day         calls  input  output     cost  before      change  in %  share
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    a       2026-03-15      2   2.0K      20  $0.0052   $0.00  ▲ +$0.0052     –  4.5 %  ██████████▋
    b       2026-03-15      3   3.0K      30  $0.0078   $0.00  ▲ +$0.0078     –  6.8 %  ████████████████
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    total                  44  44.0K     440  $0.1144   $0.00  ▲ +$0.1144     –  100 %
    2026-02-14 – 2026-03-15 (30 days) · against 2026-01-15 – 2026-02-13 (30 days) · UTC (the system's) ·
    catalogue 2026-11-20 · 100 % of 44 calls priced
    2 of 8 rows
    --- stderr ---
    ");

    // The same sums as each by itself.
    let all = several.run(&["spend", "model", "--all-schemas", "--format", "json"]).success();
    let all: Value = serde_json::from_str(&all).unwrap();
    for row in all["rows"].as_array().unwrap() {
        let schema = row["schema"].as_str().unwrap();
        let one = several.run(&["--schema", schema, "spend", "model", "--format", "json"]).success();
        let one: Value = serde_json::from_str(&one).unwrap();
        assert_eq!(row["estimated_cost_usd"], one["rows"][0]["estimated_cost_usd"], "{schema}");
    }
    assert_eq!(all["rows"].as_array().unwrap().len(), 8);
}

#[test]
fn a_ledger_that_cannot_be_used_is_left_out_and_said() {
    let several = Several::new();
    several.ledger("a", &[2]);
    several.ledger("b", &[3]);
    run_sql(&several.url, "delete from b._sqlx_migrations where version > 3");
    // Not ledgers, or of nobody's concern.
    run_sql(
        &several.url,
        "create schema other; create table other.pipeline_run (n integer); create schema \"Odd\"",
    );
    let url = several.url.clone();
    let hide = |output: Output| {
        let text = output.snapshot();
        let server = url.rsplit_once('/').unwrap().0.rsplit_once('@').unwrap().1;
        text.replace(server, "[server]").replace(&several.name, "[db]")
    };
    insta::assert_snapshot!(hide(several.run(&["spend", "pipeline", "--all-schemas"])), @r"
    exit: 1
    --- stdout ---
    schema  pipeline  calls  input  output       cost  share
    ──────────────────────────────────────────────────────────────────────────────
    a       of-a          2  2,000      20  $0.005200  100 %  ████████████████████
    ──────────────────────────────────────────────────────────────────────────────
    total                 2  2,000      20  $0.005200  100 %
    2026-02-14 – 2026-03-15 (30 days) · UTC (the system's) · catalogue 2026-11-20 ·
    100 % of 2 calls priced
    --- stderr ---
    warning: schema `b` is left out: `postgres://[server]/[db] (schema b)` is not up to date: 15 migrations are pending
    ");
    run_sql(&several.url, "delete from a._sqlx_migrations where version > 3");
    insta::assert_snapshot!(hide(several.run(&["runs", "top", "--all-schemas"])), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    warning: schema `a` is left out: `postgres://[server]/[db] (schema a)` is not up to date: 15 migrations are pending
    warning: schema `b` is left out: `postgres://[server]/[db] (schema b)` is not up to date: 15 migrations are pending
    error: `postgres://[server]/[db] (schema b)` is not up to date: 15 migrations are pending
    hint: run `asmm migrate`; `asmm migrate --dry-run` shows what it would do
    ");
    run_sql(&several.url, "drop schema a cascade; drop schema b cascade");
    insta::assert_snapshot!(hide(several.run(&["spend", "daily", "--all-schemas"])), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: no schema of `postgres://[server]/[db]` holds a ledger that you may look into
    hint: run `asmm migrate`, or ask for `grant usage on schema`
    ");
}

#[test]
fn a_file_holds_one_ledger() {
    let sandbox = super::sqlite();
    insta::assert_snapshot!(sandbox.snapshot(&["spend", "daily", "--all-schemas"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `--all-schemas` is for Postgres: a SQLite file holds one ledger
    hint: leave it out, or name a Postgres database
    ");
    insta::assert_snapshot!(sandbox.snapshot(&["runs", "top", "--all-schemas", "--prompt", "p"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: the argument '--all-schemas' cannot be used with '--prompt <PROMPT>'

    Usage: asmm runs top --all-schemas

    For more information, try '--help'.
    ");
}

#[test]
fn readers_that_go_away() {
    let several = Several::new();
    several.ledger("a", &[2]);
    let mut asmm = several.sandbox.command(&["spend", "daily", "--all-schemas"]);
    let mut child = asmm.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
