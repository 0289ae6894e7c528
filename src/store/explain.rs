//! Which price entry is behind a call, and why a call has none.

use super::prices::PriceRow;
use super::{Store, on_pool};
use crate::domain::Call;
use crate::error::{Error, Result};
use crate::pricing::{EntryKey, PriceEntry, select};

/// Why a call has no price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyUnpriced {
    /// It reports no usage.
    NoUsage,
    /// Nothing in the catalogue has its name.
    UnknownName,
    /// The entry has no price for its service tier at its time.
    NoPriceThen(EntryKey),
    /// The entry lacks a rate for a kind it used.
    NoRate(EntryKey),
}

impl Store {
    /// The price row with this id.
    pub async fn price(&self, price_id: i64) -> Result<PriceEntry> {
        let row: Option<PriceRow> = on_pool!(self, |pool| {
            sqlx::query_as("select * from model_price where price_id = $1")
                .bind(price_id)
                .fetch_optional(pool)
                .await?
        });
        row.ok_or_else(|| Error::not_found(format!("price {price_id} is not in the catalogue")))?.try_into()
    }

    /// Why `call`, which is unpriced, has no price by the catalogue of now.
    pub async fn why_unpriced(&self, call: &Call) -> Result<WhyUnpriced> {
        let Some(usage) = call.usage else { return Ok(WhyUnpriced::NoUsage) };
        let target: Option<(Option<String>, Option<String>)> = on_pool!(self, |pool| {
            sqlx::query_as(include_str!("../../queries/name_target.sql"))
                .bind(&call.provider)
                .bind(&call.model)
                .fetch_optional(pool)
                .await?
        });
        let Some((Some(provider), Some(model))) = target else { return Ok(WhyUnpriced::UnknownName) };
        let entries = self.prices(Some(&provider), Some(&model), None).await?;
        let entry = select(&entries, &call.service_tier, call.called_at, usage.whole_input());
        let key = EntryKey { provider, model };
        Ok(if entry.is_some() { WhyUnpriced::NoRate(key) } else { WhyUnpriced::NoPriceThen(key) })
    }
}
