//! Examples as values: what stands for random characters becomes some, the same each time.

use super::validators::checksum;
use sha2::{Digest as _, Sha256};

const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkmnlopqrstuvwxyz";

/// Random enough, and the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: &str) -> Self {
        Self(seed.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        (0..length).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }
}

/// The example that `template` describes: `·` is left out, `${kind:argument}` is made.
pub(super) fn expand(template: &str, seed: &str) -> String {
    let mut random = Random::new(&format!("{seed}/{template}"));
    let mut made = String::new();
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        made.push_str(&rest[..at]);
        let close = at + rest[at..].find('}').expect("an end");
        match make(&rest[at + 2..close], &mut random) {
            Some(text) => made.push_str(&text),
            None => made.push_str(&rest[at..=close]),
        }
        rest = &rest[close + 1..];
    }
    made.push_str(rest);
    made.replace('·', "")
}

fn make(what: &str, random: &mut Random) -> Option<String> {
    let (kind, argument) = what.split_once(':').unwrap_or((what, ""));
    let length = || argument.parse().expect("a length");
    let alphabet = match kind {
        "base62" => BASE62,
        "base64" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "base58" => "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
        "base32" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "bech32" => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
        "alpha" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "upper" => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "lower" => "abcdefghijklmnopqrstuvwxyz0123456789",
        "hex" => "0123456789abcdef",
        "HEX" => "0123456789ABCDEF",
        "digits" => "123456789",
        "password" => {
            return Some(format!(
                "{}7!{}",
                random.text("bcdfghkmnpqrstvwxzBCDFGHKMNPQRSTVWXZ", 6),
                random.text("2345689", 3)
            ));
        }
        "github" => return Some(github(argument, random)),
        "luhn" => return Some(luhn(argument, random)),
        "jwt" => return Some(jwt(random)),
        "wif" => return Some(wif(random)),
        "b64" => return Some(base64(argument.as_bytes())),
        _ => return None,
    };
    Some(random.text(alphabet, length()))
}

fn github(prefix: &str, random: &mut Random) -> String {
    let body = random.text(BASE62, 30);
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut sum = usize::try_from(checksum::crc32(body.as_bytes())).expect("32 bits");
    let mut check = [0; 6];
    for place in check.iter_mut().rev() {
        *place = digits[sum % 62];
        sum /= 62;
    }
    format!("{prefix}{body}{}", String::from_utf8_lossy(&check))
}

/// `prefix:length`: random digits after the prefix, and the check digit.
fn luhn(argument: &str, random: &mut Random) -> String {
    let (prefix, length) = argument.split_once(':').expect("a prefix and a length");
    let body = random.text("0123456789", length.parse::<usize>().expect("a length") - prefix.len() - 1);
    (0..10)
        .map(|check| format!("{prefix}{body}{check}"))
        .find(|number| checksum::luhn(checksum::Digits::of(number).as_slice()))
        .expect("one of ten")
}

fn jwt(random: &mut Random) -> String {
    let part = |json: &str| {
        base64(json.as_bytes()).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
    };
    let payload = format!(r#"{{"sub":"{}","exp":1893456000}}"#, random.text(BASE62, 12));
    format!("{}.{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(&payload), random.text(BASE62, 43))
}

/// A compressed key: 0x80, 32 random bytes, 0x01, four bytes of a double SHA-256; in base 58.
fn wif(random: &mut Random) -> String {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = vec![0x80];
    bytes.extend((0..32).map(|_| u8::try_from(random.below(256)).expect("a byte")));
    bytes.push(1);
    let check = Sha256::digest(Sha256::digest(&bytes));
    bytes.extend_from_slice(&check[..4]);
    let mut text = Vec::new();
    while bytes.iter().any(|&byte| byte > 0) {
        let mut rest = 0;
        for byte in &mut bytes {
            let value = rest * 256 + usize::from(*byte);
            *byte = u8::try_from(value / 58).expect("less than 256");
            rest = value % 58;
        }
        text.push(char::from(ALPHABET[rest]));
    }
    text.into_iter().rev().collect()
}

/// RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3)
            .fold(0_usize, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or_default()));
        for place in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= chunk.len() { digit } else { '=' });
        }
    }
    text
}
