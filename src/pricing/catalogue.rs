//! The catalogue: every price row, and what resolution needs to find them by name.

use super::clause::Clause;
use super::rates::{Origin, PriceEntry};
use super::snapshot::{RawModel, Snapshot, Template};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

/// `prices/catalogue.json`, packed by the build script.
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/catalogue.json.zst"));
/// The most that the packed catalogue may unpack to, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The project's name.
    pub name: String,
    /// The release that the prices were taken from.
    pub version: String,
    /// Its licence, an SPDX expression.
    pub licence: String,
}

/// A price catalogue.
#[derive(Debug)]
pub struct Catalogue {
    version: String,
    sources: Vec<Source>,
    entries: Vec<PriceEntry>,
    /// Provider, then model, to a range of `entries`.
    index: HashMap<String, HashMap<String, Range<usize>>>,
    pub(super) providers: Vec<Provider>,
    /// `LiteLLM`'s provider keys and the models only it prices; they match by their exact name.
    pub(super) groups: HashMap<String, Vec<String>>,
}

/// A provider with curated match clauses.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) id: String,
    pub(super) clause: Option<Clause>,
    pub(super) model_match: Option<Clause>,
    pub(super) fallback: Vec<String>,
    /// Model ids and their clauses; the first match wins.
    pub(super) models: Vec<(String, Option<Clause>)>,
}

impl Catalogue {
    /// The version of the catalogue that comes with this program, a date.
    pub const VERSION: &'static str = env!("ASMM_CATALOGUE_VERSION");

    /// The catalogue that comes with this program; unpacked on first use.
    ///
    /// # Panics
    /// Never in a build whose tests passed: they read this very catalogue.
    #[must_use]
    pub fn vendored() -> &'static Catalogue {
        static VENDORED: LazyLock<Catalogue> = LazyLock::new(|| {
            let json = zstd::bulk::decompress(PACKED, MAX_BYTES).expect("packed by the build script");
            Catalogue::read(&json).expect("the tests read the vendored catalogue")
        });
        &VENDORED
    }

    /// Reads a catalogue in the shape of `prices/catalogue.json`.
    fn read(json: &[u8]) -> Result<Self> {
        let snapshot: Snapshot<'_> = serde_json::from_slice(json)
            .map_err(|e| Error::input(format!("price catalogue: {e}")).caused_by(e))?;
        let label = |name: &str| {
            let version = snapshot.sources.iter().find(|s| s.name == name).map_or("", |s| s.version);
            format!("{name} {version}")
        };
        let (base, other) = (label("genai-prices"), label("litellm"));
        let sources = snapshot.sources.iter().map(|s| Source {
            name: s.name.to_owned(),
            version: s.version.to_owned(),
            licence: s.licence.to_owned(),
        });
        let mut catalogue = Catalogue {
            version: snapshot.version,
            sources: sources.collect(),
            entries: Vec::new(),
            index: HashMap::new(),
            providers: Vec::new(),
            groups: HashMap::new(),
        };
        for mut provider in snapshot.providers {
            for model in &provider.models {
                catalogue.add(&provider.id, model, &base)?;
            }
            for clause in provider.clause.iter_mut().chain(&mut provider.model_match) {
                clause.lower();
            }
            let models = provider.models.into_iter().map(|mut model| {
                model.clause.iter_mut().for_each(Clause::lower);
                (model.id, model.clause)
            });
            catalogue.providers.push(Provider {
                models: models.collect(),
                id: provider.id,
                clause: provider.clause,
                model_match: provider.model_match,
                fallback: provider.fallback,
            });
        }
        for (group, models) in snapshot.litellm {
            for model in &models {
                catalogue.add(&group, model, &other)?;
            }
            catalogue.groups.insert(group, models.into_iter().map(|model| model.id).collect());
        }
        Ok(catalogue)
    }

    fn add(&mut self, provider: &str, model: &RawModel<'_>, source: &str) -> Result<()> {
        let template = Template { provider, model: &model.id, source, origin: Origin::Vendored };
        let start = self.entries.len();
        model
            .rows(&template, &mut self.entries)
            .map_err(|e| e.at(format_args!("price of `{provider}` `{}`", model.id)))?;
        if self.entries.len() > start {
            let models = self.index.entry(provider.to_owned()).or_default();
            models.insert(model.id.clone(), start..self.entries.len());
        }
        Ok(())
    }

    /// The day that its prices were checked for, such as `2026-11-20`; it may hold announced later ones.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where its prices come from.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every row; those of one provider and model lie together.
    #[must_use]
    pub fn entries(&self) -> &[PriceEntry] {
        &self.entries
    }

    /// The rows of one provider and model, by the catalogue's own names: what [`super::select`] takes.
    #[must_use]
    pub fn entries_of(&self, provider: &str, model: &str) -> &[PriceEntry] {
        let range = self.index.get(provider).and_then(|models| models.get(model));
        range.and_then(|range| self.entries.get(range.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricing::rates::STANDARD_TIER;
    use std::collections::BTreeSet;

    #[test]
    fn the_vendored_catalogue_is_whole() {
        let catalogue = Catalogue::vendored();
        assert_eq!(catalogue.version(), "2026-11-20");
        assert_eq!(catalogue.sources().len(), 2);
        let models = |f: fn(&Provider) -> usize| catalogue.providers.iter().map(f).sum::<usize>();
        assert_eq!(catalogue.providers.len(), 47);
        assert_eq!(models(|p| p.models.len()), 2_330);
        assert_eq!(catalogue.groups.values().map(Vec::len).sum::<usize>(), 3_132);
        // The count that prices/README.md quotes.
        assert_eq!(catalogue.entries().len(), 6_206);
    }

    #[test]
    fn every_expression_compiles() {
        for provider in &Catalogue::vendored().providers {
            let clauses = provider.clause.iter().chain(&provider.model_match);
            for clause in clauses.chain(provider.models.iter().filter_map(|(_, clause)| clause.as_ref())) {
                assert_eq!(clause.broken(), Vec::<&str>::new(), "{}", provider.id);
            }
        }
    }

    #[test]
    fn rows_have_unique_keys_and_sane_rates() {
        let mut keys = BTreeSet::new();
        for e in Catalogue::vendored().entries() {
            assert!(!e.rates.is_empty());
            assert!(e.rates.all().iter().flatten().all(|&rate| rate >= 0));
            assert!(e.daily_utc.is_none_or(|(start, end)| start < end && end <= 86_400));
            let key =
                (&e.provider, &e.model, &e.service_tier, e.over_input_tokens, e.effective_from, e.daily_utc);
            assert!(keys.insert(key), "two rows for {key:?}");
        }
    }

    #[test]
    fn variants_inherit_what_they_do_not_name() {
        let rows = Catalogue::vendored().entries_of("openai", "o3");
        let batch = rows.iter().find(|e| e.service_tier == "batch").unwrap();
        assert_eq!((batch.rates.input, batch.rates.cache_read), (Some(1_000_000), Some(500_000)));
        assert_eq!(batch.rates.web_search, Some(10_000_000_000));
        let standard = rows.iter().filter(|e| e.service_tier == STANDARD_TIER).count();
        assert_eq!(standard, 2);
        assert!(rows.iter().any(|e| e.service_tier == "priority"));
    }
}
