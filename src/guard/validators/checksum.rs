//! Checksums that several formats share.

/// The decimal digits of a value, without what separates them; at most 24.
#[derive(Debug, Clone, Copy)]
pub(in crate::guard) struct Digits {
    digits: [u8; 24],
    length: usize,
}

impl Digits {
    /// The digits in `text`; more than 24 are none.
    pub fn of(text: &str) -> Self {
        let mut all = Self { digits: [0; 24], length: 0 };
        for byte in text.bytes().filter(u8::is_ascii_digit) {
            if all.length == all.digits.len() {
                return Self { digits: [0; 24], length: 0 };
            }
            all.digits[all.length] = byte - b'0';
            all.length += 1;
        }
        all
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.digits[..self.length]
    }

    /// Whether all are the same digit.
    pub fn all_same(&self) -> bool {
        self.as_slice().windows(2).all(|pair| pair[0] == pair[1])
    }

    /// The number that the digits from `start` to `end` spell.
    pub fn number(&self, start: usize, end: usize) -> u64 {
        self.as_slice()[start..end].iter().fold(0, |sum, &digit| sum * 10 + u64::from(digit))
    }

    /// The sum of the first digits, each times its weight.
    pub fn weighted(&self, weights: &[u32]) -> u32 {
        self.as_slice().iter().zip(weights).map(|(&digit, weight)| u32::from(digit) * weight).sum()
    }
}

/// The Luhn checksum (ISO/IEC 7812-1, annex B).
pub(in crate::guard) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit)) {
            (1, digit) if digit > 4 => digit * 2 - 9,
            (1, digit) => digit * 2,
            (_, digit) => digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The Verhoeff checksum over the dihedral group of order 10 (Verhoeff 1969).
pub(in crate::guard) fn verhoeff(digits: &[u8]) -> bool {
    const TIMES: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const MOVED: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let product = digits.iter().rev().enumerate().fold(0_u8, |product, (place, &digit)| {
        TIMES[usize::from(product)][usize::from(MOVED[place % 8][usize::from(digit)])]
    });
    product == 0
}

/// ISO/IEC 7064 MOD 11,10, of German tax ids.
pub(in crate::guard) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((&check, body)) = digits.split_last() else { return false };
    let product = body.iter().fold(10, |product, &digit| {
        let sum = (u32::from(digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(check)
}

/// ISO 13616: an IBAN without blanks, country and check digits moved to the end, modulo 97.
pub(in crate::guard) fn iban_mod_97(iban: &[u8]) -> bool {
    let rotated = iban.iter().skip(4).chain(iban.iter().take(4));
    let mut rest = 0_u32;
    for &byte in rotated {
        rest = match byte {
            b'0'..=b'9' => rest * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(byte - b'A') + 10,
            _ => return false,
        } % 97;
    }
    rest == 1
}

/// The tokens of GitHub and npm end in the CRC-32 of their random part, as six digits of base 62
/// (GitHub's announcement of the format, 5 April 2021).
pub(in crate::guard) fn github(token: &str) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((_, random)) = token.split_once('_') else { return false };
    let Some((body, check)) = random.len().checked_sub(6).and_then(|at| random.split_at_checked(at)) else {
        return false;
    };
    let mut rest = crc32(body.as_bytes());
    check.bytes().rev().all(|byte| {
        let digit = DIGITS[usize::try_from(rest % 62).unwrap_or_default()];
        rest /= 62;
        digit == byte
    })
}

/// CRC-32 as in ISO 3309, bit by bit: tokens are short, and a table would be read from nowhere near.
pub(in crate::guard) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, &byte| {
        (0..8).fold(
            sum ^ u32::from(byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        Digits::of(text).as_slice().to_vec()
    }

    #[test]
    fn luhn_of_the_standard() {
        // ISO/IEC 7812-1's and the schemes' published test numbers.
        for number in ["7992739871·3", "4111 1111 1111 1111", "378282246310005", "6011111111111117"] {
            assert!(luhn(&digits(number)), "{number}");
        }
        assert!(!luhn(&digits("79927398710")));
    }

    #[test]
    fn verhoeff_of_the_paper() {
        assert!(verhoeff(&digits("2363")));
        assert!(verhoeff(&digits("123451")));
        assert!(!verhoeff(&digits("2364")));
    }

    #[test]
    fn mod_11_10_of_the_tax_office() {
        // The Federal Central Tax Office's test numbers.
        assert!(mod_11_10(&digits("86095742719")));
        assert!(mod_11_10(&digits("47036892816")));
        assert!(!mod_11_10(&digits("86095742718")));
    }

    #[test]
    fn iban_of_the_registry() {
        for iban in ["GB82WEST12345698765432", "DE89370400440532013000", "FR1420041010050500013M02606"] {
            assert!(iban_mod_97(iban.as_bytes()), "{iban}");
        }
        assert!(!iban_mod_97(b"GB83WEST12345698765432"));
        assert!(!iban_mod_97(b"GB82WEST1234569876543!"));
    }

    #[test]
    fn crc_of_the_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
