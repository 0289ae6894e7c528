//! National identification numbers, by their published checksums.

use super::checksum::{Digits, luhn, mod_11_10, verhoeff};

/// A day of a month, of some year.
fn is_day(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Spain, DNI and NIE: the letter is the number modulo 23 (Real Decreto 1553/2005).
pub(super) fn spanish_dni(value: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let plain: Vec<u8> =
        value.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect();
    let Some((&letter, number)) = plain.split_last() else { return false };
    let number: Option<u64> = number.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'9' => Some(sum * 10 + u64::from(byte - b'0')),
        b'X' => Some(0),
        b'Y' => Some(1),
        b'Z' => Some(2),
        _ => None,
    });
    let letter_of = |number: u64| LETTERS[usize::try_from(number % 23).unwrap_or_default()];
    plain.len() == 9 && number.is_some_and(|number| number > 0 && letter_of(number) == letter)
}

/// Italy: the last letter is a sum modulo 26 with a table for odd places (D.M. 12 marzo 1974).
pub(super) fn codice_fiscale(value: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let bytes = value.to_ascii_uppercase().into_bytes();
    if bytes.len() != 16 {
        return false;
    }
    let place = |byte: u8| match byte {
        b'0'..=b'9' => Some(usize::from(byte - b'0')),
        b'A'..=b'Z' => Some(usize::from(byte - b'A')),
        _ => None,
    };
    let sum: Option<u32> = bytes[..15].iter().enumerate().try_fold(0, |sum, (at, &byte)| {
        let value = place(byte)?;
        let weight = if at % 2 == 0 { ODD[value] } else { u32::try_from(value).ok()? };
        Some(sum + weight)
    });
    sum.is_some_and(|sum| u32::from(bytes[15].wrapping_sub(b'A')) == sum % 26)
}

/// Germany: eleven digits, ISO 7064 MOD 11,10, none of the first ten more than three times
/// (Steuerdaten-Übermittlungsverordnung). That exactly one of them repeats is not asked: a word says what it is.
pub(super) fn german_tax_id(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 11 || all[0] == 0 {
        return false;
    }
    let mut counts = [0_u8; 10];
    for &digit in &all[..10] {
        counts[usize::from(digit)] += 1;
    }
    counts.iter().all(|&count| count <= 3) && mod_11_10(all)
}

/// The Netherlands: the eleven test.
pub(super) fn dutch_bsn(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 9 || digits.all_same() {
        return false;
    }
    let sum = digits.weighted(&[9, 8, 7, 6, 5, 4, 3, 2]);
    sum % 11 == u32::from(all[8])
}

/// Belgium: 97 less the first nine digits modulo 97, with a 2 before them for births since 2000.
pub(super) fn belgian_rrn(digits: &Digits) -> bool {
    if digits.as_slice().len() != 11 {
        return false;
    }
    let (body, check) = (digits.number(0, 9), digits.number(9, 11));
    let month = digits.number(2, 4) % 20;
    (is_day(month, digits.number(4, 6)) || month == 0)
        && (97 - body % 97 == check || 97 - (2_000_000_000 + body) % 97 == check)
}

/// Poland: weights 1 3 7 9, and a date with the century in the month (Ustawa o ewidencji ludności).
pub(super) fn polish_pesel(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 11 {
        return false;
    }
    let sum = digits.weighted(&[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    is_day(digits.number(2, 4) % 20, digits.number(4, 6)) && (10 - sum % 10) % 10 == u32::from(all[10])
}

/// A check digit of Brazil: the weighted sum modulo 11; 10 counts as 0.
fn brazilian_digit(digits: &Digits, weights: &[u32]) -> u32 {
    match digits.weighted(weights) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    }
}

/// Brazil, persons: two check digits (Receita Federal).
pub(super) fn brazilian_cpf(digits: &Digits) -> bool {
    let all = digits.as_slice();
    all.len() == 11
        && !digits.all_same()
        && brazilian_digit(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(all[9])
        && brazilian_digit(digits, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(all[10])
}

/// Brazil, companies: two check digits (Receita Federal).
pub(super) fn brazilian_cnpj(digits: &Digits) -> bool {
    let all = digits.as_slice();
    all.len() == 14
        && !digits.all_same()
        && brazilian_digit(digits, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(all[12])
        && brazilian_digit(digits, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == u32::from(all[13])
}

/// France: 97 less the first 13 digits modulo 97; Corsica's 2A and 2B count as 19 and 18 (INSEE).
pub(super) fn french_nir(value: &str) -> bool {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.len() != 15 {
        return false;
    }
    let numeric = plain.to_ascii_uppercase().replacen("2A", "19", 1).replacen("2B", "18", 1);
    let digits = Digits::of(&numeric);
    if digits.as_slice().len() != 15 {
        return false;
    }
    let month = digits.number(3, 5);
    let known_month = (1..=12).contains(&month) || (20..=42).contains(&month) || (50..=99).contains(&month);
    matches!(digits.number(0, 1), 1..=4 | 7 | 8)
        && known_month
        && 97 - digits.number(0, 13) % 97 == digits.number(13, 15)
}

/// The United Kingdom, national insurance: letters that are given out (HMRC, NIM39110).
pub(super) fn british_nino(value: &str) -> bool {
    let plain: Vec<u8> =
        value.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect();
    let [first, second, digits @ .., last] = plain.as_slice() else { return false };
    let never: &[&[u8; 2]] = &[b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"];
    digits.len() == 6
        && digits.iter().all(u8::is_ascii_digit)
        && first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !b"DFIQUV".contains(first)
        && !b"DFIQUVO".contains(second)
        && !never.contains(&&[*first, *second])
        && (b'A'..=b'D').contains(last)
}

/// The United Kingdom, NHS number: modulo 11 (NHS Data Dictionary).
pub(super) fn british_nhs(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 10 || digits.all_same() {
        return false;
    }
    let check = 11 - digits.weighted(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    check != 10 && check % 11 == u32::from(all[9])
}

/// Sweden: Luhn over the last ten digits, and a date; coordination numbers add 60 to the day.
pub(super) fn swedish_personnummer(digits: &Digits) -> bool {
    let all = digits.as_slice();
    let short = match all.len() {
        10 => all,
        12 if matches!(digits.number(0, 2), 18..=20) => &all[2..],
        _ => return false,
    };
    let two = |at: usize| u64::from(short[at]) * 10 + u64::from(short[at + 1]);
    is_day(two(2), if two(4) > 60 { two(4) - 60 } else { two(4) }) && luhn(short)
}

/// India: Verhoeff, and no 0 or 1 first (UIDAI).
pub(super) fn aadhaar(digits: &Digits) -> bool {
    let all = digits.as_slice();
    all.len() == 12 && all[0] >= 2 && !digits.all_same() && verhoeff(all)
}

/// Canada: Luhn; 0 and 8 are not given to persons.
pub(super) fn canadian_sin(digits: &Digits) -> bool {
    let all = digits.as_slice();
    all.len() == 9 && !matches!(all[0], 0 | 8) && !digits.all_same() && luhn(all)
}

/// Australia: weights, modulo 11 (Australian Taxation Office).
pub(super) fn australian_tfn(digits: &Digits) -> bool {
    digits.as_slice().len() == 9
        && !digits.all_same()
        && digits.weighted(&[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

/// Finland: the sign is the number modulo 31.
pub(super) fn finnish_hetu(value: &str) -> bool {
    const SIGNS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let bytes = value.as_bytes();
    if bytes.len() != 11 {
        return false;
    }
    let digits = Digits::of(&value[..10]);
    digits.as_slice().len() == 9
        && is_day(digits.number(2, 4), digits.number(0, 2))
        && SIGNS[usize::try_from(digits.number(0, 9) % 31).unwrap_or_default()] == bytes[10]
}

/// Norway: two check digits modulo 11; D-numbers add 40 to the day.
pub(super) fn norwegian_fnr(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 11 {
        return false;
    }
    let check = |weights: &[u32]| (11 - digits.weighted(weights) % 11) % 11;
    is_day(digits.number(2, 4), digits.number(0, 2) % 40)
        && check(&[3, 7, 6, 1, 8, 9, 4, 5, 2]) == u32::from(all[9])
        && check(&[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) == u32::from(all[10])
}

/// Denmark: a date; the old check digit no longer holds since 2007, so a word must say what it is.
pub(super) fn danish_cpr(digits: &Digits) -> bool {
    digits.as_slice().len() == 10 && is_day(digits.number(2, 4), digits.number(0, 2))
}

/// Portugal: modulo 11; 1, 2 and 3 are given to persons.
pub(super) fn portuguese_nif(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 9 || !matches!(all[0], 1..=3) {
        return false;
    }
    let rest = digits.weighted(&[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    u32::from(all[8]) == if rest < 2 { 0 } else { 11 - rest }
}

/// Switzerland: 756, and the check digit of EAN-13.
pub(super) fn swiss_ahv(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 13 || digits.number(0, 3) != 756 {
        return false;
    }
    digits.weighted(&[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// China: ISO 7064 MOD 11-2, and a date (GB 11643-1999).
pub(super) fn chinese_id(value: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: &[u8; 11] = b"10X98765432";
    let bytes = value.as_bytes();
    if bytes.len() != 18 {
        return false;
    }
    let digits = Digits::of(&value[..17]);
    digits.as_slice().len() == 17
        && matches!(digits.number(6, 8), 18..=20)
        && is_day(digits.number(10, 12), digits.number(12, 14))
        && CHECKS[usize::try_from(digits.weighted(&WEIGHTS) % 11).unwrap_or_default()]
            == bytes[17].to_ascii_uppercase()
}

/// South Korea: a date, and weights modulo 11.
pub(super) fn korean_rrn(digits: &Digits) -> bool {
    let all = digits.as_slice();
    if all.len() != 13 || !(1..=8).contains(&all[6]) {
        return false;
    }
    let sum = digits.weighted(&[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    is_day(digits.number(2, 4), digits.number(4, 6)) && (11 - sum % 11) % 10 == u32::from(all[12])
}

/// The machine-readable zone of a passport, second line: weights 7 3 1 over number, dates, and all of it
/// (ICAO Doc 9303, part 4).
pub(super) fn mrz(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() != 44 {
        return false;
    }
    let check = |fields: &[&[u8]], digit: u8| {
        let weights = [7_u32, 3, 1].into_iter().cycle();
        let sum: u32 =
            fields.concat().iter().zip(weights).map(|(&byte, weight)| mrz_value(byte) * weight).sum();
        u32::from(digit.wrapping_sub(b'0')) == sum % 10 || digit == b'<' && sum == 0
    };
    check(&[&bytes[..9]], bytes[9])
        && check(&[&bytes[13..19]], bytes[19])
        && check(&[&bytes[21..27]], bytes[27])
        && check(&[&bytes[..10], &bytes[13..20], &bytes[21..43]], bytes[43])
}

fn mrz_value(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A'..=b'Z' => u32::from(byte - b'A') + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(check: fn(&Digits) -> bool, right: &[&str], wrong: &[&str]) {
        for value in right {
            assert!(check(&Digits::of(value)), "{value}");
        }
        for value in wrong {
            assert!(!check(&Digits::of(value)), "{value}");
        }
    }

    fn texts(check: fn(&str) -> bool, right: &[&str], wrong: &[&str]) {
        for value in right {
            assert!(check(value), "{value}");
        }
        for value in wrong {
            assert!(!check(value), "{value}");
        }
    }

    // The values are the issuers' own specimens, or the ones that the checksums' descriptions work out.
    #[test]
    fn published_numbers_pass_and_their_neighbours_fail() {
        numbers(
            german_tax_id,
            &["86095742719", "47036892816", "65929970489"],
            &["86095742718", "01234567890"],
        );
        numbers(dutch_bsn, &["111222333", "123456782"], &["111222334", "000000000"]);
        numbers(belgian_rrn, &["85073003328", "17073003384"], &["85073003329"]);
        numbers(polish_pesel, &["44051401359", "02070803628"], &["44051401358", "44991401359"]);
        numbers(brazilian_cpf, &["111.444.777-35", "529.982.247-25"], &["111.444.777-36", "111.111.111-11"]);
        numbers(brazilian_cnpj, &["11.222.333/0001-81"], &["11.222.333/0001-82"]);
        numbers(british_nhs, &["943 476 5919"], &["943 476 5918"]);
        numbers(swedish_personnummer, &["811218-9876", "19811218-9876"], &["811218-9877", "811318-9876"]);
        numbers(aadhaar, &["2341 2341 2346"], &["2341 2341 2347", "1341 2341 2346"]);
        numbers(canadian_sin, &["130 692 544"], &["130 692 545", "046 454 286"]);
        numbers(australian_tfn, &["123 456 782", "876 543 210"], &["123 456 783"]);
        numbers(portuguese_nif, &["123456789"], &["123456788"]);
        numbers(swiss_ahv, &["756.9217.0769.85"], &["756.9217.0769.84"]);
    }

    #[test]
    fn published_texts_pass_and_their_neighbours_fail() {
        texts(spanish_dni, &["12345678Z", "X1234567L"], &["12345678A", "1234567Z"]);
        texts(codice_fiscale, &["RSSMRA85T10A562S"], &["RSSMRA85T10A562T", "RSSMRA85T10A562"]);
        texts(french_nir, &["2 55 08 14 168 025 38", "255081416802538"], &["255081416802539"]);
        texts(british_nino, &["AB123456C", "AB 12 34 56 C"], &["BG123456A", "AB123456E", "DA123456C"]);
        texts(finnish_hetu, &["131052-308T"], &["131052-308U"]);
        texts(chinese_id, &["11010519491231002X"], &["110105194912310021"]);
        texts(
            mrz,
            &["L898902C36UTO7408122F1204159ZE184226B<<<<<10"],
            &["L898902C36UTO7408122F1204159ZE184226B<<<<<11"],
        );
    }
}
