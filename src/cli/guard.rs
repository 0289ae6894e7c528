//! `asmm guard`: what may go into a prompt, what was found, and what nobody looked at.

mod coverage;
mod events;
mod rules;
mod sarif;
mod scan;
mod sweep;

use super::context::{Ctx, Exit};
use crate::error::Result;
use crate::guard::{Fingerprinter, Guard};
use crate::recorder::{Door, LazyGuard};
use crate::settings;
use clap::Subcommand;

/// The guard: no secret and no accidental personal data in a prompt
#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    Scan(scan::ScanArgs),
    Events(events::EventsArgs),
    Coverage(coverage::CoverageArgs),
    Sweep(sweep::SweepArgs),
    Rules(rules::RulesArgs),
}

pub(super) async fn run(ctx: &Ctx, command: GuardCommand) -> Result<Exit> {
    match command {
        GuardCommand::Scan(args) => scan::run(ctx, &args),
        GuardCommand::Events(args) => events::run(ctx, args).await,
        GuardCommand::Coverage(args) => coverage::run(ctx, args).await,
        GuardCommand::Sweep(args) => sweep::run(ctx, args).await,
        GuardCommand::Rules(args) => rules::run(ctx, &args),
    }
}

impl Ctx {
    /// The guard with the project's policy and this machine's key, which is made when it is first needed.
    pub(crate) fn guard(&self) -> Result<Guard> {
        Ok(Guard::new(self.policy().clone(), settings::key::fingerprints()?))
    }

    /// The door for texts from outside.
    pub(crate) fn door(&self) -> Door {
        Door::new(LazyGuard::new(self.policy().clone()), self.clock)
    }
}

/// Fingerprints that are good for one ledger that is thrown away.
pub(in crate::cli) fn passing_fingerprints() -> Result<Fingerprinter> {
    Ok(Fingerprinter::new(settings::key::random()?))
}
