//! Usage from elsewhere: one room per foreign format, each giving [`crate::domain::Event`]s.
//!
//! All readers stream with bounded memory, and a line that cannot be read is counted and reported with
//! its file and number, never fatal: logs are written by processes that get killed.

pub mod claude_code;
pub mod codex;
mod complaints;
mod files;
pub mod lines;
pub mod litellm;
pub mod native;
#[cfg(feature = "cli")]
pub mod otlp;
mod records;
pub mod traces;

pub use complaints::Complaints;
