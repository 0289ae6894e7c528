//! What the tests share: the program in a sandbox, a place in each database, `psql`.
#![allow(dead_code, unused_imports, reason = "a helper may be there before the first test that needs it")]

mod database;
mod pooler;
mod sandbox;
mod server;
mod table;
mod terminal;

pub(crate) use database::on_both_databases;
pub use database::{TestDb, block_on, fresh_schema, postgres_url, psql, psql_program};
pub use pooler::Pooler;
pub use sandbox::{NOW, Output, Sandbox, asmm};
pub use server::Server;
pub use table::Rows;
pub use terminal::Terminal;
