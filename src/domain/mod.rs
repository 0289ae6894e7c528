//! Plain values without IO: ids, names, dollars, token usage, times, statuses, and what is recorded.
//!
//! Imports nothing of the crate but its error type. Everything here is checked when it is made, so a
//! value that exists is a value the ledger can hold.
#![warn(clippy::float_arithmetic, clippy::as_conversions)]

mod budget;
mod canonical;
mod digest;
mod event;
mod guard;
mod id;
mod money;
mod name;
mod prompt;
mod provider_usage;
mod reported;
mod span;
mod status;
mod time;
mod usage;
mod window;

pub use budget::{Amount, Asker, Budget, BudgetScope, MAX_HOLD, Period, Reserve};
pub use canonical::canonical_json;
pub use digest::{Digest, hex};
pub use event::{Call, Event, FinishRun, FinishStep, Outcome, StartRun, StartStep};
pub use guard::{Decision, GuardEvent};
pub use id::{CallId, RunId, StepId};
pub use money::Usd;
pub use name::{MAX_NAME_CHARS, optional_name, required_name};
pub use prompt::{CallPrompt, MAX_TEXT_BYTES, Sanitisation, SentPrompt};
pub use provider_usage::{ProviderBucket, ProviderLine, ProviderReport};
pub use span::{Report, Resolved, Span, SpanId, SpanRun, as_name, resolve};
pub use status::Status;
pub use time::Timestamp;
pub use usage::{MAX_COUNT, TokenKind, TokenUsage};
pub use window::{DaySegment, Window};
