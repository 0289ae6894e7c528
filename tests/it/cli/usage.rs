//! Wrong flags, help, settings, and that no password is ever shown.

use crate::support::{Sandbox, postgres_url};

const COMMANDS: [&[&str]; 62] = [
    &[],
    &["demo"],
    &["migrate"],
    &["migrate", "status"],
    &["spend"],
    &["spend", "daily"],
    &["spend", "agent"],
    &["spend", "model"],
    &["spend", "pipeline"],
    &["spend", "check"],
    &["runs"],
    &["runs", "top"],
    &["runs", "list"],
    &["runs", "show"],
    &["runs", "explain"],
    &["runs", "start"],
    &["runs", "step"],
    &["runs", "call"],
    &["runs", "finish"],
    &["runs", "exec"],
    &["runs", "archive"],
    &["prices"],
    &["prices", "list"],
    &["prices", "push"],
    &["prices", "import"],
    &["prices", "missing"],
    &["prices", "alias"],
    &["prices", "reprice"],
    &["import"],
    &["import", "jsonl"],
    &["import", "traces"],
    &["import", "claude-code"],
    &["import", "codex"],
    &["import", "litellm"],
    &["import", "otlp"],
    &["runs", "diff"],
    &["prompts"],
    &["prompts", "push"],
    &["prompts", "check"],
    &["prompts", "list"],
    &["prompts", "show"],
    &["prompts", "log"],
    &["prompts", "diff"],
    &["prompts", "label"],
    &["prompts", "render"],
    &["prompts", "purge-inputs"],
    &["export", "jsonl"],
    &["export", "csv"],
    &["export", "parquet"],
    &["export", "focus"],
    &["replay"],
    &["guard"],
    &["guard", "scan"],
    &["guard", "events"],
    &["guard", "coverage"],
    &["guard", "sweep"],
    &["guard", "rules"],
    &["serve"],
    &["doctor"],
    &["spool"],
    &["spool", "status"],
    &["spool", "drain"],
];

const SECRET: &str = "postgres://me:hunter2@127.0.0.1:1/ledger?password=hunter2";

#[test]
fn every_help_fits_and_keeps_secrets() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", SECRET);
    for command in COMMANDS {
        for flag in ["--help", "-h"] {
            let help = sandbox.run(&[command, &[flag]].concat()).success();
            assert!(!help.contains("hunter2"), "{help}");
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{command:?}: {line}");
            }
        }
    }
    let version = sandbox.run(&["--version"]).success();
    assert_eq!(version, concat!("asmm ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(sandbox.run(&["spend", "daily", "--version"]).code, 0);
}

#[test]
fn the_help_reads_well() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["-h"]).success(), @r"
    A ledger of LLM spend and a registry of prompts, in the database you already have

    Usage: asmm [OPTIONS] <COMMAND>

    Commands:
      demo         See what asmm shows, on a slice of real production traces
      migrate      Bring the ledger's schema up to date, and the price catalogue in
      top          Watch spend live: the runs that run, the rate, the last hour
      spend        What was spent: by day, agent, model or pipeline
      report       A page to hand around: charts and tables of the spend in one HTML file
      runs         Runs: the most expensive, one in detail, and recording them from the shell
      prices       The price catalogue
      prompts      Prompts: versions that never change, labels that move, and what was sent
      replay       What was sent in a run: the exact texts, proven by their digests
      budgets      Budgets: what may be spent in a day, a week or a month, and asking before spending
      guard        The guard: no secret and no accidental personal data in a prompt
      import       Bring in usage from elsewhere
      export       Copy the ledger out
      serve        Take in OpenTelemetry: an OTLP/HTTP receiver
      doctor       Check the ledger, and show the evidence for each acceptance criterion
      spool        What could not be recorded, and waits on disk
      config       Settings: what is in force, and what asmm.yaml may hold
      completions  Print completions for a shell
      man          Print a manual page, or write all of them
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Options of every command:
          --database <URL>  The ledger: postgres://… or sqlite:PATH [default: from asmm.yaml, else one
                            SQLite file per user] [env: ASMM_DATABASE_URL]
          --schema <NAME>   The Postgres schema that holds the ledger [default: from asmm.yaml, else
                            asmm] [env: ASMM_SCHEMA=]
          --color <WHEN>    When to use colour [default: auto] [possible values: auto, always, never]
          --ascii           Draw with ASCII alone, where a terminal or a mail shows nothing else [env:
                            ASMM_ASCII]
    ");
    insta::assert_snapshot!(sandbox.run(&["spend", "daily", "-h"]).success(), @r"
    Spend per local day

    Usage: asmm spend daily [OPTIONS]

    Options:
          --days <N>         The last N local days, today included
          --since <WHEN>     From this day or time on: 2026-11-01, or 2026-11-01T12:00:00Z
          --until <WHEN>     Up to this day (included) or time (excluded)
          --tz <ZONE>        The time zone whose days are meant: an IANA name [default: ASMM_TZ,
                             asmm.yaml, the system's]
          --pipeline <NAME>  Only this pipeline
          --agent <NAME>     Only this agent
          --provider <NAME>  Only this provider, as reported
          --model <NAME>     Only this model, as reported
          --status <STATUS>  Only runs with this status: running, succeeded, failed, cancelled,
                             abandoned
          --all-schemas      Report on every ledger of the Postgres database, one a schema, in a column
                             of its own
          --by <WHAT,…>      Tell these apart as well: day, agent, model, pipeline [possible values:
                             day, agent, model, pipeline]
          --order <BY>       Sort by this [default: name for days, else cost] [possible values: cost,
                             calls, tokens, name]
          --limit <N>        Show only the first N rows; the total stays that of all
          --compare <RANGE>  Show beside each cost that of the range of the same length before [possible
                             values: previous]
          --fail-over <USD>  Exit with 3 when the total is more than this many dollars
          --strict           Exit with 4 when there are calls without a price
          --format <FORMAT>  How to print [default: table] [possible values: table, json, csv, markdown]
      -h, --help             Print help (see more with '--help')
      -V, --version          Print version

    Options of every command:
          --database <URL>  The ledger: postgres://… or sqlite:PATH [default: from asmm.yaml, else one
                            SQLite file per user] [env: ASMM_DATABASE_URL]
          --schema <NAME>   The Postgres schema that holds the ledger [default: from asmm.yaml, else
                            asmm] [env: ASMM_SCHEMA=]
          --color <WHEN>    When to use colour [default: auto] [possible values: auto, always, never]
          --ascii           Draw with ASCII alone, where a terminal or a mail shows nothing else [env:
                            ASMM_ASCII]
    ");
    insta::assert_snapshot!(sandbox.run(&["runs", "exec", "-h"]).success(), @r"
    Run a command as a run, and finish with its status

    Usage: asmm runs exec [OPTIONS] --pipeline <NAME> <COMMAND>...

    Arguments:
      <COMMAND>...  The command and its arguments

    Options:
          --pipeline <NAME>    The pipeline
          --run-id <UUID>      The run's id [default: a new one]
          --label <NAME=TEXT>  A word to find the run by; may be given again
          --parent <UUID>      The run that started this one [default: the run of `ASMM_RUN_ID`] [env:
                               ASMM_RUN_ID=]
          --strict             Do not start the command when the ledger is out of reach: exit with 7
      -h, --help               Print help (see more with '--help')
      -V, --version            Print version

    Options of every command:
          --database <URL>  The ledger: postgres://… or sqlite:PATH [default: from asmm.yaml, else one
                            SQLite file per user] [env: ASMM_DATABASE_URL]
          --schema <NAME>   The Postgres schema that holds the ledger [default: from asmm.yaml, else
                            asmm] [env: ASMM_SCHEMA=]
          --color <WHEN>    When to use colour [default: auto] [possible values: auto, always, never]
          --ascii           Draw with ASCII alone, where a terminal or a mail shows nothing else [env:
                            ASMM_ASCII]
    ");
}

#[test]
fn wrong_usage_is_2() {
    let sandbox = Sandbox::new();
    let wrong: [&[&str]; 22] = [
        &["frobnicate"],
        &["spend"],
        &["spend", "weekly"],
        &["spend", "daily", "--days", "0"],
        &["spend", "daily", "--days", "-1"],
        &["spend", "daily", "--days", "4000000000"],
        &["spend", "daily", "--days", "99999999999999"],
        &["spend", "daily", "--days", "3", "--since", "2026-01-01"],
        &["spend", "daily", "--since", "2026-03-10", "--until", "2026-03-01"],
        &["spend", "daily", "--since", "2026-02-30"],
        &["spend", "daily", "--since", "2026-03-10T10:00:00"],
        &["spend", "daily", "--tz", "Mars/Olympus"],
        &["spend", "daily", "--tz", ""],
        &["spend", "daily", "--by", "hour"],
        &["spend", "daily", "--format", "xml"],
        &["spend", "daily", "--limit", "0"],
        &["spend", "daily", "--fail-over", "1e3"],
        &["spend", "daily", "--status", "done"],
        &["runs", "call", "--run-id", "x", "--model", "m"],
        &["--database", "mysql://x", "spend", "daily"],
        &["--database", "postgres://me:hunter2@h:notaport/x", "spend", "daily"],
        &["--database", "postgres://127.0.0.1:1/x", "--schema", "Robert'); drop", "spend", "daily"],
    ];
    let mut said = String::new();
    for args in wrong {
        let output = sandbox.run(args);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{args:?}: {}", output.snapshot());
        let mut lines = output.stderr.lines();
        assert!(
            output.stderr.contains("\nhint: ") || output.stderr.contains("'--help'"),
            "{}",
            output.stderr
        );
        assert!(!output.stderr.contains("hunter2"));
        said.push_str(lines.next().unwrap());
        said.push('\n');
    }
    insta::assert_snapshot!(said, @r"
    error: unrecognized subcommand 'frobnicate'
    error: 'asmm spend' requires a subcommand but one was not provided
    error: unrecognized subcommand 'weekly'
    error: --days is 0; it takes 1 to 36525
    error: unexpected argument '-1' found
    error: --days is 4000000000; it takes 1 to 36525
    error: invalid value '99999999999999' for '--days <N>': 99999999999999 is not in 0..=4294967295
    error: the argument '--days <N>' cannot be used with '--since <WHEN>'
    error: the range is empty: it starts at 2026-03-10T00:00:00Z and ends at 2026-03-02T00:00:00Z
    error: --since `2026-02-30` is neither a day nor a time
    error: --since `2026-03-10T10:00:00` is neither a day nor a time
    error: `Mars/Olympus` (--tz) is not a time zone
    error: `` (--tz) is not a time zone
    error: invalid value 'hour' for '--by <WHAT,…>'
    error: invalid value 'xml' for '--format <FORMAT>'
    error: invalid value '0' for '--limit <N>': 0 is not in 1..=4294967295
    error: invalid value '1e3' for '--fail-over <USD>': `1e3` is not an amount of dollars: it is not a plain decimal number
    error: invalid value 'done' for '--status <STATUS>': status `done` is unknown
    error: invalid value 'x' for '--run-id <UUID>': run id `x` is not a UUID
    error: the database URL starts with `mysql`
    error: the database URL cannot be read
    error: `Robert'); drop` is no name for a schema
    ");
    assert_eq!(sandbox.run(&["spend", "daily", "--since", "0001-01-01"]).code, 0);
    assert_eq!(sandbox.run(&["spend", "daily", "--days", "36525", "--compare", "previous"]).code, 0);
    assert_eq!(sandbox.run(&["spend", "daily", "--since", "2026-03-01", "--until", "9999-12-31"]).code, 0);
}

#[test]
fn no_password_is_shown() {
    let sandbox = Sandbox::new().with_env("ASMM_DATABASE_URL", SECRET);
    for args in [
        &["spend", "daily"][..],
        &["migrate"],
        &["migrate", "status"],
        &["runs", "start", "--pipeline", "p"],
        &["export", "jsonl"],
        &["import", "jsonl"],
        &["frobnicate"],
    ] {
        let output = sandbox.run(args).snapshot();
        assert!(!output.contains("hunter2"), "{output}");
    }
    // The real server, the wrong password.
    let url = postgres_url();
    let (before, rest) = url.split_once("://").unwrap();
    let host = rest.split_once('@').unwrap().1;
    let wrong = format!("{before}://nobody-here:hunter2@{host}");
    let output = sandbox.run(&["spend", "daily", "--database", &wrong]);
    assert_eq!(output.code, 7, "{}", output.snapshot());
    assert!(
        !output.snapshot().contains("hunter2") && output.stderr.contains("\nhint: "),
        "{}",
        output.snapshot()
    );
}

#[test]
fn the_flag_wins_over_the_environment_over_the_file() {
    let sandbox = Sandbox::new();
    let file = |name: &str| sandbox.path().join(name).exists();
    sandbox.file("project/asmm.yaml", "database: sqlite:data/from-file.db\n");
    sandbox.file("project/deep/down/asmm.txt", "");
    let run = |args: &[&str], env: Option<&str>| {
        let mut command = sandbox.command(args);
        command.current_dir(sandbox.path().join("project/deep/down"));
        if let Some(url) = env {
            command.env("ASMM_DATABASE_URL", url);
        }
        assert!(command.output().unwrap().status.success());
    };
    run(&["migrate"], None);
    assert!(file("project/data/from-file.db"), "relative to the file, found upward");
    run(&["migrate"], Some("sqlite:from-environment.db"));
    assert!(file("project/deep/down/from-environment.db"));
    run(&["--database", "sqlite:from-flag.db", "migrate"], Some("sqlite:unused.db"));
    assert!(file("project/deep/down/from-flag.db") && !file("project/deep/down/unused.db"));
    run(&["migrate"], Some(""));
    assert!(!file("home/.local/share/asmm/ledger.db"), "empty is not set");
    sandbox.run(&["migrate"]).success();
    assert!(file("home/.local/share/asmm/ledger.db"), "without any of them, one ledger per user");
}

#[test]
fn a_bad_settings_file_is_named() {
    let sandbox = Sandbox::new();
    let with = |text: &str| {
        sandbox.file("asmm.yaml", text);
        sandbox.snapshot(&["spend", "daily"])
    };
    insta::assert_snapshot!(with("databse: sqlite:x.db\n"), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/asmm.yaml`: unknown field `databse`, expected one of `database`, `schema`, `tz`, `ascii`, `guard`, `recorder`, `budgets`
    hint: it may hold `database`, `schema`, `tz`, `ascii`, `guard`, `recorder` and `budgets`
    ");
    insta::assert_snapshot!(with("database: [1\n"), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/asmm.yaml`: database: invalid type: sequence, expected a string at line 1 column 11
    hint: it may hold `database`, `schema`, `tz`, `ascii`, `guard`, `recorder` and `budgets`
    ");
    insta::assert_snapshot!(with("tz: Moon\n"), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: `Moon` (asmm.yaml) is not a time zone
    hint: use an IANA name such as Europe/Berlin, America/New_York or UTC
    ");
    insta::assert_snapshot!(with("database: postgres://me:hunter2@[bad/x\n"), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: the database URL cannot be read
    hint: write postgres://user:password@host:5432/database; percent-encode special characters
    ");
    assert!(with("# nothing\n").starts_with("exit: 0"));
    assert!(with("").starts_with("exit: 0"));
    assert!(with("schema: other\n").starts_with("exit: 0"));
}
