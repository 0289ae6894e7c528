//! `subst/1`: literal text and `{{name}}`, and nothing else. Frozen: `golden.json` pins it byte for byte.
//!
//! Read from left to right, once. At each place:
//!
//! 1. `{{{{` is two literal braces, `{{`.
//! 2. `{{`, any number of U+0020, a name, any number of U+0020, `}}` is the variable of that name. A name is a
//!    letter or `_`, then letters, digits and `_` (all ASCII), at most [`MAX_VARIABLE_CHARS`].
//! 3. `{` before such a variable is a literal brace: `{{{x}}}` is `{`, the variable, `}`.
//! 4. `{{` that begins none of these is an error.
//! 5. Every other character is itself; so are a lone `{`, and `}}` outside a variable.

use crate::error::Error;
use std::fmt;

/// The longest name of a variable, in characters.
pub const MAX_VARIABLE_CHARS: usize = 100;

/// A piece of a template.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that is sent as it is.
    Literal(String),
    /// The name of the variable whose value stands here.
    Variable(String),
}

/// A parsed template, with its source.
///
/// Two are equal when their sources are, as their digests are. [`fmt::Display`] gives the source.
#[derive(Clone)]
pub struct Template {
    source: String,
    parts: Vec<Placed>,
}

/// A part, and the byte of the source where it begins.
#[derive(Clone)]
struct Placed {
    part: Part,
    at: usize,
}

impl fmt::Debug for Part {
    /// Without the text, which may be one that the guard has not seen yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "Literal({} bytes)", text.len()),
            Self::Variable(name) => write!(f, "Variable({name})"),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.parts.iter().map(|placed| &placed.part)).finish()
    }
}

/// Why a text is no template.
#[derive(Debug)]
pub(super) struct TemplateError {
    /// The byte of the source where it goes wrong.
    pub at: usize,
    pub message: String,
    pub hint: &'static str,
}

impl Template {
    /// Reads the source of a template.
    ///
    /// # Errors
    /// Of kind `Input`, with line and column in `source`, at a `{{` that begins no variable, and at U+0000.
    pub fn parse(source: &str) -> Result<Self, Error> {
        Self::read(source).map_err(|e| {
            let (line, column) = super::place::line_and_column(source, e.at);
            Error::input(format!("{} at line {line}, column {column}", e.message)).hint(e.hint)
        })
    }

    /// As [`Template::parse`], with the place of the error as a byte of `source`.
    pub(super) fn read(source: &str) -> Result<Self, TemplateError> {
        if let Some(at) = source.find('\0') {
            let message = "the text holds the character U+0000".to_owned();
            return Err(TemplateError { at, message, hint: "leave it out: not every database can store it" });
        }
        let mut parts: Vec<Placed> = Vec::new();
        let mut literal = String::new();
        let mut literal_at = 0;
        let mut at = 0;
        while let Some(found) = source[at..].find("{{") {
            let place = at + found;
            if literal.is_empty() {
                literal_at = at;
            }
            literal.push_str(&source[at..place]);
            if source[place..].starts_with("{{{{") {
                literal.push_str("{{");
                at = place + 4;
            } else if let Some((name, length)) = tag(&source[place..]) {
                if !literal.is_empty() {
                    let part = Part::Literal(std::mem::take(&mut literal));
                    parts.push(Placed { part, at: literal_at });
                }
                parts.push(Placed { part: Part::Variable(name.to_owned()), at: place });
                at = place + length;
            } else if source[place + 1..].starts_with("{{") && tag(&source[place + 1..]).is_some() {
                literal.push('{');
                at = place + 1;
            } else {
                return Err(no_variable(source, place));
            }
        }
        if literal.is_empty() {
            literal_at = at;
        }
        literal.push_str(&source[at..]);
        if !literal.is_empty() {
            parts.push(Placed { part: Part::Literal(literal), at: literal_at });
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    /// The template of these parts: its source writes each literal `{{` as `{{{{`.
    ///
    /// # Errors
    /// Of kind `Input`, when a variable's name is none or a literal holds U+0000.
    pub fn from_parts(parts: &[Part]) -> Result<Self, Error> {
        let mut source = String::new();
        let mut literal = String::new();
        for part in parts {
            match part {
                Part::Literal(text) => literal.push_str(text),
                Part::Variable(name) => {
                    check_variable_name(name)?;
                    source.push_str(&quote(&literal));
                    literal.clear();
                    source.push_str("{{");
                    source.push_str(name);
                    source.push_str("}}");
                }
            }
        }
        source.push_str(&quote(&literal));
        Self::parse(&source)
    }

    /// The source as it was written: what the digest is of.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parts in their order. Two literals are never neighbours, and none is empty.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().map(|placed| &placed.part)
    }

    /// The variables in the order of their use, as often as they are used, each with its byte in the source.
    pub fn variables(&self) -> impl Iterator<Item = (usize, &str)> {
        self.parts.iter().filter_map(|placed| match &placed.part {
            Part::Variable(name) => Some((placed.at, name.as_str())),
            Part::Literal(_) => None,
        })
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Template {}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Writes `text` so that it stands for itself in a template.
#[must_use]
pub fn quote(text: &str) -> String {
    text.replace("{{", "{{{{")
}

/// Checks the name of a variable.
///
/// # Errors
/// Of kind `Input`, when it is no name or too long.
pub fn check_variable_name(name: &str) -> Result<(), Error> {
    if name.len() <= MAX_VARIABLE_CHARS && !name.is_empty() && name_length(name) == name.len() {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(Error::input(format!("`{shown}` is no name for a variable")).hint(format!(
        "a name is ASCII letters, digits and `_`, does not begin with a digit, and has at most {MAX_VARIABLE_CHARS} characters"
    )))
}

/// The variable that `text`, which begins with `{{`, begins with: its name, and its length with the braces.
fn tag(text: &str) -> Option<(&str, usize)> {
    let inside = text.get(2..)?.trim_start_matches(' ');
    let name = &inside[..name_length(inside)];
    if name.is_empty() || name.len() > MAX_VARIABLE_CHARS {
        return None;
    }
    let rest = inside[name.len()..].trim_start_matches(' ').strip_prefix("}}")?;
    Some((name, text.len() - rest.len()))
}

/// How many bytes of a name `text` begins with.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len())
}

fn no_variable(source: &str, at: usize) -> TemplateError {
    let inside = source[at + 2..].trim_start_matches(' ');
    let name = name_length(inside);
    if name > MAX_VARIABLE_CHARS && inside[name..].trim_start_matches(' ').starts_with("}}") {
        return TemplateError {
            at,
            message: format!(
                "the variable's name is {name} characters long; the limit is {MAX_VARIABLE_CHARS}"
            ),
            hint: "give it a shorter name",
        };
    }
    TemplateError {
        at,
        message: "`{{` opens no variable".to_owned(),
        hint: "a variable is `{{name}}`: ASCII letters, digits and `_`; write `{{{{` for two literal braces",
    }
}
