//! Budgets that are used up, or nearly so.

use super::Look;
use super::finding::{Finding, What, Who};
use super::words::{period, quoted, usd};
use crate::cli::context::counted;
use crate::error::Result;
use crate::report::Cell;
use crate::store::BudgetState;

impl Look<'_> {
    /// Budgets of the ledger and of `asmm.yaml` that are over, or near their limit, now: a range that has ended says nothing
    /// of them.
    pub(super) async fn budgets(&self) -> Result<Vec<Finding>> {
        if self.judged.until < self.now {
            return Ok(Vec::new());
        }
        let mut states = self.store.budget_states(self.now).await?;
        for budget in &self.file_budgets {
            if states.iter().all(|state| state.budget.name != budget.name) {
                states.push(self.store.budget_state(budget.clone(), self.now).await?);
            }
        }
        let is_meant = |state: &&BudgetState| {
            self.pipeline.is_none() || state.budget.scope.pipeline.as_deref() == self.pipeline
        };
        Ok(states.iter().filter(is_meant).filter_map(finding).collect())
    }
}

fn finding(state: &BudgetState) -> Option<Finding> {
    let (what, used, how) = if state.is_over() {
        (What::BudgetOver, state.spent, "spent")
    } else if state.is_near() {
        (What::BudgetNear, state.spent + state.reserved, "spent or reserved")
    } else {
        return None;
    };
    let (budget, window) = (&state.budget, state.window);
    let mut why = format!(
        "{} of {} {how} ({}) in {}; it counts {}",
        usd(used),
        usd(budget.limit),
        Cell::share_of_usd(used, budget.limit).in_words(),
        period(window.since, window.until, window.zone),
        budget.scope,
    );
    if state.unpriced_calls > 0 {
        let calls = counted(state.unpriced_calls, "call has", "calls have");
        why.extend(["; ", &calls, " no price, and may be more of it"]);
    }
    let scope = budget.scope.clone();
    Some(Finding {
        what,
        who: Who {
            budget: Some(budget.name.clone()),
            pipeline: scope.pipeline,
            agent: scope.agent,
            provider: scope.provider,
            model: scope.model,
            run_id: None,
        },
        since: window.since,
        until: window.until,
        found: Cell::Usd(used),
        usual: Cell::Missing,
        limit: Cell::Usd(budget.limit),
        why,
        next_step: format!("asmm budgets show {}", quoted(&budget.name)),
    })
}
