//! The fail-open client for pipelines.

mod door;

pub(crate) use door::{Door, LazyGuard};
