//! asmm: a ledger of LLM spend and a registry of prompts, in the database you already have.

pub mod clock;
pub mod domain;
pub mod error;
pub mod intake;

pub use error::{Error, ErrorKind, Result};
