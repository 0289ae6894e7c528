//! Exports, read as another program would.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// A table of texts: a value that is not known is `None`.
#[derive(Debug, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// Reads CSV. An empty field is not known where the column is one of `nullable`, else it is empty.
    pub fn from_csv(text: &str, is_nullable: impl Fn(&str) -> bool) -> Self {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let rows = reader.records().map(|record| {
            let record = record.unwrap();
            let cells = record.iter().zip(&columns);
            cells
                .map(|(cell, column)| (!cell.is_empty() || !is_nullable(column)).then(|| cell.to_owned()))
                .collect()
        });
        let rows = rows.collect();
        Self { columns, rows }
    }

    /// Reads Parquet with another program's reader; values as CSV would have them.
    pub fn from_parquet(path: &Path) -> Self {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns = schema.columns().iter().map(|column| column.name().to_owned()).collect();
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(_, field)| shown(field)).collect())
            .collect();
        let counted = reader.metadata().file_metadata().num_rows();
        assert_eq!(usize::try_from(counted), Ok(rows.len()), "the metadata counts other rows");
        Self { columns, rows }
    }

    /// The values of a column.
    pub fn column(&self, name: &str) -> Vec<Option<&str>> {
        let place = self.columns.iter().position(|column| column == name);
        let place = place.unwrap_or_else(|| panic!("no column {name}: {:?}", self.columns));
        self.rows.iter().map(|row| row[place].as_deref()).collect()
    }

    /// The rows, each by the names of its columns.
    pub fn named(&self) -> Vec<BTreeMap<&str, Option<&str>>> {
        self.rows
            .iter()
            .map(|row| {
                self.columns.iter().map(String::as_str).zip(row.iter().map(Option::as_deref)).collect()
            })
            .collect()
    }

    /// The exact sum of a column of dollars.
    pub fn sum(&self, name: &str) -> asmm::domain::Usd {
        self.column(name).into_iter().flatten().map(|usd| usd.parse::<asmm::domain::Usd>().unwrap()).sum()
    }
}

fn shown(field: &Field) -> Option<String> {
    Some(match field {
        Field::Null => return None,
        Field::Str(text) => text.clone(),
        Field::Long(count) => count.to_string(),
        Field::Decimal(decimal) => {
            assert_eq!((decimal.precision(), decimal.scale()), (38, 12));
            let bytes: [u8; 16] = decimal.data().try_into().unwrap();
            asmm::domain::Usd::from_pico(i128::from_be_bytes(bytes)).to_string()
        }
        Field::TimestampMicros(micros) => asmm::domain::Timestamp::from_micros(*micros).to_string(),
        Field::Date(days) => {
            (chrono::NaiveDate::default() + chrono::TimeDelta::days(i64::from(*days))).to_string()
        }
        other => panic!("no column is of this type: {other:?}"),
    })
}
