//! Names that people give: pipelines, agents, steps, models, providers.

use crate::error::{Error, Result};

/// The longest name, in Unicode scalar values.
pub const MAX_NAME_CHARS: usize = 200;

/// Checks a name that must be there: not empty or blank, at most [`MAX_NAME_CHARS`], no control characters.
///
/// `field` is what the user calls it (`pipeline`, `model`), for the error.
pub fn required_name(field: &str, name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::input(format!("`{field}` is empty")).hint(format!("give `{field}` a name")));
    }
    let length = name.chars().count();
    if length > MAX_NAME_CHARS {
        return Err(Error::input(format!(
            "`{field}` is {length} characters long; the limit is {MAX_NAME_CHARS}"
        ))
        .hint("put details into the run's labels instead"));
    }
    if let Some(control) = name.chars().find(|c| c.is_control()) {
        return Err(Error::input(format!(
            "`{field}` holds the control character U+{:04X}",
            u32::from(control)
        ))
        .hint("names are one line of printable text"));
    }
    Ok(())
}

/// Checks a name that may be absent. Absent is `""`.
pub fn optional_name(field: &str, name: &str) -> Result<()> {
    if name.is_empty() { Ok(()) } else { required_name(field, name) }
}
