//! From a document to a prompt: each field's type and meaning, each error with the way to its place.
//!
//! A file and a stored content are read by the same code, so that they cannot differ in what they take.

use super::content::{
    AllowRaw, Content, ENGINE, Kind, Message, Model, OnSecret, Role, Sensitivity, Variable,
};
use super::node::{Fields, Node};
use super::place::Path;
use super::template::{Template, check_variable_name};
use super::{check_name, render};
use crate::domain::{MAX_TEXT_BYTES, canonical_json, required_name};
use crate::error::{Error, Result};
use chrono::NaiveDate;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The schema's name in files.
pub(super) const SCHEMA: &str = "asmm.prompt/v1";

const MAX_DESCRIPTION_CHARS: usize = 2_000;
const MAX_MESSAGES: usize = 1_000;
const MAX_VARIABLES: usize = 200;
const MAX_ENUM_VALUES: usize = 1_000;
const MAX_PARAMS_BYTES: usize = 64 << 10;
const MAX_PARAMS_VALUES: usize = 1_000;
const MAX_PARAMS_DEPTH: usize = 16;
const MAX_KIND_BYTES: usize = 100;
const MAX_RAW_KINDS: usize = 50;
const MAX_REASON_CHARS: usize = 300;

/// Which part of a value an error is about.
#[derive(Debug)]
pub(super) enum Spot {
    /// The value itself.
    Value,
    /// The key that names it.
    Key,
    /// The brace at this byte of a template.
    Byte(usize),
}

/// An error, and the way to what it is about.
#[derive(Debug)]
pub(super) struct Problem {
    pub path: Path,
    pub spot: Spot,
    pub error: Error,
}

impl Problem {
    /// The error for a content that came from no file.
    pub fn without_file(self) -> Error {
        self.error.at("the content of the prompt")
    }
}

pub(super) type Read<T> = Result<T, Problem>;

/// A file's document: name, description and content.
pub(super) fn file(document: &Value) -> Read<(String, String, Content)> {
    const KNOWN: &[&str] = &["schema", "name", "description", "engine", "model", "variables", "messages"];
    let root = Node::root(document);
    let fields = root.fields(KNOWN)?;
    let schema = fields.required("schema")?;
    if schema.text()? != SCHEMA {
        return Err(schema.problem(
            Error::input(format!("unknown schema `{}`", schema.shown()))
                .hint(format!("this program reads `schema: {SCHEMA}`")),
        ));
    }
    let name = fields.required("name")?;
    check_name(name.text()?).map_err(|e| name.problem(e))?;
    let description = match fields.optional("description") {
        Some(node) => description(&node)?,
        None => String::new(),
    };
    let content = content_fields(&fields)?;
    Ok((name.text()?.to_owned(), description, content))
}

/// A stored content.
pub(super) fn content(document: &Value) -> Read<Content> {
    content_fields(&Node::root(document).fields(&["engine", "model", "variables", "messages"])?)
}

fn description(node: &Node<'_>) -> Read<String> {
    let text = node.text()?;
    let length = text.chars().count();
    if length > MAX_DESCRIPTION_CHARS {
        let message =
            format!("`description` is {length} characters long; the limit is {MAX_DESCRIPTION_CHARS}");
        return Err(node.problem(Error::input(message).hint("say it shorter, or in a comment")));
    }
    node.check_characters(text)?;
    Ok(text.to_owned())
}

fn content_fields(fields: &Fields<'_>) -> Read<Content> {
    let engine = fields.required("engine")?;
    if engine.text()? != ENGINE {
        return Err(engine.problem(
            Error::input(format!("unknown engine `{}`", engine.shown()))
                .hint(format!("the engine this program has is `{ENGINE}`")),
        ));
    }
    let model = fields.optional("model").map(|node| model(&node)).transpose()?;
    let variables = match fields.optional("variables") {
        Some(node) => variables(&node)?,
        None => BTreeMap::new(),
    };
    let content = Content { model, variables, messages: messages(&fields.required("messages")?)? };
    check_uses(&content)?;
    Ok(content)
}

fn model(node: &Node<'_>) -> Read<Model> {
    let fields = node.fields(&["id", "params"])?;
    let id = fields.required("id")?;
    required_name("model.id", id.text()?).map_err(|e| id.problem(e))?;
    let params = match fields.optional("params") {
        Some(node) => params(&node)?,
        None => Map::new(),
    };
    Ok(Model { id: id.text()?.to_owned(), params })
}

fn params(node: &Node<'_>) -> Read<Map<String, Value>> {
    let mut left = MAX_PARAMS_VALUES;
    node.check_tree(MAX_PARAMS_DEPTH, &mut left)?;
    let bytes = canonical_json(node.value).map_err(|e| node.problem(e))?.len();
    if bytes > MAX_PARAMS_BYTES {
        let message = format!("`{}` is {bytes} bytes long; the limit is {MAX_PARAMS_BYTES}", node.path);
        return Err(
            node.problem(Error::input(message).hint("params are for settings; put text into messages"))
        );
    }
    match normal(node)? {
        Value::Object(map) => Ok(map),
        _ => Err(node.expected("a mapping")),
    }
}

/// The value as it reads back from its canonical JSON: `1.0` is `1`.
fn normal(node: &Node<'_>) -> Read<Value> {
    let text = canonical_json(node.value).map_err(|e| node.problem(e))?;
    serde_json::from_str(&text).map_err(|e| node.problem(Error::input(e.to_string())))
}

fn variables(node: &Node<'_>) -> Read<BTreeMap<String, Variable>> {
    let entries = node.entries()?;
    if entries.len() > MAX_VARIABLES {
        let message = format!("{} variables; a prompt has at most {MAX_VARIABLES}", entries.len());
        return Err(node.problem(Error::input(message)));
    }
    let mut variables = BTreeMap::new();
    for (name, node) in entries {
        check_variable_name(name).map_err(|e| node.key_problem(e))?;
        variables.insert(name.to_owned(), variable(name, &node)?);
    }
    Ok(variables)
}

/// One variable.
fn variable(name: &str, node: &Node<'_>) -> Read<Variable> {
    let fields = node.fields(&[
        "type",
        "sensitivity",
        "max_bytes",
        "values",
        "default",
        "allow_raw",
        "raw_reason",
        "expires",
        "on_secret",
    ])?;
    let kind = fields.required("type")?.word("type", Kind::ALL, Kind::code)?;
    let sensitivity = match fields.optional("sensitivity") {
        Some(node) => node.word("sensitivity", Sensitivity::ALL, Sensitivity::code)?,
        None => Sensitivity::Public,
    };
    let max_bytes = fields.optional("max_bytes").map(|node| max_bytes(&node)).transpose()?;
    let values = match (kind, fields.optional("values")) {
        (Kind::Enum, Some(node)) => enum_values(&node)?,
        (Kind::Enum, None) => {
            return Err(node.problem(
                Error::input(format!("variable `{name}` is an enum without `values`"))
                    .hint("list its texts: `values: [plain, formal]`"),
            ));
        }
        (_, None) => Vec::new(),
        (_, Some(node)) => {
            return Err(node.key_problem(
                Error::input(format!("variable `{name}` has `values` but is of type {kind}"))
                    .hint("make it `type: enum`, or leave `values` out"),
            ));
        }
    };
    let allow_raw = allow_raw(name, &fields)?;
    if sensitivity == Sensitivity::Secret
        && let Some(node) = fields.optional("allow_raw")
    {
        return Err(node.key_problem(
            Error::input(format!("variable `{name}` is secret and has `allow_raw`"))
                .hint("a secret is never rendered, so nothing of it can pass"),
        ));
    }
    let on_secret = fields.optional("on_secret");
    let on_secret =
        on_secret.map(|node| node.word("on_secret", OnSecret::ALL, OnSecret::code)).transpose()?;
    let mut variable = Variable { kind, sensitivity, max_bytes, values, default: None, allow_raw, on_secret };
    if let Some(node) = fields.optional("default") {
        if sensitivity == Sensitivity::Secret {
            return Err(node.key_problem(
                Error::input(format!("variable `{name}` is secret and has a `default`"))
                    .hint("a prompt's file is no place for a secret; leave the default out"),
            ));
        }
        render::check_value("default of variable", name, &variable, node.value)
            .map_err(|e| node.problem(e))?;
        variable.default = Some(normal(&node)?);
    }
    Ok(variable)
}

/// What may pass as it is, with why and until when. Whether the guard knows the kinds is the guard's to say: it
/// learns new ones, and a stored version must be readable without them.
fn allow_raw(name: &str, fields: &Fields<'_>) -> Read<Option<AllowRaw>> {
    let (reason, expires) = (fields.optional("raw_reason"), fields.optional("expires"));
    let Some(node) = fields.optional("allow_raw") else {
        return match reason.map(|node| ("raw_reason", node)).or(expires.map(|node| ("expires", node))) {
            None => Ok(None),
            Some((field, node)) => Err(node.key_problem(
                Error::input(format!("variable `{name}` has `{field}` but no `allow_raw`"))
                    .hint("name the kinds that may pass: `allow_raw: [email]`; or leave it out"),
            )),
        };
    };
    let mut kinds = Vec::new();
    for item in node.items()? {
        let kind = item.text()?;
        if kind.contains(['*', '?']) {
            return Err(item.problem(
                Error::input(format!("`{}` is a wildcard", item.shown()))
                    .hint("name each kind: a wildcard would let in kinds that come later"),
            ));
        }
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if kind.is_empty() || kind.len() > MAX_KIND_BYTES || !kind.bytes().all(known) {
            return Err(item.problem(
                Error::input(format!("`{}` is no kind of personal data", item.shown()))
                    .hint("write a detector's id, such as `email`; `asmm guard rules` lists them"),
            ));
        }
        kinds.push(kind.to_owned());
    }
    kinds.sort();
    kinds.dedup();
    if kinds.is_empty() || kinds.len() > MAX_RAW_KINDS {
        let message = format!("`allow_raw` names {} kinds; it names 1 to {MAX_RAW_KINDS}", kinds.len());
        return Err(node.problem(Error::input(message)));
    }
    let reason = reason.ok_or_else(|| {
        node.key_problem(
            Error::input(format!("variable `{name}` has `allow_raw` but no `raw_reason`"))
                .hint("say why the model needs the values themselves; it is recorded each time"),
        )
    })?;
    let text = reason.text()?;
    if text.trim().is_empty() || text.chars().count() > MAX_REASON_CHARS {
        let message = format!("`raw_reason` is a sentence of 1 to {MAX_REASON_CHARS} characters");
        return Err(reason.problem(Error::input(message)));
    }
    reason.check_characters(text)?;
    let expires = expires.map(|node| day(&node)).transpose()?;
    Ok(Some(AllowRaw { kinds, reason: text.to_owned(), expires }))
}

fn day(node: &Node<'_>) -> Read<NaiveDate> {
    let text = node.text()?;
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| day.to_string() == text).ok_or_else(|| {
        node.problem(
            Error::input(format!("`{}` is no day", node.shown()))
                .hint("write it as year-month-day: 2027-01-31"),
        )
    })
}

fn max_bytes(node: &Node<'_>) -> Read<usize> {
    let bytes = node.value.as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    bytes
        .filter(|bytes| (1..=MAX_TEXT_BYTES).contains(bytes))
        .ok_or_else(|| node.expected(&format!("a whole number of bytes from 1 to {MAX_TEXT_BYTES}")))
}

fn enum_values(node: &Node<'_>) -> Read<Vec<String>> {
    let items = node.items()?;
    if items.is_empty() || items.len() > MAX_ENUM_VALUES {
        let message = format!("an enum has 1 to {MAX_ENUM_VALUES} values, not {}", items.len());
        return Err(node.problem(Error::input(message)));
    }
    let mut seen = BTreeSet::new();
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        let text = item.text()?;
        item.check_characters(text)?;
        if text.is_empty() {
            return Err(item.problem(
                Error::input("a value of an enum is empty").hint("give the empty choice a name: `none`"),
            ));
        }
        if !seen.insert(text) {
            return Err(item.problem(Error::input(format!("the value `{}` comes twice", item.shown()))));
        }
        values.push(text.to_owned());
    }
    Ok(values)
}

fn messages(node: &Node<'_>) -> Read<Vec<Message>> {
    let items = node.items()?;
    if items.is_empty() || items.len() > MAX_MESSAGES {
        let message = format!("a prompt has 1 to {MAX_MESSAGES} messages, not {}", items.len());
        return Err(node.problem(Error::input(message)));
    }
    let mut bytes = 0;
    let mut messages = Vec::with_capacity(items.len());
    for item in items {
        let fields = item.fields(&["role", "content"])?;
        let role = fields.required("role")?.word("role", Role::ALL, Role::code)?;
        let content = fields.required("content")?;
        bytes += content.text()?.len();
        if bytes > MAX_TEXT_BYTES {
            let message = format!("the messages are longer than {MAX_TEXT_BYTES} bytes in all");
            return Err(content.problem(Error::input(message)));
        }
        messages.push(Message { role, content: template(&content)? });
    }
    Ok(messages)
}

fn template(node: &Node<'_>) -> Read<Template> {
    Template::read(node.text()?).map_err(|e| Problem {
        path: node.path.clone(),
        spot: Spot::Byte(e.at),
        error: Error::input(e.message).hint(e.hint),
    })
}

/// Every variable used is declared, and every one declared is used.
fn check_uses(content: &Content) -> Read<()> {
    let mut used = BTreeSet::new();
    for (index, message) in content.messages.iter().enumerate() {
        for (at, name) in message.content.variables() {
            if !content.variables.contains_key(name) {
                return Err(Problem {
                    path: Path::default().key("messages").index(index).key("content"),
                    spot: Spot::Byte(at),
                    error: Error::input(format!("variable `{name}` is used but not declared"))
                        .hint("add it under `variables:`, with a `sensitivity`"),
                });
            }
            used.insert(name);
        }
    }
    match content.variables.keys().find(|name| !used.contains(name.as_str())) {
        Some(name) => Err(Problem {
            path: Path::default().key("variables").key(name),
            spot: Spot::Key,
            error: Error::input(format!("variable `{name}` is declared but not used"))
                .hint(format!("use it in a message as `{{{{{name}}}}}`, or delete it")),
        }),
        None => Ok(()),
    }
}
