-- In Postgres this makes the roles. A SQLite ledger is a file: who may read or write the file may do so.
select 1;
