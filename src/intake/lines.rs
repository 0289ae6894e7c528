//! Lines of text from a stream that nobody vouches for, in bounded memory.

use flate2::bufread::MultiGzDecoder;
use std::fmt;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest line that is read, in bytes. A longer one is skipped without being held in memory.
pub const MAX_LINE_BYTES: usize = 16 << 20;

const BUFFER_BYTES: usize = 128 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line: its number, from 1, and its text without the line end, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line's number, from 1.
    pub number: u64,
    /// Its text, or what is wrong with it.
    pub text: Result<&'a str, BadLine>,
}

/// Why a line has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLine {
    /// It is longer than the reader takes.
    TooLong {
        /// Its size in bytes, without the line end.
        bytes: u64,
        /// The most bytes that are taken.
        limit: usize,
    },
    /// It is not UTF-8 text.
    NotUtf8 {
        /// How many bytes of it are.
        valid: usize,
    },
    /// It holds a NUL byte, as files do after a power cut.
    Nul {
        /// The byte's position, from 1.
        column: usize,
    },
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadLine::TooLong { bytes, limit } => {
                write!(f, "the line is {bytes} bytes long; the limit is {limit}")
            }
            BadLine::NotUtf8 { valid } => write!(f, "column {}: the text is not UTF-8", valid + 1),
            BadLine::Nul { column } => write!(f, "column {column}: the line holds a NUL byte"),
        }
    }
}

/// How many bytes of the underlying file have been read: shared, so that a progress bar can follow.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Bytes read so far; of a compressed file, compressed bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.add(count);
        Ok(count)
    }
}

type Head<R> = BufReader<Chain<Cursor<Vec<u8>>, Counted<R>>>;

enum Source<R: Read> {
    Plain(Head<R>),
    Gzip(Box<BufReader<MultiGzDecoder<Head<R>>>>),
}

impl<R: Read> Source<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Source::Plain(reader) => reader.fill_buf(),
            Source::Gzip(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Source::Plain(reader) => reader.consume(bytes),
            Source::Gzip(reader) => reader.consume(bytes),
        }
    }
}

/// A reader of lines. Gzip is recognised by its first bytes and unpacked on the way.
pub struct Lines<R: Read> {
    source: Source<R>,
    line: Vec<u8>,
    number: u64,
    limit: usize,
    progress: Progress,
}

impl<R: Read> Lines<R> {
    /// Reads lines of at most [`MAX_LINE_BYTES`].
    pub fn new(reader: R) -> io::Result<Self> {
        Self::with_limit(reader, MAX_LINE_BYTES)
    }

    /// Reads lines of at most `limit` bytes.
    pub fn with_limit(reader: R, limit: usize) -> io::Result<Self> {
        let progress = Progress::default();
        let mut counted = Counted { inner: reader, progress: progress.clone() };
        let mut magic = Vec::with_capacity(2);
        counted.by_ref().take(2).read_to_end(&mut magic)?;
        let is_gzip = magic == GZIP_MAGIC;
        let head = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(counted));
        let source = if is_gzip {
            Source::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(head))))
        } else {
            Source::Plain(head)
        };
        Ok(Self { source, line: Vec::new(), number: 0, limit, progress })
    }

    /// A handle on how far into the file this has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the stream itself fails, or its compression is damaged: then nothing more can be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let Some(bytes) = self.fetch()? else { return Ok(None) };
        self.number += 1;
        Ok(Some(Line { number: self.number, text: self.text(bytes) }))
    }

    /// Puts the next line into `self.line`, as far as the limit allows; answers its size without line end.
    fn fetch(&mut self) -> io::Result<Option<u64>> {
        self.line.clear();
        let mut bytes = 0_u64;
        let mut last = None;
        loop {
            let available = match self.source.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                if last.is_none() {
                    return Ok(None);
                }
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            // One byte more than the limit, because it may be the `\r` of a line end.
            let room = (self.limit + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            bytes += part.len() as u64;
            last = part.last().copied().or(last).or(Some(b'\n'));
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        if last == Some(b'\r') {
            bytes -= 1;
        }
        Ok(Some(bytes))
    }

    fn text(&self, bytes: u64) -> Result<&str, BadLine> {
        let limit = self.limit;
        let line = usize::try_from(bytes)
            .ok()
            .filter(|&bytes| bytes <= limit)
            .and_then(|bytes| self.line.get(..bytes))
            .ok_or(BadLine::TooLong { bytes, limit })?;
        let line = if self.number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        if let Some(at) = memchr::memchr(0, line) {
            return Err(BadLine::Nul { column: at + 1 });
        }
        std::str::from_utf8(line).map_err(|error| BadLine::NotUtf8 { valid: error.valid_up_to() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn all(bytes: &[u8], limit: usize) -> Vec<(u64, Result<String, BadLine>)> {
        let mut lines = Lines::with_limit(bytes, limit).unwrap();
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            seen.push((line.number, line.text.map(str::to_owned)));
        }
        assert_eq!(lines.progress().bytes(), bytes.len() as u64);
        seen
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of what is compared")]
    fn text(text: &str) -> Result<String, BadLine> {
        Ok(text.to_owned())
    }

    #[test]
    fn line_ends_and_a_last_line_without_one() {
        assert_eq!(
            all(b"\xef\xbb\xbfa\r\n\nb\nc", 9),
            [(1, text("a")), (2, text("")), (3, text("b")), (4, text("c"))]
        );
        assert_eq!(all(b"", 9), []);
        assert_eq!(all(b"\n", 9), [(1, text(""))]);
        assert_eq!(all(b"x", 9), [(1, text("x"))]);
    }

    #[test]
    fn bad_lines_are_said_and_passed() {
        assert_eq!(
            all(b"12345\n12345\r\n123456\na\0b\n\xffx\nok", 5),
            [
                (1, text("12345")),
                (2, text("12345")),
                (3, Err(BadLine::TooLong { bytes: 6, limit: 5 })),
                (4, Err(BadLine::Nul { column: 2 })),
                (5, Err(BadLine::NotUtf8 { valid: 0 })),
                (6, text("ok")),
            ]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_not_held() {
        let long = io::repeat(b'x').take(MAX_LINE_BYTES as u64 + 1);
        let mut lines = Lines::new(long.chain(&b"\nnext"[..])).unwrap();
        let first = lines.next_line().unwrap().unwrap();
        assert_eq!(
            first.text,
            Err(BadLine::TooLong { bytes: MAX_LINE_BYTES as u64 + 1, limit: MAX_LINE_BYTES })
        );
        assert_eq!(lines.next_line().unwrap().unwrap().text, Ok("next"));
        let mut endless = Lines::with_limit(io::repeat(b'x').take(1 << 24), 1000).unwrap();
        endless.next_line().unwrap();
        assert!(endless.line.capacity() < 4096);
    }

    #[test]
    fn gzip_is_unpacked_and_damage_is_an_error() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"a\nb\n").unwrap();
        let packed = encoder.finish().unwrap();
        let twice = [packed.clone(), packed.clone()].concat();
        assert_eq!(all(&twice, 9), [(1, text("a")), (2, text("b")), (3, text("a")), (4, text("b"))]);
        let mut cut = Lines::new(&packed[..packed.len() - 9]).unwrap();
        let read = (0..3).map(|_| cut.next_line().map(|_| ()));
        assert!(read.collect::<io::Result<Vec<()>>>().is_err());
    }
}
