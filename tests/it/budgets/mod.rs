//! Budgets: what is asked for before a call counts once, and no hard limit is ever exceeded by those who ask.

mod client;
mod crowd;
mod periods;
mod shell;

use crate::support::{TestDb, on_both_databases};
use crate::writing::{call, now, open, run_id, start};
use asmm::clock::Clock;
use asmm::domain::{Amount, Budget, BudgetScope, Call, CallId, Period, Reserve, StartRun, Timestamp, Usd};
use asmm::error::ErrorKind;
use asmm::store::{BudgetState, Location, Refusal, ReservationState, Store};
use std::time::Duration;
use uuid::Uuid;

/// What [`call`] costs.
pub const CALL_USD: &str = "0.0026";

pub fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

/// A hard budget for all calls of a day in UTC.
pub fn budget(name: &str, limit: &str) -> Budget {
    Budget {
        name: name.into(),
        limit: usd(limit),
        period: Period::Day,
        zone: chrono_tz::Tz::UTC,
        scope: BudgetScope::default(),
        is_hard: true,
    }
}

/// A question about [`call`] `n` of `run`.
pub fn ask(run: u128, n: u128, amount: &str) -> Reserve {
    Reserve {
        agent: "researcher".into(),
        provider: "openai".into(),
        model: "gpt-4o".into(),
        ..Reserve::of(run_id(run), CallId(Uuid::from_u128(n)), Amount::Usd(usd(amount)))
    }
}

/// The same ledger at another time.
async fn at(db: &TestDb, time: Timestamp) -> Store {
    Store::connect(&Location::new(&db.url, &db.schema), Clock::Fixed(time)).await.unwrap()
}

/// What is spent, reserved and left of a budget.
async fn state(store: &Store, name: &str) -> BudgetState {
    let states = store.budget_states(store.now()).await.unwrap();
    states.into_iter().find(|state| state.budget.name == name).unwrap()
}

async fn figures(store: &Store, name: &str) -> (String, String, String) {
    let state = state(store, name).await;
    (state.spent.to_string(), state.reserved.to_string(), state.left().to_string())
}

fn three(spent: &str, reserved: &str, left: &str) -> (String, String, String) {
    (spent.to_owned(), reserved.to_owned(), left.to_owned())
}

on_both_databases! {
    async fn an_amount_is_held_until_its_call_is_recorded(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        store.set_budget(&budget("nightly", "0.01")).await.unwrap();
        let first = store.reserve(&ask(1, 1, "0.006")).await.unwrap();
        assert_eq!((first.granted, first.state), (true, Some(ReservationState::Open)));
        assert_eq!(first.expires_at, Some(now().plus_micros(600_000_000)));
        assert_eq!(first.budgets[0].reserved, usd("0.006"));
        assert_eq!(figures(&store, "nightly").await, three("0", "0.006", "0.004"));

        // Asked again, nothing is held twice, and the answer is the same.
        assert_eq!(store.reserve(&ask(1, 1, "0.006")).await.unwrap(), first);
        let error = store.reserve(&ask(1, 1, "0.007")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("a reservation of another amount: 0.006 USD"), "{error}");

        let refused = store.reserve(&ask(1, 2, "0.0040000001")).await.unwrap();
        assert_eq!((refused.granted, refused.reason, refused.state), (false, Some(Refusal::OverBudget), None));
        assert_eq!(
            refused.refusal().unwrap(),
            "0.0040000001 USD do not fit into budget `nightly`: 0 USD spent and 0.006 reserved of 0.01 until \
             2026-11-21T00:00:00Z"
        );

        store.record_calls(&[call(1, 1)]).await.unwrap();
        assert_eq!(figures(&store, "nightly").await, three(CALL_USD, "0", "0.0074"));
        let settled = store.reserve(&ask(1, 1, "0.006")).await.unwrap();
        assert_eq!((settled.granted, settled.state), (true, Some(ReservationState::Settled)));
        assert!(!store.release(run_id(1), CallId(Uuid::from_u128(1))).await.unwrap(), "its call is recorded");

        assert!(store.reserve(&ask(1, 2, "0.0074")).await.unwrap().granted, "to the last picodollar");
        assert!(!store.reserve(&ask(1, 3, "0.000000000001")).await.unwrap().granted);
        assert!(store.release(run_id(1), CallId(Uuid::from_u128(2))).await.unwrap());
        assert!(!store.release(run_id(1), CallId(Uuid::from_u128(2))).await.unwrap());
        assert!(!store.release(run_id(1), CallId(Uuid::from_u128(9))).await.unwrap());
        assert_eq!(figures(&store, "nightly").await, three(CALL_USD, "0", "0.0074"));
        // What was released is asked for anew, and may be another amount.
        assert!(store.reserve(&ask(1, 2, "0.005")).await.unwrap().granted);
        assert_eq!(figures(&store, "nightly").await, three(CALL_USD, "0.005", "0.0024"));
        store.settle().await.unwrap();
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn what_expires_holds_nothing_and_a_late_call_counts(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        store.set_budget(&budget("nightly", "0.01")).await.unwrap();
        let minute = Reserve { expires_in: Duration::from_mins(1), ..ask(1, 1, "0.01") };
        assert!(store.reserve(&minute).await.unwrap().granted);
        let before = at(&db, now().plus_micros(59_999_999)).await;
        assert!(!before.reserve(&ask(1, 2, "0.001")).await.unwrap().granted);
        let after = at(&db, now().plus_micros(60_000_000)).await;
        assert_eq!(figures(&after, "nightly").await, three("0", "0", "0.01"));
        assert!(after.reserve(&ask(1, 2, "0.008")).await.unwrap().granted);
        // The first is not held any more: asked for again, it must fit again.
        assert!(!after.reserve(&minute).await.unwrap().granted);
        after.record_calls(&[call(1, 1)]).await.unwrap();
        assert_eq!(figures(&after, "nightly").await, three(CALL_USD, "0.008", "-0.0006"));
        assert!(!state(&after, "nightly").await.is_over(), "more is promised than there is, not spent");
        assert!(!after.reserve(&ask(1, 3, "0")).await.unwrap().granted);
        // A day later they are forgotten, and the new day has its own limit.
        let tomorrow = at(&db, now().plus_micros(2 * 86_400_000_000)).await;
        assert!(tomorrow.reserve(&ask(1, 4, "0.01")).await.unwrap().granted);
        assert_eq!(state(&tomorrow, "nightly").await.reservations, 1);
    }

    async fn a_soft_budget_only_says_so(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        store.set_budget(&Budget { is_hard: false, ..budget("soft", "0.003") }).await.unwrap();
        assert_eq!(store.reserve(&ask(1, 1, "0.003")).await.unwrap().warnings(), [""; 0]);
        let over = store.reserve(&ask(1, 2, "0.001")).await.unwrap();
        assert!(over.granted);
        assert_eq!(
            over.warnings(),
            ["over budget `soft`: 0 USD spent and 0.004 reserved of 0.003 until 2026-11-21T00:00:00Z"]
        );
        store.record_calls(&[call(1, 1)]).await.unwrap();
        let near = state(&store, "soft").await;
        assert_eq!((near.is_near(), near.is_over()), (true, false));
        store.record_calls(&[call(1, 2)]).await.unwrap();
        let over = state(&store, "soft").await;
        assert_eq!((over.is_near(), over.is_over(), over.left()), (false, true, usd("-0.0022")));
    }

    async fn a_budget_counts_what_its_scope_names(db: TestDb) {
        let store = open(&db).await;
        let scope = |pipeline: Option<&str>, agent: Option<&str>, model: Option<&str>, team: Option<&str>| BudgetScope {
            pipeline: pipeline.map(str::to_owned),
            agent: agent.map(str::to_owned),
            model: model.map(str::to_owned),
            label: team.map(|team| ("team".to_owned(), team.to_owned())),
            ..BudgetScope::default()
        };
        for (name, scope) in [
            ("a-pipeline", scope(Some("enrichment"), None, None, None)),
            ("b-agent", scope(None, Some("writer"), None, None)),
            ("c-model", scope(None, None, Some("gpt-4o-mini"), None)),
            ("d-label", scope(None, None, None, Some("data"))),
            ("e-both", scope(Some("enrichment"), None, Some("gpt-4o"), Some("data"))),
            ("f-other", scope(None, None, None, Some("sales"))),
        ] {
            store.set_budget(&Budget { scope, ..budget(name, "1") }).await.unwrap();
        }
        store.start_run(&start(1)).await.unwrap();
        let other = StartRun { pipeline: "other".into(), labels: [("team".into(), "sales".into())].into(), ..start(2) };
        store.start_run(&other).await.unwrap();
        let names = |reserved: asmm::store::Reserved| -> String {
            reserved.budgets.iter().map(|budget| budget.name[..1].to_owned()).collect()
        };
        assert_eq!(names(store.reserve(&ask(1, 1, "0.1")).await.unwrap()), "ade");
        let mini = Reserve { model: "gpt-4o-mini".into(), agent: "writer".into(), ..ask(2, 2, "0.1") };
        assert_eq!(names(store.reserve(&mini).await.unwrap()), "bcf");
        // A run that the ledger does not know yet is what is said of it.
        let unknown = store.reserve(&ask(3, 3, "0.1")).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        let labels = [("team".to_owned(), "data".to_owned())].into();
        let early = Reserve { pipeline: Some("enrichment".into()), labels, ..ask(3, 3, "0.1") };
        assert_eq!(names(store.reserve(&early).await.unwrap()), "ade");
        assert_eq!(figures(&store, "d-label").await, three("0", "0.2", "0.8"));
        assert_eq!(figures(&store, "e-both").await, three("0", "0.2", "0.8"));

        store.start_run(&start(3)).await.unwrap();
        let theirs = Call { model: "gpt-4o-mini".into(), agent: "writer".into(), ..call(2, 2) };
        store.record_calls(&[call(1, 1), theirs, call(3, 3)]).await.unwrap();
        for (name, spent) in [
            ("a-pipeline", "0.0052"),
            ("b-agent", "0.000156"),
            ("c-model", "0.000156"),
            ("d-label", "0.0052"),
            ("e-both", "0.0052"),
            ("f-other", "0.000156"),
        ] {
            let state = state(&store, name).await;
            assert_eq!((state.spent.to_string().as_str(), state.reserved), (spent, Usd::ZERO), "{name}");
        }
    }

    async fn tokens_are_priced_and_an_unknown_price_is_not_zero(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        store.set_budget(&budget("nightly", "0.01")).await.unwrap();
        let tokens = |n: u128, model: &str, output: u64| Reserve {
            model: model.into(),
            amount: Amount::Tokens { input: 1000, output },
            ..ask(1, n, "0")
        };
        let priced = store.reserve(&tokens(1, "gpt-4o", 10)).await.unwrap();
        assert_eq!(priced.amount, Some(usd(CALL_USD)));
        assert!(!store.reserve(&tokens(2, "gpt-4o", 1000)).await.unwrap().granted, "0.0125 USD");
        let unknown = tokens(3, "nobody-knows-it", 10);
        let refused = store.reserve(&Reserve { refuse_unpriced: true, ..unknown.clone() }).await.unwrap();
        assert_eq!((refused.granted, refused.reason, refused.amount), (false, Some(Refusal::Unpriced), None));
        assert_eq!(refused.refusal().unwrap(), "the price of the tokens is unknown");
        let granted = store.reserve(&unknown).await.unwrap();
        assert_eq!((granted.granted, granted.amount), (true, None));
        assert!(granted.warnings()[0].contains("the price of the tokens is unknown"), "{granted:?}");
        let held = state(&store, "nightly").await;
        assert_eq!((held.reserved, held.reservations, held.unpriced_reservations), (usd(CALL_USD), 2, 1));
        store.record_calls(&[Call { model: "nobody-knows-it".into(), ..call(1, 3) }]).await.unwrap();
        let counted = state(&store, "nightly").await;
        assert_eq!((counted.llm_calls, counted.unpriced_calls, counted.unpriced_reservations), (1, 1, 0));
        let asked = store.reserve(&ask(1, 4, "1")).await.unwrap();
        assert!(asked.refusal().unwrap().ends_with(", 1 of 1 calls have no price"), "{asked:?}");
    }

    async fn a_budget_is_changed_by_another_row(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        let first = budget("nightly", "0.01");
        assert_eq!(store.set_budget(&first).await.unwrap(), (None, true));
        assert_eq!(store.set_budget(&first).await.unwrap(), (Some(first.clone()), false));
        assert!(store.reserve(&ask(1, 1, "0.006")).await.unwrap().granted);
        let less = budget("nightly", "0.004");
        assert_eq!(store.set_budget(&less).await.unwrap(), (Some(first.clone()), true));
        // What was granted stays granted; what comes now finds the new limit.
        assert!(store.reserve(&ask(1, 1, "0.006")).await.unwrap().granted);
        assert!(!store.reserve(&ask(1, 2, "0.001")).await.unwrap().granted);
        // One that is set later counts what is held already.
        store.set_budget(&budget("later", "0.0065")).await.unwrap();
        assert_eq!(figures(&store, "later").await, three("0", "0.006", "0.0005"));
        assert_eq!(store.remove_budget("nightly").await.unwrap(), less);
        assert_eq!(store.remove_budget("nightly").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(store.remove_budget("never").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(store.reserve(&ask(1, 2, "0.0005")).await.unwrap().granted);
        let history = store.budget_history("nightly").await.unwrap();
        let did: Vec<_> = history.iter().map(|e| (e.is_removed, e.budget.limit.to_string())).collect();
        assert_eq!(did, [(true, "0.004".into()), (false, "0.004".into()), (false, "0.01".into())]);
        assert_eq!(store.set_budget(&first).await.unwrap(), (None, true), "it may come back");
        assert_eq!(store.budgets().await.unwrap().len(), 2);
    }

    async fn what_the_ledger_does_not_take_is_refused(db: TestDb) {
        let store = open(&db).await;
        store.start_run(&start(1)).await.unwrap();
        for wrong in [
            Reserve { amount: Amount::Usd(usd("-1")), ..ask(1, 1, "0") },
            Reserve { amount: Amount::Usd(usd("9223373")), ..ask(1, 1, "0") },
            Reserve { amount: Amount::Tokens { input: 1_000_000_001, output: 0 }, ..ask(1, 1, "0") },
            Reserve { expires_in: Duration::ZERO, ..ask(1, 1, "0") },
            Reserve { expires_in: Duration::from_secs(86_401), ..ask(1, 1, "0") },
            Reserve { pipeline: Some(String::new()), ..ask(1, 1, "0") },
            Reserve { agent: "a\nb".into(), ..ask(1, 1, "0") },
        ] {
            assert_eq!(store.reserve(&wrong).await.unwrap_err().kind(), ErrorKind::Input, "{wrong:?}");
        }
        let error = store.set_budget(&Budget { limit: usd("-1"), ..budget("b", "1") }).await.unwrap_err();
        assert_eq!(error.to_string(), "the limit -1 USD is below 0");
    }
}
