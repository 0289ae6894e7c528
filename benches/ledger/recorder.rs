//! What recording costs the pipeline, and how fast what it records arrives.

use crate::calls::{Random, Work};
use crate::ledgers::{Client, Door, Result, Target, send_all};
use crate::table::{Results, Samples, Unit};
use crate::writes::start;
use asmm::domain::{Call, Event};
use asmm::recorder::{CallBuilder, Context, Level, Recorder, Settings};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

/// Tasks that record at once.
const TASKS: usize = 8;
/// Calls a second, of all tasks.
const RATE: usize = 100_000;
/// How much later a slow ledger answers.
const SLOW: Duration = Duration::from_millis(300);
/// Connections of the recorder, and of the reference.
const CONNECTIONS: usize = 2;
const BATCH: usize = 1000;

/// Measures both on `target`.
pub(crate) fn measure(target: &Target, folder: &Path, quick: bool, results: &mut Results) -> Result<()> {
    let seconds = if quick { 3 } else { 10 };
    results.section(&format!(
        "{}: one call() of {TASKS} tasks at {RATE} calls/s for {seconds} s; reference: the same call built and put \
         into a bare Mutex<Vec> that a thread empties",
        target.name()
    ));
    for level in [Level::Buffered, Level::Durable] {
        let mut settings = settings(target, folder);
        settings.level = level;
        cost(&format!("ledger works, {}", level.code()), settings, seconds, results)?;
    }
    if let Target::Postgres { url, schema } = target {
        let url = slow_proxy(url)?;
        cost("ledger answers 0.3 s later", Settings::new(url, schema), seconds, results)?;
        let dead = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let settings = Settings::new(format!("postgres://nobody@{dead}/nowhere"), schema);
        cost("ledger is gone", settings, seconds, results)?;
    }
    results.section(&format!(
        "{}: calls that arrive, recorder against record_calls with {BATCH} a batch on {CONNECTIONS} connections",
        target.name()
    ));
    throughput(target, folder, quick, results)
}

fn settings(target: &Target, folder: &Path) -> Settings {
    let location = target.location();
    let mut settings = Settings::new(location.url, location.schema);
    settings.spool_home = Some(folder.join("spool"));
    settings
}

/// Takes the time of every call, and of the bare work in its place.
fn cost(name: &str, mut settings: Settings, seconds: usize, results: &mut Results) -> Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    settings.spool_home.get_or_insert(folder.path().to_owned());
    let calls = RATE * seconds;
    let peak = Peak::watch();
    let recorder = Recorder::connect(settings);
    let run = recorder.run("bench").start();
    let step = run.step("step").agent("agent").start();
    let context: Context = (*step).clone();
    let mut times = paced(calls, move || {
        built(&context).record();
    })?;
    let held = peak.stop();
    let metrics = recorder.metrics();
    drop((step, run));
    drop(recorder);

    let bare: Arc<Mutex<Vec<Box<Event>>>> = Arc::default();
    let lock = |bare: &Mutex<Vec<Box<Event>>>| {
        std::mem::take(&mut *bare.lock().unwrap_or_else(PoisonError::into_inner))
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let emptied = std::thread::spawn({
        let (bare, is_over) = (Arc::clone(&bare), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                drop(lock(&bare));
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    let call = sample_call();
    let mut reference = paced(calls, move || {
        let event = Box::new(Event::Call(call.clone()));
        bare.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    })?;
    is_over.store(true, Ordering::Relaxed);
    emptied.join().map_err(|_| "the reference stopped")?;

    times.sort_unstable();
    reference.sort_unstable();
    for (words, part) in [("50 %", 0.5), ("99 %", 0.99), ("99.9 %", 0.999), ("slowest", 1.0)] {
        let line = format!("{name}: {words}");
        results.add(&line, Unit::Nanoseconds, at(&times, part), Some(at(&reference, part)));
    }
    results.add(
        &format!("{name}: memory of the process, at most"),
        Unit::Megabytes,
        Samples::one(held as f64 / 1e6),
        None,
    );
    eprintln!("    {metrics:?}");
    if metrics.dropped > 0 {
        eprintln!("    {} OF {calls} EVENTS WERE DROPPED", metrics.dropped);
    }
    Ok(())
}

fn built(context: &Context) -> CallBuilder<'_> {
    let usage = asmm::domain::TokenUsage { input: 1200, output: 350, ..Default::default() };
    context
        .call("openai", "gpt-4o-2024-08-06")
        .usage(usage)
        .latency(Duration::from_millis(900))
        .response_id("chatcmpl-9")
}

/// The call that [`built`] makes, for the reference.
fn sample_call() -> Call {
    Work::new(&mut Random::new(3), asmm::clock::Clock::System.now()).call(&mut Random::new(4))
}

fn at(sorted: &[u32], part: f64) -> Samples {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let place = (sorted.len() as f64 * part) as usize;
    Samples::one(f64::from(sorted[place.min(sorted.len() - 1)]))
}

/// Does `work` `calls` times from [`TASKS`] tasks, [`RATE`] times a second in all; answers the nanoseconds of each.
fn paced(calls: usize, work: impl Fn() + Clone + Send + Sync + 'static) -> Result<Vec<u32>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let share = calls / TASKS;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let work = work.clone();
            runtime.spawn(async move {
                let mut times = Vec::with_capacity(share);
                let began = Instant::now();
                while times.len() < share {
                    let due = began.elapsed().as_secs_f64() * (RATE / TASKS) as f64;
                    while times.len() < share && (times.len() as f64) < due {
                        let start = Instant::now();
                        work();
                        times.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                times
            })
        })
        .collect();
    let mut all = Vec::with_capacity(calls);
    for task in tasks {
        all.extend(runtime.block_on(task)?);
    }
    Ok(all)
}

/// Everything from an empty queue until the last call is in the ledger, against `record_calls` of the same calls' like.
fn throughput(target: &Target, folder: &Path, quick: bool, results: &mut Results) -> Result<()> {
    let rounds: u64 = if quick { 3 } else { 7 };
    let batches = if quick { 10 } else { 20 };
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::new(target)?);
    }
    // With the queue kept low nothing has to go to disk; without, memory fills faster than the ledger takes it.
    let ways = [
        (Level::Buffered, "buffered, queue kept below 10,000", 10_000),
        (Level::Buffered, "buffered, queue filled", 32_000),
        (Level::Durable, "durable, queue filled", 32_000),
    ];
    for (level, words, room) in ways {
        let (mut figure, mut reference) = (Samples::default(), Samples::default());
        for round in 0..=rounds {
            let mut random = Random::new(round + 1);
            let made = make(&clients, batches, &mut random)?;
            let direct = send_all(&mut clients, Door::Typed, &made)?;
            let made = make(&clients, batches, &mut random)?;
            let calls: Vec<Call> = made.into_iter().flatten().flatten().collect();
            let mut settings = settings(target, folder);
            settings.connections = CONNECTIONS;
            settings.level = level;
            let recorded = through_recorder(settings, &calls, room)?;
            if round > 0 {
                reference.push_rate(calls.len(), direct);
                figure.push_rate(calls.len(), recorded);
            }
        }
        results.add(words, Unit::PerSecond, figure, Some(reference));
    }
    Ok(())
}

fn make(clients: &[Client], batches: usize, random: &mut Random) -> Result<Vec<Vec<Vec<Call>>>> {
    const RUNS: usize = 10;
    let hour_ago = clients[0].store().now().plus_micros(-3_600_000_000);
    clients
        .iter()
        .map(|client| {
            let mut work: Vec<Work> = (0..RUNS).map(|_| Work::new(random, hour_ago)).collect();
            client.wait_for(start(client.store(), &work))?;
            let batch = |random: &mut Random, work: &mut Vec<Work>| {
                (0..BATCH).map(|n| work[n % RUNS].call(random)).collect::<Vec<_>>()
            };
            Ok((0..batches).map(|_| batch(random, &mut work)).collect())
        })
        .collect()
}

/// Records calls as fast as the queue takes them, and waits until they are in the ledger.
fn through_recorder(settings: Settings, calls: &[Call], room: u64) -> Result<Duration> {
    let recorder = Recorder::connect(settings);
    let contexts: Vec<Context> =
        calls.iter().map(|call| recorder.attach(call.run_id, call.step_id)).collect();
    while !recorder.metrics().is_connected {
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    for (number, (call, context)) in calls.iter().zip(&contexts).enumerate() {
        let mut built = context
            .call(&call.provider, &call.model)
            .id(call.call_id)
            .agent(&call.agent)
            .operation(&call.operation)
            .service_tier(&call.service_tier)
            .called_at(call.called_at);
        if let Some(usage) = call.usage {
            built = built.usage(usage);
        }
        built.record();
        while number % 500 == 0 && recorder.metrics().queued > room {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let flushed = runtime.block_on(recorder.flush(Duration::from_mins(2)));
    while recorder.metrics().delivered < calls.len() as u64 {
        let metrics = recorder.metrics();
        if metrics.dropped + metrics.set_aside > 0 || began.elapsed() > Duration::from_mins(2) {
            return Err(format!("calls did not arrive: {flushed:?} {metrics:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(began.elapsed())
}

/// A way to the server on which every answer comes later.
fn slow_proxy(url: &str) -> Result<String> {
    let server =
        url.split('@').nth(1).and_then(|rest| rest.split('/').next()).ok_or("the URL names no server")?;
    let server = server.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let slow = url.replace(&server, &address);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(&server) else { continue };
            let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else { continue };
            let Ok(to_server) = upstream.try_clone() else { continue };
            std::thread::spawn(move || forward(from_client, to_server, Duration::ZERO));
            std::thread::spawn(move || forward(upstream, to_client, SLOW));
        }
    });
    Ok(slow)
}

fn forward(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = from.read(&mut buffer) {
        std::thread::sleep(delay);
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// How much memory this process uses, at most: also what the benchmark itself holds, and what was freed and not given back.
struct Peak {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Peak {
    fn watch() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !told.load(Ordering::Relaxed) {
                most = most.max(resident());
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        Self { is_over, thread }
    }

    fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// The memory of this process that is in use, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or_default()
        * 1024
}
