//! `asmm migrate`: nothing, then everything, then nothing more.

use super::json;
use crate::support::{Sandbox, psql};

#[test]
fn postgres_is_migrated_when_told_to() {
    let sandbox = Sandbox::new().with_postgres();
    let hidden = |text: String| {
        let port = sandbox.env("ASMM_DATABASE_URL").unwrap().rsplit(':').next().unwrap().to_owned();
        text.replace(&port, "[port]/[db]")
    };
    for args in [&["spend", "daily"][..], &["runs", "top"], &["prices", "list"], &["export", "jsonl"]] {
        let output = sandbox.run(args);
        assert_eq!((output.code, output.stdout.as_str()), (7, ""), "{args:?} {}", output.snapshot());
        assert!(output.stderr.contains("is not migrated: it holds no ledger yet\nhint: run `asmm migrate`"));
    }
    insta::assert_snapshot!(hidden(sandbox.snapshot(&["migrate", "status"])), @r"
    exit: 0
    --- stdout ---
    ledger  postgres://127.0.0.1:[port]/[db] (schema [schema])
    state   empty

    pending
    migration  name
    ────────────────────────────
            1  catalogue
            2  prompts
            3  ledger
            4  views
            5  writing
            6  calls
            7  roles
            8  sent_prompts
            9  recording_prompts
           10  absent_ids
           11  guard
           12  settled_spend
           13  archive
           14  named_once
           15  spans
           16  provider_usage
           17  budgets
           18  outputs
    --- stderr ---
    ");
    let dry = sandbox.run(&["migrate", "--dry-run"]);
    assert!(
        dry.stdout.contains("create table") && dry.stderr.contains("nothing was changed"),
        "{}",
        dry.stderr
    );
    assert_eq!(json(sandbox.run(&["migrate", "status", "--format", "json"]))["state"], "empty");
    insta::assert_snapshot!(hidden(sandbox.snapshot(&["migrate"])), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    applied 0001_catalogue
    applied 0002_prompts
    applied 0003_ledger
    applied 0004_views
    applied 0005_writing
    applied 0006_calls
    applied 0007_roles
    applied 0008_sent_prompts
    applied 0009_recording_prompts
    applied 0010_absent_ids
    applied 0011_guard
    applied 0012_settled_spend
    applied 0013_archive
    applied 0014_named_once
    applied 0015_spans
    applied 0016_provider_usage
    applied 0017_budgets
    applied 0018_outputs
    postgres://127.0.0.1:[port]/[db] (schema [schema]): up to date, 18 migrations applied; catalogue 2026-11-20
    ");
    insta::assert_snapshot!(hidden(sandbox.snapshot(&["migrate"])), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    postgres://127.0.0.1:[port]/[db] (schema [schema]): up to date, 0 migrations applied; catalogue 2026-11-20
    ");
    insta::assert_snapshot!(hidden(sandbox.snapshot(&["migrate", "status"])), @r"
    exit: 0
    --- stdout ---
    ledger  postgres://127.0.0.1:[port]/[db] (schema [schema])
    state   up to date

    pending
    none

    catalogue 2026-11-20
    --- stderr ---
    ");
    assert_eq!(sandbox.run(&["migrate", "--dry-run"]).stdout, "");
    assert_eq!(sandbox.run(&["spend", "daily"]).code, 0);

    // A ledger of a later version is left alone.
    let schema = sandbox.env("ASMM_SCHEMA").unwrap();
    let newer = "update _sqlx_migrations set version = 9999 where version = 1";
    let table = psql("select table_name from information_schema.tables where table_schema = current_schema() and table_name like '%migration%'", schema).success();
    assert_ne!(table, "");
    psql(&newer.replace("_sqlx_migrations", table.trim()), schema).success();
    for args in [&["spend", "daily"][..], &["migrate"], &["migrate", "status"], &["migrate", "--dry-run"]] {
        let output = sandbox.run(args);
        assert_eq!(output.code, 7, "{args:?}: {}", output.snapshot());
        assert!(output.stderr.contains("\nhint: "), "{}", output.stderr);
    }
}

#[test]
fn sqlite_migrates_itself() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.snapshot(&["migrate", "status"]), @r"
    exit: 0
    --- stdout ---
    ledger  [dir]/home/.local/share/asmm/ledger.db
    state   empty

    pending
    migration  name
    ────────────────────────────
            1  catalogue
            2  prompts
            3  ledger
            4  views
            5  writing
            6  calls
            7  roles
            8  sent_prompts
            9  recording_prompts
           10  absent_ids
           11  guard
           12  settled_spend
           13  archive
           14  named_once
           15  spans
           16  provider_usage
           17  budgets
           18  outputs
    --- stderr ---
    ");
    let dry = sandbox.run(&["migrate", "--dry-run"]);
    assert!(
        dry.stdout.contains("create table") && dry.stderr.contains("nothing was changed"),
        "{}",
        dry.stderr
    );
    assert_eq!(json(sandbox.run(&["migrate", "status", "--format", "json"]))["state"], "empty");
    assert!(!sandbox.path().join("home/.local").exists(), "to look makes nothing");
    assert_eq!(sandbox.run(&["spend", "daily"]).code, 0);
    insta::assert_snapshot!(sandbox.snapshot(&["migrate"]), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    [dir]/home/.local/share/asmm/ledger.db: up to date, 0 migrations applied; catalogue 2026-11-20
    ");
    assert_eq!(json(sandbox.run(&["migrate", "status", "--format", "json"]))["state"], "up to date");
}
