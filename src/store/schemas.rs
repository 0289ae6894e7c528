//! The ledgers of one Postgres database: each is a schema.

use super::{Location, Store};
use crate::clock::Clock;
use crate::error::{Error, Result};
use futures_util::stream::{self, StreamExt};

/// How many ledgers are opened at once.
const AT_ONCE: usize = 8;

/// A schema, and the ledger in it, or why it cannot be used.
pub type Ledger = (String, Result<Store>);

impl Store {
    /// Every ledger of a Postgres database that this user may look into, by schema, each opened as [`Store::open`] does.
    ///
    /// # Errors
    /// Of usage for a SQLite file, which holds one ledger; of kind `Ledger` when the database cannot be reached or holds none.
    pub async fn open_all(location: &Location, clock: Clock) -> Result<Vec<Ledger>> {
        let Store::Postgres(any) = Self::connect_to_look(location, clock).await? else {
            return Err(Error::usage("`--all-schemas` is for Postgres: a SQLite file holds one ledger")
                .hint("leave it out, or name a Postgres database"));
        };
        let schemas: Vec<String> = sqlx::query_scalar(
            "select n.nspname::text
             from pg_namespace n
             where n.nspname ~ '^[a-z_][a-z0-9_]*$'
               and n.nspname !~ '^pg_'
               and has_schema_privilege(n.oid, 'usage')
               and (select count(*) from pg_class c
                    where c.relnamespace = n.oid and c.relname in ('_sqlx_migrations', 'pipeline_run', 'llm_call')) = 3
             order by n.nspname",
        )
        .fetch_all(&any.pool)
        .await?;
        any.pool.close().await;
        if schemas.is_empty() {
            let name = location.name();
            let database = name.split(" (schema").next().unwrap_or_default();
            let words = format!("no schema of `{database}` holds a ledger that you may look into");
            return Err(Error::ledger(words).hint("run `asmm migrate`, or ask for `grant usage on schema`"));
        }
        let opened = stream::iter(schemas).map(async |schema| {
            let location = Location { schema: schema.clone(), ..location.clone() };
            (schema, Self::open(&location, clock).await)
        });
        Ok(opened.buffered(AT_ONCE).collect().await)
    }
}
