//! Medians, spreads and logarithms of integers.

/// Fractional bits of a logarithm.
const LOG_BITS: u32 = 10;

/// The median; of an even number of values the mean of the middle two, rounded down. 0 of none.
pub(super) fn median(mut values: Vec<i128>) -> i128 {
    values.sort_unstable();
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(below), Some(above)) if values.len().is_multiple_of(2) => below + (above - below) / 2,
        (_, Some(value)) => *value,
        _ => 0,
    }
}

/// The median and the median absolute deviation from it.
pub(super) fn median_and_spread(values: Vec<i128>) -> (i128, i128) {
    let middle = median(values.clone());
    let spread = median(values.into_iter().map(|value| (value - middle).abs()).collect());
    (middle, spread)
}

/// The value that `percent` of a hundred are not above: of n values the one of rank ⌈n × percent ÷ 100⌉. 0 of none.
pub(super) fn percentile(mut values: Vec<i128>, percent: usize) -> i128 {
    values.sort_unstable();
    let rank = values.len().saturating_mul(percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// `count` robust standard deviations: 1.4826 × MAD is the standard deviation of what is distributed normally.
pub(super) const fn deviations(count: i128, spread: i128) -> i128 {
    spread.saturating_mul(count).saturating_mul(14_826) / 10_000
}

/// `percent` of a hundred of `value`.
pub(super) const fn percent_of(value: i128, percent: i128) -> i128 {
    value.saturating_mul(percent) / 100
}

/// The logarithm to base 2 of `value` + 1, in 1/1024, rounded down: by squaring the mantissa bit by bit.
pub(super) fn log2(value: u64) -> i128 {
    let value = u128::from(value) + 1;
    let whole = value.ilog2();
    // The mantissa, from 1 to 2, with 63 bits after the point.
    let mut mantissa = (value << 63) >> whole;
    let mut log = i128::from(whole);
    for _ in 0..LOG_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        let bit = mantissa >> 64;
        mantissa >>= bit;
        log = (log << 1) | i128::from(bit == 1);
    }
    log
}

/// The smallest value whose [`log2`] is not below `log`, or the largest there is.
pub(super) fn exp2(log: i128) -> u64 {
    let (mut low, mut high) = (0_u64, u64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if log2(middle) < log { low = middle + 1 } else { high = middle }
    }
    low
}
