//! Whether a value that stands beside a key word is what the word says: a password, or a key.

mod looks;

use self::looks::{is_assignment, is_compound, is_expression, is_identifier, is_not_a_value, is_prose_thing};
use super::allow;
use super::assigned::Link;

pub(super) use self::looks::{is_hex, is_uuid};

/// Whether `bytes` are what most words of a sentence are: small letters, the first perhaps a capital, with
/// joints between them, but no phrase of words that are all long.
pub(super) fn is_plain_word(bytes: &[u8]) -> bool {
    let (mut joints, mut length, mut short) = (0, 0, false);
    let end = bytes.iter().rev().take_while(|b| b.is_ascii_punctuation()).count().min(2);
    let bytes = &bytes[..bytes.len() - end];
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'-' | b'.' | b':' | b',' | b'_' | b'/' | b'?' | b'!' | b')' if at > 0 => {
                joints += 1;
                short |= length < 3;
                length = 0;
            }
            _ if byte.is_ascii_lowercase() || *byte >= 0x80 || at == 0 => length += 1,
            _ => return false,
        }
    }
    joints <= 1 || joints <= 4 && (short || length < 3)
}

/// Whether `bytes` have a letter, a digit and a sign that sentences do not put into words.
pub(super) fn is_striking(bytes: &[u8]) -> bool {
    let sign = |b: &u8| matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'*' | b'?' | b'@' | b'^' | b'+');
    (8..=40).contains(&bytes.len())
        && bytes.iter().any(sign)
        && bytes.iter().any(u8::is_ascii_digit)
        && bytes.iter().any(u8::is_ascii_alphabetic)
        && !bytes.iter().any(|b| matches!(b, b'(' | b')' | b'/' | b'=' | b'<' | b'"' | b'[' | b'{'))
}

/// What a value is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    pub length: usize,
    pub lower: usize,
    pub upper: usize,
    pub digits: usize,
    /// ASCII that is neither letter nor digit.
    pub symbols: usize,
    /// Symbols other than `-`, `_`, `.`, `/` and `:`, which join words.
    pub odd: usize,
    /// Different bytes.
    pub distinct: u32,
    /// Changes between letters of a case, digits and symbols.
    pub changes: usize,
}

/// For each byte, what it is in the low bits (0 beyond ASCII, 1 a small letter, 2 a capital, 3 a digit, 4 a
/// joint, 5 another symbol), and above them what it counts as between two changes.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'a'..=b'z' => 0x11,
            b'A'..=b'Z' => 0x22,
            b'0'..=b'9' => 0x33,
            b'-' | b'_' | b'.' | b'/' | b':' => 0x44,
            0..=0x7f => 0x45,
            _ => 0x10,
        };
        if byte == 255 {
            break classes;
        }
        byte += 1;
    }
};

impl Shape {
    pub fn of(value: &[u8]) -> Self {
        let mut counts = [0_usize; 6];
        let mut seen = [0_u64; 4];
        let mut before = u8::MAX;
        let mut changes = 0;
        for &byte in value {
            seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
            let class = CLASSES[usize::from(byte)];
            counts[usize::from(class & 7)] += 1;
            // Joints and other symbols are one class here, letters beyond ASCII and small ones another.
            let kind = class >> 4;
            changes += usize::from(kind != before);
            before = kind;
        }
        Self {
            length: value.len(),
            lower: counts[1],
            upper: counts[2],
            digits: counts[3],
            symbols: counts[4] + counts[5],
            odd: counts[5],
            distinct: seen.iter().map(|bits| bits.count_ones()).sum(),
            changes: changes.saturating_sub(1),
        }
    }

    fn letters(&self) -> usize {
        self.lower + self.upper
    }
}

/// Bits of entropy a character, by the frequencies within `value`.
pub(super) fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in value {
        counts[usize::from(byte)] += 1;
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX).max(1));
    let share = |count: u32| f64::from(count) / total;
    -counts.iter().filter(|&&count| count > 0).map(|&count| share(count) * share(count).log2()).sum::<f64>()
}

/// Whether `value` can be the password that a key word names.
pub(super) fn is_password(value: &str, link: Link) -> bool {
    let bytes = value.as_bytes();
    if !(4..=200).contains(&bytes.len()) || !link.is_loose() && is_plain_word(bytes) {
        return false;
    }
    let shape = Shape::of(bytes);
    if shape.distinct < 4
        || has_key_word(bytes) && shape.odd == 0
        || bytes.contains(&b' ') && !is_spaced_password(bytes)
    {
        return false;
    }
    let fits = if link.is_loose() {
        assigned_password(bytes, &shape, link)
    } else {
        said_password(bytes, &shape, link)
    };
    fits && !is_not_a_value(bytes)
        && (link == Link::Quoted || !is_expression(bytes))
        && !allow::is_placeholder(value)
}

/// A password after an operator: most things that are no word, name or expression.
fn assigned_password(bytes: &[u8], shape: &Shape, link: Link) -> bool {
    if shape.letters() == 0 && shape.symbols == 0 {
        return shape.digits >= 6 && bytes.len() == shape.length && link == Link::Quoted;
    }
    let long_enough = shape.length >= if link == Link::Quoted { 5 } else { 6 };
    let mixed = shape.digits > 0 && shape.letters() > 0
        || shape.odd > 0 && shape.letters() + shape.digits >= 4
        || is_random_word(shape)
        || is_phrase(bytes, 3);
    long_enough && mixed && (is_phrase(bytes, 3) || !is_identifier(bytes, shape, link))
}

/// Whether words with blanks between them are a password: four small words or more, as dice choose them, or
/// up to three of which none is a word of a language. All else in quotation marks is a text to be shown.
fn is_spaced_password(bytes: &[u8]) -> bool {
    const SMALL: &[&[u8]] = &[
        b"the", b"your", b"you", b"is", b"must", b"a", b"to", b"and", b"or", b"not", b"be", b"for", b"of",
        b"in", b"no", b"with", b"this", b"at", b"are", b"der", b"das", b"ist", b"und", b"el", b"la", b"de",
        b"le", b"est",
    ];
    let mut words = bytes.split(|&b| b == b' ');
    let count = words.clone().count();
    let small = |word: &[u8]| (3..=10).contains(&word.len()) && word.iter().all(u8::is_ascii_lowercase);
    if count >= 4 {
        return words.all(|word| small(word) && !SMALL.contains(&word));
    }
    let ends = bytes.starts_with(b" ") || bytes.ends_with(b" ");
    !ends && !words.any(|word| word.len() < 2 || word.len() >= 3 && is_plain_word(word))
}

/// A password in prose: it must not look like anything else that a sentence may hold.
fn said_password(bytes: &[u8], shape: &Shape, link: Link) -> bool {
    if bytes.contains(&b'_') && shape.digits == 0 && shape.odd == 0 {
        return false;
    }
    let short_hash = is_hex(bytes) && shape.length <= 12;
    if shape.length < 6 || is_prose_thing(bytes, shape) || is_assignment(bytes) || short_hash {
        return false;
    }
    let symbols = shape.odd > 0 && shape.letters() >= 3 && (shape.digits > 0 || shape.length >= 8);
    let digits = shape.digits > 0 && shape.letters() >= 3;
    let both = shape.digits > 0 && shape.upper > 0 && shape.lower > 0 && shape.length >= 8;
    let enough = match link {
        Link::Adjacent => {
            symbols || both || digits && shape.digits >= 2 && shape.length >= 7 || is_phrase(bytes, 4)
        }
        _ => symbols || digits && (shape.digits >= 2 || shape.length >= 8) || is_phrase(bytes, 3),
    };
    enough || is_random_word(shape)
}

/// Whether `value` can be the key, token or secret that a key word names. `bare` words, such as `key`,
/// name many other things as well.
pub(super) fn is_key(value: &str, link: Link, bare: bool) -> bool {
    let bytes = value.as_bytes();
    if !(8..=4096).contains(&bytes.len()) || is_plain_word(bytes) || bytes.contains(&b' ') {
        return false;
    }
    let shape = Shape::of(bytes);
    shape.distinct >= 5
        && key_shaped(bytes, &shape, link, bare)
        && !is_not_a_value(bytes)
        && (link == Link::Quoted || !is_expression(bytes))
        && !allow::is_placeholder(value)
}

fn key_shaped(bytes: &[u8], shape: &Shape, link: Link, bare: bool) -> bool {
    let fingerprint = memchr::memchr_iter(b':', bytes).count() >= 8
        || bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b':') && bytes.contains(&b':');
    if fingerprint || is_compound(bytes) || link != Link::Quoted && is_assignment(bytes) {
        return false;
    }
    if shape.length < 16 {
        return !bare && link != Link::Adjacent && short_secret(bytes, shape, link);
    }
    if is_identifier(bytes, shape, link) && shape.odd == 0 {
        return false;
    }
    if shape.digits < 2 && !is_random_word(shape) {
        return shape.odd >= 2 && shape.letters() >= 8 && shape.distinct >= 10 && !bare;
    }
    if is_hex(bytes) || is_uuid(bytes) {
        let named = link != Link::Adjacent || !is_uuid(bytes) && (!bare || shape.length >= 32);
        return shape.distinct >= 8 && shape.length >= 20 && named;
    }
    let bits = entropy(bytes);
    shape.letters() >= 4
        && bits >= if bare { 3.4 } else { 3.0 }
        && !is_prose_thing(bytes, shape)
        && (shape.changes >= 4 || is_phrase(bytes, 4))
}

/// A secret too short for a generated key: then it must look like a password.
fn short_secret(bytes: &[u8], shape: &Shape, link: Link) -> bool {
    let varied =
        shape.letters() >= 3 && shape.digits >= 1 && (shape.odd > 0 || shape.upper > 0 && shape.lower > 0);
    varied && shape.changes >= 2 && !is_prose_thing(bytes, shape) && !is_identifier(bytes, shape, link)
}

/// Letters of both cases in an order no word has.
fn is_random_word(shape: &Shape) -> bool {
    shape.length >= 10 && shape.upper >= 3 && shape.lower >= 3 && shape.changes > shape.length / 3
}

/// At least `least` words, joined by one of `-`, `_`, `.` and spaces.
fn is_phrase(bytes: &[u8], least: usize) -> bool {
    let first = bytes.iter().find(|b| !b.is_ascii_alphanumeric());
    let Some(&joint @ (b'-' | b'.' | b'_')) = first else { return false };
    let mut words = 0;
    for part in bytes.split(|&b| b == joint) {
        let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if letters < if least < 4 { 4 } else { 3 }
            || letters > 10
            || part.len() - letters > 4
            || !part[letters..].iter().all(u8::is_ascii_digit)
        {
            return false;
        }
        words += 1;
    }
    let digits = bytes.iter().any(u8::is_ascii_digit);
    let most = if joint == b'.' { 0 } else { usize::MAX };
    words <= most && words >= least || words == least - 1 && digits
}

/// Whether the value names what it should be, as `db_password` or `my-token` do.
fn has_key_word(bytes: &[u8]) -> bool {
    [b"password".as_slice(), b"passwd", b"secret", b"token", b"api_key", b"apikey"]
        .iter()
        .any(|word| allow::contains_ignoring_case(bytes, word))
}
