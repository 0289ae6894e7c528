//! Calls as pipelines make them: a few pipelines, agents and models do most of the work, most runs are short
//! and a few are long. The same seed gives the same ledger.

use asmm::domain::{
    Call, CallId, Event, FinishRun, Outcome, RunId, StartRun, StartStep, Status, StepId, Timestamp,
    TokenUsage,
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Days a ledger reaches back.
pub(crate) const DAYS: u64 = 90;
const DAY_MICROS: i64 = 86_400_000_000;
const PIPELINES: u64 = 12;
/// Agents of one pipeline, each with a step of its own.
const AGENTS: usize = 5;

/// Provider, model, mean prompt, mean answer; from the most to the least used.
const MODELS: [(&str, &str, u64, u64); 9] = [
    ("openai", "gpt-4o-mini", 1_800, 250),
    ("anthropic", "claude-sonnet-4-5-20250929", 6_000, 700),
    ("openai", "gpt-4o", 2_500, 400),
    ("openai", "text-embedding-3-small", 700, 0),
    ("anthropic", "claude-haiku-4-5-20251001", 3_000, 300),
    ("google", "gemini-2.5-flash", 4_000, 350),
    ("openai", "gpt-5-mini", 2_000, 500),
    ("google", "gemini-2.5-pro", 8_000, 900),
    ("", "our-own-model", 1_000, 200),
];

/// `SplitMix64`: small, and good enough to spread work.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, evenly.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Below `end`; the n-th is about n times rarer than the first.
    fn skewed(&mut self, end: u64) -> u64 {
        let whole: u64 = (1..=end).map(|n| 1_000_000 / n).sum();
        let mut at = self.below(whole);
        for n in 1..=end {
            let weight = 1_000_000 / n;
            if at < weight {
                return n - 1;
            }
            at -= weight;
        }
        0
    }

    /// A run's calls: 12 or more; each doubling is about half as likely; at most 6,000.
    fn run_length(&mut self) -> u64 {
        (12 * 1_000_000 / (1 + self.below(1_000_000))).min(6_000)
    }

    fn id(&mut self, at: Timestamp) -> Uuid {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.micros() / 1000).unwrap_or(0), &bytes)
            .into_uuid()
    }
}

/// A run that calls can be made in.
pub(crate) struct Work {
    pub start: StartRun,
    pub steps: Vec<StartStep>,
    at: Timestamp,
}

impl Work {
    pub(crate) fn new(random: &mut Random, at: Timestamp) -> Self {
        let pipeline = format!("pipeline-{}", random.skewed(PIPELINES));
        let run_id = RunId(random.id(at));
        let steps = (0..AGENTS)
            .map(|n| StartStep {
                run_id,
                step_id: StepId(random.id(at)),
                step: format!("step-{n}"),
                agent: format!("{pipeline}/agent-{n}"),
                prompt_version: None,
                attempt: 1,
                started_at: Some(at),
                status: None,
                completed_at: None,
            })
            .collect();
        let labels = BTreeMap::from([("batch".to_owned(), random.below(1000).to_string())]);
        let start =
            StartRun { run_id, pipeline, started_at: at, labels, parent_run_id: None, replay_of: None };
        Self { start, steps, at }
    }

    /// The next call of the run, some seconds after the one before.
    pub(crate) fn call(&mut self, random: &mut Random) -> Call {
        self.at = self.at.plus_micros(i64::try_from(100_000 + random.below(2_000_000)).unwrap_or(0));
        let step = usize::try_from(random.skewed(AGENTS as u64)).unwrap_or(0);
        let place = usize::try_from(random.skewed(MODELS.len() as u64)).unwrap_or(0);
        let (provider, model, prompt, answer) = MODELS[place];
        let is_embedding = answer == 0;
        let prompt = prompt / 2 + random.below(prompt);
        let cached = if random.below(3) == 0 { prompt / 2 } else { 0 };
        let usage = if is_embedding {
            TokenUsage { embedding: prompt, ..TokenUsage::default() }
        } else {
            TokenUsage {
                input: prompt - cached,
                cache_read: cached,
                output: answer / 2 + random.below(answer),
                ..TokenUsage::default()
            }
        };
        Call {
            run_id: self.start.run_id,
            call_id: CallId(random.id(self.at)),
            step_id: Some(self.steps[step].step_id),
            agent: String::new(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            operation: if is_embedding { "embeddings" } else { "chat" }.to_owned(),
            service_tier: "standard".to_owned(),
            called_at: self.at,
            usage: Some(usage),
            latency_ms: Some(200 + random.below(9_000)),
            outcome: if random.below(100) == 0 { Outcome::Error } else { Outcome::Ok },
            response_id: Some(format!("resp-{:016x}", random.next())),
            pipeline: None,
            prompt: None,
        }
    }

    fn finish(&self) -> FinishRun {
        FinishRun { run_id: self.start.run_id, status: Status::Succeeded, completed_at: Some(self.at) }
    }
}

/// The events of one day of a ledger of `calls` calls, in the order they happened.
pub(crate) fn day(random: &mut Random, day: u64, calls: u64, now: Timestamp) -> Vec<Event> {
    let back = i64::try_from(DAYS - day).unwrap_or(0) * DAY_MICROS;
    let wanted = calls * (day + 1) / DAYS - calls * day / DAYS;
    let mut events: Vec<(Timestamp, Event)> = Vec::new();
    let mut made = 0;
    while made < wanted {
        let offset = i64::try_from(random.below(DAY_MICROS.unsigned_abs() * 3 / 4)).unwrap_or(0);
        let at = now.plus_micros(offset - back);
        let mut work = Work::new(random, at);
        events.push((at, Event::Run(work.start.clone())));
        events.extend(work.steps.iter().map(|step| (at, Event::Step(step.clone()))));
        let length = random.run_length().min(wanted - made);
        for _ in 0..length {
            let call = work.call(random);
            events.push((call.called_at, Event::Call(call)));
        }
        events.push((work.at, Event::Finish(work.finish())));
        made += length;
    }
    events.sort_by_key(|(at, _)| *at);
    events.into_iter().map(|(_, event)| event).collect()
}
