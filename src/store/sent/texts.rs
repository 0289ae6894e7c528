//! Texts, each once, under the digest of what it was.

use super::SentRow;
use crate::domain::{Digest, Timestamp};
use crate::error::Result;
use crate::store::connections::Session;
use crate::store::{PostgresStore, SqliteStore};
use sqlx::SqliteConnection;
use std::collections::HashMap;

/// A text: the digest of what it was, what it is, and when it was redacted.
type Text<'t> = (Digest, &'t str, Option<Timestamp>);

impl SentRow {
    /// What was purged, and is recorded anew, stays purged: `purged` says of digests when.
    pub(in crate::store) fn stay_purged(&mut self, purged: &HashMap<Digest, Timestamp>) {
        let digests = || self.digest.iter().chain(&self.output_digest);
        if digests().all(|digest| purged.contains_key(digest)) {
            self.purged_at = digests().filter_map(|digest| purged.get(digest)).max().copied();
        }
    }

    /// Its texts under the digests of what they were, and when they were redacted: of the two perhaps one.
    fn texts(&self) -> impl Iterator<Item = Text<'_>> {
        let both = [(self.digest, &self.body), (self.output_digest, &self.output_body)];
        both.into_iter().filter_map(|(digest, body)| {
            let (digest, body) = (digest?, body.as_deref()?);
            let redacted_at = self.redacted_at.filter(|_| Digest::of(body) != digest);
            Some((digest, body, redacted_at))
        })
    }
}

impl PostgresStore {
    /// Keeps texts that no call is recorded with yet: a later report may make them count.
    pub(in crate::store) async fn keep_texts(db: &mut Session, rows: &[SentRow]) -> Result<()> {
        let texts: Vec<Text<'_>> = rows.iter().flat_map(SentRow::texts).collect();
        if texts.is_empty() {
            return Ok(());
        }
        sqlx::query("select keep_texts($1, $2, $3, $4)")
            .bind(texts.iter().map(|(digest, _, _)| *digest).collect::<Vec<_>>())
            .bind(texts.iter().map(|(_, body, _)| *body).collect::<Vec<_>>())
            .bind(texts.iter().map(|(_, _, redacted_at)| *redacted_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.sent_at).max())
            .execute(db)
            .await?;
        Ok(())
    }
}

impl SqliteStore {
    /// As `keep_texts` of Postgres. A text that comes redacted replaces the one that came before: what it forbids is not stored
    /// beside it.
    pub(in crate::store) async fn keep_texts<'r>(
        db: &mut SqliteConnection,
        rows: impl Iterator<Item = &'r SentRow> + Clone,
    ) -> Result<()> {
        let mut texts: HashMap<Digest, (&str, Option<Timestamp>)> = HashMap::new();
        for (digest, body, redacted_at) in rows.clone().flat_map(SentRow::texts) {
            let text = texts.entry(digest).or_insert((body, redacted_at));
            if text.1.is_none() {
                *text = (body, redacted_at);
            }
        }
        let sent_at = rows.map(|row| row.sent_at.micros()).max().unwrap_or_default();
        for (digest, (body, redacted_at)) in texts {
            let inserted = sqlx::query(
                "insert into prompt_text (text_sha256, body, recorded_at, redacted_at)
                 select $1, $2, $3, $4
                 where not exists (select 1 from prompt_text where text_sha256 = $1)",
            )
            .bind(digest)
            .bind(body)
            .bind(sent_at)
            .bind(redacted_at)
            .execute(&mut *db)
            .await?;
            if inserted.rows_affected() == 0 && redacted_at.is_some() {
                sqlx::query(
                    "update prompt_text set body = $2, redacted_at = $3 where text_sha256 = $1 and redacted_at is null",
                )
                .bind(digest)
                .bind(body)
                .bind(redacted_at)
                .execute(&mut *db)
                .await?;
            }
        }
        Ok(())
    }
}
