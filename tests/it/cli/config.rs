//! `asmm config`: what is in force, where it was set, and no password.

use super::{json, repository};
use crate::support::Sandbox;
use serde_json::Value;

#[test]
fn without_any_setting_all_is_the_default() {
    let sandbox = Sandbox::new();
    let report = json(sandbox.run(&["config", "show", "--format", "json"]));
    for row in report["rows"].as_array().unwrap() {
        let (setting, source) = (row["setting"].as_str().unwrap(), row["source"].as_str());
        let expected = if setting == "color" { "environment" } else { "default" };
        assert!(source.is_none_or(|source| source == expected), "{row}");
        assert_eq!(source.is_none(), row["value"].is_null(), "{row}");
    }
    let ledger = row(&report, "database")["value"].as_str().unwrap();
    assert!(ledger.ends_with("home/.local/share/asmm/ledger.db"), "{ledger}");
    assert_eq!(row(&report, "schema")["value"], "asmm");
    let table = sandbox.run(&["config", "show"]).success();
    assert!(table.starts_with("setting"), "{table}");
    assert!(table.contains("recorder.level") && table.contains("buffered"), "{table}");
}

fn row<'a>(report: &'a Value, setting: &str) -> &'a Value {
    let rows = report["rows"].as_array().unwrap();
    rows.iter().find(|row| row["setting"] == setting).unwrap_or_else(|| panic!("no {setting} in {report}"))
}

#[test]
fn each_value_says_where_it_was_set() {
    let sandbox = Sandbox::new()
        .with_env("ASMM_DATABASE_URL", "postgres://me:hunter2@db.internal:5433/llm?password=hunter3")
        .with_env("ASMM_SERVE_TOKEN", "hunter4hunter4hunter4")
        .with_env("ASMM_SPOOL_MAX_BYTES", "4096")
        .with_env("ASMM_LOG_LEVEL", "info");
    let file = sandbox.file(
        "asmm.yaml",
        "database: sqlite:unused.db\nschema: of_the_file\ntz: Europe/Oslo\nguard:\n  soft: true\n  kinds: {ip: report}\n",
    );
    let report = json(sandbox.run(&["config", "show", "--schema", "of_the_flag", "--format", "json"]));
    assert_eq!(report["schema"], "asmm.config/1");
    let file = file.display().to_string().replace(&sandbox.path().display().to_string(), "[dir]");
    for (setting, value, source, from) in [
        (
            "database",
            "postgres://db.internal:5433/llm (schema of_the_flag)",
            "environment",
            "ASMM_DATABASE_URL",
        ),
        ("schema", "of_the_flag", "flag", "--schema"),
        ("tz", "Europe/Oslo", "file", &file),
        ("guard.soft", "true", "file", &file),
        ("guard.kinds", r#"{"ip":"report"}"#, "file", &file),
        ("recorder.spool_max_bytes", "4096", "environment", "ASMM_SPOOL_MAX_BYTES"),
        ("log level", "info", "environment", "ASMM_LOG_LEVEL"),
        ("color", "never", "environment", "NO_COLOR"),
        ("serve token", "(not shown)", "environment", "ASMM_SERVE_TOKEN"),
    ] {
        let row = row(&report, setting);
        let said = ["value", "source", "from"].map(|key| row[key].as_str().unwrap());
        assert_eq!(said, [value, source, from], "{setting}");
    }
    for (setting, value) in
        [("guard.on_secret", "block"), ("recorder.level", "buffered"), ("log format", "text")]
    {
        let row = row(&report, setting);
        assert_eq!((&row["value"], &row["source"]), (&value.into(), &"default".into()), "{setting}");
    }
    assert!(!report.to_string().contains("hunter"), "{report}");
    assert!(row(&report, "run")["value"].is_null());
    // A flag that stands before the command is one too.
    let report = json(sandbox.run(&["--database", "sqlite:x.db", "config", "show", "--format", "json"]));
    assert_eq!(row(&report, "database")["source"], "flag");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_the_schema_is_printed_all_the_same() {
    let sandbox = Sandbox::new();
    sandbox.file("asmm.yaml", "databse: x\n");
    assert_eq!(sandbox.run(&["config", "show"]).code, 1);
    for args in [&["completions", "bash"][..], &["man"]] {
        assert_eq!(sandbox.run(args).code, 0, "{args:?} needs no settings");
    }
    let schema: Value = serde_json::from_str(&Sandbox::new().run(&["config", "schema"]).success()).unwrap();
    assert_eq!(schema["properties"]["recorder"]["properties"]["level"]["default"], "buffered");
}

/// The example is accepted by the program, not only by the parser.
#[test]
fn the_example_can_be_used() {
    let sandbox = Sandbox::new();
    let text = std::fs::read_to_string(repository("examples/settings/asmm.yaml")).unwrap();
    sandbox.file("asmm.yaml", &text);
    let report = json(sandbox.run(&["config", "show", "--format", "json"]));
    assert_eq!(row(&report, "tz")["value"], "Europe/Berlin");
    assert_eq!(row(&report, "database")["value"], "sqlite:[dir]/team/ledger.db");
    std::fs::create_dir(sandbox.path().join("team")).unwrap();
    sandbox.run(&["migrate"]).success();
}
