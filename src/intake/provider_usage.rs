//! Providers' own exports of usage and costs, as their administration interfaces answer them.
//!
//! - `OpenAI`: pages of `/v1/organization/usage/completions`, `…/usage/embeddings` and `/v1/organization/costs`.
//! - Anthropic: pages of `/v1/organizations/usage_report/messages` and `…/cost_report`.
//!
//! A file holds pages, or single buckets, one after the other or in an array. Of a bucket with something wrong in it nothing is taken:
//! a part of it would be a wrong sum.

mod anthropic;
mod object;
mod openai;
#[cfg(test)]
mod tests;

use super::complaints::in_one_line;
use super::lines::Lines;
use super::{Complaints, records};
use crate::domain::{ProviderBucket, ProviderLine, ProviderReport, Timestamp};
use crate::error::{Error, Result};
use object::Object;
use std::collections::BTreeSet;
use std::io::Read;

/// Whose export is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportOf {
    /// `OpenAI`.
    OpenAi,
    /// Anthropic.
    Anthropic,
}

impl ExportOf {
    /// The provider's name.
    #[must_use]
    pub const fn provider(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// Pages, or buckets that stand alone.
    pub pages: u64,
    /// Empty buckets on pages that do not say which report they are of.
    pub unnamed: u64,
    /// Reports of which a page was read, but not the last.
    pub unfinished: BTreeSet<ProviderReport>,
    /// Reports whose last page was read.
    pub finished: BTreeSet<ProviderReport>,
    /// What could not be read, and why.
    pub complaints: Complaints,
}

/// A bucket that is not yet known to be of one report: its results are, if it has any.
struct Unnamed {
    report: Option<ProviderReport>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    lines: Vec<ProviderLine>,
}

/// Reads an export and gives its buckets to `give`, with the place where each stands.
///
/// # Errors
/// When the stream cannot be read, or `give` fails.
pub fn read<R: Read>(
    export: ExportOf,
    file: &str,
    lines: &mut Lines<R>,
    now: Timestamp,
    mut give: impl FnMut(String, ProviderBucket) -> Result<()>,
) -> Result<ExportSummary> {
    let mut summary = ExportSummary::default();
    let mut complaints = Complaints::default();
    records::each(file, lines, &mut complaints, |line, text, complaints| {
        summary.pages += 1;
        match page(export, text) {
            Err(error) => complaints.add(file, line, in_one_line(&error)),
            Ok(page) => {
                for (place, bucket) in page.named(export, &mut summary) {
                    let bucket = match bucket {
                        Ok(bucket) => bucket,
                        Err(error) => {
                            complaints.add(file, line, in_one_line(&error));
                            continue;
                        }
                    };
                    match bucket.check(now) {
                        Ok(()) => give(format!("{file}:{line}: {place}"), bucket)?,
                        Err(error) => {
                            complaints.add(file, line, in_one_line(&error.at(format_args!("`{place}`"))));
                        }
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(ExportSummary { complaints, ..summary })
}

/// A page: its buckets by their place, and whether others follow.
struct Page {
    buckets: Vec<(String, Result<Unnamed>)>,
    has_more: Option<bool>,
}

fn page(export: ExportOf, text: &str) -> Result<Page> {
    let whole = Object::read(String::new(), text)?;
    if whole.has("results") {
        return Ok(Page { buckets: vec![("bucket".to_owned(), bucket(export, &whole))], has_more: None });
    }
    if !whole.has("data") {
        return Err(Error::input("this is neither a page with `data` nor a bucket with `results`")
            .hint("save what the provider's interface answers, page by page"));
    }
    let buckets = whole.list("data")?.into_iter().map(|(place, raw)| {
        let read = Object::read(place.clone(), raw.get()).and_then(|object| bucket(export, &object));
        (place, read)
    });
    Ok(Page { buckets: buckets.collect(), has_more: whole.flag("has_more")? })
}

fn bucket(export: ExportOf, object: &Object<'_>) -> Result<Unnamed> {
    let (starts_at, ends_at) = match export {
        ExportOf::OpenAi => (object.seconds("start_time")?, object.seconds("end_time")?),
        ExportOf::Anthropic => (object.time("starting_at")?, object.time("ending_at")?),
    };
    let mut report = None;
    let mut lines = Vec::new();
    for (place, raw) in object.list("results")? {
        let result = Object::read(place, raw.get())?;
        let (of, line) = match export {
            ExportOf::OpenAi => openai::line(&result)?,
            ExportOf::Anthropic => anthropic::line(&result)?,
        };
        if *report.get_or_insert(of) != of {
            return Err(object.whole("has results of more than one report"));
        }
        lines.push(line);
    }
    Ok(Unnamed { report, starts_at, ends_at, lines })
}

impl Page {
    /// The buckets. An empty one is of the report that the others of its page are of.
    fn named(self, export: ExportOf, summary: &mut ExportSummary) -> Vec<(String, Result<ProviderBucket>)> {
        let report = self.buckets.iter().find_map(|(_, bucket)| bucket.as_ref().ok().and_then(|b| b.report));
        if let (Some(report), Some(has_more)) = (report, self.has_more) {
            let reports = if has_more { &mut summary.unfinished } else { &mut summary.finished };
            reports.insert(report);
        }
        let named = self.buckets.into_iter().filter_map(|(place, bucket)| {
            let bucket = match bucket {
                Err(error) => return Some((place, Err(error))),
                Ok(bucket) => bucket,
            };
            let Some(report) = bucket.report.or(report) else {
                summary.unnamed += 1;
                return None;
            };
            let Unnamed { starts_at, ends_at, lines, .. } = bucket;
            let provider = export.provider().to_owned();
            Some((place, Ok(ProviderBucket { provider, report, starts_at, ends_at, lines })))
        });
        named.collect()
    }
}
