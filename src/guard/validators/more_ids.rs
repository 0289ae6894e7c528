//! More national identification numbers, by their published checksums.

use super::checksum::{Digits, luhn, mod_11_10};

/// The sum of digits times weights.
fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// The number that two digits from `at` on make.
fn two(digits: &[u8], at: usize) -> u32 {
    u32::from(digits[at]) * 10 + u32::from(digits[at + 1])
}

fn is_date(month: u32, day: u32) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Singapore: weights 2, 7, 6, 5, 4, 3, 2; the series decides the offset and the letters.
pub(super) fn singaporean_nric(value: &str) -> bool {
    let [series, number @ .., check] = value.as_bytes() else { return false };
    let digits: Vec<u8> = number.iter().map(|b| b.wrapping_sub(b'0')).collect();
    let (offset, letters): (u32, &[u8; 11]) = match series {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"KLJNPQRTUWX"),
        _ => return false,
    };
    let rest = (weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]) + offset) % 11;
    let place = if *series == b'M' { 10 - rest } else { rest };
    usize::try_from(place).is_ok_and(|place| letters[place] == *check)
}

/// Chile: modulo 11 with weights 2 to 7 from the right.
pub(super) fn chilean_rut(value: &str) -> bool {
    let Some((number, check)) = value.rsplit_once('-') else { return false };
    let digits: Vec<u8> = number.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    let sum: u32 =
        digits.iter().rev().zip([2, 3, 4, 5, 6, 7].into_iter().cycle()).map(|(d, w)| u32::from(*d) * w).sum();
    let expected = match 11 - sum % 11 {
        11 => 0,
        rest => rest,
    };
    let given = if check.eq_ignore_ascii_case("k") { Some(10) } else { check.parse().ok() };
    digits.len() >= 7 && given == Some(expected)
}

/// Argentina: modulo 11 with weights 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1.
pub(super) fn argentine_cuil(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    digits.len() == 11 && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// Romania: modulo 11 with weights 279146358279; 10 counts as 1.
pub(super) fn romanian_cnp(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    if digits.len() != 13 || !is_date(two(digits, 3), two(digits, 5)) {
        return false;
    }
    let rest = weighted(&digits[..12], &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    u32::from(digits[12]) == if rest == 10 { 1 } else { rest }
}

/// South Africa: a birth date, and Luhn's check digit.
pub(super) fn south_african_id(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    digits.len() == 13 && is_date(two(digits, 2), two(digits, 4)) && luhn(digits)
}

/// Croatia: ISO 7064, modulo 11, 10.
pub(super) fn croatian_oib(digits: &Digits) -> bool {
    digits.as_slice().len() == 11 && mod_11_10(digits.as_slice())
}

/// Estonia and Lithuania: modulo 11 with weights from 1, and from 3 if that leaves 10.
pub(super) fn baltic_code(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    if digits.len() != 11 || !is_date(two(digits, 3), two(digits, 5)) {
        return false;
    }
    let first = weighted(&digits[..10], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
    let second = weighted(&digits[..10], &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11;
    let check = if first < 10 { first } else { second % 10 };
    u32::from(digits[10]) == check
}

/// Turkey: the tenth digit from odd and even places, the eleventh from the sum.
pub(super) fn turkish_tckn(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let odd: i32 = digits[..9].iter().step_by(2).map(|d| i32::from(*d)).sum();
    let even: i32 = digits[1..8].iter().step_by(2).map(|d| i32::from(*d)).sum();
    let sum: i32 = digits[..10].iter().map(|d| i32::from(*d)).sum();
    (odd * 7 - even).rem_euclid(10) == i32::from(digits[9]) && sum % 10 == i32::from(digits[10])
}

/// Mexico: modulo 10 over places from 18 down, with Ñ between N and O.
pub(super) fn mexican_curp(value: &str) -> bool {
    let bytes = value.as_bytes();
    let number = |byte: u8| match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'N' => u32::from(byte - b'A') + 10,
        _ => u32::from(byte.saturating_sub(b'A')) + 11,
    };
    let sum: u32 =
        bytes.iter().take(17).zip((2..=18).rev()).map(|(byte, weight)| number(*byte) * weight).sum();
    bytes.len() == 18 && (10 - sum % 10) % 10 == number(bytes[17])
}

/// Czechia and Slovakia: a birth date, women's months plus 50, and divisible by 11.
pub(super) fn czech_birth_number(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    if digits.len() != 10 {
        return false;
    }
    let month = two(digits, 2) % 50;
    let month = if month > 20 { month - 20 } else { month };
    let number = digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(*digit));
    is_date(month, two(digits, 4)) && number % 11 == 0
}

/// Bulgaria: modulo 11 with weights 2, 4, 8, 5, 10, 9, 7, 3, 6.
pub(super) fn bulgarian_egn(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    if digits.len() != 10 {
        return false;
    }
    let month = two(digits, 2) % 20;
    let check = weighted(&digits[..9], &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10;
    is_date(month, two(digits, 4)) && u32::from(digits[9]) == check
}

/// Ireland: weights 8 to 2, a second letter counts nine times, modulo 23.
pub(super) fn irish_pps(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits: Vec<u8> = bytes.iter().take(7).map(|b| b.wrapping_sub(b'0')).collect();
    let letter = |byte: Option<&u8>| byte.map_or(0, |byte| u32::from(byte.saturating_sub(b'@')) % 23);
    let sum = weighted(&digits, &[8, 7, 6, 5, 4, 3, 2]) + 9 * letter(bytes.get(8));
    digits.len() == 7 && letter(bytes.get(7)) == sum % 23
}

/// Thailand: modulo 11 with weights 13 down to 2.
pub(super) fn thai_id(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    digits.len() == 13
        && (11 - weighted(&digits[..12], &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 10
            == u32::from(digits[12])
}

/// Austria: the fourth digit checks the others, modulo 11; a birth date comes last.
pub(super) fn austrian_svnr(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    digits.len() == 10
        && (1..=31).contains(&two(digits, 4))
        && (1..=15).contains(&two(digits, 6))
        && weighted(digits, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == u32::from(digits[3])
}

/// Japan: modulo 11 with weights 6 to 2, 7 to 2.
pub(super) fn japanese_my_number(digits: &Digits) -> bool {
    let digits = digits.as_slice();
    if digits.len() != 12 {
        return false;
    }
    let rest = weighted(&digits[..11], &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    u32::from(digits[11]) == if rest <= 1 { 0 } else { 11 - rest }
}

/// Taiwan: the letter is two digits; modulo 10 with weights 1, 9 to 1, 1.
pub(super) fn taiwanese_id(value: &str) -> bool {
    // A is 10, and I, O, W, X, Y, Z come out of their order.
    const LETTERS: &[u8; 26] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let [letter, number @ ..] = value.as_bytes() else { return false };
    let Some(place) = (10_u32..).zip(LETTERS).find(|(_, known)| *known == letter).map(|(place, _)| place)
    else {
        return false;
    };
    let digits: Vec<u8> = number.iter().map(|b| b.wrapping_sub(b'0')).collect();
    digits.len() == 9
        && (place / 10 + place % 10 * 9 + weighted(&digits, &[8, 7, 6, 5, 4, 3, 2, 1, 1])).is_multiple_of(10)
}

/// Israel: Luhn over nine digits.
pub(super) fn israeli_id(digits: &Digits) -> bool {
    digits.as_slice().len() == 9 && luhn(digits.as_slice())
}
