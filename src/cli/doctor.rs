//! `asmm doctor`: the laws of the ledger, recomputed; the database around it; and what it shows of each acceptance
//! criterion of the user stories.

mod checks;
mod criteria;
mod page;
mod prompts;
mod recorders;

use super::args::OutputArgs;
use super::context::{Ctx, Exit};
use crate::error::{ErrorKind, Result};
use crate::store::{SchemaState, Store};
use checks::{Check, Checks, Verdict};
use clap::Args;
use criteria::{Evidence, Shown};

/// Check the ledger, and show the evidence for each acceptance criterion
///
/// Of a large ledger the newest runs are looked at, and the output says how many; --full reads every call. Nothing is
/// changed. A check holds, has FAILED, or is a warning: the ledger is in order, and something should be done. A criterion is
/// met; not met, where the ledger contradicts it; partly met, where some of what is recorded shows it; or there is no
/// data yet, which is no failure. Exit codes: 0 nothing failed, 5 a prompt version or what was sent was changed past
/// the ledger, 1 something else failed or is not met, 7 the ledger is not migrated.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Read every call and every text, however many there are
    #[arg(long)]
    full: bool,
    /// How many of the newest calls with a recorded prompt are replayed
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "full")]
    sample: u32,
    /// Exit with 1 for warnings, and where a criterion is partly met or has no data
    #[arg(long)]
    strict: bool,
    /// The time zone of the times [default: ASMM_TZ, asmm.yaml, the system's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A ledger with more calls is looked at in part, and of so many calls: reading them takes a second or two.
const FEW_CALLS: u64 = 300_000;
/// A ledger with more runs, too.
const FEW_RUNS: u32 = 100_000;

pub(super) async fn run(ctx: &Ctx, args: DoctorArgs) -> Result<Exit> {
    let zone = ctx.zone(args.tz.as_deref())?;
    let look = Store::connect_to_look(&ctx.location, ctx.clock).await?;
    let state = look.schema_state().await?;
    let makes_itself = matches!((&state, &look), (SchemaState::Empty, Store::Sqlite(_)));
    if state != SchemaState::Current && !makes_itself {
        return not_migrated(ctx, &look, state, &args);
    }
    look.close().await;
    let store = ctx.store_as_is().await?;

    let limits = (!args.full).then_some((FEW_CALLS, FEW_RUNS));
    let scope = store.evidence_scope(limits).await?;
    let mut checks = Checks::default();
    let laws = checks::laws(&store, &scope, &mut checks).await?;
    let versions = prompts::versions(&store, &mut checks).await;
    let versions = if_allowed(versions, prompts::VERSIONS, &mut checks)?;
    let sent = prompts::sent(&store, (!args.full).then_some(args.sample), &mut checks).await;
    let sent = if_allowed(sent, prompts::SENT, &mut checks)?;
    let health = store.health(args.full).await?;
    let refusals = checks::health(&health, &mut checks);
    let facts = criteria::Facts {
        runs: store.run_evidence(&scope).await?,
        steps: store.step_evidence(&scope).await?,
        sent: store.sent_evidence(&scope).await?,
        laws,
        versions,
        replayed: sent,
        refusals,
        recorders: recorders::look(ctx, &mut checks),
    };
    checks::coverage(&facts, &mut checks);
    let evidence = criteria::evidence(&store, zone.0, &facts).await?;

    let width = ctx.style().width;
    let shown = page::Page {
        width,
        store: &store,
        scope: &scope,
        checks: &checks,
        evidence: &evidence,
        health: &health,
    };
    let document = shown.document(ctx.scope(&store, None, zone, None).await?, facts.recorders.reports());
    ctx.print_document(&document, args.output.format.into())?;
    Ok(exit(&checks.all, &evidence, args.strict))
}

/// Not everybody who may look at a ledger may look at its texts: then the check could not be made.
fn if_allowed<T: Default>(outcome: Result<T>, what: &'static str, checks: &mut Checks) -> Result<T> {
    match outcome {
        Err(error)
            if error.kind() == ErrorKind::Database && error.to_string().contains("permission denied") =>
        {
            checks.not_checked("prompts", what, &error.to_string());
            Ok(T::default())
        }
        outcome => outcome,
    }
}

fn exit(checks: &[Check], evidence: &[Evidence], strict: bool) -> Exit {
    let failed =
        |of_prompts| checks.iter().any(|c| c.verdict == Verdict::Failed && c.is_of_prompts == of_prompts);
    let is_contradicted = evidence.iter().any(|e| e.shown == Shown::NotMet);
    let is_perfect =
        checks.iter().all(|c| c.verdict == Verdict::Holds) && evidence.iter().all(|e| e.shown == Shown::Met);
    if failed(true) {
        Exit::Mismatch
    } else if failed(false) || is_contradicted || (strict && !is_perfect) {
        Exit::Flawed
    } else {
        Exit::Fine
    }
}

/// What is said of a database that is no ledger that this program can use, or not yet.
fn not_migrated(ctx: &Ctx, look: &Store, state: SchemaState, args: &DoctorArgs) -> Result<Exit> {
    let pending = match &state {
        SchemaState::Pending(pending) => {
            pending.iter().map(|m| format!("{:04}_{}", m.version, m.name)).collect()
        }
        _ => Vec::new(),
    };
    let error = state.into_error(look);
    let document = page::not_migrated(look, &error, pending);
    ctx.print_document(&document, args.output.format.into())?;
    Ok(Exit::NotMigrated)
}
