//! Whether prompt versions and what was sent are what they were.

use super::checks::Checks;
use crate::domain::RunId;
use crate::error::Result;
use crate::guard::{Group, Scanner};
use crate::store::{ReplayedCall, Store, Verdict};

/// How many versions are read at once: each may be megabytes long.
const PAGE: u32 = 50;

/// The checks, in words.
pub(super) const VERSIONS: &str = "a prompt version says what it said when it was pushed";
pub(super) const SENT: &str = "what was sent has the digest stored when it was sent";

/// What prompt versions are.
#[derive(Clone, Copy, Default)]
pub(super) struct Versions {
    pub all: u64,
    pub changed: u64,
    pub with_secret: u64,
}

/// What became of texts that were given back.
#[derive(Clone, Copy, Default)]
pub(super) struct Replayed {
    /// Those that could be tried.
    pub tried: u64,
    /// Those that have the digest that was stored when they were sent.
    pub verified: u64,
    /// Those that are other ones now, or cannot be given back though everything is there.
    pub broken: u64,
    /// A run in which a version was used.
    pub run_id: Option<RunId>,
}

pub(super) async fn versions(store: &Store, checks: &mut Checks) -> Result<Versions> {
    let (mut seen, mut after) = (Versions::default(), 0);
    loop {
        let versions = store.prompt_versions_page(after, PAGE).await?;
        let Some(last) = versions.last() else { break };
        after = last.entry.prompt_version_id;
        for version in &versions {
            seen.all += 1;
            if let Err(error) = version.parsed() {
                seen.changed += 1;
                checks.found("prompts", error.to_string());
            }
            let found = Scanner::shared().scan(&version.source)?;
            if let Some(secret) = found.iter().find(|finding| finding.group == Group::Secret) {
                seen.with_secret += 1;
                let detector = secret.detector;
                checks.found(
                    "prompts",
                    format!("`{}` holds what looks like a secret ({detector})", version.entry),
                );
            }
        }
    }
    checks.add("prompts", VERSIONS, Some(seen.all), seen.changed);
    Ok(seen)
}

/// Replays the newest calls, `sample` of them; without it, all there are.
pub(super) async fn sent(store: &Store, sample: Option<u32>, checks: &mut Checks) -> Result<Replayed> {
    let mut seen = Replayed::default();
    match sample {
        Some(sample) => {
            for (run_id, call_id) in store.newest_sent(sample).await? {
                if let Some(call) = store.replay_call(run_id, call_id).await? {
                    note(&mut seen, run_id, &call, checks);
                }
            }
        }
        None => {
            for run_id in store.runs_with_prompts().await? {
                let mut replay = store.replay(run_id);
                while let Some(call) = replay.next().await? {
                    note(&mut seen, run_id, &call, checks);
                }
            }
        }
    }
    checks.add("prompts", SENT, Some(seen.tried), seen.broken);
    Ok(seen)
}

fn note(seen: &mut Replayed, run_id: RunId, call: &ReplayedCall, checks: &mut Checks) {
    if call.version.is_some() && seen.run_id.is_none() {
        seen.run_id = Some(run_id);
    }
    match &call.verdict {
        // Nothing is left that could be given back, and that is said where it is asked for.
        Verdict::NotRecorded | Verdict::Purged { .. } | Verdict::Redacted { .. } => return,
        Verdict::Verified => seen.verified += 1,
        Verdict::Unproven | Verdict::DigestOnly => {}
        Verdict::Mismatch { .. } | Verdict::Broken { .. } => {
            seen.broken += 1;
            checks.found("prompts", format!("run `{run_id}`, call `{}`: {}", call.call_id, call.verdict));
        }
    }
    seen.tried += 1;
}
