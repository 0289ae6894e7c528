//! A change of spend in a sentence.

use super::explain::Line;
use crate::domain::{TokenKind, Usd};
use crate::pricing::{AlikeCalls, CalledModel, Effects};
use crate::report::number::thousands;
use crate::report::shown_usd;
use crate::store::ExplainedSpend;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// `researcher: +$3.20: +$2.10 more calls (120 → 210), +$1.10 prompt versions (enrichment/researcher@3 → @4)`. Amounts
/// are rounded as in a column whose largest is `largest`.
pub(super) fn sentence(line: &Line, before: &ExplainedSpend, after: &ExplainedSpend, largest: Usd) -> String {
    let key = &line.key;
    let names = [&key.pipeline, &key.agent, &key.model].into_iter().flatten();
    let name = names.map(String::as_str).find(|name| !name.is_empty()).unwrap_or("calls without a name");
    let (Some(effects), Some(change)) = (line.effects, line.change()) else {
        let is_now = line.after.calls > 0 && line.after.unpriced_calls == line.after.calls;
        return format!(
            "{name}: not known, for no call had a price {}",
            if is_now { "now" } else { "before" }
        );
    };
    let mut parts = parts(&effects, before, after);
    if line.unexplained != Usd::ZERO {
        parts.push((line.unexplained, "archived calls, which are not told apart".to_owned()));
    }
    parts.sort_by_key(|(amount, _)| std::cmp::Reverse(amount.pico().unsigned_abs()));
    let state = match (line.before.calls, line.after.calls) {
        (0, _) => " (new)",
        (_, 0) => " (gone)",
        _ => "",
    };
    let amount = |usd: Usd| shown_usd(usd, largest, true);
    match parts.as_slice() {
        [] => format!("{name}{state}: no change"),
        [(whole, why)] => format!("{name}{state}: {} {why}", amount(*whole)),
        several => {
            let parts: Vec<String> =
                several.iter().map(|(part, why)| format!("{} {why}", amount(*part))).collect();
            format!("{name}{state}: {}: {}", amount(change), parts.join(", "))
        }
    }
}

/// The parts that are anything, each with its reason.
fn parts(effects: &Effects, before: &ExplainedSpend, after: &ExplainedSpend) -> Vec<(Usd, String)> {
    let (old, new) = (before.priced.as_slice(), after.priced.as_slice());
    let calls = (before.priced_calls(), after.priced_calls());
    let more = |amount: Usd, more: &'static str, fewer: &'static str| {
        if amount > Usd::ZERO { more } else { fewer }
    };
    let volume = more(effects.volume, "more calls", "fewer calls");
    let volume =
        format!("{volume} ({} → {})", thousands(&calls.0.to_string()), thousands(&calls.1.to_string()));
    let models = named(
        more(effects.models, "dearer models", "cheaper models"),
        shift(old, new, |alike| Some(called(alike, old, new))),
    );
    let prompts = named("prompt versions", shift(old, new, |alike| alike.prompt.clone()).map(short));
    let tokens = tokens(effects.tokens, (old, calls.0), (new, calls.1));
    let prices = named(
        more(effects.prices, "dearer prices", "cheaper prices"),
        repriced(old, new).map(|name| name.join(", ")),
    );
    let parts = [
        (effects.volume, volume),
        (effects.models, models),
        (effects.prompts, prompts),
        (effects.tokens, tokens),
        (effects.prices, prices),
    ];
    parts.into_iter().filter(|(amount, _)| *amount != Usd::ZERO).collect()
}

fn named(what: &str, which: Option<String>) -> String {
    which.map_or_else(|| what.to_owned(), |which| format!("{what} ({which})"))
}

/// The model, with its service tier or provider where only they differ.
fn called(alike: &AlikeCalls, old: &[AlikeCalls], new: &[AlikeCalls]) -> String {
    let all = || old.iter().chain(new).map(|other| &other.model);
    let model = &alike.model;
    let same = |other: &&CalledModel| other.model == model.model;
    if all().filter(same).any(|other| other.service_tier != model.service_tier) {
        return format!("{} {}", model.model, model.service_tier);
    }
    if all().filter(same).any(|other| other.provider != model.provider) {
        return format!("{}/{}", model.provider, model.model);
    }
    model.model.clone()
}

/// What lost the most of its share of the calls, and what won the most: `gpt-4o-mini → gpt-4o`.
fn shift(
    old: &[AlikeCalls],
    new: &[AlikeCalls],
    name: impl Fn(&AlikeCalls) -> Option<String>,
) -> Option<String> {
    let mut calls: BTreeMap<Option<String>, (i128, i128)> = BTreeMap::new();
    let (mut all_old, mut all_new) = (0, 0);
    for alike in old {
        calls.entry(name(alike)).or_default().0 += i128::from(alike.calls);
        all_old += i128::from(alike.calls);
    }
    for alike in new {
        calls.entry(name(alike)).or_default().1 += i128::from(alike.calls);
        all_new += i128::from(alike.calls);
    }
    let share = |(old, new): (i128, i128)| (new * all_old).cmp(&(old * all_new));
    let weight = |(old, new): (i128, i128)| (new * all_old - old * all_new).abs();
    let most = |way: Ordering| {
        let moved = calls.iter().filter(|(_, calls)| share(**calls) == way);
        moved.max_by_key(|(_, calls)| weight(**calls)).map(|(name, _)| name.clone())
    };
    let shown = |name: Option<String>| name.unwrap_or_else(|| "none".to_owned());
    Some(format!("{} → {}", shown(most(Ordering::Less)?), shown(most(Ordering::Greater)?)))
}

/// `enrichment/researcher@3 → @4` instead of the name twice.
fn short(shift: String) -> String {
    let Some((from, to)) = shift.split_once(" → ") else { return shift };
    match (from.rsplit_once('@'), to.rsplit_once('@')) {
        (Some((old, _)), Some((new, version))) if old == new => format!("{from} → @{version}"),
        _ => shift,
    }
}

/// The mean tokens of a call, where they say the same as the effect.
fn tokens(
    effect: Usd,
    (old, calls_old): (&[AlikeCalls], u64),
    (new, calls_new): (&[AlikeCalls], u64),
) -> String {
    let (word, way) =
        if effect > Usd::ZERO { ("more", Ordering::Greater) } else { ("fewer", Ordering::Less) };
    let mean = |alike: &[AlikeCalls], calls: u64| {
        let kinds = TokenKind::ALL.into_iter().filter(|&kind| kind != TokenKind::WebSearches);
        let of = |one: &AlikeCalls| kinds.clone().map(|kind| u128::from(one.usage.of(kind))).sum::<u128>();
        alike.iter().map(of).sum::<u128>().checked_div(u128::from(calls))
    };
    match (mean(old, calls_old), mean(new, calls_new)) {
        (Some(old), Some(new)) if new.cmp(&old) == way => {
            let (old, new) = (thousands(&old.to_string()), thousands(&new.to_string()));
            format!("{word} tokens per call ({old} → {new})")
        }
        // The mean moved by models and prompts as well; or it is the kinds of tokens that did.
        _ => "tokens per call".to_owned(),
    }
}

/// The models that had another price than before, for prompts of the same length and times of the same day.
fn repriced(old: &[AlikeCalls], new: &[AlikeCalls]) -> Option<Vec<String>> {
    let slot = |alike: &AlikeCalls| (alike.price.over_input_tokens, alike.price.daily_utc);
    let other = new.iter().filter(|alike| {
        let mut same = old.iter().filter(|other| other.model == alike.model && slot(other) == slot(alike));
        same.any(|other| other.price.rates != alike.price.rates)
    });
    let names: BTreeSet<&str> = other.map(|alike| alike.model.model.as_str()).collect();
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if names.len() > 2 {
        let more = names.len() - 2;
        names.truncate(2);
        names.push(format!("{more} more"));
    }
    (!names.is_empty()).then_some(names)
}
