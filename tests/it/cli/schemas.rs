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
    insta::assert_snapshot!(shown(&["spend", "pipeline", "--all-schemas", "--limit", "3"]), @"");
    insta::assert_snapshot!(shown(&["runs", "top", "--all-schemas", "--limit", "3"]), @"");
    insta::assert_snapshot!(shown(&["spend", "daily", "--all-schemas", "--limit", "2", "--compare", "previous"]), @"");

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
    run_sql(&several.url, "create schema other; create table other.pipeline_run (n integer); create schema \"Odd\"");
    let url = several.url.clone();
    let hide = |output: Output| {
        let text = output.snapshot();
        let server = url.rsplit_once('/').unwrap().0.rsplit_once('@').unwrap().1;
        text.replace(server, "[server]").replace(&several.name, "[db]")
    };
    insta::assert_snapshot!(hide(several.run(&["spend", "pipeline", "--all-schemas"])), @"");
    run_sql(&several.url, "delete from a._sqlx_migrations where version > 3");
    insta::assert_snapshot!(hide(several.run(&["runs", "top", "--all-schemas"])), @"");
    run_sql(&several.url, "drop schema a cascade; drop schema b cascade");
    insta::assert_snapshot!(hide(several.run(&["spend", "daily", "--all-schemas"])), @"");
}

#[test]
fn a_file_holds_one_ledger() {
    let sandbox = super::sqlite();
    insta::assert_snapshot!(sandbox.snapshot(&["spend", "daily", "--all-schemas"]), @"");
    insta::assert_snapshot!(sandbox.snapshot(&["runs", "top", "--all-schemas", "--prompt", "p"]), @"");
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
