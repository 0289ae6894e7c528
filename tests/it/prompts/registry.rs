//! Versions and labels.

use super::{at, greeting, minutes, tamper};
use crate::support::{Sandbox, TestDb, block_on, on_both_databases, psql};
use crate::writing::open;
use asmm::prompt::Reference;
use asmm::store::Store;
use std::collections::BTreeSet;

async fn named(store: &Store, reference: &str, minute: i64) -> String {
    let reference: Reference = match reference.parse() {
        Ok(reference) => reference,
        Err(error) => return error.to_string(),
    };
    match store.prompt_version(&reference, minutes(minute)).await {
        Ok(version) => version.entry.to_string(),
        Err(error) => error.to_string(),
    }
}

on_both_databases! {
    async fn what_is_said_again_is_no_new_version(db: TestDb) {
        let store = open(&db).await;
        let mut numbers = Vec::new();
        for words in ["Hello", "Hello", "Good day", "Hello"] {
            let pushed = store.push_prompts(&[greeting("greet", words)], None, None).await.unwrap();
            numbers.push((pushed[0].version.version, pushed[0].is_new));
        }
        assert_eq!(numbers, [(1, true), (1, false), (2, true), (3, true)]);
        let mut described = greeting("greet", "Hello");
        described.description = "Says hello".into();
        assert!(!store.push_prompts(&[described], None, None).await.unwrap()[0].is_new);
    }

    async fn a_push_is_all_or_nothing(db: TestDb) {
        let store = open(&db).await;
        let bad = asmm::store::NewVersion { name: "x".repeat(201), ..greeting("greet", "Hello") };
        store.push_prompts(&[greeting("greet", "Hello"), bad], None, None).await.unwrap_err();
        assert_eq!(store.prompts(minutes(0)).await.unwrap(), []);
    }

    async fn a_name_means_what_it_meant_at_the_time(db: TestDb) {
        for (minute, words, label) in [(-50, "One", Some("production")), (-40, "Two", None), (-30, "Three", Some("staging"))] {
            at(&db, minutes(minute)).await.push_prompts(&[greeting("greet", words)], label, None).await.unwrap();
        }
        let store = at(&db, minutes(-20)).await;
        let second = store.prompt_version(&"greet@2".parse().unwrap(), minutes(0)).await.unwrap();
        assert!(store.move_label(&second.entry, "production").await.unwrap());
        assert!(!store.move_label(&second.entry, "production").await.unwrap(), "it points there already");
        for (reference, minute, means) in [
            ("greet", 0, "greet@3"),
            ("greet", -45, "greet@1"),
            ("greet", -60, "prompt version `greet` is unknown"),
            ("greet@2", -60, "greet@2"),
            ("greet@9", 0, "prompt version `greet@9` is unknown"),
            ("greet@production", 0, "greet@2"),
            ("greet@production", -21, "greet@1"),
            ("greet@staging", 0, "greet@3"),
            ("greet@nothing", 0, "prompt version `greet@nothing` is unknown"),
        ] {
            assert_eq!(named(&store, reference, minute).await, means, "{reference} at {minute}");
        }
        let digits = second.entry.digest.hex();
        for length in [4, 12, 64] {
            assert_eq!(named(&store, &format!("greet@sha256:{}", &digits[..length]), 0).await, "greet@2");
        }
        assert_eq!(store.label_moves(Some("greet"), minutes(0)).await.unwrap().len(), 3);
    }

    async fn content_that_came_back_is_one_digest(db: TestDb) {
        let store = open(&db).await;
        for words in ["One", "Two", "One"] {
            store.push_prompts(&[greeting("greet", words)], None, None).await.unwrap();
        }
        let reference = format!("greet@{}", greeting("greet", "One").digest);
        assert_eq!(named(&store, &reference, 0).await, "greet@1");
    }

    async fn a_changed_version_is_found_out(db: TestDb) {
        let store = open(&db).await;
        store.push_prompts(&[greeting("greet", "Hello")], None, None).await.unwrap();
        tamper(&db, "update prompt_version set content = replace(content, 'Hello', 'Farewell')").await;
        let version = store.prompt_version(&"greet".parse().unwrap(), minutes(0)).await.unwrap();
        let error = version.parsed().unwrap_err().to_string();
        assert!(error.starts_with("the content of `greet@1` was changed"), "{error}");
    }
}

/// SQL finds the same version as Rust, or says the same of it.
#[test]
fn sql_finds_the_same_versions() {
    let db = TestDb::postgres();
    block_on(async {
        for (minute, words, label) in
            [(-50, "One", Some("production")), (-40, "Two", Some("7up")), (-30, "One", None)]
        {
            at(&db, minutes(minute))
                .await
                .push_prompts(&[greeting("a/greet", words)], label, None)
                .await
                .unwrap();
        }
        let store = open(&db).await;
        let digest = greeting("a/greet", "Two").digest.to_string();
        for reference in [
            "a/greet",
            "a/greet@1",
            "a/greet@3",
            "a/greet@4",
            "a/greet@production",
            "a/greet@7up",
            "a/greet@none",
            &format!("a/greet@{digest}"),
            &format!("a/greet@{}", &digest[..15]),
            "a/other",
        ] {
            let rust = named(&store, reference, 0).await;
            let sql = format!(
                "select p.name || '@' || v.version from prompt_version v join prompt p using (prompt_id)
                 where v.prompt_version_id = find_prompt_version('{reference}', now() + interval '10 years')"
            );
            let output = psql(&sql, &db.schema);
            let said = if output.code == 0 { output.stdout } else { output.stderr };
            assert!(said.contains(rust.trim_end_matches("is unknown")), "{reference}: {rust} and {said}");
        }
    });
}

/// Sixteen clients push changed files of the same names at once: each change gets a number, and none is left out.
async fn push_at_once(db: &TestDb) {
    open(db).await.close().await;
    let all: Vec<u32> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|n| {
                scope.spawn(move || {
                    block_on(async {
                        let store = open(db).await;
                        let versions =
                            [greeting("a", &format!("Hello {n}")), greeting("b", &format!("Bye {n}"))];
                        let pushed = store.push_prompts(&versions, Some("newest"), None).await.unwrap();
                        assert!(pushed.iter().all(|pushed| pushed.is_new));
                        pushed.iter().map(|pushed| pushed.version.version).collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let mut numbers = all.clone();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=16).flat_map(|n| [n, n]).collect::<Vec<_>>());
    let store = open(db).await;
    for name in ["a", "b"] {
        let log = store.prompt_log(name).await.unwrap();
        assert_eq!(log.len(), 16);
        assert_eq!(log.iter().map(|used| used.entry.digest).collect::<BTreeSet<_>>().len(), 16);
    }
}

#[test]
fn sixteen_pushes_at_once_on_postgres() {
    let db = TestDb::postgres();
    block_on(push_at_once(&db));
}

#[test]
fn sixteen_pushes_at_once_on_sqlite() {
    let db = TestDb::sqlite();
    block_on(push_at_once(&db));
}

/// Real processes, on a ledger that none of them finds there.
#[test]
fn eight_processes_push_at_once() {
    let sandbox = Sandbox::new();
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let processes: Vec<_> = (0..8)
            .map(|n| {
                let folder = format!("p{n}");
                sandbox
                    .file(&format!("{folder}/greet.yaml"), &greeting("greet", &format!("Hello {n}")).source);
                let sandbox = &sandbox;
                scope.spawn(move || sandbox.run(&["prompts", "push", &folder]))
            })
            .collect();
        processes.into_iter().map(|process| process.join().unwrap()).collect()
    });
    for output in &outputs {
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    let log = crate::cli::json(sandbox.run(&["prompts", "log", "greet", "--format", "json"]));
    let numbers: Vec<u64> =
        log["rows"].as_array().unwrap().iter().map(|row| row["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=8).rev().collect::<Vec<_>>());
}
