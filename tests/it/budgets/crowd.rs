//! Many who ask at once: together they never get more than the limit.

use super::{ask, budget, state, usd};
use crate::support::{TestDb, block_on, on_both_databases};
use crate::writing::{call, now, open, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{CallId, Usd};
use asmm::store::{Location, Store};
use futures_util::future::join_all;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

const CLIENTS: u128 = 100;
/// Threads with a connection pool and a runtime of their own.
const THREADS: u128 = 10;
const ASKS: u128 = 4;
const LIMIT: &str = "0.31";
/// More than a call costs, so that room is left when it is settled.
const AMOUNT: &str = "0.003";

/// One client asks for a few calls. Of those it gets it records some, gives some back, and keeps some.
async fn client(store: &Store, number: u128) -> Vec<u128> {
    let mut open = Vec::new();
    for n in 0..ASKS {
        let id = number * 1000 + n;
        if !store.reserve(&ask(1, id, AMOUNT)).await.unwrap().granted {
            continue;
        }
        match (number + n) % 4 {
            0 => assert!(store.release(run_id(1), CallId(Uuid::from_u128(id))).await.unwrap()),
            1 | 2 => {
                assert_eq!(store.record_calls(&[call(1, id)]).await.unwrap().recorded, 1);
            }
            _ => open.push(id),
        }
    }
    open
}

/// Watches the whole time: spent and reserved together never exceed the limit, at no instant.
async fn watch(db: &TestDb, is_done: &AtomicBool) -> u32 {
    let store = connect(db).await;
    let mut looks = 0;
    while !is_done.load(Ordering::Relaxed) {
        let state = state(&store, "crowd").await;
        assert!(state.spent + state.reserved <= usd(LIMIT), "{state:?}");
        looks += 1;
    }
    looks
}

async fn connect(db: &TestDb) -> Store {
    Store::open(&Location::new(&db.url, &db.schema), Clock::Fixed(now())).await.unwrap()
}

fn hundred_clients(db: &TestDb) {
    block_on(async {
        let store = open(db).await;
        store.start_run(&start(1)).await.unwrap();
        store.set_budget(&budget("crowd", LIMIT)).await.unwrap();
        store.close().await;
    });
    let is_done = AtomicBool::new(false);
    let (kept, looks): (Vec<u128>, u32) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| block_on(watch(db, &is_done)));
        let crowd: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    block_on(async {
                        let store = connect(db).await;
                        let mine = (0..CLIENTS).filter(|number| number % THREADS == thread);
                        let kept: Vec<Vec<u128>> = join_all(mine.map(|number| client(&store, number))).await;
                        store.close().await;
                        kept.concat()
                    })
                })
            })
            .collect();
        let kept = crowd.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        is_done.store(true, Ordering::Relaxed);
        (kept, watcher.join().unwrap())
    });
    assert!(looks > 0);
    block_on(async {
        let store = connect(db).await;
        let state_before = state(&store, "crowd").await;
        assert_eq!(state_before.reservations, kept.len() as u64);
        assert_eq!(state_before.reserved, kept.iter().map(|_| usd(AMOUNT)).sum::<Usd>());
        assert!(state_before.left() >= Usd::ZERO, "{state_before:?}");
        // Nor is anything lost: whoever asks now gets what is left, to the last call that fits.
        let mut more = 1_000_000;
        while store.reserve(&ask(1, more, AMOUNT)).await.unwrap().granted {
            more += 1;
        }
        assert!(state(&store, "crowd").await.left() < usd(AMOUNT));
        let kept: Vec<u128> = kept.into_iter().chain(1_000_000..more).collect();
        let rest: Vec<_> = kept.iter().map(|id| call(1, *id)).collect();
        store.record_calls(&rest).await.unwrap();
        let after = state(&store, "crowd").await;
        assert_eq!((after.reservations, after.reserved), (0, Usd::ZERO));
        assert!(after.spent <= usd(LIMIT), "{after:?}");
        assert_eq!(store.run(run_id(1)).await.unwrap().totals.cost, after.spent);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    });
}

#[test]
fn a_hundred_clients_on_sqlite() {
    hundred_clients(&TestDb::sqlite());
}

#[test]
fn a_hundred_clients_on_postgres() {
    hundred_clients(&TestDb::postgres());
}

/// Asks, and records what it got: each a process of its own.
const SHELL: &str = r#"
for n in 1 2 3 4 5; do
  if id=$("$ASMM" budgets reserve --run-id "$RUN" --agent researcher --provider openai --model gpt-4o --usd 0.003); then
    "$ASMM" runs call --strict --run-id "$RUN" --agent researcher --call-id "$id" --model gpt-4o --provider openai \
      --input 1000 --output 10
  elif [ $? -ne 3 ]; then
    exit 1
  fi
done"#;

on_both_databases! {
    async fn processes_together_never_pass_the_limit(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        // Room for five calls that cost 0.0026, one after the other; for four that are asked for, at 0.003, at once.
        store.set_budget(&budget("crowd", "0.014")).await.unwrap();
        let shells: Vec<_> = (0..6)
            .map(|_| {
                Command::new("sh")
                    .args(["-c", SHELL])
                    .env_clear()
                    .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                    .env("ASMM", env!("CARGO_BIN_EXE_asmm"))
                    .env("RUN", run_id(1).to_string())
                    .env("ASMM_NOW", now().to_string())
                    .env("ASMM_RESERVE_PATIENCE_MS", "120000")
                    .env("ASMM_RESERVE_FAIL", "closed")
                    .env("ASMM_DATABASE_URL", &db.url)
                    .env("ASMM_SCHEMA", &db.schema)
                    .env("HOME", db.dir.path())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for shell in shells {
            let output = shell.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let after = state(&store, "crowd").await;
        assert!((4..=5).contains(&after.llm_calls) && after.reservations == 0, "{after:?}");
        assert!(after.spent <= usd("0.013"), "{after:?}");
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}
