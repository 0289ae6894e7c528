//! What a rule finds at one of its anchors.

use super::super::assigned::{self, Link};
use super::super::rules::{Edge, How, Rule};
use super::super::validators::Validator;
use super::super::{allow, armour, email, numbers, uri, value};
use super::other_keys::names_another;
use std::ops::Range;

/// How far before a match its context word may stand, in bytes.
const CONTEXT_REACH: usize = 64;

/// Key words after which the user's name comes first.
const NAME_FIRST: &[&str] = &["login", "логин", "доступ"];

/// A key word of this many bytes may end a longer word.
const LONG: usize = 5;

/// How far before a pronoun the word that it stands for may be, in bytes.
const REFERRED_REACH: usize = 240;

/// Hands on what `rule` finds at its `anchor`.
pub(super) fn check(rule: &Rule, text: &str, anchor: &Range<usize>, found: &mut dyn FnMut(Range<usize>)) {
    let range = match rule.how {
        How::Anchor => match_at(rule, text, anchor.start),
        How::Word => {
            let is_part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'~' | b'-');
            let back =
                text.as_bytes()[..anchor.start].iter().rev().take(rule.back).take_while(is_part).count();
            match_at(rule, text, anchor.start - back)
        }
        How::Assigned => return assigned_to(rule, text, anchor, found),
        How::Native => match rule.validator {
            Validator::UriPassword => uri::password(text, anchor.start),
            Validator::Email => email::address(text, anchor.start),
            Validator::PrivateKey => armour::private_key(text, anchor.start),
            _ => None,
        },
        How::Digits | How::Number => None,
    };
    range.into_iter().for_each(found);
}

/// The rule's expression at `start`, with its edges, its words around, and its validator.
pub(super) fn match_at(rule: &Rule, text: &str, start: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if rule.edge != Edge::None && !opens(bytes, start) {
        return None;
    }
    let window = &bytes[start..bytes.len().min(start + rule.window)];
    let expression = rule.expression()?;
    let (whole, part) = if expression.captures_len() > 1 {
        let captures = expression.captures(window)?;
        (captures.get(0)?.range(), captures.get(1)?.range())
    } else {
        let whole = expression.find(window)?.range();
        (whole.clone(), whole)
    };
    if rule.edge == Edge::Word && !closes(bytes, start + whole.end) {
        return None;
    }
    let range = snap(text, start + part.start..start + part.end);
    let found = text.get(range.clone())?;
    let range = if rule.validator == Validator::WebhookPath {
        whole_uri(bytes, range.clone())
    } else {
        range.clone()
    };
    (!found.is_empty() && rule.validator.accepts(found) && has_context(rule, bytes, start)).then_some(range)
}

/// The range from the start of the URI that it is in.
fn whole_uri(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let host = bytes[..range.start].iter().rev().take(64);
    let host = host.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')).count();
    let start = range.start - host;
    let scheme = bytes[..start].ends_with(b"https://");
    if scheme { start - 8..range.end } else { start..range.end }
}

/// Whether one of the rule's words stands before `start`, or at the head of its column.
fn has_context(rule: &Rule, bytes: &[u8], start: usize) -> bool {
    if rule.context.is_empty() {
        return true;
    }
    let reach = if rule.validator == Validator::Referred { REFERRED_REACH } else { CONTEXT_REACH };
    let says = |before: &[u8]| {
        rule.context.iter().any(|word| {
            let mut places = memchr::memmem::find_iter(before, word.as_bytes());
            places.any(|at| word.len() > 4 || allow::stands_alone(before, at..at + word.len()))
        })
    };
    says(&numbers::before(bytes, start, reach))
        || rule.how == How::Number
            && assigned::heading(bytes, start).is_some_and(|head| says(&numbers::lower(head)))
}

/// Hands on the value that the rule's key word names, or the values of the column that it heads.
fn assigned_to(rule: &Rule, text: &str, anchor: &Range<usize>, found: &mut dyn FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    if !is_key_word(rule, bytes, anchor)
        || !has_context(rule, bytes, anchor.end)
        || names_another(rule.validator, bytes, anchor)
    {
        return;
    }
    // After `login:` a name comes first, often with digits in it.
    let names_user =
        NAME_FIRST.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(&bytes[anchor.clone()]));
    let mut judge = |range: Range<usize>, link| {
        let Some(value) = text.get(range.clone()) else { return false };
        let is_name = names_user && !value.bytes().any(|b| b.is_ascii_punctuation() && !b"._-@".contains(&b));
        judge(rule, value, link) && !is_name && !allow::holds_token(&bytes[range])
    };
    let Some(mut value) = assigned::walk(text, end_of_word(bytes, anchor), &mut judge) else {
        assigned::column(text, anchor, &mut judge).into_iter().for_each(found);
        return;
    };
    // A full stop may be the sentence's or the password's last character. Hiding it costs the sentence less.
    let is_password =
        matches!(rule.validator, Validator::Password | Validator::ShortPassword | Validator::Referred);
    if is_password && bytes.get(value.end) == Some(&b'.') {
        value.end += 1;
    }
    found(value);
}

/// The end of the anchor's word: it may have a sign that must follow the word, as in `pw:`.
fn end_of_word(bytes: &[u8], anchor: &Range<usize>) -> usize {
    anchor.end - usize::from(bytes[anchor.end - 1] < 0x80 && !bytes[anchor.end - 1].is_ascii_alphanumeric())
}

/// Whether the anchor is a word, or the part of an identifier that says what it is.
fn is_key_word(rule: &Rule, bytes: &[u8], anchor: &Range<usize>) -> bool {
    let before = anchor.start.checked_sub(1).map_or(b' ', |last| bytes[last]);
    let first = bytes[anchor.start];
    let camel = first.is_ascii_uppercase() && before.is_ascii_lowercase();
    // `PGPASSWORD`, `accesstoken`: a long key word may end another word. A short one, as in `compass`, not.
    let joined = anchor.len() < LONG && before.is_ascii_alphabetic() && first.is_ascii_alphabetic() && !camel;
    let goes_on = bytes
        .get(end_of_word(bytes, anchor))
        .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    // Random letters hold every short word, and a resource's name says `secret` of what lies elsewhere.
    let word = &bytes[anchor.start.saturating_sub(96)..anchor.start];
    let length = |part: fn(&u8) -> bool| word.iter().rev().take_while(|b| part(b)).count();
    let in_blob = length(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')) > 30;
    let name =
        &word[word.len() - length(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_' | b'/'))..];
    let in_template = memchr::memmem::rfind(word, b"{{").is_some_and(|open| {
        memchr::memmem::find(&word[open..], b"}}").is_none() && !word[open..].contains(&b'"')
    });
    let in_blob = in_blob
        || rule.validator == Validator::ShortPassword
            && name.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).any(u8::is_ascii_digit);
    if in_blob || name.starts_with(b"arn:") || in_template {
        return false;
    }
    (!joined || rule.edge == Edge::None || numbers::ends_an_escape(bytes, anchor.start))
        && !(goes_on && rule.validator == Validator::ShortPassword)
}

fn judge(rule: &Rule, found: &str, link: Link) -> bool {
    if let Some(expression) = rule.expression()
        && expression.find(found.as_bytes()).is_none_or(|whole| whole.end() != found.len())
    {
        return false;
    }
    match rule.validator {
        Validator::Password => value::is_password(found, link),
        Validator::Referred => !link.is_loose() && value::is_password(found, Link::Adjacent),
        Validator::ShortPassword => {
            value::is_password(found, if link.is_loose() { Link::Said } else { Link::Adjacent })
        }
        Validator::Key => value::is_key(found, link, false),
        Validator::BareKey => value::is_key(found, link, true),
        other => other.accepts(found),
    }
}

/// Whether nothing before `start` belongs to the same word.
fn opens(bytes: &[u8], start: usize) -> bool {
    let Some(&before) = start.checked_sub(1).and_then(|last| bytes.get(last)) else { return true };
    let part = before.is_ascii_alphanumeric() || before == b'_';
    let encoded =
        start >= 3 && bytes[start - 3] == b'%' && bytes[start - 2..start].iter().all(u8::is_ascii_hexdigit);
    !part || numbers::ends_an_escape(bytes, start) || encoded
}

/// Whether nothing at `end` belongs to the same word.
fn closes(bytes: &[u8], end: usize) -> bool {
    bytes.get(end).is_none_or(|after| !after.is_ascii_alphanumeric() && *after != b'_')
}

/// The range, widened to whole characters.
fn snap(text: &str, mut range: Range<usize>) -> Range<usize> {
    while !text.is_char_boundary(range.start) {
        range.start -= 1;
    }
    while !text.is_char_boundary(range.end) {
        range.end += 1;
    }
    range
}
