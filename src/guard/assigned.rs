//! From a key word to the value it names: `password = "…"`, `Das Passwort lautet …`, `| API key | … |`.
//!
//! A walk over at most [`REACH`] bytes. It hands each thing that could be the value to a judge, together
//! with what links the two, and stops at the first that the judge accepts.

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

/// Walks from the end of a key word, at `key_end`, until `judge` accepts a value.
pub(super) fn walk(
    text: &str,
    key_end: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let named = end_of_name(bytes, key_end)?;
    // `user:password@host`, `<user>:<password>@host`: a URI's pattern.
    if bytes[named..].starts_with(b"@")
        || bytes[named..].starts_with(b">@")
        || bytes[named..].starts_with(b"}@")
    {
        return None;
    }
    let closed = skip(bytes, named, |b| matches!(b, b'"' | b'\'' | b'`' | b']' | b')' | b'*' | b'\\'), 6);
    let blank = skip(bytes, closed, is_blank, 24);
    if bytes.get(blank) == Some(&b'>') {
        return element(text, blank + 1, judge);
    }
    if let Some(after) = operator(bytes, blank) {
        return match assigned(text, key_end, after, judge) {
            Assigned::Found(range) => Some(range),
            Assigned::Other => None,
            Assigned::Words => said(text, after, true, judge),
        };
    }
    if is_cell_edge(bytes, blank) {
        return cells(text, blank + 1, judge);
    }
    said(text, named, false, judge)
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

/// The value after an operator, and after a type if one is declared first.
fn assigned(
    text: &str,
    key_end: usize,
    after: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Assigned {
    let bytes = text.as_bytes();
    let start = skip(bytes, after, is_blank, 24);
    // Two asterisks are bold type; more stand for what was left out.
    let stars = skip(bytes, start, |b| b == b'*', 24) - start;
    let start = skip(bytes, start + stars, is_blank, 4);
    if stars > 2 || is_named_placeholder(&bytes[start..]) {
        return Assigned::Other;
    }
    let start = skip_word(bytes, start);
    let Some((range, link)) = value_at(text, start) else { return Assigned::Words };
    let range = if link == Link::Operator { cut(bytes, key_end, range) } else { range };
    if !range.is_empty() && judge(range.clone(), link) {
        return Assigned::Found(range);
    }
    // `password: str = "…"`, `password String = "…"`.
    let is_type = bytes[range.clone()]
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b']' | b'_' | b'|' | b'?' | b'&' | b'.'));
    let next = skip(bytes, range.end, is_blank, 4);
    if link == Link::Operator && is_type && bytes.get(next) == Some(&b'=') {
        let typed = value_at(text, skip(bytes, next + 1, is_blank, 4));
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

/// The text of an element, from after its tag on to the next one: `<password>…</password>`.
fn element(
    text: &str,
    from: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = skip(bytes, from, |b| b.is_ascii_whitespace(), 16);
    let window = &bytes[start..bytes.len().min(start + LONGEST)];
    let end = memchr::memmem::find(window, b"</")?;
    let data = window[..end].strip_prefix(b"<![CDATA[").map_or(0, |_| 9);
    let value = window[data..end].trim_ascii_end();
    let value = value.strip_suffix(b"]]>").unwrap_or(value);
    let plain = !value.iter().any(|b| b.is_ascii_whitespace() || matches!(b, b'<' | b'>'));
    let range = start + data..start + data + value.len();
    (plain && judge(range.clone(), Link::Quoted)).then_some(range)
}

/// Skips what may stand between an operator and the value: a scheme, the prefix of a literal.
fn skip_word(bytes: &[u8], at: usize) -> usize {
    const WORDS: &[&[u8]] = &[
        b"bearer ", b"basic ", b"token ", b"apikey ", b"b\"", b"r\"", b"b'", b"r'", b"@\"", b"s%3a",
        b"!!str ", b"N'",
    ];
    let rest = &bytes[at..];
    let found =
        WORDS.iter().find(|word| rest.len() > word.len() && rest[..word.len()].eq_ignore_ascii_case(word));
    match found {
        Some(word) if matches!(word.last(), Some(b'"' | b'\'')) => at + word.len() - 1,
        Some(word) => at + word.len(),
        None if rest.first() == Some(&b'(') && matches!(rest.get(1), Some(b'"' | b'\'')) => at + 1,
        None => at,
    }
}

/// The quoted or bare value at `at`.
fn value_at(text: &str, at: usize) -> Option<(Range<usize>, Link)> {
    let bytes = text.as_bytes();
    let rest = &bytes[at..];
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
fn bare(bytes: &[u8], at: usize) -> Range<usize> {
    let mut end = at;
    while end < bytes.len() && end - at < LONGEST {
        let byte = bytes[end];
        let stops = match byte {
            b'"' | b'`' | b'<' | b';' | b'|' => true,
            b'\'' => true,
            b',' => {
                bytes.get(end + 1).is_none_or(|&b| !b.is_ascii_graphic()) || is_assignment(&bytes[end + 1..])
            }
            b'\\' => matches!(bytes.get(end + 1), Some(b'n' | b'r' | b't' | b'"' | b'\'' | b'u')),
            0xe3..=0xef => true,
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
fn cut(bytes: &[u8], key_end: usize, range: Range<usize>) -> Range<usize> {
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

/// A value in prose, in the key word's sentence. `linked`: something already said that it follows.
fn said(
    text: &str,
    from: usize,
    mut linked: bool,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end = bytes.len().min(from + REACH);
    let mut at = from;
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
        if at >= end || bytes[at] == b'\n' || bytes[at] == b'\r' {
            return None;
        }
        if matches!(bytes[at], 0xe3..=0xef) {
            let script_end = end_of_script(bytes, at, end);
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
        if (linked || place == 0) && word.len() >= 5 && !super::value::is_plain_word(word.as_bytes()) {
            let range = bare(bytes, at);
            let link = if linked { Link::Said } else { Link::Adjacent };
            if range.len() >= 5 && judge(range.clone(), link) {
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
fn answer(
    text: &str,
    from: usize,
    judge: &mut dyn FnMut(Range<usize>, Link) -> bool,
) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let rest = &bytes[from..bytes.len().min(from + 8)];
    let line = from + memchr::memchr(b'\n', rest)? + 1;
    let line = skip(bytes, line, |b| b.is_ascii_whitespace(), 4);
    let window = &bytes[line..bytes.len().min(line + LONGEST)];
    let end = line + memchr::memchr(b'\n', window).unwrap_or(window.len());
    let content = bytes[line..end].trim_ascii_end();
    let start = memchr::memrchr(b' ', content).map_or(0, |space| space + 1);
    let speaker = &content[..start];
    if start > 48
        || !(start == 0
            || speaker.trim_ascii_end().ends_with(b":")
            || speaker.trim_ascii_end().ends_with(b">"))
    {
        return None;
    }
    let range =
        bare(bytes, line + start + usize::from(matches!(content.get(start), Some(b'`' | b'"' | b'\''))));
    (range.len() >= 6 && judge(range.clone(), Link::Answer)).then_some(range)
}

/// A value in a later cell of the key word's row.
fn cells(text: &str, from: usize, judge: &mut dyn FnMut(Range<usize>, Link) -> bool) -> Option<Range<usize>> {
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

fn is_cell_edge(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b'|') && bytes.get(at + 1) != Some(&b'|')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip(bytes: &[u8], at: usize, what: impl Fn(u8) -> bool, most: usize) -> usize {
    at + bytes[at.min(bytes.len())..].iter().take(most).take_while(|&&b| what(b)).count()
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
