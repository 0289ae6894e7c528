//! A ledger of many calls: bringing it in, its size, and reports from it beside the same questions asked of
//! the journal.

use crate::calls::{self, DAYS, Random};
use crate::ledgers::{Client, Plain, Result, Target};
use crate::table::{Results, Samples, Unit};
use asmm::domain::{Call, Event, RunId, Timestamp, Window};
use asmm::store::{Filter, RunOrder, SpendBy, Store};
use std::time::Instant;

/// Events at once.
const CHUNK: usize = 10_000;
/// Connections at once, as `asmm import` has them.
const CONNECTIONS: usize = 4;

/// Brings `calls` calls in as an import does, and the same calls into the bare table.
pub(crate) fn load(target: &Target, count: u64, results: &mut Results) -> Result<()> {
    results.section(&format!("{}: import of native events, {CHUNK} a chunk", target.name()));
    let mut client = Client::new(target)?;
    let now = client.store().now();
    let mut random = Random::new(42);
    let (mut events_rate, mut calls_rate, mut bare_rate) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut waiting: Vec<Event> = Vec::new();
    for day in 0..DAYS {
        waiting.extend(calls::day(&mut random, day, count, now));
        while waiting.len() >= CHUNK || (day + 1 == DAYS && !waiting.is_empty()) {
            let chunk: Vec<Event> = waiting.drain(..CHUNK.min(waiting.len())).collect();
            let began = Instant::now();
            let applied = client.wait_for(client.store().apply_over(&chunk, CONNECTIONS))?;
            let time = began.elapsed();
            if let Some((place, error)) = applied.refused.first() {
                return Err(format!("event {place} of a chunk was refused: {error}").into());
            }
            let calls: Vec<Call> = chunk
                .iter()
                .filter_map(|event| match event {
                    Event::Call(call) => Some(call.clone()),
                    _ => None,
                })
                .collect();
            let bare_time = client.insert_bare(&calls)?;
            if chunk.len() == CHUNK || count < CHUNK as u64 {
                events_rate.push_rate(chunk.len(), time);
                calls_rate.push_rate(calls.len(), time);
                bare_rate.push_rate(calls.len(), bare_time);
            }
        }
    }
    results.add("events", Unit::PerSecond, events_rate, None);
    results.add("calls among them, against a bare insert", Unit::PerSecond, calls_rate, Some(bare_rate));
    let began = Instant::now();
    let settled = client.wait_for(client.store().settle())?;
    let mut rate = Samples::default();
    rate.push_rate(usize::try_from(settled)?, began.elapsed());
    results.add("then rows of the rollup that are settled", Unit::PerSecond, rate, None);
    client.wait_for(tidy(target))?;
    Ok(())
}

/// Lets both databases tidy up after a load, as they would in the night.
async fn tidy(target: &Target) -> Result<()> {
    for mut plain in [target.plain().await?, target.bare().await?] {
        match &mut plain {
            Plain::Postgres(db) => {
                sqlx::raw_sql("vacuum analyze").execute(&mut *db).await?;
            }
            Plain::Sqlite(db) => {
                sqlx::raw_sql("pragma wal_checkpoint(truncate)").execute(&mut *db).await?;
            }
        }
        plain.close().await?;
    }
    Ok(())
}

/// A question to the journal, by hand.
struct ByHand {
    postgres: &'static str,
    sqlite: &'static str,
}

macro_rules! sums {
    () => {
        "count(*) as calls, sum(case when c.pricing_state = 'unpriced' then 1 else 0 end), sum(c.input_tokens), \
         sum(c.cache_read_tokens), sum(c.cache_write_tokens), sum(c.cache_write_long_tokens), sum(c.output_tokens), \
         sum(c.reasoning_tokens), sum(c.embedding_tokens), sum(c.web_searches), sum(c.cost_pico) as cost"
    };
}

macro_rules! spend_by {
    ($key:literal) => {
        concat!(
            "select cast(sum(calls) as bigint) from (select ",
            $key,
            ", ",
            sums!(),
            " from llm_call c where called_at >= $1 and called_at < $2 group by ",
            $key,
            ") t"
        )
    };
}

const DAY: ByHand = ByHand {
    postgres: spend_by!("(called_at at time zone 'UTC')::date"),
    sqlite: spend_by!("called_at / 86400000000"),
};
const AGENT: ByHand = ByHand { postgres: spend_by!("agent"), sqlite: spend_by!("agent") };
const MODEL: ByHand = ByHand { postgres: spend_by!("provider, model"), sqlite: spend_by!("provider, model") };
const TOP: &str = concat!(
    "select cast(sum(calls) as bigint) from (select r.run_id, r.pipeline, ",
    sums!(),
    " from pipeline_run r join llm_call c on c.run_id = r.run_id where r.started_at >= $1 and r.started_at < $2",
    " group by r.run_id, r.pipeline order by cost desc limit 20) t"
);
const RUN: &str = concat!(
    "select cast(sum(calls) as bigint) from (select agent, provider, model, ",
    sums!(),
    " from llm_call c where run_id = $1 group by agent, provider, model) t"
);

/// Asks each question both ways, alternating.
pub(crate) fn measure(target: &Target, rounds: usize, results: &mut Results) -> Result<()> {
    results.section(&format!("{}: reports, against the same question to the journal", target.name()));
    let mut client = Client::new(target)?;
    let now = client.store().now();
    let month = Window::last_days(30, now, chrono_tz::UTC)?;
    let week = Window::last_days(7, now, chrono_tz::UTC)?;
    let by = SpendBy::default();
    for (name, by, hand) in [
        ("spend by day, 30 days", SpendBy { day: true, ..by }, DAY),
        ("spend by agent, 30 days", SpendBy { agent: true, ..by }, AGENT),
        ("spend by model, 30 days", SpendBy { model: true, ..by }, MODEL),
    ] {
        alternate(
            name,
            &mut client,
            rounds,
            results,
            &async |store: &Store| {
                let spend = store.spend(&month, by, &Filter::default()).await?;
                Ok(spend.values().map(|t| t.llm_calls).sum())
            },
            &async |plain: &mut Plain| hand.ask(plain, month.since, month.until).await,
        )?;
    }
    alternate(
        "20 most expensive runs, 7 days",
        &mut client,
        rounds,
        results,
        &async |store: &Store| {
            let runs = store.runs(&week, &Filter::default(), None, RunOrder::Cost, 20).await?;
            Ok(runs.iter().map(|r| r.totals.llm_calls).sum())
        },
        &async |plain: &mut Plain| {
            ByHand { postgres: TOP, sqlite: TOP }.ask(plain, week.since, week.until).await
        },
    )?;
    let longest = {
        let all = Filter::default();
        client
            .wait_for(client.store().runs(&month, &all, None, RunOrder::Calls, 1))?
            .first()
            .map(|r| (r.run_id, r.totals.llm_calls))
    };
    let Some((run_id, calls)) = longest else { return Err("the ledger has no runs".into()) };
    alternate(
        &format!("one run of {calls} calls, totals only"),
        &mut client,
        rounds,
        results,
        &async |store: &Store| Ok(store.run(run_id).await?.totals.llm_calls),
        &async |plain: &mut Plain| of_run(plain, run_id).await,
    )?;
    alternate(
        &format!("one run of {calls} calls, steps and models"),
        &mut client,
        rounds,
        results,
        &async |store: &Store| {
            let run = store.run(run_id).await?;
            store.steps(run_id).await?;
            store.run_spend(run_id).await?;
            Ok(run.totals.llm_calls)
        },
        &async |plain: &mut Plain| of_run(plain, run_id).await,
    )
}

/// Both must count the same calls, else they did not answer the same question.
fn alternate(
    name: &str,
    client: &mut Client,
    rounds: usize,
    results: &mut Results,
    report: &impl AsyncFn(&Store) -> Result<u64>,
    by_hand: &impl AsyncFn(&mut Plain) -> Result<u64>,
) -> Result<()> {
    let (mut figure, mut reference) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        let began = Instant::now();
        let answer = client.ask_store(report)?;
        let time = began.elapsed();
        let began = Instant::now();
        let expected = client.ask_plain(by_hand)?;
        let plain_time = began.elapsed();
        if answer != expected {
            return Err(format!("{name}: asmm counts {answer} calls, the journal {expected}").into());
        }
        if round > 0 {
            figure.push_time(time);
            reference.push_time(plain_time);
        }
    }
    results.add(name, Unit::Milliseconds, figure, Some(reference));
    Ok(())
}

impl ByHand {
    async fn ask(&self, plain: &mut Plain, since: Timestamp, until: Timestamp) -> Result<u64> {
        let calls: Option<i64> = match plain {
            Plain::Postgres(db) => {
                sqlx::query_scalar(self.postgres)
                    .bind(since.to_utc())
                    .bind(until.to_utc())
                    .fetch_one(db)
                    .await?
            }
            Plain::Sqlite(db) => {
                sqlx::query_scalar(self.sqlite)
                    .bind(since.micros())
                    .bind(until.micros())
                    .fetch_one(db)
                    .await?
            }
        };
        Ok(u64::try_from(calls.unwrap_or(0))?)
    }
}

async fn of_run(plain: &mut Plain, run_id: RunId) -> Result<u64> {
    let calls: Option<i64> = match plain {
        Plain::Postgres(db) => sqlx::query_scalar(RUN).bind(run_id.0).fetch_one(db).await?,
        Plain::Sqlite(db) => {
            sqlx::query_scalar(RUN).bind(run_id.0.as_bytes().as_slice()).fetch_one(db).await?
        }
    };
    Ok(u64::try_from(calls.unwrap_or(0))?)
}
