//! Budgets: how much may be spent in a period, of which calls; and what is asked before a call.

use super::{CallId, MAX_COUNT, RunId, Timestamp, Usd, Window, optional_name, required_name};
use crate::error::{Error, Result};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest that a reservation may hold its amount: a day.
pub const MAX_HOLD: Duration = Duration::from_hours(24);

/// What a budget's limit is for: a period of the calendar, in the budget's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// A month of the calendar.
    Month,
}

impl Period {
    /// The word in columns, flags and JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Period {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Day, Self::Week, Self::Month].into_iter().find(|period| period.code() == text).ok_or_else(
            || {
                let shown: String = text.chars().take(60).collect();
                Error::input(format!("`{shown}` is not a budget's period")).hint("it is day, week or month")
            },
        )
    }
}

/// Which calls count in a budget; what is absent tells nothing apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BudgetScope {
    /// Only calls of this pipeline.
    pub pipeline: Option<String>,
    /// Only calls of this agent.
    pub agent: Option<String>,
    /// Only calls of this provider, as reported.
    pub provider: Option<String>,
    /// Only calls of this model, as reported.
    pub model: Option<String>,
    /// Only calls of runs with this label: its name, and what it says.
    pub label: Option<(String, String)>,
}

impl BudgetScope {
    /// Whether a call with these names counts.
    #[must_use]
    pub fn covers(&self, call: &Asker<'_>) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.pipeline, call.pipeline)
            && is(&self.agent, call.agent)
            && is(&self.provider, call.provider)
            && is(&self.model, call.model)
            && self.label.as_ref().is_none_or(|(name, value)| call.labels.get(name) == Some(value))
    }
}

/// `pipeline enrichment, model gpt-4o`; `all calls` when nothing is told apart.
impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |kind: &str, name: &Option<String>| name.as_ref().map(|name| format!("{kind} {name}"));
        let label = self.label.as_ref().map(|(name, value)| format!("label {name}={value}"));
        let parts: Vec<String> = [
            named("pipeline", &self.pipeline),
            named("agent", &self.agent),
            named("provider", &self.provider),
            named("model", &self.model),
            label,
        ]
        .into_iter()
        .flatten()
        .collect();
        f.pad(&if parts.is_empty() { "all calls".to_owned() } else { parts.join(", ") })
    }
}

/// The names of a call that decide in which budgets it counts.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Its run's pipeline.
    pub pipeline: &'a str,
    /// Its agent; `""` when it has none.
    pub agent: &'a str,
    /// Its provider.
    pub provider: &'a str,
    /// Its model.
    pub model: &'a str,
    /// Its run's labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// A budget: the most that may be spent in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What it is called.
    pub name: String,
    /// The most that may be spent.
    pub limit: Usd,
    /// In what time.
    pub period: Period,
    /// Whose midnight begins a period.
    pub zone: Tz,
    /// By which calls.
    pub scope: BudgetScope,
    /// Whether a reservation that does not fit is refused; else it is only said.
    pub is_hard: bool,
}

impl Budget {
    /// Checks names and the limit against what the ledger takes.
    ///
    /// # Errors
    /// `Input`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        required_name("name", &self.name)?;
        if self.limit < Usd::ZERO {
            return Err(Error::input(format!("the limit {} USD is below 0", self.limit))
                .hint("0 lets nothing be spent that is not free"));
        }
        self.limit.to_column()?;
        let scope = &self.scope;
        for (field, name) in [
            ("pipeline", &scope.pipeline),
            ("agent", &scope.agent),
            ("provider", &scope.provider),
            ("model", &scope.model),
        ] {
            name.as_deref().map_or(Ok(()), |name| required_name(field, name))?;
        }
        if let Some((name, value)) = &scope.label {
            required_name("label", name)?;
            optional_name(name, value)?;
        }
        Ok(())
    }

    /// The period that `now` is in.
    ///
    /// # Errors
    /// At the ends of the calendar.
    pub fn window(&self, now: Timestamp) -> Result<Window> {
        Window::period(self.period, now, self.zone)
    }
}

/// How much is to be reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// This much.
    Usd(Usd),
    /// What these tokens cost by the catalogue, by the model that is asked for.
    Tokens {
        /// Of the prompt.
        input: u64,
        /// The most that may be generated.
        output: u64,
    },
}

/// A question before a call: may it be made, by the budgets that it counts in?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// The run; it may start later.
    pub run_id: RunId,
    /// The call: recorded under this id, what it cost takes the place of what was reserved.
    pub call_id: CallId,
    /// The run's pipeline, for a ledger that does not know the run yet.
    pub pipeline: Option<String>,
    /// The run's labels, for a ledger that does not know the run yet.
    pub labels: BTreeMap<String, String>,
    /// The agent; `""` when there is none.
    pub agent: String,
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The service tier, by which tokens are priced.
    pub service_tier: String,
    /// The most that the call may cost.
    pub amount: Amount,
    /// How long the amount is held if nothing is recorded, in whole seconds; at most [`MAX_HOLD`].
    pub expires_in: Duration,
    /// Whether it is refused when the price of the tokens is unknown; else it is granted, and says so.
    pub refuse_unpriced: bool,
}

impl Reserve {
    /// How long an amount is held if nobody says otherwise: ten minutes.
    pub const HOLD: Duration = Duration::from_mins(10);

    /// A question about this call, in a run that the ledger knows: `agent`, `provider` and `model` are to be filled in.
    #[must_use]
    pub fn of(run_id: RunId, call_id: CallId, amount: Amount) -> Self {
        Self {
            run_id,
            call_id,
            pipeline: None,
            labels: BTreeMap::new(),
            agent: String::new(),
            provider: String::new(),
            model: String::new(),
            service_tier: "standard".to_owned(),
            amount,
            expires_in: Self::HOLD,
            refuse_unpriced: false,
        }
    }

    /// Checks names, labels and amounts against what the ledger takes.
    ///
    /// # Errors
    /// `Input`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        self.pipeline.as_deref().map_or(Ok(()), |name| required_name("pipeline", name))?;
        super::event::check_labels(&self.labels)?;
        optional_name("agent", &self.agent)?;
        optional_name("provider", &self.provider)?;
        optional_name("model", &self.model)?;
        required_name("service_tier", &self.service_tier)?;
        match self.amount {
            Amount::Usd(amount) if amount < Usd::ZERO => {
                return Err(Error::input(format!("the amount {amount} USD is below 0"))
                    .hint("reserve the most that the call may cost"));
            }
            Amount::Usd(amount) => drop(amount.to_column()?),
            Amount::Tokens { input, output } if input.max(output) > MAX_COUNT => {
                return Err(Error::input(format!("{} tokens are more than one call has", input.max(output)))
                    .hint(format!("a count is at most {MAX_COUNT}")));
            }
            Amount::Tokens { .. } => {}
        }
        if self.expires_in < Duration::from_secs(1) || self.expires_in > MAX_HOLD {
            return Err(Error::input(format!(
                "an amount cannot be held for {} s; it takes 1 to {}",
                self.expires_in.as_secs(),
                MAX_HOLD.as_secs()
            ))
            .hint("a reservation is for one call: some minutes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> BudgetScope {
        BudgetScope {
            pipeline: Some("enrichment".into()),
            label: Some(("team".into(), "data".into())),
            ..BudgetScope::default()
        }
    }

    #[test]
    fn a_scope_covers_what_has_all_its_names() {
        let labels: BTreeMap<_, _> = [("team".to_owned(), "data".to_owned())].into();
        let other: BTreeMap<_, _> = [("team".to_owned(), "sales".to_owned())].into();
        let call =
            Asker { pipeline: "enrichment", agent: "", provider: "openai", model: "gpt-4o", labels: &labels };
        assert!(BudgetScope::default().covers(&call));
        assert!(scope().covers(&call));
        assert!(!scope().covers(&Asker { pipeline: "other", ..call }));
        assert!(!scope().covers(&Asker { labels: &other, ..call }));
        assert!(!scope().covers(&Asker { labels: &BTreeMap::new(), ..call }));
        let agent = BudgetScope { agent: Some("writer".into()), ..BudgetScope::default() };
        assert!(!agent.covers(&call));
    }

    #[test]
    fn a_scope_says_what_it_tells_apart() {
        assert_eq!(scope().to_string(), "pipeline enrichment, label team=data");
        assert_eq!(BudgetScope::default().to_string(), "all calls");
    }

    #[test]
    fn what_the_ledger_does_not_take_is_refused() {
        let budget = Budget {
            name: "nightly".into(),
            limit: "50".parse().unwrap(),
            period: Period::Day,
            zone: Tz::UTC,
            scope: scope(),
            is_hard: true,
        };
        budget.check().unwrap();
        for wrong in [
            Budget { name: " ".into(), ..budget.clone() },
            Budget { limit: "-1".parse().unwrap(), ..budget.clone() },
            Budget { limit: "9223373".parse().unwrap(), ..budget.clone() },
            Budget { scope: BudgetScope { agent: Some(String::new()), ..scope() }, ..budget.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert!("fortnight".parse::<Period>().is_err());
    }
}
