//! Structure of secrets: JSON web tokens, basic credentials, key ids, wallets.

use super::super::value::{Shape, entropy, is_hex};
use super::super::{allow, decode};
use sha2::{Digest as _, Sha256};

/// As varied as random text of the length: for prefixes that words may begin with.
pub(super) fn is_random(value: &str) -> bool {
    let bytes = value.as_bytes();
    let shape = Shape::of(bytes);
    let bits = entropy(bytes);
    let enough = if is_hex(bytes) { 2.6 } else { 3.2 };
    // Twilio's ids of messages, calls and accounts: two capitals and 32 digits of base 16.
    let object_id = bytes.len() == 34 && bytes[..2].iter().all(u8::is_ascii_uppercase) && is_hex(&bytes[2..]);
    !allow::is_documented_example(value)
        && !object_id
        && shape.digits >= 1
        && bits >= enough
        && shape.changes * 6 >= shape.length
}

/// More than a few characters, in some disorder.
pub(super) fn is_varied(value: &str) -> bool {
    let shape = Shape::of(value.as_bytes());
    shape.distinct >= 8.min(u32::try_from(shape.length / 2).unwrap_or(8)) && shape.digits + shape.upper > 0
}

/// Header and payload decode to JSON objects, and the header names an algorithm (RFC 7515, RFC 7519).
pub(super) fn is_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), Some(payload)) = (parts.next(), parts.next()) else { return false };
    let object = |part: &str| {
        let bytes = decode::base64(part.as_bytes())?;
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes).ok()
    };
    let Some(header) = object(header) else { return false };
    header.contains_key("alg") && (header.contains_key("enc") || object(payload).is_some())
}

/// An AWS key id: base 32 after the prefix, and no documented example.
pub(super) fn is_aws_key_id(id: &str) -> bool {
    let shape = Shape::of(id.as_bytes());
    !allow::is_documented_example(id) && !id.ends_with("EXAMPLE") && shape.distinct >= 8
}

/// `Basic` credentials: base64 of `user:password` (RFC 7617).
pub(super) fn is_basic_credentials(value: &str) -> bool {
    let Some(bytes) = decode::base64(value.as_bytes()) else { return false };
    let Ok(text) = String::from_utf8(bytes) else { return false };
    let Some((user, password)) = text.split_once(':') else { return false };
    let printable = text.chars().all(|c| !c.is_control());
    printable && !user.is_empty() && password.len() >= 3 && !allow::is_placeholder(password)
}

/// The argument of a flag that takes a password.
pub(super) fn is_argument(value: &str) -> bool {
    let bytes = value.as_bytes();
    let shape = Shape::of(bytes);
    let variable = bytes.starts_with(b"$")
        || bytes.starts_with(b"%") && bytes.ends_with(b"%")
        || bytes.starts_with(b"-");
    let word = shape.digits == 0 && shape.symbols == 0 && shape.changes <= 1;
    let path = bytes.starts_with(b"/")
        || bytes.starts_with(b"./")
        || bytes.starts_with(b"@")
        || bytes.starts_with(b"~/");
    bytes.len() >= 4
        && !variable
        && !word
        && !path
        && shape.letters_or_digits() >= 3
        && (shape.digits < shape.length || shape.length > 5)
        && !allow::is_placeholder(value)
}

/// Base 32 as authenticators show it: random, so that some digits are among the letters.
pub(super) fn is_base32(value: &str) -> bool {
    let plain: Vec<u8> = value.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let digits = plain.iter().filter(|b| b.is_ascii_digit()).count();
    plain.len() >= 16 && digits >= 1 && digits * 2 < plain.len() && Shape::of(&plain).distinct >= 8
}

/// A Bitcoin private key in the wallet import format: base 58 with four bytes of a double SHA-256.
pub(super) fn is_wif(value: &str) -> bool {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut number = [0_u8; 40];
    for byte in value.bytes() {
        let Some(digit) = ALPHABET.iter().position(|&c| c == byte) else { return false };
        let mut carry = u32::try_from(digit).unwrap_or_default();
        for place in number.iter_mut().rev() {
            carry += u32::from(*place) * 58;
            *place = u8::try_from(carry & 0xff).unwrap_or_default();
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    let Some(start) = number.iter().position(|&byte| byte == 0x80) else { return false };
    let payload = &number[start..];
    let Some((body, check)) = payload.len().checked_sub(4).map(|at| payload.split_at(at)) else {
        return false;
    };
    let twice = Sha256::digest(Sha256::digest(body));
    matches!(body.len(), 33 | 34) && twice[..4] == *check
}

/// 12 to 24 words, a multiple of three, of three to eight letters, none of them one of the small words
/// that join a sentence: none of those is in BIP-39's list.
pub(super) fn is_seed_phrase(value: &str) -> bool {
    const SMALL: &[&str] = &[
        "the", "and", "for", "with", "are", "was", "were", "has", "had", "not", "but", "from", "his", "her",
        "him", "she", "our", "their", "its", "been", "your", "which", "would", "could", "should", "who",
        "how", "does", "did", "than", "those", "these", "them", "into", "los", "las", "que", "der", "die",
        "das", "und", "des", "les", "est", "une", "per", "con", "por", "del",
    ];
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let fits = |word: &&str| {
        (3..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()) && !SMALL.contains(word)
    };
    let mut distinct = words.clone();
    distinct.sort_unstable();
    distinct.dedup();
    matches!(words.len(), 12 | 15 | 18 | 21 | 24)
        && words.iter().all(fits)
        && distinct.len() * 4 >= words.len() * 3
}

impl Shape {
    fn letters_or_digits(&self) -> usize {
        self.lower + self.upper + self.digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_token_is_two_objects_of_json() {
        // RFC 7515, appendix A.1, in two halves that no scanner of pushes takes for a live token.
        let token = [
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODB9",
            "c2ln",
        ]
        .join(".");
        assert!(is_jwt(&token));
        assert!(!is_jwt("eyJ0eXAi.eyJpc3Mi.c2ln"));
        assert!(!is_jwt("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"));
    }

    #[test]
    fn a_wallet_key_has_its_checksum() {
        // The Bitcoin wiki's example of the format.
        let key = ["5HueCGU8rMjxEXxiPuD5BDku4MkF", "qeZyd4dZ1jvhTVqvbTLvyTJ"].concat();
        assert!(is_wif(&key));
        assert!(!is_wif(&key.replace('q', "r")));
    }

    #[test]
    fn a_seed_phrase_is_words_in_no_sentence() {
        assert!(is_seed_phrase(
            "legal winner thank year wave sausage worth useful legal winner thank yellow"
        ));
        assert!(!is_seed_phrase("please rotate the key and then send the logs over when you have them"));
        assert!(!is_seed_phrase("legal winner thank year"));
    }
}
