//! The ledger's speed, each figure beside a bare reference that was measured in the same run.
//!
//! See `benches/README.md`. `cargo bench --bench ledger -- --help` says the options.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it finds")]
#![expect(clippy::cast_precision_loss, reason = "counts become rates to read, far below 2^52")]

mod bare;
mod calls;
mod commands;
mod ledgers;
mod recorder;
mod reports;
mod sizes;
mod table;
mod writes;

use asmm::clock::Clock;
use clap::Parser;
use ledgers::{Plain, Result, Target};
use std::path::PathBuf;
use table::Results;
use tokio::runtime::{Builder, Runtime};

/// What may be left out.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Recording calls.
    Writes,
    /// The recorder: what it costs the pipeline, and how fast it delivers.
    Recorder,
    /// Import, sizes and reports.
    Reports,
    /// Whole processes.
    Commands,
}

/// Measures the ledger on SQLite, and on Postgres if `ASMM_BENCH_POSTGRES_URL` names a server
#[derive(Parser)]
struct Options {
    /// Fewer rounds, and 100,000 calls instead of ten million
    #[arg(long)]
    quick: bool,
    /// How many calls the reports look at
    #[arg(long)]
    calls: Option<u64>,
    /// Measure only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Write the figures to this file as well, one JSON object a line
    #[arg(long)]
    json: Option<PathBuf>,
    /// Cargo says this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (rounds, calls) = if options.quick { (5, 100_000) } else { (7, 10_000_000) };
    let calls = options.calls.unwrap_or(calls);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let url = std::env::var("ASMM_BENCH_POSTGRES_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!(
            "ASMM_BENCH_POSTGRES_URL is not set: POSTGRES IS NOT MEASURED (benches/run starts a server)"
        );
    }
    let make = |name: &str| {
        runtime.block_on(async {
            let mut targets = vec![Target::sqlite(folder.path(), name).await?];
            if let Some(url) = &url {
                targets.insert(0, Target::postgres(url, name).await?);
            }
            Result::Ok(targets)
        })
    };
    let before = machine();

    let mut results = Results::default();
    if options.has(Part::Writes) {
        for target in make("writes")? {
            writes::measure(&target, rounds, &mut results)?;
            runtime.block_on(target.drop())?;
        }
    }
    if options.has(Part::Recorder) {
        for target in make("recorder")? {
            recorder::measure(&target, folder.path(), options.quick, &mut results)?;
            runtime.block_on(target.drop())?;
        }
    }
    if options.has(Part::Reports) || options.has(Part::Commands) {
        let targets = make("reports")?;
        for target in &targets {
            reports::load(target, calls, &mut results)?;
            if options.has(Part::Reports) {
                runtime.block_on(sizes::measure(target, &mut results))?;
                reports::measure(target, rounds, &mut results)?;
            }
        }
        if options.has(Part::Commands) {
            commands::measure(&targets, if options.quick { 10 } else { 20 }, &mut results)?;
        }
        for target in targets {
            runtime.block_on(target.drop())?;
        }
    }

    println!("{}{before}\n{}\n", versions(&runtime, url.as_deref())?, machine());
    println!("reports: {calls} calls in {} days; {rounds} rounds, asmm and reference by turns", calls::DAYS);
    println!("ratio: times as fast as the reference (of bytes: as large)\n");
    println!("{}", results.to_table());
    if let Some(path) = &options.json {
        std::fs::write(path, results.to_json_lines())?;
    }
    Ok(())
}

/// The date, the cores, and how busy they are.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{}: {cores} cores, load {load}", Clock::System.now())
}

/// What was measured: versions, and the settings that decide what a commit costs.
fn versions(runtime: &Runtime, url: Option<&str>) -> Result<String> {
    runtime.block_on(async {
        use sqlx::Connection;
        let mut sqlite = sqlx::SqliteConnection::connect("sqlite::memory:").await?;
        let version: String = sqlx::query_scalar("select sqlite_version()").fetch_one(&mut sqlite).await?;
        let mut text = format!(
            "asmm {}\nSQLite {version}, WAL, synchronous=FULL\n",
            env!("CARGO_PKG_VERSION")
        );
        if let Some(url) = url {
            let mut db = Plain::Postgres(sqlx::PgConnection::connect(url).await?);
            if let Plain::Postgres(db) = &mut db {
                let settings: String = sqlx::query_scalar(
                    "select 'PostgreSQL ' || current_setting('server_version') || ', fsync=' || current_setting('fsync')
                       || ', synchronous_commit=' || current_setting('synchronous_commit')
                       || ', shared_buffers=' || current_setting('shared_buffers')",
                )
                .fetch_one(db)
                .await?;
                text.push_str(&settings);
                text.push('\n');
            }
            db.close().await?;
        }
        Ok(text)
    })
}
