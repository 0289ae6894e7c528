//! Random histories of a ledger.

use asmm::domain::{
    Call, CallId, FinishRun, FinishStep, Outcome, RunId, StartRun, StartStep, Status, StepId, Timestamp,
    TokenUsage,
};
use asmm::pricing::{EntryKey, Origin, PriceEntry, Rates};
use asmm::store::PriceScope;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

/// One thing that happens to a ledger.
#[derive(Clone, Debug)]
pub enum Op {
    StartRun(StartRun),
    StartStep(StartStep),
    /// The batch, and whether Postgres gets it as JSON.
    Record(Vec<Call>, bool),
    FinishStep(FinishStep),
    FinishRun(FinishRun),
    Push(Vec<PriceEntry>),
    Alias(String, String, Option<EntryKey>),
    /// What is priced again, and whether only to look.
    Reprice(PriceScope, bool),
}

pub fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A few minutes on each of a few days, so that dates, hours and buckets are cut in many ways.
fn moment() -> impl Strategy<Value = Timestamp> {
    (0_i64..6, 0_i64..24, 0_i64..4).prop_map(|(day, hour, quarter)| {
        now().plus_micros(-(day * 86_400 + hour * 3600 + quarter * 900) * 1_000_000 + 1)
    })
}

fn run_id() -> impl Strategy<Value = RunId> {
    (1_u128..5).prop_map(|n| RunId(Uuid::from_u128(n)))
}

fn step_id() -> impl Strategy<Value = StepId> {
    (1_u128..3).prop_map(|n| StepId(Uuid::from_u128(n)))
}

fn name(prefix: &'static str, count: u8) -> impl Strategy<Value = String> {
    (0..count).prop_map(move |n| format!("{prefix}-{n}"))
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Succeeded), Just(Status::Failed)]
}

fn start_run() -> impl Strategy<Value = StartRun> {
    (run_id(), name("pipeline", 2), 0_i64..2).prop_map(|(run_id, pipeline, at)| StartRun {
        run_id,
        pipeline,
        started_at: now().plus_micros(-at * 1_000_000),
        labels: [("team".to_owned(), "data".to_owned())].into(),
        parent_run_id: None,
        replay_of: None,
    })
}

fn start_step() -> impl Strategy<Value = StartStep> {
    (run_id(), step_id(), name("agent", 2), 1_u32..3).prop_map(|(run_id, step_id, agent, attempt)| {
        StartStep {
            run_id,
            step_id,
            step: "extract".into(),
            agent,
            prompt_version: None,
            attempt,
            started_at: Some(now()),
            status: None,
            completed_at: None,
        }
    })
}

fn usage() -> impl Strategy<Value = Option<TokenUsage>> {
    let count = || prop_oneof![Just(0_u64), 1_u64..2000];
    let counts = (count(), count(), count(), count(), count(), count(), count(), 0_u64..2);
    prop_oneof![
        1 => Just(None),
        6 => counts.prop_map(|(input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, searches)| {
            Some(TokenUsage {
                input,
                cache_read,
                cache_write,
                cache_write_long,
                output,
                reasoning,
                embedding: embedding / 10,
                web_searches: searches,
            })
        }),
        3 => (1_u64..2000, 1_u64..500)
            .prop_map(|(input, output)| Some(TokenUsage { input, output, ..TokenUsage::default() })),
    ]
}

fn tier() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just("standard".to_owned()), 1 => Just("batch".to_owned())]
}

/// What costs nothing and yet makes two calls differ.
fn trifles() -> impl Strategy<Value = (String, Option<u64>, Outcome, Option<String>)> {
    let often = || option::weighted(0.1, Just(()));
    (often(), often(), often(), often()).prop_map(|(operation, latency, outcome, response)| {
        (
            if operation.is_some() { "embeddings" } else { "chat" }.to_owned(),
            latency.map(|()| 120),
            if outcome.is_some() { Outcome::Error } else { Outcome::Ok },
            response.map(|()| "response-1".to_owned()),
        )
    })
}

pub fn call() -> impl Strategy<Value = Call> {
    (
        run_id(),
        1_u128..14,
        option::weighted(0.2, step_id()),
        prop_oneof![Just(String::new()), name("agent", 2)],
        name("m", 4),
        tier(),
        moment(),
        usage(),
        (option::weighted(0.15, name("pipeline", 2)), trifles()),
    )
        .prop_map(|(run_id, id, step_id, agent, model, service_tier, called_at, usage, rest)| Call {
            run_id,
            call_id: CallId(Uuid::from_u128(id)),
            step_id,
            agent,
            provider: "acme".into(),
            model,
            operation: rest.1.0,
            service_tier,
            called_at,
            usage,
            latency_ms: rest.1.1,
            outcome: rest.1.2,
            response_id: rest.1.3,
            pipeline: rest.0,
            prompt: None,
        })
}

fn rate() -> impl Strategy<Value = Option<i64>> {
    option::weighted(0.6, prop_oneof![1 => Just(0_i64), 5 => 1_i64..50_000_000])
}

fn rates() -> impl Strategy<Value = Rates> {
    (rate(), rate(), rate(), rate(), rate(), rate(), rate(), rate(), rate()).prop_map(
        |(
            input,
            cache_read,
            cache_write,
            cache_write_long,
            output,
            reasoning,
            embedding,
            web_search,
            request,
        )| Rates {
            input: input.or(Some(7)),
            cache_read,
            cache_write,
            cache_write_long,
            output,
            reasoning,
            embedding,
            web_search,
            request,
        },
    )
}

fn scope() -> impl Strategy<Value = PriceScope> {
    let narrowed = (option::of(moment()), option::of(moment()), option::of(name("m", 4)), any::<bool>());
    (any::<bool>(), narrowed, any::<bool>()).prop_map(|(everything, (since, until, model, acme), all)| {
        if all {
            return PriceScope { everything, ..PriceScope::default() };
        }
        let provider = acme.then(|| "acme".to_owned());
        PriceScope { everything, since, until, provider, model }
    })
}

/// The prices of one key: a base, and perhaps a threshold.
fn sheet() -> impl Strategy<Value = Vec<PriceEntry>> {
    let key = (name("m", 3), tier(), option::of(moment()), option::weighted(0.25, 0_u32..20));
    (key, rates(), option::weighted(0.4, (1_u64..3000, rates()))).prop_map(|(key, base, over)| {
        let (model, service_tier, from, hour) = key;
        let entry = |over_input_tokens, rates| PriceEntry {
            provider: "acme".into(),
            model: model.clone(),
            service_tier: service_tier.clone(),
            over_input_tokens,
            effective_from: from.unwrap_or(Timestamp::from_micros(0)),
            daily_utc: hour.map(|h| (h * 3600, h * 3600 + 4 * 3600)),
            rates,
            source: "test".into(),
            origin: Origin::User,
            revision: 0,
            price_id: None,
        };
        let mut sheet = vec![entry(0, base)];
        sheet.extend(over.map(|(tokens, rates)| entry(tokens, rates)));
        sheet
    })
}

fn op() -> impl Strategy<Value = Op> {
    let finish_at = || (0_i64..2).prop_map(|s| Some(now().plus_micros(s * 1_000_000)));
    prop_oneof![
        4 => start_run().prop_map(Op::StartRun),
        2 => start_step().prop_map(Op::StartStep),
        8 => (vec(call(), 1..9), any::<bool>()).prop_map(|(calls, json)| Op::Record(calls, json)),
        1 => (run_id(), step_id(), status(), finish_at()).prop_map(|(run_id, step_id, status, completed_at)| {
            Op::FinishStep(FinishStep { run_id, step_id, status, completed_at })
        }),
        2 => (run_id(), status(), finish_at())
            .prop_map(|(run_id, status, completed_at)| Op::FinishRun(FinishRun { run_id, status, completed_at })),
        3 => sheet().prop_map(Op::Push),
        1 => (any::<bool>(), name("m", 4), option::weighted(0.7, name("m", 3))).prop_map(|(any, model, target)| {
            let target = target.map(|model| EntryKey { provider: "acme".into(), model });
            Op::Alias(if any { String::new() } else { "acme".into() }, model, target)
        }),
        2 => (scope(), any::<bool>()).prop_map(|(scope, dry_run)| Op::Reprice(scope, dry_run)),
    ]
}

/// A history that starts with a price and two runs, so that most of it is about something.
pub fn history() -> impl Strategy<Value = Vec<Op>> {
    (sheet(), start_run(), start_run(), vec(op(), 4..28)).prop_map(|(sheet, first, second, ops)| {
        let mut all = vec![Op::Push(sheet), Op::StartRun(first), Op::StartRun(second)];
        all.extend(ops);
        all
    })
}
