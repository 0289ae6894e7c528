//! The one integration binary: asmm as its users meet it. `tests/run` starts the server it needs.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on should stop there"
)]
#![allow(clippy::format_collect, reason = "a text for a test may take its time")]
#![allow(clippy::too_many_lines, reason = "a table of cases is read from top to bottom")]

mod support;

mod bad_input;
mod budgets;
mod cli;
mod crowd;
mod differential;
mod docs;
mod features;
mod ground;
mod guard;
mod laws;
mod otlp;
mod packaging;
mod page;
mod pooler;
mod prompts;
mod prompts_python;
mod python_example;
mod recorder;
mod schema;
mod writing;
