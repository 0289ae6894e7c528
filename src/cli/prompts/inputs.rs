//! The inputs of a prompt, from flags and a file.

use crate::domain::MAX_TEXT_BYTES;
use crate::error::{Error, Result};
use crate::prompt::Content;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::io::Read;
use std::path::Path;

/// The largest file of inputs, in bytes: twice what may be recorded, since YAML takes more room than JSON.
const MAX_BYTES: usize = 2 * MAX_TEXT_BYTES;

/// The inputs of both; the same one in both is an error, not a choice.
pub(super) fn gather(content: &Content, given: &[String], file: Option<&Path>) -> Result<Map<String, Value>> {
    let mut inputs = file.map_or(Ok(Map::new()), read)?;
    for pair in given {
        let (name, text) = pair.split_once('=').ok_or_else(|| {
            let shown: String = pair.chars().take(60).collect();
            Error::usage(format!("--input `{shown}` has no `=`")).hint("write --input company=Acme")
        })?;
        let value = content.parse_input(name, text)?;
        if inputs.insert(name.to_owned(), value).is_some() {
            return Err(Error::usage(format!("input `{name}` is given twice"))
                .hint("give each input once: with --input, or in the file of --inputs"));
        }
    }
    Ok(inputs)
}

/// Reads an object of inputs from a file, or from stdin if its name is `-`.
fn read(path: &Path) -> Result<Map<String, Value>> {
    let is_stdin = path == Path::new("-");
    let shown = if is_stdin { "stdin".to_owned() } else { format!("`{}`", path.display()) };
    let failed = |e| Error::io(format!("{shown} cannot be read"), e).hint("name a file that is there");
    let source: Box<dyn Read> = if is_stdin {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(failed)?)
    };
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    source.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::input(format!("{shown} is larger than {MAX_BYTES} bytes"))
            .hint("what is rendered could not be recorded"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::input(format!("{shown} is not UTF-8")).hint("save it as UTF-8"))?;
    parse(&text).map_err(|said| {
        Error::input(format!("{shown}: {said}")).hint("write inputs as one object: {\"company\": \"Acme\"}")
    })
}

/// Reads JSON, or else YAML. What looks like JSON is told what is wrong with it as JSON.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Object.deserialize(&mut json).and_then(|inputs| json.end().map(|()| inputs));
    let Err(as_json) = read else { return read.map_err(|e| e.to_string()) };
    let as_yaml = match Object.deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(inputs) => return Ok(inputs),
        Err(error) => error.to_string(),
    };
    let said = if text.trim_start().starts_with('{') { as_json.to_string() } else { as_yaml };
    // The parsers repeat what they found, and that may be what nobody should read.
    Err(if said.contains("invalid type") { "it is no object of inputs".to_owned() } else { said })
}

/// An object that has no key twice.
struct Object;

impl<'de> DeserializeSeed<'de> for Object {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of inputs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut inputs = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if inputs.contains_key(&name) {
                return Err(A::Error::custom(format_args!("input `{name}` is given twice")));
            }
            inputs.insert(name, value);
        }
        Ok(inputs)
    }
}
