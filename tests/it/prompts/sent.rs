//! What was sent: recorded once, given back exactly, dropped when its time is over.

use super::{at, call_id, captured, greeting, minutes, replayed, sent, tamper, verdicts};
use crate::support::{TestDb, block_on, on_both_databases, psql};
use crate::writing::{call, now, open, run_id, start};
use asmm::domain::{Call, CallPrompt, Digest, SentPrompt, StartStep, StepId};
use asmm::store::{Store, Verdict};
use serde_json::{Value, json};
use uuid::Uuid;

async fn greeted(db: &TestDb) -> Store {
    let store = open(db).await;
    store.push_prompts(&[greeting("greet", "Hello")], Some("production"), None).await.unwrap();
    store.start_run(&start(1)).await.unwrap();
    store
}

on_both_databases! {
    async fn is_given_back(db: TestDb) {
        let store = greeted(&db).await;
        let digest_only = CallPrompt { text_sha256: Some(Digest::of("x")), ..CallPrompt::default() };
        let digest_only = SentPrompt { prompt: digest_only, ..captured(4, "") };
        let all = [sent(1, "greet@1", "Ada"), sent(2, "greet@production", "{{who}}"), captured(3, "e\u{301}\r\n"), digest_only];
        assert_eq!(store.record_prompts(&all).await.unwrap().recorded, 4);
        store.record_calls(&[call(1, 5)]).await.unwrap();
        let calls = replayed(&store).await;
        let words: Vec<&str> = calls.iter().map(|call| call.verdict.code()).collect();
        assert_eq!(words, ["verified", "verified", "verified", "digest_only", "not_recorded"]);
        assert_eq!(calls[1].messages, Some(vec![json!({"role": "user", "content": "Hello {{who}}"})]));
        assert_eq!(calls[2].messages, Some(vec![json!({"role": "user", "content": "e\u{301}\r\n"})]));
        assert_eq!(calls[0].version.as_ref().unwrap().entry.to_string(), "greet@1");
    }

    async fn comes_with_its_call_before_it_or_not_at_all(db: TestDb) {
        let store = greeted(&db).await;
        let with = |n, name: &str| Call { prompt: Some(Box::new(sent(n, "greet@1", name).prompt)), ..call(1, n) };
        assert_eq!(store.record_calls(&[with(1, "Ada"), call(1, 2)]).await.unwrap().recorded, 2);
        store.record_prompts(&[sent(3, "greet@1", "Ada")]).await.unwrap();
        assert_eq!(store.record_calls(&[call(1, 3)]).await.unwrap().recorded, 1);
        let again = store.record_calls(&[with(1, "Ada"), call(1, 3)]).await.unwrap();
        assert_eq!((again.recorded, again.duplicate, again.conflict.len()), (0, 2, 0));
        let other = store.record_calls(&[with(1, "Bob")]).await.unwrap();
        assert_eq!(other.conflict, [(run_id(1), call_id(1))]);
        let other = store.record_prompts(&[captured(1, "Hello Ada"), sent(1, "greet@1", "Ada")]).await.unwrap();
        assert_eq!((other.duplicate, other.conflict.len()), (1, 1));
        assert_eq!(verdicts(&store).await, [Verdict::Verified, Verdict::NotRecorded, Verdict::Verified]);
    }

    async fn what_cannot_have_been_sent_is_refused(db: TestDb) {
        let store = greeted(&db).await;
        let mut other_run = sent(1, "greet@1", "Ada");
        other_run.run_id = run_id(404);
        let mut no_step = sent(1, "greet@1", "Ada");
        no_step.step_id = Some(StepId(Uuid::from_u128(404)));
        let mut unfit = sent(1, "greet@1", "Ada");
        unfit.prompt.inputs = Some(serde_json::Map::new());
        let mut wrong_digest = captured(1, "Hello");
        wrong_digest.prompt.text_sha256 = Some(Digest::of("Goodbye"));
        let mut nothing = captured(1, "Hello");
        nothing.prompt.messages = None;
        let mut no_role = captured(1, "Hello");
        no_role.prompt.messages = Some(vec![json!({"content": "x"})]);
        for (bad, says) in [
            (other_run, "is unknown"),
            (no_step, "is unknown"),
            (sent(1, "greet@9", "Ada"), "prompt version `greet@9` is unknown"),
            (unfit, "`who`"),
            (wrong_digest, "`text_sha256` is not the digest of `messages`"),
            (nothing, "names neither"),
            (no_role, "has no `role`"),
            (captured(1, "a\0b"), "U+0000"),
            (captured(1, &"x".repeat(4 << 20)), "the limit is 4194304"),
        ] {
            let error = store.record_prompts(&[captured(2, "good"), bad]).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(replayed(&store).await.len(), 0, "nothing of a refused batch is recorded");
    }

    async fn a_label_means_what_it_meant_when_the_step_started(db: TestDb) {
        let store = greeted(&db).await;
        let step = StartStep {
            run_id: run_id(1), step_id: StepId(Uuid::from_u128(1)), step: "greet".into(), agent: String::new(),
            prompt_version: Some("greet@production".into()), attempt: 1, started_at: Some(now()), status: None,
            completed_at: None,
        };
        assert_eq!(store.start_step(&step).await.unwrap().prompt_version.as_deref(), Some("greet@1"));
        let later = at(&db, minutes(5)).await;
        later.push_prompts(&[greeting("greet", "Good day")], Some("production"), None).await.unwrap();
        assert_eq!(later.start_step(&step).await.unwrap().prompt_version.as_deref(), Some("greet@1"));
    }

    async fn what_was_changed_is_found_out(db: TestDb) {
        let store = greeted(&db).await;
        store.push_prompts(&[greeting("bye", "Bye")], None, None).await.unwrap();
        let all = [sent(1, "greet@1", "Ada"), captured(2, "Hello"), sent(3, "bye@1", "Ada"), sent(4, "greet@1", "Eve")];
        store.record_prompts(&all).await.unwrap();
        assert!(verdicts(&store).await.iter().all(Verdict::is_verified));
        tamper(&db, "update llm_call_prompt set inputs = replace(inputs, 'Ada', 'Eva') where inputs like '%Ada%'
                       and prompt_version_id = 1").await;
        tamper(&db, "update prompt_text set body = replace(body, 'Hello', 'Goodbye')").await;
        tamper(&db, "update prompt_version set content = replace(content, 'Bye', 'Boo')").await;
        let words: Vec<&str> = verdicts(&store).await.iter().map(Verdict::code).collect();
        assert_eq!(words, ["mismatch", "mismatch", "broken", "verified"]);
    }

    async fn retention_drops_what_was_sent_and_nothing_else(db: TestDb) {
        let store = greeted(&db).await;
        let early = |sent: SentPrompt| SentPrompt { sent_at: minutes(-60), ..sent };
        let all = [
            early(sent(1, "greet@1", "Ada")), early(captured(2, "shared")), early(captured(3, "alone")),
            captured(4, "shared"), sent(5, "greet@1", "Bob"),
        ];
        store.record_prompts(&all).await.unwrap();
        store.record_calls(&(1..=5).map(|n| call(1, n)).collect::<Vec<_>>()).await.unwrap();
        let totals = store.run(run_id(1)).await.unwrap().totals;
        let digests: Vec<_> = replayed(&store).await.into_iter().map(|call| call.text_sha256).collect();
        let due = store.purgeable(minutes(-30)).await.unwrap();
        assert_eq!((due.calls, due.texts), (3, 1));
        assert_eq!(store.purge_inputs(minutes(-30)).await.unwrap(), due);
        assert_eq!(store.purge_inputs(minutes(-30)).await.unwrap().calls, 0);
        let after = replayed(&store).await;
        let words: Vec<&str> = after.iter().map(|call| call.verdict.code()).collect();
        assert_eq!(words, ["purged", "purged", "purged", "verified", "verified"]);
        assert_eq!(after.iter().map(|call| call.text_sha256).collect::<Vec<_>>(), digests);
        assert_eq!(store.run(run_id(1)).await.unwrap().totals, totals);
        // A second delivery brings nothing back.
        let again = store.record_prompts(&all).await.unwrap();
        assert_eq!((again.recorded, again.duplicate, again.conflict.len()), (0, 5, 0));
        let words: Vec<&str> = verdicts(&store).await.iter().map(Verdict::code).collect();
        assert_eq!(words, ["purged", "purged", "purged", "verified", "verified"]);
        assert_eq!(store.purgeable(minutes(-30)).await.unwrap(), asmm::store::Purged::default());
    }
}

/// The same prompts through SQL, and through Rust on either database, are the same rows.
#[test]
fn every_door_records_the_same() {
    let messages = json!([
        {"role": "user", "content": "h\u{e9}llo \u{1f600}\u{1}\u{7f}\"\\", "name": "x"},
        {"role": "assistant", "tool_calls": [{"id": 1, "z": 0.10, "a": [1e3, -0.0, null, true, 1.5e-7]}]},
    ]);
    let inputs = json!({"who": "Ada\r\n\u{10348}"});
    let rust: Vec<Vec<String>> = [TestDb::postgres(), TestDb::sqlite()]
        .iter()
        .map(|db| {
            block_on(async {
                let store = greeted(db).await;
                let mut text = captured(1, "");
                text.prompt.messages = messages.as_array().cloned();
                let mut rendered = sent(2, "greet@1", "");
                rendered.prompt.inputs = inputs.as_object().cloned();
                store.record_prompts(&[text, rendered]).await.unwrap();
                rows(&store).await
            })
        })
        .collect();
    assert_eq!(rust[0], rust[1]);

    let db = TestDb::postgres();
    let sql = block_on(async {
        let store = greeted(&db).await;
        let rendered = asmm::prompt::Content::from_canonical(&greeting("greet", "Hello").content).unwrap();
        let digest = rendered.render(inputs.as_object().unwrap()).unwrap().digest().unwrap();
        let calls: Value = [
            (1, json!({"messages": messages})),
            (2, json!({"version": "greet@1", "inputs": inputs, "text_sha256": digest.hex()})),
        ]
        .into_iter()
        .map(|(n, prompt)| {
            json!({"run_id": run_id(1), "call_id": call_id(n), "model": "gpt-4o", "called_at": now(), "prompt": prompt})
        })
        .collect();
        let sql = format!("select record_calls('{}')", calls.to_string().replace('\'', "''"));
        let answer = psql(&sql, &db.schema).success();
        assert!(answer.contains("\"recorded\": 2") && answer.contains("\"conflict\": []"), "{answer}");
        let again = psql(&sql, &db.schema).success();
        assert!(again.contains("\"duplicate\": 2") && again.contains("\"conflict\": []"), "{again}");
        let other = sql.replace("Ada", "Eve");
        let other = psql(&other, &db.schema).success();
        assert!(other.contains(&call_id(2).to_string()), "{other}");
        assert!(verdicts(&store).await.iter().all(Verdict::is_verified));
        rows(&store).await
    });
    assert_eq!(sql, rust[0]);
}

async fn rows(store: &Store) -> Vec<String> {
    let sent = store.sent_prompts(run_id(1), None, 100).await.unwrap();
    sent.iter().map(|sent| serde_json::to_string(&sent.prompt).unwrap()).collect()
}

/// What SQL must not take.
#[test]
fn sql_refuses_what_was_not_sent() {
    let db = TestDb::postgres();
    block_on(greeted(&db));
    for (prompt, says) in [
        (json!({"versoin": "greet@1"}), "key `prompt.versoin` is unknown"),
        (json!({"version": "greet@9"}), "prompt version `greet@9` is unknown"),
        (json!({"version": "greet@1", "inputs": []}), "`prompt.inputs` is not an object"),
        (json!({"inputs": {}}), "no `version`"),
        (json!({"messages": []}), "1 to 10000 messages"),
        (json!({"messages": [{"content": "x"}]}), "has no `role`"),
        (json!({"messages": [{"role": "user"}], "text_sha256": "00"}), "not a SHA-256 digest"),
        (json!({"messages": [{"role": "user"}], "text_sha256": "0".repeat(64)}), "is not the digest"),
        (json!({"messages": [{"role": "user", "n": 9_007_199_254_740_993_i64}]}), "does not survive"),
        (json!({"messages": [{"role": "user"}], "sanitisation": "fine"}), "`prompt.sanitisation` is `fine`"),
        (json!({}), "names neither"),
        (json!("greet@1"), "`prompt` is not an object"),
    ] {
        let call = json!([{"run_id": run_id(1), "call_id": call_id(1), "model": "m", "called_at": now(), "prompt": prompt}]);
        let output = psql(&format!("select record_calls('{call}')"), &db.schema);
        assert!(output.code != 0 && output.stderr.contains(says), "{prompt}: {}", output.stderr);
    }
    assert_eq!(psql("select count(*) from llm_call", &db.schema).success(), "0\n");
}

/// While retention runs, others record the same texts: a text that a call needs is never lost.
#[test]
fn purging_and_recording_at_once_lose_nothing() {
    let db = TestDb::postgres();
    block_on(greeted(&db));
    std::thread::scope(|scope| {
        for client in 0..4_u128 {
            let db = &db;
            scope.spawn(move || {
                block_on(async {
                    let store = open(db).await;
                    for n in 0..40_u128 {
                        let early = SentPrompt {
                            sent_at: minutes(-60),
                            ..captured(1 + client * 1000 + 2 * n, "same")
                        };
                        let late = captured(2 + client * 1000 + 2 * n, "same");
                        store.record_prompts(&[early]).await.unwrap();
                        store.record_prompts(&[late]).await.unwrap();
                    }
                });
            });
        }
        scope.spawn(|| {
            block_on(async {
                let store = open(&db).await;
                for _ in 0..30 {
                    store.purge_inputs(minutes(-30)).await.unwrap();
                }
            });
        });
    });
    block_on(async {
        let store = open(&db).await;
        store.purge_inputs(minutes(-30)).await.unwrap();
        for call in replayed(&store).await {
            let late = call.called_at == now();
            assert_eq!(call.verdict.is_verified(), late, "{} {}", call.call_id, call.verdict);
        }
    });
}
