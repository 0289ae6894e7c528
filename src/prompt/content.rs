//! What a version is: model, variables and messages, and the one text and digest of them.

use super::read;
use super::template::Template;
use crate::domain::{Digest, canonical_json};
use crate::error::{Error, Result};
use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The engine's name in files and contents.
pub const ENGINE: &str = "subst/1";

/// The content of a prompt: all that makes a version, and nothing else. Its name and description are not in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// The model the prompt was written for, if it names one.
    pub model: Option<Model>,
    /// What the messages take, by name. Each is used in a message, and nothing else is.
    pub variables: BTreeMap<String, Variable>,
    /// At least one, in the order in which they are sent.
    pub messages: Vec<Message>,
}

/// A model and what it is called with.
#[derive(Clone, PartialEq)]
pub struct Model {
    /// The model's name, as its provider spells it.
    pub id: String,
    /// What is sent along: `temperature`, `max_tokens` and the like. Empty if the file has none.
    pub params: Map<String, Value>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Template,
}

/// What a variable takes, and how it may be treated.
#[derive(Clone, PartialEq)]
pub struct Variable {
    /// The type of its value.
    pub kind: Kind,
    /// Who may read it.
    pub sensitivity: Sensitivity,
    /// The longest value, in bytes of the text it is rendered as.
    pub max_bytes: Option<usize>,
    /// The texts an `enum` may be, in their order; empty for every other kind.
    pub values: Vec<String>,
    /// What stands for an input that is not given.
    pub default: Option<Value>,
    /// Kinds of personal data that may pass as they are.
    pub allow_raw: Option<AllowRaw>,
    /// What a secret in its value does; the project's policy if the file says nothing.
    pub on_secret: Option<OnSecret>,
}

/// Personal data that a variable lets pass as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowRaw {
    /// Which kinds, as the guard names them: `email`, `phone`. Sorted, none twice.
    pub kinds: Vec<String>,
    /// Why the model needs the values themselves.
    pub reason: String,
    /// The last day (UTC) on which they pass, if there is one.
    pub expires: Option<NaiveDate>,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("id", &self.id).field("params", &self.params.len()).finish()
    }
}

impl fmt::Debug for Variable {
    /// Without its texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable")
            .field("kind", &self.kind)
            .field("sensitivity", &self.sensitivity)
            .field("max_bytes", &self.max_bytes)
            .field("values", &self.values.len())
            .field("has_default", &self.default.is_some())
            .finish_non_exhaustive()
    }
}

/// A closed set of words, as files and contents spell them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in files and contents.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one of this word.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.code() == code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.code())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.code())
            }
        }
    };
}

words! {
    /// Who speaks in a message.
    Role {
        /// The rules that the model is given.
        System = "system",
        /// The same, in the word of newer OpenAI models.
        Developer = "developer",
        /// Who asks.
        User = "user",
        /// The model; in a prompt, an example of its answer.
        Assistant = "assistant",
    }
}

words! {
    /// The type of a variable's value.
    Kind {
        /// Text, rendered as it is.
        String = "string",
        /// A whole number between -2^53 and 2^53, rendered in decimal.
        Integer = "integer",
        /// A number as canonical JSON takes it, and rendered as it writes it.
        Number = "number",
        /// `true` or `false`.
        Boolean = "boolean",
        /// One of the texts that the variable lists.
        Enum = "enum",
    }
}

words! {
    /// Who may read a variable's value.
    Sensitivity {
        /// Anyone.
        Public = "public",
        /// It tells of a person.
        Personal = "personal",
        /// Nobody: it may never be rendered, so never be sent or recorded.
        Secret = "secret",
    }
}

words! {
    /// What a secret in a variable's value does. Nothing lets it pass.
    OnSecret {
        /// The render is refused.
        Block = "block",
        /// A token takes the secret's place.
        Redact = "redact",
    }
}

impl Content {
    /// The canonical JSON of the content: what is stored, and what the digest is of.
    ///
    /// # Errors
    /// Of kind `Input`, for a number or text that canonical JSON does not take. What this room has read never
    /// has one.
    pub fn canonical(&self) -> Result<String> {
        let variables: Map<String, Value> =
            self.variables.iter().map(|(name, variable)| (name.clone(), variable.to_value())).collect();
        let messages: Vec<Value> = self
            .messages
            .iter()
            .map(|message| json!({"role": message.role.code(), "content": message.content.source()}))
            .collect();
        let mut content = json!({"engine": ENGINE, "variables": variables, "messages": messages});
        if let Some(model) = &self.model {
            content["model"] = json!({"id": model.id, "params": model.params});
        }
        canonical_json(&content)
    }

    /// The SHA-256 of [`Content::canonical`]: the identity of a version.
    ///
    /// # Errors
    /// As [`Content::canonical`].
    pub fn digest(&self) -> Result<Digest> {
        self.canonical().map(Digest::of)
    }

    /// Reads what [`Content::canonical`] wrote.
    ///
    /// # Errors
    /// Of kind `Input`, when the text is no content, or is not the canonical text of the content it holds.
    pub fn from_canonical(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| Error::input(format!("the content of the prompt is not JSON: {e}")))?;
        let content = read::content(&value).map_err(read::Problem::without_file)?;
        if content.canonical()? != text {
            return Err(Error::input("the content of the prompt is not in its canonical form")
                .hint("it was changed since it was written; push the prompt's file again"));
        }
        Ok(content)
    }
}

impl Variable {
    /// As it is in a content.
    fn to_value(&self) -> Value {
        let mut variable = json!({"type": self.kind.code(), "sensitivity": self.sensitivity.code()});
        if let Some(max_bytes) = self.max_bytes {
            variable["max_bytes"] = json!(max_bytes);
        }
        if !self.values.is_empty() {
            variable["values"] = json!(self.values);
        }
        if let Some(default) = &self.default {
            variable["default"] = default.clone();
        }
        if let Some(allow) = &self.allow_raw {
            variable["allow_raw"] = json!(allow.kinds);
            variable["raw_reason"] = json!(allow.reason);
            if let Some(expires) = allow.expires {
                variable["expires"] = json!(expires.to_string());
            }
        }
        if let Some(on_secret) = self.on_secret {
            variable["on_secret"] = json!(on_secret.code());
        }
        variable
    }
}
