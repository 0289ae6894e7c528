//! Costs that do not fit: one call's, a run's, a quarter of an hour's.

use super::{MINUTE, Refusals, filled, finish};
use crate::support::on_both_databases;
use crate::writing::{call, run_id, start};
use asmm::domain::{Call, Event, Status, Timestamp, TokenUsage};
use asmm::pricing::{Origin, PriceEntry, Rates};
use asmm::store::Store;

/// `absurd` costs 1,000,000 USD a token, and `dear` 4,000 USD a million tokens.
pub(super) async fn push_absurd_prices(store: &Store) {
    push_prices(store, 1_000_000_000_000_000_000, 4_000_000_000).await;
}

async fn push_prices(store: &Store, absurd: i64, dear: i64) {
    let entry = |model: &str, rate: i64| PriceEntry {
        provider: "acme".into(),
        model: model.into(),
        service_tier: "standard".into(),
        over_input_tokens: 0,
        effective_from: Timestamp::from_micros(0),
        daily_utc: None,
        rates: Rates { input: Some(rate), output: Some(rate), ..Rates::default() },
        source: "a test".into(),
        origin: Origin::User,
        revision: 0,
        price_id: None,
    };
    let entries = [entry("absurd", absurd), entry("dear", dear)];
    store.push_prices(Origin::User, "absurd.yaml", &entries).await.unwrap();
}

/// A call that costs 1,000,000 USD for each of its `input` tokens.
fn absurd(run: u128, n: u128, input: u64) -> Call {
    let usage = Some(TokenUsage { input, ..TokenUsage::default() });
    Call { provider: "acme".into(), model: "absurd".into(), usage, ..call(run, n) }
}

/// A call that costs 4,000,000 USD.
fn dear(run: u128, n: u128) -> Call {
    let usage = Some(TokenUsage { input: 1_000_000_000, ..TokenUsage::default() });
    Call { provider: "acme".into(), model: "dear".into(), usage, ..call(run, n) }
}

on_both_databases! {
    async fn a_call_that_costs_too_much(db: TestDb) {
        let store = filled(&db).await;
        push_absurd_prices(&store).await;
        let mut refusals = Refusals::of(&store).await;
        for input in [10, 1_000_000_000] {
            let batch = [call(1, 51), absurd(1, 52, input), call(1, 53)];
            refusals.add("a call", store.record_calls(&batch).await).await;
        }
        let said = refusals.end().await;
        let named = format!("call `{}`", call(1, 52).call_id);
        assert_eq!(said.matches(&named).count(), said.matches("Input: ").count(), "{said}");
        assert!(said.contains("9,223,372 USD") && said.contains("hint: check the price and the token counts"), "{said}");

        // Of a chunk only that call is refused, and what is just small enough is taken.
        let chunk = [call(1, 51), absurd(1, 52, 10), absurd(1, 53, 9), call(2, 54)].map(Event::Call);
        let applied = store.apply(&chunk).await.unwrap();
        assert_eq!(applied.calls.recorded, 3);
        assert_eq!(applied.refused.iter().map(|r| r.0).collect::<Vec<_>>(), [1], "{:?}", applied.refused);
        assert_eq!(store.run(run_id(1)).await.unwrap().totals.cost.rounded(0), "9000000");
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn a_run_that_costs_too_much(db: TestDb) {
        let store = filled(&db).await;
        push_absurd_prices(&store).await;
        let mut refusals = Refusals::of(&store).await;
        let batch = [dear(1, 51), dear(1, 52), dear(1, 53)];
        refusals.add("a batch", store.record_calls(&batch).await).await;
        let mut said = refusals.end().await;
        assert_eq!(store.record_calls(&batch[..2]).await.unwrap().recorded, 2);
        let mut refusals = Refusals::of(&store).await;
        refusals.add("one more", store.record_calls(&batch[2..]).await).await;
        // Another run has room, and the quarter of an hour has not.
        refusals.add("one more in another run", store.record_calls(&[dear(2, 53)]).await).await;
        said += &refusals.end().await;
        assert_eq!(said.matches("Input: ").count(), said.matches("hint: ").count(), "{said}");
        assert_eq!(said.matches("does not fit").count(), said.matches("Input: ").count(), "{said}");

        let later = Call { called_at: call(2, 53).called_at.plus_micros(-15 * MINUTE), ..dear(2, 53) };
        assert_eq!(store.record_calls(&[later]).await.unwrap().recorded, 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    /// A run whose price came later and does not fit is neither priced nor finished, until that is corrected.
    async fn a_price_that_comes_later(db: TestDb) {
        let store = filled(&db).await;
        store.start_run(&start(9)).await.unwrap();
        let batch = [dear(9, 51), dear(9, 52), dear(9, 53)];
        assert_eq!(store.record_calls(&batch).await.unwrap().unpriced, 3);
        push_absurd_prices(&store).await;
        let mut refusals = Refusals::of(&store).await;
        let end = finish(9, Status::Succeeded, None);
        refusals.add("pricing", store.price_all_names().await).await;
        refusals.add("finishing", store.finish_run(&end).await).await;
        let said = refusals.end().await;
        assert_eq!(said.matches("Input: ").count(), said.matches("hint: ").count(), "{said}");
        assert!(said.contains("does not fit"), "{said}");
        // In a chunk the finish is refused whole as well, and what stands beside it is taken.
        let applied = store.apply(&[Event::Call(call(1, 51)), Event::Finish(end.clone())]).await.unwrap();
        assert_eq!((applied.calls.recorded, applied.refused.len()), (1, 1));
        assert_eq!(store.broken_laws().await.unwrap(), []);

        push_prices(&store, 1, 4_000_000).await;
        let run = store.finish_run(&end).await.unwrap();
        assert_eq!((run.totals.cost.rounded(0).as_str(), run.totals.unpriced_calls), ("12000", 0));
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }
}
