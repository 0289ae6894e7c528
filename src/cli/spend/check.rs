//! `asmm spend check`: what is out of the ordinary.

mod budgets;
mod finding;
mod runs;
mod series;
mod shares;
mod webhook;
mod words;

use crate::anomaly::{Rules, Sensitivity};
use crate::cli::args::{FormatArg, OutputArgs, WindowArgs};
use crate::cli::context::{Ctx, Exit, say};
use crate::domain::{Budget, Timestamp, Usd, Window};
use crate::error::{Error, Result};
use crate::report::{Format, Style};
use crate::store::{Filter, SpendBy, Store, Totals};
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use finding::{Finding, Seen};
use webhook::Webhook;

/// What is out of the ordinary: budgets that are used up, hours, days and runs that cost too much, shares that rise
///
/// Each pipeline, each agent and each model is compared with its own eight weeks before, hour by hour and day by day; runs
/// that go on or have just ended with earlier runs of their pipeline; unpriced calls, and calls that the guard has not
/// looked at, with the days before. Nothing is kept between two checks. Exits with 3 when there is something.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    window: WindowArgs,
    /// The last N hours, the one that goes on included [default: yesterday and today]
    #[arg(long, value_name = "N", conflicts_with_all = ["days", "since", "until"], value_parser = clap::value_parser!(u32).range(1..=8760))]
    hours: Option<u32>,
    /// Only this pipeline
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    /// How easily something is called
    #[arg(long, value_enum, value_name = "HOW", default_value_t = SensitivityArg::Normal)]
    sensitivity: SensitivityArg,
    /// Call nothing that is less than this many dollars above the usual
    #[arg(long, value_name = "USD", default_value = "1")]
    at_least: Usd,
    /// Call a run over this many dollars where its pipeline has too few earlier runs to compare with
    #[arg(long, value_name = "USD")]
    runaway_over: Option<Usd>,
    /// Post what was found as JSON to this webhook
    #[arg(long, value_name = "URL", env = "ASMM_NOTIFY_URL", hide_env_values = true)]
    notify: Option<String>,
    /// Post also when nothing was found
    #[arg(long)]
    notify_always: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// How easily something is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SensitivityArg {
    /// Only what nobody would overlook
    Low,
    /// What somebody should look at
    Normal,
    /// Also what may be nothing
    High,
}

impl SensitivityArg {
    const fn sensitivity(self) -> Sensitivity {
        match self {
            Self::Low => Sensitivity::Low,
            Self::Normal => Sensitivity::Normal,
            Self::High => Sensitivity::High,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// Days looked at when no range is given: what happened just before midnight is seen after it, too.
const DEFAULT_DAYS: u32 = 2;
/// The length of a day, in microseconds.
const DAY_MICROS: i64 = 24 * HOUR_MICROS;
const HOUR_MICROS: i64 = 3600 * 1_000_000;

/// What a check looks at, and by which rules.
struct Look<'a> {
    store: &'a Store,
    /// What is judged.
    judged: Window,
    now: Timestamp,
    pipeline: Option<&'a str>,
    rules: Rules,
    runaway_over: Option<Usd>,
    /// The budgets of `asmm.yaml`.
    file_budgets: Vec<Budget>,
}

impl Look<'_> {
    fn zone(&self) -> Tz {
        self.judged.zone
    }

    /// The end of what is judged, or now: what has accrued by then is all there is.
    fn end(&self) -> Timestamp {
        self.judged.until.min(self.now)
    }
}

pub(crate) async fn run(ctx: &Ctx, args: CheckArgs) -> Result<Exit> {
    let url = args.notify.as_deref().filter(|url| !url.is_empty());
    let webhook = url.map(Webhook::new).transpose()?;
    if webhook.is_none() && args.notify_always {
        return Err(Error::usage("--notify-always needs an address to post to")
            .hint("give --notify URL, or set ASMM_NOTIFY_URL"));
    }
    if args.at_least <= Usd::ZERO {
        return Err(Error::usage(format!("--at-least is {}; it must be more than 0", args.at_least))
            .hint("without it every trifle would be called; 0.01 is a cent"));
    }
    args.at_least.to_column()?;
    let (judged, zone) = args.range(ctx)?;
    let store = ctx.store().await?;
    let look = Look {
        store: &store,
        judged,
        now: ctx.clock.now(),
        pipeline: args.pipeline.as_deref(),
        rules: args.sensitivity.sensitivity().rules(args.at_least),
        runaway_over: args.runaway_over,
        file_budgets: ctx.file_budgets()?,
    };
    let (seen, findings) = look.all().await?;
    let scope = ctx.scope(&store, Some(judged), zone, Some(&look.totals().await?)).await?;
    let outcome = finding::Outcome { scope, seen, findings, args: &args };
    let format = args.output.format;
    match format {
        FormatArg::Table | FormatArg::Markdown => {
            ctx.print_document(&outcome.for_people(format == FormatArg::Markdown), format.into())?;
        }
        FormatArg::Json | FormatArg::Csv => ctx.print_document(&outcome.for_programs(), format.into())?,
    }
    let is_calm = outcome.findings.is_empty();
    let mut exit = if is_calm { Exit::Fine } else { Exit::Over };
    if let Some(webhook) = webhook.filter(|_| !is_calm || args.notify_always) {
        let body = outcome.for_programs().to_text(Format::Json, Style::plain(0))?;
        if let Err(error) = webhook.post(body).await {
            say(&format!("error: {error}"));
            if let Some(hint) = error.next_step() {
                say(&format!("hint: {hint}"));
            }
            // What was found is worse than that nobody was told.
            exit = if is_calm { Exit::Flawed } else { Exit::Over };
        }
    }
    Ok(exit)
}

impl CheckArgs {
    fn range(&self, ctx: &Ctx) -> Result<(Window, (Tz, &'static str))> {
        let Some(hours) = self.hours else { return self.window.resolve(ctx, DEFAULT_DAYS) };
        let zone = ctx.zone(self.window.tz.as_deref())?;
        let now = ctx.clock.now();
        let since = now.plus_micros(-HOUR_MICROS.saturating_mul(i64::from(hours) - 1)).bucket_start();
        Ok((Window::between(since, now.next_bucket_start().max(since.plus_micros(1)), zone.0)?, zone))
    }
}

impl Look<'_> {
    /// Everything that is out of the ordinary, the most expensive first within its kind.
    async fn all(&self) -> Result<(Seen, Vec<Finding>)> {
        let mut seen = Seen::default();
        let mut findings = self.budgets().await?;
        findings.extend(self.runs(&mut seen).await?);
        findings.extend(self.series(&mut seen).await?);
        findings.extend(self.unscanned().await?);
        findings.sort_by_cached_key(Finding::order);
        Ok((seen, findings))
    }

    /// What was spent in the judged range, in whole quarters of an hour.
    async fn totals(&self) -> Result<Totals> {
        let Window { since, until, zone } = self.judged;
        let whole = Window::between(since.bucket_start(), until.next_bucket_start(), zone)?;
        let filter = Filter { pipeline: self.pipeline.map(str::to_owned), ..Filter::default() };
        let spend = self.store.spend(&whole, SpendBy::default(), &filter).await?;
        Ok(spend.into_values().next().unwrap_or_default())
    }
}
