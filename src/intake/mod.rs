//! Usage from elsewhere: one room per foreign format, each giving [`crate::domain::Event`]s.
//!
//! All readers stream with bounded memory, and a line that cannot be read is counted and reported with
//! its file and number, never fatal: logs are written by processes that get killed.

pub mod claude_code;
mod complaints;
pub mod lines;
pub mod native;
#[cfg(feature = "cli")]
pub mod otlp;
pub mod traces;

pub use complaints::Complaints;
