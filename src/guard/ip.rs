//! Addresses of the internet: a dotted quad is also a version, a section, an object identifier, and many
//! addresses are nobody's.

use super::allow::Words;
use super::numbers;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

/// Words before a dotted quad that say that it is a version or a section. Lower case.
const NOT_ADDRESSES: &[&str] = &[
    "version",
    "ver.",
    "ver ",
    "build",
    "release",
    "section",
    "chapter",
    "clause",
    "paragraph",
    "§",
    "oid",
    "revision",
    "firmware",
    "fw",
    "driver",
    "agent",
    "chrome/",
    "firefox/",
    "safari/",
    "edg/",
    "opera/",
    "webkit/",
    "tag:",
    "tag\"",
    "tag=",
    "tag ",
    "upgrade",
    "package",
    "module",
    "snmp",
    "mib",
    "patch",
    "sdk",
    "runtime",
    "abschnitt",
    "kapitel",
    "seccion",
    "sección",
    "wersja",
    "versi",
    "версия",
    "バージョン",
    "版本",
    "numbers such as",
    "changelog",
    "versions",
    "numbers such as",
    "assembly",
    "image",
    "app.",
    "lib",
    "step",
    "item",
];

/// Words that say that it is an address, of a machine that somebody uses. Lower case.
const ADDRESSES: &[&str] = &[
    "ip",
    "addr",
    "host",
    "server",
    "client",
    "remote",
    "from",
    "ping",
    "ssh",
    "gateway",
    "nat",
    "egress",
    "peer",
    "source",
    "src",
    "dst",
    "forwarded",
    "network",
    "login",
    "user",
    "connect",
    "adresse",
    "hostname",
    "hosts",
    "server",
    "clients",
    "servers",
    "username",
    "users",
    "ips",
    "port",
    "router",
    "vpn",
    "x-real",
    "://",
    "inet",
];

/// Resolvers that everyone may ask.
const RESOLVERS: &[[u8; 4]] = &[
    [8, 8, 8, 8],
    [8, 8, 4, 4],
    [1, 1, 1, 1],
    [1, 0, 0, 1],
    [9, 9, 9, 9],
    [208, 67, 222, 222],
    [208, 67, 220, 220],
    [149, 112, 112, 112],
    [4, 2, 2, 2],
];

static SAY_OTHER: LazyLock<Words> = LazyLock::new(|| Words::new(NOT_ADDRESSES));

static SAY_ADDRESS: LazyLock<Words> = LazyLock::new(|| Words::new(ADDRESSES));

/// The public IPv4 address at `start`.
pub(super) fn v4(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let (octets, end) = quad(bytes, start)?;
    let before = bytes[..start].last().copied().unwrap_or(b' ');
    let pair = bytes[..start].len().checked_sub(2).map(|at| &bytes[at..start]);
    let joined = before.is_ascii_alphanumeric() && !numbers::ends_an_escape(bytes, start)
        || matches!(before, b'_' | b'-' | b'.' | b'~' | b'^' | b'<')
        || before == b'/' && pair != Some(b"//".as_slice())
        || matches!(pair, Some(b"==" | b">=" | b"<=" | b"~="));
    let after = bytes.get(end).copied().unwrap_or(b' ');
    let next_digit = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    let goes_on =
        after.is_ascii_alphanumeric() || matches!(after, b'_' | b'-') || after == b'.' && next_digit;
    if joined || goes_on || !is_someones(octets) {
        return None;
    }
    let label = numbers::label(bytes, start, 28);
    // The first field of an access log.
    let logged = (start == 0 || before == b'\n') && bytes[end..].starts_with(b" - ");
    if !logged && SAY_OTHER.are_in(&label) {
        return None;
    }
    let known = logged || SAY_ADDRESS.are_in(&label);
    // `firmware from 1.2.3.4 to 1.2.3.5`: a word for addresses, and one for versions before it.
    let moves = label.ends_with(b" to ") || label.ends_with(b" from ");
    if moves && says_versions(bytes, start)
        || !known && (in_versions(bytes, start) || says_versions(bytes, start))
    {
        return None;
    }
    let small = octets.iter().all(|&octet| octet < 32);
    (known || !small).then_some(start..end)
}

/// Whether a number of three parts stands before `start` in its line: a list of versions.
fn in_versions(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[start.saturating_sub(64)..start];
    let line = &before[memchr::memrchr(b'\n', before).map_or(0, |end| end + 1)..];
    // `v1.29.4` says by itself what it is, and nothing of a bare number beside it.
    line.split(|b| !b.is_ascii_digit() && !matches!(b, b'.' | b'v')).any(|word| {
        let mut parts = word.split(|b| *b == b'.');
        let three = parts.by_ref().take(3).filter(|part| (1..=3).contains(&part.len())).count() == 3;
        three && parts.next().is_none()
    })
}

static SAY_VERSIONS: LazyLock<Words> = LazyLock::new(|| {
    Words::new(&[
        "changelog",
        "release notes",
        "versions",
        "releases",
        "upgrade",
        "firmware",
        "versionen",
        "versiones",
        "wersje",
    ])
});

/// Whether the line's words before `start` are of versions.
fn says_versions(bytes: &[u8], start: usize) -> bool {
    let before = numbers::before(bytes, start, 64);
    let line = &before[memchr::memrchr(b'\n', &before).map_or(0, |end| end + 1)..];
    SAY_VERSIONS.are_in(line)
}

/// Four numbers up to 255, without leading zeros, joined by points.
fn quad(bytes: &[u8], start: usize) -> Option<([u8; 4], usize)> {
    let mut octets = [0; 4];
    let mut at = start;
    for (place, octet) in octets.iter_mut().enumerate() {
        let length = bytes[at.min(bytes.len())..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let digits = &bytes[at..at + length];
        if !(1..=3).contains(&length) || length > 1 && digits[0] == b'0' {
            return None;
        }
        *octet = std::str::from_utf8(digits).ok()?.parse().ok()?;
        at += length;
        if place < 3 {
            if bytes.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
    }
    Some((octets, at))
}

/// Whether an address can be a machine's on the internet (the registry of RFC 6890), and not a resolver's.
fn is_someones(octets: [u8; 4]) -> bool {
    let address = Ipv4Addr::from(octets);
    // A device's address behind a router: not the router's, not a net's.
    let gateway = address.is_private() && matches!(octets[3], 0 | 1 | 254 | 255);
    let reserved = gateway
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || octets[0] == 0
        || octets[0] >= 240
        || octets[..3] == [224, 0, 0]
        || octets[..2] == [239, 255]
        || octets[0] == 100 && octets[1] & 0xc0 == 64
        || octets[0] == 198 && octets[1] & 0xfe == 18
        || octets[..3] == [192, 0, 0];
    !reserved && !RESOLVERS.contains(&octets)
}

/// The public IPv6 address at `start`: global unicast, `2000::/3`, and not documentation's.
pub(super) fn v6(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    if !matches!(bytes[start], b'2' | b'3')
        || start > 0 && matches!(bytes[start - 1], b':' | b'.' | b'-' | b'_')
    {
        return None;
    }
    let length = bytes[start..].iter().take(46).take_while(|b| b.is_ascii_hexdigit() || **b == b':').count();
    let mut end = start + length;
    while bytes[..end].ends_with(b":") && !bytes[..end].ends_with(b"::") {
        end -= 1;
    }
    let colons = memchr::memchr_iter(b':', &bytes[start..end]).count();
    if colons < 2 || bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let address: Ipv6Addr = std::str::from_utf8(&bytes[start..end]).ok()?.parse().ok()?;
    let segments = address.segments();
    let shown = segments[0] == 0x2001 && segments[1] == 0xdb8;
    let resolver = segments[..2] == [0x2606, 0x4700] && segments[2] == 0x4700
        || segments[..2] == [0x2001, 0x4860]
            && segments[2] == 0x4860
            && matches!(segments[7], 0x8888 | 0x8844)
        || segments[..2] == [0x2620, 0xfe];
    (segments[0] >> 13 == 1 && !shown && !resolver).then_some(start..end)
}
