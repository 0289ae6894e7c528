//! Providers' own exports of usage and costs: what the ledger is reconciled with.

use super::{Complaints, Ctx, Exit, counted, in_one_line, lines_of, progress_bar, say, shown, size_of};
use crate::domain::{ProviderBucket, ProviderReport, Timestamp};
use crate::error::{Error, Result};
use crate::intake::provider_usage::{self as exports, ExportOf, ExportSummary};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// OpenAI's usage and costs, to reconcile the ledger with
///
/// Pages of /v1/organization/usage/completions, /v1/organization/usage/embeddings and /v1/organization/costs, as they are answered.
/// Export them with bucket_width=1d, usage with group_by=model and costs with group_by=line_item.
/// A bucket that is imported again takes the place of what was known of it. Nothing of it goes into the journal.
#[derive(Debug, Args)]
pub(crate) struct OpenAiUsageArgs {
    #[command(flatten)]
    files: ExportArgs,
}

/// Anthropic's usage and costs, to reconcile the ledger with
///
/// Pages of /v1/organizations/usage_report/messages and /v1/organizations/cost_report, as they are answered.
/// Export them with bucket_width=1d, usage with group_by[]=model and costs with group_by[]=description.
/// A bucket that is imported again takes the place of what was known of it. Nothing of it goes into the journal.
#[derive(Debug, Args)]
pub(crate) struct AnthropicUsageArgs {
    #[command(flatten)]
    files: ExportArgs,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The files, plain or gzip; `-` is stdin
    #[arg(default_value = "-", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 when a bucket was skipped or refused
    #[arg(long)]
    strict: bool,
}

pub(super) async fn openai(ctx: &Ctx, args: OpenAiUsageArgs) -> Result<Exit> {
    import(ctx, ExportOf::OpenAi, args.files).await
}

pub(super) async fn anthropic(ctx: &Ctx, args: AnthropicUsageArgs) -> Result<Exit> {
    import(ctx, ExportOf::Anthropic, args.files).await
}

/// What was read, by what a bucket is of; each with the place where it stands.
type Buckets = BTreeMap<(ProviderReport, Timestamp, Timestamp), (String, ProviderBucket)>;

async fn import(ctx: &Ctx, export: ExportOf, args: ExportArgs) -> Result<Exit> {
    let bar = progress_bar(size_of(&args.paths)?);
    let now = ctx.clock.now();
    let store = ctx.store().await?;
    let followed = bar.clone();
    let paths = args.paths;
    let reader = tokio::task::spawn_blocking(move || {
        let mut buckets = Buckets::new();
        let mut summary = ExportSummary::default();
        for path in &paths {
            let mut lines = lines_of(path, &followed)?;
            let mut contradictions = Complaints::default();
            let read = exports::read(export, &shown(path), &mut lines, now, |place, bucket| {
                add(&mut buckets, place, bucket, &mut contradictions);
                Ok(())
            })?;
            summary.pages += read.pages;
            summary.unnamed += read.unnamed;
            summary.unfinished.extend(read.unfinished);
            summary.finished.extend(read.finished);
            summary.complaints.append(read.complaints);
            summary.complaints.append(contradictions);
        }
        Ok::<_, Error>((buckets, summary))
    });
    let (buckets, mut summary) =
        reader.await.map_err(|error| Error::database(format!("the reader failed: {error}")))??;
    let buckets: Vec<(String, ProviderBucket)> = buckets.into_values().collect();
    let recorded = store.record_provider_buckets(&buckets).await?;
    bar.finish_and_clear();
    for (place, error) in recorded.refused {
        let source = buckets.get(place).map_or("", |(source, _)| source.as_str());
        summary.complaints.add_file(source, in_one_line(&error));
    }
    let told = format!(
        "{} recorded, {} superseded, {} already",
        counted(recorded.recorded, "bucket", "buckets"),
        recorded.superseding,
        counted(recorded.unchanged, "was there", "were there")
    );
    Ok(conclude(&summary, &told, args.strict))
}

/// Keeps a bucket. One that is in the files twice is one; of two that contradict each other the first stays.
fn add(buckets: &mut Buckets, place: String, bucket: ProviderBucket, complaints: &mut Complaints) {
    let key = (bucket.report, bucket.starts_at, bucket.ends_at);
    match buckets.get(&key) {
        None => {
            buckets.insert(key, (place, bucket));
        }
        Some((_, known)) if known.digest() == bucket.digest() => {}
        Some((first, _)) => complaints.add_file(
            &place,
            format_args!(
                "the bucket of {} from {} is in {first} too, with other results (import one export at a time; a later one takes the place of an earlier)",
                bucket.report, bucket.starts_at
            ),
        ),
    }
}

fn conclude(summary: &ExportSummary, told: &str, strict: bool) -> Exit {
    let complaints = &summary.complaints;
    for complaint in complaints.first() {
        say(&format!("skipped: {complaint}"));
    }
    let total = complaints.total();
    let kept = u64::try_from(complaints.first().len()).unwrap_or(u64::MAX);
    if total > kept {
        say(&format!("skipped: {} more", total - kept));
    }
    for report in summary.unfinished.difference(&summary.finished) {
        say(&format!("warning: of {report} the last page is missing: `has_more` is true on all of them"));
    }
    let mut parts = vec![told.to_owned()];
    if total > 0 {
        parts.push(format!("{total} skipped"));
    }
    if summary.unnamed > 0 {
        let empty = counted(summary.unnamed, "empty bucket is", "empty buckets are");
        parts.push(format!("{empty} of no known report"));
    }
    say(&format!("{}; {}", parts.join(", "), counted(summary.pages, "page", "pages")));
    if strict && total > 0 { Exit::Flawed } else { Exit::Fine }
}
