//! asmm: a ledger of LLM spend and a registry of prompts, in the database you already have.
//!
//! # The map
//!
//! | room | what is in it | may use |
//! |---|---|---|
//! | [`domain`] | plain values without IO: ids, dollars, token usage, times, what is recorded | nothing |
//! | [`pricing`] | the price catalogue, whose price a name means, what a call costs | `domain` |
//! | [`prompt`] | prompt files, `subst/1`, the canonical form and its digest, rendering, diffs | `domain` |
//! | [`guard`] | what may go into a prompt: detectors, policy, redaction | `domain`, `prompt` |
//! | [`anomaly`] | what is out of the ordinary: usual hours and days, runs that run away, shares that rise | `domain` |
//! | [`store`] | the ledger in Postgres or SQLite; the only room that names sqlx | `domain`, `pricing`, `prompt` |
//! | [`intake`] | usage from elsewhere: native JSONL, traces, session logs | `domain` |
//! | [`recorder`] | the fail-open client for pipelines: handles, queue, spool, contexts that travel | `domain`, `prompt`, `guard`, `store`, `clock` |
//! | `settings` | what the environment and `asmm.yaml` say, and the guard's key | `guard`, `recorder`'s settings |
//! | [`report`] (`cli`) | rows to tables, charts, JSON, CSV, markdown and HTML; the only user of comfy-table and plotters | `domain` |
//! | [`cli`] (`cli`) | one file a command: its arguments and what it does | all of these |
//! | [`error`] | the one error type: what happened, to which thing, and what to do next | nothing |
//! | [`clock`] | the only reader of the time | `domain` |
//!
//! Arrows run one way. Only `cli` and the program's `main` write output.
//!
//! Outside the crate's sources: `migrations/` is the schema, pairs of files for the two databases;
//! `queries/` the reports, one portable statement each; `prices/` the vendored price catalogue; `prompts/` the
//! example prompts and their format.
//!
//! # The laws
//!
//! They hold at every committed instant, on both databases; `store`'s tests check them after random
//! histories, crashes and races.
//!
//! 1. A call is counted once: its id is the caller's, and a second delivery changes nothing.
//! 2. A run's counters and the rollup are in step with the calls: they change in the same transaction.
//! 3. Money is an integer number of picodollars; no float touches it.
//! 4. Unknown is not zero: a call without a price is unpriced, and every total says how many there are.
//! 5. History stands still: new prices never change old costs by themselves.
//! 6. A prompt version never changes and never goes away.
//! 7. Replay is exact or says why not.
//! 8. Recording fails open, and loses nothing.
//! 9. No secret is stored.
//! 10. Append, don't edit: corrections are new rows.
//!
//! # Features
//!
//! - `cli` (default): the program `asmm`, and with it [`cli`] and [`report`].
//!
//! Without it there is the library alone, for a program that records: no tables, no argument parser, no log
//! writer, no HTTP client, and none of their crates. All other rooms are whole, [`intake`] included. In
//! `Cargo.toml`:
//!
//! ```toml
//! asmm = { version = "0.1", default-features = false }
//! ```
//!
//! - `tower`: a layer that takes the run and step of a request over into a service: `recorder::RecorderLayer`.
//!
//! [`recorder`] brings a thread and a runtime of its own; [`store`], used by itself, runs on the program's tokio, with
//! time and IO enabled. Warnings and the guard's decisions are
//! `tracing` events, for whatever subscriber the program has.
//!
//! # Recording from Rust
//!
//! A pipeline uses a [`Recorder`], which never fails, waits or loses anything: see [`recorder`].
//!
//! ```no_run
//! use asmm::Recorder;
//! use asmm::domain::{Status, TokenUsage};
//!
//! # async fn pipeline(answer: serde_json::Value) {
//! let recorder = Recorder::from_env();
//! let run = recorder.run("enrichment").start();
//! run.call("openai", "gpt-4o").reported(TokenUsage::from_openai(&answer["usage"])).record();
//! run.finish(Status::Succeeded);
//! recorder.shutdown(std::time::Duration::from_secs(5)).await;
//! # }
//! ```
//!
//! A tool that wants each answer of the ledger uses the [`store`]:
//!
//! ```no_run
//! use asmm::clock::Clock;
//! use asmm::domain::{FinishRun, RunId, StartRun, Status};
//! use asmm::store::{Location, Store};
//!
//! # async fn record(run_id: RunId) -> asmm::Result<()> {
//! let location = Location::new("sqlite:ledger.db", "asmm");
//! let store = Store::open(&location, Clock::System).await?;
//! store
//!     .start_run(&StartRun {
//!         run_id,
//!         pipeline: "enrichment".into(),
//!         started_at: store.now(),
//!         labels: [("team".to_owned(), "data".to_owned())].into(),
//!         parent_run_id: None,
//!         replay_of: None,
//!     })
//!     .await?;
//! let run = store.finish_run(&FinishRun { run_id, status: Status::Succeeded, completed_at: None }).await?;
//! println!("{} calls, {} USD", run.totals.llm_calls, run.totals.cost);
//! # Ok(())
//! # }
//! ```
// Where these rooms are not, their links lead to why.
#![cfg_attr(not(feature = "cli"), doc = "\n[`cli`]: #features\n[`report`]: #features")]

pub mod anomaly;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod domain;
pub mod error;
pub mod guard;
pub mod intake;
pub mod pricing;
pub mod prompt;
#[cfg_attr(
    not(feature = "cli"),
    expect(dead_code, unused_imports, reason = "a part of it only the command line uses")
)]
pub mod recorder;
#[cfg(feature = "cli")]
pub mod report;
mod settings;
pub mod store;

pub use error::{Error, ErrorKind, Result};
pub use recorder::Recorder;
