//! A body of protobuf, span by span: a message that is decoded as a whole takes many times its size, and an empty attribute
//! takes two bytes to send.

use super::proto::{LogRecord, Resource, Scope, Span};
use crate::error::{Error, Result};
use prost::Message;

/// The most attributes of a span with its events, of a log record or a resource.
const MAX_ATTRIBUTES: usize = 20_000;

/// The fields of a message.
struct Fields<'a> {
    rest: &'a [u8],
}

/// A field: its number, and what it holds if that is a message, a text or bytes.
type Field<'a> = (u64, Option<&'a [u8]>);

fn damaged(what: &str) -> Error {
    Error::input(format!("the body is no protobuf of OTLP: {what}"))
        .hint("send an ExportTraceServiceRequest as application/x-protobuf")
}

impl<'a> Fields<'a> {
    fn of(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn varint(&mut self) -> Result<u64> {
        prost::decode_length_delimiter(&mut self.rest)
            .map(|number| number as u64)
            .map_err(|_| damaged("a number is cut off"))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| damaged("a field is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn read(&mut self) -> Result<Field<'a>> {
        let key = self.varint()?;
        let held = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => {
                self.take(8)?;
                None
            }
            2 => {
                let length = self.varint()?;
                Some(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                None
            }
            _ => return Err(damaged("a field has no known type")),
        };
        Ok((key >> 3, held))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The messages in the fields of that number.
fn messages(bytes: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8]>> {
    Fields::of(bytes).filter_map(move |field| match field {
        Ok((found, Some(held))) if found == number => Some(Ok(held)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// The last message in the fields of that number: protobuf merges several, which no exporter sends.
fn message<T: Message + Default>(bytes: &[u8], number: u64, attributes: Option<u64>) -> Result<Option<T>> {
    let mut last = None;
    for found in messages(bytes, number) {
        last = Some(found?);
    }
    last.map(|held| decode(held, attributes)).transpose()
}

fn decode<T: Message + Default>(bytes: &[u8], attributes: Option<u64>) -> Result<T> {
    if let Some(number) = attributes {
        check_attributes(bytes, number)?;
    }
    T::decode(bytes).map_err(|error| damaged(&error.to_string()))
}

fn check_attributes(bytes: &[u8], number: u64) -> Result<()> {
    check_count(bytes, number, &mut 0)
}

fn check_count(bytes: &[u8], number: u64, count: &mut usize) -> Result<()> {
    for attribute in messages(bytes, number) {
        attribute?;
        *count += 1;
        if *count > MAX_ATTRIBUTES {
            return Err(Error::input(format!("a span has more than {MAX_ATTRIBUTES} attributes"))
                .hint("exporters have a limit of their own, 128 unless it was raised"));
        }
    }
    Ok(())
}

/// As [`check_attributes`], with those of the events; an event counts as one.
fn check_item<T: Item>(bytes: &[u8]) -> Result<()> {
    let mut count = 0;
    check_count(bytes, T::ATTRIBUTES, &mut count)?;
    if let Some(number) = T::EVENTS {
        check_count(bytes, number, &mut count)?;
        for event in messages(bytes, number) {
            check_count(event?, ATTRIBUTES_OF_EVENT, &mut count)?;
        }
    }
    Ok(())
}

const ATTRIBUTES_OF_EVENT: u64 = 3;

/// A span or a log record, with what it came in.
pub(super) trait Item: Message + Default {
    /// The number of its attributes' field.
    const ATTRIBUTES: u64;
    /// The number of its events' field, if it has them.
    const EVENTS: Option<u64> = None;
}

impl Item for Span {
    const ATTRIBUTES: u64 = 9;
    const EVENTS: Option<u64> = Some(11);
}

impl Item for LogRecord {
    const ATTRIBUTES: u64 = 6;
}

/// Gives each span (or log record) of a body to `give`, with its resource and its scope. The requests for traces and for logs
/// have one shape.
pub(super) fn each<T: Item>(
    body: &[u8],
    mut give: impl FnMut(Option<&Resource>, Option<&Scope>, &T),
) -> Result<()> {
    // All of it is looked at before anything is taken.
    for of_resource in messages(body, 1) {
        for of_scope in messages(of_resource?, 2) {
            for item in messages(of_scope?, 2) {
                check_item::<T>(item?)?;
            }
        }
    }
    for of_resource in messages(body, 1) {
        let of_resource = of_resource?;
        let resource: Option<Resource> = message(of_resource, 1, Some(1))?;
        for of_scope in messages(of_resource, 2) {
            let of_scope = of_scope?;
            let scope: Option<Scope> = message(of_scope, 1, None)?;
            for item in messages(of_scope, 2) {
                give(resource.as_ref(), scope.as_ref(), &decode::<T>(item?, None)?);
            }
        }
    }
    Ok(())
}
