//! Published traces of LLM traffic: real rhythms and sizes to try the ledger with.
//!
//! Two formats, told apart by their first line: the Azure LLM inference traces (CSV with the columns
//! `TIMESTAMP,ContextTokens,GeneratedTokens`) and the Mooncake traces (JSONL with `timestamp`,
//! `input_length`, `output_length`, `hash_ids`). Traces have no runs: rows are grouped into runs by
//! consecutive slices of time since the first row.

mod row;
#[cfg(test)]
mod tests;

use crate::domain::{
    Call, CallId, Event, FinishRun, Outcome, RunId, StartRun, Status, Timestamp, TokenUsage,
};
use crate::error::{Error, Result};
use crate::intake::Complaints;
use crate::intake::lines::Lines;
use row::{Format, Row};
use std::collections::BTreeMap;
use std::io::Read;

/// How a trace becomes runs and calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// The pipeline of all runs.
    pub pipeline: String,
    /// The provider of all calls.
    pub provider: String,
    /// The model of all calls.
    pub model: String,
    /// The agent of all calls.
    pub agent: String,
    /// Moves the first row to this time, and the others with it. Mooncake's times are relative: it needs one.
    pub start: Option<Timestamp>,
    /// The length of a run, in seconds.
    pub run_every: u32,
}

impl TraceOptions {
    /// The length of a run unless another is asked for, in seconds.
    pub const RUN_EVERY: u32 = 300;
}

/// What was read of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Lines in the file, the header included.
    pub lines: u64,
    /// Calls given to the sink.
    pub calls: u64,
    /// Runs given to the sink.
    pub runs: u64,
    /// Lines that were passed over, and why.
    pub complaints: Complaints,
}

/// Reads a trace, giving its runs, calls and finishes to `sink`.
///
/// A run's start comes before its calls; all finishes come last, because rows may be out of order and
/// only the end of the file shows which call was a run's last. Ids are derived from the format, the
/// pipeline, the row's number and its contents: the same file with the same options gives the same
/// events. Held in memory are one entry a run and, for Mooncake, one number a distinct cache block.
///
/// # Errors
/// When the options or the format are not right, the stream fails, or `sink` does.
pub fn read<R: Read>(
    file: &str,
    lines: &mut Lines<R>,
    options: &TraceOptions,
    now: Timestamp,
    sink: impl FnMut(Event) -> Result<()>,
) -> Result<TraceSummary> {
    if options.run_every == 0 {
        return Err(Error::usage("a run of 0 seconds holds no calls").hint("give at least 1 second"));
    }
    let mut reading = Reading { options, now, format: None, first: None, slices: BTreeMap::new(), sink };
    let mut summary = TraceSummary::default();
    loop {
        let line = lines.next_line().map_err(|error| {
            Error::io(format!("cannot read `{file}`"), error)
                .hint("is it whole? importing it again is safe: what is there already stays once")
        })?;
        let Some(line) = line else { break };
        summary.lines = line.number;
        let text = match line.text {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text,
            Err(bad) => {
                summary.complaints.add(file, line.number, bad);
                continue;
            }
        };
        let call = match &mut reading.format {
            Some(format) => format.row(text).and_then(|row| reading.call(line.number, text, &row)),
            none => {
                let format = Format::of_first_line(text, options.start.is_some())
                    .map_err(|error| error.at(format!("{file}:{}", line.number)))?;
                let is_header = format.has_header();
                let format = none.insert(format);
                if is_header {
                    continue;
                }
                format.row(text).and_then(|row| reading.call(line.number, text, &row))
            }
        };
        match call {
            Err(bad) => summary.complaints.add(file, line.number, bad),
            Ok(call) => {
                reading.give(call)?;
                summary.calls += 1;
            }
        }
    }
    if reading.format.is_none() {
        return Err(Error::input(format!("`{file}` holds no trace: it is empty"))
            .hint("name a trace of Azure or Mooncake, plain or gzip"));
    }
    summary.runs = reading.finish()?;
    Ok(summary)
}

struct Reading<'o, S> {
    options: &'o TraceOptions,
    now: Timestamp,
    format: Option<Format>,
    /// The first row's time as written.
    first: Option<Timestamp>,
    /// Of each slice that has a call, by its number: the time of its last one.
    slices: BTreeMap<i64, (RunId, Timestamp)>,
    sink: S,
}

impl<S: FnMut(Event) -> Result<()>> Reading<'_, S> {
    /// The row as a call of its slice's run.
    fn call(&mut self, number: u64, text: &str, row: &Row) -> Result<Call> {
        let first = self.first.unwrap_or(row.at);
        let moved = self.options.start.map_or(0, |start| start.micros().saturating_sub(first.micros()));
        let called_at = row.at.plus_micros(moved);
        called_at.check("timestamp", self.now)?;
        let usage = TokenUsage::from_inclusive(row.input, row.cache_read, 0, row.output, 0)?;
        usage.check()?;
        self.first = Some(first);
        let format = self.format_name();
        let pipeline = &*self.options.pipeline;
        let slice_start = self.slice_start(self.slice(called_at)).to_string();
        let number = number.to_string();
        Ok(Call {
            run_id: RunId::derived(&[format, pipeline, &slice_start]),
            call_id: CallId::derived(&[format, pipeline, &slice_start, &number, text]),
            step_id: None,
            agent: self.options.agent.clone(),
            provider: self.options.provider.clone(),
            model: self.options.model.clone(),
            operation: "chat".to_owned(),
            service_tier: "standard".to_owned(),
            called_at,
            usage: Some(usage),
            latency_ms: None,
            outcome: Outcome::Ok,
            response_id: None,
            pipeline: None,
            prompt: None,
        })
    }

    fn give(&mut self, call: Call) -> Result<()> {
        let slice = self.slice(call.called_at);
        if let Some((_, last)) = self.slices.get_mut(&slice) {
            *last = call.called_at.max(*last);
        } else {
            self.slices.insert(slice, (call.run_id, call.called_at));
            let started_at = self.slice_start(slice);
            (self.sink)(Event::Run(StartRun {
                run_id: call.run_id,
                pipeline: self.options.pipeline.clone(),
                started_at,
                labels: BTreeMap::new(),
                parent_run_id: None,
                replay_of: None,
            }))?;
        }
        (self.sink)(Event::Call(call))
    }

    /// Finishes all runs; answers how many there are.
    fn finish(mut self) -> Result<u64> {
        let mut runs = 0;
        for (run_id, last) in std::mem::take(&mut self.slices).into_values() {
            runs += 1;
            let completed_at = Some(last);
            (self.sink)(Event::Finish(FinishRun { run_id, status: Status::Succeeded, completed_at }))?;
        }
        Ok(runs)
    }

    fn format_name(&self) -> &'static str {
        self.format.as_ref().map_or("", Format::name)
    }

    fn slice_micros(&self) -> i64 {
        i64::from(self.options.run_every) * 1_000_000
    }

    /// When the first row happened, after moving.
    fn origin(&self) -> i64 {
        self.options.start.or(self.first).map_or(0, Timestamp::micros)
    }

    fn slice(&self, at: Timestamp) -> i64 {
        at.micros().saturating_sub(self.origin()).div_euclid(self.slice_micros())
    }

    fn slice_start(&self, slice: i64) -> Timestamp {
        Timestamp::from_micros(self.origin()).plus_micros(slice.saturating_mul(self.slice_micros()))
    }
}
