//! Rows that go in many at a time, as the parameters of one statement: read out of JSON they cost twice as much.

use crate::error::{Error, Result};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Sqlite, SqliteConnection, Type};
use std::collections::HashMap;
use std::sync::Arc;

/// How many rows a statement takes. One that is not full counts: what is not bound is null, and its rows are left out.
const MANY: usize = 256;
const FEW: usize = 16;

/// Statements that insert rows of so many columns, made once.
pub(in crate::store) struct Insert {
    many: String,
    few: String,
    columns: usize,
}

impl Insert {
    /// `into` is the table with its columns; `select` what they get, from `column1`, `column2`, …, of which the first is null in no
    /// row; `conflict` what comes last.
    pub fn new(into: &str, select: &str, columns: usize, conflict: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        let text = |rows: usize| {
            let values = vec![row.as_str(); rows].join(",");
            format!(
                "insert into {into} select {select} from (values {values}) where column1 is not null {conflict}"
            )
        };
        Self { many: text(MANY), few: text(FEW), columns }
    }

    /// Inserts rows in their order. When it fails, those before may be there: the caller gives the transaction up, or was under a
    /// savepoint if [`Insert::is_one`] does not hold.
    pub async fn run<R>(
        &'static self,
        db: &mut SqliteConnection,
        rows: &[R],
        mut bind: impl FnMut(&R, &mut Row) -> Result<()>,
    ) -> sqlx::Result<Result<()>> {
        let mut rest = rows;
        let mut bind_next = || -> Result<Option<(&'static str, SqliteArguments)>> {
            if rest.is_empty() {
                return Ok(None);
            }
            let (statement, size) = if rest.len() > FEW { (&self.many, MANY) } else { (&self.few, FEW) };
            let (part, more) = rest.split_at(rest.len().min(size));
            rest = more;
            let mut row = Row(SqliteArguments::default());
            row.0.reserve(part.len() * self.columns, 0);
            part.iter().try_for_each(|of| bind(of, &mut row))?;
            Ok(Some((statement.as_str(), row.0)))
        };
        let mut next = bind_next();
        loop {
            let (statement, values) = match next {
                Ok(Some(bound)) => bound,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            };
            // SQLite works on a thread of its own: the next rows are bound meanwhile.
            let inserting = sqlx::query_with(statement, values).execute(&mut *db);
            let (inserted, bound) = tokio::join!(inserting, async { bind_next() });
            inserted?;
            next = bound;
        }
    }

    /// Whether so many rows go in by one statement, which does all or nothing.
    pub fn is_one(rows: usize) -> bool {
        rows <= MANY
    }
}

/// The parameters of a row, in the order of its columns.
pub(in crate::store) struct Row(SqliteArguments);

impl Row {
    pub fn bind<'v, V: Encode<'v, Sqlite> + Type<Sqlite>>(&mut self, value: V) -> Result<&mut Self> {
        self.0.add(value).map_err(|e| Error::input(format!("a value cannot be written: {e}")))?;
        Ok(self)
    }
}

/// Texts that repeat from row to row, each held once.
#[derive(Default)]
pub(in crate::store) struct Texts<'t>(HashMap<&'t str, Arc<str>>);

impl<'t> Texts<'t> {
    pub fn of(&mut self, text: &'t str) -> Arc<str> {
        Arc::clone(self.0.entry(text).or_insert_with(|| Arc::from(text)))
    }
}
