//! `asmm runs archive`, and `asmm import jsonl` of what it wrote.

use super::{Both, Native, id, json};
use crate::support::{Output, Sandbox};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;

const NOW: &str = "2026-11-20T12:00:00Z";

/// Two finished runs of October, one with a call that nobody can price; one of November; one that runs on.
fn fill(sandboxes: &[&Sandbox]) {
    let step = |run: u32, step: u32| {
        format!(
            r#"{{"type":"step","run_id":"{}","step_id":"{}","step":"research","agent":"researcher","started_at":"2026-10-01T10:00:00Z"}}"#,
            id(run),
            id(step)
        )
    };
    let of_step = format!(
        r#"{{"type":"call","run_id":"{}","call_id":"{}","step_id":"{}","provider":"anthropic","model":"claude-sonnet-4-5","operation":"chat","called_at":"2026-10-01T10:01:00.123456Z","latency_ms":1200,"response_id":"msg_1","usage":{{"input":100,"cache_read":5000,"output":300}}}}"#,
        id(1),
        id(20),
        id(30)
    );
    let lines = Native::default()
        .run(1, "enrichment", "2026-10-01T10:00:00Z")
        .line(&step(1, 30))
        .line(&of_step)
        .call(1, 21, "writer", "2026-10-01T10:20:00Z", 2_000_000)
        .call_of(1, 22, "writer", ("acme", "nobody-knows-it"), "2026-10-01T10:21:00Z", r#"{"input":10}"#)
        .finish(1, "succeeded", "2026-10-01T10:30:00Z")
        .run(2, "nightly", "2026-10-20T23:50:00Z")
        .call(2, 23, "writer", "2026-10-20T23:59:00Z", 4_000_000)
        .call(2, 24, "writer", "2026-10-21T00:01:00Z", 6_000_000)
        .finish(2, "failed", "2026-10-21T00:02:00Z")
        .run(3, "enrichment", "2026-11-10T10:00:00Z")
        .call(3, 25, "writer", "2026-11-10T10:01:00Z", 8_000_000)
        .finish(3, "succeeded", "2026-11-10T10:30:00Z")
        .run(4, "enrichment", "2026-10-02T10:00:00Z")
        .call(4, 26, "writer", "2026-10-02T10:01:00Z", 1_000_000);
    for sandbox in sandboxes {
        sandbox.run_with_input(&["import", "jsonl", "--strict"], &lines.0).success();
    }
}

/// A ledger in each database, late in November.
fn both() -> Both {
    let Both { sqlite, postgres } = Both::new();
    Both { sqlite: sqlite.with_now(NOW), postgres: postgres.with_now(NOW) }
}

/// What a ledger says, except where it is about single calls.
fn reports(sandbox: &Sandbox) -> String {
    let of = |args: &[&str]| sandbox.run(&[args, &["--format", "json"]].concat()).success();
    [
        of(&["spend", "daily", "--days", "90"]),
        of(&["spend", "agent", "--days", "90", "--tz", "Asia/Kathmandu"]),
        of(&["spend", "model", "--days", "90", "--status", "failed"]),
        of(&["spend", "pipeline", "--since", "2026-10-01T10:15:00Z", "--until", "2026-10-21T00:00:00Z"]),
        of(&["runs", "top", "--days", "90"]),
        of(&["runs", "list", "--days", "90", "--agent", "researcher"]),
        of(&["runs", "list", "--days", "90", "--model", "claude-sonnet-4-5"]),
        of(&["prices", "missing", "--days", "90"]),
    ]
    .concat()
}

fn archive(sandbox: &Sandbox, more: &[&str]) -> Output {
    sandbox.run(&[&["runs", "archive", "--before", "2026-11-01", "--tz", "UTC"], more].concat())
}

fn lines_of(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let mut text = String::new();
    let file = File::open(sandbox.path().join(name)).unwrap();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn reports_say_what_they_said_and_import_brings_the_calls_back() {
    let both = both();
    fill(&both.each());
    for sandbox in both.each() {
        let before = reports(sandbox);
        let whole = sandbox.run(&["export", "jsonl"]).success();
        let runs: Vec<String> = [1, 2].map(|run| sandbox.run(&["runs", "show", &id(run)]).success()).into();

        let dry = json(archive(sandbox, &["--dry-run", "--format", "json"]));
        assert_eq!((&dry["runs"], &dry["calls"], &dry["unpriced_calls"]), (&2.into(), &4.into(), &1.into()));
        assert_eq!(reports(sandbox), before);
        let done = json(archive(sandbox, &["--format", "json"]));
        assert_eq!(
            (&done["runs"], &done["calls"], &done["unpriced_calls"]),
            (&2.into(), &4.into(), &1.into())
        );
        assert!(done["file"].as_str().unwrap().ends_with("/asmm-archive-2026-11-01.jsonl.gz"));
        assert_eq!(reports(sandbox), before);
        sandbox.run(&["doctor"]).success();

        let partial = sandbox.run(&["export", "jsonl"]);
        assert!(
            partial.stderr.contains("warning: 4 calls are in archives and not in this copy"),
            "{}",
            partial.stderr
        );
        assert!(partial.stdout.lines().count() < whole.lines().count());

        let back = sandbox.run(&["import", "jsonl", "--strict", "asmm-archive-2026-11-01.jsonl.gz"]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(back.snapshot(), @r"
            exit: 0
            --- stdout ---
            --- stderr ---
            0 calls recorded in 0 runs, 0 were there already, 4 are back from the archive
            ");
        }
        assert_eq!(reports(sandbox), before);
        assert_eq!(sandbox.run(&["export", "jsonl"]).success(), whole);
        for (run, said) in [1, 2].into_iter().zip(runs) {
            assert_eq!(sandbox.run(&["runs", "show", &id(run)]).success(), said);
        }
        // Nothing is left to bring back, and nothing comes twice.
        let again = sandbox.run(&["import", "jsonl", "--strict", "asmm-archive-2026-11-01.jsonl.gz"]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(again.snapshot(), @r"
            exit: 0
            --- stdout ---
            --- stderr ---
            0 calls recorded in 2 runs, 4 were there already
            ");
        }
        assert_eq!(reports(sandbox), before);
        // The same calls leave again; the name is taken.
        let done = json(archive(sandbox, &["--format", "json"]));
        assert!(done["file"].as_str().unwrap().ends_with("/asmm-archive-2026-11-01-2.jsonl.gz"));
        assert_eq!(
            lines_of(sandbox, "asmm-archive-2026-11-01.jsonl.gz"),
            lines_of(sandbox, "asmm-archive-2026-11-01-2.jsonl.gz")
        );
        assert_eq!(reports(sandbox), before);
    }
}

#[test]
fn what_is_about_single_calls_says_where_they_are() {
    let both = both();
    fill(&both.each());
    for sandbox in both.each() {
        archive(sandbox, &["--output", "october.gz"]).success();
        let folder = sandbox.path().canonicalize().unwrap().display().to_string();
        let said = |args: &[&str]| {
            let said = sandbox.run(args).snapshot().replace(&folder, "[folder]");
            let lines = said.lines().filter(|line| !line.starts_with("costed "));
            lines.collect::<Vec<_>>().join("\n")
        };
        insta::allow_duplicates! {
            insta::assert_snapshot!(said(&["runs", "show", &id(1), "--tz", "UTC"]), @r"
            exit: 0
            --- stdout ---
            run               00000000-0000-7000-8000-000000000001
            pipeline          enrichment
            status            succeeded
            started           2026-10-01 10:00:00
            completed         2026-10-01 10:30:00
            calls             3
            unpriced          1
            input tokens      2,005,110
            output tokens     300
            embedding tokens  0
            cost (USD)        $5.01

            steps
            id                    step      agent       attempt  status   prompt  started              completed
            ────────────────────────────────────────────────────────────────────────────────────────────────────
            …0-8000-00000000001e  research  researcher        1  running  –       2026-10-01 10:00:00  –

            spend by agent and model
            agent       model              calls  unpriced  input  of it cached  output      cost   share
            ─────────────────────────────────────────────────────────────────────────────────────────────
            writer      gpt-4o                 1         0   2.0M             0       0     $5.00  99.9 %
            researcher  claude-sonnet-4-5      1         0   5.1K          5.0K     300     $0.01   0.1 %
            writer      nobody-knows-it        1         1     10             0       0  unpriced       –
            hidden at 100 columns: provider

            UTC (from --tz) · catalogue 2026-11-20 · 66.7 % of 3 calls priced
            1 call (33.3 %) is unpriced and not in these sums: see `asmm prices missing`
            what each step spent is not known here: its calls are archived
            2 calls are archived in `[dir]/october.gz` since 2026-11-20; `asmm import jsonl` of it
            brings them back
            --- stderr ---
            ");
            insta::assert_snapshot!(said(&["runs", "explain", &id(1), "--tz", "UTC"]), @r"
            exit: 0
            --- stdout ---
            run               00000000-0000-7000-8000-000000000001
            pipeline          enrichment
            status            succeeded
            started           2026-10-01 10:00:00
            completed         2026-10-01 10:30:00
            calls             3
            unpriced          1
            input tokens      2,005,110
            output tokens     300
            embedding tokens  0
            cost (USD)        $5.01

            calls
            call                kind  count  × rate  per  = amount  price entry  note
            ────────────────────────────────────────────────────────────────────────────────────────────────────
            …8000-000000000016  –         –       –  –    unpriced  –            the catalogue has no such model
            hidden at 100 columns: called, model, tier, state, since, source

            UTC (from --tz) · catalogue 2026-11-20 · 66.7 % of 3 calls priced
            1 call (33.3 %) is unpriced and not in these sums: see `asmm prices missing`
            2 calls are archived in `[dir]/october.gz` since 2026-11-20; `asmm import jsonl` of it
            brings them back
            --- stderr ---
            ");
            insta::assert_snapshot!(said(&["runs", "explain", &id(2), "--call", &id(23)]), @r"
            exit: 1
            --- stdout ---
            --- stderr ---
            error: run `00000000-0000-7000-8000-000000000002` has no call `00000000-0000-7000-8000-000000000017`
            hint: is it archived? 2 calls are archived in `[dir]/october.gz` since 2026-11-20; `asmm import jsonl` of it brings them back
            ");
            insta::assert_snapshot!(said(&["replay", &id(2)]), @r"
            exit: 5
            --- stdout ---
            run 00000000-0000-7000-8000-000000000002  nightly  failed  started 2026-10-20T23:50:00Z

            0 of 0 calls verified; 2: archived, and no prompt is here
            --- stderr ---
            note: 2 calls are archived in `[dir]/october.gz` since 2026-11-20; `asmm import jsonl` of it brings them back
            ");
            insta::assert_snapshot!(said(&["guard", "coverage", "--days", "90", "--tz", "UTC"]), @r"
            exit: 0
            --- stdout ---
            pipeline    calls  covered  clean  redacted  raw  exposed  unscanned  not recorded
            ──────────────────────────────────────────────────────────────────────────────────
            enrichment      3      0 %      0         0    0        0          0             3
            ──────────────────────────────────────────────────────────────────────────────────
            total           3      0 %      0         0    0        0          0             3
            2026-08-23 – 2026-11-20 (90 days) · UTC (from --tz) · catalogue 2026-11-20
            4 archived calls are not counted: `asmm runs show` says where a run's calls went
            --- stderr ---
            ");
            insta::assert_snapshot!(said(&["prices", "reprice", "--days", "90", "--dry-run", "--tz", "UTC"]), @r"
            exit: 0
            --- stdout ---
            no calls whose price changed in 2026-08-23 – 2026-11-20 (90 days)
            next: what is recorded is what today's prices say
            2026-08-23 – 2026-11-20 (90 days) · UTC (from --tz) · catalogue 2026-11-20
            4 archived calls keep their prices: `asmm import jsonl` of their file brings them back
            --- stderr ---
            ");
            insta::assert_snapshot!(said(&["spend", "daily", "--since", "2026-10-01T10:01:30Z"]), @r"
            exit: 2
            --- stdout ---
            --- stderr ---
            error: calls of the quarter of an hour from 2026-10-01T10:00:00Z on are archived, so that it cannot be cut at 2026-10-01T10:01:30Z
            hint: ask for whole quarters of an hour, or bring the calls back: `asmm runs archive --help`
            ");
        }
    }
}

#[test]
fn another_ledger_takes_the_calls_as_its_own() {
    let both = both();
    fill(&[&both.sqlite]);
    let of = |sandbox: &Sandbox| {
        sandbox
            .run(&[
                "spend",
                "model",
                "--since",
                "2026-10-01",
                "--model",
                "gpt-4o",
                "--until",
                "2026-10-31",
                "--format",
                "csv",
            ])
            .success()
    };
    archive(&both.sqlite, &["--output", "october.gz"]).success();
    let file = both.sqlite.path().join("october.gz").display().to_string();
    let taken = both.postgres.run(&["import", "jsonl", "--strict", &file]);
    insta::assert_snapshot!(taken.snapshot(), @r"
    exit: 0
    --- stdout ---
    --- stderr ---
    4 calls recorded in 2 runs, 0 were there already
    ");
    insta::assert_snapshot!(of(&both.postgres), @r"
    provider,model,llm_calls,unpriced_calls,llm_tokens_input,cache_read_tokens,llm_tokens_output,reasoning_tokens,embedding_tokens,input_tokens,cache_write_tokens,cache_write_long_tokens,output_tokens,web_searches,estimated_cost_usd,share
    openai,gpt-4o,3,0,12000000,0,0,0,0,12000000,0,0,0,0,30,1.000000
    ");
    both.postgres.run(&["doctor"]).success();
    let again = both.postgres.run(&["import", "jsonl", "--strict", &file]);
    assert!(again.stderr.contains("0 calls recorded in 2 runs, 4 were there already"), "{}", again.stderr);
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let sandbox = super::sqlite().with_now(NOW);
    fill(&[&sandbox]);
    archive(&sandbox, &["--output", "october.gz"]).success();
    let changed =
        lines_of(&sandbox, "october.gz").join("\n").replace("\"input_tokens\":4000000", "\"input_tokens\":4");
    sandbox.file("changed.jsonl", &changed);
    let refused = sandbox.run(&["import", "jsonl", "--strict", "changed.jsonl"]);
    insta::assert_snapshot!(refused.snapshot().replace(&sandbox.path().canonicalize().unwrap().display().to_string(), "[folder]"), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    skipped: changed.jsonl:6: calls of run `00000000-0000-7000-8000-000000000002` are in an archive, and this is not the line they left in (was the file edited? `asmm runs show` names the file)
    0 calls recorded in 0 runs, 0 were there already, 2 are back from the archive, 1 skipped
    ");
    sandbox.run(&["doctor"]).success();
}

#[test]
fn what_cannot_be_archived_is_said() {
    let sandbox = super::sqlite().with_now(NOW);
    fill(&[&sandbox]);
    sandbox.file("there.gz", "precious");
    let folder = sandbox.path().canonicalize().unwrap().display().to_string();
    let said = |args: &[&str]| {
        sandbox.run(&[&["runs", "archive"], args].concat()).snapshot().replace(&folder, "[folder]")
    };
    insta::assert_snapshot!(said(&[]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: the following required arguments were not provided:
      --before <DATE>

    Usage: asmm runs archive --before <DATE>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(said(&["--before", "yesterday"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: --before `yesterday` is neither a day nor a time
    hint: write a day such as 2026-11-01, or a time with an offset such as 2026-11-01T12:00:00Z
    ");
    insta::assert_snapshot!(said(&["--before", "2027-01-01"]), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: --before `2027-01-01` is in the future
    hint: name the day up to which runs are old enough to go
    ");
    insta::assert_snapshot!(said(&["--before", "2026-11-01", "--output", "there.gz"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/there.gz` is there already
    hint: an archive is never overwritten: name another file
    ");
    insta::assert_snapshot!(said(&["--before", "2026-11-01", "--output", "no/such/folder.gz"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: `[dir]/no/such/folder.gz.part` cannot be written: No such file or directory (os error 2)
    hint: is the folder there, and is there room in it? nothing has left the journal
    ");
    insta::assert_snapshot!(said(&["--before", "2020-01-01", "--tz", "UTC"]), @r"
    exit: 0
    --- stdout ---
    finished before              2020-01-01 00:00:00
    runs archived                0
    calls that left the journal  0
    calls without a price        0
    dry run                      no

    UTC (from --tz)
    there is nothing to archive, and no file was written
    --- stderr ---
    ");
    assert_eq!(std::fs::read_to_string(sandbox.path().join("there.gz")).unwrap(), "precious");
    // What an archive that was interrupted left behind is written over.
    sandbox.file("october.gz.part", "half of it");
    let held = File::open(sandbox.path().join("october.gz.part")).unwrap();
    held.lock().unwrap();
    insta::assert_snapshot!(said(&["--before", "2026-11-01", "--output", "october.gz"]), @r"
    exit: 1
    --- stdout ---
    --- stderr ---
    error: another archive is being written to `[dir]/october.gz.part`
    hint: wait for it, or name another file: --output
    ");
    drop(held);
    insta::assert_snapshot!(said(&["--before", "2026-11-01", "--tz", "UTC", "--output", "october.gz", "--compact"])
        .lines().filter(|line| !line.starts_with("bytes ")).collect::<Vec<_>>().join("\n"), @r"
    exit: 0
    --- stdout ---
    finished before              2026-11-01 00:00:00
    file                         [dir]/october.gz
    runs archived                2
    calls that left the journal  4
    calls without a price        1
    dry run                      no

    UTC (from --tz)
    `asmm import jsonl FILE` brings the calls back; reports say what they said
    calls without a price stay in the journal: theirs may still come
    --- stderr ---
    ");
    assert!(!sandbox.path().join("october.gz.part").exists());
    assert_eq!(lines_of(&sandbox, "october.gz").len(), 7);
}

#[test]
fn postgres_compacts_by_itself() {
    let sandbox = Sandbox::new().with_postgres();
    sandbox.run(&["migrate"]).success();
    insta::assert_snapshot!(archive(&sandbox, &["--compact"]).snapshot(), @r"
    exit: 2
    --- stdout ---
    --- stderr ---
    error: --before `2026-11-01` is in the future
    hint: name the day up to which runs are old enough to go
    ");
}
