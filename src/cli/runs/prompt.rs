//! What was sent in a call, as flags of `asmm runs call` give it.

use crate::domain::{CallPrompt, Digest, MAX_TEXT_BYTES};
use crate::error::{Error, Result, without_value};
use clap::Args;
use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What was sent.
#[derive(Debug, Args)]
#[command(next_help_heading = "What was sent")]
pub(crate) struct PromptArgs {
    /// The prompt version that was rendered: name@7, name@label, name@sha256:…, an id, or name for the latest
    #[arg(id = "prompt_version", long = "prompt-version", value_name = "VERSION")]
    version: Option<String>,
    /// A file with the inputs it was rendered with: a JSON object; `-` is stdin
    #[arg(long = "prompt-inputs", value_name = "FILE", requires = "prompt_version")]
    inputs: Option<PathBuf>,
    /// A file with the exact messages, when they were rendered elsewhere: a JSON array; `-` is stdin
    #[arg(long = "prompt-messages", value_name = "FILE", conflicts_with = "inputs")]
    messages: Option<PathBuf>,
    /// SHA-256 of the canonical JSON of the messages [default: computed]
    #[arg(long = "prompt-sha256", value_name = "DIGEST")]
    text_sha256: Option<Digest>,
}

impl PromptArgs {
    /// Reads the files; none when nothing of the prompt was given.
    pub fn read(self) -> Result<Option<CallPrompt>> {
        let prompt = CallPrompt {
            version: self.version,
            inputs: self.inputs.as_deref().map(|path| read_json(path, "an object")).transpose()?,
            text_sha256: self.text_sha256,
            messages: self.messages.as_deref().map(|path| read_json(path, "an array")).transpose()?,
            ..CallPrompt::default()
        };
        Ok(Some(prompt).filter(|prompt| *prompt != CallPrompt::default()))
    }
}

/// The JSON of a file, or of stdin.
fn read_json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let shown = if path.as_os_str() == "-" { "stdin".to_owned() } else { path.display().to_string() };
    let failed = |e| Error::io(format!("`{shown}` cannot be read"), e);
    let mut input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    // Escapes make the file longer than what it says, six times at most.
    let limit = 6 * MAX_TEXT_BYTES;
    let mut bytes = Vec::new();
    input.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(Error::input(format!("`{shown}` is longer than {limit} bytes"))
            .hint("record its digest alone, with --prompt-sha256"));
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::input(format!(
            "`{shown}`:{}:{}: it is no JSON that holds {what}: {}",
            e.line(),
            e.column(),
            without_value(&e.to_string())
        ))
    })
}
