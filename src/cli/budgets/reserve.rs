//! `asmm budgets reserve` and `release`: asking before spending, from the shell.

use crate::cli::context::{Ctx, Exit, print_line, say};
use crate::cli::runs::record::labels;
use crate::domain::{Amount, CallId, Reserve, RunId, Usd};
use crate::error::{Error, Result};
use crate::recorder::Fail;
use crate::store::Reserved;
use clap::Args;
use std::time::Duration;
use uuid::Uuid;

/// How long the shell waits for an answer, which a program has to start for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ask whether a call may be made, and print the id to record it under
///
/// Its amount is held in every budget that the call counts in, until the call is recorded under that id, the reservation is
/// released, or it expires. Exits with 3 when it does not fit into a hard budget; nothing is printed then, and stderr says
/// which and why. When the ledger does not answer in time the id is printed all the same, with a warning;
/// with --fail closed nothing is, and the exit code is 7.
#[derive(Debug, Args)]
pub(crate) struct ReserveArgs {
    /// The run of the call
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    run_id: RunId,
    /// The call's id; give the same one when you try again [default: a new one]
    #[arg(long, value_name = "UUID")]
    call_id: Option<CallId>,
    /// The run's pipeline, when the run may not be in the ledger yet
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pipeline: Option<String>,
    /// The run's label, when the run may not be in the ledger yet; may be given again
    #[arg(long = "label", value_name = "NAME=TEXT", requires = "pipeline")]
    labels: Vec<String>,
    /// The agent
    #[arg(long, value_name = "NAME", default_value = "")]
    agent: String,
    /// The provider: openai, anthropic, …
    #[arg(long, value_name = "NAME", default_value = "")]
    provider: String,
    /// The model
    #[arg(long, value_name = "NAME", default_value = "")]
    model: String,
    /// The service tier: standard, batch, flex, priority
    #[arg(long, value_name = "NAME", default_value = "standard")]
    service_tier: String,
    /// The most that the call may cost, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true, conflicts_with_all = ["input", "output"])]
    usd: Option<Usd>,
    /// The prompt's tokens: the amount is what they and --output cost by the catalogue
    #[arg(long, value_name = "TOKENS", requires = "model")]
    input: Option<u64>,
    /// The most tokens that may be generated
    #[arg(long, value_name = "TOKENS", requires = "model")]
    output: Option<u64>,
    /// How long the amount is held if nothing is recorded, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Reserve::HOLD.as_secs())]
    expires_in: u64,
    /// What an unanswered question and an unknown price mean: open goes on with a warning, closed does not
    /// [default: ASMM_RESERVE_FAIL, asmm.yaml, open]
    #[arg(long, value_name = "open|closed")]
    fail: Option<Fail>,
}

/// Give a reservation back whose call will not be made
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The run of the call
    #[arg(long, value_name = "UUID", env = "ASMM_RUN_ID")]
    run_id: RunId,
    /// The call's id, as `asmm budgets reserve` printed it
    #[arg(long, value_name = "UUID")]
    call_id: CallId,
}

pub(super) async fn reserve(ctx: &Ctx, args: ReserveArgs) -> Result<Exit> {
    let fail = match args.fail {
        Some(fail) => fail,
        None => ctx.recorder().reserve_fail()?,
    };
    let patience = ctx.recorder().reserve_patience()?.unwrap_or(PATIENCE);
    let amount = match (args.usd, args.input, args.output) {
        (Some(amount), _, _) => Amount::Usd(amount),
        (None, None, None) => {
            return Err(Error::usage("how much is to be reserved?")
                .hint("give --usd, or --input and --output tokens with --provider and --model"));
        }
        (None, input, output) => {
            Amount::Tokens { input: input.unwrap_or_default(), output: output.unwrap_or_default() }
        }
    };
    let call_id = args.call_id.unwrap_or_else(|| CallId(Uuid::now_v7()));
    let ask = Reserve {
        pipeline: args.pipeline,
        labels: labels(&args.labels)?,
        agent: args.agent,
        provider: args.provider,
        model: args.model,
        service_tier: args.service_tier,
        expires_in: Duration::from_secs(args.expires_in),
        refuse_unpriced: fail == Fail::Closed,
        ..Reserve::of(args.run_id, call_id, amount)
    };
    ask.check()?;
    let answer = match tokio::time::timeout(patience, ask_ledger(ctx, &ask)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::ledger(format!("the ledger did not answer within {} ms", patience.as_millis()))
            .hint("ASMM_RESERVE_PATIENCE_MS says how long to wait")),
    };
    match answer {
        Ok(reserved) => tell(&reserved),
        Err(error) if error.is_of_the_ledger() && fail == Fail::Open => {
            say(&format!("warning: {error}; the call may be made without a reservation"));
            print_line(&call_id.to_string())?;
            Ok(Exit::Fine)
        }
        Err(error) => Err(error),
    }
}

async fn ask_ledger(ctx: &Ctx, ask: &Reserve) -> Result<Reserved> {
    ctx.store_as_is().await?.reserve(ask).await
}

/// Says what the ledger answered.
fn tell(reserved: &Reserved) -> Result<Exit> {
    if let Some(refusal) = reserved.refusal() {
        say(&format!("refused: {refusal}"));
        return Ok(Exit::Over);
    }
    for warning in reserved.warnings() {
        say(&format!("warning: {warning}"));
    }
    print_line(&reserved.call_id.to_string())?;
    Ok(Exit::Fine)
}

pub(super) async fn release(ctx: &Ctx, args: &ReleaseArgs) -> Result<Exit> {
    let store = ctx.store_as_is().await?;
    let call_id = args.call_id;
    if store.release(args.run_id, call_id).await? {
        say(&format!("the reservation of call `{call_id}` is released"));
    } else {
        say(&format!(
            "call `{call_id}` holds nothing: it was recorded or released before, or never asked for"
        ));
    }
    Ok(Exit::Fine)
}
