//! One charge as a row of FOCUS 1.3 (<https://focus.finops.org/focus-specification/v1-3/>).

use crate::domain::{Timestamp, TokenKind, Usd, Window};
use crate::error::{Error, Result};
use crate::pricing::{Charge, ExplainLine, PriceEntry, explain};
use crate::report::{Cell, SheetColumn, SheetKind};
use crate::store::{ChargeKey, ChargeTotals};
use chrono::{Datelike, Months, NaiveDate, NaiveTime};
use serde_json::{Map, json};

/// Whom the charges are for.
pub(super) struct Account {
    pub id: String,
}

/// The columns, in the order of [`rows_of`].
pub(super) fn columns() -> Vec<SheetColumn> {
    let text = |name| SheetColumn::new(SheetKind::Text, name);
    let usd = |name| SheetColumn::new(SheetKind::Usd, name);
    let time = |name| SheetColumn::new(SheetKind::Time, name);
    let count = |name| SheetColumn::new(SheetKind::Count, name);
    vec![
        usd("BilledCost"),
        text("BillingAccountId"),
        text("BillingAccountName"),
        text("BillingCurrency"),
        time("BillingPeriodEnd"),
        time("BillingPeriodStart"),
        text("ChargeCategory"),
        text("ChargeClass").or_unknown(),
        text("ChargeDescription"),
        text("ChargeFrequency"),
        time("ChargePeriodEnd"),
        time("ChargePeriodStart"),
        count("ConsumedQuantity"),
        text("ConsumedUnit"),
        usd("ContractedCost"),
        usd("ContractedUnitPrice"),
        usd("EffectiveCost"),
        text("HostProviderName"),
        text("InvoiceIssuerName"),
        usd("ListCost"),
        usd("ListUnitPrice"),
        text("PricingCategory"),
        count("PricingQuantity"),
        text("PricingUnit"),
        text("ProviderName"),
        text("PublisherName"),
        text("RegionId").or_unknown(),
        text("RegionName").or_unknown(),
        text("ResourceId"),
        text("ResourceName"),
        text("ResourceType"),
        text("ServiceCategory"),
        text("ServiceName"),
        text("ServiceProviderName"),
        text("ServiceSubcategory"),
        text("SkuId"),
        text("SkuMeter"),
        text("SkuPriceDetails"),
        text("SkuPriceId"),
        text("Tags"),
        text("x_PriceOrigin"),
    ]
}

/// The rows of what was charged to `key` in a day: one for each kind of token, and one for fees per request.
///
/// # Errors
/// When they do not add up to what the ledger says: then somebody changed it past its triggers.
pub(super) fn rows_of(
    account: &Account,
    day: NaiveDate,
    period: &Window,
    key: &ChargeKey,
    totals: &ChargeTotals,
    entry: &PriceEntry,
) -> Result<Vec<Vec<Cell>>> {
    let mut rows = Vec::new();
    let mut cost = Usd::ZERO;
    for line in explain(&totals.usage, entry)? {
        let line = of_all_calls(line, totals.calls);
        let (Some(rate), Some(amount)) = (line.rate_pico, line.amount) else {
            return Err(broken(key, &totals.cost, "no price for a kind of token"));
        };
        cost += amount;
        // A price list that has no fee per request says so by a fee of 0.
        if line.charge != Charge::Request || rate != 0 {
            rows.push(row(account, day, period, key, entry, &line, Usd::from_pico(rate.into()), amount)?);
        }
    }
    if cost == totals.cost { Ok(rows) } else { Err(broken(key, &totals.cost, &format!("{cost} USD"))) }
}

/// The fee per request is explained for one call.
fn of_all_calls(line: ExplainLine, calls: u64) -> ExplainLine {
    if line.charge != Charge::Request {
        return line;
    }
    let amount = line.amount.map(|fee| Usd::from_pico(fee.pico() * i128::from(calls)));
    ExplainLine { count: calls, amount, ..line }
}

fn broken(key: &ChargeKey, found: &Usd, expected: &str) -> Error {
    Error::database(format!(
        "calls of `{}` cost {found} USD in the ledger, and by their price {expected}",
        key.model
    ))
    .hint("somebody changed the ledger past its triggers: `asmm doctor --full` names the calls")
}

#[expect(clippy::too_many_arguments, reason = "a charge has that many sides")]
fn row(
    account: &Account,
    day: NaiveDate,
    period: &Window,
    key: &ChargeKey,
    entry: &PriceEntry,
    line: &ExplainLine,
    price: Usd,
    cost: Usd,
) -> Result<Vec<Cell>> {
    let (month, next_month) = month_of(day)?;
    let provider = if key.provider.is_empty() { "not reported" } else { &key.provider };
    let (meter, unit) = meter(line.charge);
    let sku = format!("{}/{}/{}/{}", entry.provider, entry.model, entry.service_tier, line.charge.name());
    let text = |text: &str| Cell::text(text);
    let quantity = || Cell::Count(line.count);
    Ok(vec![
        Cell::Usd(cost),
        text(&account.id),
        text(&account.id),
        text("USD"),
        Cell::Time(next_month),
        Cell::Time(month),
        text("Usage"),
        Cell::Missing,
        Cell::Text(format!("{}: {meter}, {}", key.model, key.service_tier)),
        text("Usage-Based"),
        Cell::Time(period.until),
        Cell::Time(period.since),
        quantity(),
        text(unit),
        Cell::Usd(cost),
        Cell::Usd(price),
        Cell::Usd(cost),
        text(provider),
        text(provider),
        Cell::Usd(cost),
        Cell::Usd(price),
        text("Standard"),
        quantity(),
        text(unit),
        text(provider),
        text(provider),
        Cell::Missing,
        Cell::Missing,
        Cell::Text(format!("{provider}/{}", key.model)),
        text(&key.model),
        text("Model"),
        text("AI and Machine Learning"),
        Cell::Text(format!("{provider} API")),
        text(provider),
        text("Generative AI"),
        text(&sku),
        text(meter),
        Cell::Text(price_details(entry, line)),
        Cell::Text(format!("{sku}@{price}")),
        Cell::Text(tags(key)),
        text(entry.origin.code()),
    ])
}

/// What is measured, and in which unit.
const fn meter(charge: Charge) -> (&'static str, &'static str) {
    match charge {
        Charge::Usage(TokenKind::Input) => ("Input tokens", "Tokens"),
        Charge::Usage(TokenKind::CacheRead) => ("Input tokens read from a cache", "Tokens"),
        Charge::Usage(TokenKind::CacheWrite) => ("Input tokens written to a cache", "Tokens"),
        Charge::Usage(TokenKind::CacheWriteLong) => ("Input tokens written to a cache for long", "Tokens"),
        Charge::Usage(TokenKind::Output) => ("Output tokens", "Tokens"),
        Charge::Usage(TokenKind::Reasoning) => ("Reasoning tokens", "Tokens"),
        Charge::Usage(TokenKind::Embedding) => ("Embedded tokens", "Tokens"),
        Charge::Usage(TokenKind::WebSearches) => ("Web searches", "Requests"),
        Charge::Request => ("Requests", "Requests"),
    }
}

/// What all charges at this price have in common.
fn price_details(entry: &PriceEntry, line: &ExplainLine) -> String {
    json!({
        "ServiceTier": entry.service_tier,
        "TokenKind": line.charge.name(),
    })
    .to_string()
}

/// The labels of the runs, and what the ledger itself knows: that has a prefix, as FOCUS wants it.
fn tags(key: &ChargeKey) -> String {
    let mut tags: Map<String, serde_json::Value> =
        key.labels.iter().map(|(label, value)| (label.clone(), json!(value))).collect();
    tags.insert("asmm/pipeline".to_owned(), json!(key.pipeline));
    if !key.agent.is_empty() {
        tags.insert("asmm/agent".to_owned(), json!(key.agent));
    }
    serde_json::Value::Object(tags).to_string()
}

/// The month of a day, and the one after: when they start.
fn month_of(day: NaiveDate) -> Result<(Timestamp, Timestamp)> {
    let first = day.with_day(1).unwrap_or(day);
    let next = first.checked_add_months(Months::new(1)).ok_or_else(|| {
        Error::usage(format!("the month of {day} is past the calendar")).hint("name an earlier --until")
    })?;
    let start = |day: NaiveDate| Timestamp::from(day.and_time(NaiveTime::MIN).and_utc());
    Ok((start(first), start(next)))
}
