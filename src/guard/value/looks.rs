//! What a value looks like that is neither a password nor a key: parts of programs, and things that sentences
//! hold.

use super::super::allow;
use super::super::assigned::Link;
use super::{Shape, is_plain_word};

/// `name=value`: what another name is given. The name is of one case, as random letters seldom are.
pub(super) fn is_assignment(bytes: &[u8]) -> bool {
    let is_joint = |b: &u8| matches!(b, b'_' | b'.' | b'-');
    let letters = bytes.iter().take_while(|b| b.is_ascii_alphabetic() || is_joint(b)).count();
    let digits = bytes[letters..].iter().take(3).take_while(|b| b.is_ascii_digit()).count();
    let name = letters + digits;
    let one_case = |is_case: fn(&u8) -> bool| bytes[..letters].iter().all(|b| is_case(b) || is_joint(b));
    letters >= 3
        && (one_case(u8::is_ascii_lowercase) || one_case(u8::is_ascii_uppercase))
        && bytes.get(name) == Some(&b'=')
        && bytes
            .get(name + 1)
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'"' | b'\'' | b'$' | b'{'))
}

/// Expressions, paths, addresses, dates: things no password or key is.
pub(super) fn is_not_a_value(bytes: &[u8]) -> bool {
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

/// Whether `bytes`, which no quotation marks hold together, are a piece of an expression: `vec![1`,
/// `bracketed!(content`, `x).len()`, `read_le64(input`, `0x4000000D`, `a%27b`.
pub(super) fn is_expression(bytes: &[u8]) -> bool {
    let signs = bytes.windows(2).any(|two| {
        matches!(
            two,
            b"!["
                | b"!("
                | b")."
                | b")$"
                | b"}{"
                | b">("
                | b"]("
                | b"\\x"
                | b"%("
                | b"&&"
                | b"||"
                | b"(["
                | b"@$"
                | b"\\@"
        )
    });
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':');
    let name = bytes.iter().take_while(|b| is_name(b)).count();
    let head = &bytes[..name];
    let call = bytes.get(name) == Some(&b'(')
        && name >= 3
        && (head.contains(&b'_') || head.iter().all(|b| !b.is_ascii_digit()) || is_type_name(head))
        && bytes[name + 1..].iter().all(|b| is_name(b) || matches!(b, b'*' | b'&' | b',' | b'(' | b')'));
    let hex = bytes.strip_prefix(b"0x").map(|hex| hex.split(|b| *b == b'_').next().unwrap_or_default());
    let number = hex.is_some_and(|hex| hex.len() <= 16 && is_hex(hex)) || is_typed_number(bytes);
    let pointer = bytes.strip_prefix(b"*").is_some_and(is_plain_word);
    let names = |rest: &[u8]| {
        let name = rest.iter().take_while(|b| b.is_ascii_alphabetic() || **b == b'_').count();
        name >= 2 && rest.get(name).is_none_or(|next| matches!(next, b'=' | b'.' | b'('))
    };
    let sigil = bytes.strip_prefix(b"&").is_some_and(names)
        || bytes.strip_prefix(b"%").is_some_and(|rest| names(rest) && rest.contains(&b'_'))
        || bytes.starts_with(b"]");
    let path = bytes.first() == Some(&b'/') && bytes.iter().any(|b| matches!(b, b'?' | b':'));
    let encoded = [b"%20".as_slice(), b"%27", b"%22"].iter().any(|sign| allow::contains(bytes, sign));
    signs
        || call
        || sigil
        || number
        || pointer
        || path
        || encoded
        || is_constant(bytes)
        || is_type_name(bytes)
}

/// `DOT11_AUTH_ALGORITHM`, `_mm512_loadu_si512`: letters of one case and a few digits, joined by underscores.
fn is_constant(bytes: &[u8]) -> bool {
    let one_case = bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        || bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
    let part = |part: &[u8]| {
        let letters = part.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        part.is_empty()
            || letters >= 2 && part.len() - letters <= 3 && part[letters..].iter().all(u8::is_ascii_digit)
    };
    let joints = memchr::memchr_iter(b'_', bytes).count();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let capitals = !bytes.iter().any(u8::is_ascii_lowercase) && joints >= 1 && digits * 4 <= bytes.len();
    one_case && (capitals || joints >= 2 && bytes.split(|b| *b == b'_').all(part))
}

/// `2703u32`, `-1073741276i32`: a number with its type.
fn is_typed_number(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let size = bytes[digits..].split_first().filter(|(kind, _)| matches!(kind, b'u' | b'i' | b'f'));
    digits > 0
        && size.is_some_and(|(_, size)| [b"8".as_slice(), b"16", b"32", b"64", b"size"].contains(&size))
}

/// `X509HardwareKeyUsageFlags`, `PrivatePkcs8KeyDer`: words with capitals, and one short number.
fn is_type_name(bytes: &[u8]) -> bool {
    let shape = Shape::of(bytes);
    let first = bytes.iter().position(u8::is_ascii_digit).unwrap_or(bytes.len());
    let number = bytes[first..].iter().take_while(|b| b.is_ascii_digit()).count();
    shape.symbols == 0
        && (12..=48).contains(&shape.length)
        && bytes.first().is_some_and(u8::is_ascii_uppercase)
        && (1..=3).contains(&shape.digits)
        && shape.digits == number
        // At the end people put digits after a password's words.
        && first + number < bytes.len()
        && shape.upper >= 2
        && shape.lower >= shape.upper * 2
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
pub(super) fn is_identifier(bytes: &[u8], shape: &Shape, link: Link) -> bool {
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

/// Things that stand in sentences about passwords and keys: versions, tickets, file names, algorithms.
pub(super) fn is_prose_thing(bytes: &[u8], shape: &Shape) -> bool {
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
pub(super) fn is_compound(bytes: &[u8]) -> bool {
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

pub(in super::super) fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

pub(in super::super) fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
