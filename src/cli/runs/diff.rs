//! `asmm runs diff`: two runs side by side.

use super::show::named;
use crate::cli::args::OutputArgs;
use crate::cli::columns::{known_cost, spend_columns};
use crate::cli::context::{Ctx, Exit};
use crate::domain::{Digest, Usd};
use crate::error::Result;
use crate::report::{Cell, Column, Document, Kind, Scope, Table};
use crate::store::{ModelSpend, Run, Store, Totals};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};

/// Two runs side by side: what they spent, which prompts they used, and whether they sent the same texts
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The first run: its id, at least 4 characters of its beginning or ending, or last
    first: String,
    /// The second run
    second: String,
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// One run's line.
struct Side<'a> {
    name: &'static str,
    run: &'a Run,
}

/// What both spent on one model by one agent.
#[derive(Default)]
struct Spend {
    agent: String,
    model: String,
    first: Totals,
    second: Totals,
}

/// What both sent in the steps of one name.
#[derive(Default)]
struct Sent {
    step: String,
    prompts: [BTreeSet<String>; 2],
    texts: [Vec<Option<Digest>>; 2],
}

impl Sent {
    /// How many of the texts are the same, paired in order. What has no digest is not known to be.
    fn equal(&self) -> u64 {
        let pairs = self.texts[0].iter().zip(&self.texts[1]);
        pairs.filter(|(a, b)| a.is_some() && a == b).count().try_into().unwrap_or(u64::MAX)
    }

    fn texts(&self, side: usize) -> u64 {
        self.texts[side].iter().flatten().count().try_into().unwrap_or(u64::MAX)
    }
}

pub(super) async fn run(ctx: &Ctx, args: DiffArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let store = ctx.store().await?;
    let first = store.run_named(&args.first).await?;
    let second = store.run_named(&args.second).await?;
    let spend = spend(&store.run_spend(first.run_id).await?, &store.run_spend(second.run_id).await?);
    let mut sent = BTreeMap::new();
    for (side, run) in [&first, &second].into_iter().enumerate() {
        collect(&store, run, side, &mut sent).await?;
    }
    let sent: Vec<Sent> = sent.into_values().collect();

    let mut all = first.totals;
    all += second.totals;
    let scope = ctx.scope(&store, None, zone, Some(&all)).await?;
    ctx.print_document(&document(scope, &first, &second, &spend, &sent), args.output.format.into())?;
    Ok(Exit::Fine)
}

fn spend(first: &[ModelSpend], second: &[ModelSpend]) -> Vec<Spend> {
    let mut rows: BTreeMap<(String, String), Spend> = BTreeMap::new();
    for (side, spends) in [first, second].into_iter().enumerate() {
        for spend in spends {
            let row = rows.entry((spend.agent.clone(), spend.model.clone())).or_default();
            row.agent.clone_from(&spend.agent);
            row.model.clone_from(&spend.model);
            *(if side == 0 { &mut row.first } else { &mut row.second }) += spend.totals;
        }
    }
    let mut rows: Vec<Spend> = rows.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.first.cost.max(row.second.cost)));
    rows
}

async fn collect(store: &Store, run: &Run, side: usize, all: &mut BTreeMap<String, Sent>) -> Result<()> {
    let mut replay = store.replay(run.run_id);
    while let Some(call) = replay.next().await? {
        let step = call.step.unwrap_or_default();
        let sent = all.entry(step.clone()).or_insert_with(|| Sent { step, ..Sent::default() });
        if let Some(version) = &call.version {
            sent.prompts[side].insert(version.entry.to_string());
        }
        sent.texts[side].push(call.text_sha256);
    }
    Ok(())
}

/// What changed, where both are known.
fn change(first: &Totals, second: &Totals) -> Cell {
    match (known_cost(first), known_cost(second)) {
        (Some(first), Some(second)) => {
            Cell::cost(Some(Usd::from_pico(second.pico().saturating_sub(first.pico()))))
        }
        _ => Cell::Missing,
    }
}

fn document(scope: Scope, first: &Run, second: &Run, spend: &[Spend], sent: &[Sent]) -> Document {
    let (equal, texts): (u64, u64) = sent
        .iter()
        .map(|s| (s.equal(), s.texts(0).max(s.texts(1))))
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let mut document = Document::new("asmm.runs_diff/1", scope)
        .field("change_usd", "change of cost", change(&first.totals, &second.totals))
        .field("equal_texts", "equal texts", Cell::Count(equal))
        .field("texts", "of texts", Cell::Count(texts))
        .section("runs", "runs", run_table(first, second))
        .section("spend", "spend by agent and model", spend_table(spend));
    if !sent.is_empty() {
        document = document.section("prompts", "prompts by step", prompt_table(sent));
    }
    document
}

fn run_table(first: &Run, second: &Run) -> Table {
    let sides = [Side { name: "first", run: first }, Side { name: "second", run: second }];
    let mut all = first.totals;
    all += second.totals;
    let table = Table::of(&sides)
        .column(Column::new(Kind::Text, "which", ""), |s: &Side| s.name)
        .column(Column::new(Kind::Id, "run_id", "run").keep(9), |s| Cell::id(s.run.run_id))
        .column(Column::new(Kind::Text, "pipeline", "pipeline").keep(8), |s| s.run.pipeline.clone())
        .column(Column::new(Kind::Text, "status", "status").keep(7), |s| s.run.status.code())
        .column(Column::new(Kind::Time, "started_at", "started").keep(8), |s| s.run.started_at);
    spend_columns(table, &all, |s: &Side| &s.run.totals).done()
}

fn spend_table(spend: &[Spend]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let usd = |key, title| Column::new(Kind::Usd, key, title);
    Table::of(spend)
        .column(text("agent", "agent"), |s: &Spend| named(&s.agent))
        .column(text("model", "model"), |s| s.model.clone())
        .column(Column::new(Kind::Count, "first_calls", "calls").keep(3), |s| Cell::Count(s.first.llm_calls))
        .column(Column::new(Kind::Count, "second_calls", "then").keep(3), |s| Cell::Count(s.second.llm_calls))
        .column(usd("first_cost_usd", "cost"), |s| Cell::cost(known_cost(&s.first)))
        .column(usd("second_cost_usd", "then"), |s| Cell::cost(known_cost(&s.second)))
        .column(usd("change_usd", "change").signed(), |s| change(&s.first, &s.second))
        .done()
}

fn prompt_table(sent: &[Sent]) -> Table {
    let text = |key, title| Column::new(Kind::Text, key, title);
    let prompts = |names: &BTreeSet<String>| {
        if names.is_empty() { Cell::Missing } else { Cell::List(names.iter().cloned().collect()) }
    };
    Table::of(sent)
        .column(text("step", "step"), |s: &Sent| named(&s.step))
        .column(text("first_prompts", "prompt"), move |s| prompts(&s.prompts[0]))
        .column(text("second_prompts", "then"), move |s| prompts(&s.prompts[1]))
        .column(Column::new(Kind::Count, "first_texts", "texts").keep(2), |s| Cell::Count(s.texts(0)))
        .column(Column::new(Kind::Count, "second_texts", "then").keep(2), |s| Cell::Count(s.texts(1)))
        .column(Column::new(Kind::Count, "equal_texts", "equal"), |s| Cell::Count(s.equal()))
        .done()
}
