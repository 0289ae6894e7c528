//! Words that look random and that nothing names: the lowest tier, reported and never blocked.

use super::super::assigned::Link;
use super::super::value;
use std::ops::Range;

/// The shortest and the longest word that is looked at, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=128;

/// Words that look random and that nothing names.
pub(super) fn scan_random(text: &str, mut each: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/' | b'=');
    let mut at = 0;
    while at < bytes.len() {
        let length = bytes[at..].iter().take_while(|b| is_part(b)).count();
        if LENGTHS.contains(&length) && looks_random(&text[at..at + length]) {
            each(at..at + length);
        }
        at += length.max(1);
        at += bytes[at.min(bytes.len())..].iter().take_while(|b| !is_part(b)).count();
    }
}

fn looks_random(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digest = ["sha256-", "sha384-", "sha512-", "sha1-"].iter().any(|prefix| word.starts_with(prefix));
    !digest
        && !value::is_hex(bytes)
        && !value::is_uuid(bytes)
        && !bytes.contains(&b'/')
        && value::is_key(word, Link::Said, true)
        && value::entropy(bytes) >= 4.0
}
