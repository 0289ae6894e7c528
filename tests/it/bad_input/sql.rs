//! Wrong values through SQL: pipelines in other languages call the functions of a Postgres ledger.

use super::{Refusals, dump, filled};
use crate::support::{TestDb, block_on, psql_program};
use asmm::pricing::EntryKey;
use asmm::store::Store;
use std::time::{Duration, Instant};

/// Runs 1 and 2 of `filled`, one that is not there, and a free id.
const RUN: &str = "00000000-0000-0000-0000-000000000001";
const FINISHED: &str = "00000000-0000-0000-0000-000000000002";
const NO_RUN: &str = "00000000-0000-0000-0000-000000000404";
const NEW: &str = "00000000-0000-0000-0000-000000000009";
const STEP: &str = "00000000-0000-0000-0000-000000000007";

/// What psql shows of an error, without where in the functions it came from.
fn refusal(db: &TestDb, sql: &str) -> String {
    let mut psql = psql_program(&db.schema);
    psql.args(["-v", "ON_ERROR_STOP=0", "-c", sql, "-c", "\\echo :LAST_ERROR_SQLSTATE"]);
    let output = psql.output().unwrap();
    let (done, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let state = done.trim();
    assert_eq!((state.len(), state == "00000"), (5, false), "{sql} was taken: {done}{said}");
    let lines = said.lines().filter(|l| l.starts_with("ERROR: ") || l.starts_with("HINT: "));
    let lines: Vec<_> = lines.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(!lines.is_empty(), "{said}");
    format!("{state} {}", lines.join("\n  "))
}

struct Sql<'a> {
    db: &'a TestDb,
    refusals: Refusals<'a>,
}

impl<'a> Sql<'a> {
    async fn of(db: &'a TestDb, store: &'a Store) -> Self {
        Self { db, refusals: Refusals::of(store).await }
    }

    async fn refuses(&mut self, what: &str, sql: &str) {
        let said = refusal(self.db, sql);
        self.refusals.note(what, said).await;
    }

    /// A good call, and one with `patch` over it.
    async fn refuses_call(&mut self, patch: &str) {
        self.refuses(patch, &two_calls(patch)).await;
    }
}

fn two_calls(patch: &str) -> String {
    let good = |id: u32| {
        format!(
            r#"{{"run_id": "{RUN}", "call_id": "00000000-0000-0000-0000-0000000000{id}", "provider": "openai",
                "model": "gpt-4o", "called_at": "2026-11-20T12:00:00Z", "usage": {{"input": 1}}}}"#
        )
    };
    let (one, other, patch) = (good(81), good(82), patch.replace('\'', "''"));
    format!("select record_calls(jsonb_build_array('{one}'::jsonb, '{other}'::jsonb || '{patch}'::jsonb))")
}

#[test]
#[allow(clippy::too_many_lines, reason = "a long list, and what is said to each")]
fn calls() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let mut sql = Sql::of(&db, &store).await;
        for patch in [
            r#"{"usage": {"input": 1000000001}}"#,
            r#"{"usage": {"input": 99999999999999999999}}"#,
            r#"{"usage": {"output": -1}}"#,
            r#"{"usage": {"cache_read": 1.5}}"#,
            r#"{"usage": {"reasoning": "12"}}"#,
            r#"{"usage": {"embedding": true}}"#,
            r#"{"usage": {"web_searches": [1]}}"#,
            r#"{"usage": {"tokens": 1}}"#,
            r#"{"usage": [1]}"#,
            r#"{"usage": 1}"#,
            r#"{"latency_ms": -1}"#,
            r#"{"latency_ms": 0.5}"#,
            r#"{"latency_ms": "120"}"#,
            r#"{"latency_ms": 2592000001}"#,
            r#"{"latency_ms": 99999999999999999999}"#,
            r#"{"cost": 1}"#,
            r#"{"called_at": "2014-12-31T23:59:59Z"}"#,
            r#"{"called_at": "2100-01-01T00:00:00Z"}"#,
            r#"{"called_at": "infinity"}"#,
            r#"{"called_at": "soon"}"#,
            r#"{"called_at": 1763640000}"#,
            r#"{"called_at": null}"#,
            r#"{"run_id": null}"#,
            r#"{"run_id": "run-7"}"#,
            r#"{"call_id": 7}"#,
            r#"{"step_id": "x"}"#,
            r#"{"outcome": "timeout"}"#,
            r#"{"outcome": 1}"#,
            r#"{"model": null}"#,
            r#"{"model": ""}"#,
            r#"{"model": "   "}"#,
            "{\"model\": \"\u{3000}\u{a0}\"}",
            r#"{"model": "two\nlines"}"#,
            r#"{"model": "nul\u0000"}"#,
            r#"{"model": 4}"#,
            r#"{"model": {"name": "gpt-4o"}}"#,
            r#"{"model": ["gpt-4o"]}"#,
            r#"{"provider": " "}"#,
            r#"{"agent": true}"#,
            r#"{"agent": "c1\u009b"}"#,
            r#"{"operation": ""}"#,
            r#"{"service_tier": " "}"#,
            r#"{"pipeline": ""}"#,
            r#"{"pipeline": " "}"#,
            r#"{"pipeline": "other"}"#,
            r#"{"response_id": ""}"#,
            r#"{"response_id": " "}"#,
            r#"{"response_id": "two\nlines"}"#,
        ] {
            sql.refuses_call(patch).await;
        }
        for field in ["model", "provider", "agent", "operation", "service_tier", "pipeline", "response_id"] {
            let long = format!(r#"{{"{field}": "{}"}}"#, "é".repeat(201));
            let said = refusal(&db, &two_calls(&long));
            let expected = format!("AS400 ERROR: call 2 of the batch: `{field}` is 201 characters long");
            assert!(said.starts_with(&expected), "{said}");
        }
        sql.refuses_call(&format!(r#"{{"run_id": "{NO_RUN}"}}"#)).await;
        sql.refuses_call(&format!(r#"{{"step_id": "{NO_RUN}"}}"#)).await;
        insta::assert_snapshot!(sql.refusals.end().await, @r#"
        {"usage": {"input": 1000000001}}
          AS400 ERROR: call 2 of the batch: usage `input` is 1000000001; one call has at most 1000000000 of a kind
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"input": 99999999999999999999}}
          AS400 ERROR: call 2 of the batch: usage `input` is 99999999999999999999; one call has at most 1000000000 of a kind
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"output": -1}}
          AS400 ERROR: call 2 of the batch: `output` is not a count: -1
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"cache_read": 1.5}}
          AS400 ERROR: call 2 of the batch: `cache_read` is not a count: 1.5
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"reasoning": "12"}}
          AS400 ERROR: call 2 of the batch: `reasoning` is not a count: "12"
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"embedding": true}}
          AS400 ERROR: call 2 of the batch: `embedding` is not a count: true
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"web_searches": [1]}}
          AS400 ERROR: call 2 of the batch: `web_searches` is not a count: [1]
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": {"tokens": 1}}
          AS400 ERROR: call 2 of the batch: usage `tokens` is unknown
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"usage": [1]}, {"usage": 1}
          AS400 ERROR: call 2 of the batch: `usage` is not an object
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"latency_ms": -1}
          AS400 ERROR: call 2 of the batch: `latency_ms` is not a count: -1
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"latency_ms": 0.5}
          AS400 ERROR: call 2 of the batch: `latency_ms` is not a count: 0.5
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"latency_ms": "120"}
          AS400 ERROR: call 2 of the batch: `latency_ms` is not a count: "120"
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"latency_ms": 2592000001}
          AS400 ERROR: call 2 of the batch: `latency_ms` is 2592000001; the limit is 2592000000 (30 days)
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"latency_ms": 99999999999999999999}
          AS400 ERROR: call 2 of the batch: `latency_ms` is 99999999999999999999; the limit is 2592000000 (30 days)
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"cost": 1}
          AS400 ERROR: call 2 of the batch: key `cost` is unknown
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"called_at": "2014-12-31T23:59:59Z"}
          AS400 ERROR: call 2 of the batch: `called_at` 2014-12-31 23:59:59+00 is before 2015
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"called_at": "2100-01-01T00:00:00Z"}
          AS400 ERROR: call 2 of the batch: `called_at` 2100-01-01 00:00:00+00 is more than a day ahead
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"called_at": "infinity"}
          AS400 ERROR: call 2 of the batch: `called_at` infinity is more than a day ahead
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"called_at": "soon"}
          AS400 ERROR: call 2 of the batch: `called_at` is not a time: soon
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"called_at": 1763640000}
          AS400 ERROR: call 2 of the batch: `called_at` is not a time: 1763640000
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"called_at": null}
          AS400 ERROR: call 2 of the batch: `called_at` is missing
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"run_id": null}
          AS400 ERROR: call 2 of the batch: `run_id` is missing
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"run_id": "run-7"}
          AS400 ERROR: call 2 of the batch: `run_id` is not a UUID: run-7
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"call_id": 7}
          AS400 ERROR: call 2 of the batch: `call_id` is not a UUID: 7
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"step_id": "x"}
          AS400 ERROR: call 2 of the batch: `step_id` is not a UUID: x
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"outcome": "timeout"}
          AS400 ERROR: call 2 of the batch: `outcome` is `timeout`; it is ok or error
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"outcome": 1}
          AS400 ERROR: call 2 of the batch: `outcome` is not text
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"model": null}
          AS400 ERROR: call 2 of the batch: `model` is missing
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"model": ""}, {"model": "   "}, {"model": "　 "}
          AS400 ERROR: call 2 of the batch: `model` is empty
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"model": "two\nlines"}
          AS400 ERROR: call 2 of the batch: `model` holds a control character
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"model": "nul\u0000"}
          22P05 ERROR: unsupported Unicode escape sequence
        {"model": 4}, {"model": {"name": "gpt-4o"}}, {"model": ["gpt-4o"]}
          AS400 ERROR: call 2 of the batch: `model` is not text
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"provider": " "}
          AS400 ERROR: call 2 of the batch: `provider` is empty
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"agent": true}
          AS400 ERROR: call 2 of the batch: `agent` is not text
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"agent": "c1\u009b"}
          AS400 ERROR: call 2 of the batch: `agent` holds a control character
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"operation": ""}
          AS400 ERROR: call 2 of the batch: `operation` is empty
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"service_tier": " "}
          AS400 ERROR: call 2 of the batch: `service_tier` is empty
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"pipeline": ""}, {"pipeline": " "}
          AS400 ERROR: call 2 of the batch: `pipeline` is empty
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"pipeline": "other"}
          AS409 ERROR: run `00000000-0000-0000-0000-000000000001` belongs to another pipeline than a call of it says
          HINT: leave `pipeline` out, or use a new run id
        {"response_id": ""}, {"response_id": " "}
          AS400 ERROR: call 2 of the batch: `response_id` is empty
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"response_id": "two\nlines"}
          AS400 ERROR: call 2 of the batch: `response_id` holds a control character
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        {"run_id": "00000000-0000-0000-0000-000000000404"}
          AS404 ERROR: run `00000000-0000-0000-0000-000000000404` is unknown
          HINT: start it first: start_run, or `asmm runs start --run-id`
        {"step_id": "00000000-0000-0000-0000-000000000404"}
          AS404 ERROR: step `00000000-0000-0000-0000-000000000404` of run `00000000-0000-0000-0000-000000000001` is unknown
          HINT: start it first: start_step, or `asmm runs step`
        "#);
    });
}

/// What is null is absent, and is not blamed for its neighbour.
#[test]
fn nulls_are_absent() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let nulls = r#"{"step_id": null, "pipeline": null, "agent": null, "provider": null, "operation": null,
            "service_tier": null, "usage": {"input": 5, "output": null}, "latency_ms": null, "outcome": null,
            "response_id": null, "type": "call"}"#;
        let before = dump(&store).await;
        let bad_last = two_calls(nulls).replace("))", ", '{\"model\": \"m\"}'::jsonb))");
        let said = refusal(&db, &bad_last);
        assert!(said.starts_with("AS400 ERROR: call 3 of the batch: `run_id` is missing"), "{said}");
        assert_eq!(dump(&store).await, before);
        let answer = crate::support::psql(&two_calls(nulls), &db.schema).success();
        assert!(answer.contains("\"recorded\": 2"), "{answer}");
        assert_eq!(store.broken_laws().await.unwrap(), []);
    });
}

#[test]
fn costs() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        super::costs::push_absurd_prices(&store).await;
        // Rust answers what a name means; SQL finds the answer.
        store
            .set_alias("acme", "absurd", Some(&EntryKey { provider: "acme".into(), model: "absurd".into() }))
            .await
            .unwrap();
        store
            .set_alias("acme", "dear", Some(&EntryKey { provider: "acme".into(), model: "dear".into() }))
            .await
            .unwrap();
        let mut sql = Sql::of(&db, &store).await;
        sql.refuses_call(r#"{"provider": "acme", "model": "absurd", "usage": {"input": 1000000000}}"#).await;
        sql.refuses_call(r#"{"provider": "acme", "model": "absurd", "usage": {"input": 10}}"#).await;
        let dear = r#"{"provider": "acme", "model": "dear", "usage": {"input": 1000000000}}"#;
        let calls = format!(
            "select record_calls(jsonb_agg(jsonb_build_object('run_id', '{RUN}', 'call_id', gen_random_uuid(),
               'called_at', '2026-11-20T12:00:00Z') || '{dear}'::jsonb)) from generate_series(1, 3)"
        );
        sql.refuses("three of 4,000,000 USD", &calls).await;
        insta::assert_snapshot!(sql.refusals.end().await, @r#"
        {"provider": "acme", "model": "absurd", "usage": {"input": 1000000000}}, {"provider": "acme", "model": "absurd", "usage": {"input": 10}}
          22003 ERROR: call `00000000-0000-0000-0000-000000000082` costs more than 9,223,372 USD
          HINT: check the price and the token counts; one of them is off by orders of magnitude
        three of 4,000,000 USD
          22003 ERROR: the calls of a run, or of a quarter of an hour, cost more than 9,223,372 USD
          HINT: check the price and the token counts; one of them is off by orders of magnitude
        "#);
    });
}

/// What was recorded otherwise is reported and left alone, and its neighbour is recorded.
#[test]
fn one_conflict_among_good_calls() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let conflicting = r#"{"call_id": "00000000-0000-0000-0000-000000000001"}"#;
        let answer = crate::support::psql(&two_calls(conflicting), &db.schema).success();
        insta::assert_snapshot!(answer, @r#"
        {"conflict": [{"run_id": "00000000-0000-0000-0000-000000000001", "call_id": "00000000-0000-0000-0000-000000000001"}], "recorded": 1, "unpriced": 0, "duplicate": 0}
        "#);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    });
}

#[test]
fn batches() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let mut sql = Sql::of(&db, &store).await;
        for calls in [
            "null",
            "'null'",
            "'{}'",
            "'5'",
            "'\"text\"'",
            "'[5]'",
            "'[null]'",
            "'[\"text\"]'",
            "'[[]]'",
            "'[{}]'",
            "'[{\"run_id\": {\"a\": [1]}}]'",
            "(repeat('[', 1000) || repeat(']', 1000))::jsonb",
            "'[{\"run_id\": \"'",
        ] {
            sql.refuses(calls, &format!("select record_calls({calls})")).await;
        }
        let call = format!(
            "jsonb_build_object('run_id', '{RUN}', 'call_id', gen_random_uuid(), 'model', 'm', 'called_at', now())"
        );
        for (what, n, entry) in
            [("10,001 calls", 10_001, call.as_str()), ("a million entries", 1_000_000, "to_jsonb(g)")]
        {
            let started = Instant::now();
            let batch =
                format!("select record_calls((select jsonb_agg({entry}) from generate_series(1, {n}) g))");
            sql.refuses(what, &batch).await;
            assert!(started.elapsed() < Duration::from_secs(10), "{what}: {:?}", started.elapsed());
        }
        insta::assert_snapshot!(sql.refusals.end().await, @r#"
        null, 'null', '{}', '5', '"text"'
          AS400 ERROR: `calls` is not an array
          HINT: send [{"run_id": …, "call_id": …, …}]
        '[5]', '[null]', '["text"]', '[[]]'
          AS400 ERROR: call 1 of the batch: a call is an object
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        '[{}]'
          AS400 ERROR: call 1 of the batch: `run_id` is missing
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        '[{"run_id": {"a": [1]}}]'
          AS400 ERROR: call 1 of the batch: `call_id` is missing
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        (repeat('[', 1000) || repeat(']', 1000))::jsonb
          AS400 ERROR: call 1 of the batch: a call is an object
          HINT: nothing of the batch was recorded; correct the call and send the batch again
        '[{"run_id": "'
          22P02 ERROR: invalid input syntax for type json
        10,001 calls
          AS400 ERROR: the batch has 10001 calls; the limit is 10000
          HINT: send it in parts; a part that is sent twice changes nothing
        a million entries
          AS400 ERROR: the batch has 1000000 calls; the limit is 10000
          HINT: send it in parts; a part that is sent twice changes nothing
        "#);
    });
}

#[test]
#[allow(clippy::too_many_lines, reason = "a long list, and what is said to each")]
fn runs_and_steps() {
    block_on(async {
        let db = TestDb::postgres();
        let store = filled(&db).await;
        let mut sql = Sql::of(&db, &store).await;
        let labels = |labels: &str| format!("start_run('{NEW}', 'p', labels => {labels})");
        let step = |rest: &str| format!("start_step('{RUN}', '{NEW}', {rest})");
        let mut calls = vec![
            "start_run(null, 'p')".to_owned(),
            format!("start_run('{NEW}', null)"),
            format!("start_run('{NEW}', '')"),
            format!("start_run('{NEW}', E' \\t')"),
            format!("start_run('{NEW}', repeat('é', 201))"),
            format!("start_run('{NEW}', E'two\\nlines')"),
            format!("start_run('{NEW}', 'p', '2014-12-31T23:59:59Z')"),
            format!("start_run('{NEW}', 'p', clock_timestamp() + interval '25 hours')"),
            format!("start_run('{NEW}', 'p', replay_of => '{NEW}')"),
            format!("start_run('{NEW}', 'p', replay_of => '{NO_RUN}')"),
            format!("start_run('{RUN}', 'other')"),
            format!("start_run('{RUN}', 'enrichment', labels => '{{}}')"),
            format!("start_run('{RUN}', 'enrichment', parent_run_id => '{NEW}')"),
        ];
        calls.extend(
            [
                "'[]'",
                "'\"text\"'",
                "'null'",
                "'{\"batch\": 7}'",
                "'{\"batch\": null}'",
                "'{\"batch\": {\"n\": \"7\"}}'",
                "'{\"\": \"x\"}'",
                "'{\"batch\": \" \"}'",
                "'{\"batch\": \"two\\nlines\"}'",
                "jsonb_build_object(repeat('k', 201), 'x')",
                "(select jsonb_object_agg('l' || g, 'x') from generate_series(1, 65) g)",
            ]
            .map(labels),
        );
        calls.extend(
            [
                "null",
                "''",
                "'s', agent => ' '",
                "'s', attempt => 0",
                "'s', attempt => null",
                "'s', prompt_version => 'x@7'",
            ]
            .map(step),
        );
        calls.extend([
            format!("start_step('{RUN}', null, 's')"),
            format!("start_step('{NO_RUN}', '{NEW}', 's')"),
            format!("start_step('{RUN}', '{STEP}', 'other')"),
            format!("finish_step('{RUN}', '{STEP}', 'done')"),
            format!("finish_step('{RUN}', '{STEP}', 'running')"),
            format!("finish_step('{RUN}', '{NEW}', 'failed')"),
            format!("finish_step('{FINISHED}', '{STEP}', 'succeeded')"),
            format!("finish_run('{RUN}', 'done')"),
            format!("finish_run('{RUN}', null)"),
            format!("finish_run('{RUN}', 'running')"),
            format!("finish_run('{RUN}', 'failed', '2014-12-31T23:59:59Z')"),
            format!("finish_run('{NO_RUN}', 'failed')"),
            "finish_run(null, 'failed')".to_owned(),
            format!("finish_run('{FINISHED}', 'succeeded')"),
            format!("finish_run('{FINISHED}', 'failed', '2026-11-20T12:01:01Z')"),
        ]);
        for call in calls {
            let short = call.replace("00000000-0000-0000-0000-0000000000", "");
            sql.refuses(&short, &format!("select {call}")).await;
        }
        let said = sql.refusals.end().await;
        // The one that is relative to now.
        let said = regex::Regex::new(r"` 20[^`]* is more than")
            .unwrap()
            .replace_all(&said, "` [time] is more than")
            .into_owned();
        insta::assert_snapshot!(said, @r#"
        start_run(null, 'p')
          AS400 ERROR: `run_id` is missing
          HINT: make a UUIDv7 and keep it for retries
        start_run('09', null), start_run('09', ''), start_run('09', E' \t')
          AS400 ERROR: `pipeline` is empty
          HINT: give `pipeline` a name
        start_run('09', repeat('é', 201))
          AS400 ERROR: `pipeline` is 201 characters long; the limit is 200
          HINT: put details into the run's labels instead
        start_run('09', E'two\nlines')
          AS400 ERROR: `pipeline` holds a control character
          HINT: names are one line of printable text
        start_run('09', 'p', '2014-12-31T23:59:59Z')
          AS400 ERROR: `started_at` 2014-12-31 23:59:59+00 is before 2015
          HINT: is it in the right unit? times are RFC 3339, such as 2026-11-20T12:00:00Z
        start_run('09', 'p', clock_timestamp() + interval '25 hours')
          AS400 ERROR: `started_at` [time] is more than a day ahead
          HINT: check the clock and the time zone of the machine that recorded it
        start_run('09', 'p', replay_of => '09')
          AS400 ERROR: run `00000000-0000-0000-0000-000000000009` names itself as its parent or original
        start_run('09', 'p', replay_of => '00000000-0000-0000-0000-000000000404')
          AS404 ERROR: run `00000000-0000-0000-0000-000000000404` is unknown
          HINT: start it first: start_run, or `asmm runs start --run-id`
        start_run('01', 'other'), start_run('01', 'enrichment', labels => '{}'), start_run('01', 'enrichment', parent_run_id => '09')
          AS409 ERROR: run `00000000-0000-0000-0000-000000000001` is already recorded with other contents
          HINT: a run's pipeline, start, labels, parent and original never change; use a new run id
        start_run('09', 'p', labels => '[]'), start_run('09', 'p', labels => '"text"'), start_run('09', 'p', labels => 'null')
          AS400 ERROR: `labels` is not an object
          HINT: labels are {"name": "text", …}
        start_run('09', 'p', labels => '{"batch": 7}'), start_run('09', 'p', labels => '{"batch": null}'), start_run('09', 'p', labels => '{"batch": {"n": "7"}}')
          AS400 ERROR: `labels` holds a value that is not text
          HINT: write {"batch": "7"}, not {"batch": 7}
        start_run('09', 'p', labels => '{"": "x"}')
          AS400 ERROR: `labels` is empty
          HINT: give `labels` a name
        start_run('09', 'p', labels => '{"batch": " "}')
          AS400 ERROR: `batch` is empty
          HINT: give `batch` a name
        start_run('09', 'p', labels => '{"batch": "two\nlines"}')
          AS400 ERROR: `batch` holds a control character
          HINT: names are one line of printable text
        start_run('09', 'p', labels => jsonb_build_object(repeat('k', 201), 'x'))
          AS400 ERROR: `labels` is 201 characters long; the limit is 200
          HINT: put details into the run's labels instead
        start_run('09', 'p', labels => (select jsonb_object_agg('l' || g, 'x') from generate_series(1, 65) g))
          AS400 ERROR: `labels` has more than 64 entries
          HINT: labels are words to find a run by; record what there is much of elsewhere
        start_step('01', '09', null), start_step('01', '09', '')
          AS400 ERROR: `step` is empty
          HINT: give `step` a name
        start_step('01', '09', 's', agent => ' ')
          AS400 ERROR: `agent` is empty
          HINT: give `agent` a name
        start_step('01', '09', 's', attempt => 0)
          AS400 ERROR: `attempt` is 0; attempts count from 1 to 10000
          HINT: leave `attempt` out for the first
        start_step('01', '09', 's', attempt => null)
          AS400 ERROR: `attempt` is null; attempts count from 1 to 10000
          HINT: leave `attempt` out for the first
        start_step('01', '09', 's', prompt_version => 'x@7')
          AS404 ERROR: prompt version `x@7` is unknown
          HINT: name a version's id, `name`, `name@7`, `name@label` or `name@sha256:…`; see `asmm prompts list`
        start_step('01', null, 's')
          AS400 ERROR: `step_id` is missing
          HINT: make a UUIDv7 and keep it for retries
        start_step('00000000-0000-0000-0000-000000000404', '09', 's')
          AS404 ERROR: run `00000000-0000-0000-0000-000000000404` is unknown
          HINT: start it first: start_run, or `asmm runs start --run-id`
        start_step('01', '07', 'other')
          AS409 ERROR: step `00000000-0000-0000-0000-000000000007` of run `00000000-0000-0000-0000-000000000001` is already recorded with other contents
          HINT: a step's name, agent, attempt, prompt version and start never change; use a new step id
        finish_step('01', '07', 'done')
          AS400 ERROR: status `done` is unknown
          HINT: the statuses are running, succeeded, failed, cancelled, abandoned
        finish_step('01', '07', 'running')
          AS400 ERROR: status `running` does not finish anything
          HINT: finish with succeeded, failed, cancelled, abandoned
        finish_step('01', '09', 'failed')
          AS404 ERROR: step `00000000-0000-0000-0000-000000000009` of run `00000000-0000-0000-0000-000000000001` is unknown
          HINT: start it first: start_step, or `asmm runs step`
        finish_step('02', '07', 'succeeded')
          AS409 ERROR: step `00000000-0000-0000-0000-000000000007` of run `00000000-0000-0000-0000-000000000002` is already finished as `failed` at 2026-11-20 12:01:00+00
          HINT: a finished step stays as it is
        finish_run('01', 'done')
          AS400 ERROR: status `done` is unknown
          HINT: the statuses are running, succeeded, failed, cancelled, abandoned
        finish_run('01', null)
          AS400 ERROR: status `null` is unknown
          HINT: the statuses are running, succeeded, failed, cancelled, abandoned
        finish_run('01', 'running')
          AS400 ERROR: status `running` does not finish anything
          HINT: finish with succeeded, failed, cancelled, abandoned
        finish_run('01', 'failed', '2014-12-31T23:59:59Z')
          AS400 ERROR: `completed_at` 2014-12-31 23:59:59+00 is before 2015
          HINT: is it in the right unit? times are RFC 3339, such as 2026-11-20T12:00:00Z
        finish_run('00000000-0000-0000-0000-000000000404', 'failed')
          AS404 ERROR: run `00000000-0000-0000-0000-000000000404` is unknown
          HINT: start it first: start_run, or `asmm runs start --run-id`
        finish_run(null, 'failed')
          AS404 ERROR: run `null` is unknown
          HINT: start it first: start_run, or `asmm runs start --run-id`
        finish_run('02', 'succeeded'), finish_run('02', 'failed', '2026-11-20T12:01:01Z')
          AS409 ERROR: run `00000000-0000-0000-0000-000000000002` is already finished as `failed` at 2026-11-20 12:01:00+00
          HINT: a finished run stays as it is; calls that come late are still taken
        "#);
    });
}
