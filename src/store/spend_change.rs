//! What a change of spend is explained by: the journal's calls, those together that are alike.

use super::spend::number;
use super::usage::UsageRow;
use super::{Filter, SpendBy, SpendKey, Store, on_pool};
use crate::domain::{Status, Timestamp, Usd, Window};
use crate::error::{Error, Result};
use crate::pricing::{AlikeCalls, CalledModel, PriceEntry};
use sqlx::FromRow;
use std::collections::{BTreeMap, HashMap};

/// What one agent (or pipeline, or model) spent in a range, as far as it can be explained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExplainedSpend {
    /// The priced calls of the journal.
    pub priced: Vec<AlikeCalls>,
    /// How many calls have no price; they are in no cost.
    pub unpriced_calls: u64,
    /// How many calls are archived, of which only their sums are known here.
    pub archived_calls: u64,
    /// What those cost.
    pub archived_cost: Usd,
}

impl ExplainedSpend {
    /// Every call, also those that nothing explains.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.priced_calls() + self.unpriced_calls + self.archived_calls
    }

    /// The calls in the journal that have a price.
    #[must_use]
    pub fn priced_calls(&self) -> u64 {
        self.priced.iter().map(|alike| alike.calls).sum()
    }
}

#[derive(FromRow)]
struct AlikeRow {
    pipeline: Option<String>,
    agent: Option<String>,
    provider: String,
    model: String,
    operation: String,
    service_tier: String,
    prompt: Option<String>,
    prompt_version: Option<i64>,
    price_id: Option<i64>,
    #[sqlx(try_from = "i64")]
    llm_calls: u64,
    #[sqlx(flatten)]
    usage: UsageRow,
    cost_pico: Usd,
}

#[derive(FromRow)]
struct ArchivedRow {
    pipeline: Option<String>,
    agent: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    #[sqlx(try_from = "i64")]
    llm_calls: u64,
    cost_pico: Usd,
}

impl Store {
    /// The calls of `window`, those together that are alike, by the dimensions of `by` other than the day.
    ///
    /// # Errors
    /// When the window cuts a quarter of an hour of which calls are archived, and when a sum of the journal is not
    /// what its prices say.
    pub async fn explained_spend(
        &self,
        window: &Window,
        by: SpendBy,
        filter: &Filter,
    ) -> Result<BTreeMap<SpendKey, ExplainedSpend>> {
        let mut spend: BTreeMap<SpendKey, ExplainedSpend> = BTreeMap::new();
        let mut prices: HashMap<i64, PriceEntry> = HashMap::new();
        for row in self.alike_rows(window, by, filter).await? {
            let key = SpendKey {
                day: None,
                pipeline: row.pipeline,
                agent: row.agent,
                provider: by.model.then(|| row.provider.clone()),
                model: by.model.then(|| row.model.clone()),
            };
            let one = spend.entry(key).or_default();
            let Some(price_id) = row.price_id else {
                one.unpriced_calls += row.llm_calls;
                continue;
            };
            let price = match prices.get(&price_id) {
                Some(price) => price.clone(),
                None => prices.entry(price_id).or_insert(self.price(price_id).await?).clone(),
            };
            let version = row.prompt_version.unwrap_or_default();
            let alike = AlikeCalls {
                model: CalledModel {
                    operation: row.operation,
                    provider: row.provider,
                    model: row.model,
                    service_tier: row.service_tier,
                },
                prompt: row.prompt.map(|name| format!("{name}@{version}")),
                price,
                calls: row.llm_calls,
                usage: row.usage.into(),
            };
            // What the price says must be what was recorded, or the parts would not add up to the ledger's sums.
            if alike.cost()? != row.cost_pico {
                return Err(Error::input(format!(
                    "calls of `{}` cost {} USD by their price {price_id}, and {} USD in the journal",
                    alike.model.model,
                    alike.cost()?,
                    row.cost_pico
                ))
                .hint("`asmm doctor` names the calls"));
            }
            one.priced.push(alike);
        }
        for row in self.archived_rows(window, by, filter).await? {
            let ArchivedRow { pipeline, agent, provider, model, llm_calls, cost_pico } = row;
            let one = spend.entry(SpendKey { day: None, pipeline, agent, provider, model }).or_default();
            one.archived_calls += llm_calls;
            one.archived_cost += cost_pico;
        }
        Ok(spend)
    }

    async fn alike_rows(&self, window: &Window, by: SpendBy, filter: &Filter) -> Result<Vec<AlikeRow>> {
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/spend_alike.sql"))
            .bind(window.since)
            .bind(window.until)
            .bind(by.pipeline)
            .bind(by.agent)
            .bind(&filter.pipeline)
            .bind(&filter.agent)
            .bind(&filter.provider)
            .bind(&filter.model)
            .bind(filter.status.map(Status::code))
            .fetch_all(pool)
            .await?))
    }

    async fn archived_rows(&self, window: &Window, by: SpendBy, filter: &Filter) -> Result<Vec<ArchivedRow>> {
        let (first, after) = (window.since.bucket(), first_bucket_after(window.until));
        self.check_uncut(&[window.since, window.until]).await?;
        on_pool!(self, |pool| Ok(sqlx::query_as(include_str!("../../queries/spend_archived.sql"))
            .bind(number(first))
            .bind(number(after))
            .bind(by.pipeline)
            .bind(by.agent)
            .bind(by.model)
            .bind(&filter.pipeline)
            .bind(&filter.agent)
            .bind(&filter.provider)
            .bind(&filter.model)
            .bind(filter.status.map(Status::code))
            .fetch_all(pool)
            .await?))
    }
}

/// The first bucket that begins at `until` or later.
fn first_bucket_after(until: Timestamp) -> i64 {
    until.next_bucket_start().bucket()
}
