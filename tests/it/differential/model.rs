//! The ledger in plain memory: what the two databases are held against. No SQL, and no cleverness.

use asmm::ErrorKind;
use asmm::domain::{
    Call, CallId, FinishRun, FinishStep, RunId, StartRun, StartStep, Status, StepId, Timestamp, Usd,
};
use asmm::pricing::{EntryKey, PriceEntry, PricingState, price, select};
use asmm::store::{PriceScope, Recorded, Repriced, Totals};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct ModelRun {
    pub start: StartRun,
    pub status: Status,
    pub completed_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct ModelStep {
    pub start: StartStep,
    pub status: Status,
    pub completed_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub struct ModelCall {
    pub call: Call,
    pub state: PricingState,
    pub cost: Option<Usd>,
    /// Which of the model's price rows priced it.
    entry: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub runs: BTreeMap<RunId, ModelRun>,
    pub steps: BTreeMap<(RunId, StepId), ModelStep>,
    pub calls: BTreeMap<(RunId, CallId), ModelCall>,
    prices: Vec<PriceEntry>,
    aliases: BTreeMap<(String, String), EntryKey>,
}

type Outcome<T> = Result<T, ErrorKind>;

impl Model {
    pub fn start_run(&mut self, run: &StartRun) -> Outcome<()> {
        match self.runs.get(&run.run_id) {
            Some(stored) if stored.start == *run => Ok(()),
            Some(_) => Err(ErrorKind::Conflict),
            None => {
                let stored = ModelRun { start: run.clone(), status: Status::Running, completed_at: None };
                self.runs.insert(run.run_id, stored);
                Ok(())
            }
        }
    }

    pub fn start_step(&mut self, step: &StartStep) -> Outcome<()> {
        if !self.runs.contains_key(&step.run_id) {
            return Err(ErrorKind::NotFound);
        }
        match self.steps.get(&(step.run_id, step.step_id)) {
            Some(stored) if stored.start == *step => Ok(()),
            Some(_) => Err(ErrorKind::Conflict),
            None => {
                let stored = ModelStep { start: step.clone(), status: Status::Running, completed_at: None };
                self.steps.insert((step.run_id, step.step_id), stored);
                Ok(())
            }
        }
    }

    pub fn finish_step(&mut self, finish: &FinishStep) -> Outcome<()> {
        let step = self.steps.get_mut(&(finish.run_id, finish.step_id)).ok_or(ErrorKind::NotFound)?;
        finish_once(&mut step.status, &mut step.completed_at, finish.status, finish.completed_at)
    }

    pub fn finish_run(&mut self, finish: &FinishRun) -> Outcome<()> {
        let run = self.runs.get_mut(&finish.run_id).ok_or(ErrorKind::NotFound)?;
        finish_once(&mut run.status, &mut run.completed_at, finish.status, finish.completed_at)
    }

    /// All or nothing.
    pub fn record(&mut self, calls: &[Call]) -> Outcome<Recorded> {
        let mut next = self.clone();
        let recorded = next.record_each(calls)?;
        *self = next;
        Ok(recorded)
    }

    fn record_each(&mut self, calls: &[Call]) -> Outcome<Recorded> {
        for call in calls {
            let Some(pipeline) = &call.pipeline else { continue };
            let same_run = || calls.iter().filter(|c| c.run_id == call.run_id && c.pipeline.is_some());
            let started_at = same_run().map(|c| c.called_at).min().unwrap_or(call.called_at);
            let first = same_run().filter_map(|c| c.pipeline.clone()).min().unwrap_or(pipeline.clone());
            self.runs.entry(call.run_id).or_insert_with(|| ModelRun {
                start: StartRun {
                    run_id: call.run_id,
                    pipeline: first,
                    started_at,
                    labels: BTreeMap::new(),
                    parent_run_id: None,
                    replay_of: None,
                },
                status: Status::Running,
                completed_at: None,
            });
        }
        if calls.iter().any(|c| !self.runs.contains_key(&c.run_id)) {
            return Err(ErrorKind::NotFound);
        }
        if calls
            .iter()
            .any(|c| c.pipeline.as_ref().is_some_and(|p| *p != self.runs[&c.run_id].start.pipeline))
        {
            return Err(ErrorKind::Conflict);
        }
        let mut recorded = Recorded::default();
        for call in calls {
            let mut call = Call { pipeline: None, ..call.clone() };
            if let Some(step) = call.step_id {
                let step = self.steps.get(&(call.run_id, step)).ok_or(ErrorKind::NotFound)?;
                if call.agent.is_empty() {
                    call.agent.clone_from(&step.start.agent);
                }
            }
            let key = (call.run_id, call.call_id);
            match self.calls.get(&key) {
                Some(stored) if stored.call == call => recorded.duplicate += 1,
                Some(_) => recorded.conflict.push(key),
                None => {
                    let priced = self.price(&call);
                    recorded.recorded += 1;
                    recorded.unpriced += u64::from(priced.cost.is_none());
                    self.calls.insert(key, priced);
                }
            }
        }
        Ok(recorded)
    }

    fn price(&self, call: &Call) -> ModelCall {
        let any = (String::new(), call.model.clone());
        let own = (call.provider.clone(), call.model.clone());
        let alias = self.aliases.get(&own).or_else(|| self.aliases.get(&any));
        let key = alias.cloned().unwrap_or(EntryKey { provider: own.0, model: own.1 });
        let entries: Vec<PriceEntry> = self
            .prices
            .iter()
            .filter(|p| (&p.provider, &p.model) == (&key.provider, &key.model))
            .cloned()
            .collect();
        let whole = call.usage.map_or(0, |u| u.whole_input());
        let chosen = select(&entries, &call.service_tier, call.called_at, whole);
        let priced = price(call.usage.as_ref(), chosen).expect("the amounts of the test fit");
        let entry = chosen.filter(|_| priced.cost.is_some());
        let entry = entry.and_then(|e| self.prices.iter().position(|p| p == e));
        ModelCall { call: call.clone(), state: priced.state, cost: priced.cost, entry }
    }

    /// Adds a sheet of prices (one key, all its thresholds), unless it is the one in force for that key.
    pub fn push(&mut self, sheet: &[PriceEntry]) {
        let key = |p: &PriceEntry| {
            (p.provider.clone(), p.model.clone(), p.service_tier.clone(), p.effective_from, p.daily_utc)
        };
        let Some(first) = sheet.first() else { return };
        let newest = self.prices.iter().filter(|p| key(p) == key(first)).map(|p| p.revision).max();
        let rates = |of: &[PriceEntry]| of.iter().map(|p| (p.over_input_tokens, p.rates)).collect::<Vec<_>>();
        let standing: Vec<PriceEntry> = self
            .prices
            .iter()
            .filter(|p| key(p) == key(first) && Some(p.revision) == newest)
            .cloned()
            .collect();
        if rates(&standing) != rates(sheet) {
            let revision = self.prices.iter().map(|p| p.revision).max().unwrap_or(0) + 1;
            self.prices.extend(sheet.iter().map(|p| PriceEntry { revision, ..p.clone() }));
        }
        self.settle();
    }

    pub fn alias(&mut self, provider: &str, model: &str, target: Option<&EntryKey>) -> Outcome<()> {
        if let Some(target) = target {
            let known = |p: &PriceEntry| (&p.provider, &p.model) == (&target.provider, &target.model);
            if !self.prices.iter().any(known) {
                return Err(ErrorKind::NotFound);
            }
        }
        let name = (provider.to_owned(), model.to_owned());
        match target {
            Some(target) => self.aliases.insert(name, target.clone()),
            None => self.aliases.remove(&name),
        };
        self.settle();
        Ok(())
    }

    /// Prices what has no price and can have one now.
    fn settle(&mut self) {
        self.reprice_where(|c| c.cost.is_none(), false);
    }

    pub fn reprice(&mut self, scope: &PriceScope, dry_run: bool) -> Repriced {
        let is_meant = |c: &ModelCall| {
            (scope.everything || c.cost.is_none())
                && scope.since.is_none_or(|since| c.call.called_at >= since)
                && scope.until.is_none_or(|until| c.call.called_at < until)
                && scope.provider.as_ref().is_none_or(|provider| c.call.provider == *provider)
                && scope.model.as_ref().is_none_or(|model| c.call.model == *model)
        };
        self.reprice_where(is_meant, dry_run)
    }

    fn reprice_where(&mut self, wanted: impl Fn(&ModelCall) -> bool, dry_run: bool) -> Repriced {
        let mut sum = Repriced::default();
        let mut changed = Vec::new();
        for (key, call) in self.calls.iter().filter(|(_, c)| wanted(c)) {
            let now = self.price(&call.call);
            let same = (now.state, now.cost, now.entry) == (call.state, call.cost, call.entry);
            if now.cost.is_some() && !same {
                sum += Repriced {
                    calls: 1,
                    before: call.cost.unwrap_or_default(),
                    after: now.cost.unwrap_or_default(),
                };
                changed.push((*key, now));
            }
        }
        if !dry_run {
            self.calls.extend(changed);
        }
        sum
    }

    pub fn totals(&self, run_id: RunId) -> Totals {
        let mut totals = Totals::default();
        for call in self.calls.values().filter(|c| c.call.run_id == run_id) {
            let usage = call.call.usage.unwrap_or_default();
            totals += Totals {
                llm_calls: 1,
                unpriced_calls: u64::from(call.cost.is_none()),
                input_tokens: usage.input,
                cache_read_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write,
                cache_write_long_tokens: usage.cache_write_long,
                output_tokens: usage.output,
                reasoning_tokens: usage.reasoning,
                embedding_tokens: usage.embedding,
                web_searches: usage.web_searches,
                cost: call.cost.unwrap_or_default(),
            };
        }
        totals
    }
}

fn finish_once(
    status: &mut Status,
    completed_at: &mut Option<Timestamp>,
    new_status: Status,
    new_end: Option<Timestamp>,
) -> Outcome<()> {
    if completed_at.is_none() {
        *status = new_status;
        *completed_at = new_end;
        return Ok(());
    }
    let same = *status == new_status && (new_end.is_none() || new_end == *completed_at);
    if same { Ok(()) } else { Err(ErrorKind::Conflict) }
}
