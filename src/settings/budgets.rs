//! `budgets:` in `asmm.yaml`: what the project may spend, beside its code.

use crate::domain::{Budget, BudgetScope, Period, Usd};
use crate::error::{Error, Result};
use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::fmt;

/// One budget; its name is its key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetFile {
    /// The most that may be spent.
    #[serde(deserialize_with = "dollars")]
    pub limit_usd: Usd,
    /// In what time: day, week or month.
    pub per: Period,
    /// Whose midnight begins it; else the file's `tz`, else UTC.
    pub tz: Option<String>,
    /// Only calls of this pipeline.
    pub pipeline: Option<String>,
    /// Only calls of this agent.
    pub agent: Option<String>,
    /// Only calls of this provider, as reported.
    pub provider: Option<String>,
    /// Only calls of this model, as reported.
    pub model: Option<String>,
    /// Only calls of runs with this label: `team=data`.
    pub label: Option<String>,
    /// Whether a reservation that does not fit is refused.
    #[serde(default)]
    pub hard: bool,
}

impl BudgetFile {
    /// The budget as the ledger holds it. `file_zone` is the file's `tz`.
    ///
    /// # Errors
    /// `Input`, naming the budget and what is wrong.
    pub(crate) fn budget(&self, name: &str, file_zone: Option<&str>) -> Result<Budget> {
        let at = |error: Error| error.at(format_args!("{}: budget `{name}`", super::FILE));
        let zone: Tz = match self.tz.as_deref().or(file_zone) {
            None => Tz::UTC,
            Some(zone) => zone.parse().map_err(|_| {
                let shown: String = zone.chars().take(60).collect();
                at(Error::input(format!("`{shown}` is not a time zone"))
                    .hint("use an IANA name such as Europe/Oslo, America/New_York or UTC"))
            })?,
        };
        let label = self.label.as_deref().map(label).transpose().map_err(at)?;
        let Self { pipeline, agent, provider, model, .. } = self.clone();
        let budget = Budget {
            name: name.to_owned(),
            limit: self.limit_usd,
            period: self.per,
            zone,
            scope: BudgetScope { pipeline, agent, provider, model, label },
            is_hard: self.hard,
        };
        budget.check().map_err(at)?;
        Ok(budget)
    }
}

/// A label given as `name=text`.
///
/// # Errors
/// `Input` when there is no `=`.
pub(crate) fn label(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        Error::input(format!("the label `{shown}` has no `=`")).hint("write it as team=data")
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Dollars in quotes, or a whole number of them: a number with a point would come as a float.
fn dollars<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Usd, D::Error> {
    struct Dollars;

    impl Visitor<'_> for Dollars {
        type Value = Usd;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("dollars: 50, or \"12.50\" in quotes")
        }

        fn visit_u64<E: serde::de::Error>(self, whole: u64) -> std::result::Result<Usd, E> {
            whole.to_string().parse().map_err(E::custom)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<Usd, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_f64<E: serde::de::Error>(self, _: f64) -> std::result::Result<Usd, E> {
            Err(E::custom("`limit_usd` has a point: write it in quotes, as \"12.50\""))
        }
    }

    deserializer.deserialize_any(Dollars)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Budget> {
        let file: BudgetFile = serde_yaml::from_str(text).map_err(|e| Error::input(e.to_string()))?;
        file.budget("nightly", Some("Europe/Oslo"))
    }

    #[test]
    fn a_budget_is_read_without_a_float() {
        let budget =
            read("{limit_usd: \"12.50\", per: day, pipeline: p, label: team=data, hard: true}").unwrap();
        assert_eq!((budget.limit.to_string().as_str(), budget.zone.name()), ("12.5", "Europe/Oslo"));
        assert_eq!(budget.scope.to_string(), "pipeline p, label team=data");
        assert_eq!(read("{limit_usd: 50, per: week, tz: UTC}").unwrap().zone, Tz::UTC);
        for (wrong, said) in [
            ("{limit_usd: 12.50, per: day}", "write it in quotes"),
            ("{limit_usd: -1, per: day}", "expected dollars"),
            ("{limit_usd: 1, per: fortnight}", "unknown variant"),
            ("{limit_usd: 1, per: day, tz: Mars}", "`Mars` is not a time zone"),
            ("{limit_usd: 1, per: day, label: team}", "has no `=`"),
            ("{limit_usd: 1, per: day, agent: \"\"}", "`agent` is empty"),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
