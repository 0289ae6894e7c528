//! Whether the database around a ledger is in order: its schema against the migrations, who may do what, and how it is
//! kept. Only looked at, never changed.

mod postgres;
mod sqlite;

use super::{Store, migrate};
use crate::error::Result;
use std::collections::BTreeSet;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What it is a part of: `schema`, `roles` or `storage`.
    pub section: &'static str,
    /// What should be so, in words.
    pub check: &'static str,
    /// How many things were looked at; none, where it could not be.
    pub looked_at: Option<u64>,
    /// What is not so, each in words.
    pub wrong: Vec<String>,
    /// Whether the ledger can be used as it is all the same.
    pub is_only_advice: bool,
    /// Why it could not be looked at.
    pub not_checked: Option<String>,
}

impl HealthCheck {
    fn new(section: &'static str, check: &'static str, looked_at: usize, wrong: Vec<String>) -> Self {
        let looked_at = Some(u64::try_from(looked_at).unwrap_or(u64::MAX));
        Self { section, check, looked_at, wrong, is_only_advice: false, not_checked: None }
    }

    fn advice(mut self) -> Self {
        self.is_only_advice = true;
        self
    }

    fn not_checked(section: &'static str, check: &'static str, why: impl Into<String>) -> Self {
        Self { looked_at: None, not_checked: Some(why.into()), ..Self::new(section, check, 0, Vec::new()) }
    }
}

/// Who may log in as what, in Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleMembers {
    /// The role.
    pub role: String,
    /// Whether it is there.
    pub exists: bool,
    /// The users that are its members.
    pub members: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The checks.
    pub checks: Vec<HealthCheck>,
    /// The roles; none for SQLite.
    pub roles: Vec<RoleMembers>,
}

impl Store {
    /// Looks at the database around the ledger. With `full` also at what takes as long as the database is large.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn health(&self, full: bool) -> Result<Health> {
        match self {
            Store::Postgres(s) => postgres::look(s).await,
            Store::Sqlite(s) => sqlite::look(s, full).await,
        }
    }
}

/// The triggers or indexes that the migrations of Postgres make and leave, by name.
fn made_by_migrations(kind: &str) -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    for text in migrate::postgres_texts() {
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_ascii_lowercase);
            let Some(verb) = words.next() else { continue };
            let mut words =
                words.skip_while(|word| ["unique", "or", "replace", "constraint"].contains(&word.as_str()));
            if !["create", "drop"].contains(&verb.as_str()) || words.next().as_deref() != Some(kind) {
                continue;
            }
            let mut words =
                words.skip_while(|word| ["if", "not", "exists", "concurrently"].contains(&word.as_str()));
            let Some(name) = words.next() else { continue };
            let name = name.trim_end_matches(';').to_owned();
            if verb == "create" {
                made.insert(name);
            } else {
                made.remove(&name);
            }
        }
    }
    made
}

/// The names of `wanted` that are not in `found`.
fn missing(kind: &str, wanted: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    wanted.difference(found).map(|name| format!("the {kind} `{name}` is not there")).collect()
}
