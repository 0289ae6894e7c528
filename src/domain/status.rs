//! Where a run or a step stands.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A status, by its code in the ledger's `status_lookup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not finished.
    Running,
    /// Finished well.
    Succeeded,
    /// Finished with an error.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Given up without a word: the process that ran it is gone.
    Abandoned,
}

impl Status {
    /// Every status, in the order of `status_lookup`.
    pub const ALL: [Status; 5] =
        [Status::Running, Status::Succeeded, Status::Failed, Status::Cancelled, Status::Abandoned];

    /// The code in `status_lookup`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::Abandoned => "abandoned",
        }
    }

    /// Whether nothing more is expected of a run or step with this status.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Status::Running)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|s| s.code() == text).ok_or_else(|| {
            let shown: String = text.chars().take(60).collect();
            let codes: Vec<_> = Self::ALL.iter().map(|s| s.code()).collect();
            Error::input(format!("status `{shown}` is unknown"))
                .hint(format!("the statuses are {}", codes.join(", ")))
        })
    }
}

impl TryFrom<String> for Status {
    type Error = Error;

    fn try_from(code: String) -> Result<Self> {
        code.parse()
    }
}
