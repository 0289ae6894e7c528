//! Base64, leniently: with or without padding, in either alphabet. And where such words are in a text.

use std::ops::Range;

/// The value of a base64 digit of either alphabet.
const fn digit(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => 255,
    }
}

static DIGITS: [u8; 256] = {
    let mut table = [255; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = digit(byte);
        if byte == 255 {
            break table;
        }
        byte += 1;
    }
};

/// What `text` decodes to; none if a character is not of the alphabet.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let padding = text.iter().rev().take(2).take_while(|&&b| b == b'=').count();
    let text = &text[..text.len() - padding];
    if text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.chunks(4) {
        let mut bits = 0_u32;
        for &byte in chunk {
            let digit = DIGITS[usize::from(byte)];
            if digit == 255 {
                return None;
            }
            bits = bits << 6 | u32::from(digit);
        }
        bits <<= 6 * (4 - chunk.len());
        let [_, first, second, third] = bits.to_be_bytes();
        bytes.extend_from_slice(&[first, second, third][..chunk.len() - 1]);
    }
    Some(bytes)
}

/// The shortest word that is decoded, in characters: 12 bytes, an email or a short password.
const SHORTEST: usize = 20;
/// How many bytes are looked at together.
const BLOCK: usize = 8;
/// The longest: a longer one is a file, whose text is not a prompt's.
const LONGEST: usize = 16 * 1024;

/// Words of base64 in `text` that decode to text, with what they decode to.
///
/// Only every eighth byte's block of eight is looked at: a word of [`SHORTEST`] characters holds one whole.
pub(super) fn words(text: &str, mut each: impl FnMut(Range<usize>, &str)) {
    let bytes = text.as_bytes();
    let is_digit = |b: &u8| DIGITS[usize::from(*b)] != 255;
    let mut past = 0;
    for (index, block) in bytes.as_chunks::<BLOCK>().0.iter().enumerate() {
        let probe = index * BLOCK;
        if probe < past || has_low_byte(u64::from_le_bytes(*block)) || !block.iter().all(is_digit) {
            continue;
        }
        let start = probe - bytes[past..probe].iter().rev().take_while(|b| is_digit(b)).count();
        let end = probe + bytes[probe..].iter().take_while(|b| is_digit(b)).count();
        if (SHORTEST..=LONGEST).contains(&(end - start)) {
            let end = end + bytes[end..].iter().take(2).take_while(|&&b| b == b'=').count();
            if let Some(decoded) = decoded_text(&bytes[start..end]) {
                each(start..end, &decoded);
            }
        }
        past = end;
    }
}

/// Whether a byte of `block` is less than `+`, the least digit: blanks, line ends, most punctuation.
fn has_low_byte(block: u64) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    block.wrapping_sub(EACH * 0x2b) & !block & (EACH * 0x80) != 0
}

/// What a word decodes to, if that is printable text.
fn decoded_text(word: &[u8]) -> Option<String> {
    // The first byte is a character below 0x80: its digit is of the alphabet's first half.
    if DIGITS[usize::from(word[0])] >= 32 {
        return None;
    }
    let printable = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    let head = base64(&word[..word.len().min(12) / 4 * 4])?;
    if !head.iter().all(printable) {
        return None;
    }
    let cut = word.iter().position(|&b| b == b'=').unwrap_or(word.len());
    let whole = if cut % 4 == 1 { cut - 1 } else { cut };
    let bytes = base64(&word[..whole])?;
    bytes.iter().all(printable).then(|| String::from_utf8(bytes).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_the_standard_shows() {
        // RFC 4648, section 10.
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        assert_eq!(base64(b"Zg").as_deref(), Some(b"f".as_slice()));
        assert_eq!(base64(b"Z"), None);
        assert_eq!(base64(b"Zg!="), None);
    }

    #[test]
    fn finds_words_of_text_and_no_others() {
        let mut found = Vec::new();
        let text = "see aGVsbG8gd29ybGQgb2YgdGV4dA== and 0123456789abcdef0123456789abcdef";
        words(text, |range, decoded| found.push((range, decoded.to_owned())));
        assert_eq!(found, [(4..32, "hello world of text".to_owned())]);
    }
}
