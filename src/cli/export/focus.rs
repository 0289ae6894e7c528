//! `asmm export focus`: spend as charges, in the columns of the FinOps Open Cost and Usage Specification.

mod charge;

use super::out;
use super::rows::days_of;
use crate::cli::args::{FilterArgs, WindowArgs};
use crate::cli::context::{Ctx, Exit, counted, say};
use crate::domain::Window;
use crate::error::{Error, Result};
use crate::pricing::PriceEntry;
use crate::report::{Sheet, SheetFormat};
use crate::store::{ChargeKey, ChargeTotals, Filter, Store};
use charge::{Account, columns, rows_of};
use clap::{Args, ValueEnum};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;

/// Spend as charges by day, in the columns of FOCUS 1.3, for FinOps tools
///
/// A row is what one day (UTC) charges for one kind of token of one model, price, pipeline, agent and set of run labels.
/// Quantity × unit price is the cost, exactly, and all rows together cost what `asmm spend` says. They are estimates
/// by the prices of the ledger, not what a provider billed. Calls without a price have no cost that could be written:
/// they are left out, and stderr says how many; with --strict the exit code is then 4.
#[derive(Debug, Args)]
pub(crate) struct FocusArgs {
    /// The last N days (UTC), today included
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "until"])]
    days: Option<u32>,
    /// From this day (UTC) or time on: 2026-11-01, or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Up to this day (included) or time (excluded)
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only these labels of runs become tags; without a value none does [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', num_args = 0..)]
    labels: Option<Vec<String>>,
    /// The billing account
    #[arg(long, value_name = "ID", default_value = "asmm", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    billing_account: String,
    /// The format of the file
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FocusFormat::Csv, requires_if("parquet", "output"))]
    format: FocusFormat,
    /// Write to this file instead of stdout; it appears when it is complete
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file, if it is there
    #[arg(long, requires = "output")]
    force: bool,
    /// Exit with 4 when there are calls without a price
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FocusFormat {
    /// Comma-separated values
    Csv,
    /// Apache Parquet; needs --output
    Parquet,
}

/// Days written when no range is given.
const DEFAULT_DAYS: u32 = 30;

/// How many calls were written, or could not be.
#[derive(Clone, Copy, Default)]
struct Counts {
    calls: u64,
    unpriced: u64,
}

pub(super) async fn run(ctx: &Ctx, args: FocusArgs) -> Result<Exit> {
    // Charge periods are of UTC, so that rows of different ledgers can be added up.
    let window = WindowArgs {
        days: args.days,
        since: args.since.clone(),
        until: args.until.clone(),
        tz: Some("UTC".to_owned()),
    };
    let (window, _) = window.resolve(ctx, DEFAULT_DAYS)?;
    let store = ctx.store().await?;
    refuse_archived(&store, &window).await?;
    let format = match args.format {
        FocusFormat::Csv => SheetFormat::Csv,
        FocusFormat::Parquet => SheetFormat::Parquet,
    };
    let export = Export { store: &store, filter: args.filter.filter(), labels: args.labels.as_deref() };
    let account = Account { id: args.billing_account.clone() };
    let counts = out::write(args.output.as_deref(), args.force, async |out| {
        export.write(&window, &account, format, out).await
    })
    .await?
    .unwrap_or_default();
    if counts.unpriced == 0 {
        return Ok(Exit::Fine);
    }
    say(&format!(
        "warning: {} of {} no price: what they cost is not known, and they are left out; `asmm prices missing`",
        counts.unpriced,
        counted(counts.calls, "call has", "calls have"),
    ));
    Ok(if args.strict { Exit::Unpriced } else { Exit::Fine })
}

/// Archived calls have left their sums behind, but not the kinds of tokens at which price.
async fn refuse_archived(store: &Store, window: &Window) -> Result<()> {
    let archived = store.archived_calls_in(window).await?;
    if archived == 0 {
        return Ok(());
    }
    Err(Error::input(format!(
        "{} in archives, and with them what was charged at which price",
        counted(archived, "call of the range is", "calls of the range are")
    ))
    .hint("bring them back with `asmm import jsonl` of the archives, which `asmm runs show` names, or choose another range"))
}

/// What is written, and from where.
struct Export<'a> {
    store: &'a Store,
    filter: Filter,
    labels: Option<&'a [String]>,
}

impl Export<'_> {
    /// A day at a time, so that only one is held.
    async fn write(
        &self,
        window: &Window,
        account: &Account,
        format: SheetFormat,
        out: &mut dyn Write,
    ) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut entries: HashMap<i64, PriceEntry> = HashMap::new();
        let mut sheet = Sheet::new(out, format, columns())?;
        for (day, part) in days_of(window, self.store.now())? {
            for (key, totals) in self.charges(&part).await? {
                counts.calls += totals.calls;
                let Some(price_id) = key.price_id else {
                    counts.unpriced += totals.calls;
                    continue;
                };
                let entry = match entries.entry(price_id) {
                    std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::hash_map::Entry::Vacant(new) => {
                        new.insert(self.store.price(price_id).await?)
                    }
                };
                for row in rows_of(account, day, &part, &key, &totals, entry)? {
                    sheet.row(&row)?;
                }
            }
        }
        sheet.finish()?;
        Ok(counts)
    }

    /// A day's charges, by the labels that become tags.
    async fn charges(&self, day: &Window) -> Result<BTreeMap<ChargeKey, ChargeTotals>> {
        let charges = self.store.charges(day.since, day.until, &self.filter).await?;
        let Some(labels) = self.labels else { return Ok(charges) };
        let mut merged: BTreeMap<ChargeKey, ChargeTotals> = BTreeMap::new();
        for (mut key, totals) in charges {
            key.labels.retain(|label, _| labels.contains(label));
            *merged.entry(key).or_default() += totals;
        }
        Ok(merged)
    }
}
