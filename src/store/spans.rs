//! Spans on their way into the journal.
//!
//! What a batch brings is resolved together with what is known of the same traces, in one transaction: the spans are kept,
//! calls that turn out to be others are withdrawn, and what is new is recorded. Whoever resolves is alone with it.

mod kept;
mod postgres;
mod prepared;
mod sqlite;

pub use prepared::PreparedSpans;

use super::record::MAX_BATCH;
use super::sent::SentRow;
use super::{Recorded, Store};
use crate::domain::{
    Call, CallId, Digest, GuardEvent, Resolved, RunId, SentPrompt, Span, SpanId, SpanRun, StartStep, Status,
    StepId, Timestamp, resolve,
};
use crate::error::{Error, Result};
use kept::{Kept, Known, Packer};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Why a call is withdrawn.
const REASON: &str = "other spans tell more of it";
/// How often the traces that report the same responses are looked up: each time brings those of the traces before.
const MAX_ROUNDS: usize = 8;

/// What became of spans.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TakenSpans {
    /// Spans that were not known.
    pub new: u64,
    /// Spans that were.
    pub known: u64,
    /// What became of the calls that they tell of.
    pub calls: Recorded,
    /// Calls that were withdrawn, most of them recorded anew.
    pub withdrawn: u64,
}

impl std::ops::AddAssign for TakenSpans {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.known += other.known;
        self.calls += other.calls;
        self.withdrawn += other.withdrawn;
    }
}

/// A span as it is kept: by trace and id.
type Key = (Uuid, SpanId);

/// What a batch changes.
#[derive(Default)]
struct Change {
    /// How many of its spans were not known.
    new: u64,
    kept: Kept,
    withdrawn: Vec<(RunId, CallId)>,
    recorded: Vec<Call>,
    /// What the guard decided about texts of these calls.
    decided: Vec<GuardEvent>,
    /// The texts that came, whether or not a call is recorded with them.
    texts: Vec<SentRow>,
    runs: BTreeMap<RunId, SpanRun>,
    steps: Vec<StartStep>,
}

impl Change {
    /// What these spans change when the ledger knows others of their traces, or themselves.
    fn of(spans: &[&Span], known: &Known) -> Result<Self> {
        let fresh: Vec<&Span> = spans
            .iter()
            .copied()
            .filter(|span| !known.seen.contains(&(span.trace_id, span.span_id)))
            .collect();
        if fresh.is_empty() {
            return Ok(Self::default());
        }
        let before = resolve(&known.spans);
        let after = resolve(known.spans.iter().chain(fresh.iter().copied()));
        let is_other =
            |key: &(RunId, CallId), call: &Call, than: &Resolved| than.calls.get(key) != Some(call);
        let withdrawn = before
            .calls
            .iter()
            .filter(|(key, call)| is_other(key, call, &after))
            .map(|(key, _)| *key)
            .collect();
        let recorded: Vec<Call> = after
            .calls
            .into_iter()
            .filter(|(key, call)| is_other(key, call, &before))
            .map(|(_, call)| call)
            .collect();
        let touched: HashSet<RunId> = recorded.iter().map(|call| call.run_id).collect();
        let mut runs = after.runs;
        runs.retain(|run_id, run| touched.contains(run_id) || before.runs.get(run_id) != Some(run));
        let steps = steps_of(&recorded, after.steps);
        let mut decided = after.decided;
        let decided = recorded
            .iter()
            .filter_map(|call| decided.remove(&(call.run_id, call.call_id)))
            .flatten()
            .collect();
        let kept = Kept::of(fresh.iter().copied(), &known.parts, &mut Packer::new()?)?;
        let texts = texts_of(fresh.iter().copied())?;
        Ok(Self { new: fresh.len() as u64, kept, withdrawn, recorded, decided, texts, runs, steps })
    }

    /// Spans that concern nothing that is known.
    fn add(&mut self, new: usize, resolved: Resolved, kept: Kept) {
        self.new += new as u64;
        self.kept.add(kept);
        for (run_id, run) in resolved.runs {
            match self.runs.entry(run_id) {
                Entry::Vacant(vacant) => {
                    vacant.insert(run);
                }
                Entry::Occupied(known) => known.into_mut().add(run),
            }
        }
        self.recorded.extend(resolved.calls.into_values());
        self.steps.extend(resolved.steps.into_values());
        self.decided.extend(resolved.decided.into_values().flatten());
    }

    /// What was sent and answered in the calls, by digest: the texts are kept apart. `purged` are digests of texts that were purged.
    fn prompts(&self, purged: &HashMap<Digest, Timestamp>) -> Result<Vec<SentRow>> {
        let sent = self.recorded.iter().filter_map(Call::sent_prompt);
        sent.map(|sent| {
            let mut row = SentRow::of(&SentPrompt { prompt: sent.prompt.without_texts(), ..sent })?;
            row.stay_purged(purged);
            Ok(row)
        })
        .collect()
    }

    /// Those that are over: whose root is known.
    fn ended(&self) -> Vec<(RunId, Status, Timestamp)> {
        self.runs
            .iter()
            .filter_map(|(run_id, run)| run.end.map(|(status, at)| (*run_id, status, at)))
            .collect()
    }
}

/// Purged texts by their digests: of a call's prompt and its answer, and when they were purged.
fn by_digest(purged: Vec<(Option<Digest>, Option<Digest>, Timestamp)>) -> HashMap<Digest, Timestamp> {
    let each = purged.into_iter().flat_map(|(sent, answered, at)| [(sent, at), (answered, at)]);
    each.filter_map(|(digest, at)| Some((digest?, at))).collect()
}

/// The texts that spans bring.
fn texts_of<'s>(spans: impl IntoIterator<Item = &'s Span>) -> Result<Vec<SentRow>> {
    let with_text = spans.into_iter().filter_map(|span| {
        let prompt = span.report.as_ref()?.prompt.as_deref().filter(|prompt| prompt.has_texts())?;
        Some(SentPrompt {
            run_id: RunId(span.trace_id),
            call_id: span.own_call_id(),
            step_id: None,
            sent_at: span.started_at,
            prompt: prompt.clone(),
        })
    });
    with_text.map(|sent| SentRow::of(&sent)).collect()
}

/// The steps that these calls name.
fn steps_of(calls: &[Call], steps: BTreeMap<(RunId, StepId), StartStep>) -> Vec<StartStep> {
    let named: BTreeSet<_> = calls.iter().filter_map(|call| Some((call.run_id, call.step_id?))).collect();
    steps.into_iter().filter(|(key, _)| named.contains(key)).map(|(_, step)| step).collect()
}

impl Store {
    /// Takes spans in, and records the calls that they and what is known of their traces tell of. Spans that are known
    /// change nothing. All of them are in the ledger when this returns, or none.
    ///
    /// # Errors
    /// `Input` for a span the ledger does not take, or more than [`MAX_BATCH`] of them.
    pub async fn take_spans(&self, spans: &[Span]) -> Result<TakenSpans> {
        if spans.len() > MAX_BATCH {
            return Err(Error::input(format!(
                "the batch has {} spans; the limit is {MAX_BATCH}",
                spans.len()
            ))
            .hint("send it in parts; a part that is sent twice changes nothing"));
        }
        let mut prepared = PreparedSpans::of(spans.to_vec(), self.now()).map_err(|(_, error)| error)?;
        self.take_prepared_spans(&mut prepared).await
    }

    /// [`Store::take_spans`] of spans that were prepared meanwhile: once.
    ///
    /// # Errors
    /// As [`Store::take_spans`].
    pub async fn take_prepared_spans(&self, prepared: &mut PreparedSpans) -> Result<TakenSpans> {
        loop {
            let names = prepared.names.iter();
            self.resolve_names(names.map(|(provider, model)| (provider.as_str(), model.as_str()))).await?;
            let taken = match self {
                Store::Postgres(s) => s.take_spans(prepared).await?,
                Store::Sqlite(s) => s.take_spans(prepared).await?,
            };
            // Otherwise there were names that nobody had asked for.
            if let Some(taken) = taken {
                return Ok(taken);
            }
        }
    }

    /// [`Store::take_spans`] of any number; a span that the ledger refuses does not hold up the others. Answers those, by their
    /// places.
    ///
    /// # Errors
    /// When the ledger cannot be reached or fails: any part of them may then be in it, and taking them again is safe.
    pub async fn take_each_span(&self, spans: &[Span]) -> Result<(TakenSpans, Vec<(usize, Error)>)> {
        let (mut taken, mut refused) = (TakenSpans::default(), Vec::new());
        let mut parts: Vec<(usize, &[Span])> =
            spans.chunks(MAX_BATCH).enumerate().map(|(n, part)| (n * MAX_BATCH, part)).rev().collect();
        while let Some((place, part)) = parts.pop() {
            match self.take_spans(part).await {
                Ok(more) => taken += more,
                Err(error) if error.is_of_the_ledger() => return Err(error),
                Err(error) if part.len() == 1 => refused.push((place, error)),
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push((place + first.len(), second));
                    parts.push((place, first));
                }
            }
        }
        Ok((taken, refused))
    }

    /// Drops spans that came before a time: what comes later of their traces is resolved without them. Answers how many parts
    /// of traces that were.
    pub async fn forget_spans(&self, before: Timestamp) -> Result<u64> {
        const AT_MOST: i32 = 20_000;
        let mut forgotten = 0;
        loop {
            let part = match self {
                Store::Postgres(s) => {
                    let part: i32 = sqlx::query_scalar("select forget_spans($1, $2)")
                        .bind(before)
                        .bind(AT_MOST)
                        .fetch_one(&s.pool)
                        .await?;
                    u64::try_from(part).unwrap_or_default()
                }
                Store::Sqlite(s) => {
                    let hour = before.seconds().div_euclid(3600);
                    sqlx::query("delete from otel_response where hour < $1")
                        .bind(hour)
                        .execute(&s.pool)
                        .await?;
                    let deleted = sqlx::query(
                        "delete from otel_part
                         where (trace_id, part) in (
                           select trace_id, part from otel_part where received_at < $1 order by received_at limit $2)",
                    )
                    .bind(before)
                    .bind(AT_MOST)
                    .execute(&s.pool)
                    .await?;
                    deleted.rows_affected()
                }
            };
            forgotten += part;
            if part < u64::from(AT_MOST.unsigned_abs()) {
                return Ok(forgotten);
            }
        }
    }
}
