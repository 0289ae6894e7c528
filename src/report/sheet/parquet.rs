//! Apache Parquet, as much of it as flat rows need: plain values, one page a column and row group, zstd.
//!
//! Written out here since the `parquet` crate, without Arrow, makes the program 0.7 MB larger by itself; the tests read
//! these files with that crate. Source: <https://github.com/apache/parquet-format>, its `parquet.thrift`.

use super::thrift::{Thrift, Type, varint};
use super::{SheetColumn, SheetKind};
use crate::report::cell::Cell;
use chrono::{Datelike, NaiveDate};
use std::io::{self, Write};

const MAGIC: &[u8] = b"PAR1";
/// How many bytes of values are held before they are written as a row group: 16 MB.
const GROUP_BYTES: usize = 16 << 20;
/// How many rows are.
const GROUP_ROWS: usize = 1 << 17;
/// The level of zstd that its authors have as default.
const LEVEL: i32 = 3;
/// Numbers of `parquet.thrift`: `Encoding` and `CompressionCodec`.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const ZSTD: i32 = 6;

/// How dollars are held: 16 bytes, of which 12 decimals are behind the point.
const PRECISION: i32 = 38;
const SCALE: i32 = 12;

/// The values of a column that wait for the end of their row group.
#[derive(Default)]
struct Pending {
    values: Vec<u8>,
    /// Which rows have one.
    is_known: Vec<bool>,
}

/// Where a column's values of a row group are.
struct Chunk {
    offset: i64,
    rows: i64,
    raw: i64,
    compressed: i64,
}

/// A file in the making.
pub(super) struct File {
    at: i64,
    rows: usize,
    pending: Vec<Pending>,
    groups: Vec<Vec<Chunk>>,
}

impl File {
    pub fn start(out: &mut dyn Write, columns: &[SheetColumn]) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        let pending = columns.iter().map(|_| Pending::default()).collect();
        Ok(Self { at: 4, rows: 0, pending, groups: Vec::new() })
    }

    pub fn row(&mut self, out: &mut dyn Write, columns: &[SheetColumn], cells: &[Cell]) -> io::Result<()> {
        for ((pending, column), cell) in self.pending.iter_mut().zip(columns).zip(cells) {
            let is_known = push(&mut pending.values, cell)?;
            if !is_known && !column.is_nullable {
                return Err(invalid(format!("the column `{}` has a row without a value", column.name)));
            }
            pending.is_known.push(is_known);
        }
        self.rows += 1;
        let bytes: usize = self.pending.iter().map(|pending| pending.values.len()).sum();
        if self.rows >= GROUP_ROWS || bytes >= GROUP_BYTES { self.write_group(out, columns) } else { Ok(()) }
    }

    pub fn finish(mut self, out: &mut dyn Write, columns: &[SheetColumn]) -> io::Result<()> {
        self.write_group(out, columns)?;
        let footer = self.footer(columns);
        out.write_all(&footer)?;
        let length = u32::try_from(footer.len()).map_err(|_| invalid("the file has too many row groups"))?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(MAGIC)
    }

    fn write_group(&mut self, out: &mut dyn Write, columns: &[SheetColumn]) -> io::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = Vec::with_capacity(columns.len());
        for (pending, column) in self.pending.iter_mut().zip(columns) {
            let Pending { values, is_known } = std::mem::take(pending);
            let mut page = if column.is_nullable { levels(&is_known)? } else { Vec::new() };
            page.extend_from_slice(&values);
            let body = zstd::bulk::compress(&page, LEVEL)?;
            let head = page_head(is_known.len(), page.len(), body.len())?;
            out.write_all(&head)?;
            out.write_all(&body)?;
            let size = |bytes: usize| i64::try_from(bytes + head.len()).map_err(invalid);
            let compressed = size(body.len())?;
            let rows = i64::try_from(is_known.len()).map_err(invalid)?;
            group.push(Chunk { offset: self.at, rows, raw: size(page.len())?, compressed });
            self.at += compressed;
        }
        self.rows = 0;
        self.groups.push(group);
        Ok(())
    }

    /// `FileMetaData`.
    fn footer(&self, columns: &[SheetColumn]) -> Vec<u8> {
        let rows_of = |group: &[Chunk]| group.first().map_or(0, |chunk| chunk.rows);
        Thrift::message(|file| {
            file.i32(1, 2);
            let elements = std::iter::once(None).chain(columns.iter().map(Some));
            file.list(2, Type::Struct, elements.collect::<Vec<_>>().into_iter(), |file, element| {
                file.fields(|fields| match element {
                    None => {
                        fields.text(4, "rows");
                        fields.i32(5, i32::try_from(columns.len()).unwrap_or(i32::MAX));
                    }
                    Some(column) => schema_element(fields, column),
                });
            });
            file.i64(3, self.groups.iter().map(|group| rows_of(group)).sum());
            file.list(4, Type::Struct, self.groups.iter(), |file, group| {
                file.fields(|fields| {
                    fields.list(1, Type::Struct, group.iter().zip(columns), |fields, (chunk, column)| {
                        fields.fields(|fields| column_chunk(fields, chunk, column));
                    });
                    fields.i64(2, group.iter().map(|chunk| chunk.raw).sum());
                    fields.i64(3, rows_of(group));
                });
            });
            file.text(6, concat!("asmm version ", env!("CARGO_PKG_VERSION")));
        })
    }
}

fn invalid(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

/// Adds a value in the plain encoding; whether there is one.
fn push(values: &mut Vec<u8>, cell: &Cell) -> io::Result<bool> {
    match cell {
        Cell::Text(text) | Cell::Id(text) => {
            values.extend(u32::try_from(text.len()).map_err(invalid)?.to_le_bytes());
            values.extend_from_slice(text.as_bytes());
        }
        Cell::Count(count) | Cell::Tokens(count) | Cell::Millis(count) => {
            values.extend(i64::try_from(*count).map_err(invalid)?.to_le_bytes());
        }
        Cell::Usd(usd) => values.extend(usd.pico().to_be_bytes()),
        Cell::Time(time) => values.extend(time.micros().to_le_bytes()),
        Cell::Day(day) => {
            let days = day.num_days_from_ce() - NaiveDate::default().num_days_from_ce();
            values.extend(days.to_le_bytes());
        }
        Cell::Missing | Cell::Unpriced | Cell::Blank => return Ok(false),
        other => return Err(invalid(format!("a file has no column for {other:?}"))),
    }
    Ok(true)
}

/// Which rows have a value, as definition levels: runs of equal ones, after their length in bytes.
fn levels(is_known: &[bool]) -> io::Result<Vec<u8>> {
    let mut runs = Vec::new();
    for run in is_known.chunk_by(|one, next| one == next) {
        varint(&mut runs, u64::try_from(run.len()).map_err(invalid)? << 1);
        runs.push(u8::from(run[0]));
    }
    let length = u32::try_from(runs.len()).map_err(invalid)?.to_le_bytes();
    Ok([&length[..], &runs].concat())
}

/// `PageHeader` of a data page.
fn page_head(rows: usize, raw: usize, compressed: usize) -> io::Result<Vec<u8>> {
    let [rows, raw, compressed] = [rows, raw, compressed].map(i32::try_from);
    let (rows, raw, compressed) =
        (rows.map_err(invalid)?, raw.map_err(invalid)?, compressed.map_err(invalid)?);
    Ok(Thrift::message(|page| {
        page.i32(1, 0);
        page.i32(2, raw);
        page.i32(3, compressed);
        page.object(5, |data| {
            data.i32(1, rows);
            data.i32(2, PLAIN);
            data.i32(3, RLE);
            data.i32(4, RLE);
        });
    }))
}

/// The physical type, by its number in `parquet.thrift`.
const fn physical(kind: SheetKind) -> i32 {
    match kind {
        SheetKind::Day => 1,
        SheetKind::Count | SheetKind::Time => 2,
        SheetKind::Text => 6,
        SheetKind::Usd => 7,
    }
}

/// `SchemaElement` of a column. Its meaning is said twice, since older readers know the older way only.
fn schema_element(fields: &mut Thrift, column: &SheetColumn) {
    fields.i32(1, physical(column.kind));
    if column.kind == SheetKind::Usd {
        fields.i32(2, 16);
    }
    fields.i32(3, i32::from(column.is_nullable));
    fields.text(4, column.name);
    match column.kind {
        SheetKind::Count => {}
        SheetKind::Text => {
            fields.i32(6, 0);
            fields.object(10, |logical| logical.object(1, |_| {}));
        }
        SheetKind::Usd => {
            fields.i32(6, 5);
            fields.i32(7, SCALE);
            fields.i32(8, PRECISION);
            fields.object(10, |logical| {
                logical.object(5, |decimal| {
                    decimal.i32(1, SCALE);
                    decimal.i32(2, PRECISION);
                });
            });
        }
        SheetKind::Day => {
            fields.i32(6, 6);
            fields.object(10, |logical| logical.object(6, |_| {}));
        }
        SheetKind::Time => {
            fields.i32(6, 10);
            fields.object(10, |logical| {
                logical.object(8, |timestamp| {
                    timestamp.bool(1, true);
                    timestamp.object(2, |unit| unit.object(2, |_| {}));
                });
            });
        }
    }
}

/// `ColumnChunk`.
fn column_chunk(fields: &mut Thrift, chunk: &Chunk, column: &SheetColumn) {
    fields.i64(2, chunk.offset);
    fields.object(3, |data| {
        data.i32(1, physical(column.kind));
        data.list(2, Type::I32, [PLAIN, RLE].into_iter(), |list, encoding| list.number(encoding.into()));
        data.list(3, Type::Binary, [column.name].into_iter(), |list, name| list.binary(name.as_bytes()));
        data.i32(4, ZSTD);
        data.i64(5, chunk.rows);
        data.i64(6, chunk.raw);
        data.i64(7, chunk.compressed);
        data.i64(9, chunk.offset);
    });
}

#[cfg(test)]
mod tests {
    use crate::domain::Usd;
    use crate::report::{Cell, Sheet, SheetColumn, SheetFormat, SheetKind};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    /// Every third count is unknown; rows are more than fit in one group, twice.
    #[test]
    fn another_reader_finds_every_row_of_every_group() {
        let rows = 2 * super::GROUP_ROWS + 7;
        let columns = vec![
            SheetColumn::new(SheetKind::Count, "n").or_unknown(),
            SheetColumn::new(SheetKind::Usd, "usd"),
        ];
        let mut file = tempfile::tempfile().unwrap();
        let mut sheet = Sheet::new(&mut file, SheetFormat::Parquet, columns).unwrap();
        for n in 0..u64::try_from(rows).unwrap() {
            let count = if n % 3 == 0 { Cell::Missing } else { Cell::Count(n) };
            sheet.row(&[count, Usd::from_pico(-i128::from(n)).into()]).unwrap();
        }
        sheet.finish().unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.num_row_groups(), 3);
        let mut read = 0_i64;
        for row in reader.get_row_iter(None).unwrap() {
            let fields: Vec<Field> =
                row.unwrap().into_columns().into_iter().map(|(_, field)| field).collect();
            let count = if read % 3 == 0 { Field::Null } else { Field::Long(read) };
            assert_eq!(fields[0], count);
            let Field::Decimal(usd) = &fields[1] else { panic!("dollars are a decimal: {fields:?}") };
            assert_eq!(usd.data(), (-i128::from(read)).to_be_bytes());
            read += 1;
        }
        assert_eq!(usize::try_from(read), Ok(rows));
    }

    #[test]
    fn what_must_be_known_is() {
        let mut bytes = Vec::new();
        let columns = vec![SheetColumn::new(SheetKind::Count, "n")];
        let mut sheet = Sheet::new(&mut bytes, SheetFormat::Parquet, columns).unwrap();
        let error = sheet.row(&[Cell::Missing]).unwrap_err();
        assert!(error.to_string().contains("the column `n` has a row without a value"), "{error}");
    }
}
