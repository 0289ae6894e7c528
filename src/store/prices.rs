//! The catalogue in the ledger: bringing prices in, what reported names mean, pricing after the fact.

use super::open::lock_file;
use super::{Store, on_pool};
use crate::domain::{Timestamp, Usd};
use crate::error::{Error, Result};
use crate::pricing::{Catalogue, Origin, PriceEntry, Rates};
use serde_json::{Value, json};
use sqlx::FromRow;
use std::collections::BTreeMap;

/// Who acts, for the record: the operating system's user.
pub(super) fn who() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned())
}

/// A row of `model_price`.
#[derive(FromRow)]
pub(super) struct PriceRow {
    price_id: i64,
    origin: String,
    provider: String,
    model: String,
    service_tier: String,
    effective_from: Timestamp,
    daily_from: Option<i32>,
    daily_until: Option<i32>,
    revision: i64,
    #[sqlx(try_from = "i64")]
    over_input_tokens: u64,
    input_rate: Option<i64>,
    cache_read_rate: Option<i64>,
    cache_write_rate: Option<i64>,
    cache_write_long_rate: Option<i64>,
    output_rate: Option<i64>,
    reasoning_rate: Option<i64>,
    embedding_rate: Option<i64>,
    web_search_rate: Option<i64>,
    request_fee: Option<i64>,
    source: String,
}

impl TryFrom<PriceRow> for PriceEntry {
    type Error = Error;

    fn try_from(row: PriceRow) -> Result<Self> {
        let second = |s: Option<i32>| s.and_then(|s| u32::try_from(s).ok());
        Ok(PriceEntry {
            price_id: Some(row.price_id),
            origin: row.origin.parse()?,
            provider: row.provider,
            model: row.model,
            service_tier: row.service_tier,
            effective_from: row.effective_from,
            daily_utc: second(row.daily_from).zip(second(row.daily_until)),
            revision: row.revision,
            over_input_tokens: row.over_input_tokens,
            rates: Rates {
                input: row.input_rate,
                cache_read: row.cache_read_rate,
                cache_write: row.cache_write_rate,
                cache_write_long: row.cache_write_long_rate,
                output: row.output_rate,
                reasoning: row.reasoning_rate,
                embedding: row.embedding_rate,
                web_search: row.web_search_rate,
                request: row.request_fee,
            },
            source: row.source,
        })
    }
}

/// What was brought in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Rows written.
    pub written: usize,
    /// Rows that were there already, the same.
    pub unchanged: usize,
}

/// Which calls to price after the fact.
#[derive(Debug, Clone, Default)]
pub struct PriceScope {
    /// Also those that have a price.
    pub everything: bool,
    /// Called at or after.
    pub since: Option<Timestamp>,
    /// Called before.
    pub until: Option<Timestamp>,
    /// The provider as reported.
    pub provider: Option<String>,
    /// The model as reported.
    pub model: Option<String>,
}

impl PriceScope {
    /// Only calls without a price.
    #[must_use]
    pub fn unpriced() -> Self {
        Self::default()
    }
}

/// What pricing after the fact changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repriced {
    /// Calls whose price changed.
    pub calls: u64,
    /// What they cost before.
    pub before: Usd,
    /// What they cost now.
    pub after: Usd,
}

impl std::ops::AddAssign for Repriced {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.before += other.before;
        self.after += other.after;
    }
}

/// A reported name whose calls are unpriced.
#[derive(Debug, Clone, FromRow)]
pub struct MissingPrice {
    /// The provider as reported.
    pub provider: String,
    /// The model as reported.
    pub model: String,
    /// The service tier.
    pub service_tier: String,
    /// Its unpriced calls.
    #[sqlx(try_from = "i64")]
    pub llm_calls: u64,
    /// Those of them that report no usage.
    #[sqlx(try_from = "i64")]
    pub without_usage: u64,
    /// Their prompt tokens.
    #[sqlx(try_from = "i64")]
    pub llm_tokens_input: u64,
    /// Their generated tokens.
    #[sqlx(try_from = "i64")]
    pub llm_tokens_output: u64,
    /// Their embedded tokens.
    #[sqlx(try_from = "i64")]
    pub embedding_tokens: u64,
    /// The first of them.
    pub first_called_at: Timestamp,
    /// The last of them.
    pub last_called_at: Timestamp,
}

/// What a reported name means.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Alias {
    /// The provider as reported; `""` in a user's alias is any.
    pub provider: String,
    /// The model as reported.
    pub model: String,
    /// The entry's provider; none when the catalogue has no entry.
    pub target_provider: Option<String>,
    /// The entry's model.
    pub target_model: Option<String>,
    /// `user` or `catalogue`.
    pub origin: String,
}

/// What tells the prices of one model apart, but for the context threshold.
type PriceKey = (String, String, String, Timestamp, Option<(u32, u32)>);

fn key_of(entry: &PriceEntry) -> PriceKey {
    (
        entry.provider.clone(),
        entry.model.clone(),
        entry.service_tier.clone(),
        entry.effective_from,
        entry.daily_utc,
    )
}

/// The entries of each key at its highest revision. Thresholds belong together: a correction that drops
/// one must not leave the old one standing.
fn newest<'a>(
    entries: impl IntoIterator<Item = &'a PriceEntry>,
) -> BTreeMap<PriceKey, (i64, BTreeMap<u64, Rates>)> {
    let mut sheets: BTreeMap<PriceKey, (i64, BTreeMap<u64, Rates>)> = BTreeMap::new();
    for entry in entries {
        let sheet = sheets.entry(key_of(entry)).or_insert((entry.revision, BTreeMap::new()));
        if entry.revision > sheet.0 {
            *sheet = (entry.revision, BTreeMap::new());
        }
        if entry.revision == sheet.0 {
            sheet.1.insert(entry.over_input_tokens, entry.rates);
        }
    }
    sheets
}

impl Store {
    /// Price rows, every revision, narrowed by what is given.
    pub async fn prices(
        &self,
        provider: Option<&str>,
        model: Option<&str>,
        origin: Option<Origin>,
    ) -> Result<Vec<PriceEntry>> {
        let rows: Vec<PriceRow> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/price_list.sql"))
                .bind(provider)
                .bind(model)
                .bind(origin.map(Origin::code))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(PriceEntry::try_from).collect()
    }

    /// Reported names whose calls from `since` to `until` are unpriced, the most frequent first.
    pub async fn missing_prices(&self, since: Timestamp, until: Timestamp) -> Result<Vec<MissingPrice>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/price_missing.sql"))
            .bind(since)
            .bind(until)
            .fetch_all(pool)
            .await?))
    }

    /// What the names that were reported mean now, and what the user said of any.
    pub async fn aliases(&self) -> Result<Vec<Alias>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(
            "select a.provider, a.model, a.target_provider, a.target_model, a.origin
             from v_model_alias a
             left join (select distinct provider, model from spend_rollup) r
               on r.provider = a.provider and r.model = a.model
             where a.origin = 'user' or r.model is not null
             order by a.origin desc, a.provider, a.model"
        )
        .fetch_all(pool)
        .await?))
    }

    /// The version of the vendored catalogue in the ledger; none before it is loaded.
    pub async fn catalogue_version(&self) -> Result<Option<String>> {
        on_pool!(self, |pool| Ok(sqlx::query_scalar(
            "select name from price_catalogue where origin = 'vendored' order by revision desc limit 1"
        )
        .fetch_optional(pool)
        .await?))
    }

    /// Brings the catalogue of this program into the ledger, unless the ledger has it or a newer one. Of
    /// several processes that see it missing, one brings it in and the others wait for that.
    pub(super) async fn load_vendored_catalogue(&self) -> Result<()> {
        if self.has_vendored_catalogue().await?.is_some_and(|current| current) {
            return Ok(());
        }
        match self {
            Store::Sqlite(s) => {
                let _lock = lock_file(&s.path)?;
                self.load_if_missing().await
            }
            Store::Postgres(s) => {
                let mut lock = s.pool.begin().await?;
                sqlx::query(
                    "select pg_advisory_xact_lock(hashtext(current_schema()), hashtext('price_catalogue'))",
                )
                .execute(&mut *lock)
                .await?;
                let outcome = self.load_if_missing().await;
                lock.rollback().await?;
                outcome
            }
        }
    }

    /// Whether the vendored catalogue in the ledger is this program's or a newer one; none before one is
    /// loaded. Versions are dates, so that they sort as text.
    async fn has_vendored_catalogue(&self) -> Result<Option<bool>> {
        Ok(self.catalogue_version().await?.map(|version| version.as_str() >= Catalogue::VERSION))
    }

    async fn load_if_missing(&self) -> Result<()> {
        let had_one = match self.has_vendored_catalogue().await? {
            Some(true) => return Ok(()),
            older => older.is_some(),
        };
        self.push_prices(Origin::Vendored, Catalogue::VERSION, Catalogue::vendored().entries()).await?;
        self.answer_vendored_names().await?;
        if had_one {
            self.price_all_names().await?;
        }
        Ok(())
    }

    /// Writes the entries that are new or differ from what the ledger has of the same origin, all or none.
    pub async fn push_prices(&self, origin: Origin, name: &str, entries: &[PriceEntry]) -> Result<Pushed> {
        let name: String = name.chars().take(200).collect();
        let known = newest(&self.prices(None, None, Some(origin)).await?)
            .into_iter()
            .map(|(key, (_, sheet))| (key, sheet))
            .collect::<BTreeMap<_, _>>();
        let offered = newest(entries);
        let changed: BTreeMap<&PriceKey, i64> = offered
            .iter()
            .filter(|(key, (_, sheet))| known.get(key) != Some(sheet))
            .map(|(key, (revision, _))| (key, *revision))
            .collect();
        // An export also has the prices that a correction has replaced: only the newest of each is brought in.
        let rows: Vec<Value> =
            entries.iter().filter(|e| changed.get(&key_of(e)) == Some(&e.revision)).map(price_json).collect();
        let pushed = Pushed { written: rows.len(), unchanged: entries.len() - rows.len() };
        // What changes nothing is no act. The vendored catalogue's is kept: it says which version the ledger has.
        if rows.is_empty() && origin != Origin::Vendored {
            return Ok(pushed);
        }
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let rows = Value::from(rows);
        match self {
            Store::Postgres(s) => {
                let mut tx = s.pool.begin().await?;
                let revision: i64 = sqlx::query_scalar(
                    "insert into price_catalogue (origin, name, prices, recorded_by)
                     values ($1, $2, $3, $4)
                     returning revision",
                )
                .bind(origin.code())
                .bind(&name)
                .bind(count)
                .bind(who())
                .fetch_one(&mut *tx)
                .await?;
                sqlx::query(
                    "insert into model_price (
                       revision, origin, provider, model, service_tier, effective_from, daily_from, daily_until,
                       over_input_tokens, input_rate, cache_read_rate, cache_write_rate, cache_write_long_rate,
                       output_rate, reasoning_rate, embedding_rate, web_search_rate, request_fee, source)
                     select
                       $2, $3, provider, model, service_tier, to_timestamp(effective_from / 1000000.0), daily_from,
                       daily_until, over_input_tokens, input_rate, cache_read_rate, cache_write_rate,
                       cache_write_long_rate, output_rate, reasoning_rate, embedding_rate, web_search_rate,
                       request_fee, source
                     from jsonb_to_recordset($1) as j (
                       provider text, model text, service_tier text, effective_from bigint, daily_from integer,
                       daily_until integer, over_input_tokens bigint, input_rate bigint, cache_read_rate bigint,
                       cache_write_rate bigint, cache_write_long_rate bigint, output_rate bigint,
                       reasoning_rate bigint, embedding_rate bigint, web_search_rate bigint, request_fee bigint,
                       source text)",
                )
                .bind(rows)
                .bind(revision)
                .bind(origin.code())
                .execute(&mut *tx)
                .await?;
                tx.commit().await?;
            }
            Store::Sqlite(s) => {
                let mut tx = s.begin().await?;
                let revision: i64 = sqlx::query_scalar(
                    "insert into price_catalogue (origin, name, prices, recorded_at, recorded_by)
                     values ($1, $2, $3, $4, $5)
                     returning revision",
                )
                .bind(origin.code())
                .bind(&name)
                .bind(count)
                .bind(s.clock.now())
                .bind(who())
                .fetch_one(&mut *tx)
                .await?;
                sqlx::query(
                    "with j as materialized (select value from json_each($1))
                     insert into model_price (
                       revision, origin, provider, model, service_tier, effective_from, daily_from, daily_until,
                       over_input_tokens, input_rate, cache_read_rate, cache_write_rate, cache_write_long_rate,
                       output_rate, reasoning_rate, embedding_rate, web_search_rate, request_fee, source)
                     select
                       $2, $3, value ->> 'provider', value ->> 'model', value ->> 'service_tier',
                       value ->> 'effective_from', value ->> 'daily_from', value ->> 'daily_until',
                       value ->> 'over_input_tokens', value ->> 'input_rate', value ->> 'cache_read_rate',
                       value ->> 'cache_write_rate', value ->> 'cache_write_long_rate', value ->> 'output_rate',
                       value ->> 'reasoning_rate', value ->> 'embedding_rate', value ->> 'web_search_rate',
                       value ->> 'request_fee', value ->> 'source'
                     from j",
                )
                .bind(rows.to_string())
                .bind(revision)
                .bind(origin.code())
                .execute(&mut *tx)
                .await?;
                tx.commit().await?;
            }
        }
        Ok(pushed)
    }
}

fn price_json(entry: &PriceEntry) -> Value {
    let rates = &entry.rates;
    json!({
        "provider": entry.provider,
        "model": entry.model,
        "service_tier": entry.service_tier,
        "effective_from": entry.effective_from.micros(),
        "daily_from": entry.daily_utc.map(|d| d.0),
        "daily_until": entry.daily_utc.map(|d| d.1),
        "over_input_tokens": entry.over_input_tokens,
        "input_rate": rates.input,
        "cache_read_rate": rates.cache_read,
        "cache_write_rate": rates.cache_write,
        "cache_write_long_rate": rates.cache_write_long,
        "output_rate": rates.output,
        "reasoning_rate": rates.reasoning,
        "embedding_rate": rates.embedding,
        "web_search_rate": rates.web_search,
        "request_fee": rates.request,
        "source": entry.source,
    })
}
