//! From files to runs: whose a response is, and in what order they are told.

use super::rollout::{Response, Rollout, Told};
use super::{FORMAT, RolloutSummary};
use crate::domain::{Call, CallId, Event, FinishRun, Outcome, RunId, StartRun, Status, Timestamp};
use crate::error::Result;
use std::collections::{BTreeMap, HashMap};

/// A session that has been quiet for longer than this is over, in microseconds: a day.
const OVER_MICROS: i64 = 86_400_000_000;
/// A fork's copy of its parent's history is written within so many microseconds.
const COPIED_MICROS: i64 = 5_000_000;

/// Gives the events of all sessions to `sink`, in the order of their ids, and fills in `summary`.
pub(super) fn give(
    mut rollouts: Vec<Rollout>,
    now: Timestamp,
    summary: &mut RolloutSummary,
    mut sink: impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let counts: HashMap<String, Vec<Told>> =
        rollouts.iter().map(|r| (r.thread.clone(), told_of(r))).collect();
    for rollout in &mut rollouts {
        summary.lines += rollout.lines;
        summary.duplicates += rollout.duplicates;
        summary.complaints.append(std::mem::take(&mut rollout.complaints));
        summary.inherited += drop_inherited(rollout, &counts);
    }
    let mut runs: BTreeMap<String, BTreeMap<CallId, (Response, usize)>> = BTreeMap::new();
    for (index, rollout) in rollouts.iter_mut().enumerate() {
        for response in std::mem::take(&mut rollout.responses) {
            let (thread, call_id) = identity(rollout, &response);
            let calls = runs.entry(thread).or_default();
            // The same record again is a copy: the earliest says when it was.
            match calls.get(&call_id) {
                Some((known, _)) if known.at <= response.at => summary.duplicates += 1,
                Some(_) => {
                    summary.duplicates += 1;
                    calls.insert(call_id, (response, index));
                }
                None => {
                    calls.insert(call_id, (response, index));
                }
            }
        }
    }
    let own: HashMap<&str, usize> =
        rollouts.iter().enumerate().rev().map(|(index, rollout)| (rollout.thread.as_str(), index)).collect();
    for (thread, calls) in &runs {
        let first_told = calls.values().map(|(_, index)| *index).min().unwrap_or_default();
        let Some(rollout) = rollouts.get(own.get(thread.as_str()).copied().unwrap_or(first_told)) else {
            continue;
        };
        give_run(thread, rollout, calls, now, summary, &mut sink)?;
    }
    Ok(())
}

fn told_of(rollout: &Rollout) -> Vec<Told> {
    let told = rollout.responses.iter().map(|response| &response.told);
    told.filter(|told| matches!(told, Told::Count(_))).cloned().collect()
}

/// Drops what a fork has copied of its parent's counts; answers how many. Records say themselves whose they are.
fn drop_inherited(rollout: &mut Rollout, counts: &HashMap<String, Vec<Told>>) -> u64 {
    let Some(parent) = rollout.forked_from.as_ref().filter(|parent| **parent != rollout.thread) else {
        return 0;
    };
    let mine = told_of(rollout);
    let copied = match (counts.get(parent), rollout.started_at) {
        (Some(theirs), _) => mine.iter().zip(theirs).take_while(|(mine, theirs)| mine == theirs).count(),
        (None, Some(start)) => {
            let is_copy = |response: &Response| response.at <= start.plus_micros(COPIED_MICROS);
            let of_counts = rollout.responses.iter().filter(|r| matches!(r.told, Told::Count(_)));
            of_counts.take_while(|response| is_copy(response)).count()
        }
        (None, None) => 0,
    };
    let mut left = copied;
    rollout.responses.retain(|response| {
        let is_copied = left > 0 && matches!(response.told, Told::Count(_));
        left -= usize::from(is_copied);
        !is_copied
    });
    copied as u64
}

/// The thread that a response belongs to, and its call's id, which are the same whichever file tells of it.
fn identity(rollout: &Rollout, response: &Response) -> (String, CallId) {
    match &response.told {
        Told::Record { thread, response_id } => {
            let thread = thread.as_deref().unwrap_or(&rollout.thread);
            (thread.to_owned(), CallId::derived(&[FORMAT, thread, "response", response_id]))
        }
        Told::Count(total) => {
            let id = CallId::derived(&[FORMAT, &rollout.thread, "total", &total.key()]);
            (rollout.thread.clone(), id)
        }
    }
}

fn give_run(
    thread: &str,
    rollout: &Rollout,
    calls: &BTreeMap<CallId, (Response, usize)>,
    now: Timestamp,
    summary: &mut RolloutSummary,
    sink: &mut impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let mut calls: Vec<(&CallId, &Response)> =
        calls.iter().map(|(id, (response, _))| (id, response)).collect();
    calls.sort_by_key(|(call_id, response)| (response.at, **call_id));
    let (Some((_, first)), Some((_, last))) = (calls.first(), calls.last()) else { return Ok(()) };
    let run_id = RunId::derived(&[FORMAT, thread]);
    let is_own = rollout.thread == thread;
    let parent = rollout.parent.as_deref().filter(|parent| is_own && *parent != thread);
    summary.sessions += 1;
    sink(Event::Run(StartRun {
        run_id,
        pipeline: rollout.pipeline.clone(),
        started_at: rollout.started_at.filter(|_| is_own).map_or(first.at, |start| start.min(first.at)),
        labels: BTreeMap::from([("session".to_owned(), thread.to_owned())]),
        parent_run_id: parent.map(|parent| RunId::derived(&[FORMAT, parent])),
        replay_of: None,
    }))?;
    for (call_id, response) in &calls {
        summary.calls += 1;
        sink(Event::Call(call(run_id, **call_id, response, rollout)))?;
    }
    let last_line = if is_own { rollout.last_line.max(Some(last.at)) } else { Some(last.at) };
    if last_line.is_some_and(|line| line < now.plus_micros(-OVER_MICROS)) {
        let finish = FinishRun { run_id, status: Status::Succeeded, completed_at: Some(last.at) };
        sink(Event::Finish(finish))?;
    }
    Ok(())
}

fn call(run_id: RunId, call_id: CallId, response: &Response, rollout: &Rollout) -> Call {
    let response_id = match &response.told {
        Told::Record { response_id, .. } => Some(response_id.to_string()),
        Told::Count(_) => None,
    };
    Call {
        run_id,
        call_id,
        step_id: None,
        agent: rollout.agent.clone(),
        provider: rollout.provider.clone(),
        model: response.model.to_string(),
        operation: "chat".to_owned(),
        service_tier: "standard".to_owned(),
        called_at: response.at,
        usage: Some(response.usage),
        latency_ms: None,
        outcome: Outcome::Ok,
        response_id,
        pipeline: None,
        prompt: None,
    }
}
