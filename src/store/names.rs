//! What reported model names mean, and pricing the calls that had to wait for an answer.
//!
//! Names are resolved in Rust only (`src/pricing`), once, and the answer is kept in `model_alias`, where
//! SQL finds it. A name without an answer is kept too, with the revision of the catalogue that lacked it,
//! so that it is asked again only when prices were added.

use super::prices::who;
use super::{PriceScope, Repriced, Store, on_pool};
use crate::domain::RunId;
use crate::error::Result;
use crate::pricing::{Catalogue, EntryKey, UserNames};
use serde_json::{Value, json};
use sqlx::FromRow;
use std::collections::{BTreeSet, HashMap};

/// Postgres' SQLSTATE of a missing privilege.
pub(super) const INSUFFICIENT_PRIVILEGE: &str = "42501";

type Name = (String, String);

/// What `model_alias` says of a name.
#[derive(FromRow)]
struct Answer {
    provider: String,
    model: String,
    target_provider: Option<String>,
    target_model: Option<String>,
    is_newest: bool,
}

impl Store {
    /// Makes sure that each (provider, model) has an answer in `model_alias`, before calls with it are
    /// recorded. A role that may not write there leaves it to the next command of one that may: the calls
    /// are then unpriced until it runs.
    pub(super) async fn resolve_names<'a>(
        &self,
        names: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        let mut wanted: BTreeSet<(&str, &str)> = names.collect();
        {
            let known = self.known_names();
            wanted
                .retain(|(provider, model)| !known.contains(&((*provider).to_owned(), (*model).to_owned())));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        match self.resolve_unknown(&wanted).await {
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {}
            outcome => outcome?,
        }
        self.known_names().extend(wanted.into_iter().map(|(p, m)| (p.to_owned(), m.to_owned())));
        Ok(())
    }

    async fn resolve_unknown(&self, wanted: &BTreeSet<(&str, &str)>) -> Result<(), sqlx::Error> {
        let mut user: Option<UserNames> = None;
        for (provider, model) in wanted {
            let answered: Option<i64> = on_pool!(self, |pool| {
                sqlx::query_scalar(
                    "select max(alias_id) from model_alias where model = $2 and provider = $1 and origin = 'catalogue'",
                )
                .bind(provider)
                .bind(model)
                .fetch_one(pool)
                .await?
            });
            if answered.is_some() {
                continue;
            }
            let user = match &user {
                Some(user) => user,
                None => user.insert(self.user_names().await?),
            };
            let target = Catalogue::vendored().resolve(provider, model, user);
            self.write_alias("catalogue", provider, model, target.as_ref()).await?;
        }
        Ok(())
    }

    /// The (provider, model) keys of the user's own and imported prices: names of their own right.
    async fn user_names(&self) -> Result<UserNames, sqlx::Error> {
        let keys: Vec<Name> = on_pool!(self, |pool| {
            sqlx::query_as(
                "select distinct provider, model from model_price where origin <> 'vendored' order by provider, model",
            )
            .fetch_all(pool)
            .await?
        });
        let prices = keys.into_iter().map(|(provider, model)| EntryKey { provider, model }).collect();
        Ok(UserNames { prices, ..UserNames::default() })
    }

    /// The price entry that each (provider, model) means, as prices are looked up: the user's word on the name, else the catalogue's.
    /// Names without an entry are left out. Nothing is recorded.
    pub async fn price_entries<'a>(
        &self,
        names: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<HashMap<(String, String), EntryKey>> {
        let user = self.user_names().await?;
        let aliases = self.aliases().await?;
        let mut said: HashMap<Name, EntryKey> = HashMap::new();
        for alias in aliases.into_iter().filter(|alias| alias.origin == "user") {
            if let Some((provider, model)) = alias.target_provider.zip(alias.target_model) {
                said.insert((alias.provider, alias.model), EntryKey { provider, model });
            }
        }
        let mut entries = HashMap::new();
        for (provider, model) in names {
            let name = (provider.to_owned(), model.to_owned());
            let by_user = said.get(&name).or_else(|| said.get(&(String::new(), model.to_owned()))).cloned();
            let entry = by_user.or_else(|| Catalogue::vendored().resolve(provider, model, &user));
            if let Some(entry) = entry {
                entries.insert(name, entry);
            }
        }
        Ok(entries)
    }

    async fn write_alias(
        &self,
        origin: &'static str,
        provider: &str,
        model: &str,
        target: Option<&EntryKey>,
    ) -> Result<(), sqlx::Error> {
        match self {
            Store::Postgres(s) => {
                sqlx::query(
                    "insert into model_alias
                       (origin, provider, model, target_provider, target_model, revision, recorded_by)
                     select $1, $2, $3, $4, $5, max(revision), $6
                     from price_catalogue",
                )
                .bind(origin)
                .bind(provider)
                .bind(model)
                .bind(target.map(|t| &t.provider))
                .bind(target.map(|t| &t.model))
                .bind(who())
                .execute(&s.pool)
                .await?;
            }
            Store::Sqlite(s) => {
                sqlx::query(
                    "insert into model_alias
                       (origin, provider, model, target_provider, target_model, revision, recorded_by, recorded_at)
                     select $1, $2, $3, $4, $5, max(revision), $6, $7
                     from price_catalogue",
                )
                .bind(origin)
                .bind(provider)
                .bind(model)
                .bind(target.map(|t| &t.provider))
                .bind(target.map(|t| &t.model))
                .bind(who())
                .bind(s.clock.now())
                .execute(&s.pool)
                .await?;
            }
        }
        Ok(())
    }

    /// The user's word on what a reported name means; `None` takes it back. An empty provider is any.
    /// Prices what was waiting for it.
    ///
    /// # Errors
    /// `NotFound` when there are no prices for the target.
    pub async fn set_alias(
        &self,
        provider: &str,
        model: &str,
        target: Option<&EntryKey>,
    ) -> Result<Repriced> {
        crate::domain::optional_name("provider", provider)?;
        crate::domain::required_name("model", model)?;
        if let Some(target) = target
            && self.prices(Some(&target.provider), Some(&target.model), None).await?.is_empty()
        {
            return Err(crate::error::Error::not_found(format!(
                "there are no prices for `{}/{}`",
                target.provider, target.model
            ))
            .hint("`asmm prices list` shows what there is; `asmm prices push` adds your own"));
        }
        self.write_alias("user", provider, model, target).await?;
        self.price_waiting().await
    }

    /// Resolves names that SQL has recorded and nobody has looked at yet, and prices their calls.
    /// Cheap when there are none. A role that may not write leaves them.
    pub async fn price_new_names(&self) -> Result<Repriced> {
        let names: Vec<Name> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/name_unresolved.sql")).fetch_all(pool).await?
        });
        if names.is_empty() {
            return Ok(Repriced::default());
        }
        match self.answer_again(&names).await {
            Ok(0) => Ok(Repriced::default()),
            Ok(_) => self.price_waiting().await,
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) => {
                Ok(Repriced::default())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Resolves every name again, after prices were added, and prices what was waiting. Calls that have a
    /// price keep it.
    pub async fn price_all_names(&self) -> Result<Repriced> {
        let names: Vec<Name> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/name_reported.sql")).fetch_all(pool).await?
        });
        self.answer_again(&names).await?;
        self.known_names().clear();
        self.price_waiting().await
    }

    /// Answers the exact names of the vendored catalogue beforehand, so that a pipeline that records through SQL
    /// has its costs at once. On SQLite nobody records past this program, which answers as names come.
    pub(super) async fn answer_vendored_names(&self) -> Result<()> {
        if matches!(self, Store::Postgres(_)) {
            let entries = Catalogue::vendored().entries();
            let names: BTreeSet<Name> =
                entries.iter().map(|e| (e.provider.clone(), e.model.clone())).collect();
            self.answer_again(&names.into_iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Resolves the names and writes the answers that are new; says how many of those have a target.
    async fn answer_again(&self, names: &[Name]) -> Result<usize, sqlx::Error> {
        let user = self.user_names().await?;
        let rows: Vec<Answer> = on_pool!(self, |pool| {
            sqlx::query_as(
                "select provider, model, target_provider, target_model,
                   revision = (select max(revision) from price_catalogue) as is_newest
                 from v_model_alias
                 where origin = 'catalogue'",
            )
            .fetch_all(pool)
            .await?
        });
        let mut known: HashMap<Name, (Option<EntryKey>, bool)> = HashMap::with_capacity(rows.len());
        for row in rows {
            let target = row.target_provider.zip(row.target_model);
            let target = target.map(|(provider, model)| EntryKey { provider, model });
            known.insert((row.provider, row.model), (target, row.is_newest));
        }
        let mut changed: Vec<(&Name, Option<EntryKey>)> = Vec::new();
        for name in names {
            let target = Catalogue::vendored().resolve(&name.0, &name.1, &user);
            // That there is no price is an answer for one revision of the catalogue only.
            let same = known
                .get(name)
                .is_some_and(|(stored, is_newest)| *stored == target && (target.is_some() || *is_newest));
            if !same {
                changed.push((name, target));
            }
        }
        self.write_answers(&changed).await?;
        Ok(changed.iter().filter(|(_, target)| target.is_some()).count())
    }

    async fn write_answers(&self, answers: &[(&Name, Option<EntryKey>)]) -> Result<(), sqlx::Error> {
        if answers.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = answers
            .iter()
            .map(|((provider, model), target)| {
                json!([
                    provider,
                    model,
                    target.as_ref().map(|t| &t.provider),
                    target.as_ref().map(|t| &t.model)
                ])
            })
            .collect();
        let rows = Value::from(rows);
        match self {
            Store::Postgres(s) => {
                sqlx::query(
                    "insert into model_alias
                       (origin, provider, model, target_provider, target_model, revision, recorded_by)
                     select 'catalogue', j ->> 0, j ->> 1, j ->> 2, j ->> 3, (select max(revision) from price_catalogue), $2
                     from jsonb_array_elements($1) j",
                )
                .bind(rows)
                .bind(who())
                .execute(&s.pool)
                .await?;
            }
            Store::Sqlite(s) => {
                sqlx::query(
                    "insert into model_alias
                       (origin, provider, model, target_provider, target_model, revision, recorded_by, recorded_at)
                     select 'catalogue', j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3,
                       (select max(revision) from price_catalogue), $2, $3
                     from json_each($1) j",
                )
                .bind(rows.to_string())
                .bind(who())
                .bind(s.clock.now())
                .execute(&s.pool)
                .await?;
            }
        }
        Ok(())
    }

    /// Prices the unpriced calls of every run that has some.
    async fn price_waiting(&self) -> Result<Repriced> {
        let runs: Vec<RunId> = on_pool!(self, |pool| {
            sqlx::query_scalar(
                "select distinct run_id from llm_call where pricing_state = 'unpriced' order by run_id",
            )
            .fetch_all(pool)
            .await?
        });
        let mut sum = Repriced::default();
        for run in runs {
            sum += self.price_run(run, &PriceScope::unpriced(), "price became known", false).await?;
        }
        Ok(sum)
    }

    /// Prices the calls that `scope` names by the catalogue of today, each run in a transaction of its own,
    /// and notes each change in `price_event`. With `dry_run` nothing is kept.
    pub async fn reprice(
        &self,
        scope: &PriceScope,
        reason: &str,
        dry_run: bool,
    ) -> Result<Vec<(RunId, Repriced)>> {
        let runs: Vec<RunId> = on_pool!(self, |pool| {
            sqlx::query_scalar(include_str!("../../queries/run_called.sql"))
                .bind(scope.since)
                .bind(scope.until)
                .bind(&scope.provider)
                .bind(&scope.model)
                .fetch_all(pool)
                .await?
        });
        let mut changed = Vec::new();
        for run in runs {
            let repriced = self.price_run(run, scope, reason, dry_run).await?;
            if repriced.calls > 0 {
                changed.push((run, repriced));
            }
        }
        Ok(changed)
    }

    async fn price_run(
        &self,
        run_id: RunId,
        scope: &PriceScope,
        reason: &str,
        dry_run: bool,
    ) -> Result<Repriced> {
        match self {
            Store::Postgres(s) => s.price_run(run_id, scope, reason, dry_run).await,
            Store::Sqlite(s) => s.price_run(run_id, scope, reason, dry_run).await,
        }
    }

    fn known_names(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<Name>> {
        let names = match self {
            Store::Postgres(s) => &s.names,
            Store::Sqlite(s) => &s.names,
        };
        names.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
