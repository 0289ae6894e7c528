//! What is recorded and what was billed, side by side.
//!
//! Both are told apart by UTC day, provider and model. The provider is the catalogue's for the reported name, for whose invoice it is matters,
//! not whose price: `azure` is not `openai`. The model is that of the price entry that the name means, else the name itself.

use crate::domain::{ProviderLine, ProviderReport, Timestamp, Usd};
use crate::pricing::{Catalogue, EntryKey};
use crate::store::{KnownBucket, ProviderDay, SpendKey, Totals};
use chrono::NaiveDate;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::super::columns::known_cost;
use super::super::super::context::counted;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;
/// What the parts of an `OpenAI` line item are called that follow the model.
const PIECES: [&str; 5] = ["input", "output", "cached input", "cache write", "cache writes"];
/// The most days that a note names.
const NAMED_DAYS: usize = 3;

/// Two numbers to set against each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<T> {
    pub(super) billed: T,
    pub(super) recorded: T,
}

/// What a provider says; none is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct Billed {
    pub(super) cost: Option<Usd>,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) embedding: Option<u64>,
    pub(super) requests: Option<u64>,
}

impl Billed {
    /// The tokens, as far as they are known.
    pub(super) fn tokens(&self) -> Option<u64> {
        plus(plus(self.input, self.output), self.embedding)
    }

    fn add(&mut self, other: &Self) {
        self.cost = match (self.cost, other.cost) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.input = plus(self.input, other.input);
        self.output = plus(self.output, other.output);
        self.embedding = plus(self.embedding, other.embedding);
        self.requests = plus(self.requests, other.requests);
    }
}

fn plus(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    }
}

/// One row.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) day: Option<i64>,
    pub(super) provider: Option<String>,
    pub(super) model: Option<String>,
    /// What is billed, where it is no model.
    pub(super) item: Option<String>,
    pub(super) billed: Billed,
    pub(super) recorded: Totals,
    pub(super) billed_names: BTreeSet<String>,
    pub(super) recorded_names: BTreeSet<String>,
    /// The costs that can be compared.
    pub(super) cost: Option<Pair<Usd>>,
    /// The tokens that can be compared.
    pub(super) tokens: Option<Pair<u64>>,
}

impl Line {
    /// What stands in the place of the model, for people.
    pub(super) fn label(&self) -> String {
        let named = self.model.clone().or_else(|| self.item.clone());
        named.unwrap_or_else(|| "(not by model)".to_owned())
    }

    fn add(&mut self, atom: &Atom, by_model: bool) {
        self.billed.add(&atom.billed);
        self.recorded += atom.recorded;
        self.billed_names.extend(atom.billed_names.iter().cloned());
        self.recorded_names.extend(atom.recorded_names.iter().cloned());
        let (cost, tokens) =
            if by_model { (atom.cost, atom.tokens) } else { (atom.day_cost, atom.day_tokens) };
        if let Some(pair) = cost {
            let sum = self.cost.get_or_insert(Pair { billed: Usd::ZERO, recorded: Usd::ZERO });
            sum.billed += pair.billed;
            sum.recorded += pair.recorded;
        }
        if let Some(pair) = tokens {
            let sum = self.tokens.get_or_insert(Pair { billed: 0, recorded: 0 });
            sum.billed = sum.billed.saturating_add(pair.billed);
            sum.recorded = sum.recorded.saturating_add(pair.recorded);
        }
    }
}

/// Day, provider, whether it is not by model, model, line item.
type Key = (i64, String, bool, Option<String>, Option<String>);

/// What is known of one model on one day.
#[derive(Default)]
struct Atom {
    billed: Billed,
    recorded: Totals,
    billed_names: BTreeSet<String>,
    recorded_names: BTreeSet<String>,
    /// What can be compared by itself …
    cost: Option<Pair<Usd>>,
    tokens: Option<Pair<u64>>,
    /// … and what can be as a part of its day: there it does not matter of which model a cost is.
    day_cost: Option<Pair<Usd>>,
    day_tokens: Option<Pair<u64>>,
}

/// What a provider's export of a kind says of a day.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not exclude each other")]
struct Told {
    /// Whether it was imported.
    is_known: bool,
    /// Whether a line names a model, and whether one names nothing.
    has_named: bool,
    has_unnamed: bool,
    has_lines: bool,
}

impl Told {
    /// Whether a model of which it says nothing was not used.
    fn is_by_model(&self) -> bool {
        self.is_known && !self.has_unnamed && (self.has_named || !self.has_lines)
    }
}

/// The kinds of export, as far as they say different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cost,
    Llm,
    Embedding,
}

impl From<ProviderReport> for Kind {
    fn from(report: ProviderReport) -> Self {
        match report {
            ProviderReport::Costs => Self::Cost,
            ProviderReport::Completions | ProviderReport::Messages => Self::Llm,
            ProviderReport::Embeddings => Self::Embedding,
        }
    }
}

/// Both sides.
pub(super) struct Sides {
    atoms: BTreeMap<Key, Atom>,
    told: BTreeMap<(i64, String, Kind), Told>,
    /// Reports that cover only a part of a day.
    in_part: BTreeMap<(String, ProviderReport), Vec<i64>>,
}

/// The model that a line of an export names: its own, or that of a line item such as `gpt-4o-2024-08-06, cached input`.
pub(super) fn billed_name(line: &ProviderLine) -> Option<&str> {
    line.model.as_deref().or_else(|| {
        let item = line.line_item.as_deref()?;
        let item = item.rsplit_once(" | ").map_or(item, |(_, rest)| rest);
        let (model, pieces) = item.split_once(", ")?;
        let is_piece = pieces.split(", ").any(|piece| PIECES.contains(&piece));
        model.split_whitespace().next().filter(|_| is_piece)
    })
}

/// On whose invoice the calls at a reported provider are.
fn account(provider: &str, entry: Option<&EntryKey>) -> String {
    let known = Catalogue::vendored().provider_id(provider);
    known.or_else(|| entry.map(|entry| entry.provider.as_str())).unwrap_or(provider).to_owned()
}

impl Sides {
    pub(super) fn new(
        entries: &HashMap<(String, String), EntryKey>,
        recorded: &BTreeMap<SpendKey, Totals>,
        billed: &[ProviderDay],
        buckets: &[KnownBucket],
        provider: Option<&str>,
    ) -> Self {
        let only = provider.map(|provider| account(provider, None));
        let is_asked = |of: &str| only.as_deref().is_none_or(|only| only == of);
        let mut sides = Self { atoms: BTreeMap::new(), told: BTreeMap::new(), in_part: BTreeMap::new() };
        for (key, totals) in recorded {
            let (provider, model) =
                (key.provider.clone().unwrap_or_default(), key.model.clone().unwrap_or_default());
            let entry = entries.get(&(provider.clone(), model.clone()));
            let of = account(&provider, entry);
            let Some(day) = key.day.filter(|_| is_asked(&of)) else { continue };
            let day = (day - NaiveDate::default()).num_days();
            let name = entry.map_or_else(|| model.clone(), |entry| entry.model.clone());
            let atom = sides.atoms.entry((day, of, false, Some(name), None)).or_default();
            atom.recorded += *totals;
            atom.recorded_names.insert(model);
        }
        for bucket in buckets.iter().filter(|bucket| is_asked(&account(&bucket.provider, None))) {
            let key = (bucket.day, account(&bucket.provider, None), Kind::from(bucket.report));
            sides.told.entry(key).or_default().is_known = true;
        }
        for day in billed.iter().filter(|day| is_asked(&account(&day.provider, None))) {
            sides.bill(day, entries);
        }
        sides.find_parts(buckets, is_asked);
        sides.compare();
        sides
    }

    fn bill(&mut self, day: &ProviderDay, entries: &HashMap<(String, String), EntryKey>) {
        let (of, line) = (account(&day.provider, None), &day.line);
        let told = self.told.entry((day.day, of.clone(), day.report.into())).or_default();
        told.has_lines = true;
        let name = billed_name(line);
        told.has_named |= name.is_some();
        told.has_unnamed |= name.is_none() && line.line_item.is_none();
        let key = match name {
            Some(name) => {
                let entry = entries.get(&(day.provider.clone(), name.to_owned()));
                let model = entry.map_or_else(|| name.to_owned(), |entry| entry.model.clone());
                (day.day, of, false, Some(model), None)
            }
            None => (day.day, of, true, None, line.line_item.clone()),
        };
        let atom = self.atoms.entry(key).or_default();
        atom.billed_names.extend(name.map(str::to_owned));
        let input = plus(
            plus(line.input_tokens, line.cache_read_tokens),
            plus(line.cache_write_tokens, line.cache_write_long_tokens),
        );
        atom.billed.add(&Billed {
            cost: line.billed,
            input,
            output: line.llm_tokens_output,
            embedding: line.embedding_tokens,
            requests: line.requests,
        });
    }

    /// Notes which reports are of a part of a day only.
    fn find_parts(&mut self, buckets: &[KnownBucket], is_asked: impl Fn(&str) -> bool) {
        let mut covered: BTreeMap<(String, ProviderReport, i64), i64> = BTreeMap::new();
        for bucket in buckets {
            let of = account(&bucket.provider, None);
            if is_asked(&of) {
                *covered.entry((of, bucket.report, bucket.day)).or_default() +=
                    bucket.ends_at.micros() - bucket.starts_at.micros();
            }
        }
        for ((of, report, day), micros) in covered {
            if micros < DAY_MICROS {
                self.in_part.entry((of, report)).or_default().push(day);
            }
        }
    }

    /// Sets against each other what can be.
    fn compare(&mut self) {
        let none = Told::default();
        for ((day, of, is_not_by_model, ..), atom) in &mut self.atoms {
            let told = |kind| self.told.get(&(*day, of.clone(), kind)).unwrap_or(&none);
            let (cost, llm, embedding) = (told(Kind::Cost), told(Kind::Llm), told(Kind::Embedding));
            let recorded = &atom.recorded;
            let (llm_recorded, embedded) =
                (recorded.llm_tokens_input() + recorded.llm_tokens_output(), recorded.embedding_tokens);
            let llm_billed = plus(atom.billed.input, atom.billed.output);
            if cost.is_known {
                let billed = atom.billed.cost.unwrap_or_default();
                atom.day_cost = Some(Pair { billed, recorded: recorded.cost });
            }
            let known = [
                (llm.is_known, llm_billed, llm_recorded),
                (embedding.is_known, atom.billed.embedding, embedded),
            ];
            for (_, billed, recorded) in known.into_iter().filter(|(is_known, ..)| *is_known) {
                let sum = atom.day_tokens.get_or_insert(Pair { billed: 0, recorded: 0 });
                sum.billed = sum.billed.saturating_add(billed.unwrap_or(0));
                sum.recorded += recorded;
            }
            if *is_not_by_model {
                continue;
            }
            // A model of which the export says nothing was not billed, if it tells models apart.
            if cost.is_by_model() {
                atom.billed.cost.get_or_insert(Usd::ZERO);
            }
            if llm.is_by_model() && (llm_recorded > 0 || embedded == 0) {
                atom.billed.input.get_or_insert(0);
                atom.billed.output.get_or_insert(0);
            }
            if embedding.is_by_model() && embedded > 0 {
                atom.billed.embedding.get_or_insert(0);
            }
            let pair = atom.billed.cost.zip(known_cost(recorded));
            atom.cost = pair.map(|(billed, recorded)| Pair { billed, recorded });
            let is_missing = llm_recorded > 0 && atom.billed.input.is_none()
                || embedded > 0 && atom.billed.embedding.is_none();
            let billed = atom.billed.tokens().filter(|_| !is_missing);
            atom.tokens = billed.map(|billed| Pair { billed, recorded: llm_recorded + embedded });
        }
    }

    /// The rows, in the order of days, providers and models.
    pub(super) fn lines(&self, by_day: bool, by_model: bool) -> Vec<Line> {
        let mut lines: BTreeMap<Key, Line> = BTreeMap::new();
        for ((day, of, is_not_by_model, model, item), atom) in &self.atoms {
            let day = if by_day { *day } else { 0 };
            let (is_not_by_model, model, item) =
                if by_model { (*is_not_by_model, model.clone(), item.clone()) } else { (false, None, None) };
            let line = lines
                .entry((day, of.clone(), is_not_by_model, model.clone(), item.clone()))
                .or_insert_with(|| Line {
                    day: by_day.then_some(day),
                    provider: Some(of.clone()),
                    model,
                    item,
                    ..Line::default()
                });
            line.add(atom, by_model);
        }
        lines.into_values().collect()
    }

    /// The sum of all. What is in it is compared by day, so that costs which are not by model count too.
    pub(super) fn total(&self) -> Line {
        let mut total = Line::default();
        self.atoms.values().for_each(|atom| total.add(atom, false));
        total
    }

    /// What a reader of the sums must know.
    pub(super) fn notes(&self, now: Timestamp) -> Vec<String> {
        let mut notes = Vec::new();
        let mut without: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        let mut unnamed: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for ((day, of, ..), atom) in &self.atoms {
            let told = self.told.get(&(*day, of.clone(), Kind::Cost));
            if atom.recorded.llm_calls > 0 && told.is_none_or(|told| !told.is_known) {
                without.entry(of.as_str()).or_default().insert(*day);
            }
            if told.is_some_and(|told| told.is_known && told.has_unnamed) {
                unnamed.entry(of.as_str()).or_default().insert(*day);
            }
        }
        for (of, days) in without {
            let of = if of.is_empty() { "calls without a provider" } else { of };
            notes.push(format!("no costs of {of} for {}: not in the difference", listed(&days, now)));
        }
        for (of, days) in unnamed {
            notes.push(format!("the costs of {of} are not by model for {}", listed(&days, now)));
        }
        for ((of, report), days) in &self.in_part {
            let days = days.iter().copied().collect();
            notes.push(format!("the {report} of {of} are of a part of the day for {}", listed(&days, now)));
        }
        notes
    }
}

/// Days in words; few are named.
fn listed(days: &BTreeSet<i64>, now: Timestamp) -> String {
    let today = now.seconds().div_euclid(86_400);
    let named: Vec<String> = days
        .iter()
        .filter_map(|day| {
            let text = super::day(*day)?.to_string();
            Some(if *day == today { format!("{text} (today)") } else { text })
        })
        .collect();
    if named.len() <= NAMED_DAYS { named.join(", ") } else { counted(named.len(), "day", "days") }
}
