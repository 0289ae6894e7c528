//! `asmm guard`: what may go into a prompt, what was found, and what nobody looked at.

pub(super) mod admit;
mod coverage;
mod events;
mod key;
mod rules;
mod sarif;
mod scan;
mod sweep;

use super::context::{Ctx, Exit, say};
use crate::error::Result;
use crate::guard::{Fingerprinter, Guard};
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
        Ok(Guard::new(self.policy().clone(), fingerprints()?))
    }
}

/// The fingerprints of this machine. Without a place for a key they are good for this process only: a text is
/// sanitised all the same.
fn fingerprints() -> Result<Fingerprinter> {
    match key::load() {
        Ok(key) => Fingerprinter::from_hex(&key),
        Err(error) if error.kind() == crate::error::ErrorKind::Io => {
            say(&format!("warning: {error}"));
            say("warning: fingerprints of this command cannot be compared with any other's");
            Ok(Fingerprinter::new(key::random()?))
        }
        Err(error) => Err(error),
    }
}

/// Fingerprints that are good for one ledger that is thrown away.
pub(in crate::cli) fn passing_fingerprints() -> Result<Fingerprinter> {
    Ok(Fingerprinter::new(key::random()?))
}
