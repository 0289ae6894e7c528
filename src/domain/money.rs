//! Dollars as integers.

use crate::error::{Error, Result};
use serde::{Serialize, Serializer};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

/// An exact amount of US dollars, in picodollars (1e-12 USD).
///
/// A price in picodollars per token is the same number as microdollars per million tokens, so every
/// published price is an integer. Text and JSON show exact decimals (`0.0245375`), never rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i128);

const PICO_PER_USD: i128 = 1_000_000_000_000;
const DECIMALS: usize = 12;

impl Usd {
    /// No money.
    pub const ZERO: Usd = Usd(0);

    /// `pico` picodollars.
    #[must_use]
    pub const fn from_pico(pico: i128) -> Self {
        Self(pico)
    }

    /// The amount in picodollars.
    #[must_use]
    pub const fn pico(self) -> i128 {
        self.0
    }

    /// The amount in picodollars, as the ledger's columns hold it: at most 9.2 million dollars.
    pub fn to_column(self) -> Result<i64> {
        i64::try_from(self.0).map_err(|_| {
            Error::input(format!("{self} USD does not fit: one amount is at most 9,223,372 USD"))
                .hint("check the price and the token counts; one of them is off by orders of magnitude")
        })
    }

    /// Rounds to `decimals` (at most 12), half away from zero, and keeps trailing zeros: for people, not programs.
    #[must_use]
    pub fn rounded(self, decimals: usize) -> String {
        let decimals = decimals.min(DECIMALS);
        let step = 10_i128.pow(u32::try_from(DECIMALS - decimals).unwrap_or(0));
        let half = if self.0 < 0 { -(step / 2) } else { step / 2 };
        let units = self.0.saturating_add(half) / step;
        let per_usd = PICO_PER_USD / step;
        let sign = if units < 0 { "-" } else { "" };
        let (whole, part) = (units.abs() / per_usd, units.abs() % per_usd);
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part:0decimals$}") }
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let per_usd = PICO_PER_USD.unsigned_abs();
        let (whole, part) = (magnitude / per_usd, magnitude % per_usd);
        let text = if part == 0 {
            format!("{sign}{whole}")
        } else {
            let digits = format!("{part:0DECIMALS$}");
            format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
        };
        f.pad(&text)
    }
}

impl FromStr for Usd {
    type Err = Error;

    /// Reads a plain decimal such as `12`, `0.0245375` or `-1.5`; at most 12 decimals, no exponent.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(60).collect();
            Error::input(format!("`{shown}` is not an amount of dollars: {why}"))
                .hint("write a plain decimal such as `12.50`; the smallest unit is 0.000000000001")
        };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(bad("it is not a plain decimal number"));
        }
        let part = part.trim_end_matches('0');
        if part.len() > DECIMALS {
            return Err(bad("it has more than 12 decimals"));
        }
        let padded = format!("{part:0<DECIMALS$}");
        let whole: i128 = whole.parse().map_err(|_| bad("it is too large"))?;
        let part: i128 = padded.parse().map_err(|_| bad("it is not a plain decimal number"))?;
        let pico = whole
            .checked_mul(PICO_PER_USD)
            .and_then(|p| p.checked_add(part))
            .ok_or_else(|| bad("it is too large"))?;
        Ok(Self(if negative { -pico } else { pico }))
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Add for Usd {
    type Output = Usd;
    fn add(self, other: Usd) -> Usd {
        Usd(self.0 + other.0)
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Usd) {
        self.0 += other.0;
    }
}

impl Sub for Usd {
    type Output = Usd;
    fn sub(self, other: Usd) -> Usd {
        Usd(self.0 - other.0)
    }
}

impl Neg for Usd {
    type Output = Usd;
    fn neg(self) -> Usd {
        Usd(-self.0)
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Usd>>(amounts: I) -> Usd {
        amounts.fold(Usd::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_exact_decimals() {
        for (text, pico) in [
            ("0", 0),
            ("12", 12_000_000_000_000),
            ("0.0245375", 24_537_500_000),
            ("-1.5", -1_500_000_000_000),
            ("0.000000000001", 1),
        ] {
            let usd: Usd = text.parse().unwrap();
            assert_eq!(usd.pico(), pico);
            assert_eq!(usd.to_string(), text);
        }
        assert_eq!("1.50".parse::<Usd>().unwrap().to_string(), "1.5");
    }

    #[test]
    fn refuses_what_is_no_plain_decimal() {
        for text in ["", "-", ".", "1.", ".5", "1e3", "1,5", "+1", "0.0000000000001", "NaN", "1.2.3"] {
            assert!(text.parse::<Usd>().is_err(), "{text}");
        }
        assert!("9".repeat(60).parse::<Usd>().is_err());
    }

    #[test]
    fn rounds_half_away_from_zero() {
        let usd = |t: &str| t.parse::<Usd>().unwrap();
        assert_eq!(usd("1.005").rounded(2), "1.01");
        assert_eq!(usd("-1.005").rounded(2), "-1.01");
        assert_eq!(usd("1.0049").rounded(2), "1.00");
        assert_eq!(usd("0.5").rounded(0), "1");
    }

    proptest! {
        #[test]
        fn text_is_exact(pico in any::<i64>()) {
            let usd = Usd::from_pico(i128::from(pico));
            prop_assert_eq!(usd.to_string().parse::<Usd>().unwrap(), usd);
        }
    }
}
