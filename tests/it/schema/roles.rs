//! Who may do what in a Postgres ledger.

use super::shape::{ROLES, functions, grants, of_postgres};
use super::{call, connect, count, filled, migrated, postgres, run_id, said, start};
use crate::support::{Output, TestDb, block_on, psql};
use asmm::clock::Clock;
use asmm::domain::{Call, FinishRun, FinishStep, StartStep, Status, StepId};
use asmm::error::ErrorKind;
use asmm::store::{Location, SchemaState, Store};
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Runs `sql` as `role`.
fn as_role(role: &str, sql: &str, db: &TestDb) -> Output {
    psql(&format!("set role {role}; {sql}"), &db.schema)
}

fn is_denied(output: &Output) -> bool {
    output.code != 0 && output.stderr.contains("permission denied")
}

const RUN: &str = "00000000-0000-0000-0000-0000000000aa";

/// What a pipeline does, in its own words.
fn recording() -> [String; 11] {
    [
        format!("select start_run(run_id => '{RUN}', pipeline => 'p')"),
        format!("select start_step(run_id => '{RUN}', step_id => '{RUN}', step => 's')"),
        format!(
            "select record_calls(calls => '[{{\"run_id\": \"{RUN}\", \"call_id\": \"{RUN}\", \"model\": \"m\",
               \"called_at\": \"2026-01-15T12:00:00Z\"}}]')"
        ),
        format!(
            "select record_call(run_id => '{RUN}', call_id => '{RUN}', step_id => null, pipeline => null,
               agent => '', provider => '', model => 'm', operation => 'chat', service_tier => 'standard',
               called_at => '2026-01-15T12:00:00Z', input_tokens => null, cache_read_tokens => null,
               cache_write_tokens => null, cache_write_long_tokens => null, output_tokens => null,
               reasoning_tokens => null, embedding_tokens => null, web_searches => null, latency_ms => null,
               outcome => 'ok', response_id => null)"
        ),
        format!(
            "select record_call_batch(run_id => array['{RUN}']::uuid[], named_run => null, named_pipeline => null,
               named_at => null, step_run => null, step_id => null, agent => array['']::text[],
               provider => array['']::text[], model => array['m'], operation => array['chat'],
               service_tier => array['standard'], run => array[1], step => null, kind => array[1],
               call_id => array['{RUN}']::uuid[], called_at => array['2026-01-15T12:00:00Z']::timestamptz[],
               input_tokens => array[null]::int[], cache_read_tokens => array[null]::int[],
               cache_write_tokens => array[null]::int[], cache_write_long_tokens => array[null]::int[],
               output_tokens => array[null]::int[], reasoning_tokens => array[null]::int[],
               embedding_tokens => array[null]::int[], web_searches => array[null]::int[],
               latency_ms => array[null]::bigint[], outcome => array['ok'], response_id => array[null]::text[])"
        ),
        format!(
            "select record_prompts(prompts => '[{{\"run_id\": \"{RUN}\", \"call_id\": \"{RUN}\",
               \"sent_at\": \"2026-02-01T00:00:00Z\", \"prompt\": {{\"messages\": [{{\"role\": \"user\"}}]}}}}]')"
        ),
        format!(
            "select record_prompt_rows(run_id => array['{RUN}']::uuid[], call_id => array['{RUN}']::uuid[],
               step_id => array[null]::uuid[], sent_at => array['2026-02-01']::timestamptz[],
               version => array[null]::text[], inputs => array[null]::text[], text_sha256 => array[null]::bytea[],
               body => array['[{{\"role\":\"user\"}}]'], sanitisation => array['clean'],
               purged_at => array[null]::timestamptz[])"
        ),
        format!("select reserve(run_id => '{RUN}', call_id => gen_random_uuid(), amount_usd => 0.5)"),
        format!("select release(run_id => '{RUN}', call_id => '{RUN}')"),
        format!("select finish_step(run_id => '{RUN}', step_id => '{RUN}', status => 'succeeded')"),
        format!("select finish_run(run_id => '{RUN}', status => 'succeeded')"),
    ]
}

#[test]
fn a_writer_records_and_does_nothing_else() {
    let db = TestDb::postgres();
    block_on(migrated(&db));
    for sql in recording() {
        as_role("asmm_writer", &sql, &db).success();
    }
    let calls =
        as_role("asmm_operator", "select llm_calls, unpriced_calls, status from v_run", &db).success();
    assert_eq!(calls, "SET\n1|1|succeeded\n");
    for relation in block_on(of_postgres(&db)) {
        if !["price_catalogue", "prompt", "prompt_version", "prompt_label", "guard_event"]
            .contains(&relation.name.as_str())
        {
            let output = as_role("asmm_writer", &format!("select count(*) from {}", relation.name), &db);
            assert!(is_denied(&output), "{} {output:?}", relation.name);
        }
    }
    for sql in [
        "insert into llm_call (run_id) values (null)",
        "update pipeline_run set cost_pico = 0",
        "delete from llm_call",
        "truncate llm_call_prompt",
        "insert into model_alias (origin) values ('user')",
        "select * from price_run(null, true, null, null, null, null, 'x', 'x')",
        "select run_json('00000000-0000-0000-0000-0000000000aa')",
        "insert into budget (name, limit_pico, period, time_zone, is_hard, is_removed, set_by)
           values ('b', 1, 'day', 'UTC', true, false, 'me')",
        "select * from budget_period('day', 'UTC', now())",
        "create table mine (id integer)",
    ] {
        let output = as_role("asmm_writer", sql, &db);
        assert!(is_denied(&output), "{sql}: {output:?}");
    }
}

#[test]
fn a_reader_sees_reports_and_no_prompts() {
    let db = TestDb::postgres();
    block_on(filled(&db));
    for relation in block_on(of_postgres(&db)) {
        let output = as_role("asmm_reader", &format!("select * from {} limit 1", relation.name), &db);
        let is_secret = ["llm_call_prompt", "prompt_text", "prompt_version", "otel_part", "otel_response"]
            .contains(&relation.name.as_str());
        assert_eq!(is_denied(&output), is_secret, "{} {output:?}", relation.name);
        let output = as_role("asmm_reader", &format!("delete from {}", relation.name), &db);
        assert_ne!(output.code, 0, "{}", relation.name);
    }
    for sql in recording() {
        assert!(is_denied(&as_role("asmm_reader", &sql, &db)), "{sql}");
    }
}

#[test]
fn an_operator_brings_in_prices_and_prompts_and_edits_nothing() {
    let db = TestDb::postgres();
    block_on(filled(&db));
    for sql in recording() {
        as_role("asmm_operator", &sql, &db).success();
    }
    for sql in [
        "insert into price_catalogue (origin, name, prices, recorded_by) values ('user', 'u', 1, 'me')",
        "insert into model_price (origin, provider, model, service_tier, effective_from, revision, over_input_tokens,
           input_rate, source) values ('user', 'p', 'm', 'standard', 'epoch', 1, 0, 5, 'me')",
        "insert into model_alias (origin, provider, model, target_provider, target_model, revision, recorded_by)
           values ('user', '', 'm', 'p', 'm', 1, 'me')",
        "insert into prompt (name) values ('p')",
        "insert into prompt_version (prompt_id, version, digest, content, source, created_by)
           values (1, 2, sha256('{}'), '{}', '', 'me')",
        "insert into prompt_label (prompt_id, label, prompt_version_id, moved_by) values (1, 'production', 1, 'me')",
        "insert into prompt_text (text_sha256, body) values (sha256('x'), 'x')",
        "insert into budget (name, limit_pico, period, time_zone, is_hard, is_removed, set_by)
           values ('b', 1, 'day', 'UTC', true, false, 'me')",
        "insert into guard_event (detector, findings, decision, reason, rules_sha256, policy_sha256)
           values ('email', 1, 'redact', 'r', sha256('r'), sha256('p'))",
        "select * from price_run('00000000-0000-0000-0000-000000000001', true, null, null, null, null, 'why', 'me')",
    ] {
        as_role("asmm_operator", sql, &db).success();
    }
    for relation in block_on(of_postgres(&db)) {
        as_role("asmm_operator", &format!("select count(*) from {}", relation.name), &db).success();
    }
}

/// The journal is edited by nobody: not by a grant, and not by its owner either.
#[test]
fn nobody_edits() {
    let db = TestDb::postgres();
    block_on(filled(&db));
    let relations = block_on(of_postgres(&db));
    block_on(async {
        let mut connection = postgres(&db).await;
        for relation in &relations {
            for (role, privilege) in grants(&mut connection, &relation.name).await {
                assert!(
                    ["select", "insert"].contains(&privilege.as_str()),
                    "{role} {privilege} {}",
                    relation.name
                );
                assert_ne!(role, "public", "{}", relation.name);
            }
        }
    });
    // Sums can be made again from the journal; spans are kept for some days only.
    let sums = ["spend_rollup", "settled_spend_day", "settled_spend_bucket", "settlement"];
    let spans = ["otel_part", "otel_response"];
    // What was asked for goes a day after it expired: it is no record of spending.
    let may_go = |name: &str| sums.contains(&name) || spans.contains(&name) || name == "budget_reservation";
    for relation in relations.iter().filter(|r| !r.is_view && !may_go(&r.name)) {
        let name = &relation.name;
        assert_eq!(psql(&format!("truncate {name} cascade"), &db.schema).code, 1, "{name}");
        if block_on(count(&db, &format!("select count(*) from {name}"))) > 0 {
            let output = psql(&format!("delete from {name}"), &db.schema);
            assert!(output.stderr.contains("append-only: delete is refused"), "{name}: {output:?}");
        }
    }
    for sql in ["update llm_call set input_tokens = 1", "update pipeline_run set labels = '{}'"] {
        assert!(psql(sql, &db.schema).stderr.contains("append-only: update is refused"), "{sql}");
    }
}

#[test]
fn functions_answer_only_those_they_are_for() {
    let db = TestDb::postgres();
    block_on(migrated(&db));
    let functions = block_on(functions(&db));
    let mut executable: BTreeMap<&str, Vec<&str>> =
        ROLES.into_iter().map(|role| (role, Vec::new())).collect();
    for function in &functions {
        for role in &function.executable_by {
            executable.get_mut(role.as_str()).unwrap().push(&function.name);
        }
        if function.is_definer {
            let path = format!("search_path={},pg_temp", db.schema);
            assert!(function.settings.contains(&path), "{}: {:?}", function.name, function.settings);
        }
    }
    assert_eq!(executable["asmm_reader"], [""; 0]);
    executable.get_mut("asmm_writer").unwrap().sort_unstable();
    let rpc = [
        "close_span_runs",
        "finish_run",
        "finish_step",
        "forget_spans",
        "keep_spans",
        "keep_texts",
        "known_spans",
        "open_span_runs",
        "open_span_step",
        "purged_texts",
        "record_call",
        "record_call_batch",
        "record_calls",
        "record_guard_events",
        "record_prompt_rows",
        "record_prompts",
        "release",
        "reserve",
        "start_run",
        "start_step",
        "withdraw_calls",
    ];
    assert_eq!(executable["asmm_writer"], rpc);
    assert_eq!(executable["asmm_operator"].len(), functions.len());
    let public =
        "select count(*) from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                  where p.pronamespace = current_schema()::regnamespace and a.grantee = 0";
    assert_eq!(block_on(count(&db, public)), 0, "PUBLIC may execute something");
}

/// A caller puts tables and functions of the ledger's names where a lax search path would find them.
#[test]
fn a_caller_diverts_nothing() {
    let db = TestDb::postgres();
    block_on(migrated(&db));
    let schema = &db.schema;
    let evil = format!("{schema}_evil");
    psql(&format!("create schema {evil}; grant all on schema {evil} to asmm_writer"), schema).success();
    let traps = format!(
        "create temp table llm_call (run_id uuid, call_id uuid);
         create temp table pipeline_run (run_id uuid, pipeline text);
         create temp table status_lookup (status_id smallint, code text, is_final boolean);
         create or replace function {evil}.check_name(field text, name text, required boolean) returns void
           language plpgsql as $$ begin raise 'diverted'; end $$;
         create or replace function {evil}.clock_timestamp() returns timestamptz language sql as $$ select timestamptz 'infinity' $$;
         create or replace function {evil}.count(anyelement) returns bigint language sql as $$ select 666 $$;
         set search_path = pg_temp, {evil}, {schema}, pg_catalog;"
    );
    for sql in recording() {
        let sql = sql.replacen("select ", &format!("select {schema}."), 1);
        as_role("asmm_writer", &format!("{traps} {sql}"), &db).success();
    }
    assert_eq!(block_on(count(&db, "select count(*) from llm_call")), 1);
    assert_eq!(block_on(count(&db, "select count(*) from pipeline_run where completed_at < now()")), 1);
    psql(&format!("drop schema {evil} cascade"), schema).success();
}

/// A user who may log in and is a member of `role`; gone again at the end of `work`.
async fn with_login<F: Future<Output = ()>>(
    db: &TestDb,
    role: Option<&str>,
    work: impl FnOnce(Location) -> F,
) {
    let user = format!("u_{}", Uuid::now_v7().simple());
    let member = role.map(|role| format!(" in role {role}")).unwrap_or_default();
    let create = format!("create role {user} login password 'pw'{member}");
    let mut connection = postgres(db).await;
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let (_, server) = db.url.rsplit_once('@').unwrap();
    work(Location::new(format!("postgres://{user}:pw@{server}"), &db.schema)).await;
    sqlx::raw_sql(AssertSqlSafe(format!("drop owned by {user} cascade; drop role {user}")))
        .execute(&mut connection)
        .await
        .unwrap();
}

/// Records a run through the client; answers how many of its two calls are unpriced.
async fn record_through_the_client(store: &Store) -> u64 {
    let run = store.start_run(&start(1)).await.unwrap();
    assert_eq!((run.run_id, run.status, run.labels["team"].as_str()), (run_id(1), Status::Running, "data"));
    assert_eq!(
        run.started_at,
        store
            .start_run(&asmm::domain::StartRun { started_at: run.started_at, ..start(1) })
            .await
            .unwrap()
            .started_at
    );
    let step_id = StepId(Uuid::from_u128(3));
    let step = StartStep {
        run_id: run_id(1),
        step_id,
        step: "research".into(),
        agent: "researcher".into(),
        prompt_version: None,
        attempt: 1,
        started_at: Some(run.started_at),
        status: None,
        completed_at: None,
    };
    assert_eq!(store.start_step(&step).await.unwrap().step, "research");
    // A name with a path is not one that the catalogue spells out.
    let wrapped = Call { model: "openai/gpt-4o".into(), ..call(1, 1) };
    let calls = [wrapped, Call { step_id: Some(step_id), model: "nobody-knows-it".into(), ..call(1, 2) }];
    assert_eq!(store.record_calls(&calls).await.unwrap().recorded, 2);
    let finish = FinishStep { run_id: run_id(1), step_id, status: Status::Succeeded, completed_at: None };
    assert_eq!(store.finish_step(&finish).await.unwrap().status, Status::Succeeded);
    let finish = FinishRun { run_id: run_id(1), status: Status::Succeeded, completed_at: None };
    let run = store.finish_run(&finish).await.unwrap();
    assert_eq!((run.totals.llm_calls, run.totals.llm_tokens_input()), (2, 2000));
    run.totals.unpriced_calls
}

#[test]
fn the_client_records_as_a_writer() {
    block_on(async {
        let db = TestDb::postgres();
        let owner = migrated(&db).await;
        with_login(&db, Some("asmm_writer"), |location| async move {
            let store = Store::open(&location, Clock::System).await.unwrap();
            assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
            assert_eq!(store.migrate().await.unwrap(), [], "nothing to do needs no right");
            assert_eq!(record_through_the_client(&store).await, 2, "names are the operator's");
            assert_eq!(store.settle().await.unwrap(), 0, "it is left to others, as names are");
            let error = store.find_run(run_id(1)).await.unwrap_err();
            insta::assert_snapshot!(said(&error, &[]), @"
            the database refused: permission denied for table pipeline_run
            hint: connect as a member of asmm_operator (or asmm_reader to read, asmm_writer to record); see RUNBOOK.md
            Database, exit code 1
            ");
            store.close().await;
        })
        .await;
        // The next one who may resolves what was unknown, and prices it.
        assert_eq!(owner.price_new_names().await.unwrap().calls, 1);
        assert_eq!(owner.run(run_id(1)).await.unwrap().totals.unpriced_calls, 1);
    });
}

#[test]
fn the_client_records_and_prices_as_an_operator() {
    block_on(async {
        let db = TestDb::postgres();
        migrated(&db).await;
        with_login(&db, Some("asmm_operator"), |location| async move {
            let store = Store::open(&location, Clock::System).await.unwrap();
            assert_eq!(store.migrate().await.unwrap(), []);
            assert_eq!(record_through_the_client(&store).await, 1);
            // What the functions answer is what the tables hold.
            let finish = FinishRun { run_id: run_id(1), status: Status::Succeeded, completed_at: None };
            assert_eq!(store.finish_run(&finish).await.unwrap(), store.run(run_id(1)).await.unwrap());
            assert_eq!(store.price_all_names().await.unwrap().calls, 0);
            store.close().await;
        })
        .await;
    });
}

#[test]
fn the_client_reads_as_a_reader() {
    block_on(async {
        let db = TestDb::postgres();
        filled(&db).await;
        with_login(&db, Some("asmm_reader"), |location| async move {
            let store = Store::open(&location, Clock::System).await.unwrap();
            assert_eq!(store.migrate().await.unwrap(), []);
            assert_eq!(store.run(run_id(1)).await.unwrap().totals.llm_calls, 1);
            assert!(!store.prices(Some("openai"), None, None).await.unwrap().is_empty());
            assert_eq!(store.price_new_names().await.unwrap().calls, 0);
            for error in [
                store.start_run(&start(9)).await.unwrap_err(),
                store.record_calls(&[call(1, 9)]).await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Database);
                assert!(error.to_string().contains("permission denied"), "{error}");
            }
            store.close().await;
        })
        .await;
    });
}

/// Somebody who may log in and is no member of anything.
#[test]
fn a_stranger_is_told_which_roles_there_are() {
    block_on(async {
        let db = TestDb::postgres();
        let shown = connect(&db).await.shown().to_owned();
        migrated(&db).await;
        let schema = db.schema.clone();
        with_login(&db, None, |location| async move {
            let error = Store::open(&location, Clock::System).await.unwrap_err();
            insta::assert_snapshot!(said(&error, &[(&shown, "[ledger]"), (&schema, "[schema]")]), @"
            `[ledger]`: the user may not use the schema `[schema]`
            hint: connect as a member of asmm_operator (or asmm_reader to read, asmm_writer to record); see RUNBOOK.md
            Ledger, exit code 7
            ");
        })
        .await;
    });
}

/// Whoever may make a schema may have a ledger in it: nothing in it needs a superuser.
#[test]
fn a_plain_user_migrates_and_owns() {
    block_on(async {
        let db = TestDb::postgres();
        with_login(&db, None, |location| async move {
            let user = location.url.split(['/', ':']).nth(3).unwrap().to_owned();
            let grant = format!("do $$ begin execute format('grant create on database %I to {user}', current_database()); end $$");
            psql(&grant, &location.schema).success();
            let store = Store::connect(&location, Clock::System).await.unwrap();
            assert_eq!(store.migrate().await.unwrap().len(), 18);
            assert_eq!(record_through_the_client(&store).await, 1);
            let writes = psql(&format!("set role asmm_writer; {}", recording()[0]), &location.schema);
            writes.success();
            store.close().await;
        })
        .await;
    });
}
