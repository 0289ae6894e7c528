//! The columns that every report of spend has.

use crate::domain::Usd;
use crate::report::{Cell, Column, Kind, Shown, TableOf};
use crate::store::Totals;

/// What calls cost; not known, rather than 0, when none of them has a price.
pub(crate) fn cost_cell(totals: &Totals) -> Cell {
    Cell::cost(known_cost(totals))
}

/// What part of `whole` calls cost; not known where their cost is not.
pub(crate) fn share_cell(totals: &Totals, whole: Usd) -> Cell {
    known_cost(totals).map_or(Cell::Missing, |cost| Cell::share_of_usd(cost, whole))
}

/// The cost of calls, if it is known: none of them cost 0, but if none has a price it is not known.
pub(crate) fn known_cost(totals: &Totals) -> Option<Usd> {
    (totals.llm_calls == 0 || totals.unpriced_calls < totals.llm_calls).then_some(totals.cost)
}

/// Whose model it is: models of the same name are told apart by it. Of those that go when it does, bars are further right
/// and go first.
pub(crate) const fn provider_column() -> Column {
    Column::new(Kind::Text, "provider", "provider").keep(7)
}

/// Calls, token kinds and cost. `all` is what the whole report sums to: a kind that nobody used is not shown
/// to people.
pub(crate) fn spend_columns<'a, T>(
    table: TableOf<'a, T>,
    all: &Totals,
    totals: impl Fn(&T) -> &Totals + Copy,
) -> TableOf<'a, T> {
    let optional = |column: Column, used: u64| {
        if used > 0 { column } else { column.shown(Shown::ProgramsOnly) }
    };
    let tokens = |key, title| Column::new(Kind::Tokens, key, title);
    let exact = |key| Column::new(Kind::Tokens, key, key).shown(Shown::ProgramsOnly);
    table
        .column(Column::new(Kind::Count, "llm_calls", "calls").keep(2), move |r| {
            Cell::Count(totals(r).llm_calls)
        })
        .column(
            optional(Column::new(Kind::Count, "unpriced_calls", "unpriced").keep(1), all.unpriced_calls),
            move |r| Cell::Count(totals(r).unpriced_calls),
        )
        .column(tokens("llm_tokens_input", "input").keep(4), move |r| {
            Cell::Tokens(totals(r).llm_tokens_input())
        })
        .column(
            optional(tokens("cache_read_tokens", "of it cached").keep(6), all.cache_read_tokens),
            move |r| Cell::Tokens(totals(r).cache_read_tokens),
        )
        .column(tokens("llm_tokens_output", "output").keep(3), move |r| {
            Cell::Tokens(totals(r).llm_tokens_output())
        })
        .column(
            optional(tokens("reasoning_tokens", "of it reasoning").keep(8), all.reasoning_tokens),
            move |r| Cell::Tokens(totals(r).reasoning_tokens),
        )
        .column(optional(tokens("embedding_tokens", "embedding").keep(5), all.embedding_tokens), move |r| {
            Cell::Tokens(totals(r).embedding_tokens)
        })
        .column(exact("input_tokens"), move |r| Cell::Tokens(totals(r).input_tokens))
        .column(exact("cache_write_tokens"), move |r| Cell::Tokens(totals(r).cache_write_tokens))
        .column(exact("cache_write_long_tokens"), move |r| Cell::Tokens(totals(r).cache_write_long_tokens))
        .column(exact("output_tokens"), move |r| Cell::Tokens(totals(r).output_tokens))
        .column(
            optional(Column::new(Kind::Count, "web_searches", "searches").keep(9), all.web_searches),
            move |r| Cell::Count(totals(r).web_searches),
        )
        .column(Column::new(Kind::Usd, "estimated_cost_usd", "cost"), move |r| cost_cell(totals(r)))
}
