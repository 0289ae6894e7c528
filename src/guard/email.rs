//! Email addresses: RFC 5321 as people write it, less what only looks so.

use std::ops::Range;

/// Last labels that are endings of files or members of a program's objects.
const NOT_DOMAINS: &[&str] = &[
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "ico",
    "css",
    "js",
    "mjs",
    "ts",
    "tsx",
    "jsx",
    "html",
    "htm",
    "json",
    "yaml",
    "yml",
    "toml",
    "txt",
    "md",
    "rst",
    "xml",
    "csv",
    "pdf",
    "zip",
    "gz",
    "tar",
    "tgz",
    "exe",
    "dll",
    "so",
    "lock",
    "log",
    "sql",
    "service",
    "socket",
    "timer",
    "mount",
    "target",
    "local",
    "localhost",
    "localdomain",
    "internal",
    "invalid",
    "test",
    "example",
    "lan",
    "corp",
    "home",
    "py",
    "rb",
    "rs",
    "go",
    "java",
    "kt",
    "cs",
    "cpp",
    "hpp",
    "map",
    "get",
    "post",
    "setter",
    "value",
    "field",
    "property",
    "component",
    "override",
];

/// Domains that are set aside for examples (RFC 2606), and what tutorials write.
const EXAMPLES: &[&str] = &[
    "example.com",
    "example.org",
    "example.net",
    "example.edu",
    "domain.com",
    "yourdomain.com",
    "email.com",
    "test.com",
    "company.com",
    "yourcompany.com",
    "mydomain.com",
    "foo.com",
    "bar.com",
    "acme.com",
    "domain.tld",
    "example.tld",
];

/// Local parts that nobody reads.
const NOBODY: &[&str] = &[
    "noreply",
    "no-reply",
    "no_reply",
    "donotreply",
    "do-not-reply",
    "mailer-daemon",
    "git",
    "actions",
    "dependabot",
    "users.noreply",
];

/// The address around the `@` at `at`.
pub(super) fn address(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let start = local_start(text, at)?;
    let end = domain_end(text, at + 1)?;
    let (local, domain) = (&text[start..at], &text[at + 1..end]);
    let dot = domain.rfind('.')?;
    let last = &domain[dot + 1..];
    let labels_fit =
        domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    let is_domain = labels_fit
        && (2..=24).contains(&last.len())
        && last.chars().all(char::is_alphabetic)
        && !NOT_DOMAINS.iter().any(|not| not.eq_ignore_ascii_case(last));
    let lower = domain.to_ascii_lowercase();
    let shown = EXAMPLES.iter().any(|example| {
        lower.strip_suffix(example).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    let nobody = NOBODY.iter().any(|name| name.eq_ignore_ascii_case(local));
    // `git@host:path` names a repository, `scheme://user:password@host` is a URI's, and so is `<id@host>`
    // after `Message-ID:`.
    let after = bytes.get(end).copied().unwrap_or(b' ');
    let remote = after == b':'
        && bytes.get(end + 1).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'/')
        && bytes[end + 1..bytes.len().min(end + 80)]
            .iter()
            .take_while(|b| b.is_ascii_graphic())
            .any(|b| *b == b'/')
        && !domain.contains("mail");
    let before = bytes[..start].last().copied().unwrap_or(b' ');
    let in_uri = before == b'@' || in_authority(bytes, start);
    let call = after == b'(';
    (is_domain && !shown && !nobody && !remote && !in_uri && !call && !is_message_id(bytes, start))
        .then_some(start..end)
}

/// Where the local part begins; none if it is empty, or begins or ends with a point.
fn local_start(text: &str, at: usize) -> Option<usize> {
    let allowed = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'')
            || ('\u{c0}'..'\u{250}').contains(&c)
    };
    let mut start = at;
    for (place, c) in text[..at].char_indices().rev().take(65) {
        if !allowed(c) {
            break;
        }
        start = place;
    }
    let bytes = text.as_bytes();
    // `\nname@…` in a quoted string, and `%20name@…`.
    if start > 0 && bytes[start - 1] == b'\\' && matches!(bytes[start], b'n' | b't' | b'r') {
        start += 1;
    }
    start += bytes[start..at].iter().take_while(|b| matches!(b, b'.' | b'\'' | b'-' | b'%' | b'+')).count();
    (start < at && bytes[at - 1] != b'.' && at - start <= 64).then_some(start)
}

/// Where the domain ends; none if it has no point.
fn domain_end(text: &str, from: usize) -> Option<usize> {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-') || ('\u{c0}'..'\u{250}').contains(&c);
    let length: usize = text[from..].chars().take(253).take_while(|&c| allowed(c)).map(char::len_utf8).sum();
    let trimmed = text[from..from + length].trim_end_matches(['.', '-']);
    trimmed.contains('.').then_some(from + trimmed.len())
}

/// Whether `start` is inside `scheme://user:…@`.
fn in_authority(bytes: &[u8], start: usize) -> bool {
    let window = &bytes[start.saturating_sub(96)..start];
    let word = window
        .iter()
        .rposition(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'('))
        .map_or(0, |at| at + 1);
    let uri = &window[word..];
    let Some(scheme) = memchr::memmem::find(uri, b"://") else { return false };
    let authority = &uri[scheme + 3..];
    let ends = |b: &u8| matches!(b, b'/' | b'?');
    !authority.iter().any(ends) || authority.contains(&b':') && !authority.contains(&b'/')
}

fn is_message_id(bytes: &[u8], start: usize) -> bool {
    let window = &bytes[start.saturating_sub(24)..start];
    bytes[..start].ends_with(b"<")
        && (super::allow::contains_ignoring_case(window, b"-id:")
            || super::allow::contains_ignoring_case(window, b"in-reply-to:")
            || super::allow::contains_ignoring_case(window, b"references:"))
}
