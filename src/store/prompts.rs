//! The prompt registry: versions that never change, and labels that move.

use super::{Store, on_pool};
use crate::domain::{Digest, Timestamp};
use crate::error::{Error, Result};
use crate::prompt::{Content, Reference, VersionRef};
use sqlx::FromRow;
use std::fmt;

/// A version to be pushed.
#[derive(Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// The prompt's name.
    pub name: String,
    /// What it says about itself.
    pub description: String,
    /// The digest of `content`.
    pub digest: Digest,
    /// The canonical JSON of what the version means.
    pub content: String,
    /// The YAML file as written.
    pub source: String,
}

impl fmt::Debug for NewVersion {
    /// Without what it says, which may be what the guard has not seen yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewVersion({}, {})", self.name, self.digest)
    }
}

impl fmt::Debug for PromptVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PromptVersion({}, {})", self.entry, self.entry.digest)
    }
}

/// What became of a pushed version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The version that says what was pushed.
    pub version: VersionEntry,
    /// Whether it was made now, rather than being the latest already.
    pub is_new: bool,
    /// Whether the label was moved to it now.
    pub label_moved: bool,
}

/// A version without what it says.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct VersionEntry {
    /// Its number in the database.
    pub prompt_version_id: i64,
    /// The prompt's name.
    pub name: String,
    /// Its number, from 1.
    #[sqlx(try_from = "i64")]
    pub version: u32,
    /// The digest of its content.
    pub digest: Digest,
    /// What its author says about it.
    pub description: String,
    /// When it was pushed.
    pub created_at: Timestamp,
    /// Who pushed it.
    pub created_by: String,
    /// The commit of the folder it was pushed from.
    pub git_commit: Option<String>,
}

/// A version and where it was used.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct UsedVersion {
    /// The version.
    #[sqlx(flatten)]
    pub entry: VersionEntry,
    /// Runs with a step or a call that used it.
    #[sqlx(try_from = "i64")]
    pub runs: u64,
    /// Calls in which it was sent.
    #[sqlx(try_from = "i64")]
    pub calls: u64,
}

/// A version and what it says.
#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct PromptVersion {
    /// The version.
    #[sqlx(flatten)]
    pub entry: VersionEntry,
    /// The canonical JSON of what it means.
    pub content: String,
    /// The YAML file as it was pushed.
    pub source: String,
}

impl PromptVersion {
    /// The one version found for `reference`.
    pub(super) fn only(found: Vec<PromptVersion>, reference: &str) -> Result<PromptVersion> {
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(version), None) => Ok(version),
            (Some(_), Some(_)) => {
                Err(Error::input(format!("`{reference}` is not the only version with such a digest"))
                    .hint("give more digits of it"))
            }
            (None, _) => Err(unknown_version(reference)),
        }
    }

    /// What it says.
    ///
    /// # Errors
    /// Of kind `Conflict` when the stored content does not have the stored digest: somebody changed it past
    /// the triggers.
    pub fn parsed(&self) -> Result<Content> {
        let found = Digest::of(&self.content);
        if found != self.entry.digest {
            return Err(Error::conflict(format!(
                "the content of `{}` was changed: its digest is {}, and was {} when it was pushed",
                self.entry,
                found.short(),
                self.entry.digest.short()
            ))
            .hint("restore the registry from a backup; `asmm doctor` names all that was changed"));
        }
        Content::from_canonical(&self.content)
    }
}

impl std::fmt::Display for VersionEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// A move of a label.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LabelMove {
    /// The prompt.
    pub name: String,
    /// The label.
    pub label: String,
    /// Where it points since then.
    pub prompt_version_id: i64,
    /// The number of that version.
    #[sqlx(try_from = "i64")]
    pub version: u32,
    /// When it was moved.
    pub moved_at: Timestamp,
    /// Who moved it.
    pub moved_by: String,
}

impl Store {
    /// The version that `reference` meant at a time.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Input` when a digest's digits fit more than one.
    pub async fn prompt_version(&self, reference: &Reference, at: Timestamp) -> Result<PromptVersion> {
        let (number, label) = match &reference.version {
            VersionRef::Latest => (None, None),
            VersionRef::Number(number) => (Some(i64::from(*number)), None),
            VersionRef::Label(label) => (None, Some(label.as_str())),
            VersionRef::Digest(digits) => return self.prompt_version_by_digest(reference, digits).await,
        };
        let found: Option<PromptVersion> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/prompt_version_find.sql"))
                .bind(&reference.name)
                .bind(number)
                .bind(label)
                .bind(at)
                .fetch_optional(pool)
                .await?
        });
        found.ok_or_else(|| unknown_version(reference))
    }

    async fn prompt_version_by_digest(&self, reference: &Reference, digits: &str) -> Result<PromptVersion> {
        let found: Vec<PromptVersion> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/prompt_version_by_digest.sql"))
                .bind(&reference.name)
                .bind(format!("sha256:{digits}"))
                .fetch_all(pool)
                .await?
        });
        PromptVersion::only(found, &reference.to_string())
    }

    /// The version that a recorded reference meant at a time: a version's id, or as [`Store::prompt_version`].
    pub async fn recorded_version(&self, reference: &str, at: Timestamp) -> Result<PromptVersion> {
        match RecordedReference::from(reference) {
            RecordedReference::Id(id) => {
                self.find_version_by_id(id).await?.ok_or_else(|| unknown_version(reference))
            }
            RecordedReference::Reference(reference) => self.prompt_version(&reference, at).await,
            RecordedReference::Neither => Err(unknown_version(reference)),
        }
    }

    /// The version with this id in the database, if it is there.
    pub async fn find_version_by_id(&self, prompt_version_id: i64) -> Result<Option<PromptVersion>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/prompt_version_by_id.sql"))
            .bind(prompt_version_id)
            .fetch_optional(pool)
            .await?))
    }

    /// Versions with what they say, in the order they were pushed; `after` is the last id of the page before.
    pub async fn prompt_versions_page(&self, after: i64, limit: u32) -> Result<Vec<PromptVersion>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/prompt_version_page.sql"))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?))
    }

    /// The prompts, by name, with the version that was the latest at a time.
    pub async fn prompts(&self, at: Timestamp) -> Result<Vec<VersionEntry>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/prompt_list.sql"))
            .bind(at)
            .fetch_all(pool)
            .await?))
    }

    /// The versions of a prompt, newest first, and where they were used.
    pub async fn prompt_log(&self, name: &str) -> Result<Vec<UsedVersion>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/prompt_log.sql"))
            .bind(name)
            .fetch_all(pool)
            .await?))
    }

    /// Every move of labels until a time, oldest first, of one prompt or of all.
    pub async fn label_moves(&self, name: Option<&str>, until: Timestamp) -> Result<Vec<LabelMove>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/prompt_label_list.sql"))
            .bind(name)
            .bind(until)
            .fetch_all(pool)
            .await?))
    }
}

/// A version as it is named when it is recorded.
pub(super) enum RecordedReference {
    /// By its id in the database.
    Id(i64),
    /// By its prompt's name.
    Reference(Reference),
    /// Not in a way that names anything.
    Neither,
}

impl From<&str> for RecordedReference {
    fn from(text: &str) -> Self {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map_or(Self::Neither, Self::Id);
        }
        text.parse().map_or(Self::Neither, Self::Reference)
    }
}

fn unknown_version(reference: impl std::fmt::Display) -> Error {
    Error::not_found(format!("prompt version `{reference}` is unknown")).hint(
        "name a version's id, `name`, `name@7`, `name@label` or `name@sha256:…`; see `asmm prompts list`",
    )
}
