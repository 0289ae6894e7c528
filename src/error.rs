//! One error type: what happened, to which thing, and what to do next.
//!
//! A message is a lower-case fragment that names the thing in backticks; the hint is the next step.
//! The kind decides the process's exit code and nothing else.

use std::fmt;

/// What sort of failure this is; decides [`Error::exit_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A flag or argument is wrong. Exit code 2.
    Usage,
    /// A value, a file or a line does not hold what it must. Exit code 1.
    Input,
    /// The thing that was named is not there. Exit code 1.
    NotFound,
    /// The same id is already recorded with other contents. Exit code 1.
    Conflict,
    /// The guard refuses a text. Exit code 6.
    Guard,
    /// The ledger is not migrated, newer than this program, or cannot be reached. Exit code 7.
    Ledger,
    /// The database refused or failed. Exit code 1.
    Database,
    /// The operating system refused or failed. Exit code 1.
    Io,
}

/// An error as a user reads it.
#[derive(thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    is_of_the_value: bool,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, is_of_the_value: false, source: None }
    }

    /// A wrong flag or argument.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A wrong value, file or line.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// A thing that is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The same id with other contents.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// A ledger that is not migrated or cannot be reached.
    pub fn ledger(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Ledger, message)
    }

    /// A database that refused or failed.
    pub fn database(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Database, message)
    }

    /// A failed operation of the operating system on the thing named in `message`.
    pub fn io(message: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{message}: {source}")).caused_by(source)
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause. The message must already say what a user needs of it.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Puts `place` (a file and line, a call's position) before the message.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Says that a database failed at this value, and may take others.
    #[must_use]
    pub(crate) fn of_the_value(mut self) -> Self {
        self.is_of_the_value = true;
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the ledger itself failed, rather than refused a value: then nothing else will fare better.
    #[must_use]
    pub fn is_of_the_ledger(&self) -> bool {
        matches!(self.kind, ErrorKind::Ledger | ErrorKind::Database | ErrorKind::Io) && !self.is_of_the_value
    }

    /// The next step, if there is one to name.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The process's exit code for this error, as `asmm help` documents it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage => 2,
            ErrorKind::Guard => 6,
            ErrorKind::Ledger => 7,
            ErrorKind::Input
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Database
            | ErrorKind::Io => 1,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

/// What a parser says of a wrong value, without the value, which may be what nobody should read: `invalid type:
/// string "…", expected a map` becomes `invalid type: string, expected a map`. A short number stays, which is no card
/// and no phone, and a short word that is no key.
#[must_use]
pub(crate) fn without_value(message: &str) -> String {
    const SHORT_NUMBER: usize = "integer `12345678`".len();
    const SHORT_WORD: usize = 24;
    for head in ["invalid type: ", "invalid value: "] {
        let Some(at) = message.find(head) else { continue };
        let (before, rest) = message.split_at(at + head.len());
        let (found, expected) = rest.rsplit_once(", expected ").map_or((rest, None), |(a, b)| (a, Some(b)));
        let text = found.split('"').next().unwrap_or_default();
        let shown =
            if text.len() <= SHORT_NUMBER { text } else { text.split('`').next().unwrap_or_default() };
        let expected = expected.map(|expected| format!(", expected {expected}")).unwrap_or_default();
        return format!("{before}{}{expected}", shown.trim_end());
    }
    for head in ["unknown variant `", "unknown field `"] {
        let Some((before, rest)) = message.split_once(head) else { continue };
        let end = rest.rfind("`, expected").or_else(|| rest.rfind("`, there are no")).unwrap_or(rest.len());
        if end > SHORT_WORD {
            let word = head.trim_end_matches(" `");
            return format!("{before}{word}{}", rest.get(end + 1..).unwrap_or_default());
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_value;

    #[test]
    fn a_parser_repeats_no_value() {
        let long = "x".repeat(30);
        for (said, expected) in [
            (
                "invalid type: string \"a, expected b\", expected a map",
                "invalid type: string, expected a map",
            ),
            (
                "`a`: invalid type: integer `4539148803436467`, expected a string",
                "`a`: invalid type: integer, expected a string",
            ),
            ("invalid value: string \"x", "invalid value: string"),
            ("invalid value: integer `-1`, expected u64", "invalid value: integer `-1`, expected u64"),
            ("invalid type: null, expected u64 at line 1", "invalid type: null, expected u64 at line 1"),
            (
                "unknown field `databse`, expected one of `database`",
                "unknown field `databse`, expected one of `database`",
            ),
            (&format!("unknown variant `{long}`, expected `a`"), "unknown variant, expected `a`"),
            ("missing field `model`", "missing field `model`"),
        ] {
            assert_eq!(without_value(said), expected);
        }
    }
}
