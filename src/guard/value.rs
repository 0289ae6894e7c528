//! Whether a value that stands beside a key word is what the word says: a password, or a key.

use super::allow;
use super::assigned::Link;

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
    fits && !is_not_a_value(bytes) && !allow::is_placeholder(value)
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

/// `name=value`: what another name is given. The name is of one case, as random letters seldom are.
fn is_assignment(bytes: &[u8]) -> bool {
    let is_joint = |b: &u8| matches!(b, b'_' | b'.' | b'-');
    let name = bytes.iter().take_while(|b| b.is_ascii_alphabetic() || is_joint(b)).count();
    let one_case = |is_case: fn(&u8) -> bool| bytes[..name].iter().all(|b| is_case(b) || is_joint(b));
    name >= 3
        && (one_case(u8::is_ascii_lowercase) || one_case(u8::is_ascii_uppercase))
        && bytes.get(name) == Some(&b'=')
        && bytes
            .get(name + 1)
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'"' | b'\'' | b'$' | b'{'))
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
        && !allow::is_placeholder(value)
}

fn key_shaped(bytes: &[u8], shape: &Shape, link: Link, bare: bool) -> bool {
    let fingerprint = bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b':') && bytes.contains(&b':');
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

/// Expressions, paths, addresses, dates: things no password or key is.
fn is_not_a_value(bytes: &[u8]) -> bool {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    starts(b"http://")
        || starts(b"https://")
        || starts(b"./")
        || starts(b"../")
        || starts(b"~/")
        || starts(b"--")
        || starts(b"//")
        || is_path(bytes)
        || is_call(bytes)
        || is_borrowed(bytes)
        || is_date(bytes)
        || is_email(bytes)
        || holds_code(bytes)
}

/// `name(…`, `name[…`, `&Name`: an expression of a program.
fn is_call(bytes: &[u8]) -> bool {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    let bytes = bytes.strip_prefix(b"&mut ").or(bytes.strip_prefix(b"&")).unwrap_or(bytes);
    let name = bytes.iter().take_while(|b| is_name(b)).count();
    let (head, rest) = bytes.split_at(name);
    let inner =
        || rest[1..].iter().all(|b| is_name(b) || matches!(b, b',' | b' ' | b')' | b']' | b'"' | b'\''));
    name >= 2
        && matches!(rest.first(), Some(b'(' | b'['))
        && head.iter().all(|b| !b.is_ascii_digit())
        && (rest.len() == 1 || inner() && matches!(bytes.last(), Some(b')' | b']' | b'(' | b'[')))
        || name >= 2
            && head.iter().any(u8::is_ascii_lowercase)
            && matches!(rest.first(), Some(b'(' | b'['))
            && matches!(bytes.last(), Some(b')' | b']' | b'(' | b'}' | b';' | b',' | b'?'))
        || bytes.ends_with(b"()")
        || bytes.ends_with(b"()[")
        || bytes.ends_with(b"();")
        || name >= 2 && rest.first() == Some(&b'(') && matches!(bytes.last(), Some(b'=' | b','))
        || name >= 4 && rest.starts_with(b"(") && head.contains(&b'.')
        || names_next(bytes)
        || is_section(bytes)
        || bytes.strip_prefix(b"(").is_some_and(is_plain_word)
}

/// `[default]`: the head of a section.
fn is_section(bytes: &[u8]) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b' ');
    let section = bytes.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    section.is_some_and(|name| name.iter().all(word))
}

/// Whether a sign of a program is in `bytes`: of a URI, a template, a path of names, a regular expression.
fn holds_code(bytes: &[u8]) -> bool {
    bytes.windows(2).enumerate().any(|(at, two)| match two {
        b"${" | b"{{" | b"::" | b"->" | b"(?" | b"={" | b"\\s" | b"\\S" | b"\\d" | b"\\w" => true,
        b":/" => bytes.get(at + 2) == Some(&b'/'),
        b".." => bytes.get(at + 2) == Some(&b'.'),
        b":!" => matches!(bytes.get(at + 2), Some(b'0' | b'1')),
        _ => false,
    })
}

/// `autocomplete=`, `SECRET_KEY=`: the name of another value, which comes next.
fn names_next(bytes: &[u8]) -> bool {
    let Some(name) = bytes.trim_ascii_start().strip_suffix(b"=") else { return false };
    let one_case = name.iter().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'))
        || name.iter().all(|b| b.is_ascii_uppercase() || *b == b'_');
    name.len() >= 3 && one_case
}

/// `&Name`, `&'static str`: a borrowed thing's type.
fn is_borrowed(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"&").is_some_and(|rest| {
        let name = rest.strip_prefix(b"mut ").unwrap_or(rest);
        !name.is_empty()
            && name.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':' | b'\'' | b' '))
    })
}

fn is_path(bytes: &[u8]) -> bool {
    let joins = bytes.iter().filter(|&&b| b == b'/' || b == b'\\').count();
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'\\' | b'.' | b'_' | b'-' | b':' | b'~');
    bytes.first() == Some(&b'/') && bytes.iter().all(plain) && joins * 12 >= bytes.len()
        || joins >= 1
            && bytes.split(|b| matches!(b, b'/' | b'\\' | b'-' | b'.' | b'_')).all(|part| {
                let shape = Shape::of(part);
                shape.symbols == 0 && shape.changes <= 1 && part.len() <= 14
            })
}

/// Four digits, a joint, two digits: a date, perhaps with a time after it.
fn is_date(bytes: &[u8]) -> bool {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let joint = |at: usize| matches!(bytes.get(at), Some(b'-' | b'/' | b'.'));
    let year_first = (0..4).all(digit) && joint(4) && digit(5) && digit(6) && joint(7) && digit(8);
    let year_last =
        digit(0) && digit(1) && joint(2) && digit(3) && digit(4) && joint(5) && (6..10).all(digit);
    (year_first || year_last) && bytes.len() <= 35
}

fn is_email(bytes: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'@', bytes) else { return false };
    let (local, domain) = (&bytes[..at], &bytes[at + 1..]);
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
    let Some(dot) = memchr::memrchr(b'.', domain) else { return false };
    let tld = &domain[dot + 1..];
    !local.is_empty()
        && local.iter().all(word)
        && domain.iter().all(word)
        && tld.len() >= 2
        && tld.iter().all(u8::is_ascii_alphabetic)
}

/// `name`, `a.b.c`, `SOME_NAME_2`, `fooBar`: a program's name for something.
fn is_identifier(bytes: &[u8], shape: &Shape, link: Link) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !bytes.iter().all(word) {
        return false;
    }
    if link == Link::Quoted && shape.digits > 0 && shape.length < 16 {
        return false;
    }
    let parts = || bytes.split(|b| matches!(b, b'_' | b'.' | b'-'));
    let wordy = |part: &[u8]| {
        let of = Shape::of(part);
        of.digits == 0 && (of.changes <= 1 || is_camel(part)) || of.letters() == 0 && of.digits <= 2
    };
    let joined = shape.symbols > 0;
    let digits_only_at_end = |part: &[u8]| {
        let head = part.iter().take_while(|b| !b.is_ascii_digit()).count();
        wordy(&part[..head]) && part[head..].iter().all(u8::is_ascii_digit) && part.len() - head <= 1
    };
    if joined {
        return parts().all(|part| part.is_empty() || digits_only_at_end(part));
    }
    shape.digits <= 1
        && (shape.upper == 0 || shape.lower == 0 || is_camel(bytes))
        && shape.length <= 40
        && digits_only_at_end(bytes)
}

/// Words joined by capitals: every run of capitals is short, and lower-case letters follow it.
fn is_camel(part: &[u8]) -> bool {
    let shape = Shape::of(part);
    shape.symbols == 0 && shape.digits == 0 && shape.upper > 0 && shape.lower >= shape.upper * 3
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

/// Things that stand in sentences about passwords and keys: versions, tickets, file names, algorithms.
fn is_prose_thing(bytes: &[u8], shape: &Shape) -> bool {
    is_version(bytes)
        || is_ticket(bytes)
        || is_hex(bytes) && shape.length >= 32
        || is_uuid(bytes)
        || is_algorithm(bytes)
        || is_measure(bytes)
        || is_file_or_host(bytes)
}

fn is_version(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"v").unwrap_or(bytes);
    digits.first().is_some_and(u8::is_ascii_digit)
        && digits
            .iter()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_' | b'/' | b':' | b',' | b'%'))
        || digits.first().is_some_and(u8::is_ascii_digit)
            && digits.split(|&b| b == b'.').take(2).all(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit))
            && digits.contains(&b'.')
}

/// `ABC-1234`, `ORD_99`, `INV-2026-77`: capitals, joints and digits.
fn is_ticket(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|b| matches!(b, b'-' | b'_' | b'#' | b'/'));
    let head = parts.next().unwrap_or_default();
    let letters = head.iter().take_while(|b| b.is_ascii_uppercase()).count();
    let rest: Vec<&[u8]> = parts.collect();
    (1..=8).contains(&letters)
        && head[letters..].iter().all(u8::is_ascii_digit)
        && (!rest.is_empty() || letters <= 4)
        && rest
            .iter()
            .all(|p| p.iter().all(u8::is_ascii_digit) || p.len() <= 4 && p.iter().all(u8::is_ascii_uppercase))
}

fn is_algorithm(bytes: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[
        b"sha",
        b"md",
        b"aes",
        b"rsa",
        b"utf",
        b"oauth",
        b"http",
        b"base",
        b"ed",
        b"hs",
        b"rs",
        b"es",
        b"ps",
        b"x",
        b"v",
        b"ipv",
        b"tls",
        b"ssl",
        b"argon",
        b"pbkdf",
        b"hmac-sha",
        b"hmacsha",
        b"aes-",
        b"sha-",
        b"log4j",
        b"web",
        b"python",
        b"es",
        b"s3",
        b"ec",
        b"k8s",
        b"p",
        b"bip",
        b"rfc",
        b"iso",
        b"iso-",
        b"rfc-",
        b"cve-",
        b"nist",
        b"pkcs",
        b"ntlmv",
        b"wpa",
        b"ws",
        b"h",
        b"step",
        b"chapter",
        b"section",
        b"page",
        b"phase",
        b"day",
        b"week",
        b"version",
    ];
    let mut buffer = [0; 24];
    if bytes.len() > buffer.len() {
        return false;
    }
    let lower = &mut buffer[..bytes.len()];
    lower.copy_from_slice(bytes);
    lower.make_ascii_lowercase();
    NAMES.iter().any(|name| {
        lower.strip_prefix(*name).is_some_and(|rest| {
            let tail = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            (tail > 0 || name.ends_with(b"j"))
                && rest[tail..].len() <= 4
                && rest[tail..].iter().all(|b| !b.is_ascii_alphabetic() || tail < 4)
        })
    })
}

/// `12px`, `30s`, `1st`, `8chars`: a number and a unit.
fn is_measure(bytes: &[u8]) -> bool {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')).count();
    let unit = bytes[digits..].strip_prefix(b"-").unwrap_or(&bytes[digits..]);
    digits > 0
        && unit.len() <= 10
        && unit.iter().all(u8::is_ascii_lowercase)
        && (unit.len() <= 3 || digits <= 2)
}

/// `gpt-4o-mini-2024-07-18`: words, numbers and short marks, joined by hyphens, as models and releases are
/// named.
fn is_compound(bytes: &[u8]) -> bool {
    let part = |part: &[u8]| {
        let shape = Shape::of(part);
        let word = shape.digits == 0 && shape.symbols == 0 && shape.changes <= 1 && part.len() <= 12;
        let number = shape.digits == part.len() && part.len() <= 8;
        word || number || part.len() <= 3 && shape.symbols <= 1
    };
    memchr::memchr_iter(b'-', bytes).count() >= 2 && bytes.split(|b| *b == b'-').all(part)
}

/// `config.yaml`, `db-1.prod.internal`, `a.b.c`.
fn is_file_or_host(bytes: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', bytes) else { return false };
    let tail = &bytes[dot + 1..];
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/');
    (1..=6).contains(&tail.len())
        && tail.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && tail[0].is_ascii_lowercase()
        && bytes.iter().all(plain)
        && Shape::of(&bytes[..dot]).upper <= 1
}

pub(super) fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

pub(super) fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Whether the value names what it should be, as `db_password` or `my-token` do.
fn has_key_word(bytes: &[u8]) -> bool {
    [b"password".as_slice(), b"passwd", b"secret", b"token", b"api_key", b"apikey"]
        .iter()
        .any(|word| allow::contains_ignoring_case(bytes, word))
}
