//! Ids of runs, steps and calls: UUIDs that the caller makes, so that a retry can say "the same one".

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id that `parts` always give: a name-based `UUIDv5`, for usage imported from a source
            /// that has ids of its own. The parts are separated so that `["ab", "c"]` and `["a", "bc"]`
            /// differ.
            #[must_use]
            pub fn derived(parts: &[&str]) -> Self {
                Self(Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Uuid::parse_str(text).map(Self).map_err(|_| {
                    let shown: String = text.chars().take(80).collect();
                    Error::input(format!(concat!($what, " id `{}` is not a UUID"), shown))
                        .hint("ids look like `0197a6b2-5c1e-7d3a-9f00-1b2c3d4e5f60`; make one with any UUIDv7 generator")
                })
            }
        }
    };
}

/// The namespace of ids derived from foreign ones: drawn at random once, and fixed for ever.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f7d_55a6_9b3e_5c1f_a1c4_3f0c_6d27_b1e9);

id!(
    /// One execution of a pipeline.
    RunId, "run"
);
id!(
    /// One agent's unit of work in a run; unique within its run.
    StepId, "step"
);
id!(
    /// One request to a model; unique within its run. The idempotency key.
    CallId, "call"
);
