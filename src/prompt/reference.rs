//! How people name a prompt, and a version of it.

use crate::domain::MAX_NAME_CHARS;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

use super::node::shown;

/// The shortest digest prefix of a reference, in hexadecimal digits.
const MIN_DIGEST_DIGITS: usize = 4;

/// A prompt and a version of it: `name`, `name@7`, `name@production`, `name@sha256:ab12…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The prompt's name.
    pub name: String,
    /// Which version of it.
    pub version: VersionRef,
}

/// Which version of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRef {
    /// The one with the highest number. Written as nothing, or as `latest`.
    Latest,
    /// The one with this number, from 1.
    Number(u32),
    /// The one that this label points to.
    Label(String),
    /// The one whose content's digest begins with these hexadecimal digits: 4 to 64, in lower case.
    Digest(String),
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, version.parse()?),
            None => (text, VersionRef::Latest),
        };
        check_name(name)?;
        Ok(Self { name: name.to_owned(), version })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            VersionRef::Latest => f.write_str(&self.name),
            version => write!(f, "{}@{version}", self.name),
        }
    }
}

impl FromStr for VersionRef {
    type Err = Error;

    /// Reads what follows the `@`.
    fn from_str(text: &str) -> Result<Self> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(digits) = text.strip_prefix("sha256:") {
            let good = digits.bytes().all(|b| b.is_ascii_hexdigit());
            if !good || !(MIN_DIGEST_DIGITS..=64).contains(&digits.len()) {
                return Err(Error::input(format!("`{}` is no digest of a version", shown(text)))
                    .hint(format!("write {MIN_DIGEST_DIGITS} to 64 hexadecimal digits after `sha256:`")));
            }
            return Ok(Self::Digest(digits.to_ascii_lowercase()));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(number) if number > 0 => Ok(Self::Number(number)),
                _ => Err(Error::input(format!("`{}` is no version", shown(text)))
                    .hint("versions are numbered 1, 2, 3 and so on")),
            };
        }
        check_label(text)?;
        Ok(Self::Label(text.to_owned()))
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Label(label) => f.write_str(label),
            Self::Digest(digits) => write!(f, "sha256:{digits}"),
        }
    }
}

/// Checks a prompt's name: ASCII letters, digits, `.`, `_` and `-`, in parts with `/` between them; not only
/// digits; at most 200 characters.
///
/// # Errors
/// Of kind `Input`, when it is none.
pub fn check_name(name: &str) -> Result<()> {
    let good = name.split('/').all(is_word) && !only_digits(name) && name.len() <= MAX_NAME_CHARS;
    if good {
        return Ok(());
    }
    Err(Error::input(format!("`{}` is no name for a prompt", shown(name))).hint(format!(
        "a name is ASCII letters, digits, `.`, `_` and `-`, in parts with `/` between, not only digits, at most {MAX_NAME_CHARS} characters: `enrichment/summariser`"
    )))
}

/// Checks a label: a word of ASCII letters, digits, `.`, `_` and `-`; not only digits, which is a version's
/// number; not `latest`; at most 200 characters.
///
/// # Errors
/// Of kind `Input`, when it is none.
pub fn check_label(label: &str) -> Result<()> {
    if label == "latest" {
        return Err(Error::input("`latest` cannot be a label").hint("it always means the newest version"));
    }
    if only_digits(label) {
        return Err(Error::input(format!("`{}` cannot be a label", shown(label)))
            .hint("a number is a version; a label has a letter in it"));
    }
    if !is_word(label) || label.len() > MAX_NAME_CHARS {
        return Err(Error::input(format!("`{}` is no label", shown(label))).hint(format!(
            "a label is a word of ASCII letters, digits, `.`, `_` and `-`, at most {MAX_NAME_CHARS} characters: `production`"
        )));
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn only_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
