//! Where a value begins and ends: quotation marks, wrappers, what ends a bare word.

use super::{LONGEST, Link};
use std::ops::Range;

/// What may stand between an operator and a value: schemes, prefixes of literals, tags.
const PREFIXES: &[&[u8]] =
    &[b"bearer ", b"basic ", b"token ", b"apikey ", b"s%3a", b"!!str ", b"!str ", b"!unsafe "];

/// Constructors whose argument is the value itself, in lower case.
const WRAPPERS: &[&[u8]] = &[
    b"",
    b"some",
    b"ok",
    b"just",
    b"string",
    b"new string",
    b"string::from",
    b"str",
    b"bytes",
    b"[]byte",
    b"from",
    b"secret",
    b"secret::new",
    b"secretstr",
    b"secretstring::from",
    b"securestring",
    b"sensitive",
    b"password",
    b"buffer.from",
    b"optional.of",
    b"quote",
    b"n",
    b"b",
    b"r",
    b"u",
    b"@",
    b"l",
    b"f",
];

/// Skips what may stand between an operator and the value.
pub(super) fn skip_prefix(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let prefix =
        PREFIXES.iter().find(|word| rest.len() > word.len() && rest[..word.len()].eq_ignore_ascii_case(word));
    let at = at + prefix.map_or(0, |word| word.len());
    let rest = &bytes[at..bytes.len().min(at + 24)];
    // `Some("…")`, `N'…'`, `("…")`.
    let Some(quote) = rest.iter().position(|b| matches!(b, b'"' | b'\'')) else { return at };
    let before = rest[..quote].strip_suffix(b"(").unwrap_or(&rest[..quote]);
    if WRAPPERS.iter().any(|wrapper| wrapper.eq_ignore_ascii_case(before)) { at + quote } else { at }
}

/// What opens and closes a quoted value.
const QUOTES: &[(&str, &str)] = &[
    ("\\\"", "\\\""),
    ("\\'", "\\'"),
    ("\"", "\""),
    ("'", "'"),
    ("`", "`"),
    ("“", "”"),
    ("„", "“"),
    ("«", "»"),
    ("「", "」"),
    ("‘", "’"),
];

/// Whether quotation marks with nothing between them stand at `at`.
pub(super) fn is_empty(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at..];
    [b"\"\"".as_slice(), b"''", b"\\\"\\\""].iter().any(|empty| rest.starts_with(empty))
        && !rest.starts_with(b"\"\"\"")
}

/// The quoted or bare value at `at`.
pub(super) fn value_at(text: &str, at: usize) -> Option<(Range<usize>, Link)> {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
    for (open, close) in QUOTES {
        if rest.starts_with(open.as_bytes()) {
            let start = at + open.len();
            let length = quoted_length(&bytes[start..], close.as_bytes());
            if let Some(length) = length.filter(|&length| length > 0) {
                return Some((start..start + length, Link::Quoted));
            }
            let range = bare(bytes, start);
            return (!range.is_empty()).then_some((range, Link::Operator));
        }
    }
    let range = bare(bytes, at);
    (!range.is_empty()).then_some((range, Link::Operator))
}

/// How long the quoted value at the start of `rest` is; none if its line or the reach ends first.
fn quoted_length(rest: &[u8], close: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < rest.len() && at < LONGEST {
        match rest[at] {
            b'\n' => return None,
            _ if rest[at..].starts_with(close) => return Some(at),
            b'\\' if close.len() == 1 => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// The bare value at `at`: up to a blank, a quotation mark, or what ends a sentence or an argument.
pub(super) fn bare(bytes: &[u8], at: usize) -> Range<usize> {
    let mut end = at;
    while end < bytes.len() && end - at < LONGEST {
        let byte = bytes[end];
        let stops = match byte {
            b'"' | b'\'' | b'`' | b'<' | b';' | b'|' | 0xe3..=0xef => true,
            b',' => {
                bytes.get(end + 1).is_none_or(|&b| !b.is_ascii_graphic()) || is_assignment(&bytes[end + 1..])
            }
            b'\\' => matches!(bytes.get(end + 1), Some(b'n' | b'r' | b't' | b'"' | b'\'' | b'u')),
            0xe2 => bytes.get(end + 1) == Some(&0x80),
            0xc2 => bytes.get(end + 1).is_some_and(|&b| matches!(b, 0xa0 | 0xab | 0xbb)),
            _ => byte.is_ascii_whitespace() || byte.is_ascii_control(),
        };
        if stops {
            break;
        }
        end += 1;
    }
    trim(bytes, at..end)
}

/// Leaves out what ends a sentence, and brackets that do not open within the value.
fn trim(bytes: &[u8], mut range: Range<usize>) -> Range<usize> {
    // A second full stop is the value's own.
    let mut stopped = false;
    while let Some(&last) = bytes[range.clone()].last() {
        let opens = |open: u8| bytes[range.clone()].contains(&open);
        let strip = match last {
            b'.' if stopped => false,
            b'.' => {
                stopped = true;
                true
            }
            b',' | b':' => true,
            b')' => !opens(b'('),
            b']' => !opens(b'['),
            b'}' => !opens(b'{'),
            b'>' => !opens(b'<'),
            b'*' => bytes[range.clone()].ends_with(b"**"),
            _ => false,
        };
        if !strip {
            break;
        }
        range.end -= 1;
    }
    range
}

/// Ends a value in a query string or a list of settings at the next setting.
pub(super) fn cut(bytes: &[u8], key_end: usize, range: Range<usize>) -> Range<usize> {
    if bytes.get(key_end) != Some(&b'=') {
        return range;
    }
    let value = &bytes[range.clone()];
    let next = memchr::memchr_iter(b'&', value).find(|&at| is_assignment(&value[at + 1..]));
    next.map_or(range.clone(), |at| range.start..range.start + at)
}

/// Whether `name=` stands at the start of `rest`.
fn is_assignment(rest: &[u8]) -> bool {
    let name = rest
        .iter()
        .take(24)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        .count();
    name >= 2 && rest.get(name) == Some(&b'=') && rest[0].is_ascii_alphabetic()
}
