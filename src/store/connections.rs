//! Connections to Postgres: straight to the server, or through a pooler that lends one out for a transaction only.
//!
//! PgBouncer in transaction mode forgets what a session was told (`search_path`, prepared statements) and may give the next
//! message to another server connection. Behind one, every statement is therefore a transaction of its own, nothing
//! is prepared beyond it, and the pooler's own settings say where the ledger is.

use crate::error::{Error, Result};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{Either, Execute, Executor, PgConnection, PgPool, Postgres, Row, SqlStr, Transaction};
use std::ops::{Deref, DerefMut};
use std::time::Duration;
use tokio::sync::mpsc;

/// The most connections of one process.
const AT_MOST: u32 = 4;

/// A setting that means nothing: whether it arrives tells a server from a pooler, which drops or refuses it.
const MARK: &str = "asmm.straight";
const LOOK: &str = "select current_setting('asmm.straight', true) is not distinct from 'on'";

/// The connections of one ledger.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: PgPool,
    is_pooled: bool,
}

impl Connections {
    /// Connects to the ledger in `schema`.
    ///
    /// # Errors
    /// When nobody answers in time, the log-in is refused, or a pooler's connections lead to another schema.
    pub async fn open(options: PgConnectOptions, schema: &str, patience: Duration) -> Result<Self> {
        let path = format!("{schema},pg_temp");
        let straight = options.clone().options([("search_path", path.as_str()), (MARK, "on")]);
        match Self::connect(straight, patience, false).await {
            Ok(connections) => {
                // In one message: a pooler could part a statement that is prepared first.
                let mut lease = connections.lease().await?;
                let arrived: bool = sqlx::raw_sql(LOOK).fetch_one(&mut *lease).await?.try_get(0)?;
                lease.commit().await?;
                if arrived {
                    return Ok(connections);
                }
                connections.close().await;
            }
            Err(error) if is_refused_setting(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let pooled = options.extra_float_digits(None);
        let connections = Self::connect(pooled, patience, true).await?;
        let found: String =
            sqlx::query_scalar("select current_setting('search_path')").fetch_one(&connections).await?;
        let first = found.split(',').next().unwrap_or_default().trim().trim_matches('"');
        if first == schema {
            return Ok(connections);
        }
        connections.close().await;
        Err(Error::ledger(format!(
            "the pooler's connections look for tables in `{found}`, not in `{schema}`"
        ))
        .hint(format!(
            "give its database entry `connect_query='set search_path = {path}'`; see RUNBOOK.md, Past one machine"
        )))
    }

    async fn connect(options: PgConnectOptions, patience: Duration, is_pooled: bool) -> sqlx::Result<Self> {
        let pool = PgPoolOptions::new()
            .min_connections(0)
            .max_connections(AT_MOST)
            .acquire_timeout(patience)
            .connect_with(options)
            .await?;
        Ok(Self { pool, is_pooled })
    }

    /// The pool itself, for what needs sessions.
    ///
    /// # Errors
    /// Behind a pooler.
    pub fn straight(&self) -> Result<&PgPool> {
        if self.is_pooled {
            return Err(Error::ledger(
                "a pooler in between lends out connections for single transactions only",
            )
            .hint("migrate with a URL that leads to the server itself"));
        }
        Ok(&self.pool)
    }

    /// A transaction: [`Lease::commit`] commits it.
    pub async fn begin(&self) -> sqlx::Result<Lease> {
        let is_pooled = self.is_pooled;
        Ok(Lease(Session { of: Of::Transaction(self.pool.begin().await?), is_pooled }))
    }

    /// A connection for one statement: [`Lease::commit`] ends it.
    pub async fn lease(&self) -> sqlx::Result<Lease> {
        if self.is_pooled {
            return self.begin().await;
        }
        Ok(Lease(Session { of: Of::Connection(self.pool.acquire().await?), is_pooled: false }))
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn is_refused_setting(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.message().starts_with("unsupported startup parameter"))
}

/// A connection for a statement or a transaction. Dropped before it is done, it takes back what was done, or gives up
/// on it.
#[derive(Debug)]
pub(super) struct Lease(Session);

/// What a lease gives: statements are executed on it.
#[derive(Debug)]
pub(super) struct Session {
    of: Of,
    is_pooled: bool,
}

#[derive(Debug)]
enum Of {
    Connection(PoolConnection<Postgres>),
    Transaction(Transaction<'static, Postgres>),
}

impl Lease {
    /// All is committed, and the connection is free for the next one.
    pub async fn commit(self) -> sqlx::Result<()> {
        match self.0.of {
            // Dropping it would leave that to a task, and whoever comes next would open another one.
            Of::Connection(mut connection) => {
                connection.return_to_pool().await;
                Ok(())
            }
            Of::Transaction(transaction) => transaction.commit().await,
        }
    }

    /// Nothing has happened.
    pub async fn rollback(self) -> sqlx::Result<()> {
        match self.0.of {
            Of::Connection(_) => Ok(()),
            Of::Transaction(transaction) => transaction.rollback().await,
        }
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.0
    }
}

impl Session {
    fn connection(&mut self) -> &mut PgConnection {
        match &mut self.of {
            Of::Connection(connection) => connection,
            Of::Transaction(transaction) => transaction,
        }
    }
}

/// A query that leaves no prepared statement behind: another client would meet it.
struct Fleeting<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Fleeting<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.0.statement()
    }

    fn take_arguments(&mut self) -> std::result::Result<Option<PgArguments>, BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Item>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_pooled {
            self.connection().fetch_many(Fleeting(query))
        } else {
            self.connection().fetch_many(query)
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if self.is_pooled {
            self.connection().fetch_optional(Fleeting(query))
        } else {
            self.connection().fetch_optional(query)
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        self.connection().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        self.connection().describe(sql)
    }
}

type Item = Either<PgQueryResult, PgRow>;

impl<'c> Executor<'c> for &'c Connections {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<PgQueryResult>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let outcome = (&mut *lease).execute(query).await?;
            lease.commit().await?;
            Ok(outcome)
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Vec<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let rows = (&mut *lease).fetch_all(query).await?;
            lease.commit().await?;
            Ok(rows)
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.lease().await?;
            let row = (&mut *lease).fetch_optional(query).await?;
            lease.commit().await?;
            Ok(row)
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Item>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // One part reads and one hands on, so that rows are read as they are asked for.
        let (sender, receiver) = mpsc::channel(1);
        let reading = async move {
            if let Err(error) = self.send_all(query, &sender).await {
                // Whoever asked may have gone away.
                let _ = sender.send(Err(error)).await;
            }
        };
        let items = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|item: sqlx::Result<Item>| (item, receiver))
        });
        let reading = stream::once(reading).filter_map(|()| std::future::ready(None));
        Box::pin(stream::select(items, reading))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.pool.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.pool.describe(sql).await })
    }
}

impl Connections {
    async fn send_all<'q, E: 'q + Execute<'q, Postgres>>(
        &self,
        query: E,
        sender: &mpsc::Sender<sqlx::Result<Item>>,
    ) -> sqlx::Result<()> {
        let mut lease = self.lease().await?;
        let mut items = (&mut *lease).fetch_many(query);
        while let Some(item) = items.try_next().await? {
            if sender.send(Ok(item)).await.is_err() {
                return Ok(());
            }
        }
        drop(items);
        lease.commit().await
    }
}
