//! Any CSV with a row a call, and a mapping that says which column is what.
//!
//! Rows are read in bounded memory: of a file are held one row and what is needed to tell rows apart that say the same.

mod mapping;
mod row;
mod rows;
#[cfg(test)]
mod tests;
mod time;

pub use mapping::{CsvMapping, Field, Included, RunPer};
pub use time::TimeFormat;

use super::Complaints;
use super::complaints::in_one_line;
use super::lines::Lines;
use crate::domain::{Call, CallId, Timestamp};
use crate::error::{Error, Result};
use row::Plan;
use rows::Rows;
use std::collections::HashMap;
use std::io::Read;

/// The format's part in derived ids.
const FORMAT: &str = "csv";
/// Of so many rows at least it is remembered what they said, and of twice as many at most.
const REMEMBERED: usize = 1 << 19;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsvSummary {
    /// Rows under the head.
    pub rows: u64,
    /// Rows that could not be read, and why.
    pub complaints: Complaints,
}

/// Reads a CSV and gives a call for each row to `give`, with the line that it begins on; a call starts its run.
///
/// A call's id is the `call_id` column's, else the response's, else it is derived from what the row says and how many rows of the file
/// have said the same before: not from the file's name or the row's number.
///
/// # Errors
/// When the mapping is not right or does not fit the head, the stream cannot be read, or `give` fails.
pub fn read<R: Read>(
    file: &str,
    lines: &mut Lines<R>,
    mapping: &CsvMapping,
    now: Timestamp,
    mut give: impl FnMut(u64, Call) -> Result<()>,
) -> Result<CsvSummary> {
    mapping.check()?;
    let mut summary = CsvSummary::default();
    let mut rows = Rows::new(mapping.delimiter()?);
    let mut plan: Option<Plan<'_>> = None;
    let mut seen = Seen::default();
    let failed = |error| Error::io(format!("`{file}` cannot be read"), error);
    while let Some(line) = lines.next_line().map_err(failed)? {
        let text = match line.text {
            Ok(text) => text,
            Err(bad) => {
                rows.drop_open();
                summary.complaints.add(file, line.number, bad);
                continue;
            }
        };
        let begun_at = match rows.take(line.number, text) {
            Ok(Some(begun_at)) => begun_at,
            Ok(None) => continue,
            Err((begun_at, error)) => {
                summary.complaints.add(file, begun_at, error);
                continue;
            }
        };
        let Some(plan) = &plan else {
            let head: Vec<String> = rows.fields().map(|name| name.trim().to_owned()).collect();
            plan = Some(Plan::of(file, mapping, head)?);
            continue;
        };
        summary.rows += 1;
        let call = plan.call(&rows).map(|(call, has_id)| if has_id { call } else { seen.numbered(call) });
        match call.and_then(|call| call.check(now).map(|()| call)) {
            Ok(call) => give(begun_at, call)?,
            Err(error) => summary.complaints.add(file, begun_at, in_one_line(&error)),
        }
    }
    if let Some(begun_at) = rows.drop_open() {
        summary.complaints.add(file, begun_at, "the row ends inside of quotes");
    }
    if plan.is_none() {
        return Err(Error::input(format!("`{file}` is empty: it has no head"))
            .hint("the first row names the columns"));
    }
    Ok(summary)
}

/// How often rows have said the same. Rows that do are close to each other, for they say the same time: what is long ago is
/// forgotten.
#[derive(Default)]
struct Seen {
    recent: HashMap<CallId, u32>,
    before: HashMap<CallId, u32>,
}

impl Seen {
    /// Gives the call an id by what it says: the second of two that say the same is another call.
    fn numbered(&mut self, call: Call) -> Call {
        let told =
            serde_json::to_string(&call).expect("a call is words and whole numbers, which JSON can say");
        let first = CallId::derived(&[FORMAT, "row", &told]);
        let nth = self.recent.get(&first).or_else(|| self.before.get(&first)).copied().unwrap_or(0);
        if self.recent.len() >= REMEMBERED {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(first, nth.saturating_add(1));
        let call_id =
            if nth == 0 { first } else { CallId::derived(&[FORMAT, "row", &told, &nth.to_string()]) };
        Call { call_id, ..call }
    }
}
