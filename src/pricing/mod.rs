//! What a call costs: the price catalogue, whose entry a reported name means, and the arithmetic.
//!
//! - [`Catalogue`] holds the vendored prices; [`UserPrices`] and [`Imported`] are other people's.
//! - [`Catalogue::resolve`] finds the entry that a reported provider and model name.
//! - [`select`] picks the row in force: service tier, date, time of day, context threshold.
//! - [`price`] multiplies. It is pure, exact and the reference for the databases' own functions;
//!   [`explain`] shows its arithmetic line by line.
//!
//! Uses `domain` only; no IO, no float, no rounding.
#![warn(clippy::float_arithmetic, clippy::as_conversions)]

mod catalogue;
mod change;
mod clause;
mod cost;
mod decimal;
mod genai;
mod litellm;
mod names;
mod provider;
mod rates;
mod resolve;
mod snapshot;
mod user;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod resolve_tests;

pub use catalogue::{Catalogue, Source};
pub use change::{AlikeCalls, CalledModel, Change, Effects, explain_change};
pub use cost::{Charge, ExplainLine, Priced, PricingState, explain, price};
pub use genai::read_genai_prices;
pub use litellm::{Imported, read_litellm};
pub use rates::{Origin, PriceEntry, Rates, STANDARD_TIER, select};
pub use resolve::{EntryKey, UserNames};
pub use user::{MAX_USER_PRICES_BYTES, USER_PRICES_SCHEMA, UserAlias, UserPrices};
