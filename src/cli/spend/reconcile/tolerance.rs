//! How much billed and recorded costs may differ.

use crate::domain::Usd;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// One percent, in the unit that percentages are kept in.
const PERCENT: i128 = 1_000_000_000_000;

/// An amount, or a part of what was billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    Dollars(Usd),
    /// In units of 10^-12 percent.
    Percent(i128),
}

impl Tolerance {
    /// Whether the costs differ by more.
    pub(super) fn is_exceeded(self, billed: Usd, recorded: Usd) -> bool {
        let difference = (billed - recorded).pico().abs();
        match self {
            Self::Dollars(most) => difference > most.pico(),
            Self::Percent(most) => {
                let (difference, most) =
                    (difference.checked_mul(100 * PERCENT), billed.pico().abs().checked_mul(most));
                // What is too large to multiply is no small difference.
                difference.is_none_or(|difference| most.is_some_and(|most| difference > most))
            }
        }
    }
}

impl FromStr for Tolerance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, is_percent) = text.strip_suffix('%').map_or((text, false), |number| (number, true));
        let number: Usd = number.trim_end().parse().map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            Error::usage(format!("`{shown}` is neither dollars nor a percentage"))
                .hint("write 12.50 for dollars, or 2% of what was billed")
        })?;
        if number < Usd::ZERO || number > Usd::from_pico(1_000_000_000 * PERCENT) {
            return Err(Error::usage("--fail-over is negative or too large").hint("write 12.50, or 2%"));
        }
        Ok(if is_percent { Self::Percent(number.pico()) } else { Self::Dollars(number) })
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dollars(most) => write!(f, "{most} USD"),
            Self::Percent(most) => write!(f, "{}%", Usd::from_pico(*most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_of_dollars_or_of_what_was_billed() {
        let usd = |text: &str| text.parse::<Usd>().unwrap();
        for (tolerance, billed, recorded, is_exceeded) in [
            ("1", "10", "9", false),
            ("1", "10", "8.999999999999", true),
            ("1", "9", "10.000000000001", true),
            ("10%", "10", "9", false),
            ("10%", "10", "8.999999999999", true),
            ("2.5%", "100", "102.5", false),
            ("2.5%", "100", "102.500000000001", true),
            ("0%", "0", "0", false),
            ("100%", "0", "0.01", true),
            ("0", "1", "1", false),
        ] {
            let tolerance: Tolerance = tolerance.parse().unwrap();
            assert_eq!(
                tolerance.is_exceeded(usd(billed), usd(recorded)),
                is_exceeded,
                "{tolerance} {billed} {recorded}"
            );
        }
        for text in ["", "%", "-1", "1e3", "two%", "99999999999"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
    }
}
