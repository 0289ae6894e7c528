//! What looks like a finding and is none: placeholders, documented examples, references to a value kept
//! elsewhere, and the tokens that redaction leaves behind.

use super::value::Shape;
use aho_corasick::AhoCorasick;
use std::ops::Range;
use std::sync::LazyLock;

/// Parts that say that a value stands for another. Lower case.
const PLACEHOLDER_PARTS: &[&str] = &[
    "example",
    "placeholder",
    "changeme",
    "change-me",
    "change_me",
    "your-",
    "your_",
    "yourpass",
    "yourkey",
    "yourtoken",
    "yoursecret",
    "my-secret",
    "mysecret",
    "replace",
    "insert",
    "redacted",
    "censored",
    "masked",
    "dummy",
    "sample",
    "foobar",
    "todo",
    "fixme",
    "xxxx",
    "****",
    "....",
    "…",
    "-here",
    "_here",
    "goes-here",
    "not-a-",
    "notreal",
    "not-real",
    "fake",
    "abcdefgh",
    "12345678",
    "87654321",
    "abc123",
    "0123456789",
    "deadbeef",
    "aaaaaa",
    "000000000",
    "lorem",
];

/// Values that are words of a language or of a format. Lower case.
const WORDS: &[&str] = &[
    "",
    "null",
    "none",
    "nil",
    "true",
    "false",
    "undefined",
    "string",
    "str",
    "text",
    "bool",
    "int",
    "bytes",
    "password",
    "passwd",
    "passphrase",
    "passwort",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "key",
    "credentials",
    "required",
    "optional",
    "hidden",
    "test",
    "testing",
    "empty",
    "default",
    "unset",
    "n/a",
    "username",
    "user",
    "admin",
    "root",
    "pass",
    "pwd",
    "guest",
    "postgres",
    "mysql",
    "localhost",
    "value",
    "p@ssw0rd",
    "passw0rd",
    "password1",
    "password123",
    "secret123",
    "hunter2",
    "letmein",
    "correct-horse",
];

static PLACEHOLDERS: LazyLock<Words> = LazyLock::new(|| Words::new(PLACEHOLDER_PARTS));

/// Whether `value` stands for a value, or says where one is kept, instead of being one.
pub(super) fn is_placeholder(value: &str) -> bool {
    let bytes = value.as_bytes();
    if is_reference(bytes) || one_char_fills(bytes) {
        return true;
    }
    let head = &bytes[..bytes.len().min(96)];
    WORDS.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(bytes))
        || PLACEHOLDERS.are_part_of(head)
        || ends_in_example(bytes)
}

/// Whether a value with a fixed prefix is one that documentation shows: a run of one character, a counting
/// sequence, or the word itself.
pub(super) fn is_documented_example(value: &str) -> bool {
    static PARTS: LazyLock<Words> = LazyLock::new(|| {
        Words::new(&[
            "example",
            "xxxxx",
            "*****",
            ".....",
            "your",
            "placeholder",
            "1234567890",
            "abcdefghij",
            "0123456789",
        ])
    });
    let bytes = value.as_bytes();
    PARTS.are_part_of(&bytes[..bytes.len().min(256)]) || one_char_fills(bytes)
}

/// A reference: `${NAME}`, `{{ name }}`, `<name>`, `%NAME%`, `$NAME`, `ENC(…)`, `vault:…`.
fn is_reference(value: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[
        b"${",
        b"{{",
        b"$(",
        b"#{",
        b"<",
        b"%(",
        b"{%",
        b"[[",
        b"ENC[",
        b"ENC(",
        b"enc(",
        b"vault:",
        b"!",
        b"arn:",
        b"ssm:",
        b"secretsmanager:",
        b"op://",
        b"env:",
        b"env.",
        b"env(",
        b"file:",
        b"keyvault",
        b"@Microsoft",
        b"process.env",
        b"os.environ",
        b"os.getenv",
        b"secrets.",
        b"vars.",
        b"var.",
        b"local.",
        b"config.",
        b"settings.",
        b"self.",
        b"this.",
        b"$.",
        b"\\u003c",
        b"&lt;",
        b"**",
    ];
    let name = |rest: &[u8]| {
        !rest.is_empty()
            && rest.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'{' | b'}' | b':'))
    };
    match value {
        [b'!', rest @ ..] => rest.iter().all(u8::is_ascii_alphabetic),
        [b'$', rest @ ..] if name(rest) => true,
        [b'$', rest @ ..] if is_path_of_variable(rest) => true,
        [b'%', rest @ .., b'%'] if name(rest) => true,
        [b'{', rest @ .., b'}'] if name(rest) => true,
        _ => STARTS.iter().any(|start| value.starts_with(start)) || holds_token(value),
    }
}

/// `API/v1/items` after `$`, `_POST[`: a variable's name in capitals, and more.
fn is_path_of_variable(rest: &[u8]) -> bool {
    let name = rest.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'_').count();
    name >= 3 && matches!(rest.get(name), Some(b'/' | b'[' | b'.' | b'-' | b':'))
}

/// Whether a redaction's token, such as `[EMAIL_1]`, is in `value`.
pub(super) fn holds_token(value: &[u8]) -> bool {
    memchr::memchr_iter(b'[', value).any(|at| super::redact::token_at(value, at).is_some())
}

/// Whether the value says at its end that it is an example, as documented keys do.
fn ends_in_example(value: &[u8]) -> bool {
    let tail = &value[value.len().saturating_sub(12)..];
    contains_ignoring_case(tail, b"example")
}

/// Whether hardly any character but one is in `value`.
fn one_char_fills(value: &[u8]) -> bool {
    let shape = Shape::of(value);
    value.len() >= 3 && shape.distinct <= 1 || value.len() >= 12 && shape.distinct <= 3
}

pub(super) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    needle.len() <= hay.len() && hay.windows(needle.len()).any(|window| window == needle)
}

pub(super) fn contains_ignoring_case(hay: &[u8], needle: &[u8]) -> bool {
    needle.len() <= hay.len() && hay.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

/// Words that are looked for together, whatever their case in ASCII.
pub(super) struct Words {
    automaton: AhoCorasick,
    words: &'static [&'static str],
}

impl Words {
    /// The set of `words`, in lower case.
    pub fn new(words: &'static [&'static str]) -> Self {
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
        Self { automaton: automaton.expect("a few short words make a small automaton"), words }
    }

    /// Whether one of them is in `text`, anywhere.
    pub fn are_part_of(&self, text: &[u8]) -> bool {
        self.automaton.is_match(text)
    }

    /// Whether one of them is in `text`. One of up to four letters must stand alone: `sin` is in `using`.
    pub fn are_in(&self, text: &[u8]) -> bool {
        self.automaton.find_overlapping_iter(text).any(|found| {
            let word = self.words[found.pattern().as_usize()];
            word.len() > 4 || stands_alone(text, found.range())
        })
    }
}

/// Whether no ASCII letter touches the word at `range` where it has one itself.
pub(super) fn stands_alone(text: &[u8], range: Range<usize>) -> bool {
    let is_letter = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphabetic);
    let opens = !is_letter(range.start) || !range.start.checked_sub(1).is_some_and(is_letter);
    opens && (!is_letter(range.end - 1) || !is_letter(range.end))
}
