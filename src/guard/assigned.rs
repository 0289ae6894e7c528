//! From a key word to the value it names: `password = "…"`, `Das Passwort lautet …`, `| API key | … |`.
//!
//! A walk over at most [`REACH`] bytes. It hands each thing that could be the value to a judge, together
//! with what links the two, and stops at the first that the judge accepts.

mod prose;
mod span;
mod table;
mod words;

use std::ops::Range;

/// How far from its key word a value may begin, in bytes.
pub(super) const REACH: usize = 160;
/// How many words may stand between the two.
const MOST_WORDS: usize = 10;
/// The longest value that is looked at, in bytes.
const LONGEST: usize = 320;

/// What links a value to its key word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// An operator, and quotation marks around the value.
    Quoted,
    /// An operator.
    Operator,
    /// A verb that says so (`is`, `lautet`), or a colon later in the sentence.
    Said,
    /// Nothing: the value follows at once.
    Adjacent,
    /// Both are cells of a row.
    Cell,
    /// The key word is asked for, and the next line is the value.
    Answer,
}

impl Link {
    /// Whether the link alone says that a value follows.
    pub fn is_loose(self) -> bool {
        matches!(self, Self::Quoted | Self::Operator)
    }
}

pub(super) use table::{column, heading};

/// Walks from the end of a key word, at `key_end`, until `judge` accepts a value.
pub(super) fn walk(
    text: &str,
    key_end: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // Scripts without blanks have no identifiers: a value may follow at once.
    let script = key_end >= 3 && matches!(bytes[key_end - 3], 0xe3..=0xef);
    let named = if script { key_end } else { end_of_name(bytes, key_end)? };
    // `user:password@host`, `<user>:<password>@host`: a URI's pattern.
    if [b"@".as_slice(), b">@", b"}@"].iter().any(|host| bytes[named..].starts_with(host)) {
        return None;
    }
    let closed = skip(bytes, named, |b| matches!(b, b'"' | b'\'' | b'`' | b']' | b')' | b'*' | b'\\'), 6);
    let blank = skip(bytes, closed, is_blank, 24);
    if bytes.get(blank) == Some(&b'>') {
        return table::element(text, blank + 1, judge);
    }
    if let Some(end) = table::end_of_tag(bytes, key_end, named) {
        return table::element(text, end, judge);
    }
    if let Some(tagged) = table::after_tags(bytes, blank) {
        return table::tagged(text, tagged, judge);
    }
    if let Some(after) = table::named_value(bytes, closed) {
        return assigned(text, key_end, after, judge).found();
    }
    if let Some(after) = operator(bytes, blank) {
        return match assigned(text, key_end, after, judge) {
            Assigned::Words => prose::said(text, after, true, judge),
            other => other.found(),
        };
    }
    if is_cell_edge(bytes, blank) {
        return table::cells(text, blank + 1, judge);
    }
    prose::said(text, named, false, judge)
}

/// The end of the identifier or word that a key word is in; none if the rest makes it another thing.
fn end_of_name(bytes: &[u8], key_end: usize) -> Option<usize> {
    let mut end = key_end;
    while end < bytes.len() && end - key_end < 40 {
        let byte = bytes[end];
        let joins = matches!(byte, b'.' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
        if !(byte.is_ascii_alphanumeric() || byte == b'_' || joins) {
            break;
        }
        end += 1;
    }
    let rest = &bytes[key_end..end];
    let key_is_lower = bytes[key_end - 1].is_ascii_lowercase();
    let key_is_word = bytes[key_end - 1].is_ascii_alphabetic();
    match rest {
        [] | [b's' | b'S'] => return Some(end),
        [first, ..] if key_is_word && first.is_ascii_lowercase() => return None,
        [first, ..] if key_is_word && first.is_ascii_uppercase() && !key_is_lower => return None,
        _ => {}
    }
    let mut start = 0;
    for at in 1..=rest.len() {
        let parts = at == rest.len()
            || matches!(rest[at], b'_' | b'.' | b'-')
            || rest[at].is_ascii_uppercase() && rest[at - 1].is_ascii_lowercase();
        if parts {
            let word = &rest[start..at];
            let word = word
                .strip_prefix(b"_")
                .or(word.strip_prefix(b"."))
                .or(word.strip_prefix(b"-"))
                .unwrap_or(word);
            if words::makes_another(word) {
                return None;
            }
            start = at;
        }
    }
    Some(end)
}

/// The position after an operator at `at`.
fn operator(bytes: &[u8], at: usize) -> Option<usize> {
    const OPERATORS: &[&[u8]] = &[
        b":=",
        b"=>",
        b"->",
        b"?=",
        b"||=",
        b"??=",
        b"||",
        b"??",
        b"::",
        b"==",
        b"!=",
        b"=",
        b":",
        "：".as_bytes(),
        "＝".as_bytes(),
    ];
    let rest = &bytes[at..];
    let found = OPERATORS.iter().find(|operator| rest.starts_with(operator));
    match found {
        Some(&b"::" | &b"==" | &b"!=") => None,
        Some(operator) => Some(at + operator.len()),
        // `("password", "…")`.
        None if rest.first() == Some(&b',') => {
            let quote = skip(bytes, at + 1, is_blank, 4);
            matches!(bytes.get(quote), Some(b'"' | b'\'')).then_some(quote)
        }
        None => None,
    }
}

/// What stands after an operator.
enum Assigned {
    Found(Range<usize>),
    /// A value that is none: a placeholder, a quoted word.
    Other,
    /// Perhaps the first word of a sentence.
    Words,
}

impl Assigned {
    fn found(self) -> Option<Range<usize>> {
        if let Self::Found(range) = self { Some(range) } else { None }
    }
}

/// The value after an operator, and after a type if one is declared first.
fn assigned(
    text: &str,
    key_end: usize,
    after: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Assigned {
    let bytes = text.as_bytes();
    let start = skip(bytes, after, is_blank, 24);
    // Two asterisks are bold type, as one before a blank is; more stand for what was left out.
    let asterisks = skip(bytes, start, |b| b == b'*', 24) - start;
    let is_type = asterisks == 2 || asterisks == 1 && bytes.get(start + 1).is_some_and(|b| is_blank(*b));
    let start = if is_type { skip(bytes, start + asterisks, is_blank, 4) } else { start };
    if asterisks > 2 || is_named_placeholder(&bytes[start..]) {
        return Assigned::Other;
    }
    if let Some(below) = next_line(bytes, start) {
        return prose::answer(text, below, judge).map_or(Assigned::Other, Assigned::Found);
    }
    let start = table::after_tag(bytes, start).unwrap_or(start);
    let start = span::skip_prefix(bytes, start);
    if span::is_empty(bytes, start) {
        return Assigned::Other;
    }
    let Some((range, link)) = span::value_at(text, start) else { return Assigned::Words };
    let range = if link == Link::Operator { span::cut(bytes, key_end, range) } else { range };
    if !range.is_empty() && judge(range.clone(), link) {
        return Assigned::Found(range);
    }
    if link == Link::Operator
        && let Some(value) = after_type(bytes, &range)
    {
        let typed = span::value_at(text, span::skip_prefix(bytes, value));
        return typed
            .filter(|(range, link)| judge(range.clone(), *link))
            .map_or(Assigned::Other, |(range, _)| Assigned::Found(range));
    }
    let over = link == Link::Quoted || bytes[after - 1] == b'=';
    if over || text.get(range).is_none_or(super::allow::is_placeholder) {
        Assigned::Other
    } else {
        Assigned::Words
    }
}

/// The end of the line, if nothing but a sign for a block of text (`|`, `>-`) is left of it at `at`.
fn next_line(bytes: &[u8], at: usize) -> Option<usize> {
    let sign = skip(bytes, at, |b| matches!(b, b'|' | b'>' | b'-' | b'`' | b'\r'), 4);
    (bytes.get(sign) == Some(&b'\n')).then_some(sign)
}

/// Where the value begins in `password: str = "…"` and `password: Option<String> = Some("…")`, after the
/// type at `range`.
fn after_type(bytes: &[u8], range: &Range<usize>) -> Option<usize> {
    let is_type = bytes[range.clone()].iter().all(|b| {
        b.is_ascii_alphanumeric() || matches!(b, b'[' | b']' | b'_' | b'|' | b'?' | b'&' | b'.' | b':')
    });
    let argument =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'<' | b'>' | b'\'' | b':' | b'_' | b',' | b' ');
    let end =
        if bytes.get(range.end) == Some(&b'<') { skip(bytes, range.end, argument, 40) } else { range.end };
    let next = skip(bytes, end, is_blank, 4);
    (is_type && bytes.get(next) == Some(&b'=')).then(|| skip(bytes, next + 1, is_blank, 4))
}

/// Whether `<password>` or `<your key here>` stands at the start of `rest`: letters, blanks and joints in
/// angle brackets, with no closing tag of the same line after them.
fn is_named_placeholder(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b"<") else { return false };
    let is_part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'_' | b'.' | b'\'');
    let name = rest.iter().take(48).take_while(is_part).count();
    let line = &rest[..rest.len().min(name + LONGEST)];
    let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
    name > 0 && rest.get(name) == Some(&b'>') && memchr::memmem::find(line, b"</").is_none()
}

fn is_cell_edge(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b'|') && bytes.get(at + 1) != Some(&b'|')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip(bytes: &[u8], at: usize, what: impl Fn(u8) -> bool, most: usize) -> usize {
    at + bytes[at.min(bytes.len())..].iter().take(most).take_while(|&&b| what(b)).count()
}
