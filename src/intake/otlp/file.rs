//! Bodies in files: one a line, as the Collector's file exporter writes them, or a single one.

use super::{Encoding, Signal, Texts, read};
use crate::domain::{Span, Timestamp};
use crate::error::{Error, Result};
use crate::intake::lines::Lines;
use crate::intake::{Complaints, records};
use flate2::read::MultiGzDecoder;
use std::io::{Cursor, Read};

/// The most that a single body may hold, in bytes.
const MAX_BODY_BYTES: u64 = 256 << 20;

/// What was read of a file.
#[derive(Debug, Default)]
pub struct FileSummary {
    /// Spans given to the sink.
    pub spans: u64,
    /// What could not be read, and why.
    pub complaints: Complaints,
}

/// Reads a file and gives its spans to `give`, with the number of the line that they are on; 0 in protobuf.
///
/// # Errors
/// When the file cannot be read, is a body of neither kind, or `give` fails.
pub fn read_file(
    file: &str,
    stream: &mut dyn Read,
    (texts, now): (Texts, Timestamp),
    complaints: &mut Complaints,
    mut give: impl FnMut(u64, Span) -> Result<()>,
) -> Result<FileSummary> {
    let failed = |error| Error::io(format!("`{file}` cannot be read"), error);
    let mut head = [0; 2];
    let count = fill(stream, &mut head).map_err(failed)?;
    let whole = Cursor::new(head[..count].to_vec()).chain(stream);
    if head == [0x1f, 0x8b] {
        return read_plain(file, &mut MultiGzDecoder::new(whole), (texts, now), complaints, &mut give);
    }
    let mut whole = whole;
    read_plain(file, &mut whole, (texts, now), complaints, &mut give)
}

fn read_plain(
    file: &str,
    stream: &mut dyn Read,
    (texts, now): (Texts, Timestamp),
    complaints: &mut Complaints,
    give: &mut dyn FnMut(u64, Span) -> Result<()>,
) -> Result<FileSummary> {
    let failed = |error| Error::io(format!("`{file}` cannot be read"), error);
    let mut summary = FileSummary::default();
    let mut first = [0; 1];
    let count = fill(stream, &mut first).map_err(failed)?;
    let mut whole = Cursor::new(first[..count].to_vec()).chain(stream);
    // Protobuf begins with a line end: the tag of its first field.
    if matches!(first[0], b'{' | b'[' | b' ' | b'\t') {
        let mut lines = Lines::new(whole).map_err(failed)?;
        records::each(file, &mut lines, complaints, |line, object, complaints| {
            let signal = if object.contains("\"resourceLogs\"") { Signal::Logs } else { Signal::Traces };
            take(
                file,
                line,
                read(object.as_bytes(), (signal, Encoding::Json), texts, now),
                &mut summary,
                complaints,
                give,
            )
        })?;
        return Ok(summary);
    }
    let mut body = Vec::new();
    (&mut whole).take(MAX_BODY_BYTES + 1).read_to_end(&mut body).map_err(failed)?;
    if body.len() as u64 > MAX_BODY_BYTES {
        return Err(Error::input(format!("`{file}` is larger than {} MiB", MAX_BODY_BYTES >> 20))
            .hint("write it as JSON, an object a line"));
    }
    // Traces and logs have one shape in protobuf: what is no span has no id.
    let traces = read(&body, (Signal::Traces, Encoding::Protobuf), texts, now);
    take(file, 0, traces, &mut summary, complaints, give)?;
    Ok(summary)
}

fn take(
    file: &str,
    line: u64,
    body: Result<super::Spans>,
    summary: &mut FileSummary,
    complaints: &mut Complaints,
    give: &mut dyn FnMut(u64, Span) -> Result<()>,
) -> Result<()> {
    // A body of protobuf has no lines.
    let mut complain = |what: String| match line {
        0 => complaints.add_file(file, what),
        line => complaints.add(file, line, what),
    };
    match body {
        Ok(body) => {
            if let Some(reason) = &body.reason {
                complain(format!("{} spans are refused, the first because: {reason}", body.refused));
            }
            for span in body.spans {
                summary.spans += 1;
                give(line, span)?;
            }
        }
        Err(error) => complain(error.to_string()),
    }
    Ok(())
}

fn fill(stream: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match stream.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}
