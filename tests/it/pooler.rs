//! Through PgBouncer in transaction mode: what asmm does there is what it does without.

use crate::cli::{Native, id};
use crate::support::{Pooler, Sandbox, TestDb, block_on};
use crate::writing::{call, now, open, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{Call, FinishRun, Status, Window};
use asmm::store::{Filter, Location, SpendBy, Store};
use chrono_tz::Tz;

/// As PgBouncer is delivered, and as it is often set up for drivers that say more than it knows.
const SETTINGS: [&str; 2] = ["", "ignore_startup_parameters = extra_float_digits,options"];

#[test]
fn commands_say_the_same() {
    for more in SETTINGS {
        let straight = Sandbox::new().with_postgres();
        straight.run(&["migrate"]).success();
        let schema = straight.env("ASMM_SCHEMA").unwrap().to_owned();
        let pooler = Pooler::new(&schema, more);
        let through = Sandbox::new()
            .with_env("ASMM_SCHEMA", &schema)
            .with_env("ASMM_DATABASE_URL", pooler.url("ledger"));
        let lines = Native::default()
            .run(1, "enrichment", "2026-03-10T10:00:00Z")
            .call(1, 20, "writer", "2026-03-10T10:01:00Z", 2_000_000)
            .call_of(1, 21, "writer", ("acme", "nobody-knows-it"), "2026-03-10T10:02:00Z", r#"{"input":10}"#)
            .finish(1, "succeeded", "2026-03-10T10:30:00Z");
        through.run_with_input(&["import", "jsonl", "--strict"], &lines.0).success();
        let run = through.run(&["runs", "start", "--pipeline", "by-hand"]).success();
        let recorded = through.run(&[
            "runs",
            "call",
            "--run-id",
            run.trim(),
            "--provider",
            "openai",
            "--model",
            "gpt-4o",
            "--input",
            "10",
        ]);
        recorded.success();
        through.run(&["runs", "finish", "--run-id", run.trim(), "--status", "succeeded"]).success();
        let prompt = "schema: asmm.prompt/v1\nname: team/hello\nengine: subst/1\nmessages:\n  - role: user\n    content: Hello\n";
        through.file("hello.yaml", prompt);
        through.run(&["prompts", "push", "hello.yaml"]).success();
        through.run(&["prices", "alias", "acme", "nobody-knows-it", "openai/gpt-4o"]);
        for args in [
            &["spend", "daily", "--days", "30"][..],
            &["spend", "agent", "--days", "30", "--format", "json"],
            &["runs", "list", "--days", "30"],
            &["runs", "show", &id(1)],
            &["runs", "explain", &id(1)],
            &["prompts", "list"],
            &["prices", "list", "gpt-4o"],
            &["prices", "missing"],
            &["guard", "coverage"],
            &["export", "jsonl"],
            &["replay", &id(1), "--verify"],
        ] {
            let (ours, theirs) = (through.run(args), straight.run(args));
            let place = |text: &str| text.split(" (schema").last().map(str::to_owned);
            assert_eq!(ours.code, theirs.code, "{args:?}: {}", ours.stderr);
            assert_eq!(place(&ours.stdout), place(&theirs.stdout), "{args:?}: {}", ours.stderr);
            assert_eq!(ours.stderr, theirs.stderr, "{args:?}");
        }
        through.run(&["doctor"]).success();
        through.run(&["runs", "archive", "--before", "2026-03-12", "--output", "old.gz"]).success();
        through.run(&["import", "jsonl", "--strict", "old.gz"]).success();
        straight.run(&["doctor"]).success();
    }
}

#[test]
fn what_the_pooler_cannot_do_is_said() {
    let straight = Sandbox::new().with_postgres();
    straight.run(&["migrate"]).success();
    let schema = straight.env("ASMM_SCHEMA").unwrap().to_owned();
    for more in SETTINGS {
        let pooler = Pooler::new(&schema, more);
        let said = |database: &str, args: &[&str]| {
            let sandbox = Sandbox::new()
                .with_env("ASMM_SCHEMA", &schema)
                .with_env("ASMM_DATABASE_URL", pooler.url(database));
            let port = pooler.url("").split(':').next_back().unwrap().trim_end_matches('/').to_owned();
            sandbox.run(args).snapshot().replace(&schema, "[schema]").replace(&port, "[port]")
        };
        insta::allow_duplicates! {
            insta::assert_snapshot!(said("plain", &["spend", "daily"]), @r#"
            exit: 7
            --- stdout ---
            --- stderr ---
            error: `postgres://127.0.0.1:[port]/plain (schema [schema])`: the pooler's connections look for tables in `"$user", public`, not in `[schema]`
            hint: give its database entry `connect_query='set search_path = [schema],pg_temp'`; see RUNBOOK.md, Past one machine
            "#);
            insta::assert_snapshot!(said("nowhere", &["spend", "daily"]), @r"
            exit: 7
            --- stdout ---
            --- stderr ---
            error: `postgres://127.0.0.1:[port]/nowhere (schema [schema])`: the connection was refused: bouncer config error
            hint: behind a pooler: is the database in the URL one of its entries? its log says more
            ");
        }
    }
    // A ledger that is not there yet.
    let pooler = Pooler::new("t_not_there_yet", "");
    let sandbox = Sandbox::new()
        .with_env("ASMM_SCHEMA", "t_not_there_yet")
        .with_env("ASMM_DATABASE_URL", pooler.url("ledger"));
    let port = pooler.url("").split(':').next_back().unwrap().trim_end_matches('/').to_owned();
    insta::assert_snapshot!(sandbox.run(&["migrate"]).snapshot().replace(&port, "[port]"), @r"
    exit: 7
    --- stdout ---
    --- stderr ---
    error: a pooler in between lends out connections for single transactions only
    hint: migrate with a URL that leads to the server itself
    ");
}

/// More clients than the pooler has connections, each with statements of its own, in transactions and outside.
#[test]
fn many_share_few_connections() {
    const CLIENTS: u128 = 6;
    const BATCHES: u128 = 25;
    let db = TestDb::postgres();
    let pooler = Pooler::new(&db.schema, "");
    block_on(async {
        let straight = open(&db).await;
        let location = Location::new(pooler.url("ledger"), &db.schema);
        let mut clients = tokio::task::JoinSet::new();
        for client in 1..=CLIENTS {
            let location = location.clone();
            clients.spawn(async move {
                let store = Store::open(&location, Clock::Fixed(now())).await.unwrap();
                store.start_run(&start(client)).await.unwrap();
                for batch in 0..BATCHES {
                    let first = client * 100_000 + batch * 10;
                    let calls: Vec<Call> = (0..=batch % 7).map(|n| call(client, first + n)).collect();
                    let recorded = store.record_calls(&calls).await.unwrap();
                    assert_eq!(recorded.recorded, calls.len() as u64);
                    let window = Window::last_days(2, now(), Tz::UTC).unwrap();
                    let by = SpendBy { agent: batch % 2 == 0, model: true, ..SpendBy::default() };
                    assert_eq!(store.spend(&window, by, &Filter::default()).await.unwrap().len(), 1);
                    assert!(!store.calls(run_id(client), None, 1000).await.unwrap().is_empty());
                }
                let end = FinishRun {
                    run_id: run_id(client),
                    status: Status::Succeeded,
                    completed_at: Some(now()),
                };
                store.finish_run(&end).await.unwrap();
                store.close().await;
            });
        }
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        assert_eq!(straight.broken_laws().await.unwrap(), []);
        let window = Window::last_days(2, now(), Tz::UTC).unwrap();
        let all = straight.spend(&window, SpendBy::default(), &Filter::default()).await.unwrap();
        let calls = all.values().map(|totals| u128::from(totals.llm_calls)).sum::<u128>();
        assert_eq!(calls, CLIENTS * (0..BATCHES).map(|batch| 1 + batch % 7).sum::<u128>());
    });
}
