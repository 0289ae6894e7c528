//! Private keys in their armour: PEM (RFC 7468), OpenSSH, `OpenPGP` (RFC 9580), `PuTTY`.

use std::ops::Range;

/// The longest key that is read, in bytes: an RSA key of 16,384 bits fits.
const LONGEST: usize = 20 * 1024;
/// The fewest characters of a key's text.
const FEWEST: usize = 40;

/// The private key whose armour begins at `at`, to the end of its last line; without one, as far as its
/// text goes.
pub(super) fn private_key(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let window = &bytes[at..bytes.len().min(at + LONGEST)];
    if window.starts_with(b"PuTTY") {
        return putty(window).map(|length| at..at + length);
    }
    let rest = window.strip_prefix(b"-----BEGIN ")?;
    let label = rest
        .iter()
        .take(48)
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b' ')
        .count();
    if !super::allow::contains(&rest[..label], b"PRIVATE KEY") || !rest[label..].starts_with(b"-----") {
        return None;
    }
    let head = window.len() - rest.len() + label + 5;
    let body = &window[head..];
    let next = memchr::memmem::find(body, b"-----");
    let ended = next.filter(|&next| body[next..].starts_with(b"-----END "));
    let length = match ended {
        Some(next) => next + end_line(&body[next..])?,
        None => key_text(&body[..next.unwrap_or(body.len())]),
    };
    let kept = ended.unwrap_or(length);
    (count_key_text(&body[..kept]) >= FEWEST).then_some(at..at + head + length)
}

/// The length of `-----END … -----`.
fn end_line(rest: &[u8]) -> Option<usize> {
    let inner = rest.get(9..rest.len().min(80))?;
    let end = memchr::memmem::find(inner, b"-----").map(|close| 9 + close + 5)?;
    // The line's end, where a string holds the key.
    Some(if rest[end..].starts_with(b"\\n") { end + 2 } else { end })
}

/// How far base64, line ends and their escapes go.
fn key_text(body: &[u8]) -> usize {
    let is_text = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\n' | b'\r' | b'\\' | b' ' | b'\t')
    };
    // A blank after a line's text ends it: prose follows.
    let mut end = 0;
    let mut line_has_text = false;
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'\n' => line_has_text = false,
            b' ' | b'\t' if line_has_text => break,
            _ if !is_text(byte) => break,
            b' ' | b'\t' | b'\r' => {}
            _ => {
                line_has_text = true;
                end = at + 1;
            }
        }
    }
    end
}

fn count_key_text(body: &[u8]) -> usize {
    let mut seen = [false; 256];
    let mut count = 0;
    for byte in body.iter().filter(|b| b.is_ascii_alphanumeric()) {
        seen[usize::from(*byte)] = true;
        count += 1;
    }
    if seen.iter().filter(|&&seen| seen).count() < 16 { 0 } else { count }
}

/// The length of a `PuTTY` key file, to the end of its private lines.
fn putty(window: &[u8]) -> Option<usize> {
    let private = memchr::memmem::find(window, b"Private-Lines:")?;
    let lines = &window[private..];
    let mac = memchr::memmem::find(lines, b"Private-MAC:").or(memchr::memmem::find(lines, b"\n\n"))?;
    let end = private + mac;
    let tail = memchr::memchr(b'\n', &window[end + 1..]).map_or(window.len(), |line| end + 1 + line);
    Some(tail)
}
