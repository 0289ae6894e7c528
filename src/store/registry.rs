//! Writing to the prompt registry: pushing versions, moving labels, and taking both over from another ledger.
//!
//! The statements are the same on both databases; macros expand them for either in an open transaction.

use super::prices::who;
use super::{LabelMove, NewVersion, PromptVersion, PushedVersion, Store, VersionEntry, alone};
use crate::domain::{Digest, Timestamp};
use crate::error::{Error, Result};
use crate::prompt::{Content, Reference, VersionRef, check_label, check_name};

/// Nobody else pushes meanwhile, so that numbers follow each other.
const LOCK: &str = "select pg_advisory_xact_lock('prompt'::regclass::oid::bigint)";

/// Appends a move of a label.
macro_rules! append_move {
    ($tx:ident, $version_id:expr, $label:expr, $moved_at:expr, $moved_by:expr) => {{
        sqlx::query(
            "insert into prompt_label (prompt_id, label, prompt_version_id, moved_at, moved_by)
             select v.prompt_id, $2, v.prompt_version_id, $3, $4
             from prompt_version v
             where v.prompt_version_id = $1",
        )
        .bind($version_id)
        .bind($label)
        .bind($moved_at)
        .bind($moved_by)
        .execute(&mut **$tx)
        .await?;
    }};
}

/// Appends a move of a label, unless it points there already; answers whether it did. Expanded for either
/// database in an open transaction.
macro_rules! move_label {
    ($tx:ident, $version:expr, $label:expr, $now:expr) => {{
        let current: Option<i64> = sqlx::query_scalar(
            "select l.prompt_version_id
             from prompt_label l
             join prompt p on p.prompt_id = l.prompt_id
             where p.name = $1 and l.label = $2
             order by l.prompt_label_id desc
             limit 1",
        )
        .bind(&$version.name)
        .bind($label)
        .fetch_optional(&mut **$tx)
        .await?;
        let moves = current != Some($version.prompt_version_id);
        if moves {
            append_move!($tx, $version.prompt_version_id, $label, $now, who());
        }
        moves
    }};
}

/// Makes the prompt if need be, and adds a version of it; answers its id.
macro_rules! insert_version {
    ($tx:ident, $entry:expr, $new:expr) => {{
        sqlx::query(
            "insert into prompt (name, created_at)
             select $1, $2
             where not exists (select 1 from prompt where name = $1)",
        )
        .bind(&$entry.name)
        .bind($entry.created_at)
        .execute(&mut **$tx)
        .await?;
        let id: i64 = sqlx::query_scalar(
            "insert into prompt_version
               (prompt_id, version, digest, content, source, description, created_at, created_by, git_commit)
             select p.prompt_id, cast($2 as integer), $3, $4, $5, $6, $7, $8, $9
             from prompt p
             where p.name = $1
             returning prompt_version_id",
        )
        .bind(&$entry.name)
        .bind(i64::from($entry.version))
        .bind($entry.digest)
        .bind(&$new.content)
        .bind(&$new.source)
        .bind(&$entry.description)
        .bind($entry.created_at)
        .bind(&$entry.created_by)
        .bind(&$entry.git_commit)
        .fetch_one(&mut **$tx)
        .await?;
        id
    }};
}

/// The latest version of a prompt, if it has one.
macro_rules! latest {
    ($tx:ident, $name:expr) => {{
        let latest: Option<PromptVersion> =
            sqlx::query_as(include_str!("../../queries/prompt_version_find.sql"))
                .bind($name)
                .bind(None::<i64>)
                .bind(None::<&str>)
                .bind(Timestamp::FAR)
                .fetch_optional(&mut **$tx)
                .await?;
        latest
    }};
}

/// Adds a version unless the latest one says the same; answers the version and whether it is new.
macro_rules! push_one {
    ($tx:ident, $new:expr, $git_commit:expr, $now:expr) => {{
        match latest!($tx, &$new.name) {
            Some(latest) if latest.entry.digest == $new.digest => (latest.entry, false),
            latest => {
                let version = latest.map_or(1, |latest| latest.entry.version + 1);
                let mut entry = VersionEntry {
                    prompt_version_id: 0,
                    name: $new.name.clone(),
                    version,
                    digest: $new.digest,
                    description: $new.description.clone(),
                    created_at: $now,
                    created_by: who(),
                    git_commit: $git_commit.map(str::to_owned),
                };
                entry.prompt_version_id = insert_version!($tx, entry, $new);
                (entry, true)
            }
        }
    }};
}

impl Store {
    /// Pushes versions, all or none: those that differ from their prompt's latest become new ones. With
    /// `label`, it is moved to each of them.
    ///
    /// # Errors
    /// When the ledger fails; then nothing was pushed.
    pub async fn push_prompts(
        &self,
        versions: &[NewVersion],
        label: Option<&str>,
        git_commit: Option<&str>,
    ) -> Result<Vec<PushedVersion>> {
        let now = self.now();
        let mut pushed = Vec::with_capacity(versions.len());
        alone!(self, LOCK, |tx| {
            for new in versions {
                let (version, is_new) = push_one!(tx, new, git_commit, now);
                let label_moved = match label {
                    Some(label) => move_label!(tx, version, label, now),
                    None => false,
                };
                pushed.push(PushedVersion { version, is_new, label_moved });
            }
        });
        Ok(pushed)
    }

    /// Moves a label to a version; answers whether it pointed elsewhere before.
    pub async fn move_label(&self, version: &VersionEntry, label: &str) -> Result<bool> {
        let now = self.now();
        Ok(alone!(self, LOCK, |tx| move_label!(tx, version, label, now)))
    }

    /// Takes over a version from another ledger, with its number; answers whether it is new here.
    ///
    /// # Errors
    /// `Conflict` when the number is taken by other contents, `Input` when the version before it is missing, the
    /// digest is not that of the content, or the content is no prompt.
    pub async fn copy_version(&self, entry: &VersionEntry, new: &NewVersion) -> Result<bool> {
        check_name(&entry.name)?;
        if Digest::of(&new.content) != entry.digest {
            return Err(Error::input(format!("the digest of `{entry}` is not that of its content")));
        }
        Content::from_canonical(&new.content).map_err(|e| e.at(format_args!("`{entry}`")))?;
        Ok(alone!(self, LOCK, |tx| {
            let known: Option<(i64, Digest)> = sqlx::query_as(
                "select v.prompt_version_id, v.digest
                 from prompt_version v
                 join prompt p on p.prompt_id = v.prompt_id
                 where p.name = $1 and v.version = $2",
            )
            .bind(&entry.name)
            .bind(i64::from(entry.version))
            .fetch_optional(&mut **tx)
            .await?;
            match known {
                Some((_, digest)) if digest == entry.digest => false,
                Some(_) => {
                    return Err(Error::conflict(format!("`{entry}` says something else in this ledger"))
                        .hint("a version never changes; copy into a new ledger"));
                }
                None => {
                    let latest = latest!(tx, &entry.name).map_or(0, |latest| latest.entry.version);
                    if entry.version != latest + 1 {
                        return Err(Error::input(format!("`{entry}` would come after version {latest}"))
                            .hint("copy the versions before it first; `asmm export jsonl` writes all"));
                    }
                    insert_version!(tx, entry, new);
                    true
                }
            }
        }))
    }

    /// Takes over a move of a label from another ledger; answers whether it is new here.
    ///
    /// # Errors
    /// `NotFound` for an unknown version, `Conflict` when the label was moved later than that here.
    pub async fn copy_label_move(&self, moved: &LabelMove) -> Result<bool> {
        check_label(&moved.label)?;
        let reference = Reference { name: moved.name.clone(), version: VersionRef::Number(moved.version) };
        let version = self.prompt_version(&reference, Timestamp::FAR).await?.entry;
        let history = self.label_moves(Some(&moved.name), Timestamp::FAR).await?;
        let mut known_moves = history.iter().filter(|known| known.label == moved.label);
        if known_moves.clone().any(|known| known.moved_at == moved.moved_at && known.version == moved.version)
        {
            return Ok(false);
        }
        if let Some(later) = known_moves.find(|known| known.moved_at >= moved.moved_at) {
            return Err(Error::conflict(format!(
                "label `{}` of `{}` was moved to version {} later, at {}",
                moved.label, moved.name, later.version, later.moved_at
            ))
            .hint("a label's history is only added to; move it with `asmm prompts label`"));
        }
        alone!(self, LOCK, |tx| {
            append_move!(tx, version.prompt_version_id, &moved.label, moved.moved_at, &moved.moved_by);
        });
        Ok(true)
    }
}
