//! Rows of a CSV (RFC 4180) from lines, in bounded memory. A quoted field may be of several lines.

use crate::error::{Error, Result};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

/// The longest row, in bytes. A quote that is not closed makes one of the rest of the file.
pub(super) const MAX_ROW_BYTES: usize = 1 << 20;
/// The most columns.
pub(super) const MAX_COLUMNS: usize = 4096;

pub(super) struct Rows {
    parser: Reader,
    text: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    count: usize,
    /// The line that the open row begins on.
    open: Option<u64>,
}

impl Rows {
    pub(super) fn new(delimiter: u8) -> Self {
        // Lines come without their ends: a carriage return inside is a part of a field.
        let parser = ReaderBuilder::new().delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self { parser, text: vec![0; 4096], used: 0, ends: vec![0; 64], count: 0, open: None }
    }

    /// Takes a line. Answers the line that a row begins on, when it ends with this one.
    pub(super) fn take(&mut self, number: u64, line: &str) -> Result<Option<u64>, (u64, Error)> {
        if self.open.is_none() {
            if line.trim().is_empty() {
                return Ok(None);
            }
            (self.used, self.count, self.open) = (0, 0, Some(number));
        }
        let begun_at = self.open.unwrap_or(number);
        for mut rest in [line.as_bytes(), b"\n"] {
            while !rest.is_empty() {
                let (text, ends) = (&mut self.text[self.used..], &mut self.ends[self.count..]);
                let (result, read, written, ended) = self.parser.read_record(rest, text, ends);
                rest = &rest[read..];
                self.used += written;
                self.count += ended;
                match result {
                    ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                    ReadRecordResult::Record => {
                        self.open = None;
                        return Ok(Some(begun_at));
                    }
                    ReadRecordResult::OutputFull if self.text.len() < MAX_ROW_BYTES => {
                        self.text.resize((self.text.len() * 4).min(MAX_ROW_BYTES), 0);
                    }
                    ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_COLUMNS => {
                        self.ends.resize((self.ends.len() * 4).min(MAX_COLUMNS), 0);
                    }
                    ReadRecordResult::OutputFull => {
                        self.drop_open();
                        let message =
                            format!("the row is longer than {MAX_ROW_BYTES} bytes: is a quote not closed?");
                        return Err((begun_at, Error::input(message)));
                    }
                    ReadRecordResult::OutputEndsFull => {
                        self.drop_open();
                        let message = format!("the row has more than {MAX_COLUMNS} columns");
                        return Err((begun_at, Error::input(message)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Gives up the row that is open, if one is: its line.
    pub(super) fn drop_open(&mut self) -> Option<u64> {
        self.parser.reset();
        self.open.take()
    }

    /// How many fields the row has.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// A field of the row; `""` where there is none.
    pub(super) fn field(&self, place: usize) -> &str {
        let ends = &self.ends[..self.count];
        let Some(&end) = ends.get(place) else { return "" };
        let start = place.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
        let bytes = self.text.get(start..end).unwrap_or_default();
        std::str::from_utf8(bytes).expect("lines are UTF-8, and fields are cut at ASCII")
    }

    /// The fields of the row.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        (0..self.count).map(|place| self.field(place))
    }
}
