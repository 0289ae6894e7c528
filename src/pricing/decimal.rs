//! Decimal text to integers, without a float in between.

/// How many digits of a price are believed: LiteLLM's JSON is written from floats, whose noise
/// (`1.5000000000000002e-07`) lies further right.
const BELIEVED_DIGITS: usize = 10;

/// A non-negative decimal as digits and a power of ten.
struct Decimal {
    digits: u128,
    exponent: i32,
}

/// `text` × 10^`decimals`, when that is a whole number of at most `i64::MAX`: `("2.50", 6)` is 2,500,000.
///
/// Plain decimals only: no sign, no exponent.
pub(super) fn scaled(text: &str, decimals: i32) -> Option<i64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { whole(&parse(text)?, decimals) } else { None }
}

/// As [`scaled`], for a JSON number that was written from a float: exponents are read, and the value is
/// snapped to ten significant digits first.
pub(super) fn scaled_float_text(text: &str, decimals: i32) -> Option<i64> {
    let mut value = parse(text)?;
    while value.digits >= 10_u128.pow(u32::try_from(BELIEVED_DIGITS).unwrap_or(u32::MAX)) {
        // Rounds half up; a second turn is needed only when that made a digit more (9999999999.9).
        let dropped = count_digits(value.digits).saturating_sub(BELIEVED_DIGITS);
        let step = 10_u128.checked_pow(u32::try_from(dropped).ok()?)?;
        value.digits = (value.digits + step / 2) / step;
        value.exponent = value.exponent.checked_add(i32::try_from(dropped).ok()?)?;
    }
    whole(&value, decimals)
}

fn count_digits(mut digits: u128) -> usize {
    let mut count = 0;
    while digits > 0 {
        digits /= 10;
        count += 1;
    }
    count
}

fn parse(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if before.is_empty()
        || !is_digits(before)
        || !is_digits(after)
        || (mantissa.contains('.') && after.is_empty())
    {
        return None;
    }
    // 38 digits fit a u128; a price with more is a mistake.
    if before.len() + after.len() > 38 {
        return None;
    }
    let digits: u128 = format!("{before}{after}").parse().ok()?;
    Some(Decimal { digits, exponent: exponent.checked_sub(i32::try_from(after.len()).ok()?)? })
}

fn whole(value: &Decimal, decimals: i32) -> Option<i64> {
    if value.digits == 0 {
        return Some(0);
    }
    let shift = value.exponent.checked_add(decimals)?;
    let step = 10_u128.checked_pow(shift.unsigned_abs())?;
    let scaled = if shift >= 0 {
        value.digits.checked_mul(step)?
    } else if value.digits.is_multiple_of(step) {
        value.digits / step
    } else {
        return None;
    };
    i64::try_from(scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_decimals_are_exact() {
        assert_eq!(scaled("2.50", 6), Some(2_500_000));
        assert_eq!(scaled("0.003625", 6), Some(3_625));
        assert_eq!(scaled("10", 9), Some(10_000_000_000));
        assert_eq!(scaled("0", 6), Some(0));
        for bad in ["0.0000001", "-1", "1e3", "", ".", "1.", ".5", "99999999999999999999", "1,5", "NaN"] {
            assert_eq!(scaled(bad, 6), None, "{bad}");
        }
    }

    #[test]
    fn float_noise_is_snapped() {
        assert_eq!(scaled_float_text("1.5000000000000002e-07", 12), Some(150_000));
        assert_eq!(scaled_float_text("2.4999999999999998e-06", 12), Some(2_500_000));
        assert_eq!(scaled_float_text("9.999999999999999e-06", 12), Some(10_000_000));
        assert_eq!(scaled_float_text("0.00003", 12), Some(30_000_000));
        assert_eq!(scaled_float_text("3E-6", 12), Some(3_000_000));
        assert_eq!(scaled_float_text("0.0", 12), Some(0));
        assert_eq!(scaled_float_text("1.23456e-13", 12), None);
        assert_eq!(scaled_float_text("-1e-6", 12), None);
        assert_eq!(scaled_float_text("1e99", 12), None);
    }
}
