//! Passwords in URIs: `scheme://user:password@host`.

use super::allow;
use std::ops::Range;

/// How much of a URI is looked at, in bytes.
const REACH: usize = 300;

/// Passwords that installations ship with; a URI with one says nothing that is not known.
const KNOWN: &[&str] = &[
    "password",
    "pass",
    "passwd",
    "pwd",
    "secret",
    "postgres",
    "root",
    "admin",
    "user",
    "guest",
    "test",
    "mysql",
    "redis",
    "changeme",
    "example",
    "token",
    "minio",
    "minioadmin",
    "rabbitmq",
    "mongo",
    "sa",
    "x",
    "xxx",
    "key",
    "apikey",
    "api_key",
    "db_password",
    "db_pass",
    "my_password",
    "mypassword",
    "yourpassword",
    "your_password",
    "hunter2",
    "oauth2",
    "x-oauth-basic",
    "port",
    "host",
];

/// The password in the URI whose `://` begins at `at`.
pub(super) fn password(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let scheme = at.checked_sub(1).and_then(|last| bytes.get(last))?;
    if !scheme.is_ascii_alphanumeric() {
        return None;
    }
    let start = at + 3;
    let window = &bytes[start..bytes.len().min(start + REACH)];
    let ends = |b: &u8| {
        b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'(' | b')' | b',')
    };
    let authority = window.iter().position(|b| ends(b) || *b == b'/' || *b == b'?' || *b == b'#');
    let mut end = authority.unwrap_or(window.len());
    let mut sign = memchr::memrchr(b'@', &window[..end]);
    if sign.is_none() {
        // A password with `/`, `?` or `#` in it that nobody encoded.
        let whole = window.iter().position(ends).unwrap_or(window.len());
        let late = memchr::memrchr(b'@', &window[..whole])?;
        let slashes = memchr::memchr_iter(b'/', &window[..late]).count();
        let colon = memchr::memchr(b':', &window[..end])?;
        let port = window[colon + 1..end].iter().all(u8::is_ascii_digit);
        if slashes > 1 || port {
            return None;
        }
        end = whole;
        sign = Some(late);
    }
    let sign = sign?;
    let colon = memchr::memchr(b':', &window[..sign])?;
    let host = window[sign + 1..end.max(sign + 1)]
        .first()
        .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b'_'))
        || window.get(sign + 1).is_some_and(|b| *b == b'[' || *b >= 0x80);
    let value = text.get(start + colon + 1..start + sign)?;
    (host && is_secret(value)).then_some(start + colon + 1..start + sign)
}

fn is_secret(value: &str) -> bool {
    let known = KNOWN.iter().any(|known| known.eq_ignore_ascii_case(value));
    let template = value.starts_with(['$', '{', '<', '%', '*', '[', ':'])
        && (value.ends_with(['}', '>', '%', '*', ']', ')'])
            || value.bytes().skip(1).all(|b| b.is_ascii_uppercase() || b == b'_'));
    let elided = value.bytes().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'_' | b'-'));
    value.len() >= 3 && !known && !template && !elided && !is_placeholder(value)
}

fn is_placeholder(value: &str) -> bool {
    let upper_name = value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    upper_name && value.len() >= 4 || allow::is_placeholder(value)
}
