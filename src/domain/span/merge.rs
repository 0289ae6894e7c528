//! What several reports of one call say together about its usage.

use crate::domain::TokenUsage;

/// The same tokens on each side, however finely told.
pub(super) fn is_alike(one: &TokenUsage, other: &TokenUsage) -> bool {
    one.whole_input() + one.embedding == other.whole_input() + other.embedding
        && one.whole_output() == other.whole_output()
}

/// Of two reports of one call, on each side the larger one; of equal ones the finer.
pub(super) fn richer(one: TokenUsage, other: TokenUsage) -> TokenUsage {
    let input_rank = |usage: &TokenUsage| {
        (usage.whole_input(), u64::MAX - usage.input, usage.cache_write_long, usage.cache_read)
    };
    let output_rank = |usage: &TokenUsage| (usage.whole_output(), usage.reasoning);
    let input = if input_rank(&other) > input_rank(&one) { &other } else { &one };
    let output = if output_rank(&other) > output_rank(&one) { &other } else { &one };
    TokenUsage {
        input: input.input,
        cache_read: input.cache_read,
        cache_write: input.cache_write,
        cache_write_long: input.cache_write_long,
        output: output.output,
        reasoning: output.reasoning,
        embedding: one.embedding.max(other.embedding),
        web_searches: one.web_searches.max(other.web_searches),
    }
}

pub(super) fn add(sum: &mut TokenUsage, usage: TokenUsage) {
    sum.input += usage.input;
    sum.cache_read += usage.cache_read;
    sum.cache_write += usage.cache_write;
    sum.cache_write_long += usage.cache_write_long;
    sum.output += usage.output;
    sum.reasoning += usage.reasoning;
    sum.embedding += usage.embedding;
    sum.web_searches += usage.web_searches;
}
