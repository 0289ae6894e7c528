//! `asmm doctor`: what it says of ledgers that are in order, and that the right check fails of those that are not.

use super::{Both, Native, id, json};
use crate::support::{Output, Sandbox, block_on, postgres_url};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Past the ledger, as somebody with the database could.
pub fn tamper(sandbox: &Sandbox, statements: &[&str]) {
    let run = async |sql: &str| {
        let sql = AssertSqlSafe(sql.to_owned());
        match sandbox.env("ASMM_SCHEMA") {
            None => {
                let path = sandbox.path().join("home/.local/share/asmm/ledger.db");
                let url = format!("sqlite://{}", path.display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql("pragma foreign_keys = off").execute(&mut connection).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Some(schema) => {
                let options = PgConnectOptions::from_str(&postgres_url()).unwrap();
                let mut connection = options.options([("search_path", schema)]).connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    };
    block_on(async {
        for sql in statements {
            run(sql).await;
        }
    });
}

const NOW: &str = "2026-03-10T12:00:00Z";

/// A ledger that shows every criterion: a finished run whose step used a version, with clean texts.
fn filled(sandbox: &Sandbox) {
    sandbox.file(
        "prompts/greet.yaml",
        "schema: asmm.prompt/v1\nname: greet\nengine: subst/1\nmodel: {id: gpt-5-mini}\n\
         variables: {who: {type: string}}\nmessages: [{role: user, content: 'Hello {{who}}'}]\n",
    );
    sandbox.run(&["prompts", "push"]).success();
    let call = |n: u32, who: &str| {
        json!({"type": "call", "run_id": id(1), "call_id": id(n), "step_id": id(9), "provider": "openai",
               "model": "gpt-5-mini-2025-08-07", "called_at": format!("2026-03-10T11:00:{n}Z"),
               "usage": {"input": 10, "output": 5},
               "prompt": {"version": "greet@1", "inputs": {"who": who}, "sanitisation": "clean"}})
    };
    let lines = [
        json!({"type": "run", "run_id": id(1), "pipeline": "p", "started_at": "2026-03-10T11:00:00Z"}),
        json!({"type": "step", "run_id": id(1), "step_id": id(9), "step": "greet", "agent": "host",
               "prompt_version": "1", "started_at": "2026-03-10T11:00:00Z"}),
        call(11, "Ada"),
        call(12, "Bob"),
        json!({"type": "finish", "run_id": id(1), "status": "succeeded", "completed_at": "2026-03-10T11:30:00Z"}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    sandbox.run_with_input(&["import", "jsonl", "--strict"], &text).success();
}

/// A ledger of each database that is filled.
fn ledgers() -> [Sandbox; 2] {
    let postgres = Sandbox::new().with_postgres().with_now(NOW);
    postgres.run(&["migrate"]).success();
    let ledgers = [super::sqlite().with_now(NOW), postgres];
    ledgers.iter().for_each(filled);
    ledgers
}

fn postgres() -> Sandbox {
    let [_, postgres] = ledgers();
    postgres
}

fn sqlite() -> Sandbox {
    let [sqlite, _] = ledgers();
    sqlite
}

/// What the doctor says, and with which exit code it ends.
fn doctor(sandbox: &Sandbox, args: &[&str]) -> (i32, Value) {
    let output = sandbox.run(&[&["doctor", "--format", "json"], args].concat());
    let code = output.code;
    (code, json(Output { code: 0, ..output }))
}

/// The checks that do not hold, and those that could not be made or have nothing to look at.
fn verdicts(doctor: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = doctor["checks"].as_array().unwrap();
    checks.iter().map(|check| (text(&check["check"]), text(&check["verdict"]))).collect()
}

fn failed(doctor: &Value) -> Vec<String> {
    verdicts(doctor).into_iter().filter(|(_, verdict)| verdict == "FAILED").map(|(check, _)| check).collect()
}

fn criterion(doctor: &Value, number: &str) -> String {
    let criteria = doctor["criteria"].as_array().unwrap();
    let found = criteria.iter().find(|criterion| criterion["criterion"] == number);
    found.unwrap_or_else(|| panic!("no criterion {number}"))["verdict"].as_str().unwrap().to_owned()
}

fn findings(doctor: &Value) -> String {
    let findings = doctor["findings"].as_array();
    findings.into_iter().flatten().map(|f| format!("{}\n", f["finding"].as_str().unwrap())).collect()
}

/// What a change makes of a ledger: the exit code, the checks that fail, a part of the findings, and the criteria that
/// are no longer met.
#[track_caller]
fn breaks(sandbox: &Sandbox, change: &[&str], code: i32, checks: &[&str], finding: &str, not_met: &[&str]) {
    let (before, said) = doctor(sandbox, &[]);
    assert_eq!((before, failed(&said)), (0, vec![]), "before: {}", findings(&said));
    tamper(sandbox, change);
    let (found, said) = doctor(sandbox, &[]);
    assert_eq!(
        (found, failed(&said)),
        (code, checks.iter().map(|&c| c.to_owned()).collect()),
        "{}",
        findings(&said)
    );
    assert!(findings(&said).contains(finding), "{}", findings(&said));
    for number in ["7.1.1", "7.1.2", "7.1.3", "9.1.1", "9.1.3"] {
        let expected = if not_met.contains(&number) { "NOT MET" } else { "met" };
        assert_eq!(criterion(&said, number), expected, "{number}");
    }
}

const TRIGGERS: &str = "triggers refuse what must not change";

#[test]
fn an_empty_ledger_has_no_data_and_no_failure() {
    let both = Both::new();
    for sandbox in both.each() {
        let (code, said) = doctor(sandbox, &[]);
        assert_eq!((code, &said["verdict"]), (0, &json!("all laws hold")), "{}", findings(&said));
        let criteria = said["criteria"].as_array().unwrap();
        assert_eq!(criteria.len(), 16);
        for row in criteria {
            let expected = if row["criterion"] == "9.2.1" { "met" } else { "no data yet" };
            assert_eq!(row["verdict"], expected, "{row}");
        }
        assert_eq!(doctor(sandbox, &["--strict"]).0, 1);
        let shown = sandbox.run(&["doctor"]).success();
        assert!(shown.contains("the ledger is empty: that there is no data yet is no failure"), "{shown}");
    }
}

#[test]
fn a_ledger_in_order_shows_what_the_stories_ask() {
    for sandbox in &ledgers() {
        let (code, said) = doctor(sandbox, &[]);
        assert_eq!((code, &said["schema"]), (0, &json!("asmm.doctor/1")), "{}", findings(&said));
        for row in said["criteria"].as_array().unwrap() {
            // No recorder has run on this machine.
            let expected = if row["criterion"] == "7.2.4" { "no data yet" } else { "met" };
            assert_eq!(row["verdict"], expected, "{row}");
        }
        let evidence = said["evidence"].as_array().unwrap();
        let of = |number: &str| evidence.iter().find(|row| row["criterion"] == number).unwrap();
        assert_eq!((&of("9.1.3")["found"], &of("9.1.3")["of"]), (&json!(2), &json!(2)));
        assert_eq!((&of("9.1.3")["run_id"], &of("9.1.2")["run_id"]), (&json!(id(1)), &Value::Null));
        assert_eq!((&of("9.1.2")["found"], &of("9.1.2")["share"]), (&json!(1), &json!("1.000000")));
        assert_eq!(doctor(sandbox, &["--sample", "1"]).1["evidence"][13]["of"], 1);
        // All of it is looked at as well, and with the same outcome.
        assert_eq!(criterion(&doctor(sandbox, &["--full"]).1, "9.1.3"), "met");
        for width in ["80", "100"] {
            let output = sandbox.command(&["doctor"]).env("COLUMNS", width).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let limit: usize = width.parse().unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= limit), "{text}");
            let cut = text.lines().filter(|line| line.contains('…') && !line.contains("ledger")).count();
            assert!(width != "100" || cut == 0, "{text}");
        }
    }
}

#[test]
fn the_page_is_readable() {
    let sandbox = sqlite();
    let output = sandbox.command(&["doctor"]).env("COLUMNS", "80").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    insta::assert_snapshot!(text.replace(&sandbox.path().display().to_string(), "[dir]"), @r"
    ledger           [dir]/home/.local/share/asmm/ledger.db
    verdict          all laws hold
    criteria met     15 of 16, 1 without data yet
    runs looked at   1
    of all runs      1
    calls looked at  2
    of all calls     2

    checks
    about     check                                                  wrong  verdict
    ───────────────────────────────────────────────────────────────────────────────
    laws      a run's counters are the sums of its calls                 0  holds
    laws      the rollup is the sum of all calls                         0  holds
    laws      settled sums are the sums of the rollup                    0  holds
    laws      archived sums are the sums of what was archived            0  holds
    laws      a call belongs to a run, and to a step of it               0  holds
    laws      a call is priced by a price in force when it was made      0  holds
    laws      a call costs its tokens by the rates of its price          0  holds
    laws      each price event starts where the last one ended           0  holds
    laws      a price changes only with an event that says so            0  holds
    laws      a finished run has an end and a final cost                 0  holds
    prompts   a prompt version says what it said when it was pushed      0  holds
    prompts   what was sent has the digest stored when it was sent       0  holds
    schema    tables and views are those of the migrations               0  holds
    schema    triggers refuse what must not change                       0  holds
    schema    indexes are those of the migrations                        0  holds
    storage   the file is not damaged                                    0  holds
    storage   what a row refers to is there                              0  holds
    storage   readers and writers do not wait for each other             0  holds
    storage   what is recorded survives a power cut                      0  holds
    storage   the write-ahead log is short                               0  holds
    roles     only its owner may write the file                          0  holds
    spool     nothing waits in the spool of this machine                 0  holds
    spool     recorders on this machine are heard of                     0  no data
    spool     recorders on this machine lost nothing                     0  no data
    coverage  calls have a price                                         0  holds
    coverage  steps with calls name their prompt version                 0  holds
    coverage  what was sent was looked at before                         0  holds

    acceptance criteria of the user stories
           criterion                                             verdict
    ────────────────────────────────────────────────────────────────────────
    7.1.1  a run keeps counters of tokens and an estimated cost  met
    7.1.2  usage is added to the run it belongs to               met
    7.1.3  the cost is stored when a run completes               met
    7.1.4  queries give cost and tokens of each run              met
    7.1.5  a run from end to end has tokens and a cost           met
    7.1.6  a query gives the most expensive runs of 7 days       met
    7.2.1  a query shows spend per day                           met
    7.2.2  a query shows spend per agent                         met
    7.2.3  a query shows spend per model                         met
    7.2.4  errors of cost tracking do not break a pipeline       no data yet
    9.1.1  prompt versions are kept, with an id                  met
    9.1.2  each step run says which version it used              met
    9.1.3  a run can be replayed with the same versions          met
    9.2.1  a policy says what may go into a prompt               met
    9.2.2  no secret goes into a prompt                          met
    9.2.3  it is logged when raw content is sent                 met

    evidence in this ledger
           evidence                                   found  of  share
    ──────────────────────────────────────────────────────────────────
    7.1.1  runs whose counters equal their calls          1   1  100 %
    7.1.2  calls that belong to a run, and its step       2   2  100 %
    7.1.3  finished runs with a stored final cost         1   1  100 %
    7.1.4  newest runs that a query gives                 1   –      –
    7.1.5  finished runs with tokens and a cost           1   –      –
    7.1.6  runs of the last 7 days, at most 5             1   –      –
    7.2.1  days with spend                                1   –      –
    7.2.2  agents with spend                              1   –      –
    7.2.3  models with spend                              1   –      –
    7.2.4  events that recorders here did not lose        0   0      –
    9.1.1  prompt versions with the digest they had       1   1  100 %
    9.1.1  the database refuses changes of versions       1   1  100 %
    9.1.2  steps with calls that name their version       1   1  100 %
    9.1.3  replayed texts with the digest they had        2   2  100 %
    9.2.1  detectors of the policy in force             228   –      –
    9.2.2  prompt versions without a secret               1   1  100 %
    9.2.2  recorded texts looked at before sending        2   2  100 %
    9.2.3  calls that say what was known of the text      2   2  100 %

    UTC (the system's) · catalogue 2026-11-20
    ");
}

#[test]
fn partly_met_is_no_failure() {
    for sandbox in &ledgers() {
        let more = Native::default()
            .run(2, "q", "2026-03-10T11:00:01Z")
            .line(&format!(r#"{{"type":"step","run_id":"{}","step_id":"{}","step":"s"}}"#, id(2), id(3)))
            .line(&format!(
                r#"{{"type":"call","run_id":"{}","call_id":"{}","step_id":"{}","provider":"nobody","model":"knows-it","called_at":"2026-03-10T11:00:01Z","usage":{{"input":1}}}}"#,
                id(2), id(4), id(3)
            ));
        let imported = sandbox.run_with_input(&["import", "jsonl"], &more.0);
        assert_eq!(imported.code, 0, "{}", imported.snapshot());
        let (code, said) = doctor(sandbox, &[]);
        assert_eq!(code, 0, "{}", findings(&said));
        for check in ["calls have a price", "steps with calls name their prompt version"] {
            assert_eq!(verdicts(&said)[check], "warning", "{check}");
        }
        assert_eq!(criterion(&said, "9.1.2"), "partly met");
        assert_eq!(criterion(&said, "9.2.3"), "partly met");
        assert_eq!(criterion(&said, "7.1.1"), "met");
        assert!(
            findings(&said).contains("1 of 3 calls have no price: `asmm prices missing`"),
            "{}",
            findings(&said)
        );
        assert_eq!(doctor(sandbox, &["--strict"]).0, 1);
    }
}

/// What comes in through SQL is looked at by nobody.
#[test]
fn a_text_that_nobody_looked_at_is_a_warning() {
    let postgres = postgres();
    let call = json!([{"run_id": id(1), "call_id": id(4), "model": "gpt-4o", "called_at": "2026-03-10T11:00:01Z",
                       "prompt": {"messages": [{"role": "user", "content": "hi"}]}}]);
    tamper(&postgres, &[&format!("select record_calls('{call}')")]);
    let (code, said) = doctor(&postgres, &[]);
    assert_eq!((code, criterion(&said, "9.2.2")), (0, "partly met".to_owned()), "{}", findings(&said));
    assert_eq!(verdicts(&said)["what was sent was looked at before"], "warning");
    let finding = "1 of 3 recorded texts were not looked at before: `asmm guard sweep`";
    assert!(findings(&said).contains(finding), "{}", findings(&said));
}

#[test]
fn a_changed_counter_is_found() {
    for sandbox in &ledgers() {
        let change = "update pipeline_run set llm_calls = 7";
        let law = "a run's counters are the sums of its calls";
        breaks(sandbox, &[change], 1, &[law], "found 7 calls", &["7.1.1"]);
    }
}

#[test]
fn a_trigger_that_is_not_there_is_found() {
    let [sqlite, postgres] = ledgers();
    breaks(
        &sqlite,
        &["drop trigger prompt_version_no_update"],
        1,
        &[TRIGGERS],
        "the trigger `prompt_version_no_update` is not there",
        &["9.1.1"],
    );
    breaks(
        &postgres,
        &["alter table prompt_version disable trigger prompt_version_append_only"],
        1,
        &[TRIGGERS],
        "the trigger `prompt_version_append_only` of `prompt_version` is disabled",
        &["9.1.1"],
    );
    tamper(&postgres, &["drop trigger prompt_version_append_only on prompt_version"]);
    let (code, said) = doctor(&postgres, &[]);
    assert_eq!(code, 1);
    assert!(findings(&said).contains("`prompt_version_append_only` is not there"), "{}", findings(&said));
}

/// Each trigger and index of the migrations is known, so that none can be missing unseen.
#[test]
fn every_trigger_and_index_is_looked_for() {
    let postgres = postgres();
    let (_, said) = doctor(&postgres, &[]);
    let looked_at = |check: &str| {
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|c| c["check"] == check).unwrap()["looked_at"].as_i64().unwrap()
    };
    let count = |sql: &str| -> i64 {
        let schema = postgres.env("ASMM_SCHEMA").unwrap();
        crate::support::psql(sql, schema).success().trim().parse().unwrap()
    };
    assert_eq!(
        looked_at(TRIGGERS),
        count(
            "select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid
             where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal"
        )
    );
    assert_eq!(
        looked_at("indexes are there and valid"),
        count(
            "select count(*) from pg_index x join pg_class c on c.oid = x.indrelid
             where c.relnamespace = current_schema()::regnamespace
               and not exists (select 1 from pg_constraint k where k.conindid = x.indexrelid)"
        )
    );
}

#[test]
fn an_index_that_is_not_there_or_invalid_is_found() {
    let [sqlite, postgres] = ledgers();
    let finding = "the index `pipeline_run_started_at` is not there";
    let drop = &["drop index pipeline_run_started_at"];
    breaks(&sqlite, drop, 1, &["indexes are those of the migrations"], finding, &[]);
    breaks(
        &postgres,
        &["update pg_index set indisvalid = false where indexrelid = 'pipeline_run_started_at'::regclass"],
        1,
        &["indexes are there and valid"],
        "the index `pipeline_run_started_at` of `pipeline_run` is invalid: `reindex index pipeline_run_started_at`",
        &[],
    );
    tamper(&postgres, &["reindex index pipeline_run_started_at"]);
    breaks(&postgres, drop, 1, &["indexes are there and valid"], finding, &[]);
}

#[test]
fn what_a_role_may_is_looked_at() {
    const MAY: &str = "each role may do what it is for";
    const CHANGES: &str = "no role may change what is recorded";
    const SEES: &str = "writers and readers see no inputs and texts";
    const FUNCTIONS: &str = "functions run as owner, by a fixed search_path";
    let schema = |sandbox: &Sandbox| sandbox.env("ASMM_SCHEMA").unwrap().to_owned();
    let changed = |change: &str, check: &str, finding: &str| {
        let postgres = postgres();
        let change = change.replace("SCHEMA", &schema(&postgres));
        breaks(&postgres, &[&change], 1, &[check], finding, &[]);
    };
    for (change, check, finding) in [
        (
            "revoke execute on function start_run from asmm_writer",
            MAY,
            "`asmm_writer` may not call start_run",
        ),
        ("revoke usage on schema SCHEMA from asmm_reader", MAY, "`asmm_reader` may not use the schema"),
        ("revoke select on v_spend from asmm_reader", MAY, "`asmm_reader` may not read v_spend"),
        ("grant update on llm_call to asmm_operator", CHANGES, "`asmm_operator` may update llm_call"),
        ("grant insert on price_event to asmm_writer", CHANGES, "`asmm_writer` may insert price_event"),
        (
            "grant select (inputs) on llm_call_prompt to asmm_reader",
            SEES,
            "`asmm_reader` may read llm_call_prompt.inputs",
        ),
        ("grant select on llm_call to public", SEES, "`asmm_writer` may read llm_call.cost_pico"),
        ("alter function record_calls reset search_path", FUNCTIONS, "`record_calls` runs as its owner"),
        (
            "alter function record_calls security invoker",
            FUNCTIONS,
            "`record_calls` does not run as its owner",
        ),
        (
            "grant execute on function finish_run to public",
            FUNCTIONS,
            "everybody may call the function `finish_run`",
        ),
    ] {
        changed(change, check, finding);
    }
    let roles = &doctor(&postgres(), &[]).1["roles"];
    assert_eq!(roles[0]["role"], "asmm_writer");
    assert_eq!(roles[2]["exists"], true);
}

#[test]
fn a_file_that_others_may_write_is_found() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = sqlite();
    let path = sandbox.path().join("home/.local/share/asmm/ledger.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (code, said) = doctor(&sandbox, &[]);
    assert_eq!((code, failed(&said)), (1, vec!["only its owner may write the file".to_owned()]));
    assert!(findings(&said).contains("(mode 666): `chmod go-w"), "{}", findings(&said));
}

#[test]
fn a_row_that_refers_to_nothing_is_found() {
    let sandbox = sqlite();
    let change = "insert into prompt_label (prompt_id, label, prompt_version_id, moved_at, moved_by)
                  values (1, 'production', 99, 1773140400000000, 'x')";
    breaks(
        &sandbox,
        &[change],
        1,
        &["what a row refers to is there"],
        "1 of `prompt_label` refer to what is not in",
        &[],
    );
}

#[test]
fn a_pending_or_newer_migration_is_said() {
    for sandbox in &ledgers() {
        tamper(
            sandbox,
            &["delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)"],
        );
        let (code, said) = doctor(sandbox, &[]);
        assert_eq!((code, failed(&said)), (7, vec!["every migration is applied".to_owned()]), "{said}");
        assert!(findings(&said).contains("1 migration is pending\npending: "), "{}", findings(&said));
        let shown = sandbox.run(&["doctor"]);
        assert!(shown.stdout.contains("next: run `asmm migrate`"), "{}", shown.snapshot());
        tamper(
            sandbox,
            &["insert into _sqlx_migrations
               select 9999, 'the future', installed_on, true, checksum, 0 from _sqlx_migrations where version = 1"],
        );
        let (code, said) = doctor(sandbox, &[]);
        assert!(code == 7 && findings(&said).contains("is newer than this program"), "{}", findings(&said));
    }
    let nothing = Sandbox::new().with_postgres();
    let (code, said) = doctor(&nothing, &[]);
    assert!(code == 7 && findings(&said).contains("holds no ledger yet"), "{}", findings(&said));
}

/// What a recorder lost contradicts that nothing is lost; that one is silent does not.
#[test]
fn what_is_lost_and_silent_is_a_warning() {
    let sandbox = sqlite();
    let folder = super::spool::folder(&sandbox).join("recorders");
    std::fs::create_dir_all(&folder).unwrap();
    let report = |process: u32, minute: u32, dropped: u32| {
        json!({
            "process": process, "started_at": "2026-03-10T11:00:00Z", "updated_at": format!("2026-03-10T11:{minute}:00Z"),
            "level": "buffered", "is_running": true, "accepted": 10, "queued": 0, "delivered": 10, "spooled": 0,
            "in_spool": 0, "waiting": 0, "set_aside": 0, "dropped": dropped, "adopted": 0, "failures": 0,
            "is_connected": true
        })
        .to_string()
    };
    std::fs::write(folder.join("1.json"), report(1, 59, 0)).unwrap();
    let (code, said) = doctor(&sandbox, &["--strict"]);
    assert_eq!((code, criterion(&said, "7.2.4")), (0, "met".to_owned()), "{}", findings(&said));
    std::fs::write(folder.join("2.json"), report(2, 10, 3)).unwrap();
    let (code, said) = doctor(&sandbox, &[]);
    assert_eq!((code, criterion(&said, "7.2.4")), (1, "NOT MET".to_owned()));
    assert_eq!(verdicts(&said)["recorders on this machine are heard of"], "warning");
    assert_eq!(verdicts(&said)["recorders on this machine lost nothing"], "warning");
    assert!(findings(&said).contains("3 events are lost"), "{}", findings(&said));
}

/// A reader sees no prompts, so that not all can be checked: that is said, and nothing else is wrong.
#[test]
fn a_reader_is_told_what_it_may_not_see() {
    let ledger = postgres();
    let schema = ledger.env("ASMM_SCHEMA").unwrap().to_owned();
    let user = format!("u_{schema}");
    tamper(&ledger, &[&format!("create role {user} login password 'x'; grant asmm_reader to {user}")]);
    let url = PgConnectOptions::from_str(&postgres_url()).unwrap();
    let place = format!("{}:{}/{}", url.get_host(), url.get_port(), url.get_database().unwrap());
    let reader = Sandbox::new()
        .with_now(NOW)
        .with_env("ASMM_SCHEMA", schema)
        .with_env("ASMM_DATABASE_URL", format!("postgres://{user}:x@{place}"));
    let (code, said) = doctor(&reader, &[]);
    assert_eq!((code, failed(&said)), (0, vec![]), "{}", findings(&said));
    let verdicts = verdicts(&said);
    assert_eq!(verdicts["a prompt version says what it said when it was pushed"], "not checked");
    assert_eq!(verdicts["what was sent has the digest stored when it was sent"], "not checked");
    assert_eq!(criterion(&said, "9.1.3"), "no data yet");
    assert!(findings(&said).contains("permission denied"), "{}", findings(&said));
    assert_eq!(doctor(&reader, &["--strict"]).0, 1);
    tamper(&ledger, &[&format!("drop role {user}")]);
}
