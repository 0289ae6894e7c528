//! YAML, strictly: one document, no key twice, no tags, and no expansion of anchors beyond a prompt's size.

use super::place::{Path, Step, byte_of_char};
use crate::domain::MAX_TEXT_BYTES;
use crate::error::without_value;
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

/// The most values of a document, keys counted too, with its anchors expanded.
pub(super) const MAX_VALUES: usize = 50_000;
/// The deepest nesting of a document.
const MAX_DEPTH: usize = 24;

/// What is wrong with the document, and where.
pub(super) struct YamlError {
    /// The byte of the source, if it is known.
    pub at: Option<usize>,
    pub message: String,
    pub hint: Option<&'static str>,
}

/// Reads a document.
///
/// JSON is read as JSON, which is YAML but for `\ud83d\ude00`, and for U+0085, U+2028 and U+2029 as they are.
pub(super) fn read(source: &str) -> Result<Value, YamlError> {
    read_json(source).map_or_else(|| read_yaml(source), Ok)
}

fn read_json(source: &str) -> Option<Value> {
    if !source.starts_with('{') {
        return None;
    }
    let budget = Budget { values: Cell::new(MAX_VALUES), bytes: Cell::new(MAX_TEXT_BYTES) };
    let mut json = serde_json::Deserializer::from_str(source);
    let value = ValueSeed { budget: &budget, depth: MAX_DEPTH }.deserialize(&mut json).ok()?;
    json.end().ok().map(|()| value)
}

fn read_yaml(source: &str) -> Result<Value, YamlError> {
    let budget = Budget { values: Cell::new(MAX_VALUES), bytes: Cell::new(MAX_TEXT_BYTES) };
    let seed = ValueSeed { budget: &budget, depth: MAX_DEPTH };
    seed.deserialize(serde_yaml::Deserializer::from_str(source)).map_err(|e| {
        let at = e.location().map(|place| byte_of_char(source, place.index()));
        let (message, hint) = said(&e);
        YamlError { at, message, hint }
    })
}

/// The byte of the source where a value, or the key that names it, begins.
pub(super) fn find(source: &str, path: &Path, key: bool) -> Option<usize> {
    let probe = Probe { steps: &path.0, key };
    let error = probe.deserialize(serde_yaml::Deserializer::from_str(source)).err()?;
    Some(byte_of_char(source, error.location()?.index()))
}

const TWO_DOCUMENTS: &str = "deserializing from YAML containing more than one document";
const TAKES_NO_TAGS: &str = "a tag (`!…`) has no meaning here";
const KEY_IS_TEXT: &str = "a key must be text";

/// What the parser says, in our words where it has none for people; and the next step.
fn said(error: &serde_yaml::Error) -> (String, Option<&'static str>) {
    let whole = without_value(&error.to_string());
    // serde_yaml writes `a.b: message at line 1 column 2`.
    let message = whole.split(" at line ").next().unwrap_or(&whole);
    let own = [TAKES_NO_TAGS, KEY_IS_TEXT, TOO_MUCH, TOO_DEEP, NO_NUMBER];
    if let Some(own) = own.into_iter().find(|own| message.ends_with(own)) {
        let hint = match own {
            KEY_IS_TEXT => Some("put a text that begins with `{` or `[` in quotes, or after `|-`"),
            NO_NUMBER => Some("write it as text, in quotes"),
            _ => None,
        };
        return (own.to_owned(), hint);
    }
    if let Some(at) = message.find(DUPLICATE) {
        return (message[at..].to_owned(), Some("keep one of them"));
    }
    if message.starts_with(TWO_DOCUMENTS) {
        return ("a second document".to_owned(), Some("put each prompt in a file of its own"));
    }
    let hint = if message.contains("mapping values are not allowed") {
        Some("a text with `: ` in it needs quotes, or `|-` and lines of its own")
    } else if message.contains("did not find expected") || message.contains("found unexpected end") {
        Some("a bracket or quote before it is not closed, or the indentation is off")
    } else if message.contains("found character that cannot start any token") {
        Some("indent with spaces; put a text that begins with a sign in quotes")
    } else {
        None
    };
    (format!("not YAML: {message}"), hint)
}

const TOO_MUCH: &str = "the document is too large once its anchors are expanded";
const TOO_DEEP: &str = "the document is nested too deep";
const NO_NUMBER: &str = "the number is out of range";
const DUPLICATE: &str = "duplicate key";

/// What may still come.
struct Budget {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn take<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        match (self.values.get().checked_sub(1), self.bytes.get().checked_sub(bytes)) {
            (Some(values), Some(bytes)) => {
                self.values.set(values);
                self.bytes.set(bytes);
                Ok(())
            }
            _ => Err(E::custom(TOO_MUCH)),
        }
    }
}

#[derive(Clone, Copy)]
struct ValueSeed<'a> {
    budget: &'a Budget,
    depth: usize,
}

impl ValueSeed<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom(TOO_DEEP)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.budget.take(0).map(|()| Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.budget.take(0).map(|()| Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.budget.take(0).map(|()| Value::from(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.budget.take(0).map(|()| Value::from(value))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Value, E> {
        Err(E::custom(NO_NUMBER))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Value, E> {
        Err(E::custom(NO_NUMBER))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.budget.take(0)?;
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(NO_NUMBER))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.budget.take(text.len()).map(|()| Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.budget.take(0)?;
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.budget.take(0)?;
        let inner = self.deeper()?;
        let mut seen = BTreeSet::new();
        let mut map = Map::new();
        while let Some(key) = access.next_key_seed(KeySeed { budget: self.budget, seen: &mut seen })? {
            map.insert(key, access.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom(TAKES_NO_TAGS))
    }
}

/// A key: text, and none of those before it.
struct KeySeed<'a> {
    budget: &'a Budget,
    seen: &'a mut BTreeSet<String>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<String, E> {
        self.budget.take(key.len())?;
        if !self.seen.insert(key.to_owned()) {
            return Err(E::custom(format_args!("{DUPLICATE} `{}`", super::node::shown(key))));
        }
        Ok(key.to_owned())
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<String, E> {
        Err(E::custom(KEY_IS_TEXT))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(de::Error::custom(KEY_IS_TEXT))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(de::Error::custom(KEY_IS_TEXT))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(de::Error::custom(TAKES_NO_TAGS))
    }
}

/// Walks to a place and fails there, because `serde_yaml` tells a place only in an error. Runs only over documents
/// that [`read`] has taken, so that what it skips is bounded.
#[derive(Clone, Copy)]
struct Probe<'a> {
    steps: &'a [Step],
    key: bool,
}

const HERE: &str = "here";

impl<'de> DeserializeSeed<'de> for Probe<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Probe<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HERE)
    }

    fn visit_none<E: de::Error>(self) -> Result<(), E> {
        Err(E::custom(HERE))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.steps.split_first() else {
            return Err(de::Error::custom(HERE));
        };
        for _ in 0..*wanted {
            access.next_element::<de::IgnoredAny>()?;
        }
        access.next_element_seed(Probe { steps: rest, key: self.key })?;
        Err(de::Error::custom(HERE))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.steps.split_first() else {
            return Err(de::Error::custom(HERE));
        };
        let fails = self.key && rest.is_empty();
        while let Some(found) = access.next_key_seed(ProbeKey { wanted, fails })? {
            if found {
                access.next_value_seed(Probe { steps: rest, key: self.key })?;
            } else {
                access.next_value::<de::IgnoredAny>()?;
            }
        }
        Err(de::Error::custom(HERE))
    }
}

struct ProbeKey<'a> {
    wanted: &'a str,
    fails: bool,
}

impl<'de> DeserializeSeed<'de> for ProbeKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ProbeKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        let found = key == self.wanted;
        if found && self.fails { Err(E::custom(HERE)) } else { Ok(found) }
    }
}
