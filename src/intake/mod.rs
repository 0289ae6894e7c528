//! Usage from elsewhere: one room per foreign format, each giving [`crate::domain::Event`]s.
//!
//! All readers stream with bounded memory, and a line that cannot be read is counted and reported with
//! its file and number, never fatal: logs are written by processes that get killed.

pub mod claude_code;
pub mod codex;
mod complaints;
pub mod csv;
mod files;
pub mod lines;
pub mod litellm;
pub mod native;
#[cfg(feature = "cli")]
pub mod otlp;
pub mod provider_usage;
mod records;
pub mod traces;

pub use complaints::Complaints;
#[cfg(feature = "cli")]
pub(crate) use complaints::in_one_line;
