//! Whatever the order in which spans come, and however they are split into requests: the same calls.

use super::{bodies, journal, open, spans};
use crate::support::on_both_databases;
use asmm::domain::{Report, RunId, Span, SpanId, Timestamp, TokenUsage, resolve};
use asmm::pricing::EntryKey;
use asmm::store::Store;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The spans in traces of their own, with responses of their own.
pub fn as_case(spans: &[Span], case: u128) -> Vec<Span> {
    let mut spans = spans.to_vec();
    for span in &mut spans {
        span.trace_id = Uuid::from_u128(span.trace_id.as_u128() ^ (case << 64));
        if let Some(response) = span.report.as_mut().and_then(|report| report.response_id.as_mut()) {
            *response = format!("{response}-{case}");
        }
    }
    spans
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for rest in permutations(count - 1) {
        for place in 0..=rest.len() {
            let mut one = rest.clone();
            one.insert(place, count - 1);
            all.push(one);
        }
    }
    all
}

/// Every order of a few; of more, in turn from each place, forwards and backwards.
pub fn orders(count: usize) -> Vec<Vec<usize>> {
    if count <= 4 {
        return permutations(count);
    }
    let turned = |first: usize| -> Vec<usize> { (first..count).chain(0..first).collect() };
    (0..count).flat_map(|first| [turned(first), turned(first).into_iter().rev().collect()]).collect()
}

/// Every way to cut a row of `count` into parts; of a long one, not at all and everywhere.
pub fn splits(count: usize) -> impl Iterator<Item = Vec<usize>> {
    let all = 1_usize << count.saturating_sub(1);
    let step = if count <= 4 { 1 } else { all - 1 };
    (0..all).step_by(step).map(move |cuts| {
        let mut sizes = vec![1];
        for place in 1..count {
            if cuts >> (place - 1) & 1 == 1 {
                sizes.push(1);
            } else if let Some(last) = sizes.last_mut() {
                *last += 1;
            }
        }
        sizes
    })
}

/// Sends spans in parts, each twice, and all of them once more.
async fn send(store: &Store, spans: &[Span], sizes: &[usize]) {
    let mut rest = spans;
    for size in sizes {
        let (part, after) = rest.split_at(*size);
        assert_eq!(store.take_spans(part).await.unwrap().new, part.len() as u64);
        let again = store.take_spans(part).await.unwrap();
        assert_eq!((again.new, again.known, again.calls.recorded), (0, part.len() as u64, 0));
        rest = after;
    }
    assert_eq!(store.take_spans(spans).await.unwrap().new, 0);
}

on_both_databases! {
    async fn every_recorded_body_in_every_order_and_split(db: TestDb) {
        let store = open(&db).await;
        let mut all = Vec::new();
        let mut case = 0;
        for body in bodies().values() {
            let spans = spans(body);
            for order in orders(spans.len()) {
                for sizes in splits(spans.len()) {
                    case += 1;
                    let spans = as_case(&spans, case);
                    let sent: Vec<Span> = order.iter().map(|place| spans[*place].clone()).collect();
                    send(&store, &sent, &sizes).await;
                    all.extend(spans);
                }
            }
        }
        assert!(case > 600, "{case}");
        let resolved = resolve(&all);
        assert_eq!(journal(&store).await, resolved.calls);
        assert_eq!(store.broken_laws().await.unwrap(), []);
        // Runs that are traces are over when their root is.
        let runs = store.runs_page(None, 10_000).await.unwrap();
        assert!(runs.iter().filter(|run| run.totals.llm_calls > 0).all(|run| run.completed_at.is_some()));
        for run in &runs {
            if let Some(of_spans) = resolved.runs.get(&run.run_id) {
                assert_eq!(run.labels.get("conversation"), of_spans.conversation.as_ref());
            }
        }
    }

    async fn random_traces_in_random_orders(db: TestDb) {
        let store = open(&db).await;
        let mut all: Vec<Span> = Vec::new();
        for seed in 0..60 {
            let mut random = Random(seed);
            let spans = random_spans(&mut random, u128::from(seed));
            let mut order: Vec<usize> = (0..spans.len()).collect();
            for place in (1..order.len()).rev() {
                order.swap(place, random.below(place as u64 + 1));
            }
            let mut sizes = Vec::new();
            let mut left = spans.len();
            while left > 0 {
                let size = (1 + random.below(4)).min(left);
                sizes.push(size);
                left -= size;
            }
            let sent: Vec<Span> = order.iter().map(|place| spans[*place].clone()).collect();
            send(&store, &sent, &sizes).await;
            all.extend(spans);
        }
        let expected = resolve(&all).calls;
        assert!(expected.len() > 200, "{}", expected.len());
        let found = journal(&store).await;
        let differing: Vec<_> = expected.iter().filter(|(key, call)| found.get(*key) != Some(call)).collect();
        assert!(differing.is_empty(), "{} of {}: {:#?}", differing.len(), expected.len(), differing.first());
        assert_eq!(found.len(), expected.len());
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn what_is_forgotten_is_not_counted_again(db: TestDb) {
        let store = open(&db).await;
        let spans = spans(&bodies()["genai__agent3.traces.1"]);
        store.take_spans(&spans).await.unwrap();
        let before = journal(&store).await;
        assert_eq!(before.len(), 3);
        // As the clock of the ledger is not the machine's, everything came before this.
        let all = Timestamp::FAR;
        assert_eq!(store.forget_spans(all).await.unwrap(), 1);
        let again = store.take_spans(&spans).await.unwrap();
        assert_eq!((again.new, again.calls.recorded, again.calls.duplicate), (4, 0, 3));
        assert_eq!(journal(&store).await, before);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn one_response_id_for_all_is_a_call_each(db: TestDb) {
        let store = open(&db).await;
        let body = spans(&bodies()["genai__chat.traces.1"]);
        let all: Vec<Span> = (0..200_i64)
            .map(|n| {
                let mut span = body[0].clone();
                let moved = |at: Timestamp| at.plus_micros(n * 1_000_000);
                (span.started_at, span.ended_at) = (moved(span.started_at), moved(span.ended_at));
                span.trace_id = Uuid::from_u128(u128::try_from(n).unwrap() + 1);
                span
            })
            .collect();
        for part in all.chunks(7) {
            store.take_spans(part).await.unwrap();
            assert_eq!(store.take_spans(part).await.unwrap().new, 0);
        }
        assert_eq!(journal(&store).await.len(), 200);
        // What comes late of such a trace changes its own call, and no other.
        let agent = Span {
            parent_id: None,
            span_id: SpanId([9; 8]),
            agent: Some("late".to_owned()),
            report: None,
            ..all[150].clone()
        };
        let call = Span { parent_id: Some(agent.span_id), trace_id: Uuid::from_u128(999), ..all[150].clone() };
        store.take_spans(&[call]).await.unwrap();
        store.take_spans(&[Span { trace_id: Uuid::from_u128(999), ..agent }]).await.unwrap();
        let calls = journal(&store).await;
        assert_eq!(calls.len(), 201);
        assert_eq!(calls.values().filter(|call| call.agent == "late").count(), 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    async fn what_is_refused_holds_up_no_other(db: TestDb) {
        let store = open(&db).await;
        let body = spans(&bodies()["genai__chat.traces.1"]);
        // A billion tokens each: some of them fit into one run's cost, all of them do not.
        let dear: Vec<Span> = (0..400_u64)
            .map(|n| {
                let mut span = body[0].clone();
                span.span_id = SpanId((n + 1).to_be_bytes());
                let report = span.report.as_mut().unwrap();
                (report.model, report.response_id) = ("gpt-4".to_owned(), Some(format!("dear-{n}")));
                report.usage = Some(TokenUsage { output: 1_000_000_000, ..TokenUsage::default() });
                span
            })
            .collect();
        let plain = as_case(&spans(&bodies()["genai__agent3.traces.1"]), 1);
        let all: Vec<Span> = dear.into_iter().chain(plain.clone()).collect();
        let (taken, refused) = store.take_each_span(&all).await.unwrap();
        assert!(!refused.is_empty() && taken.calls.recorded > 100, "{} {taken:?}", refused.len());
        assert!(refused.iter().all(|(place, _)| *place < 400));
        let found = journal(&store).await;
        assert!(resolve(&plain).calls.iter().all(|(key, call)| found.get(key) == Some(call)));
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    /// A call that was priced later, and then turns out to be another one: laws about prices hold as well.
    async fn what_was_priced_later_may_be_withdrawn(db: TestDb) {
        let store = open(&db).await;
        let spans = spans(&bodies()["genai__anthropic.traces.1"]);
        let named: Vec<Span> = spans
            .iter()
            .map(|span| {
                let mut span = span.clone();
                "house-model".clone_into(&mut span.report.as_mut().unwrap().model);
                span
            })
            .collect();
        // The report that says less comes first.
        let (less, more): (Vec<Span>, Vec<Span>) =
            named.into_iter().partition(|span| span.report.as_ref().unwrap().usage.unwrap().cache_write_long == 0);
        assert_eq!(store.take_spans(&less).await.unwrap().calls.unpriced, 1);
        let priced_as = EntryKey { provider: "anthropic".to_owned(), model: "claude-sonnet-4-5".to_owned() };
        store.set_alias("anthropic", "house-model", Some(&priced_as)).await.unwrap();
        assert_eq!(store.broken_laws().await.unwrap(), []);
        assert_eq!(store.take_spans(&more).await.unwrap().withdrawn, 1);
        let calls = journal(&store).await;
        assert_eq!(calls.values().map(|call| call.usage.unwrap().cache_write_long).collect::<Vec<_>>(), [500]);
        assert_eq!(store.broken_laws().await.unwrap(), []);
    }

    /// What is taken off was settled long ago, and is settled again.
    async fn what_is_settled_may_be_withdrawn(db: TestDb) {
        let store = open(&db).await;
        let (mut less, mut more) = (Vec::new(), Vec::new());
        for span in spans(&bodies()["genai__anthropic.traces.1"]) {
            let is_less = span.report.as_ref().unwrap().usage.unwrap().cache_write_long == 0;
            if is_less { &mut less } else { &mut more }.push(span);
        }
        store.take_spans(&less).await.unwrap();
        // Whoever ends a run settles, once an hour; if that was too early, now.
        store.settle().await.unwrap();
        assert_eq!(store.take_spans(&more).await.unwrap().withdrawn, 1);
        assert_eq!(store.broken_laws().await.unwrap(), []);
        assert!(store.settle().await.unwrap() > 0);
        assert_eq!(store.broken_laws().await.unwrap(), []);
        let all = less.iter().chain(&more);
        assert_eq!(journal(&store).await, resolve(all).calls);
    }

    async fn two_who_take_the_same_spans_agree(db: TestDb) {
        let (one, other) = (open(&db).await, open(&db).await);
        let mut all = Vec::new();
        for case in 0..20 {
            let spans = as_case(&spans(&bodies()["genai__agent3.traces.1"]), case);
            let (first, last) = spans.split_at(2);
            let (a, b) = tokio::join!(one.take_spans(first), other.take_spans(last));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!((a.new, b.new), (2, 2));
            let (a, b) = tokio::join!(one.take_spans(&spans), other.take_spans(&spans));
            assert_eq!((a.unwrap().new, b.unwrap().new), (0, 0));
            all.extend(spans);
        }
        assert_eq!(journal(&one).await, resolve(&all).calls);
        assert_eq!(one.broken_laws().await.unwrap(), []);
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % limit).unwrap()
    }
}

/// Two traces: agents, calls with and without a response's id, the same response told again inside and in the other trace.
fn random_spans(random: &mut Random, seed: u128) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for trace in 0..2_u128 {
        let count = 2 + random.below(8);
        let first = spans.len();
        for number in 0..count {
            let parent = (number > 0 && random.below(8) > 0).then(|| first + random.below(number as u64));
            let (from, to) = parent.map_or((0, 1_000_000), |parent| {
                (spans[parent].started_at.micros() - BASE, spans[parent].ended_at.micros() - BASE)
            });
            let from = from + i64::try_from(random.below(1000)).unwrap();
            let to = (to - i64::try_from(random.below(1000)).unwrap()).max(from);
            let usage = TokenUsage {
                input: random.below(3) as u64 * 100,
                cache_read: random.below(2) as u64 * 50,
                output: random.below(3) as u64 * 10,
                ..TokenUsage::default()
            };
            let report = (random.below(3) > 0).then(|| Report {
                provider: ["openai", "anthropic", ""][random.below(3)].to_owned(),
                model: "gpt-4o".to_owned(),
                operation: "chat".to_owned(),
                response_id: (random.below(3) > 0).then(|| format!("r-{seed}-{}", random.below(5))),
                usage: (random.below(4) > 0).then_some(usage),
                is_outer: random.below(8) == 0,
                ..Report::default()
            });
            spans.push(Span {
                trace_id: Uuid::from_u128(((seed + 1) << 64) | (trace + 1)),
                span_id: SpanId((number as u64 + 1).to_be_bytes()),
                parent_id: parent.map(|parent| spans[parent].span_id),
                started_at: Timestamp::from_micros(BASE + from),
                ended_at: Timestamp::from_micros(BASE + to),
                name: format!("span {number}"),
                scope: ["a", "b", "c"][random.below(3)].to_owned(),
                is_error: random.below(6) == 0,
                pipeline: Some("shop".to_owned()),
                agent: (random.below(3) == 0).then(|| format!("agent-{number}")),
                conversation: (random.below(4) == 0).then(|| format!("conversation-{seed}")),
                run_id: (random.below(12) == 0).then(|| RunId(Uuid::from_u128(seed + 1))),
                step_id: None,
                prompt_version: None,
                report,
            });
        }
    }
    let ids: BTreeSet<_> = spans.iter().map(|span| (span.trace_id, span.span_id)).collect();
    assert_eq!(ids.len(), spans.len());
    spans
}

const BASE: i64 = 1_795_370_000_000_000;
