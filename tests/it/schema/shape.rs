//! What is in a migrated database, read from its own catalogue.

use super::{postgres, sqlite};
use crate::support::TestDb;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqliteConnection};

/// A table or view.
#[derive(Debug, Clone)]
pub struct Relation {
    pub name: String,
    pub is_view: bool,
    /// What it is for; only Postgres keeps that.
    pub comment: String,
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, FromRow)]
pub struct Column {
    pub name: String,
    /// As the database writes it; in a view of SQLite, what its values are.
    pub sql_type: String,
    pub nullable: bool,
    /// Kept by the database: nobody writes it.
    pub generated: bool,
    pub comment: String,
}

/// A function of Postgres.
#[derive(Debug, Clone, FromRow)]
pub struct Function {
    pub name: String,
    pub arguments: String,
    pub result: String,
    pub comment: String,
    pub is_definer: bool,
    pub settings: Vec<String>,
    pub executable_by: Vec<String>,
}

pub const ROLES: [&str; 3] = ["asmm_writer", "asmm_reader", "asmm_operator"];

/// The tables in the order they are made in, then the views.
pub async fn of_postgres(db: &TestDb) -> Vec<Relation> {
    let mut connection = postgres(db).await;
    let rows: Vec<(String, bool, String)> = sqlx::query_as(
        "select relname::text, relkind = 'v', coalesce(obj_description(oid, 'pg_class'), '')
         from pg_class
         where relnamespace = current_schema()::regnamespace and relkind in ('r', 'v')
           and relname <> '_sqlx_migrations'
         order by relkind, oid",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut relations = Vec::new();
    for (name, is_view, comment) in rows {
        let columns = sqlx::query_as(
            "select attname::text as name, format_type(atttypid, atttypmod) as sql_type, not attnotnull as nullable,
                    attgenerated <> '' as generated, coalesce(col_description(attrelid, attnum), '') as comment
             from pg_attribute
             where attrelid = $1::regclass and attnum > 0 and not attisdropped
             order by attnum",
        )
        .bind(&name)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        relations.push(Relation { name, is_view, comment, columns });
    }
    relations
}

/// Tables and views by name; views must have rows.
pub async fn of_sqlite(db: &TestDb) -> Vec<Relation> {
    let mut connection = sqlite(db).await;
    let rows: Vec<(String, bool)> = sqlx::query_as(
        "select name, type = 'view'
         from sqlite_master
         where type in ('table', 'view') and name not like 'sqlite_%' and name <> '_sqlx_migrations'
         order by name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut relations = Vec::new();
    for (name, is_view) in rows {
        let mut columns: Vec<Column> = sqlx::query_as(
            "select name, lower(type) as sql_type, \"notnull\" = 0 and pk = 0 as nullable, hidden > 1 as generated,
                    '' as comment
             from pragma_table_xinfo($1)
             order by cid",
        )
        .bind(&name)
        .fetch_all(&mut connection)
        .await
        .unwrap();
        if is_view {
            for column in &mut columns {
                let sql =
                    format!("select typeof({0}) from {name} where {0} is not null limit 1", column.name);
                let sql_type = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&mut connection).await;
                column.sql_type =
                    sql_type.unwrap().unwrap_or_else(|| panic!("{name}.{} is null", column.name));
            }
        }
        relations.push(Relation { name, is_view, comment: String::new(), columns });
    }
    relations
}

pub async fn functions(db: &TestDb) -> Vec<Function> {
    sqlx::query_as(
        "select proname::text as name, pg_get_function_arguments(oid) as arguments,
                pg_get_function_result(oid) as result, coalesce(obj_description(oid, 'pg_proc'), '') as comment,
                prosecdef as is_definer, coalesce(proconfig, '{}') as settings,
                array(select r from unnest($1) with ordinality as u (r, n)
                      where has_function_privilege(r, p.oid, 'execute') order by n) as executable_by
         from pg_proc p
         where pronamespace = current_schema()::regnamespace
         order by oid",
    )
    .bind(ROLES.map(str::to_owned).to_vec())
    .fetch_all(&mut postgres(db).await)
    .await
    .unwrap()
}

/// Keys, indexes and refusals of a table of Postgres, each as one line.
pub async fn rules(db: &TestDb, table: &str) -> Vec<String> {
    let mut connection = postgres(db).await;
    let keys: Vec<String> = sqlx::query_scalar(
        "select lower(substring(d from '^(PRIMARY KEY|UNIQUE|FOREIGN KEY)')) || ' `'
                || regexp_replace(regexp_replace(d, '^(PRIMARY KEY|UNIQUE|FOREIGN KEY) \\(([^)]*)\\)', '\\2'),
                                  ' REFERENCES ', '` → `') || '`'
         from pg_constraint c, pg_get_constraintdef(c.oid) d
         where conrelid = $1::regclass and contype in ('p', 'u', 'f')
         order by position(contype in 'puf'), conname",
    )
    .bind(table)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let indexes: Vec<String> = sqlx::query_scalar(
        "select case when i.indisunique then 'unique index `' else 'index `' end
                || regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') || '`'
         from pg_index i
         where i.indrelid = $1::regclass and not exists (select 1 from pg_constraint c where c.conindid = i.indexrelid
                                                           and c.contype in ('p', 'u'))
         order by i.indexrelid",
    )
    .bind(table)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let refused: Vec<String> = sqlx::query_scalar(
        "select 'refused: `' || lower(regexp_replace(pg_get_triggerdef(oid, true), '^.* BEFORE (.*) ON .*$', '\\1')) || '`'
         from pg_trigger
         where tgrelid = $1::regclass and not tgisinternal
         order by oid",
    )
    .bind(table)
    .fetch_all(&mut connection)
    .await
    .unwrap();
    [keys, indexes, refused].concat()
}

/// The privileges of the three roles and of PUBLIC on a table or view.
pub async fn grants(connection: &mut PgConnection, relation: &str) -> Vec<(String, String)> {
    sqlx::query_as(
        "select r, lower(privilege)
         from unnest($2 || array['public']) with ordinality as u (r, n)
         cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
           with ordinality as p (privilege, m)
         where has_table_privilege(r, $1::regclass, privilege)
         order by n, m",
    )
    .bind(relation)
    .bind(ROLES.map(str::to_owned).to_vec())
    .fetch_all(connection)
    .await
    .unwrap()
}

/// The tables of a SQLite file that are not STRICT.
pub async fn lax_tables(connection: &mut SqliteConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select name
         from pragma_table_list
         where schema = 'main' and type = 'table' and strict = 0 and name not in ('_sqlx_migrations', 'sqlite_schema')
           and name not like 'sqlite_%'
         order by name",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}
