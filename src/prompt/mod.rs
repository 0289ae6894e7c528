//! Prompts: the file format, the template language `subst/1`, the canonical form and its digest, rendering, and
//! diffs. Pure: nothing here reads a file, a clock or a database.
//!
//! `prompts/README.md` specifies the format, so exactly that others can compute the same digests.
//!
//! ```
//! let yaml = b"schema: asmm.prompt/v1\nname: greet\nengine: subst/1\n\
//!     variables: {who: {type: string}}\nmessages: [{role: user, content: 'Hello {{who}}'}]\n";
//! let prompt = asmm::prompt::parse_file("greet.yaml", yaml)?;
//! let inputs = serde_json::Map::from_iter([("who".to_owned(), "Ada".into())]);
//! assert_eq!(prompt.content.render(&inputs)?.messages[0].content, "Hello Ada");
//! # Ok::<(), asmm::Error>(())
//! ```

mod content;
mod diff;
mod file;
mod node;
mod place;
mod read;
mod reference;
mod render;
mod template;
#[cfg(test)]
mod tests;
mod yaml;

pub use content::{AllowRaw, Content, ENGINE, Kind, Message, Model, OnSecret, Role, Sensitivity, Variable};
pub use diff::{Change, DiffLine, diff, text_diff};
pub use file::{MAX_FILE_BYTES, PromptFile, parse_file};
pub use reference::{Reference, VersionRef, check_label, check_name};
pub use render::{Rendered, RenderedMessage};
pub use template::{MAX_VARIABLE_CHARS, Part, Template, check_variable_name, quote};
