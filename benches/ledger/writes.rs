//! Recording calls, beside the bare insert of the same calls.

use crate::calls::{Random, Work};
use crate::ledgers::{Client, Door, Result, Target, send_all};
use crate::table::{Results, Samples, Unit};
use asmm::domain::{Call, Timestamp};
use asmm::store::Store;

/// One kind of write.
struct Scenario {
    name: &'static str,
    door: Door,
    clients: usize,
    /// The runs that each batch's calls belong to; no two clients share one.
    runs: usize,
    batch: usize,
    /// How many batches each client sends in one round.
    batches: usize,
}

const fn batches_of(
    name: &'static str,
    door: Door,
    clients: usize,
    runs: usize,
    batch: usize,
    batches: usize,
) -> Scenario {
    Scenario { name, door, clients, runs, batch, batches }
}

const POSTGRES: [Scenario; 8] = [
    batches_of("1 run, 1 connection", Door::Typed, 1, 1, 1000, 8),
    batches_of("1 run each, 4 connections", Door::Typed, 4, 1, 1000, 5),
    batches_of("10 runs, 1 connection", Door::Typed, 1, 10, 1000, 8),
    batches_of("10 runs each, 4 connections", Door::Typed, 4, 10, 1000, 5),
    batches_of("JSON door, 10 runs, 1 connection", Door::Json, 1, 10, 1000, 4),
    batches_of("JSON door, 10 runs each, 4 connections", Door::Json, 4, 10, 1000, 3),
    batches_of("one call a statement, 1 client", Door::Typed, 1, 1, 1, 200),
    batches_of("one call a statement, 16 clients, 16 runs", Door::Typed, 16, 1, 1, 60),
];

const SQLITE: [Scenario; 3] = [
    batches_of("1 run, 1 connection", Door::Typed, 1, 1, 1000, 8),
    batches_of("10 runs, 1 connection", Door::Typed, 1, 10, 1000, 8),
    batches_of("one call a statement, 1 client", Door::Typed, 1, 1, 1, 200),
];

/// Measures every kind of write on `target`, `rounds` times.
pub(crate) fn measure(target: &Target, rounds: usize, results: &mut Results) -> Result<()> {
    results.section(&format!("{}: calls recorded, 1,000 a batch unless said otherwise", target.name()));
    let scenarios = match target {
        Target::Postgres { .. } => &POSTGRES[..],
        Target::Sqlite { .. } => &SQLITE[..],
    };
    let mut clients: Vec<Client> = Vec::new();
    let most = scenarios.iter().map(|s| s.clients).max().unwrap_or(0);
    for _ in 0..most {
        clients.push(Client::new(target)?);
    }
    for scenario in scenarios {
        let (figure, reference) = run(scenario, &mut clients, rounds)?;
        results.add(scenario.name, Unit::PerSecond, figure, Some(reference));
    }
    Ok(())
}

/// Alternates between asmm and the reference; the first round warms both up and does not count.
fn run(scenario: &Scenario, clients: &mut [Client], rounds: usize) -> Result<(Samples, Samples)> {
    let clients = &mut clients[..scenario.clients];
    let mut random = Random::new(17);
    let now = clients[0].store().now();
    let (mut figure, mut reference) = (Samples::default(), Samples::default());
    for round in 0..=rounds {
        let batches = make(scenario, clients, &mut random, now)?;
        let calls = scenario.clients * scenario.batches * scenario.batch;
        // Who goes first changes, so that neither always pays for the other's checkpoint.
        let order = if round % 2 == 0 { [scenario.door, Door::Bare] } else { [Door::Bare, scenario.door] };
        for door in order {
            let time = send_all(clients, door, &batches)?;
            if round > 0 {
                let samples = if door == Door::Bare { &mut reference } else { &mut figure };
                samples.push_rate(calls, time);
            }
        }
    }
    Ok((figure, reference))
}

/// Starts fresh runs for each client and makes its batches; nothing of it is timed.
fn make(
    scenario: &Scenario,
    clients: &[Client],
    random: &mut Random,
    now: Timestamp,
) -> Result<Vec<Vec<Vec<Call>>>> {
    clients
        .iter()
        .map(|client| {
            // A live pipeline: everyone works at about the same time, an hour ago.
            let mut work: Vec<Work> =
                (0..scenario.runs).map(|_| Work::new(random, now.plus_micros(-3_600_000_000))).collect();
            client.wait_for(start(client.store(), &work))?;
            Ok((0..scenario.batches)
                .map(|_| {
                    (0..scenario.batch).map(|n| work[n % scenario.runs].call(random)).collect::<Vec<_>>()
                })
                .collect())
        })
        .collect()
}

/// Starts runs with their steps.
pub(crate) async fn start(store: &Store, work: &[Work]) -> Result<()> {
    for work in work {
        store.start_run(&work.start).await?;
        for step in &work.steps {
            store.start_step(step).await?;
        }
    }
    Ok(())
}
