//! The guard at the registry's door: no secret becomes part of a version.

use super::complain;
use super::files::FoundPrompt;
use crate::cli::context::{Ctx, counted, say};
use crate::domain::{Decision, GuardEvent};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::About;

/// What the guard says of prompt files.
pub(super) struct Looked {
    /// What it decided, to be recorded.
    pub events: Vec<GuardEvent>,
    refused: usize,
}

impl Looked {
    /// An error if a file is refused; why was said for each.
    pub fn refuse(&self) -> Result<()> {
        if self.refused == 0 {
            return Ok(());
        }
        let files = counted(self.refused, "file is", "files are");
        Err(Error::new(ErrorKind::Guard, format!("{files} refused by the guard"))
            .hint("correct what is named above; RUNBOOK.md says what may go into a prompt"))
    }
}

/// Looks at files before they become versions. What is refused is said on stderr, and what will be sent as it is.
pub(super) fn look(ctx: &Ctx, found: &[FoundPrompt], no_allow_raw: bool) -> Result<Looked> {
    let guard = ctx.guard()?.refusing_raw(no_allow_raw);
    let now = ctx.clock.now();
    let today = now.to_utc().date_naive();
    let mut looked = Looked { events: Vec::new(), refused: 0 };
    for found in found {
        let at = |error: Error| error.at(found.shown());
        let content = &found.prompt.content;
        let decisions = guard.look_at_template(&found.prompt.source, content).map_err(at)?;
        let about = About { prompt: Some(found.prompt.name.clone()), ..About::default() };
        looked.events.extend(decisions.events(&about, guard.policy_sha256(), now));
        let refusals = [decisions.refusal(), guard.check_raw(content).err()];
        looked.refused += usize::from(refusals.iter().any(Option::is_some));
        refusals.into_iter().flatten().map(at).for_each(|error| complain(&error));
        for one in decisions.all().iter().filter(|one| one.decision == Decision::AllowRaw) {
            let at = one.line_column.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            say(&format!(
                "warning: {}{at}: the template holds personal data (`{}`), which is sent as it is each time",
                found.shown(),
                one.detector
            ));
        }
        for (name, variable) in &content.variables {
            let expired =
                variable.allow_raw.as_ref().and_then(|allow| allow.expires).filter(|last| *last < today);
            if let Some(last) = expired {
                say(&format!(
                    "warning: {}: variable `{name}`: `allow_raw` expired on {last}: it is redacted now",
                    found.shown()
                ));
            }
        }
    }
    Ok(looked)
}
