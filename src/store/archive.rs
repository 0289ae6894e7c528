//! Old calls that leave the journal for a file, and come back from it; see `migrations/postgres/0013_archive.sql`.

use super::call::{CallRow, RecordedCall};
use super::spend::number;
use super::sqlite::calls;
use super::{PostgresStore, Run, SqliteStore, Store, on_pool};
use crate::domain::{Call, CallId, Digest, RunId, Timestamp, Window};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{FromRow, SqliteConnection};

/// The `type` of an archive's lines in the native format.
pub const ARCHIVED_CALLS: &str = "archived_calls";

/// How many calls a line holds at most: few enough that reading one is no burden.
const CALLS_A_LINE: i64 = 500;

/// What may leave the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
pub struct Archivable {
    /// Finished runs with priced calls.
    #[sqlx(try_from = "i64")]
    pub runs: u64,
    /// Their priced calls.
    #[sqlx(try_from = "i64")]
    pub calls: u64,
    /// Their calls without a price, which stay.
    #[sqlx(try_from = "i64")]
    pub unpriced: u64,
}

/// One line of an archive: calls of one run with what they cost.
#[derive(Debug, Clone)]
pub struct ArchiveLine {
    /// The line, without its end.
    pub text: String,
    /// How many calls it holds.
    pub calls: u64,
    /// The last of them.
    pub last: CallId,
}

/// What became of a line that was read from an archive.
#[derive(Debug, Clone, PartialEq)]
pub enum Restored {
    /// Its calls are back, so many, as they were.
    Back(u64),
    /// They did not leave this ledger, or are back already: here they are calls like others.
    Elsewhere(Vec<Call>),
}

/// Where calls of a run went.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Archived {
    /// The file, where it was written.
    pub file: String,
    /// When.
    pub archived_at: Timestamp,
    /// How many of the run's calls.
    #[sqlx(try_from = "i64")]
    pub calls: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    run_id: RunId,
    calls: Vec<CallRow>,
}

impl Line {
    fn parse(text: &str) -> Result<Self> {
        let line: Self = serde_json::from_str(text)
            .map_err(|error| Error::input(format!("the line is not one of an archive: {error}")))?;
        if line.calls.iter().any(|call| call.run_id != line.run_id) {
            return Err(Error::input(format!("not all calls of the line are of run `{}`", line.run_id)));
        }
        Ok(line)
    }
}

fn altered(run_id: RunId) -> Error {
    Error::input(format!("calls of run `{run_id}` are in an archive, and this is not the line they left in"))
        .hint("was the file edited? `asmm runs show` names the file")
}

impl Store {
    /// What may leave the journal of runs that had finished before a time. It reads every call of theirs.
    pub async fn archivable(&self, before: Timestamp) -> Result<Archivable> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/archive_totals.sql"))
            .bind(before)
            .fetch_one(pool)
            .await?))
    }

    /// Runs that had finished before a time and have calls that may leave, at most `limit`, after the run `after`.
    pub async fn archivable_runs(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, RunId)>,
        limit: u32,
    ) -> Result<Vec<Run>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/archive_runs.sql"))
            .bind(before)
            .bind(after.map(|a| a.0))
            .bind(after.map(|a| a.1))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }

    /// The next calls of a run that may leave, as a line; none after the last.
    pub async fn next_archive_line(
        &self,
        run_id: RunId,
        after: Option<CallId>,
    ) -> Result<Option<ArchiveLine>> {
        let calls: Vec<CallRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/archive_calls.sql"))
                .bind(run_id)
                .bind(after)
                .bind(CALLS_A_LINE)
                .fetch_all(pool)
                .await?
        });
        let Some(last) = calls.last().map(|call| call.call_id) else { return Ok(None) };
        let count = calls.len().try_into().unwrap_or(u64::MAX);
        let text = serde_json::to_string(&Line { kind: ARCHIVED_CALLS.to_owned(), run_id, calls })
            .map_err(|error| Error::input(format!("the calls cannot be written as JSON: {error}")))?;
        Ok(Some(ArchiveLine { text, calls: count, last }))
    }

    /// Notes a file that is about to hold calls; answers the archive's number.
    pub async fn start_archive(&self, file: &str, before: Timestamp) -> Result<i64> {
        on_pool!(self, |pool| Ok(sqlx::query_scalar(match self {
            Store::Postgres(_) => "select start_archive($1, $2, $3, $4)",
            Store::Sqlite(_) =>
                "insert into call_archive (file, before, archived_at, archived_by)
                 values ($1, $2, $3, $4)
                 returning archive_id",
        })
        .bind(file)
        .bind(before)
        .bind(self.now())
        .bind(super::prices::who())
        .fetch_one(pool)
        .await?))
    }

    /// Moves the calls of a line that is safe in its file out of the journal. Answers how many: none when the journal
    /// does not hold exactly these, because one was priced anew meanwhile, or another archive took them.
    pub async fn archive_line(&self, archive_id: i64, text: &str) -> Result<u64> {
        let line = Line::parse(text)?;
        let moved = match self {
            Store::Postgres(s) => s.archive_line(archive_id, text).await?,
            Store::Sqlite(s) => s.archive_line(archive_id, text, line).await?,
        };
        Ok(moved.try_into().unwrap_or_default())
    }

    /// Brings the calls of an archive's line back.
    ///
    /// # Errors
    /// When it is no such line, or holds calls that left this ledger, but not as they left it.
    pub async fn restore_line(&self, text: &str) -> Result<Restored> {
        let line = Line::parse(text)?;
        let back = match self {
            Store::Postgres(s) => s.restore_line(text).await?,
            Store::Sqlite(s) => s.restore_line(text, &line).await?,
        };
        if let Some(calls) = back {
            return Ok(Restored::Back(u64::try_from(calls).map_err(|_| altered(line.run_id))?));
        }
        let calls =
            line.calls.into_iter().map(|row| RecordedCall::try_from(row).map(|recorded| recorded.call));
        Ok(Restored::Elsewhere(calls.collect::<Result<_>>()?))
    }

    /// The archives that calls of a run left for, the oldest first.
    pub async fn archives_of(&self, run_id: RunId) -> Result<Vec<Archived>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/archive_of_run.sql"))
            .bind(run_id)
            .fetch_all(pool)
            .await?))
    }

    /// How many calls are in archives, and not back.
    pub async fn archived_calls(&self) -> Result<u64> {
        let calls: i64 = on_pool!(self, |pool| {
            sqlx::query_scalar("select cast(coalesce(sum(llm_calls), 0) as bigint) from archived_part")
                .fetch_one(pool)
                .await?
        });
        Ok(calls.try_into().unwrap_or_default())
    }

    /// How many calls of a range of time are in archives: of its quarters of an hour, if it cuts some.
    pub async fn archived_calls_in(&self, window: &Window) -> Result<u64> {
        let calls: i64 = on_pool!(self, |pool| {
            sqlx::query_scalar(
                "select cast(coalesce(sum(llm_calls), 0) as bigint)
                 from archived_spend
                 where bucket >= $1 and bucket < $2",
            )
            .bind(number(window.since.bucket()))
            .bind(number(window.until.next_bucket_start().bucket()))
            .fetch_one(pool)
            .await?
        });
        Ok(calls.try_into().unwrap_or_default())
    }

    /// Whether [`Store::compact`] does anything here.
    #[must_use]
    pub const fn can_compact(&self) -> bool {
        matches!(self, Store::Sqlite(_))
    }

    /// Gives freed space back to the file system: a SQLite file is written anew. Nobody can write to the ledger
    /// meanwhile, and it takes as much room again.
    pub async fn compact(&self) -> Result<()> {
        if let Store::Sqlite(s) = self {
            sqlx::query("vacuum").execute(&s.pool).await?;
            sqlx::query("pragma wal_checkpoint(truncate)").execute(&s.pool).await?;
        }
        Ok(())
    }

    /// Whether calls made in a 15-minute bucket are in an archive.
    pub(super) async fn has_archived_in(&self, bucket: i64) -> Result<bool> {
        on_pool!(self, |pool| Ok(sqlx::query_scalar(
            "select exists (select 1 from archived_spend where bucket = $1)"
        )
        .bind(number(bucket))
        .fetch_one(pool)
        .await?))
    }
}

impl PostgresStore {
    async fn archive_line(&self, archive_id: i64, text: &str) -> Result<i32> {
        Ok(sqlx::query_scalar("select archive_calls($1, $2)")
            .bind(archive_id)
            .bind(text)
            .fetch_one(&self.pool)
            .await?)
    }

    /// How many are back; none if they did not leave this ledger, or are back already; -1 if they left in another line.
    async fn restore_line(&self, text: &str) -> Result<Option<i32>> {
        Ok(sqlx::query_scalar("select restore_calls($1)").bind(text).fetch_one(&self.pool).await?)
    }
}

impl SqliteStore {
    async fn archive_line(&self, archive_id: i64, text: &str, line: Line) -> Result<i32> {
        let mut tx = self.begin().await?;
        let ids = hex_ids(&line.calls);
        let mut held: Vec<CallRow> = sqlx::query_as(
            "select c.*
             from json_each($2) j
             join llm_call c on c.run_id = $1 and c.call_id = unhex(j.value)
             join pipeline_run r on r.run_id = c.run_id
             where r.completed_at is not null
               and c.pricing_state <> 'unpriced'",
        )
        .bind(line.run_id)
        .bind(&ids)
        .fetch_all(&mut *tx)
        .await?;
        let mut left = line.calls;
        held.sort_by_key(|call| call.call_id);
        left.sort_by_key(|call| call.call_id);
        // Only what the line holds to the last column may leave.
        if held != left {
            return Ok(0);
        }
        let call_ids: Vec<u8> = left.iter().flat_map(|call| call.call_id.0.into_bytes()).collect();
        let count = i32::try_from(left.len()).unwrap_or(i32::MAX);
        sqlx::query(
            "insert into archived_part (run_id, sha256, archive_id, llm_calls, call_ids) values ($1, $2, $3, $4, $5)",
        )
        .bind(line.run_id)
        .bind(Digest::of(text))
        .bind(archive_id)
        .bind(count)
        .bind(call_ids)
        .execute(&mut *tx)
        .await?;
        set_moving(&mut tx, archive_id, Some(line.run_id)).await?;
        add_archived_spend(&mut tx, line.run_id, &ids, 1).await?;
        sqlx::query(
            "delete from llm_call where run_id = $1 and call_id in (select unhex(j.value) from json_each($2) j)",
        )
        .bind(line.run_id)
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
        set_moving(&mut tx, archive_id, None).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// As for Postgres.
    async fn restore_line(&self, text: &str, line: &Line) -> Result<Option<i32>> {
        let mut tx = self.begin().await?;
        let archive_id: Option<i64> =
            sqlx::query_scalar("select archive_id from archived_part where run_id = $1 and sha256 = $2")
                .bind(line.run_id)
                .bind(Digest::of(text))
                .fetch_optional(&mut *tx)
                .await?;
        let Some(archive_id) = archive_id else {
            let archived = archived_ids(&mut tx, line.run_id).await?;
            return Ok(line.calls.iter().any(|call| archived.contains(&call.call_id)).then_some(-1));
        };
        let back: Vec<RecordedCall> =
            line.calls.iter().cloned().map(RecordedCall::try_from).collect::<Result<_>>()?;
        calls::restore_calls(&mut tx, &back).await?;
        set_moving(&mut tx, archive_id, Some(line.run_id)).await?;
        add_archived_spend(&mut tx, line.run_id, &hex_ids(&line.calls), -1).await?;
        sqlx::query("delete from archived_spend where run_id = $1 and llm_calls = 0")
            .bind(line.run_id)
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from archived_part where run_id = $1 and sha256 = $2")
            .bind(line.run_id)
            .bind(Digest::of(text))
            .execute(&mut *tx)
            .await?;
        set_moving(&mut tx, archive_id, None).await?;
        tx.commit().await?;
        Ok(Some(i32::try_from(back.len()).unwrap_or(i32::MAX)))
    }
}

/// Says whose calls are on their way, while they are: the triggers let no others go.
async fn set_moving(db: &mut SqliteConnection, archive_id: i64, run_id: Option<RunId>) -> Result<()> {
    sqlx::query("update call_archive set moving = $2 where archive_id = $1")
        .bind(archive_id)
        .bind(run_id)
        .execute(db)
        .await?;
    Ok(())
}

/// The ids of a run's calls that are in archives.
pub(super) async fn archived_ids(
    db: &mut SqliteConnection,
    run_id: RunId,
) -> Result<std::collections::HashSet<CallId>> {
    let parts: Vec<Vec<u8>> = sqlx::query_scalar("select call_ids from archived_part where run_id = $1")
        .bind(run_id)
        .fetch_all(db)
        .await?;
    let ids = parts.iter().flat_map(|part| part.as_chunks::<16>().0);
    Ok(ids.map(|id| CallId(uuid::Uuid::from_bytes(*id))).collect())
}

fn hex_ids(calls: &[CallRow]) -> String {
    json!(calls.iter().map(|call| call.call_id.0.as_simple().to_string()).collect::<Vec<_>>()).to_string()
}

/// Adds calls of the journal to the sums of archived ones (1), or takes them off (-1).
async fn add_archived_spend(db: &mut SqliteConnection, run_id: RunId, ids: &str, sign: i32) -> Result<()> {
    sqlx::query(
        "insert into archived_spend (
           run_id, bucket, agent, provider, model, llm_calls, input_tokens, cache_read_tokens, cache_write_tokens,
           cache_write_long_tokens, output_tokens, reasoning_tokens, embedding_tokens, web_searches, cost_pico)
         select
           c.run_id, c.called_at / 900000000, c.agent, c.provider, c.model, $3 * count(*), $3 * sum(c.input_tokens),
           $3 * sum(c.cache_read_tokens), $3 * sum(c.cache_write_tokens), $3 * sum(c.cache_write_long_tokens),
           $3 * sum(c.output_tokens), $3 * sum(c.reasoning_tokens), $3 * sum(c.embedding_tokens),
           $3 * sum(c.web_searches), $3 * sum(c.cost_pico)
         from llm_call c
         where c.run_id = $1
           and c.call_id in (select unhex(j.value) from json_each($2) j)
         group by c.run_id, 2, c.agent, c.provider, c.model
         on conflict (run_id, bucket, agent, provider, model) do update
         set llm_calls = llm_calls + excluded.llm_calls,
             input_tokens = input_tokens + excluded.input_tokens,
             cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
             cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
             cache_write_long_tokens = cache_write_long_tokens + excluded.cache_write_long_tokens,
             output_tokens = output_tokens + excluded.output_tokens,
             reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
             embedding_tokens = embedding_tokens + excluded.embedding_tokens,
             web_searches = web_searches + excluded.web_searches,
             cost_pico = cost_pico + excluded.cost_pico",
    )
    .bind(run_id)
    .bind(ids)
    .bind(sign)
    .execute(db)
    .await?;
    Ok(())
}
