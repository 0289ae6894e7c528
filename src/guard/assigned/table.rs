//! Values in elements, cells and columns: XML, HTML, tables, CSV, lists of names and values.

use super::super::value::{is_hex, is_uuid};
use super::span::{bare, value_at};
use super::{LONGEST, Link, REACH, is_blank, operator, skip};
use std::ops::Range;

/// The text of an element, from after its tag on to the next one: `<password>…</password>`.
pub(super) fn element(
    text: &str,
    from: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = skip(bytes, from, |b| b.is_ascii_whitespace(), 16);
    let start =
        if bytes[start..].starts_with(b"<![") { start } else { after_tag(bytes, start).unwrap_or(start) };
    let window = &bytes[start..bytes.len().min(start + LONGEST)];
    let end = memchr::memmem::find(window, b"</")?;
    let data = window[..end].strip_prefix(b"<![CDATA[").map_or(0, |_| 9);
    let value = window[data..end].trim_ascii_end();
    let value = value.strip_suffix(b"]]>").unwrap_or(value);
    let plain = !value.iter().any(|b| b.is_ascii_whitespace() || matches!(b, b'<' | b'>'));
    let range = start + data..start + data + value.len();
    (plain && judge(range.clone(), Link::Quoted)).then_some(range)
}

/// A value in a later cell of the key word's row.
pub(super) fn cells(
    text: &str,
    from: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let window = &bytes[from..bytes.len().min(from + REACH)];
    let end = from + memchr::memchr(b'\n', window).unwrap_or(window.len());
    let mut at = from;
    while at < end {
        at = skip(bytes, at, |b| is_blank(b) || matches!(b, b'|' | b'`' | b'"' | b'*'), 16);
        let range = bare(bytes, at);
        if range.start < end && range.len() >= 6 && judge(range.clone(), Link::Cell) {
            return Some(range);
        }
        at = range.end.max(at + 1);
    }
    None
}

/// The end of the tag at `at`, which begins an element: `<b>`.
pub(super) fn after_tag(bytes: &[u8], at: usize) -> Option<usize> {
    let name = bytes.get(at + 1..bytes.len().min(at + 40))?;
    let opens = bytes.get(at) == Some(&b'<') && name.first().is_some_and(u8::is_ascii_alphabetic);
    if opens { memchr::memchr(b'>', name).map(|close| at + 1 + close + 1) } else { None }
}

/// The end of the tag whose name ends with the key word, and which has attributes:
/// `<wsse:Password Type="…">`. The name goes from the key word's end to `named`.
pub(super) fn end_of_tag(bytes: &[u8], key_end: usize, named: usize) -> Option<usize> {
    let window = &bytes[key_end.saturating_sub(40)..key_end];
    let name = window
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-' | b'.'))
        .count();
    let opens = window.len() > name && window[window.len() - name - 1] == b'<';
    if !opens || bytes.get(named) != Some(&b' ') {
        return None;
    }
    let rest = &bytes[named..bytes.len().min(named + 240)];
    memchr::memchr2(b'>', b'\n', rest)
        .filter(|end| rest[*end] == b'>' && rest[end - 1] != b'/')
        .map(|end| named + end + 1)
}

/// Where text begins again after the tags at `at`, of which the first ends an element: `</td><td>`.
pub(super) fn after_tags(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + usize::from(bytes.get(at) == Some(&b':'));
    if !bytes[at..].starts_with(b"</") {
        return None;
    }
    for _ in 0..6 {
        if bytes.get(at) != Some(&b'<') {
            break;
        }
        let window = &bytes[at..bytes.len().min(at + 80)];
        at += memchr::memchr(b'>', window)? + 1;
        at = skip(bytes, at, |b| b.is_ascii_whitespace() || b == b':', 24);
    }
    Some(at)
}

/// The word at `at`, between tags.
pub(super) fn tagged(
    text: &str,
    at: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let (range, _) = value_at(text, at)?;
    (range.len() >= 5 && judge(range.clone(), Link::Cell)).then_some(range)
}

/// Where the value begins of what is named in one place and given in the next: `name="password" value="…"`,
/// `{"name": "PASSWORD", "value": "…"}`, `- name: PASSWORD` over `value: …`, `variable "password" {` over
/// `default = "…"`. `at` is after the name.
pub(super) fn named_value(bytes: &[u8], at: usize) -> Option<usize> {
    const VALUES: &[&[u8]] = &[b"value", b"default", b"content", b"stringvalue", b"defaultvalue"];
    let window = &bytes[at..bytes.len().min(at + 200)];
    let is_joint = |b: u8| b.is_ascii_whitespace() || matches!(b, b',' | b'"' | b'\'' | b'-' | b'\\' | b'@');
    let mut from = at + window.iter().take(40).take_while(|b| is_joint(**b)).count();
    if bytes.get(from) == Some(&b'{') {
        // The block's lines, up to the one that gives a default.
        let block = &window[from - at..];
        let block = &block[..memchr::memchr(b'}', block).unwrap_or(block.len())];
        from += memchr::memmem::find(block, b"default")?;
    } else if from == at {
        return None;
    }
    let length = bytes[from..].iter().take(16).take_while(|b| b.is_ascii_alphabetic() || **b == b'_').count();
    let word: Vec<u8> =
        bytes[from..from + length].iter().filter(|b| **b != b'_').map(u8::to_ascii_lowercase).collect();
    if !VALUES.contains(&word.as_slice()) {
        return None;
    }
    let closed = skip(bytes, from + length, |b| matches!(b, b'"' | b'\'' | b'\\' | b' '), 4);
    operator(bytes, closed)
}

/// How many rows of a table are looked at, and how many without a value end the search.
const ROWS: usize = 40;
const EMPTY_ROWS: usize = 3;
/// How much of a table is looked at, in bytes.
const TABLE: usize = 4096;

/// The values below a key word that heads a column: cells of the rows that follow, in the same place.
/// `key` is the key word's range.
pub(in super::super) fn column(
    text: &str,
    key: &Range<usize>,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let around =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'"' | b'_' | b'*' | b'\r') || b >= 0x80;
    let after = bytes.get(skip(bytes, key.end, around, 24));
    if !matches!(after, Some(b',' | b';' | b'\t' | b'|' | b'\n')) {
        return Vec::new();
    }
    let reach = key.start.saturating_sub(200);
    let start = memchr::memrchr(b'\n', &bytes[reach..key.start]).map_or(reach, |line| reach + line + 1);
    let window = bytes.len().min(start + TABLE);
    let Some(end) = memchr::memchr(b'\n', &bytes[key.end..window]).map(|line| key.end + line) else {
        return Vec::new();
    };
    let Some((sign, place)) = heads(&bytes[start..end], key.start - start) else { return Vec::new() };
    let (mut found, mut empty, mut at) = (Vec::new(), 0, end + 1);
    for _ in 0..ROWS {
        let Some(row) = bytes.get(at..window).filter(|row| !row.is_empty()) else { break };
        let row = &row[..memchr::memchr(b'\n', row).unwrap_or(row.len())];
        let is_rule = row.iter().all(|b| matches!(b, b'|' | b'-' | b':' | b'+' | b' '));
        let cell = cell(row, sign, place).map(|cell| at + cell.start..at + cell.end);
        // Columns of hashes and ids stand in the same tables.
        let may_be =
            |cell: &[u8]| cell.len() >= 4 && !cell.contains(&b' ') && !is_hex(cell) && !is_uuid(cell);
        match cell.filter(|cell| may_be(&bytes[cell.clone()]) && judge(cell.clone(), Link::Cell)) {
            Some(cell) => found.push(cell),
            None if is_rule => {}
            None => empty += 1,
        }
        if empty == EMPTY_ROWS {
            break;
        }
        at += row.len() + 1;
    }
    found
}

/// Whether `line` is the head of a table, and which cell the word at `at` is: what parts the cells, and how
/// many come before.
fn heads(line: &[u8], at: usize) -> Option<(u8, usize)> {
    let sign = [b'|', b'\t', b';', b','].into_iter().find(|sign| line.contains(sign))?;
    let is_name = |cell: &[u8]| {
        let cell = cell.trim_ascii();
        cell.len() <= 32
            && cell.iter().all(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b' ' | b'_' | b'-' | b'"' | b'*' | b'/')
                    || *b >= 0x80
            })
    };
    let cells = || line.strip_suffix(b"\r").unwrap_or(line).split(|b| *b == sign);
    let all = cells().all(is_name) && cells().filter(|cell| !cell.trim_ascii().is_empty()).count() >= 2;
    all.then(|| (sign, memchr::memchr_iter(sign, &line[..at]).count()))
}

/// The cell of `row` with `place` signs before it, without blanks and quotation marks around it.
fn cell(row: &[u8], sign: u8, place: usize) -> Option<Range<usize>> {
    let start = match place {
        0 => 0,
        _ => memchr::memchr_iter(sign, row).nth(place - 1)? + 1,
    };
    let end = memchr::memchr(sign, &row[start..]).map_or(row.len(), |next| start + next);
    let around = |b: &&u8| matches!(b, b' ' | b'"' | b'`' | b'\'' | b'*' | b'\r');
    let before = row[start..end].iter().take_while(around).count();
    let after = row[start + before..end].iter().rev().take_while(around).count();
    (start + before + after < end).then_some(start + before..end - after)
}

/// The head of the column that `at` is in: the cell of the block's first line, if all lines between have as
/// many cells.
pub(in super::super) fn heading(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let start = memchr::memrchr(b'\n', &bytes[at.saturating_sub(400)..at])? + 1 + at.saturating_sub(400);
    let row = &bytes[start..at];
    let sign = [b'|', b'\t', b';', b','].into_iter().find(|sign| row.contains(sign)).or_else(|| {
        let rest = &bytes[at..bytes.len().min(at + 200)];
        let rest = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        [b'\t', b';', b','].into_iter().find(|sign| rest.contains(sign))
    })?;
    let place = memchr::memchr_iter(sign, row).count();
    let from = start.saturating_sub(TABLE);
    let mut head = None;
    let mut end = start - 1;
    for _ in 0..ROWS {
        let line = memchr::memrchr(b'\n', &bytes[from..end]).map_or(from, |line| from + line + 1);
        if !bytes[line..end].contains(&sign) {
            break;
        }
        head = cell(&bytes[line..end], sign, place).map(|cell| &bytes[line + cell.start..line + cell.end]);
        if line == from {
            break;
        }
        end = line - 1;
    }
    head
}
