//! What providers say was used and billed: their exports, beside the journal and never in it.

use super::prices::who;
use super::spend::number;
use super::{Store, alone, on_pool};
use crate::domain::{Digest, ProviderBucket, ProviderLine, ProviderReport, Timestamp, Usd};
use crate::error::{Error, Result};
use sqlx::FromRow;

/// Nobody else records buckets meanwhile.
const LOCK: &str = "select pg_advisory_xact_lock(hashtext(current_schema()), hashtext('provider_bucket'))";

/// The longest name of a file that is kept.
const MAX_SOURCE_CHARS: usize = 1000;

/// What became of an import of buckets.
#[derive(Debug, Default)]
pub struct RecordedBuckets {
    /// Buckets of which nothing was known.
    pub recorded: u64,
    /// Buckets that took the place of what was known of their time.
    pub superseding: u64,
    /// Buckets that were there already, the same.
    pub unchanged: u64,
    /// Those that cannot be recorded, by their place, and why.
    pub refused: Vec<(usize, Error)>,
}

/// A bucket that counts.
#[derive(Debug, Clone, FromRow)]
pub struct KnownBucket {
    /// Whose export it is of.
    pub provider: String,
    /// Which export.
    #[sqlx(try_from = "String")]
    pub report: ProviderReport,
    /// The UTC day, counted from 1970-01-01.
    pub day: i64,
    /// The first instant inside.
    pub starts_at: Timestamp,
    /// The first instant after.
    pub ends_at: Timestamp,
    /// The digest of its lines.
    pub sha256: Digest,
}

/// What a provider says of a day: its lines of one report, model and line item together.
#[derive(Debug, Clone)]
pub struct ProviderDay {
    /// Whose export it is.
    pub provider: String,
    /// Which export.
    pub report: ProviderReport,
    /// The UTC day, counted from 1970-01-01.
    pub day: i64,
    /// The sums.
    pub line: ProviderLine,
}

#[derive(FromRow)]
struct DayRow {
    provider: String,
    #[sqlx(try_from = "String")]
    report: ProviderReport,
    day: i64,
    model: Option<String>,
    line_item: Option<String>,
    requests: Option<i64>,
    input_tokens: Option<i64>,
    cache_read_tokens: Option<i64>,
    cache_write_tokens: Option<i64>,
    cache_write_long_tokens: Option<i64>,
    llm_tokens_output: Option<i64>,
    embedding_tokens: Option<i64>,
    web_searches: Option<i64>,
    billed_pico: Option<Usd>,
}

impl From<DayRow> for ProviderDay {
    fn from(row: DayRow) -> Self {
        let count = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
        Self {
            provider: row.provider,
            report: row.report,
            day: row.day,
            line: ProviderLine {
                model: row.model,
                service_tier: None,
                project: None,
                line_item: row.line_item,
                requests: count(row.requests),
                input_tokens: count(row.input_tokens),
                cache_read_tokens: count(row.cache_read_tokens),
                cache_write_tokens: count(row.cache_write_tokens),
                cache_write_long_tokens: count(row.cache_write_long_tokens),
                llm_tokens_output: count(row.llm_tokens_output),
                embedding_tokens: count(row.embedding_tokens),
                web_searches: count(row.web_searches),
                billed: row.billed_pico,
            },
        }
    }
}

/// What is to be done with a bucket.
enum Plan {
    Insert { takes_a_place: bool },
    Leave,
    Refuse(Error),
}

/// Compares a bucket with those of its day that count.
fn plan(bucket: &ProviderBucket, sha256: Digest, known: &[KnownBucket]) -> Plan {
    let mut takes_a_place = false;
    for other in known {
        if other.starts_at >= bucket.ends_at || other.ends_at <= bucket.starts_at {
            continue;
        }
        if (other.starts_at, other.ends_at) == (bucket.starts_at, bucket.ends_at) && other.sha256 == sha256 {
            return Plan::Leave;
        }
        if other.starts_at < bucket.starts_at || other.ends_at > bucket.ends_at {
            return Plan::Refuse(
                Error::conflict(format!(
                    "the bucket from {} to {} is a part of what is known from {} to {}",
                    bucket.starts_at, bucket.ends_at, other.starts_at, other.ends_at
                ))
                .hint("export whole days, or buckets of the same width as before"),
            );
        }
        takes_a_place = true;
    }
    Plan::Insert { takes_a_place }
}

/// Binds a line's columns after its place.
macro_rules! insert_line {
    ($tx:ident, $bucket_id:expr, $number:expr, $line:expr) => {{
        let line: &ProviderLine = $line;
        let mut query = sqlx::query(
            "insert into provider_usage (
               bucket_id, line, model, service_tier, project, line_item, requests, input_tokens, cache_read_tokens,
               cache_write_tokens, cache_write_long_tokens, llm_tokens_output, embedding_tokens, web_searches, billed_pico)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        )
        .bind($bucket_id)
        .bind(number($number))
        .bind(&line.model)
        .bind(&line.service_tier)
        .bind(&line.project)
        .bind(&line.line_item);
        for (_, count) in line.counts() {
            query = query.bind(count.map(column).transpose()?);
        }
        let billed = line.billed.map(Usd::to_column).transpose()?;
        query.bind(billed).execute(&mut **$tx).await?;
    }};
}

fn column(count: u64) -> Result<i64> {
    i64::try_from(count).map_err(|_| Error::input(format!("the count {count} does not fit")))
}

impl Store {
    /// Records what an export says, all or none of what is not refused. A bucket that is known with the same lines changes nothing;
    /// one with others takes the place of what is known of its time, which stays.
    ///
    /// # Errors
    /// `Input` for a value that the ledger does not take.
    pub async fn record_provider_buckets(
        &self,
        buckets: &[(String, ProviderBucket)],
    ) -> Result<RecordedBuckets> {
        let now = self.now();
        for (source, bucket) in buckets {
            bucket.check(now).map_err(|error| error.at(source))?;
        }
        let mut recorded = RecordedBuckets::default();
        alone!(self, LOCK, |tx| for (place, (source, bucket)) in buckets.iter().enumerate() {
            let sha256 = bucket.digest();
            let known: Vec<KnownBucket> =
                sqlx::query_as(include_str!("../../queries/provider_bucket_list.sql"))
                    .bind(&bucket.provider)
                    .bind(bucket.report.code())
                    .bind(number(bucket.day()))
                    .bind(number(bucket.day() + 1))
                    .fetch_all(&mut **tx)
                    .await?;
            let takes_a_place = match plan(bucket, sha256, &known) {
                Plan::Insert { takes_a_place } => takes_a_place,
                Plan::Leave => {
                    recorded.unchanged += 1;
                    continue;
                }
                Plan::Refuse(error) => {
                    recorded.refused.push((place, error));
                    continue;
                }
            };
            let source: String = source.chars().take(MAX_SOURCE_CHARS).collect();
            let bucket_id: i64 = sqlx::query_scalar(
                "insert into provider_bucket (
                   provider, report, day, starts_at, ends_at, revision, sha256, lines, source, imported_at, imported_by)
                 select $1, $2, $3, $4, $5, coalesce(max(revision), 0) + 1, $6, $7, $8, $9, $10
                 from provider_bucket
                 where provider = $1 and report = $2 and starts_at = $4 and ends_at = $5
                 returning bucket_id",
            )
            .bind(&bucket.provider)
            .bind(bucket.report.code())
            .bind(number(bucket.day()))
            .bind(bucket.starts_at)
            .bind(bucket.ends_at)
            .bind(sha256)
            .bind(number(i64::try_from(bucket.lines.len()).unwrap_or(i64::MAX)))
            .bind(source)
            .bind(now)
            .bind(who())
            .fetch_one(&mut **tx)
            .await?;
            for (line, nth) in bucket.lines.iter().zip(1_i64..) {
                insert_line!(tx, bucket_id, nth, line);
            }
            recorded.superseding += u64::from(takes_a_place);
            recorded.recorded += u64::from(!takes_a_place);
        });
        Ok(recorded)
    }

    /// The buckets that count, from the first day (counted from 1970-01-01 UTC) to the one before the last.
    pub async fn provider_buckets(&self, (first, after): (i64, i64)) -> Result<Vec<KnownBucket>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/provider_bucket_list.sql"))
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(number(first))
            .bind(number(after))
            .fetch_all(pool)
            .await?))
    }

    /// What providers say of the days from the first (counted from 1970-01-01 UTC) to the one before the last.
    pub async fn provider_days(&self, (first, after): (i64, i64)) -> Result<Vec<ProviderDay>> {
        let rows: Vec<DayRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/provider_usage_by_day.sql"))
                .bind(number(first))
                .bind(number(after))
                .fetch_all(pool)
                .await?
        });
        Ok(rows.into_iter().map(ProviderDay::from).collect())
    }
}
