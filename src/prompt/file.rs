//! A prompt's file: from its bytes to its name and content, or to an error that says where.

use super::content::Content;
use super::place::line_and_column;
use super::read::{self, Problem, Spot};
use super::yaml;
use crate::error::{Error, Result};
use std::fmt;

/// The largest file, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The most brackets and braces that are open at one place.
const MAX_OPEN_BRACKETS: usize = 1_000;

/// A prompt as a file has it.
#[derive(Clone, PartialEq)]
pub struct PromptFile {
    /// The prompt's identity: `enrichment/company-summary`.
    pub name: String,
    /// What it is for; empty if the file does not say. Not part of the content.
    pub description: String,
    /// What makes a version.
    pub content: Content,
    /// The file as it was written.
    pub source: String,
}

impl fmt::Debug for PromptFile {
    /// Without the file's text, which may be one that the guard has not seen yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads a prompt's file. `file` is its name, for errors.
///
/// # Errors
/// Of kind `Input`. The message begins with `FILE:LINE:COLUMN: `, counted from 1, columns in characters; or with
/// `FILE: ` when the file is larger than [`MAX_FILE_BYTES`]. The hint is the next step.
pub fn parse_file(file: &str, bytes: &[u8]) -> Result<PromptFile> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("{file}: {} bytes; a prompt's file has at most {MAX_FILE_BYTES}", bytes.len());
        return Err(Error::input(message).hint("long material belongs into an input, not into the prompt"));
    }
    let source = decode(file, bytes)?;
    // An editor's mark of UTF-8 is no part of the document.
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let at = |byte: usize| {
        let (line, column) = line_and_column(text, byte);
        format!("{file}:{line}:{column}")
    };
    check_characters(text).map_err(|(byte, error)| error.at(at(byte)))?;
    check_nesting(text).map_err(|(byte, error)| error.at(at(byte)))?;
    let document = yaml::read(text).map_err(|e| {
        let error = Error::input(e.message).at(at(e.at.unwrap_or_else(|| second_document(text))));
        match e.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    let (name, description, content) = read::file(&document).map_err(|problem| {
        let byte = find(text, &document, &problem);
        problem.error.at(at(byte))
    })?;
    Ok(PromptFile { name, description, content, source: source.to_owned() })
}

fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let good = e.valid_up_to();
        let before = std::str::from_utf8(&bytes[..good]).unwrap_or_default();
        let (line, column) = line_and_column(before, good);
        Error::input(format!("{file}:{line}:{column}: the byte 0x{:02x} is not UTF-8", bytes[good]))
            .hint("save the file as UTF-8")
    })
}

/// Refuses the characters that YAML does not take as they are.
fn check_characters(text: &str) -> Result<(), (usize, Error)> {
    let refused = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'))
            || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    match text.char_indices().find(|(_, c)| refused(*c)) {
        Some((byte, c)) => Err((
            byte,
            Error::input(format!("the character U+{:04X} may not stand in YAML", u32::from(c)))
                .hint("delete it; if it is meant, write it as `\\u…` in double quotes"),
        )),
        None => Ok(()),
    }
}

/// Refuses what would keep the parser for hours: it looks through all open brackets again at each token, and
/// through all open blocks. Texts count too, but who writes a thousand brackets and closes none?
fn check_nesting(text: &str) -> Result<(), (usize, Error)> {
    let mut open = 0_usize;
    for (byte, c) in text.bytes().enumerate() {
        match c {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            let message = format!("more than {MAX_OPEN_BRACKETS} brackets and braces are open");
            return Err((byte, Error::input(message).hint("close them")));
        }
    }
    Ok(())
}

/// The byte of the mark before the second document: the one error for which the parser gives no place.
fn second_document(text: &str) -> usize {
    let marks = ["\n---", "\r---", "\n...", "\r..."];
    let after_first = text.len() - text.trim_start_matches("---").len();
    marks.iter().filter_map(|mark| text[after_first..].find(mark)).min().map_or(0, |at| after_first + at + 1)
}

/// The byte that a problem is about.
fn find(text: &str, document: &serde_json::Value, problem: &Problem) -> usize {
    match problem.spot {
        Spot::Key => yaml::find(text, &problem.path, true).unwrap_or(0),
        Spot::Value => yaml::find(text, &problem.path, false).unwrap_or(0),
        Spot::Byte(byte) => {
            let start = yaml::find(text, &problem.path, false).unwrap_or(0);
            let template =
                problem.path.lookup(document).and_then(serde_json::Value::as_str).unwrap_or_default();
            find_brace(text, start, template, byte).unwrap_or(start)
        }
    }
}

/// The byte of the source at which the brace at `byte` of a template is. YAML may fold the lines between, but
/// braces it leaves alone and in their order, so they are counted; only `\x7b` in double quotes escapes this.
fn find_brace(text: &str, start: usize, template: &str, byte: usize) -> Option<usize> {
    let nth = template.get(..byte)?.matches('{').count();
    // The first line of a block scalar is not of the text: `content: |- # {{name}}`.
    let header = if text[start..].starts_with(['|', '>']) { text[start..].find(['\n', '\r'])? } else { 0 };
    let begin = start + header;
    let (place, _) = text[begin..].match_indices('{').nth(nth)?;
    text[begin + place..].starts_with("{{").then_some(begin + place)
}
