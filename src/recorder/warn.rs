//! Warnings that are said once in a while, and not once an event.

use crate::guard::mask_secrets;
use std::time::{Duration, Instant};

const QUIET: Duration = Duration::from_secs(30);

/// One sort of warning.
#[derive(Debug, Default)]
pub(super) struct Warning {
    said: Option<Instant>,
    kept_back: u64,
}

impl Warning {
    /// Says it, unless it was said in the last 30 seconds; then it is counted.
    pub fn say(&mut self, text: &str) {
        let now = Instant::now();
        if self.said.is_some_and(|said| now.duration_since(said) < QUIET) {
            self.kept_back += 1;
            return;
        }
        let text = mask_secrets(text);
        match std::mem::take(&mut self.kept_back) {
            0 => tracing::warn!(target: "asmm::recorder", "{text}"),
            more => tracing::warn!(target: "asmm::recorder", "{text} (and {more} more like it)"),
        }
        self.said = Some(now);
    }
}
