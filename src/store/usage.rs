//! The token columns, as every sum of calls has them.

use crate::domain::TokenUsage;
use sqlx::FromRow;

/// What calls used, summed by kind; a row has it by `#[sqlx(flatten)]`.
#[derive(FromRow)]
pub(super) struct UsageRow {
    #[sqlx(try_from = "i64")]
    input_tokens: u64,
    #[sqlx(try_from = "i64")]
    cache_read_tokens: u64,
    #[sqlx(try_from = "i64")]
    cache_write_tokens: u64,
    #[sqlx(try_from = "i64")]
    cache_write_long_tokens: u64,
    #[sqlx(try_from = "i64")]
    output_tokens: u64,
    #[sqlx(try_from = "i64")]
    reasoning_tokens: u64,
    #[sqlx(try_from = "i64")]
    embedding_tokens: u64,
    #[sqlx(try_from = "i64")]
    web_searches: u64,
}

impl From<UsageRow> for TokenUsage {
    fn from(row: UsageRow) -> Self {
        Self {
            input: row.input_tokens,
            cache_read: row.cache_read_tokens,
            cache_write: row.cache_write_tokens,
            cache_write_long: row.cache_write_long_tokens,
            output: row.output_tokens,
            reasoning: row.reasoning_tokens,
            embedding: row.embedding_tokens,
            web_searches: row.web_searches,
        }
    }
}
