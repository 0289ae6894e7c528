//! From spans to calls.
//!
//! The answer depends on which spans are given, never on their order: what arrives later is resolved together with what
//! is known, and the ledger takes over the difference. Spans report one call when
//!
//! - they name the same response of the same provider, and went on at the same time. An instrumentation tells of a call
//!   once: two spans of one scope are one call only if one is inside the other;
//! - or one is inside the other and at most one of them names a response: what an SDK and an instrumentation around it
//!   report, if outcome and usage agree;
//! - or two instrumentations tell of it in one trace, one span within the time of the other, and at most one names a response.
//!
//! A span that names no response and has several calls inside, which together used what it says, repeats them.

use super::groups::{Place, Spans};
use super::{Report, Span};
use crate::domain::{Call, CallId, CallPrompt, GuardEvent, RunId, StartStep, Status, StepId, Timestamp};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// What spans mean.
#[derive(Debug, Default, PartialEq)]
pub struct Resolved {
    /// The calls, by run and id.
    pub calls: BTreeMap<(RunId, CallId), Call>,
    /// The runs that they belong to.
    pub runs: BTreeMap<RunId, SpanRun>,
    /// The steps that they belong to.
    pub steps: BTreeMap<(RunId, StepId), StartStep>,
    /// What the guard decided about what was sent and answered in the calls.
    pub decided: BTreeMap<(RunId, CallId), Vec<GuardEvent>>,
}

/// A run, as far as spans tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRun {
    /// Which pipeline it executes.
    pub pipeline: String,
    /// When the first of its spans that is known started.
    pub started_at: Timestamp,
    /// The conversation it is a part of, if the run is a trace.
    pub conversation: Option<String>,
    /// How and when it ended: when the run is a trace and its root is known.
    pub end: Option<(Status, Timestamp)>,
}

impl SpanRun {
    /// What other spans say of the same run.
    pub fn add(&mut self, other: Self) {
        if other.started_at < self.started_at {
            self.started_at = other.started_at;
            self.pipeline = other.pipeline;
        }
        self.conversation = self.conversation.take().or(other.conversation);
        self.end = self.end.or(other.end);
    }
}

/// Resolves spans; of two with the same id the first counts.
pub fn resolve<'s>(spans: impl IntoIterator<Item = &'s Span>) -> Resolved {
    let spans = Spans::new(spans);
    let groups = spans.groups();
    let mut resolved = Resolved::default();
    let mut named = HashMap::new();
    for group in &groups {
        spans.add_call(group, &mut named, &mut resolved);
    }
    spans.complete(&mut resolved.runs);
    resolved
}

/// What was sent and answered in a call, and what the guard decided about it.
#[derive(Default)]
struct Told<'s> {
    prompt: Option<Box<CallPrompt>>,
    decided: Vec<&'s GuardEvent>,
}

impl<'s> Told<'s> {
    fn of(sent: Option<&'s Report>, answered: Option<&'s Report>) -> Self {
        let is_one = sent.zip(answered).is_some_and(|(sent, answered)| std::ptr::eq(sent, answered));
        let reports = || sent.into_iter().chain(answered.filter(|_| !is_one));
        let prompts = || reports().filter_map(|report| report.prompt.as_deref());
        if reports().next().is_none() {
            return Self::default();
        }
        let (of_sent, of_answered) =
            (sent.and_then(|r| r.prompt.as_ref()), answered.and_then(|r| r.prompt.as_ref()));
        let prompt = CallPrompt {
            text_sha256: of_sent.and_then(|prompt| prompt.text_sha256),
            messages: of_sent.and_then(|prompt| prompt.messages.clone()),
            output_sha256: of_answered.and_then(|prompt| prompt.output_sha256),
            output: of_answered.and_then(|prompt| prompt.output.clone()),
            sanitisation: prompts()
                .map(|prompt| prompt.sanitisation)
                .max_by_key(|state| state.concern())
                .unwrap_or_default(),
            redacted_at: prompts().filter_map(|prompt| prompt.redacted_at).min(),
            ..CallPrompt::default()
        };
        let decided = reports().flat_map(|report| &report.decided).collect();
        Self { prompt: Some(Box::new(prompt)), decided }
    }

    /// The decisions as those about a call: the same one of the same call is the same event, however often it is told.
    fn decided_in(&self, run_id: RunId, call_id: CallId) -> Vec<GuardEvent> {
        let of_call = |event: &&GuardEvent| {
            let name = format!("{} {} {}", run_id.0, call_id.0, event.event_id);
            GuardEvent {
                event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
                run_id: Some(run_id),
                call_id: Some(call_id),
                ..(*event).clone()
            }
        };
        self.decided.iter().map(of_call).collect()
    }
}

impl<'s> Spans<'s> {
    fn add_call<'n>(
        &'n self,
        group: &[Place],
        named: &mut HashMap<(RunId, &'n str, &'n str), usize>,
        resolved: &mut Resolved,
    ) {
        let Some(first) = group.first().copied() else { return };
        let reports = || group.iter().filter_map(|place| self.report(*place));
        let first_name = |of: fn(&Report) -> &str| reports().map(of).find(|name| !name.is_empty());
        let nearest = |of: &dyn Fn(&'s Span) -> bool| self.nearest(group, of);
        let run = nearest(&|span| span.run_id.is_some()).and_then(|span| span.run_id);
        // The trace of the report with the most around it knows most.
        let home = group
            .iter()
            .copied()
            .max_by_key(|place| (self.ancestors(*place).take(2).count(), std::cmp::Reverse(*place)));
        let run_id = run.unwrap_or(RunId(self.all[home.unwrap_or(first)].trace_id));
        let provider = first_name(|report| &report.provider).unwrap_or_default();
        let response_id = reports().find_map(|report| report.response_id.as_deref());
        let call_id = match response_id {
            Some(response_id) => {
                // A server may give an id again: later calls of the run with it are told apart by their first span.
                let before = named.entry((run_id, provider, response_id)).or_default();
                *before += 1;
                if *before == 1 {
                    CallId::derived(&["otel", provider, response_id])
                } else {
                    self.id_of_span(first)
                }
            }
            None => self.id_of_span(first),
        };
        let agent =
            nearest(&|span| span.agent.is_some()).and_then(|span| span.agent.clone()).unwrap_or_default();
        let pipeline = nearest(&|span| span.pipeline.is_some()).and_then(|span| span.pipeline.clone());
        let pipeline = pipeline.unwrap_or_else(|| "otel".to_owned());
        let started_at = self.all[first].started_at;
        let ended_at = group.iter().map(|place| self.all[*place].ended_at).max().unwrap_or(started_at);
        let latency = u64::try_from(ended_at.micros() - started_at.micros()).unwrap_or_default() / 1000;
        let conversation = nearest(&|span| span.conversation.is_some() && run.is_none());
        let conversation = conversation.and_then(|span| span.conversation.clone());
        let of_run = resolved.runs.entry(run_id).or_insert_with(|| SpanRun {
            pipeline: pipeline.clone(),
            started_at,
            conversation: None,
            end: None,
        });
        of_run.started_at = of_run.started_at.min(started_at);
        of_run.conversation = of_run.conversation.take().or(conversation);
        let step = self.step(group, run_id, &agent);
        let mut told = self.told(group);
        let call = Call {
            run_id,
            call_id,
            step_id: step.as_ref().map(|step| step.step_id),
            agent,
            provider: provider.to_owned(),
            model: self.model(group).to_owned(),
            operation: first_name(|report| &report.operation).unwrap_or("chat").to_owned(),
            service_tier: first_name(|report| &report.service_tier).unwrap_or("standard").to_owned(),
            called_at: started_at,
            usage: self.usage(group),
            latency_ms: Some(latency),
            outcome: self.outcome(group),
            response_id: response_id.map(str::to_owned),
            pipeline: None,
            prompt: told.prompt.take(),
        };
        if !told.decided.is_empty() {
            resolved.decided.insert((run_id, call_id), told.decided_in(run_id, call_id));
        }
        if let Some(step) = step {
            resolved.steps.entry((run_id, step.step_id)).or_insert(step);
        }
        resolved.calls.insert((run_id, call_id), call);
    }

    /// The model that answered, else the one that was asked. Who names the response has seen it: some others say that what was asked
    /// has answered.
    fn model(&self, group: &[Place]) -> &'s str {
        let reports = || group.iter().filter_map(|place| self.report(*place));
        let seen = reports().filter(|report| report.response_id.is_some());
        let answered = seen.chain(reports()).map(|report| report.model.as_str());
        let asked = reports().map(|report| report.asked_model.as_str());
        answered.chain(asked).find(|name| !name.is_empty()).unwrap_or("unknown")
    }

    /// What was sent, and what was answered: each as the innermost report says that says it, which is nearest to the provider.
    fn told(&self, group: &[Place]) -> Told<'s> {
        let innermost = |says: fn(&CallPrompt) -> bool| {
            let saying = group.iter().filter(|place| {
                self.report(**place)
                    .and_then(|report| report.prompt.as_ref())
                    .is_some_and(|prompt| says(prompt))
            });
            let place = saying.max_by_key(|place| (self.ancestors(**place).count(), **place))?;
            self.report(*place)
        };
        let sent = innermost(|prompt| prompt.text_sha256.is_some());
        let answered = innermost(|prompt| prompt.output_sha256.is_some());
        Told::of(sent, answered)
    }

    /// The step that a call belongs to: the one that is named, or the span that says which prompt version it uses.
    fn step(&self, group: &[Place], run_id: RunId, agent: &str) -> Option<StartStep> {
        let version = self.nearest(group, &|span| span.prompt_version.is_some());
        let named = self.nearest(group, &|span| span.step_id.is_some());
        let span = named.or(version)?;
        let trace = span.trace_id.simple().to_string();
        let derived = || StepId::derived(&["otel-step", &trace, &span.span_id.to_string()]);
        Some(StartStep {
            run_id,
            step_id: span.step_id.unwrap_or_else(derived),
            step: Some(span.name.clone())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "span".to_owned()),
            agent: agent.to_owned(),
            prompt_version: version.and_then(|span| span.prompt_version.clone()),
            attempt: 1,
            started_at: Some(span.started_at),
            status: None,
            completed_at: None,
        })
    }

    /// What all spans of a trace say about the run that it is.
    fn complete(&self, runs: &mut BTreeMap<RunId, SpanRun>) {
        for span in &self.all {
            let Some(run) = runs.get_mut(&RunId(span.trace_id)) else { continue };
            run.started_at = run.started_at.min(span.started_at);
            if span.parent_id.is_none() && run.end.is_none() {
                let status = if span.is_error { Status::Failed } else { Status::Succeeded };
                run.end = Some((status, span.ended_at));
            }
        }
    }

    fn id_of_span(&self, place: Place) -> CallId {
        self.all[place].own_call_id()
    }

    /// The nearest span around a call's that says something, those spans included.
    fn nearest(&self, group: &[Place], says: &dyn Fn(&'s Span) -> bool) -> Option<&'s Span> {
        let found = group.iter().filter_map(|place| {
            let (distance, found) =
                self.ancestors(*place).enumerate().find(|(_, place)| says(self.all[*place]))?;
            Some((distance, *place, found))
        });
        found.min().map(|(_, _, found)| self.all[found])
    }
}
