//! A row as a call.

use super::FORMAT;
use super::mapping::{CsvMapping, Field, Included, RunPer};
use super::rows::Rows;
use crate::domain::{Call, CallId, Outcome, RunId, Timestamp, TokenKind, TokenUsage, as_name};
use crate::error::{Error, Result};
use chrono_tz::Tz;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The most names of columns that an error lists.
const LISTED: usize = 40;

/// The mapping, brought together with a file's head.
pub(super) struct Plan<'m> {
    mapping: &'m CsvMapping,
    zone: Option<Tz>,
    head: Vec<String>,
    places: BTreeMap<Field, usize>,
    file: String,
}

impl<'m> Plan<'m> {
    pub(super) fn of(file: &str, mapping: &'m CsvMapping, head: Vec<String>) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (field, column) in &mapping.columns {
            let mut found = head.iter().enumerate().filter(|(_, name)| *name == column.trim());
            let Some((place, _)) = found.next() else { return Err(no_column(file, column, &head)) };
            if found.next().is_some() {
                return Err(Error::usage(format!("`{file}` has several columns `{column}`"))
                    .hint("give them different names in the first row"));
            }
            places.insert(*field, place);
        }
        let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let file = name.split('.').next().unwrap_or(name).to_owned();
        Ok(Self { mapping, zone: mapping.zone()?, head, places, file })
    }

    /// The row's call, and whether its id is its own; else the id is still to be made.
    pub(super) fn call(&self, row: &Rows) -> Result<(Call, bool)> {
        if row.len() != self.head.len() {
            return Err(Error::input(format!(
                "the row has {} columns instead of {}",
                row.len(),
                self.head.len()
            )));
        }
        let words = |field| self.words(row, field);
        let name = |field: Field| {
            words(field).map(|text| as_name(text).ok_or_else(|| self.wrong(field, text, "a name")))
        };
        let name = |field: Field| name(field).transpose();
        let time = words(Field::CalledAt).ok_or_else(|| self.missing(Field::CalledAt))?;
        let called_at =
            self.mapping.time.read(time, self.zone).map_err(|error| error.at(self.named(Field::CalledAt)))?;
        let pipeline = name(Field::Pipeline)?.unwrap_or_else(|| FORMAT.to_owned());
        let response_id = name(Field::ResponseId)?;
        let own_id = words(Field::CallId)
            .map(|id| Uuid::parse_str(id).map_or_else(|_| CallId::derived(&[FORMAT, "id", id]), CallId));
        let by_response = response_id.as_deref().map(|id| CallId::derived(&[FORMAT, "response", id]));
        let call_id = own_id.or(by_response);
        let usage = self.usage(row)?;
        let call = Call {
            run_id: self.run(row, &pipeline, called_at),
            call_id: call_id.unwrap_or(CallId(Uuid::nil())),
            step_id: None,
            agent: name(Field::Agent)?.unwrap_or_default(),
            provider: name(Field::Provider)?.unwrap_or_default(),
            model: name(Field::Model)?.ok_or_else(|| self.missing(Field::Model))?,
            operation: name(Field::Operation)?.unwrap_or_else(|| operation(usage.as_ref())),
            service_tier: name(Field::ServiceTier)?.unwrap_or_else(|| "standard".to_owned()),
            called_at,
            usage,
            latency_ms: self.count(row, Field::LatencyMs)?,
            outcome: self.outcome(row)?,
            response_id,
            pipeline: Some(pipeline),
            prompt: None,
        };
        Ok((call, call_id.is_some()))
    }

    /// What the row says of a field, else the constant.
    fn words<'r>(&'r self, row: &'r Rows, field: Field) -> Option<&'r str> {
        let cell =
            self.places.get(&field).map(|place| row.field(*place).trim()).filter(|cell| !cell.is_empty());
        cell.or_else(|| {
            self.mapping.constants.get(&field).map(|text| text.trim()).filter(|text| !text.is_empty())
        })
    }

    fn named(&self, field: Field) -> String {
        let column = self.places.get(&field).and_then(|place| self.head.get(*place));
        column.map_or_else(|| format!("`{field}`"), |column| format!("column `{column}`"))
    }

    fn wrong(&self, field: Field, found: &str, expected: &str) -> Error {
        let shown: String = found.chars().take(40).collect();
        Error::input(format!("{} is `{shown}`, not {expected}", self.named(field)))
    }

    fn missing(&self, field: Field) -> Error {
        Error::input(format!("{} is empty", self.named(field)))
    }

    fn run(&self, row: &Rows, pipeline: &str, called_at: Timestamp) -> RunId {
        if let Some(run) = self.words(row, Field::Run) {
            return Uuid::parse_str(run)
                .map_or_else(|_| RunId::derived(&[FORMAT, pipeline, "run", run]), RunId);
        }
        match self.mapping.run_per {
            RunPer::File => RunId::derived(&[FORMAT, pipeline, "file", &self.file]),
            RunPer::Day => {
                let day = called_at.to_utc().with_timezone(&self.zone.unwrap_or(Tz::UTC)).date_naive();
                RunId::derived(&[FORMAT, pipeline, "day", &day.to_string()])
            }
        }
    }

    /// A count. What was a number with gaps in a table of another program comes as `12.0`.
    fn count(&self, row: &Rows, field: Field) -> Result<Option<u64>> {
        let Some(text) = self.words(row, field) else { return Ok(None) };
        let whole = text
            .split_once('.')
            .filter(|(_, part)| part.bytes().all(|byte| byte == b'0'))
            .map_or(text, |(whole, _)| whole);
        let is_count = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
        let count = whole.parse().ok().filter(|_| is_count);
        count.map(Some).ok_or_else(|| self.wrong(field, text, "a count"))
    }

    /// What the row says was used; a row that says nothing of it leaves it unknown.
    fn usage(&self, row: &Rows) -> Result<Option<TokenUsage>> {
        let count = |kind| self.count(row, Field::Usage(kind));
        let mut is_known = false;
        let mut counts = [0; TokenKind::ALL.len()];
        for (place, kind) in TokenKind::ALL.into_iter().enumerate() {
            if let Some(count) = count(kind)? {
                is_known = true;
                counts[place] = count;
            }
        }
        if !is_known {
            return Ok(None);
        }
        let [input, cache_read, cache_write, cache_write_long, output, reasoning, embedding, web_searches] =
            counts;
        let includes = |what| self.mapping.includes.contains(&what);
        // Parts that are outside of their whole are taken out of nothing.
        let written = cache_write.saturating_add(cache_write_long);
        let (read_inside, written_inside) =
            if includes(Included::Cache) { (cache_read, written) } else { (0, 0) };
        let reasoning_inside = if includes(Included::Reasoning) { reasoning } else { 0 };
        let apart = TokenUsage::from_inclusive(input, read_inside, written_inside, output, reasoning_inside)?;
        let usage = TokenUsage {
            cache_read,
            cache_write,
            cache_write_long,
            reasoning,
            embedding,
            web_searches,
            ..apart
        };
        usage.check()?;
        Ok(Some(usage))
    }

    fn outcome(&self, row: &Rows) -> Result<Outcome> {
        let Some(text) = self.words(row, Field::Outcome) else { return Ok(Outcome::Ok) };
        match text.to_ascii_lowercase().as_str() {
            "ok" | "success" | "succeeded" => Ok(Outcome::Ok),
            "error" | "failure" | "failed" => Ok(Outcome::Error),
            _ => Err(self.wrong(Field::Outcome, text, "ok or error")),
        }
    }
}

fn operation(usage: Option<&TokenUsage>) -> String {
    let is_embedding =
        usage.is_some_and(|usage| usage.embedding > 0 && usage.whole_input() + usage.whole_output() == 0);
    if is_embedding { "embeddings" } else { "chat" }.to_owned()
}

fn no_column(file: &str, column: &str, head: &[String]) -> Error {
    let mut names: Vec<String> =
        head.iter().take(LISTED).map(|name| name.chars().take(60).collect()).collect();
    if head.len() > LISTED {
        names.push(format!("and {} more", head.len() - LISTED));
    }
    let more = if head.len() == 1 { "; is the delimiter not a comma? --delimiter says so" } else { "" };
    Error::usage(format!("`{file}` has no column `{column}`"))
        .hint(format!("it has: {}{more}", names.join(", ")))
}
