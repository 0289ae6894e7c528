//! `asmm runs explain`: the arithmetic of a run's cost.

use super::show::{head, named, whereabouts};
use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit};
use crate::domain::{CallId, TokenKind, Usd};
use crate::error::{Error, Result};
use crate::pricing::{Charge, PriceEntry, explain};
use crate::report::{Cell, Column, Kind, Table};
use crate::store::{RecordedCall, Run, Store, WhyUnpriced};
use clap::Args;
use std::collections::HashMap;

/// The arithmetic of a run's cost, call by call: tokens × rate = amount, and where the rate comes from
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The run: its id, at least 4 characters of its beginning or ending, or `last`
    run: String,
    /// Only this call
    #[arg(long, value_name = "UUID")]
    call: Option<CallId>,
    /// How many calls to explain, from the first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// One line of the arithmetic.
struct Line {
    call: RecordedCall,
    what: &'static str,
    count: Option<u64>,
    /// Dollars, for as many as `per` says.
    rate: Option<Usd>,
    per: &'static str,
    amount: Option<Usd>,
    entry: Option<PriceEntry>,
    note: String,
}

pub(crate) async fn run(ctx: &Ctx, args: ExplainArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let store = ctx.store().await?;
    let run = store.run_named(&args.run).await?;
    let calls = wanted_calls(&store, &run, &args).await?;
    let mut lines = Vec::new();
    let mut entries: HashMap<i64, PriceEntry> = HashMap::new();
    for call in &calls {
        explain_call(&store, call, &mut entries, &mut lines).await?;
    }

    let scope = ctx.scope(&store, None, zone, Some(&run.totals)).await?;
    let mut document = head("asmm.run_explain/1", scope, &run).section("calls", "calls", table(&lines));
    let shown = u64::try_from(calls.len()).unwrap_or(u64::MAX);
    let archives = store.archives_of(run.run_id).await?;
    let here = run.totals.llm_calls.saturating_sub(archives.iter().map(|archive| archive.calls).sum());
    if args.call.is_none() && shown < here {
        document.notes.push(format!("the first {shown} of {here} calls; --limit shows more"));
    }
    document.notes.extend(whereabouts(&archives));
    ctx.print_document(&document, args.output.format.into())?;
    Ok(Exit::Fine)
}

async fn wanted_calls(store: &Store, run: &Run, args: &ExplainArgs) -> Result<Vec<RecordedCall>> {
    let Some(call_id) = args.call else { return store.calls(run.run_id, None, args.limit).await };
    let call = store.find_call(run.run_id, call_id).await?;
    if let Some(call) = call {
        return Ok(vec![call]);
    }
    let missing = Error::not_found(format!("run `{}` has no call `{call_id}`", run.run_id));
    let archives = whereabouts(&store.archives_of(run.run_id).await?);
    Err(if archives.is_empty() {
        missing.hint("`asmm runs explain` without --call shows the run's calls")
    } else {
        missing.hint(format!("is it archived? {}", archives.join("; ")))
    })
}

async fn explain_call(
    store: &Store,
    call: &RecordedCall,
    entries: &mut HashMap<i64, PriceEntry>,
    lines: &mut Vec<Line>,
) -> Result<()> {
    let (Some(usage), Some(price_id)) = (&call.call.usage, call.price_id) else {
        lines.push(unpriced(call, &store.why_unpriced(&call.call).await?));
        return Ok(());
    };
    let entry = match entries.get(&price_id) {
        Some(entry) => entry.clone(),
        None => entries.entry(price_id).or_insert(store.price(price_id).await?).clone(),
    };
    for part in explain(usage, &entry)? {
        let (per, units) = unit(part.charge);
        let rate = part.rate_pico.map(|pico| Usd::from_pico(i128::from(pico) * units));
        let note = part.fallback_from.map_or_else(String::new, |kind| {
            format!("no {} rate: the {} rate stands in", part.charge.name(), kind.name())
        });
        lines.push(Line {
            call: call.clone(),
            what: part.charge.name(),
            count: Some(part.count),
            rate,
            per,
            amount: part.amount,
            entry: Some(entry.clone()),
            note,
        });
    }
    Ok(())
}

/// What a rate is quoted for, and how many units that is.
fn unit(charge: Charge) -> (&'static str, i128) {
    match charge {
        Charge::Usage(TokenKind::WebSearches) => ("1k searches", 1_000),
        Charge::Usage(_) => ("1M tokens", 1_000_000),
        Charge::Request => ("request", 1),
    }
}

fn unpriced(call: &RecordedCall, why: &WhyUnpriced) -> Line {
    let note = match why {
        WhyUnpriced::NoUsage => "no usage was reported".to_owned(),
        WhyUnpriced::UnknownName => "the catalogue has no such model".to_owned(),
        WhyUnpriced::NoPriceThen(key) => {
            format!("{}/{} has no {} price then", key.provider, key.model, call.call.service_tier)
        }
        WhyUnpriced::NoRate(key) => format!("{}/{} lacks a rate for a kind it used", key.provider, key.model),
    };
    Line { call: call.clone(), what: "", count: None, rate: None, per: "", amount: None, entry: None, note }
}

fn table(lines: &[Line]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    Table::of(lines)
        .column(Column::new(Kind::Id, "call_id", "call"), |l: &Line| Cell::id(l.call.call.call_id))
        .column(Column::new(Kind::Time, "called_at", "called").keep(4), |l| l.call.call.called_at)
        .column(text("model", "model").keep(3), |l| l.call.call.model.clone())
        .column(text("service_tier", "tier").keep(7), |l| l.call.call.service_tier.clone())
        .column(text("pricing_state", "state").keep(6), |l| l.call.pricing_state.code())
        .column(text("kind", "kind"), |l| named(l.what))
        .column(Column::new(Kind::Count, "count", "count"), |l| l.count.map_or(Cell::Missing, Cell::Count))
        .column(Column::new(Kind::UsdExact, "rate_usd", "× rate"), |l| l.rate)
        .column(text("per", "per"), |l| named(l.per))
        .column(Column::new(Kind::UsdExact, "amount_usd", "= amount"), |l| Cell::cost(l.amount))
        .column(text("price_entry", "price entry").keep(2), |l| {
            l.entry.as_ref().map(|e| format!("{}/{}", e.provider, e.model))
        })
        .column(Column::new(Kind::Time, "effective_from", "since").keep(8), |l| {
            l.entry.as_ref().filter(|e| e.effective_from.micros() > 0).map(|e| e.effective_from)
        })
        .column(text("price_source", "source").keep(5), |l| l.entry.as_ref().map(|e| e.source.clone()))
        .column(text("note", "note").keep(1), |l| named(&l.note))
        .done()
}
