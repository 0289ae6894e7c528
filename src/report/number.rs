//! Numbers for the eye. Integer arithmetic throughout: no float touches money.

use crate::domain::Usd;
use std::cmp::Ordering;

/// `digits` (with a sign, perhaps, and decimals) with a comma between thousands.
pub(crate) fn thousands(digits: &str) -> String {
    let (sign, magnitude) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let (whole, decimals) = magnitude.split_once('.').map_or((magnitude, None), |(w, d)| (w, Some(d)));
    let mut text = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(decimals) = decimals {
        text.push('.');
        text.push_str(decimals);
    }
    text
}

/// `count` in at most four digits and a letter: `999`, `12.3K`, `1.2M`.
pub(crate) fn humanised(count: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (1_000, "K"),
        (1_000_000, "M"),
        (1_000_000_000, "G"),
        (1_000_000_000_000, "T"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000_000_000, "E"),
    ];
    if count < 1_000 {
        return count.to_string();
    }
    for (unit, letter) in UNITS {
        // Half up, in tenths; what rounds to 1000.0 of a unit is 1.0 of the next.
        let tenths = (u128::from(count) * 10 + u128::from(unit) / 2) / u128::from(unit);
        if tenths < 10_000 {
            return format!("{}.{}{letter}", tenths / 10, tenths % 10);
        }
    }
    count.to_string()
}

/// How many decimals a column of these amounts gets, so that its decimal points stand under each other.
///
/// The largest amount decides: 2 from one dollar up, 4 from a cent, 6 from a hundredth of a cent, then 8
/// and 12. An amount too small for that is shown as `<$0.01`, never as 0.
pub(crate) fn decimals(amounts: impl Iterator<Item = Usd>) -> usize {
    let largest = amounts.map(|usd| usd.pico().unsigned_abs()).max().unwrap_or(0);
    match largest {
        0 | 1_000_000_000_000.. => 2,
        10_000_000_000.. => 4,
        100_000_000.. => 6,
        1_000_000.. => 8,
        1.. => 12,
    }
}

/// The fewest decimals, but at least 2, that show all these amounts exactly.
pub(super) fn exact_decimals(amounts: impl Iterator<Item = Usd>) -> usize {
    let decimals = |usd: Usd| usd.to_string().split_once('.').map_or(0, |(_, part)| part.len());
    amounts.map(decimals).max().unwrap_or(0).max(2)
}

/// An amount with `decimals` decimals: `$1,234.50`, `-$0.25`, `<$0.01`.
pub(crate) fn dollars(usd: Usd, decimals: usize, signed: bool) -> String {
    let sign = match usd.cmp(&Usd::ZERO) {
        Ordering::Less => "-",
        Ordering::Greater if signed => "+",
        _ => "",
    };
    let magnitude = if usd < Usd::ZERO { Usd::from_pico(usd.pico().saturating_neg()) } else { usd };
    let rounded = magnitude.rounded(decimals);
    if magnitude != Usd::ZERO && rounded.bytes().all(|b| matches!(b, b'0' | b'.')) {
        let smallest = format!("{}1", &rounded[..rounded.len() - 1]);
        return format!("{sign}<${smallest}");
    }
    format!("{sign}${}", thousands(&rounded))
}

/// `part` of `whole` as a percentage with one decimal. Only a whole is `100 %`, only nothing is `0 %`:
/// the rest is at most `>99.9 %` and at least `<0.1 %`. `None` when `whole` is 0.
pub(crate) fn percent(part: i128, whole: i128, signed: bool) -> Option<String> {
    if whole == 0 {
        return None;
    }
    let negative = (part < 0) != (whole < 0) && part != 0;
    let sign = match (negative, signed && part != 0) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    };
    let (part, whole) = (part.unsigned_abs(), whole.unsigned_abs());
    let text = match rounded_ratio(part, whole, 1_000) {
        _ if part == 0 => "0 %".to_owned(),
        _ if part == whole => format!("{sign}100 %"),
        0 => format!("{sign}<0.1 %"),
        1_000.. if part < whole => format!("{sign}>99.9 %"),
        tenths => format!("{sign}{}.{} %", thousands(&(tenths / 10).to_string()), tenths % 10),
    };
    Some(text)
}

/// `part / whole` as a decimal with six places for programs; never `1` or `0` for what is not quite.
pub(super) fn ratio(part: i128, whole: i128) -> Option<String> {
    const ONE: u128 = 1_000_000;
    if whole == 0 {
        return None;
    }
    let sign = if (part < 0) != (whole < 0) && part != 0 { "-" } else { "" };
    let (part, whole) = (part.unsigned_abs(), whole.unsigned_abs());
    let millionths = match rounded_ratio(part, whole, ONE) {
        0 if part > 0 => 1,
        ONE if part < whole => ONE - 1,
        millionths => millionths,
    };
    Some(format!("{sign}{}.{:06}", millionths / ONE, millionths % ONE))
}

/// `part * scale / whole`, half up.
fn rounded_ratio(mut part: u128, mut whole: u128, scale: u128) -> u128 {
    // Amounts of this size are astronomic; losing their last bits keeps the product inside 128 bits.
    while part.leading_zeros() < 24 && whole > 1 {
        part >>= 1;
        whole >>= 1;
    }
    let product = part.saturating_mul(scale);
    let (quotient, rest) = (product / whole, product % whole);
    quotient.saturating_add(u128::from(rest >= whole - rest))
}

/// A bar for `value` of `max`, `room` columns long at `max`, padded by nobody. Eighth blocks, or `#`.
pub(crate) fn bar(value: u128, max: u128, room: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if value == 0 || max == 0 {
        return String::new();
    }
    let steps = if unicode { room * 8 } else { room };
    let scaled = rounded_ratio(value, max, u128::try_from(steps).unwrap_or(0));
    // Something is never drawn as nothing.
    let scaled = usize::try_from(scaled).unwrap_or(steps).clamp(1, steps.max(1));
    if unicode { format!("{}{}", "█".repeat(scaled / 8), EIGHTHS[scaled % 8]) } else { "#".repeat(scaled) }
}

/// A line of small bars, one for each amount, as tall as it is a part of the largest. Nothing is the lowest, what is not
/// known is `?`, and something is never drawn as nothing.
pub(super) fn spark(amounts: &[Option<Usd>], unicode: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
    let levels = if unicode { BLOCKS } else { ASCII };
    let magnitude = |amount: &Usd| amount.pico().unsigned_abs();
    let largest = amounts.iter().flatten().map(magnitude).max().unwrap_or(0);
    let drawn = |amount: &Option<Usd>| match amount.as_ref().map(magnitude) {
        None => '?',
        Some(0) => levels[0],
        Some(amount) => levels[usize::try_from(rounded_ratio(amount, largest, 7)).unwrap_or(7).clamp(1, 7)],
    };
    amounts.iter().map(drawn).collect()
}

/// A duration: `850 ms`, `1.2 s`, `2 m 05 s`, `3 h 12 m`, `4 d 02 h`.
pub(crate) fn duration(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1_000 / 100),
        60..3_600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {:02} h", thousands(&(seconds / 86_400).to_string()), seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[test]
    fn thousands_and_letters() {
        assert_eq!(thousands("-1234567.8901"), "-1,234,567.8901");
        assert_eq!(thousands("999"), "999");
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0K"),
            (999_949, "999.9K"),
            (999_950, "1.0M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(humanised(count), text);
        }
    }

    #[test]
    fn the_largest_amount_decides_the_decimals() {
        let of = |amounts: &[&str]| decimals(amounts.iter().map(|text| usd(text)));
        assert_eq!(of(&["0.001", "1"]), 2);
        assert_eq!(of(&["0.999"]), 4);
        assert_eq!(of(&["-0.5", "0.001"]), 4);
        assert_eq!(of(&["0.0099"]), 6);
        assert_eq!(of(&["0.00000001"]), 12);
        assert_eq!(of(&[]), 2);
    }

    #[test]
    fn something_is_never_nothing() {
        assert_eq!(dollars(usd("0.001"), 2, false), "<$0.01");
        assert_eq!(dollars(usd("-0.001"), 2, false), "-<$0.01");
        assert_eq!(dollars(usd("0.001"), 2, true), "+<$0.01");
        assert_eq!(dollars(usd("0"), 2, true), "$0.00");
        assert_eq!(dollars(usd("1234.5"), 2, true), "+$1,234.50");
        assert_eq!(dollars(Usd::from_pico(i128::MIN), 2, false).chars().next(), Some('-'));
        assert_eq!(bar(1, u128::MAX, 10, true), "▏");
        assert_eq!(bar(1, 1, 3, false), "###");
    }

    #[test]
    fn a_spark_tells_nothing_little_and_unknown_apart() {
        let amounts = ["0", "0.000001", "50", "100"].map(|text| Some(usd(text)));
        let amounts = [&amounts[..], &[None]].concat();
        assert_eq!(spark(&amounts, true), "▁▂▅█?");
        assert_eq!(spark(&amounts, false), "_.=#?");
        assert_eq!(spark(&[Some(usd("0")); 3], true), "▁▁▁");
        assert_eq!(spark(&[], true), "");
    }

    #[test]
    fn only_a_whole_is_100_percent() {
        for (part, whole, text) in [
            (9_999, 10_000, ">99.9 %"),
            (1, 10_000, "<0.1 %"),
            (10_000, 10_000, "100 %"),
            (0, 5, "0 %"),
            (1, 8, "12.5 %"),
            (-1, 8, "-12.5 %"),
            (-8, 8, "-100 %"),
            (30, 10, "300.0 %"),
            (i128::MAX - 1, i128::MAX, ">99.9 %"),
        ] {
            assert_eq!(percent(part, whole, false).unwrap(), text);
        }
        assert_eq!(percent(1, 0, false), None);
        assert_eq!(ratio(9_999_999, 10_000_000).unwrap(), "0.999999");
        assert_eq!(ratio(1, 3).unwrap(), "0.333333");
    }

    #[test]
    fn durations_have_two_units() {
        for (millis, text) in [
            (850, "850 ms"),
            (1_290, "1.2 s"),
            (125_000, "2 m 05 s"),
            (11_520_000, "3 h 12 m"),
            (352_800_000, "4 d 02 h"),
        ] {
            assert_eq!(duration(millis), text);
        }
    }
}
