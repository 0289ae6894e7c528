//! From spans to calls.
//!
//! The answer depends on which spans are given, never on their order: what arrives later is resolved together with what
//! is known, and the ledger takes over the difference. Spans report one call when
//!
//! - they name the same response of the same provider, and went on at the same time. An instrumentation tells of a call
//!   once: two spans of one scope are one call only if one is inside the other;
//! - or one is inside the other and at most one of them names a response: what an SDK and an instrumentation around it
//!   report, if outcome and usage agree.
//!
//! A span that names no response and has several calls inside, which together used what it says, repeats them.

use super::merge::{add, is_alike, richer};
use super::{Report, Span, SpanId};
use crate::domain::{Call, CallId, Outcome, RunId, StartStep, Status, StepId, Timestamp, TokenUsage};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// How far up ancestors are looked for.
const MAX_DEPTH: usize = 256;

/// What spans mean.
#[derive(Debug, Default, PartialEq)]
pub struct Resolved {
    /// The calls, by run and id. Each names its pipeline.
    pub calls: BTreeMap<(RunId, CallId), Call>,
    /// The runs that they belong to.
    pub runs: BTreeMap<RunId, SpanRun>,
    /// The steps that they belong to.
    pub steps: BTreeMap<(RunId, StepId), StartStep>,
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

/// A place among the spans.
type Place = usize;

struct Spans<'s> {
    all: Vec<&'s Span>,
    parents: Vec<Option<Place>>,
    /// Of each span that reports a call, the nearest one around it that does.
    around: HashMap<Place, Place>,
}

/// Resolves spans; of two with the same id the first counts.
pub fn resolve<'s>(spans: impl IntoIterator<Item = &'s Span>) -> Resolved {
    let spans = Spans::new(spans);
    let groups = spans.groups();
    let mut resolved = Resolved::default();
    let mut named: HashMap<(&str, &str), usize> = HashMap::new();
    for group in &groups {
        spans.add_call(group, &mut named, &mut resolved);
    }
    spans.complete(&mut resolved.runs);
    resolved
}

impl<'s> Spans<'s> {
    fn new(given: impl IntoIterator<Item = &'s Span>) -> Self {
        let mut spans: Vec<&Span> = given.into_iter().collect();
        // The order in which everything is decided: by time, then by id.
        spans.sort_by_key(|span| (span.started_at, span.trace_id, span.span_id));
        let mut places: HashMap<(Uuid, SpanId), Place> = HashMap::with_capacity(spans.len());
        for (place, span) in spans.iter().enumerate() {
            places.entry((span.trace_id, span.span_id)).or_insert(place);
        }
        let parent = |(place, span): (Place, &&Span)| {
            let parent = places.get(&(span.trace_id, span.parent_id?)).copied();
            parent.filter(|parent| *parent != place)
        };
        let parents = spans.iter().enumerate().map(parent).collect();
        let mut spans = Self { all: spans, parents, around: HashMap::new() };
        let reporting = (0..spans.all.len()).filter(|place| spans.report(*place).is_some());
        let around = reporting
            .filter_map(|place| {
                let around = spans.ancestors(place).skip(1).find(|around| spans.report(*around).is_some())?;
                Some((place, around))
            })
            .collect();
        spans.around = around;
        spans
    }

    fn report(&self, place: Place) -> Option<&'s Report> {
        self.all[place].report.as_ref()
    }

    /// A span and those around it, the nearest first.
    fn ancestors(&self, place: Place) -> impl Iterator<Item = Place> + '_ {
        std::iter::successors(Some(place), |place| self.parents[*place]).take(MAX_DEPTH)
    }

    fn is_inside(&self, inner: Place, outer: Place) -> bool {
        self.all[inner].trace_id == self.all[outer].trace_id
            && self.ancestors(inner).any(|place| place == outer)
    }

    /// The spans of each call, in order.
    fn groups(&self) -> Vec<Vec<Place>> {
        let mut groups: Vec<Vec<Place>> = Vec::new();
        let mut group_of: HashMap<Place, usize> = HashMap::new();
        let mut by_response: HashMap<&str, Vec<usize>> = HashMap::new();
        for place in 0..self.all.len() {
            let Some(response_id) = self.report(place).and_then(|report| report.response_id.as_deref())
            else {
                continue;
            };
            let known = by_response.entry(response_id).or_default();
            let group = known.iter().copied().find(|group| self.is_same_response(place, &groups[*group]));
            let group = group.unwrap_or_else(|| {
                groups.push(Vec::new());
                known.push(groups.len() - 1);
                groups.len() - 1
            });
            groups[group].push(place);
            group_of.insert(place, group);
        }

        self.place_nameless(&mut groups, &mut group_of);
        // And those inside of one that does name a response.
        self.join_outer(&mut groups, &mut group_of);
        for group in &mut groups {
            group.sort_unstable();
        }
        groups.retain(|group| !group.is_empty());
        groups.sort_unstable();
        groups
    }

    /// Those that name no response: from the innermost outwards, so that what is inside is known.
    fn place_nameless(&self, groups: &mut Vec<Vec<Place>>, group_of: &mut HashMap<Place, usize>) {
        let mut nameless: Vec<(usize, Place)> = (0..self.all.len())
            .filter(|place| self.report(*place).is_some() && !group_of.contains_key(place))
            .map(|place| (self.ancestors(place).count(), place))
            .collect();
        nameless.sort_unstable_by_key(|(depth, place)| (std::cmp::Reverse(*depth), *place));
        let mut inside: HashMap<Place, Vec<Place>> = HashMap::new();
        for (inner, outer) in &self.around {
            inside.entry(*outer).or_default().push(*inner);
        }
        for (_, place) in nameless {
            let mut inner: Vec<usize> = Vec::new();
            let mut queue = inside.get(&place).cloned().unwrap_or_default();
            while let Some(next) = queue.pop() {
                match group_of.get(&next) {
                    Some(group) => inner.push(*group),
                    // It repeats what is inside of it, which is then inside of this one.
                    None => queue.extend(inside.get(&next).into_iter().flatten()),
                }
            }
            inner.sort_unstable();
            inner.dedup();
            inner.retain(|group| groups[*group].iter().any(|member| self.contains(place, *member)));
            match self.place_among(place, &inner, groups) {
                Among::Joins(group) => {
                    groups[group].push(place);
                    group_of.insert(place, group);
                }
                Among::Repeats => {}
                Among::IsItsOwn => {
                    groups.push(vec![place]);
                    group_of.insert(place, groups.len() - 1);
                }
            }
        }
    }

    /// Calls without a response's id join the one that they are inside of, if that one says the same.
    fn join_outer(&self, groups: &mut [Vec<Place>], group_of: &mut HashMap<Place, usize>) {
        for from in 0..groups.len() {
            let [first, ..] = groups[from][..] else { continue };
            let is_nameless = groups[from]
                .iter()
                .all(|p| self.report(*p).is_some_and(|report| report.response_id.is_none()));
            if !is_nameless {
                continue;
            }
            let outer = groups[from].iter().find_map(|place| self.around.get(place)).copied();
            let Some((outer, into)) = outer.and_then(|outer| Some((outer, *group_of.get(&outer)?))) else {
                continue;
            };
            let names_response = self.report(outer).is_some_and(|report| report.response_id.is_some());
            if into != from
                && names_response
                && self.contains(outer, first)
                && self.agree(outer, &groups[from])
            {
                let members = std::mem::take(&mut groups[from]);
                for member in &members {
                    group_of.insert(*member, into);
                }
                groups[into].extend(members);
            }
        }
    }

    fn is_same_response(&self, place: Place, group: &[Place]) -> bool {
        let mut is_same = false;
        for member in group {
            let related = self.is_inside(place, *member) || self.is_inside(*member, place);
            let (one, other) = (self.all[place], self.all[*member]);
            if one.scope == other.scope && !related {
                return false;
            }
            let providers = (self.provider(place), self.provider(*member));
            let same_provider =
                providers.0.is_empty() || providers.1.is_empty() || providers.0 == providers.1;
            is_same |= one.overlaps(other) && (related || same_provider);
        }
        is_same
    }

    fn provider(&self, place: Place) -> &'s str {
        self.report(place).map_or("", |report| report.provider.as_str())
    }

    /// Whether a span goes on for as long as one inside it; clocks of one process are one clock.
    fn contains(&self, outer: Place, inner: Place) -> bool {
        let (outer, inner) = (self.all[outer], self.all[inner]);
        outer.started_at <= inner.started_at && inner.started_at <= outer.ended_at
    }

    /// What a span that names no response is to the calls inside of it.
    fn place_among(&self, place: Place, inner: &[usize], groups: &[Vec<Place>]) -> Among {
        let report = self.report(place);
        let is_outer = report.is_some_and(|report| report.is_outer);
        let usage = report.and_then(|report| report.usage);
        if inner.is_empty() {
            return Among::IsItsOwn;
        }
        if let [only] = inner
            && !is_outer
            && self.agree(place, &groups[*only])
        {
            return Among::Joins(*only);
        }
        let Some(usage) = usage.filter(|_| !is_outer) else { return Among::Repeats };
        let mut sum = TokenUsage::default();
        for group in inner {
            add(&mut sum, self.usage(&groups[*group]).unwrap_or_default());
        }
        // Part of what is inside may still be on its way: it is not counted twice meanwhile.
        let covers = usage.whole_input() >= sum.whole_input()
            && usage.whole_output() >= sum.whole_output()
            && usage.embedding >= sum.embedding;
        // The last of several attempts, or of several turns, is repeated by some.
        let is_one =
            inner.iter().any(|group| self.usage(&groups[*group]).is_some_and(|of| is_alike(&of, &usage)));
        if covers || is_one { Among::Repeats } else { Among::IsItsOwn }
    }

    /// Whether a span can be another report of a call: the same outcome, and the same usage where both know it.
    fn agree(&self, place: Place, group: &[Place]) -> bool {
        if self.all[place].outcome() != self.outcome(group) {
            return false;
        }
        let mine = self.report(place).and_then(|report| report.usage);
        match (mine, self.usage(group)) {
            (Some(mine), Some(theirs)) => is_alike(&mine, &theirs),
            _ => true,
        }
    }

    fn outcome(&self, group: &[Place]) -> Outcome {
        let all_failed = group.iter().all(|place| self.all[*place].is_error);
        if all_failed { Outcome::Error } else { Outcome::Ok }
    }

    /// What is known of a call's usage: of each side the largest, and of those the finest.
    fn usage(&self, group: &[Place]) -> Option<TokenUsage> {
        group.iter().filter_map(|place| self.report(*place)?.usage).reduce(richer)
    }

    fn add_call<'n>(
        &'n self,
        group: &[Place],
        named: &mut HashMap<(&'n str, &'n str), usize>,
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
                // A server may give an id again: later calls with it are told apart by their first span.
                let before = named.entry((provider, response_id)).or_default();
                *before += 1;
                if *before == 1 {
                    CallId::derived(&["otel", provider, response_id])
                } else {
                    self.id_of_span(first)
                }
            }
            None => self.id_of_span(first),
        };
        let model = first_name(|report| &report.model).or_else(|| first_name(|report| &report.asked_model));
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
        let call = Call {
            run_id,
            call_id,
            step_id: step.as_ref().map(|step| step.step_id),
            agent,
            provider: provider.to_owned(),
            model: model.unwrap_or("unknown").to_owned(),
            operation: first_name(|report| &report.operation).unwrap_or("chat").to_owned(),
            service_tier: first_name(|report| &report.service_tier).unwrap_or("standard").to_owned(),
            called_at: started_at,
            usage: self.usage(group),
            latency_ms: Some(latency),
            outcome: self.outcome(group),
            response_id: response_id.map(str::to_owned),
            pipeline: None,
            prompt: None,
        };
        if let Some(step) = step {
            resolved.steps.entry((run_id, step.step_id)).or_insert(step);
        }
        resolved.calls.insert((run_id, call_id), call);
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
        let span = self.all[place];
        CallId::derived(&["otel-span", &span.trace_id.simple().to_string(), &span.span_id.to_string()])
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

/// What a span that names no response is to the calls inside of it.
enum Among {
    /// Another report of that call.
    Joins(usize),
    /// It says together what those say one by one.
    Repeats,
    /// A call of its own.
    IsItsOwn,
}
