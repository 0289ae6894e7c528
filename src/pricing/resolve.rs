//! Reported names to catalogue entries. Nothing is guessed: what no rule names stays unresolved.

use super::catalogue::{Catalogue, Provider};
use super::names::{candidates, with_written_date};
use super::provider::{Scope, group_path};
use std::collections::{BTreeMap, BTreeSet};

/// What identifies the rows of one model: the catalogue's names, not the reported ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
}

impl EntryKey {
    /// The key of `model` at `provider`.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }
}

/// The names that the user added: they come before the catalogue's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserNames {
    /// A reported (provider, model) to what prices it; a provider of `""` is any.
    pub aliases: BTreeMap<(String, String), EntryKey>,
    /// The (provider, model) of the user's own and imported prices.
    pub prices: BTreeSet<EntryKey>,
}

impl UserNames {
    fn find(&self, providers: &[&str], model: &str) -> Option<EntryKey> {
        let alias = |provider: &str| self.aliases.get(&(provider.to_owned(), model.to_owned())).cloned();
        let own = |provider: &&str| {
            let key = EntryKey::new(*provider, model);
            self.prices.contains(&key).then_some(key)
        };
        providers
            .iter()
            .find_map(|provider| alias(provider))
            .or_else(|| alias(""))
            .or_else(|| providers.iter().find_map(own))
            .or_else(|| if providers.is_empty() { self.only_price_of(model) } else { None })
    }

    /// For a call without a provider: the user's price of `model`, if only one provider has one.
    fn only_price_of(&self, model: &str) -> Option<EntryKey> {
        let mut keys = self.prices.iter().filter(|key| key.model == model);
        keys.next().filter(|_| keys.next().is_none()).cloned()
    }
}

/// The end of a search.
enum Found {
    /// An entry with rows.
    Key(EntryKey),
    /// An entry that the catalogue knows and has no price of: no other may stand in.
    Blank,
}

impl Catalogue {
    /// The entry that prices a call of `model_reported` at `provider_reported` (`""` when unknown).
    ///
    /// For the name as reported, and then for each name without its wrapping (path, region, date, version): the user's
    /// aliases; the user's own prices; the provider's entry of exactly this name; its curated match
    /// clauses, first match wins, also with a compact date written out; the same in the provider's
    /// `fallback` providers; `LiteLLM`'s entry of exactly this name. A call without a provider is looked up
    /// at the provider that its path names (`gemini/…`), and then where the providers' own clauses on
    /// model names send it.
    #[must_use]
    pub fn resolve(
        &self,
        provider_reported: &str,
        model_reported: &str,
        user: &UserNames,
    ) -> Option<EntryKey> {
        let (provider, model) = (provider_reported.trim(), model_reported.trim());
        if provider.is_empty() {
            return self.resolve_without_provider(model, user);
        }
        let scope = self.scope(provider);
        let mut names = vec![provider];
        names.extend(
            scope.as_ref().and_then(|s| s.provider).map(|p| p.id.as_str()).filter(|id| *id != provider),
        );
        self.search(&names, scope.as_slice(), model, user)
    }

    fn resolve_without_provider(&self, model: &str, user: &UserNames) -> Option<EntryKey> {
        if let Some(key) = user.find(&[], model) {
            return Some(key);
        }
        if let Some((path, rest)) = model.split_once('/')
            && self.scope(path).is_some()
            && let Some(key) = self.resolve(path, rest, user)
        {
            return Some(key);
        }
        for name in candidates(model) {
            let scopes = self.scopes_of_model(&name);
            let found = user.find(&[], &name).or_else(|| self.search(&[], &scopes, &name, user));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn search(
        &self,
        providers: &[&str],
        scopes: &[Scope<'_>],
        model: &str,
        user: &UserNames,
    ) -> Option<EntryKey> {
        for name in candidates(model) {
            if let Some(key) = user.find(providers, &name) {
                return Some(key);
            }
            for scope in scopes {
                match self.look_up(scope, &name) {
                    Some(Found::Key(key)) => return Some(key),
                    Some(Found::Blank) => return None,
                    None => {}
                }
            }
        }
        None
    }

    /// One name in one scope.
    fn look_up(&self, scope: &Scope<'_>, name: &str) -> Option<Found> {
        let curated = scope.provider.and_then(|provider| self.curated(provider, name));
        match curated {
            Some(key) if !self.entries_of(&key.provider, &key.model).is_empty() => Some(Found::Key(key)),
            Some(_) => Some(self.listed(scope, name).map_or(Found::Blank, Found::Key)),
            None => self.listed(scope, name).map(Found::Key),
        }
    }

    /// A curated entry: of the provider, or once more of those it falls back to. A path that names the
    /// provider itself (`gemini/…`, as `LiteLLM` writes it) is not part of the name.
    fn curated(&self, provider: &Provider, name: &str) -> Option<EntryKey> {
        let is_own = |path: &str| {
            self.scope(path).and_then(|scope| scope.provider).is_some_and(|other| other.id == provider.id)
        };
        let without_path = || {
            let (path, rest) = name.split_once('/')?;
            if is_own(path) { provider.find(rest) } else { None }
        };
        let fallback = || {
            let others = provider.fallback.iter();
            others.filter_map(|id| self.providers.iter().find(|p| p.id == *id)).find_map(|p| p.find(name))
        };
        provider.find(name).or_else(without_path).or_else(fallback)
    }

    /// `LiteLLM`'s entry of exactly this name, with or without the path it puts before it.
    fn listed(&self, scope: &Scope<'_>, name: &str) -> Option<EntryKey> {
        scope.groups.iter().find_map(|group| {
            let with_path = format!("{}/{name}", group_path(group));
            [name, with_path.as_str()]
                .into_iter()
                .find(|model| !self.entries_of(group, model).is_empty())
                .map(|model| EntryKey::new(*group, model))
        })
    }
}

impl Provider {
    fn find(&self, name: &str) -> Option<EntryKey> {
        self.find_as_is(name).or_else(|| self.find_as_is(&with_written_date(name)?))
    }

    fn find_as_is(&self, name: &str) -> Option<EntryKey> {
        let lower = name.to_ascii_lowercase();
        let by_clause = || {
            let matches = |(_, clause): &&(String, Option<super::clause::Clause>)| {
                clause.as_ref().is_some_and(|clause| clause.matches(&lower))
            };
            self.models.iter().find(matches)
        };
        let exact = self.models.iter().find(|(id, _)| id == name);
        exact.or_else(by_clause).map(|(id, _)| EntryKey::new(&self.id, id))
    }
}
