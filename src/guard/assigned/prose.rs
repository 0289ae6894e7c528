//! Values in sentences: `the password is …`, and a question with its answer on the next line.

use super::span::bare;
use super::{LONGEST, Link, MOST_WORDS, REACH, is_blank, skip, words};
use std::ops::Range;

/// A value in prose, in the key word's sentence. `linked`: something already said that it follows.
pub(super) fn said(
    text: &str,
    from: usize,
    mut linked: bool,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end = bytes.len().min(from + REACH);
    let mut at = from;
    let mut after_user = false;
    for place in 0..MOST_WORDS {
        at = skip(
            bytes,
            at,
            |b| {
                is_blank(b)
                    || matches!(b, b',' | b'(' | b'"' | b'\'' | b'`' | b'*' | b'|' | b')' | b'[' | b';')
            },
            16,
        );
        if at >= end {
            return None;
        }
        if bytes[at] == b'\n' || bytes[at] == b'\r' {
            // The key word's line ends with it, or asks for it.
            return if linked || place <= 1 && is_prose(bytes, from) {
                answer(text, at, judge)
            } else {
                None
            };
        }
        if matches!(bytes[at], 0xe3..=0xef) {
            let script_end = end_of_script(bytes, at, end);
            if text[at..script_end].contains(['。', '！']) {
                return None;
            }
            linked |= words::says_in_script(&text[at..script_end]);
            at = script_end;
            continue;
        }
        let word_end = at
            + bytes[at..end]
                .iter()
                .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, 0xe3..=0xef))
                .count();
        let word = &text[at..floor(text, word_end)];
        if place == 0 && !linked && words::is_another_subject(word) {
            return None;
        }
        // Another key word comes at once, or begins an assignment: what follows is its value.
        if (place == 0 || word.ends_with([':', '='])) && words::is_key_word(word) {
            return None;
        }
        let is_user = after_user;
        after_user = words::names_user(word);
        if (linked || place == 0)
            && !is_user
            && word.len() >= 5
            && !super::super::value::is_plain_word(word.as_bytes())
        {
            let range = bare(bytes, at);
            // Quotation marks say as much as a verb does: `IDENTIFIED BY '…'`.
            let quoted = matches!(bytes[at - 1], b'"' | b'\'' | b'`');
            let link = if linked || quoted { Link::Said } else { Link::Adjacent };
            if range.len() >= 5 && judge(range.clone(), link) {
                return Some(range);
            }
        }
        // Without a word that says so: what no word of a sentence looks like.
        if !linked
            && !is_user
            && (1..=4).contains(&place)
            && super::super::value::is_striking(word.as_bytes())
        {
            let range = bare(bytes, at);
            if judge(range.clone(), Link::Adjacent) {
                return Some(range);
            }
        }
        if word.ends_with('?') {
            return answer(text, word_end, judge);
        }
        if word.ends_with('.') || word.ends_with('!') {
            return None;
        }
        linked = linked || word.ends_with(':') || word.ends_with('=') || words::says(word);
        at = word_end.max(at + 1);
    }
    None
}

/// The message after a question: one value alone on the next line, perhaps after a time and a name.
pub(super) fn answer(
    text: &str,
    from: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = &bytes[from..bytes.len().min(from + 8)];
    let line = from + memchr::memchr(b'\n', rest)? + 1;
    let line = skip(bytes, line, |b| b.is_ascii_whitespace(), 24);
    let window = &bytes[line..bytes.len().min(line + LONGEST)];
    let end = line + memchr::memchr(b'\n', window).unwrap_or(window.len());
    let content = bytes[line..end].trim_ascii_end();
    let is_list = content.first() == Some(&b'[') && !content.contains(&b']');
    if is_list || matches!(content.first(), Some(b'{' | b'<' | b'#')) {
        return None;
    }
    let start = memchr::memrchr(b' ', content).map_or(0, |space| space + 1);
    let mut speaker = content[..start].trim_ascii_end();
    for filler in [b" its".as_slice(), b" it's", b" it is", b" is", b" try"] {
        speaker = speaker.strip_suffix(filler).unwrap_or(speaker);
    }
    if start > 48
        || !(speaker.is_empty() || speaker.ends_with(b":") || speaker.ends_with(b">"))
        || names_a_hash(speaker)
    {
        return None;
    }
    let range =
        bare(bytes, line + start + usize::from(matches!(content.get(start), Some(b'`' | b'"' | b'\''))));
    (range.len() >= 6 && judge(range.clone(), Link::Answer)).then_some(range)
}

/// Whether the line that ends near `at` is a sentence: four words or more, and no sign of a program.
fn is_prose(bytes: &[u8], at: usize) -> bool {
    let window = &bytes[at.saturating_sub(REACH)..at];
    let line = &window[memchr::memrchr(b'\n', window).map_or(0, |end| end + 1)..];
    let words = line.split(u8::is_ascii_whitespace).filter(|word| word.len() > 1).count();
    words >= 4 && !line.iter().any(|b| matches!(b, b'=' | b'{' | b'(' | b'"' | b'<' | b'$' | b';'))
}

/// Whether what stands before an answer says that it is a hash, an id or a name.
fn names_a_hash(label: &[u8]) -> bool {
    let lower = label.to_ascii_lowercase();
    [
        b"commit".as_slice(),
        b"sha",
        b"hash",
        b"id:",
        b"ref",
        b"name",
        b"user",
        b"version",
        b"digest",
        b"fingerprint",
    ]
    .iter()
    .any(|word| super::super::allow::contains(&lower, word))
}

/// The end of a run of characters that begin with the bytes of East Asian scripts.
fn end_of_script(bytes: &[u8], at: usize, most: usize) -> usize {
    let mut end = at;
    while end < most && matches!(bytes.get(end), Some(0xe3..=0xef)) {
        end += 3;
    }
    end.min(bytes.len())
}

/// The character boundary at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
