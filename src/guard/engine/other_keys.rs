//! Keys and tokens that are there to be shown: `public key`, `next_token`, `primary key`.

use super::super::numbers;
use super::super::validators::Validator;
use std::ops::Range;
use std::sync::LazyLock;

/// Words before `key` or `token` that make it something to show. Lower case.
///
/// The half of a pair that is given away; columns and entries; pages of a list; a language model's text;
/// forms and trackers.
const SHOWN: &str = "
    public publishable pub anon anonymous site
    primary foreign unique composite sort partition shard row index hash group dedup lookup registry cache
    object s3 storage map dict json translation data answer message routing event idempotency
    next page pagination continuation cursor sync
    max min input output total stop start end pad eos bos special
    csrf xsrf issue jira project";

/// Those that stand before real keys as well, when more than the bare word `key` names them.
const SOMETIMES_SHOWN: &[&str] = &["storage", "site", "data", "project", "event", "group", "message"];

/// Whether the word before a key word, which is at `anchor`, makes it another thing.
pub(super) fn names_another(validator: Validator, bytes: &[u8], anchor: &Range<usize>) -> bool {
    static WORDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| SHOWN.split_whitespace().collect());
    if !matches!(validator, Validator::Key | Validator::BareKey) {
        return false;
    }
    // A secret or a salt is never there to be shown.
    let shows =
        |word: &[u8]| [b"secret".as_slice(), b"salt", b"hmac"].iter().any(|no| word.eq_ignore_ascii_case(no));
    if shows(&bytes[anchor.clone()]) {
        return false;
    }
    let before = numbers::before(bytes, anchor.start, 20);
    let word = before.trim_ascii_end();
    let word =
        word.strip_suffix(b"_").or(word.strip_suffix(b"-")).or(word.strip_suffix(b".")).unwrap_or(word);
    let length = word.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    let word = &word[word.len() - length..];
    // `nextToken` comes as `next` here: the key word's capital is its own.
    WORDS.iter().any(|shown| {
        if validator == Validator::BareKey {
            word.ends_with(shown.as_bytes())
        } else {
            word == shown.as_bytes() && !SOMETIMES_SHOWN.contains(shown)
        }
    })
}
