//! `asmm guard rules`: the detectors.

use crate::cli::args::OutputArgs;
use crate::cli::context::{Ctx, Exit};
use crate::error::Result;
use crate::guard::{Group, RuleInfo, rules};
use crate::report::{Column, Kind, Report, Table};
use clap::{Args, ValueEnum};

/// The detectors, and what they find
///
/// A detector's name is what `allow_raw` in a prompt file and `kinds` in asmm.yaml take.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Only of this group
    #[arg(long, value_enum, value_name = "GROUP")]
    group: Option<GroupArg>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What sort of thing is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum GroupArg {
    /// Keys, tokens, passwords
    Secret,
    /// Emails, phones, cards, bank accounts, addresses on the network
    Pii,
    /// Numbers that a state gave to a person
    PiiId,
    /// Personal data without a structure to check
    PiiSoft,
}

impl From<GroupArg> for Group {
    fn from(group: GroupArg) -> Self {
        match group {
            GroupArg::Secret => Self::Secret,
            GroupArg::Pii => Self::Pii,
            GroupArg::PiiId => Self::PiiId,
            GroupArg::PiiSoft => Self::PiiSoft,
        }
    }
}

pub(super) fn run(ctx: &Ctx, args: &RulesArgs) -> Result<Exit> {
    let group = args.group.map(Group::from);
    let shown: Vec<RuleInfo> = rules().filter(|rule| group.is_none_or(|group| rule.group == group)).collect();
    let text = |key, title| Column::new(Kind::Text, key, title);
    let table = Table::of(&shown)
        .column(text("detector", "detector"), |rule: &RuleInfo| rule.id)
        .column(text("group", "group").keep(1), |rule| rule.group.as_str())
        .column(text("tier", "tier").keep(2), |rule| rule.tier.as_str())
        .column(text("severity", "severity").keep(3), |rule| rule.severity.as_str())
        .column(text("token", "token").keep(4), |rule| rule.label)
        .column(text("description", "what it finds"), |rule| rule.description)
        .done();
    ctx.print(&Report::new("asmm.guard_rules/1", table), args.output.format.into())?;
    Ok(Exit::Fine)
}
