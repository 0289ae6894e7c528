//! What was sent: recording it beside the calls.
//!
//! It is recorded under its call's id, in the same transaction as the call, or before it. Inputs and texts are
//! stored as canonical JSON, so that their digest means what was sent.

mod texts;

use super::connections::Session;
use super::sqlite::calls::hex;
use super::{PostgresStore, PromptVersion, Recorded, SqliteStore, Store};
use crate::domain::{CallId, CallPrompt, Digest, RunId, Sanitisation, SentPrompt, StepId, Timestamp};
use crate::error::{Error, Result};
use crate::prompt::Content;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use std::collections::{BTreeSet, HashMap};

/// A sent prompt as it is stored.
#[derive(Clone, PartialEq)]
pub(super) struct SentRow {
    run_id: RunId,
    call_id: CallId,
    step_id: Option<StepId>,
    sent_at: Timestamp,
    /// What the database is asked to find: an id, where it is known here.
    version: Option<String>,
    version_id: Option<i64>,
    inputs: Option<String>,
    digest: Option<Digest>,
    body: Option<String>,
    output_digest: Option<Digest>,
    output_body: Option<String>,
    sanitisation: Sanitisation,
    purged_at: Option<Timestamp>,
    redacted_at: Option<Timestamp>,
}

impl SentRow {
    /// A sent prompt as it will be stored, as far as it says so itself: no version is looked up.
    pub(super) fn of(sent: &SentPrompt) -> Result<Self> {
        let prompt = &sent.prompt;
        let (body, output_body) = (prompt.stored_messages()?, prompt.stored_output()?);
        Ok(Self {
            run_id: sent.run_id,
            call_id: sent.call_id,
            step_id: sent.step_id,
            sent_at: sent.sent_at,
            version: prompt.version.clone(),
            version_id: None,
            inputs: prompt.stored_inputs()?,
            digest: prompt.text_sha256.or_else(|| body.as_ref().map(Digest::of)),
            body,
            output_digest: prompt.output_sha256.or_else(|| output_body.as_ref().map(Digest::of)),
            output_body,
            sanitisation: prompt.sanitisation,
            purged_at: prompt.purged_at,
            redacted_at: prompt.redacted_at,
        })
    }

    pub(super) fn key(&self) -> (RunId, CallId) {
        (self.run_id, self.call_id)
    }
}

/// The versions that a batch names, each looked up once.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// By reference, and by time where that matters.
    found: HashMap<(String, Option<Timestamp>), (i64, Option<Content>)>,
}

impl Store {
    /// A sent prompt as it will be stored. What was rendered from a version and inputs gets its digest here,
    /// unless the caller computed it.
    pub(super) async fn prepare_prompt(&self, sent: &SentPrompt, versions: &mut Versions) -> Result<SentRow> {
        let prompt = &sent.prompt;
        let mut row = SentRow::of(sent)?;
        // What was redacted renders to something else than what was sent.
        let renders = row.digest.is_none() && prompt.purged_at.is_none() && prompt.redacted_at.is_none();
        let is_sqlite = matches!(self, Store::Sqlite(_));
        if let Some(reference) = &prompt.version
            && (renders || is_sqlite)
        {
            let (id, content) = self.version_of(reference, sent.sent_at, renders, versions).await?;
            (row.version, row.version_id) = (Some(id.to_string()), Some(id));
            if let Some(content) = content.filter(|_| renders) {
                let inputs = prompt.inputs.clone().unwrap_or_default();
                row.digest = Some(content.render(&inputs).and_then(|text| text.digest()).map_err(|e| {
                    e.at(format_args!("call `{}`: prompt version `{reference}`", sent.call_id))
                })?);
            }
        }
        Ok(row)
    }

    async fn version_of<'v>(
        &self,
        reference: &str,
        at: Timestamp,
        with_content: bool,
        versions: &'v mut Versions,
    ) -> Result<(i64, Option<&'v Content>)> {
        let is_exact = reference.rsplit_once('@').map_or(reference, |(_, part)| part);
        let is_exact = is_exact.starts_with("sha256:") || is_exact.bytes().all(|byte| byte.is_ascii_digit());
        let key = (reference.to_owned(), Some(at).filter(|_| !is_exact));
        let known = versions.found.get(&key);
        if known.is_none_or(|(_, content)| with_content && content.is_none()) {
            let version: PromptVersion = self.recorded_version(reference, at).await?;
            let content = if with_content { Some(version.parsed()?) } else { None };
            versions.found.insert(key.clone(), (version.entry.prompt_version_id, content));
        }
        match versions.found.get(&key) {
            Some((id, content)) => Ok((*id, content.as_ref())),
            None => Err(Error::not_found(format!("prompt version `{reference}` is unknown"))),
        }
    }

    /// Records what was sent in calls that are recorded later, or never answered; all or none. What is known is
    /// left alone, what differs from what is recorded is reported as a conflict and left alone too.
    ///
    /// # Errors
    /// `NotFound` for an unknown run, step or version, `Input` for a value the ledger does not take or inputs that
    /// do not fit their version. Then nothing of the batch is recorded.
    pub async fn record_prompts(&self, sent: &[SentPrompt]) -> Result<Recorded> {
        let now = self.now();
        let mut versions = Versions::default();
        let mut rows = Vec::with_capacity(sent.len());
        for (place, one) in sent.iter().enumerate() {
            let place = place + 1;
            one.check(now).map_err(|e| e.at(format_args!("prompt {place} of the batch")))?;
            rows.push(self.prepare_prompt(one, &mut versions).await?);
        }
        self.record_prompt_rows(&rows).await
    }

    pub(super) async fn record_prompt_rows(&self, rows: &[SentRow]) -> Result<Recorded> {
        match self {
            Store::Postgres(s) => s.record_some_prompts(rows).await,
            Store::Sqlite(s) => {
                let mut tx = s.begin().await?;
                let recorded = SqliteStore::record_prompts(&mut tx, rows).await?;
                tx.commit().await?;
                Ok(recorded)
            }
        }
    }

    /// What was sent in a run's calls, in the order of their ids, at most `limit`, after the call `after`.
    pub async fn sent_prompts(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<SentPrompt>> {
        let rows: Vec<StoredPrompt> = super::on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/prompt_sent_page.sql"))
                .bind(run_id)
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(StoredPrompt::into_sent).collect()
    }
}

/// What is recorded of a call's prompt, whole.
#[derive(FromRow)]
pub(super) struct StoredPrompt {
    run_id: RunId,
    call_id: CallId,
    step_id: Option<StepId>,
    sent_at: Timestamp,
    version: Option<String>,
    inputs: Option<String>,
    text_sha256: Option<Digest>,
    #[sqlx(try_from = "String")]
    sanitisation: Sanitisation,
    purged_at: Option<Timestamp>,
    redacted_at: Option<Timestamp>,
    body: Option<String>,
    output_sha256: Option<Digest>,
    output_body: Option<String>,
}

impl StoredPrompt {
    pub(super) fn into_sent(self) -> Result<SentPrompt> {
        let broken = |e: serde_json::Error| {
            Error::input(format!("what was sent in call `{}` is no JSON: {e}", self.call_id))
                .hint("it was changed past the ledger; `asmm doctor` names all such calls")
        };
        let prompt = CallPrompt {
            version: self.version,
            inputs: self.inputs.as_deref().map(serde_json::from_str).transpose().map_err(broken)?,
            text_sha256: self.text_sha256,
            messages: self.body.as_deref().map(serde_json::from_str).transpose().map_err(broken)?,
            output_sha256: self.output_sha256,
            output: self.output_body.as_deref().map(serde_json::from_str).transpose().map_err(broken)?,
            sanitisation: self.sanitisation,
            purged_at: self.purged_at,
            redacted_at: self.redacted_at,
        };
        let (run_id, call_id, step_id, sent_at) = (self.run_id, self.call_id, self.step_id, self.sent_at);
        Ok(SentPrompt { run_id, call_id, step_id, sent_at, prompt })
    }
}

/// The answer of `record_prompt_rows`.
#[derive(Deserialize)]
struct Answer {
    recorded: u64,
    duplicate: u64,
    conflict: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    run_id: RunId,
    call_id: CallId,
}

impl PostgresStore {
    /// As [`PostgresStore::record_prompts`], on its own.
    pub(super) async fn record_some_prompts(&self, rows: &[SentRow]) -> Result<Recorded> {
        let mut lease = self.pool.lease().await?;
        let recorded = Self::record_prompts(&mut lease, rows).await?;
        lease.commit().await?;
        Ok(recorded)
    }

    pub(super) async fn record_prompts(db: &mut Session, rows: &[SentRow]) -> Result<Recorded> {
        if rows.is_empty() {
            return Ok(Recorded::default());
        }
        let Json(answer): Json<Answer> = sqlx::query_scalar(
            "select record_prompt_rows($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(rows.iter().map(|r| r.run_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.call_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.step_id).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.sent_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.version.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.inputs.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.digest).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.body.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.sanitisation.code()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.purged_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.redacted_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.output_digest).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.output_body.as_deref()).collect::<Vec<_>>())
        .fetch_one(db)
        .await?;
        Ok(Recorded {
            recorded: answer.recorded,
            duplicate: answer.duplicate,
            conflict: answer.conflict.into_iter().map(|k| (k.run_id, k.call_id)).collect(),
            unpriced: 0,
        })
    }
}

/// What is recorded of a call's prompt, to compare.
#[derive(FromRow)]
struct Known {
    run_id: RunId,
    call_id: CallId,
    prompt_version_id: Option<i64>,
    text_sha256: Option<Digest>,
    output_sha256: Option<Digest>,
    inputs: Option<String>,
    purged_at: Option<Timestamp>,
    redacted_at: Option<Timestamp>,
}

impl SqliteStore {
    /// Records what was sent in the transaction that `db` is in. On an error the caller gives that up.
    pub(super) async fn record_prompts(db: &mut SqliteConnection, rows: &[SentRow]) -> Result<Recorded> {
        if rows.is_empty() {
            return Ok(Recorded::default());
        }
        check_places(db, rows).await?;
        let keys: Vec<_> = rows.iter().map(|r| [hex(r.run_id.0), hex(r.call_id.0)]).collect();
        let stored: Vec<Known> = sqlx::query_as(
            "select
               p.run_id, p.call_id, p.prompt_version_id, p.text_sha256, p.output_sha256, p.inputs, p.purged_at,
               p.redacted_at
             from json_each($1) j
             join llm_call_prompt p on p.run_id = unhex(j.value ->> 0) and p.call_id = unhex(j.value ->> 1)",
        )
        .bind(json!(keys).to_string())
        .fetch_all(&mut *db)
        .await?;
        let mut known: HashMap<(RunId, CallId), Known> =
            stored.into_iter().map(|k| ((k.run_id, k.call_id), k)).collect();

        let mut recorded = Recorded::default();
        let mut fresh: Vec<&SentRow> = Vec::with_capacity(rows.len());
        for row in rows {
            match known.get(&row.key()) {
                Some(stored) if is_same(stored, row) => recorded.duplicate += 1,
                Some(_) => recorded.conflict.push(row.key()),
                None => {
                    known.insert(row.key(), Known::of(row));
                    fresh.push(row);
                }
            }
        }
        recorded.recorded = fresh.len().try_into().unwrap_or(u64::MAX);
        insert(db, &fresh).await?;
        Ok(recorded)
    }
}

impl Known {
    fn of(row: &SentRow) -> Self {
        Known {
            run_id: row.run_id,
            call_id: row.call_id,
            prompt_version_id: row.version_id,
            text_sha256: row.digest,
            output_sha256: row.output_digest,
            inputs: row.inputs.clone(),
            purged_at: row.purged_at,
            redacted_at: row.redacted_at,
        }
    }
}

/// Whether a prompt is the recorded one. What was purged or redacted since cannot be compared, and its digest can.
fn is_same(known: &Known, row: &SentRow) -> bool {
    known.prompt_version_id == row.version_id
        && known.text_sha256 == row.digest
        && known.output_sha256 == row.output_digest
        && ([known.purged_at, row.purged_at, known.redacted_at, row.redacted_at].iter().any(Option::is_some)
            || known.inputs == row.inputs)
}

/// The runs and steps must be there.
async fn check_places(db: &mut SqliteConnection, rows: &[SentRow]) -> Result<()> {
    let places: BTreeSet<(RunId, Option<StepId>)> = rows.iter().map(|r| (r.run_id, r.step_id)).collect();
    let asked: Vec<_> =
        places.iter().map(|(run, step)| json!([hex(run.0), step.map(|s| hex(s.0))])).collect();
    let missing: Option<(Option<RunId>, Option<String>, Option<String>)> = sqlx::query_as(
        "select r.run_id, j.value ->> 0, j.value ->> 1
         from json_each($1) j
         left join pipeline_run r on r.run_id = unhex(j.value ->> 0)
         left join pipeline_step_run t on t.run_id = r.run_id and t.step_id = unhex(j.value ->> 1)
         where r.run_id is null or (j.value ->> 1 is not null and t.step_id is null)
         limit 1",
    )
    .bind(Value::from(asked).to_string())
    .fetch_optional(db)
    .await?;
    match missing {
        None => Ok(()),
        Some((None, Some(run), _)) => Err(super::record::unknown_run(run.parse()?)),
        Some((_, run, step)) => Err(super::record::unknown_step(
            run.unwrap_or_default().parse()?,
            step.unwrap_or_default().parse()?,
        )),
    }
}

async fn insert(db: &mut SqliteConnection, rows: &[&SentRow]) -> Result<()> {
    SqliteStore::keep_texts(db, rows.iter().copied()).await?;
    let rows: Vec<Value> = rows
        .iter()
        .map(|r| {
            json!([
                hex(r.run_id.0),
                hex(r.call_id.0),
                r.version_id,
                r.inputs,
                r.digest.map(|d| d.hex()),
                r.sanitisation.code(),
                r.purged_at.map(Timestamp::micros),
                r.step_id.map(|s| hex(s.0)),
                r.sent_at.micros(),
                r.redacted_at.map(Timestamp::micros),
                r.output_digest.map(|d| d.hex()),
            ])
        })
        .collect();
    sqlx::query(
        "with j as materialized (select value from json_each($1))
         insert into llm_call_prompt (
           run_id, call_id, prompt_version_id, inputs, text_sha256, sanitisation, purged_at, step_id, sent_at,
           redacted_at, output_sha256)
         select
           unhex(j.value ->> 0), unhex(j.value ->> 1), j.value ->> 2, j.value ->> 3, unhex(j.value ->> 4),
           j.value ->> 5, j.value ->> 6, unhex(j.value ->> 7), j.value ->> 8, j.value ->> 9,
           unhex(j.value ->> 10)
         from j",
    )
    .bind(Value::from(rows).to_string())
    .execute(db)
    .await?;
    Ok(())
}
