//! `asmm prices`: the catalogue.

use super::args::{OutputArgs, WindowArgs};
use super::context::{Ctx, Exit, counted, say};
use crate::domain::{Timestamp, Usd};
use crate::error::{Error, Result};
use crate::pricing::{
    Imported, MAX_USER_PRICES_BYTES, Origin, PriceEntry, UserPrices, read_genai_prices, read_litellm,
};
use crate::report::{Cell, Column, Empty, Kind, Report, Scope, Shown, Table};
use crate::store::{MissingPrice, Pushed, Repriced};
use clap::{Args, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

mod alias;
mod reprice;

/// The price catalogue: what there is, adding your own, what is missing
#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    List(ListArgs),
    Push(PushArgs),
    Import(ImportArgs),
    Missing(MissingArgs),
    Alias(alias::AliasArgs),
    Reprice(reprice::RepriceArgs),
}

/// The prices in the ledger
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only models whose name contains this
    model: Option<String>,
    /// Only this provider of the catalogue
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only prices that came this way
    #[arg(long, value_enum, value_name = "ORIGIN")]
    origin: Option<OriginArg>,
    /// Also prices that a correction has replaced
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OriginArg {
    /// With the program
    Vendored,
    /// By `asmm prices import`
    Imported,
    /// By `asmm prices push`
    User,
}

impl From<OriginArg> for Origin {
    fn from(origin: OriginArg) -> Self {
        match origin {
            OriginArg::Vendored => Self::Vendored,
            OriginArg::Imported => Self::Imported,
            OriginArg::User => Self::User,
        }
    }
}

/// Add your own prices from a YAML file; they win over all others
///
/// schema: asmm.prices/v1
/// prices:
///   - provider: openai
///     model: gpt-4o
///     effective_from: 2026-03-01
///     usd_per_million: {input: "2.00", output: "8.00"}
///     aliases: [our-gpt]
///     source: contract 2026-17
///
/// Optional: service_tier, tiers (over_input_tokens), usd_per_thousand (web_search, request), and in
/// usd_per_million cache_read, cache_write, cache_write_long, reasoning, embedding. A price of 0 is free.
/// Calls that have a price keep it; see `asmm prices reprice`.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct PushArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read and check the files, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Add a price list of another tool; it wins over the vendored catalogue
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Whose format it is
    #[arg(value_enum)]
    format: PriceListFormat,
    /// The file: model_prices_and_context_window.json of LiteLLM, data.json of genai-prices
    file: PathBuf,
    /// Read and check the file, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PriceListFormat {
    /// LiteLLM
    Litellm,
    /// genai-prices
    GenaiPrices,
}

/// Reported models whose calls have no price
#[derive(Debug, Args)]
pub(crate) struct MissingArgs {
    #[command(flatten)]
    window: WindowArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(ctx: &Ctx, command: PricesCommand) -> Result<Exit> {
    match command {
        PricesCommand::List(args) => list(ctx, args).await,
        PricesCommand::Push(args) => push(ctx, args).await,
        PricesCommand::Import(args) => import(ctx, args).await,
        PricesCommand::Missing(args) => missing(ctx, args).await,
        PricesCommand::Alias(args) => alias::run(ctx, args).await,
        PricesCommand::Reprice(args) => reprice::run(ctx, args).await,
    }
}

async fn list(ctx: &Ctx, args: ListArgs) -> Result<Exit> {
    let store = ctx.store().await?;
    let mut prices = store.prices(args.provider.as_deref(), None, args.origin.map(Origin::from)).await?;
    if let Some(part) = args.model.as_deref().map(str::to_lowercase) {
        prices.retain(|p| p.model.to_lowercase().contains(&part));
    }
    if !args.all {
        prices = standing(prices);
    }
    let scope = Scope { catalogue: store.catalogue_version().await?, ..Scope::default() };
    let empty = Empty {
        what: "prices".to_owned(),
        next_step: "`asmm prices push` adds your own; without filters all are listed".to_owned(),
    };
    let report = Report { scope, empty, ..Report::new("asmm.prices/1", price_table(&prices)) };
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}

/// The rows that no correction has replaced.
fn standing(prices: Vec<PriceEntry>) -> Vec<PriceEntry> {
    let key = |p: &PriceEntry| {
        (p.origin, p.provider.clone(), p.model.clone(), p.service_tier.clone(), p.effective_from, p.daily_utc)
    };
    let mut newest = BTreeMap::new();
    for price in &prices {
        let revision = newest.entry(key(price)).or_insert(price.revision);
        *revision = price.revision.max(*revision);
    }
    prices.into_iter().filter(|p| newest.get(&key(p)) == Some(&p.revision)).collect()
}

fn price_table(prices: &[PriceEntry]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let per_million = |pico: Option<i64>| pico.map(|p| Usd::from_pico(i128::from(p) * 1_000_000));
    let per_thousand = |pico: Option<i64>| pico.map(|p| Usd::from_pico(i128::from(p) * 1_000));
    let usd = |key, title| Column::new(Kind::UsdExact, key, title);
    Table::of(prices)
        .column(text("provider", "provider"), |p: &PriceEntry| p.provider.clone())
        .column(text("model", "model"), |p| p.model.clone())
        .column(text("service_tier", "tier").keep(3), |p| p.service_tier.clone())
        .column(Column::new(Kind::Tokens, "over_input_tokens", "over input").keep(4), |p| {
            if p.over_input_tokens == 0 { Cell::Missing } else { Cell::Tokens(p.over_input_tokens) }
        })
        .column(Column::new(Kind::Time, "effective_from", "from").keep(5), |p| {
            (p.effective_from > Timestamp::from_micros(0)).then_some(p.effective_from)
        })
        .column(text("daily_utc", "daily (UTC)").keep(9), |p| {
            p.daily_utc.map(|(from, until)| format!("{}–{}", clock_time(from), clock_time(until)))
        })
        .column(usd("input_usd_per_million", "input/1M"), move |p| per_million(p.rates.input))
        .column(usd("cache_read_usd_per_million", "cached/1M").keep(2), move |p| {
            per_million(p.rates.cache_read)
        })
        .column(usd("cache_write_usd_per_million", "write/1M").keep(7), move |p| {
            per_million(p.rates.cache_write)
        })
        .column(usd("cache_write_long_usd_per_million", "long write/1M").keep(8), move |p| {
            per_million(p.rates.cache_write_long)
        })
        .column(usd("output_usd_per_million", "output/1M"), move |p| per_million(p.rates.output))
        .column(usd("reasoning_usd_per_million", "reasoning/1M").shown(Shown::ProgramsOnly), move |p| {
            per_million(p.rates.reasoning)
        })
        .column(usd("embedding_usd_per_million", "embedding/1M").shown(Shown::ProgramsOnly), move |p| {
            per_million(p.rates.embedding)
        })
        .column(usd("web_search_usd_per_thousand", "search/1k").keep(10), move |p| {
            per_thousand(p.rates.web_search)
        })
        .column(usd("request_usd_per_thousand", "request/1k").keep(11), move |p| {
            per_thousand(p.rates.request)
        })
        .column(text("origin", "origin").keep(6), |p| p.origin.code())
        .column(text("source", "source").keep(6), |p| p.source.clone())
        .column(Column::new(Kind::Count, "price_id", "id").shown(Shown::ProgramsOnly), |p| {
            p.price_id.and_then(|id| u64::try_from(id).ok()).map_or(Cell::Missing, Cell::Count)
        })
        .done()
}

fn clock_time(second: u32) -> String {
    format!("{:02}:{:02}", second / 3600, second / 60 % 60)
}

/// Reads a file of at most `limit` bytes.
fn read_file(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let failed =
        |e| Error::io(format!("`{}` cannot be read", path.display()), e).hint("name a file that is there");
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > limit {
        return Err(Error::input(format!("`{}` is larger than {limit} bytes", path.display()))
            .hint("split it; what several files hold adds up"));
    }
    Ok(bytes)
}

async fn push(ctx: &Ctx, args: PushArgs) -> Result<Exit> {
    let mut entries = Vec::new();
    let mut aliases = Vec::new();
    for path in &args.files {
        let shown = path.display().to_string();
        let text = String::from_utf8(read_file(path, MAX_USER_PRICES_BYTES)?)
            .map_err(|_| Error::input(format!("`{shown}` is not UTF-8")).hint("save it as UTF-8"))?;
        let prices = UserPrices::parse(&shown, &text)?;
        entries.extend(prices.entries);
        aliases.extend(prices.aliases);
    }
    if args.dry_run {
        let prices = counted(entries.len(), "price", "prices");
        let aliases = counted(aliases.len(), "alias", "aliases");
        say(&format!("{prices} and {aliases} read, nothing wrong; nothing was changed"));
        return Ok(Exit::Fine);
    }
    let name = args.files.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ");
    let store = ctx.store().await?;
    let pushed = store.push_prices(Origin::User, &name, &entries).await?;
    let mut priced = store.price_all_names().await?;
    for alias in aliases {
        priced += store.set_alias(&alias.provider, &alias.model, Some(&alias.key)).await?;
    }
    say_pushed(pushed, priced);
    Ok(Exit::Fine)
}

fn say_pushed(pushed: Pushed, priced: Repriced) {
    let written = counted(pushed.written, "price", "prices");
    let unchanged = counted(pushed.unchanged, "was there already", "were there already");
    say(&format!("{written} written, {unchanged}"));
    say_priced(priced);
}

fn say_priced(priced: Repriced) {
    if priced.calls > 0 {
        let calls = counted(priced.calls, "call that had no price is", "calls that had no price are");
        say(&format!("{calls} priced now: {} USD", priced.after));
    }
}

/// The largest price list taken.
const MAX_PRICE_LIST_BYTES: usize = 64 << 20;

async fn import(ctx: &Ctx, args: ImportArgs) -> Result<Exit> {
    let bytes = read_file(&args.file, MAX_PRICE_LIST_BYTES)?;
    let read = match args.format {
        PriceListFormat::Litellm => read_litellm(&bytes),
        PriceListFormat::GenaiPrices => read_genai_prices(&bytes),
    };
    let shown = args.file.display().to_string();
    let Imported { entries, skipped } = read.map_err(|e| e.at(format_args!("`{shown}`")))?;
    for (name, why) in skipped.iter().take(20) {
        say(&format!("skipped {name}: {why}"));
    }
    if skipped.len() > 20 {
        say(&format!("skipped {} more", skipped.len() - 20));
    }
    if args.dry_run {
        let prices = counted(entries.len(), "price", "prices");
        let left_out = counted(skipped.len(), "entry", "entries");
        say(&format!("{prices} read, {left_out} skipped; nothing was changed"));
        return Ok(Exit::Fine);
    }
    let store = ctx.store().await?;
    let pushed = store.push_prices(Origin::Imported, &shown, &entries).await?;
    say_pushed(pushed, store.price_all_names().await?);
    Ok(Exit::Fine)
}

async fn missing(ctx: &Ctx, args: MissingArgs) -> Result<Exit> {
    let (window, zone) = args.window.resolve(ctx, 30)?;
    let store = ctx.store().await?;
    let missing: Vec<MissingPrice> = store.missing_prices(window.since, window.until).await?;
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(&missing)
        .column(text("provider", "provider"), |m: &MissingPrice| named(&m.provider))
        .column(text("model", "model"), |m| m.model.clone())
        .column(text("service_tier", "tier").keep(3), |m| m.service_tier.clone())
        .column(Column::new(Kind::Count, "llm_calls", "calls"), |m| Cell::Count(m.llm_calls))
        .column(Column::new(Kind::Count, "without_usage", "without usage").keep(1), |m| {
            Cell::Count(m.without_usage)
        })
        .column(Column::new(Kind::Tokens, "llm_tokens_input", "input").keep(2), |m| {
            Cell::Tokens(m.llm_tokens_input)
        })
        .column(Column::new(Kind::Tokens, "llm_tokens_output", "output").keep(2), |m| {
            Cell::Tokens(m.llm_tokens_output)
        })
        .column(Column::new(Kind::Tokens, "embedding_tokens", "embedding").keep(4), |m| {
            Cell::Tokens(m.embedding_tokens)
        })
        .column(Column::new(Kind::Time, "first_called_at", "first").keep(6), |m| m.first_called_at)
        .column(Column::new(Kind::Time, "last_called_at", "last").keep(5), |m| m.last_called_at)
        .done();
    let mut scope = ctx.scope(&store, Some(window), zone, None).await?;
    scope.coverage = None;
    let empty = Empty {
        what: "unpriced calls".to_owned(),
        next_step: "every call in the range has a price".to_owned(),
    };
    let mut report = Report { scope, empty, ..Report::new("asmm.prices_missing/1", table) };
    if !missing.is_empty() {
        report.notes.push(
            "`asmm prices push` adds a price, `asmm prices alias` names one there is; calls without usage stay unpriced"
                .to_owned(),
        );
    }
    ctx.print(&report, args.output.format.into())?;
    Ok(Exit::Fine)
}

fn named(name: &str) -> Cell {
    if name.is_empty() { Cell::Missing } else { Cell::text(name) }
}
