//! From responses to runs: which of them count, and in what order they are told.

use super::LogSummary;
use super::responses::{FORMAT, Response, Responses, Words};
use crate::domain::{Call, CallId, Event, FinishRun, Outcome, RunId, StartRun, Status, Timestamp};
use crate::error::Result;
use std::collections::BTreeMap;

const MINUTE_MICROS: i64 = 60_000_000;
/// A response whose last line is younger than this may still be growing.
const SETTLED_MICROS: i64 = 5 * MINUTE_MICROS;
/// A session that has been quiet for longer than this is over.
const OVER_MICROS: i64 = 24 * 60 * MINUTE_MICROS;

type Counted = (CallId, Response);

/// Gives the events of all sessions to `sink`, in the order of their names, and fills in `summary`.
pub(super) fn give(
    all: Responses,
    now: Timestamp,
    summary: &mut LogSummary,
    mut sink: impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let Responses { words, by_call, lines, bytes, synthetic } = all;
    summary.lines = lines;
    summary.bytes = bytes;
    summary.synthetic = synthetic;
    let counted = without_replays(by_call.into_iter().collect(), &words, summary);
    let mut sessions: BTreeMap<&str, Vec<Counted>> = BTreeMap::new();
    for (call_id, response) in counted {
        sessions.entry(words.word(response.told.session)).or_default().push((call_id, response));
    }
    for (session, mut calls) in sessions {
        calls.sort_by_key(|(call_id, response)| (response.first, *call_id));
        give_session(session, &calls, &words, now, summary, &mut sink)?;
    }
    Ok(())
}

/// Drops replays, and folds lines without a request id into the response that has one.
fn without_replays(mut all: Vec<Counted>, words: &Words, summary: &mut LogSummary) -> Vec<Counted> {
    // Of one message, the original comes first: the main conversation, then with a request id, then the
    // earliest. The call's id makes the order total.
    all.sort_by(|(a_id, a), (b_id, b)| {
        let rank = |r: &Response| (r.told.is_sidechain, !r.has_request_id, r.first);
        a.message_id.cmp(&b.message_id).then(rank(a).cmp(&rank(b))).then(a_id.cmp(b_id))
    });
    let mut counted: Vec<Counted> = Vec::with_capacity(all.len());
    for (call_id, response) in all {
        let lines = u64::from(response.lines);
        match counted.last_mut().filter(|(_, original)| original.message_id == response.message_id) {
            Some((_, original)) if !response.has_request_id => {
                original.absorb(&response, words);
                summary.duplicates += lines;
            }
            Some(_) if response.told.is_sidechain => summary.replays += lines,
            _ => {
                summary.duplicates += lines - 1;
                counted.push((call_id, response));
            }
        }
    }
    counted
}

fn give_session(
    session: &str,
    calls: &[Counted],
    words: &Words,
    now: Timestamp,
    summary: &mut LogSummary,
    sink: &mut impl FnMut(Event) -> Result<()>,
) -> Result<()> {
    let is_settled = |response: &Response| response.last <= now.plus_micros(-SETTLED_MICROS);
    let settled = || calls.iter().filter(|(_, response)| is_settled(response));
    let count = settled().count() as u64;
    summary.held_back += calls.len() as u64 - count;
    // The earliest call, settled or not, so that the next import tells the same start.
    let Some((_, first)) = calls.first().filter(|_| count > 0) else { return Ok(()) };
    summary.sessions += 1;
    summary.calls += count;
    let run_id = RunId::derived(&[FORMAT, session]);
    sink(Event::Run(StartRun {
        run_id,
        pipeline: project(calls, words).to_owned(),
        started_at: first.first,
        labels: BTreeMap::from([("session".to_owned(), session.to_owned())]),
        parent_run_id: None,
        replay_of: None,
    }))?;
    for (call_id, response) in settled() {
        sink(Event::Call(call(run_id, *call_id, response, words)))?;
    }
    let last_line = calls.iter().map(|(_, response)| response.last).max();
    if last_line.is_some_and(|last| last < now.plus_micros(-OVER_MICROS)) {
        let completed_at = settled().map(|(_, response)| response.first).max();
        sink(Event::Finish(FinishRun { run_id, status: Status::Succeeded, completed_at }))?;
    }
    Ok(())
}

/// The session's project: a session copied to another project keeps one, that of most of its calls.
fn project<'w>(calls: &[Counted], words: &'w Words) -> &'w str {
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, response) in calls {
        *votes.entry(words.word(response.told.project)).or_default() += 1;
    }
    votes.into_iter().rev().max_by_key(|&(_, votes)| votes).map_or("", |(name, _)| name)
}

fn call(run_id: RunId, call_id: CallId, response: &Response, words: &Words) -> Call {
    let told = &response.told;
    Call {
        run_id,
        call_id,
        step_id: None,
        agent: words.word(told.agent).to_owned(),
        provider: "anthropic".to_owned(),
        model: words.word(told.model).to_owned(),
        operation: "chat".to_owned(),
        service_tier: words.word(told.service_tier).to_owned(),
        called_at: response.first,
        usage: Some(told.usage()),
        latency_ms: None,
        outcome: Outcome::Ok,
        response_id: Some(response.message_id.to_string()),
        pipeline: None,
        prompt: None,
    }
}
