//! The only reader of the time.

use crate::domain::Timestamp;
use crate::error::Result;
use chrono::Utc;

/// A source of "now": the system's clock, or one that stands still.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The system's clock.
    System,
    /// Always this instant: for tests and for printing the same report twice.
    Fixed(Timestamp),
}

impl Clock {
    /// The system's clock, unless `fixed` (the value of `ASMM_NOW`) names an instant.
    pub fn from_setting(fixed: Option<&str>) -> Result<Self> {
        fixed.map_or(Ok(Self::System), |text| Ok(Self::Fixed(text.parse()?)))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from(Utc::now()),
            Self::Fixed(time) => *time,
        }
    }
}
