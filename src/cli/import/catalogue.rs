//! The prices, aliases and prompts that a native export carries beside its events.

use super::in_one_line;
use crate::domain::{Digest, Timestamp};
use crate::error::{Error, ErrorKind, Result, without_value};
use crate::intake::Complaints;
use crate::pricing::{EntryKey, Origin, PriceEntry, Rates};
use crate::recorder::Door;
use crate::store::{LabelMove, NewVersion, Store, VersionEntry};
use serde::Deserialize;

/// A `price` line, as `asmm export jsonl` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceLine {
    #[serde(rename = "type")]
    _kind: String,
    origin: String,
    provider: String,
    model: String,
    service_tier: String,
    over_input_tokens: u64,
    effective_from: Timestamp,
    daily_utc: Option<(u32, u32)>,
    rates_pico: RatesLine,
    revision: i64,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesLine {
    input: Option<i64>,
    cache_read: Option<i64>,
    cache_write: Option<i64>,
    cache_write_long: Option<i64>,
    output: Option<i64>,
    reasoning: Option<i64>,
    embedding: Option<i64>,
    web_search: Option<i64>,
    request: Option<i64>,
}

/// An `alias` line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasLine {
    #[serde(rename = "type")]
    _kind: String,
    provider: String,
    model: String,
    target_provider: Option<String>,
    target_model: Option<String>,
}

/// A `prompt_version` line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionLine {
    #[serde(rename = "type")]
    _kind: String,
    prompt: String,
    version: u32,
    digest: Digest,
    description: String,
    created_at: Timestamp,
    created_by: String,
    git_commit: Option<String>,
    content: String,
    source: String,
}

/// A `prompt_label` line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelLine {
    #[serde(rename = "type")]
    _kind: String,
    prompt: String,
    label: String,
    version: u32,
    moved_at: Timestamp,
    moved_by: String,
}

/// Applies the lines that are no events; says how many changed something. One of an unknown type is a
/// complaint: a later version may have written it.
pub(super) async fn apply(
    (store, door): (&Store, &mut Door),
    file: &str,
    lines: Vec<(u64, String, String)>,
    complaints: &mut Complaints,
) -> Result<usize> {
    let mut prices: Vec<(Origin, Vec<PriceEntry>)> = vec![(Origin::Imported, vec![]), (Origin::User, vec![])];
    let mut aliases = Vec::new();
    let mut changed = 0;
    for (line, kind, json) in lines {
        let outcome = match kind.as_str() {
            "price" => read_price(&json).map(|price| {
                prices
                    .iter_mut()
                    .filter(|(origin, _)| *origin == price.origin)
                    .for_each(|(_, all)| all.push(price.clone()));
            }),
            "alias" => read_alias(&json).map(|alias| aliases.push((line, alias))),
            "prompt_version" => apply_version(store, door, &json).await.map(|new| changed += usize::from(new)),
            "prompt_label" => apply_label(store, &json).await.map(|new| changed += usize::from(new)),
            other => Err(Error::input(format!("`type` is `{other}`"))
                .hint("it is run, step, call, archived_calls, prompt, finish, finish_step, guard, price, alias, prompt_version or prompt_label")),
        };
        if let Err(error) = outcome {
            if error.kind() == ErrorKind::Ledger || error.kind() == ErrorKind::Database {
                return Err(error);
            }
            complaints.add(file, line, in_one_line(&error));
        }
    }
    for (origin, entries) in &prices {
        if !entries.is_empty() {
            changed += store.push_prices(*origin, file, entries).await?.written;
        }
    }
    let known = if aliases.is_empty() { Vec::new() } else { store.aliases().await? };
    for (line, alias) in aliases {
        let target = alias.target_provider.zip(alias.target_model).map(|(p, m)| EntryKey::new(p, m));
        let same = known.iter().any(|a| {
            a.origin == "user"
                && (&a.provider, &a.model) == (&alias.provider, &alias.model)
                && a.target_provider.as_deref() == target.as_ref().map(|t| t.provider.as_str())
                && a.target_model.as_deref() == target.as_ref().map(|t| t.model.as_str())
        });
        if same {
            continue;
        }
        match store.set_alias(&alias.provider, &alias.model, target.as_ref()).await {
            Ok(_) => changed += 1,
            Err(error) => complaints.add(file, line, in_one_line(&error)),
        }
    }
    Ok(changed)
}

fn wrong(error: &serde_json::Error) -> Error {
    Error::input(format!("the line is not one of `asmm export jsonl`: {}", without_value(&error.to_string())))
}

fn read_price(json: &str) -> Result<PriceEntry> {
    let line: PriceLine = serde_json::from_str(json).map_err(|e| wrong(&e))?;
    let rates = line.rates_pico;
    let entry = PriceEntry {
        provider: line.provider,
        model: line.model,
        service_tier: line.service_tier,
        over_input_tokens: line.over_input_tokens,
        effective_from: line.effective_from,
        daily_utc: line.daily_utc,
        rates: Rates {
            input: rates.input,
            cache_read: rates.cache_read,
            cache_write: rates.cache_write,
            cache_write_long: rates.cache_write_long,
            output: rates.output,
            reasoning: rates.reasoning,
            embedding: rates.embedding,
            web_search: rates.web_search,
            request: rates.request,
        },
        source: line.source,
        origin: line.origin.parse()?,
        revision: line.revision,
        price_id: None,
    };
    if entry.rates.all().iter().flatten().any(|rate| *rate < 0) || entry.rates.is_empty() {
        return Err(Error::input("a price is negative, or there is none"));
    }
    if entry.origin == Origin::Vendored {
        return Err(Error::input("`origin` is vendored").hint("those prices come with the program"));
    }
    Ok(entry)
}

fn read_alias(json: &str) -> Result<AliasLine> {
    serde_json::from_str(json).map_err(|e| wrong(&e))
}

async fn apply_version(store: &Store, door: &mut Door, json: &str) -> Result<bool> {
    let line: VersionLine = serde_json::from_str(json).map_err(|e| wrong(&e))?;
    let entry = VersionEntry {
        prompt_version_id: 0,
        name: line.prompt,
        version: line.version,
        digest: line.digest,
        description: line.description.clone(),
        created_at: line.created_at,
        created_by: line.created_by,
        git_commit: line.git_commit,
    };
    let new = NewVersion {
        name: entry.name.clone(),
        description: line.description,
        digest: line.digest,
        content: line.content,
        source: line.source,
    };
    door.check_version(&new)?;
    store.copy_version(&entry, &new).await
}

async fn apply_label(store: &Store, json: &str) -> Result<bool> {
    let line: LabelLine = serde_json::from_str(json).map_err(|e| wrong(&e))?;
    let moved = LabelMove {
        name: line.prompt,
        label: line.label,
        prompt_version_id: 0,
        version: line.version,
        moved_at: line.moved_at,
        moved_by: line.moved_by,
    };
    store.copy_label_move(&moved).await
}
